"""Models that a server can be told to load in the place of a trained one."""

import math
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from mien.errors import CheckpointError, MediaError
from mien.evaluation.probabilities.target_calibration import TargetCalibration, ValueCalibration
from mien.prediction.answer import Answer, ModelFacts, Moment, Score, Steps, Window, WordWeight
from mien.prediction.result import Prediction
from mien.prediction.target_answers.answer_targets import answer_targets, describe_targets
from mien.prediction.target_answers.target_answer import TargetMoment, TargetWord
from mien.training.checkpoints.shipped_models import DEFAULT_MODEL
from mien.types import Modality, Scale, Target, TargetKind, Task

SCALE = Scale(-3.0, 3.0)
FACTS = ModelFacts(name="stand-in.safetensors", sha256="0" * 64, corpus="nothing")
SAID = "And the second half was, to my great surprise, really quite wonderful in its own way"


def score(value, *, half=0.9):
    words = "positive" if value > 0.5 else "negative" if value < -0.5 else "neutral"
    return Score(value=value, low=max(value - half, -3.0), high=min(value + half, 3.0), words=words)


def answer(number, *, start, end, text=SAID):
    """Return an answer whose numbers depend on its number alone."""
    said = text.split()
    gap = (end - start) / len(said)
    words = tuple(
        WordWeight(
            text=word,
            start=start + i * gap,
            end=start + (i + 1) * gap,
            weight=0.4 + len(word) / 5,
            effect=math.sin(i + number),
        )
        for i, word in enumerate(said)
    )
    times = tuple(start + 0.1 + 0.2 * i for i in range(int((end - start) / 0.2)))
    unimodal = {m: score(2 * math.sin(number + 2.1 * i)) for i, m in enumerate(Modality)}
    absent = {}
    if number % 5 == 3:
        del unimodal[Modality.VIDEO]
        absent[Modality.VIDEO] = "no face is seen"
    steps = {
        m: Steps(
            times=times,
            weights=tuple(1 + math.sin(i * t + number) for t in times),
            windows=tuple(
                Window(start=t - 0.1, end=t + 0.1, effect=math.cos(i * t) / 4) for t in times
            ),
        )
        for i, m in enumerate(Modality)
        if i and m in unimodal
    }
    heavy = max(words, key=lambda word: word.weight)
    moments = [
        Moment(
            modality=Modality.TEXT,
            start=heavy.start,
            end=heavy.end,
            text=heavy.text,
            weight=heavy.weight,
            effect=heavy.effect,
        )
    ]
    moments += [
        Moment(modality=m, start=times[3], end=times[4], weight=1.9, effect=-0.3) for m in steps
    ]
    conflicts = ((Modality.TEXT, Modality.AUDIO),) if number % 4 == 0 else ()
    return Answer(
        start=start,
        end=end,
        transcript=text,
        score=score(1.8 * math.sin(number / 3 + 0.8)),
        unimodal=unimodal,
        absent=absent,
        influence={m: 0.4 - 0.3 * i for i, m in enumerate(unimodal)},
        conflicts=conflicts,
        words=words,
        steps=steps,
        moments=tuple(moments),
    )


class StandIn:
    """Judges by nothing but the name of what it is asked; text in the file's bytes commands it."""

    network = SimpleNamespace(facts=FACTS, scale=SCALE)
    checkpoint = DEFAULT_MODEL  # whose card is shown
    recogniser = "auto"
    baseline = None
    companion = None
    card = None

    def make_ready(self, *, transcript="auto"):
        pass

    def predict(self, recording, *, transcript, listener, jobs=1):  # noqa: ARG002  # the protocol's
        content = Path(recording).read_bytes()
        if content.startswith(b"not media"):
            raise MediaError(f"{recording}: holds neither sound nor a moving picture")
        listener.on_audio(3.0)
        if content.startswith(b"sleep"):
            time.sleep(float(content.split()[1]))
        if content.startswith(b"die"):
            os._exit(11)
        if content.startswith((b"interrupt", b"kill")):
            _signal_once(content.decode())
        count = int(content.split()[1]) if content.startswith(b"utterances") else 1
        listener.on_cut(count, 8.0 * count)
        text = SAID if transcript in ("auto", "none") else transcript
        answers = tuple(
            answer(i, start=8.0 * i + 0.2, end=8.0 * i + 7.6, text=text) for i in range(count)
        )
        return self.wrap(Path(recording).name, 8.0 * count, answers)

    def predict_text(self, text):
        if text.startswith("sleep"):
            time.sleep(float(text.split()[1]))
        words = tuple(
            WordWeight(
                text=w,
                weight=None if w == "unread" else 0.4 + len(w) / 5,
                effect=None if w == "unread" else 0.1 * len(w),
            )
            for w in text.split()
        )
        absent = dict.fromkeys((Modality.AUDIO, Modality.VIDEO), "only a text was given")
        value = 0.3 if text.startswith("perhaps") else 1.3
        one = Answer(
            transcript=text,
            score=score(value),
            unimodal={Modality.TEXT: score(value)},
            absent=absent,
            words=words,
        )
        return self.wrap("text", None, (one,))

    def wrap(self, source, seconds, answers):
        return Prediction(
            source=source,
            seconds=seconds,
            scale=SCALE,
            level=0.9,
            answers=answers,
            model=FACTS,
        )


def _signal_once(content):
    """Send this process a signal, if the file that is named after it is there; remove the file."""
    what, flag = content.split()
    if Path(flag).exists():
        Path(flag).unlink()
        os.kill(os.getpid(), signal.SIGKILL if what == "kill" else signal.SIGINT)


class CrashingAtLoad(StandIn):
    def make_ready(self):
        os._exit(12)


class Missing(StandIn):
    def make_ready(self):
        raise CheckpointError("stand-in.safetensors: is damaged; get it anew")


def load(path, **options):  # noqa: ARG001  # as mien.prediction.predictor.load
    return StandIn()


def load_missing(path, **options):  # noqa: ARG001
    return Missing()


def load_crashing(path, **options):  # noqa: ARG001
    return CrashingAtLoad()


def load_when_told(path, **options):  # noqa: ARG001
    """Write a line into a file beside ``path``, and load when ``path`` is there."""
    with path.with_suffix(".log").open("a") as log:
        log.write("loading\n")
    while not path.exists():
        time.sleep(0.02)
    return StandIn()


def load_at_second_try(path, **options):  # noqa: ARG001
    """Fail, unless ``path`` is there; leave it there."""
    if path.exists():
        return StandIn()
    path.touch()
    return Missing()


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


def load_told(path, **options):  # noqa: ARG001
    """Judge as the usual stand-in, by the name of what it was told."""
    told = StandIn()
    name = ", ".join(f"{name}={value}" for name, value in options.items())
    told.network = SimpleNamespace(facts=FACTS.model_copy(update={"name": name}), scale=SCALE)
    return told
