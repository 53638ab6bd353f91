"""A model in the place of a trained one that predicts emotions beside sentiment."""

import math
from types import SimpleNamespace

import numpy as np
from stand_in_models import FACTS, SCALE, StandIn

from mien.evaluation.probabilities.target_calibration import TargetCalibration, ValueCalibration
from mien.prediction.target_answers.answer_targets import answer_targets, describe_targets
from mien.prediction.target_answers.target_answer import TargetMoment, TargetWord
from mien.types import Modality, Scale, Target, TargetKind, Task

EMOTIONS = ("angry", "disgusted", "fearful", "happy", "neutral", "sad", "surprised", "contempt")
TARGETS = (
    Target(name="emotion", kind=TargetKind.CLASS, classes=EMOTIONS),
    Target(name="tags", kind=TargetKind.LABELS, classes=("laughing", "shouting")),
    Target(name="valence", kind=TargetKind.SCORE, scale=Scale(1, 5)),
    Target(name="moods", kind=TargetKind.INTENSITIES, classes=("joy", "woe"), scale=Scale(0, 3)),
)
_WIDE = {"absent": 1.5, "present": 1.5}
_SAID_OF = {
    "emotion": ValueCalibration(num_clips=99, margins=dict.fromkeys(EMOTIONS, 0.4)),
    "tags": ValueCalibration(num_clips=99, label_margins={"laughing": _WIDE, "shouting": _WIDE}),
    "valence": ValueCalibration(num_clips=99, widths={"valence": 0.7}),
    "moods": ValueCalibration(num_clips=99, widths={"joy": 0.5}),
}
_SUBSETS = ("text", "audio", "video", "text+audio", "text+audio+video")
CALIBRATION = {
    name: TargetCalibration(level=0.9, by_modalities=dict.fromkeys(_SUBSETS, known))
    for name, known in _SAID_OF.items()
}


def add_targets(one, number, *, has_sentiment):
    """Give an answer emotions and more; without sentiment, take the sentiment away."""

    def draw(target, turn):
        waves = np.sin(number + turn + 2.0 * np.arange(target.size))
        if target.kind is TargetKind.CLASS:
            return np.exp(waves) / np.exp(waves).sum()
        low, high = target.bounds
        return low + (high - low) * (0.5 + 0.45 * waves)

    turns = {task: turn if len(one.present) > 1 else 0 for turn, task in enumerate(Task)}
    values = {t.name: {task: draw(t, turn) for task, turn in turns.items()} for t in TARGETS}
    targets = answer_targets(TARGETS, CALIBRATION, values, one.present)
    moments = tuple(
        TargetMoment(modality=m, start=one.start + 1, end=one.start + 2, effect=0.12 - i * 0.2)
        for i, m in enumerate((Modality.AUDIO, Modality.VIDEO))
        if one.start is not None and m in one.present
    )
    said = tuple(
        TargetWord(text=w.text, start=w.start, end=w.end, effect=math.cos(i) / 5)
        for i, w in enumerate(one.words)
    )
    moments += tuple(TargetMoment(modality=Modality.TEXT, **word.model_dump()) for word in said[:1])
    own = {"moments": moments, "words": said}
    targets["emotion"] = targets["emotion"].model_copy(update=own)
    if has_sentiment:
        return one.model_copy(update={"targets": targets})
    words = tuple(word.model_copy(update={"effect": None}) for word in one.words)
    steps = {m: own.model_copy(update={"windows": ()}) for m, own in one.steps.items()}
    gone = {"score": None, "unimodal": {}, "influence": {}, "conflicts": (), "moments": ()}
    return one.model_copy(update={**gone, "words": words, "steps": steps, "targets": targets})


class Emotional(StandIn):
    """Predicts emotions too; no sentiment of what has the word ``alone`` in it."""

    network = SimpleNamespace(
        facts=FACTS, scale=SCALE, targets=describe_targets(TARGETS, CALIBRATION)
    )

    def wrap(self, source, seconds, answers):
        told = super().wrap(source, seconds, answers)
        has_sentiment = "alone" not in source + answers[0].transcript
        added = [add_targets(one, i, has_sentiment=has_sentiment) for i, one in enumerate(answers)]
        gone = {} if has_sentiment else {"scale": None, "level": None}
        return told.model_copy(
            update={"answers": tuple(added), "targets": self.network.targets, **gone}
        )


def load_emotional(path, **options):  # noqa: ARG001
    return Emotional()
