"""What planted clips have besides sentiment: classes, an arousal, labels and intensities.

Every modality of a clip is a point in the plane of its sentiment and its arousal, and its emotion
is the class whose place in the plane is nearest. Of a clip as a whole, the classes have shares:

    shares = sum over modalities of w_m 1[class of m] / sum of w_m

with the weights of the label (``sentiments``): under ``strongest`` the class of one modality has
them all, and under ``irony`` words that the voice contradicts are read with the opposite sentiment.
Raters vote by these shares, so that a clip in which modalities differ gets votes for some classes.

Source: russell1980 for the plane.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mien.corpora.planted.planted_config import (
    FACTS,
    EmotionSettings,
    PlantedConfig,
    RandomStream,
    draw_from,
)
from mien.corpora.planted.sentences import AROUSALS
from mien.corpora.planted.sentiments import draw_values, round_label, weigh_meaning
from mien.types import Modality, Scale, Target, TargetKind, Task

__all__ = ["EMOTION_PLACES", "annotate_emotions", "draw_arousals", "list_targets", "name_emotion"]

#: Where emotions lie: their sentiment and their arousal, both from -3 to 3.
EMOTION_PLACES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "happy": (1.8, 0.8),
        "angry": (-1.6, 1.6),
        "sad": (-1.6, -1.4),
        "neutral": (0.0, 0.0),
        "surprised": (0.6, 2.4),
        "calm": (1.4, -1.6),
    }
)

#: A modality's values of every target, or a clip's, by name of the target.
_Values = dict[str, tuple[float, ...]]

_NAMES = MappingProxyType(
    {
        TargetKind.CLASS: "emotion",
        TargetKind.SCORE: "arousal",
        TargetKind.LABELS: "feelings",
        TargetKind.INTENSITIES: "strengths",
    }
)


class _Point(NamedTuple):
    """What a modality says, in the plane."""

    sentiment: float
    arousal: float


def _classes(settings: EmotionSettings) -> tuple[str, ...]:
    return tuple(EMOTION_PLACES)[: settings.num_classes]


def list_targets(settings: EmotionSettings) -> tuple[Target, ...]:
    """Return what clips have besides sentiment."""
    classes = _classes(settings)
    scales = {TargetKind.SCORE: FACTS.scale, TargetKind.INTENSITIES: Scale(0.0, 3.0)}
    return tuple(
        Target(
            name=_NAMES[kind],
            kind=kind,
            classes=() if kind is TargetKind.SCORE else classes,
            scale=scales.get(kind),
        )
        for kind in settings.kinds
    )


def name_emotion(settings: EmotionSettings, sentiment: float, arousal: float) -> str:
    """Return the class that is nearest to a point in the plane; of two as near, the first.

    >>> name_emotion(EmotionSettings(), -2.0, 2.0)
    'angry'
    """
    return min(
        _classes(settings),
        key=lambda name: math.dist(EMOTION_PLACES[name], (sentiment, arousal)),
    )


def draw_arousals(settings: PlantedConfig, row: int, video_number: int) -> dict[Modality, float]:
    """Draw the arousal of each modality of a clip, distributed as sentiments are.

    Args:
        settings: How they are distributed.
        row: Number of the clip.
        video_number: The video, whose clips may have something in common.
    """
    generator = draw_from(settings, RandomStream.EMOTIONS, row)
    text, audio, video = draw_values(settings, generator, video_number, extra=1)
    return {
        Modality.TEXT: min(AROUSALS, key=lambda arousal: abs(arousal - text)),
        Modality.AUDIO: round_label(settings, audio),
        Modality.VIDEO: round_label(settings, video),
    }


def annotate_emotions(
    settings: PlantedConfig,
    emotions: EmotionSettings,
    row: int,
    sentiments: Mapping[Modality, float],
    arousals: Mapping[Modality, float],
) -> dict[str, dict[Task, tuple[float, ...]]]:
    """Return the values of every target that a clip is annotated for.

    Args:
        settings: How the corpus is made.
        emotions: What there is besides sentiment.
        row: Number of the clip.
        sentiments: What each modality that the clip has says.
        arousals: Their arousals.
    """
    generator = draw_from(settings, RandomStream.VOTES, row)
    points = {m: _Point(sentiment, arousals[m]) for m, sentiment in sentiments.items()}
    own = {m: _describe(emotions, point) for m, point in points.items()}
    of_clip = _annotate_clip(settings, emotions, points, generator)
    is_annotated = generator.random(len(TargetKind)) >= emotions.unannotated
    annotated = dict(zip(TargetKind, is_annotated.tolist(), strict=True))
    return {
        _NAMES[kind]: {Task.FUSION: of_clip[_NAMES[kind]]}
        | {Task(m): values[_NAMES[kind]] for m, values in own.items()}
        for kind in emotions.kinds
        if kind is TargetKind.CLASS or annotated[kind]
    }


def _describe(emotions: EmotionSettings, point: _Point) -> _Values:
    """Return the values of every target of a modality alone."""
    name = name_emotion(emotions, *point)
    is_it = tuple(float(each == name) for each in _classes(emotions))
    strength = round(min(3.0, math.hypot(*point)), 1)
    return {
        "emotion": is_it,
        "arousal": (point.arousal,),
        "feelings": is_it,
        "strengths": tuple(strength * value for value in is_it),
    }


def _annotate_clip(
    settings: PlantedConfig,
    emotions: EmotionSettings,
    points: Mapping[Modality, _Point],
    generator: np.random.Generator,
) -> _Values:
    """Return the values of every target of a clip as a whole."""
    meant, weights = weigh_meaning(settings, {m: p.sentiment for m, p in points.items()})
    parts = {m: _describe(emotions, _Point(meant[m], points[m].arousal)) for m in points}
    total = sum(weights.values())

    def mix(name: str) -> Float[np.ndarray, "K"]:
        mixed: Float[np.ndarray, K] = sum(
            (weight / total * np.array(parts[m][name]) for m, weight in weights.items()),
            np.zeros(1),
        )
        return mixed

    arousal = float(mix("arousal")[0]) + settings.label_noise * float(generator.standard_normal())
    return {
        "emotion": _vote(emotions, mix("emotion"), generator),
        "arousal": (round_label(settings, arousal),),
        "feelings": tuple(np.max([p["feelings"] for p in parts.values()], axis=0).tolist()),
        "strengths": tuple(np.round(mix("strengths"), 3).tolist()),
    }


def _vote(
    emotions: EmotionSettings, shares: Float[np.ndarray, "K"], generator: np.random.Generator
) -> tuple[float, ...]:
    """Let raters vote for a class, each by the shares; without raters return the shares."""
    if not emotions.raters:
        return tuple(np.round(shares, 6).tolist())
    chances = (1 - emotions.slips) * shares + emotions.slips / len(shares)
    votes = generator.multinomial(emotions.raters, chances / chances.sum())
    if not emotions.single:
        return tuple((votes / emotions.raters).tolist())
    first = int(np.lexsort((-chances, -votes))[0])  # of as many votes, the likelier class
    return tuple(float(k == first) for k in range(len(shares)))
