"""What validation clips say about the answers of a target: temperature, margins of sets, widths.

It stands in the header of a checkpoint, for each set of present modalities, since a face alone says
less than a face with words.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from pydantic import Field, FiniteFloat

from mien.config import Settings
from mien.evaluation.conformal import LEVEL, name_modalities
from mien.evaluation.probabilities.margins import (
    class_sets,
    conformal_quantile,
    measure_margins,
)
from mien.evaluation.probabilities.temperature import fit_temperature, scale_probabilities
from mien.evaluation.target_metrics.target_values import (
    PRESENT,
    annotated_classes,
    annotated_rows,
    check_values,
)
from mien.types import Modality, Target, TargetKind

__all__ = [
    "SetCoverage",
    "TargetCalibration",
    "ValueCalibration",
    "calibrate_values",
    "hit_sets",
    "label_sets",
    "set_coverage",
]

_NotNegative = Annotated[FiniteFloat, Field(ge=0)]
#: What the two margins of a label are called: of its not being there, and of its being there.
_ABSENT, _PRESENT = "absent", "present"


class ValueCalibration(Settings):
    """What the clips with one set of modalities say.

    Attributes:
        num_clips: Validation clips that it rests on.
        num_speakers: People whose clips they are, each of whom counts as one in margins and
            widths; None where every clip counts for itself.
        temperature: Of probabilities, as ``fit_temperature`` returns it.
        margins: Of each class, as ``measure_margins`` returns them; one is absent where there were
            too few clips to tell, and its class is in every set.
        label_margins: Of each label, the same of its being ``present`` and ``absent``.
        widths: Half widths of the intervals of intensities by their classes, and of a score by the
            name of its target; absent where there were too few clips.
        unseen: Classes that none of the clips has, and labels that are in none: what holds for
            those with few clips is taken to hold for them, which nothing has shown.
    """

    num_clips: int = Field(ge=0)
    num_speakers: int | None = None
    temperature: float = Field(default=1.0, gt=0)
    margins: dict[str, _NotNegative] = Field(default_factory=dict)
    label_margins: dict[str, dict[str, _NotNegative]] = Field(default_factory=dict)
    widths: dict[str, _NotNegative] = Field(default_factory=dict)
    unseen: tuple[str, ...] = ()

    def scale(self, target: Target, values: Float[np.ndarray, "*B K"]) -> Float[np.ndarray, "*B K"]:
        """Return probabilities at the temperature; scores and intensities as they are."""
        if target.kind is TargetKind.CLASS:
            return scale_probabilities(values, self.temperature, "class")
        if target.kind is TargetKind.LABELS:
            return scale_probabilities(values, self.temperature, "labels")
        return values

    def sets(self, target: Target, values: Float[np.ndarray, "*B K"]) -> Bool[np.ndarray, "*B K"]:
        """Return which classes are in the set of each clip: all of them where nothing is known.

        Args:
            target: Of the kind ``class``.
            values: Probabilities, scaled or not.
        """
        margins = np.array([self.margins.get(name, math.inf) for name in target.classes])
        return class_sets(values, margins)

    def possible(
        self, target: Target, values: Float[np.ndarray, "*B K"]
    ) -> Bool[np.ndarray, "*B K 2"]:
        """Return whether each label may be absent, and whether it may be there; one is always so.

        Args:
            target: Of the kind ``labels``.
            values: Probabilities, scaled or not.
        """
        none: dict[str, float] = {}
        margins = [
            [self.label_margins.get(name, none).get(way, math.inf) for way in (_ABSENT, _PRESENT)]
            for name in target.classes
        ]
        return label_sets(values, np.array(margins))

    def half_widths(self, target: Target) -> Float[np.ndarray, " K"]:
        """Return the half width of each value's interval; infinite where nothing is known."""
        return np.array([self.widths.get(name, math.inf) for name in _names(target)])


class TargetCalibration(Settings):
    """What validation clips say about a target.

    Attributes:
        level: Share of clips whose annotation should lie in a set or an interval.
        by_modalities: By the modalities that are present, such as ``text+video``.
    """

    level: float = Field(gt=0, lt=1)
    by_modalities: dict[str, ValueCalibration]

    def of(self, present: Sequence[Modality]) -> ValueCalibration:
        """Return what is known with these modalities; without clips where nothing is."""
        return self.by_modalities.get(name_modalities(present), ValueCalibration(num_clips=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCoverage:
    """How often sets hold what is annotated, and how large they are; NaN without a clip.

    Attributes:
        num_clips: Annotated clips; for labels, clips times labels.
        share: Share of them whose annotated class is in the set.
        size: Mean number of classes in a set.
        single: Share of sets of one class.
        single_right: Share of these that are right.
        by_class: Share of the clips of each class that have it in their set.
    """

    num_clips: int
    share: float
    size: float
    single: float
    single_right: float
    by_class: Mapping[str, float]


def calibrate_values(
    target: Target,
    values: Float[np.ndarray, "N K"],
    truths: Float[np.ndarray, "N K"],
    *,
    level: float = LEVEL,
    speakers: Shaped[np.ndarray, " N"] | None = None,
) -> ValueCalibration:
    """Measure what clips that the training has not seen say about the answers of a target.

    Args:
        target: What is predicted.
        values: Probabilities of classes or labels; predicted score or intensities.
        truths: What is annotated; NaN where a clip is not.
        level: Share of clips whose annotation should lie in a set or an interval.
        speakers: Who speaks in each clip: with enough people the promise holds for people who are
            not among them.

    Raises:
        MetricError: If shapes differ, or values are not as the kind of target says.
    """
    rows = annotated_rows(truths)
    values, truths = values[rows], truths[rows]
    speakers = None if speakers is None else speakers[rows]
    if len(values):
        check_values(values, truths)
    if target.kind is TargetKind.CLASS:
        return _calibrate_classes(target, values, truths, level, speakers)
    if target.kind is TargetKind.LABELS:
        return _calibrate_labels(target, values, truths, level, speakers)
    return _calibrate_widths(target, values, truths, level, speakers)


def _calibrate_classes(
    target: Target,
    values: Float[np.ndarray, "N K"],
    truths: Float[np.ndarray, "N K"],
    level: float,
    speakers: Shaped[np.ndarray, " N"] | None,
) -> ValueCalibration:
    measured = measure_margins(values, truths, level, speakers)
    return ValueCalibration(
        num_clips=int(measured.num_clips.sum()),
        num_speakers=measured.num_speakers,
        temperature=fit_temperature(values, truths, "class").temperature,
        margins=_finite(target.classes, measured.margins),
        unseen=_unseen(target, measured.num_clips),
    )


def _calibrate_labels(
    target: Target,
    values: Float[np.ndarray, "N K"],
    truths: Float[np.ndarray, "N K"],
    level: float,
    speakers: Shaped[np.ndarray, " N"] | None,
) -> ValueCalibration:
    margins, num_speakers = {}, None
    for index, name in enumerate(target.classes):
        is_there = (truths[:, index] >= PRESENT).astype(np.float64)
        measured = measure_margins(
            _both_ways(values[:, index]), _both_ways(is_there), level, speakers
        )
        margins[name] = _finite((_ABSENT, _PRESENT), measured.margins)
        num_speakers = measured.num_speakers
    return ValueCalibration(
        num_clips=len(values),
        num_speakers=num_speakers,
        temperature=fit_temperature(values, truths, "labels").temperature,
        label_margins=margins,
        unseen=_unseen(target, (truths >= PRESENT).sum(axis=0)),
    )


def _calibrate_widths(
    target: Target,
    values: Float[np.ndarray, "N K"],
    truths: Float[np.ndarray, "N K"],
    level: float,
    speakers: Shaped[np.ndarray, " N"] | None,
) -> ValueCalibration:
    errors = np.abs(np.subtract(values, truths, dtype=np.float64))
    num_speakers = None if speakers is None else len(np.unique(speakers))
    if num_speakers is not None and math.isinf(conformal_quantile(np.zeros(num_speakers), level)):
        speakers, num_speakers = None, None
    widths = np.array([conformal_quantile(column, level, speakers) for column in errors.T])
    return ValueCalibration(
        num_clips=len(values), num_speakers=num_speakers, widths=_finite(_names(target), widths)
    )


def label_sets(
    values: Float[np.ndarray, "*B K"], margins: Float[np.ndarray, "K 2"]
) -> Bool[np.ndarray, "*B K 2"]:
    """Return whether each label may be absent, and whether it may be there.

    Args:
        values: Probabilities of labels.
        margins: Of a label's being absent and of its being there.
    """
    columns = [class_sets(_both_ways(values[..., k]), pair) for k, pair in enumerate(margins)]
    return np.stack(columns, axis=-2)


def hit_sets(
    calibration: ValueCalibration,
    target: Target,
    values: Float[np.ndarray, "N K"],
    truths: Float[np.ndarray, "N K"],
) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, "n *K"], Int[np.ndarray, "n *K"]]:
    """Return which clips count, whether their sets hold what is annotated, and sizes of the sets.

    Of labels there is a set for each label of each clip, else one for each clip.

    Args:
        calibration: From other clips.
        target: Of the kind ``class`` or ``labels``.
        values: Probabilities.
        truths: What is annotated; clips without an annotated class do not count.
    """
    rows = np.flatnonzero(annotated_rows(truths))
    if target.kind is TargetKind.LABELS:
        sets = calibration.possible(target, values[rows])
        annotated = (truths[rows] >= PRESENT).astype(np.int64)
        inside = np.take_along_axis(sets, annotated[..., None], axis=-1)[..., 0]
    else:
        classes, is_clear = annotated_classes(truths[rows])
        rows = rows[is_clear]
        sets = calibration.sets(target, values[rows])
        inside = sets[np.arange(len(rows)), classes[is_clear]]
    return rows, inside, sets.sum(axis=-1)


def set_coverage(
    calibration: ValueCalibration,
    target: Target,
    values: Float[np.ndarray, "N K"],
    truths: Float[np.ndarray, "N K"],
) -> SetCoverage:
    """Return how often the sets of clips hold what is annotated.

    For labels, every label of every clip has a set of its own, of being there and being absent;
    ``by_class`` is over all clips, the two taken together.

    Args:
        calibration: From other clips.
        target: Of the kind ``class`` or ``labels``.
        values: Probabilities of clips that neither training nor calibration has seen.
        truths: What is annotated; clips without an annotated class are left out.
    """
    rows, inside, sizes = hit_sets(calibration, target, values, truths)
    if target.kind is TargetKind.LABELS:
        members = np.ones_like(inside)
    else:
        classes, _ = annotated_classes(truths[rows])
        members = classes[:, None] == np.arange(target.size)
    return SetCoverage(
        num_clips=inside.size,
        share=_mean(inside),
        size=_mean(sizes),
        single=_mean(sizes == 1),
        single_right=_mean(inside[sizes == 1]),
        by_class={
            name: _mean(inside[member] if inside.ndim == 1 else inside[member, index])
            for index, (name, member) in enumerate(zip(target.classes, members.T, strict=True))
        },
    )


def _names(target: Target) -> tuple[str, ...]:
    return target.classes or (target.name,)


def _both_ways(values: Float[np.ndarray, "*B"]) -> Float[np.ndarray, "*B 2"]:
    """Probabilities that a label is absent, and that it is there."""
    there = values.astype(np.float64)
    return np.stack([1 - there, there], axis=-1)


def _finite(names: Sequence[str], values: Float[np.ndarray, " K"]) -> dict[str, float]:
    pairs = zip(names, values.tolist(), strict=True)
    return {name: value for name, value in pairs if math.isfinite(value)}


def _unseen(target: Target, num_clips: Shaped[np.ndarray, " K"]) -> tuple[str, ...]:
    pairs = zip(target.classes, num_clips.tolist(), strict=True)
    return tuple(name for name, number in pairs if not number)


def _mean(values: Shaped[np.ndarray, "..."]) -> float:
    return float(values.mean()) if values.size else math.nan
