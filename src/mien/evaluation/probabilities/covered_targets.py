"""How often the answers about targets hold what is annotated, as a run records it."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from mien.evaluation.metrics_file.seed_metrics import TargetCoverage
from mien.evaluation.predictions import Predictions, TargetPredictions
from mien.evaluation.probabilities.target_calibration import (
    TargetCalibration,
    ValueCalibration,
    hit_sets,
    set_coverage,
)
from mien.evaluation.scoring import as_reported
from mien.evaluation.target_metrics.target_values import annotated_rows
from mien.types import Task

__all__ = ["SetHits", "cover_targets", "set_hits"]


class SetHits(NamedTuple):
    """Whether the sets of classes, or of each label, hold what is annotated, clip by clip.

    Attributes:
        inside: Of each clip 1 if its set holds the annotated class, 0 if not; of labels the share
            that is right. NaN of a clip that is not annotated, of one with two classes alike, and
            of one that has no set.
        sizes: Classes in each set; of labels, the mean number of ways (absent, present) that cannot
            be ruled out, from 1 to 2. NaN as ``inside``.
        num_without_set: Annotated clips that have no set, because validation had none with their
            modalities.
    """

    inside: Float[np.ndarray, " N"]
    sizes: Float[np.ndarray, " N"]
    num_without_set: int


def set_hits(calibration: TargetCalibration, predictions: Predictions, name: str) -> SetHits:
    """Return which sets of classes or labels hold what is annotated.

    Args:
        calibration: What validation clips say of the target.
        predictions: As in ``cover_targets``.
        name: The target, of the kind ``class`` or ``labels``.
    """
    reported = as_reported(predictions)
    own, (present, set_of) = reported.values[name], reported.modality_sets()
    values, truths = own.values[Task.FUSION], own.truths[Task.FUSION]
    inside, sizes = np.full(len(values), math.nan), np.full(len(values), math.nan)
    rows, num_without = annotated_rows(truths), 0
    for number, modalities in enumerate(present):
        known, chosen = calibration.of(modalities), np.flatnonzero(rows & (set_of == number))
        if not known.num_clips:
            num_without += chosen.size
            continue
        counted, hits, counts = hit_sets(known, own.target, values[chosen], truths[chosen])
        clips = chosen[counted]
        inside[clips] = hits.reshape(len(clips), -1).mean(axis=1)
        sizes[clips] = counts.reshape(len(clips), -1).mean(axis=1)
    return SetHits(inside=inside, sizes=sizes, num_without_set=num_without)


def cover_targets(
    calibrations: Mapping[str, TargetCalibration], predictions: Predictions
) -> dict[str, TargetCoverage]:
    """Return, per target, how often its sets or intervals hold what is annotated.

    Clips with modalities for which validation had no clip have no set; they are counted apart.

    Args:
        calibrations: What validation clips say of each target.
        predictions: Of clips that neither training nor calibration has seen, with all modalities
            that each has.
    """
    result, reported = {}, as_reported(predictions)
    sets, set_of = predictions.modality_sets()
    for name, calibration in calibrations.items():
        own = reported.values.get(name)
        if own is None or Task.FUSION not in own.truths:
            continue
        rows = annotated_rows(own.truths[Task.FUSION])
        counts, num_without = np.zeros(3), 0
        for number, present in enumerate(sets):
            known, chosen = calibration.of(present), rows & (set_of == number)
            if known.num_clips:
                counts += _count(known, own, chosen)
            else:
                num_without += int(chosen.sum())
        num, inside, sizes = counts.tolist()
        if num:
            result[name] = TargetCoverage(
                level=calibration.level,
                share=inside / num,
                num_clips=round(num),
                num_without_set=num_without,
                size=sizes / num if own.target.has_shares else None,
            )
    return result


def _count(
    calibration: ValueCalibration, own: TargetPredictions, rows: Bool[np.ndarray, " N"]
) -> Float[np.ndarray, "3"]:
    """Return how much is annotated of some clips, how much of it is covered, and sizes of sets."""
    values, truths = own.values[Task.FUSION][rows], own.truths[Task.FUSION][rows]
    if own.target.has_shares:
        sets = set_coverage(calibration, own.target, values, truths)
        if not sets.num_clips:
            return np.zeros(3)
        return sets.num_clips * np.array([1.0, sets.share, sets.size])
    widths = calibration.half_widths(own.target)
    inside = np.abs(np.subtract(values, truths, dtype=np.float64)) <= widths
    counted = inside[:, np.isfinite(widths)]
    return np.array([counted.size, counted.sum(), 0.0])
