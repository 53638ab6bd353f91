"""How often the answers about targets hold what is annotated, as a run records it."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from mien.evaluation.metrics_file.seed_metrics import TargetCoverage
from mien.evaluation.predictions import Predictions, TargetPredictions
from mien.evaluation.probabilities.target_calibration import (
    TargetCalibration,
    ValueCalibration,
    set_coverage,
)
from mien.evaluation.scoring import as_reported
from mien.evaluation.target_metrics.target_values import annotated_rows
from mien.types import Task

__all__ = ["cover_targets"]


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
