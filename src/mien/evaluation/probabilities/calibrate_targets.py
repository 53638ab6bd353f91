"""Predictions of validation clips with every set of modalities, to what they say of each target."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Shaped

from mien.evaluation.conformal import LEVEL, name_modalities
from mien.evaluation.predictions import Predictions, TargetPredictions
from mien.evaluation.probabilities.target_calibration import (
    TargetCalibration,
    ValueCalibration,
    calibrate_values,
)
from mien.evaluation.scoring import as_reported
from mien.evaluation.target_metrics.target_values import annotated_rows
from mien.types import Modality, Task

__all__ = ["calibrate_targets"]


def calibrate_targets(
    by_present: Mapping[tuple[Modality, ...], Predictions],
    speakers: Shaped[np.ndarray, " N"] | None = None,
    *,
    level: float = LEVEL,
) -> dict[str, TargetCalibration]:
    """Return what clips that the training has not seen say of each target, by its name.

    As for sentiment, every set of modalities counts the clips that have them all, and the values of
    one modality alone are compared with its own annotation where there is one, else with that of
    the clip.

    Args:
        by_present: Predictions of the same clips with every set of modalities alone.
        speakers: Who speaks in each clip, as ``calibrate_values`` takes it.
        level: Share of clips whose annotation should lie in a set or an interval.
    """
    result: dict[str, dict[str, ValueCalibration]] = {}
    for present, predictions in by_present.items():
        rows = predictions.having(present)
        people = None if speakers is None else speakers[rows]
        for name, own in as_reported(predictions).values.items():
            task = _task_of(own, present)
            values, truths = own.values[task][rows], _truths_of(own, task)[rows]
            measured = calibrate_values(own.target, values, truths, level=level, speakers=people)
            result.setdefault(name, {})[name_modalities(present)] = measured
    return {name: TargetCalibration(level=level, by_modalities=own) for name, own in result.items()}


def _task_of(predicted: TargetPredictions, present: tuple[Modality, ...]) -> Task:
    """Return the task whose values are calibrated: of a modality alone, its own if it has one."""
    is_lone = len(present) == 1 and Task(present[0]) in predicted.values
    return Task(present[0]) if is_lone else Task.FUSION


def _truths_of(predicted: TargetPredictions, task: Task) -> Float[np.ndarray, "N _"]:
    """Return what a task is compared with: its own annotation, or the clip's."""
    size = len(predicted.values[Task.FUSION]), predicted.target.size
    of_clip = predicted.truths.get(Task.FUSION, np.full(size, np.nan))
    own = predicted.truths.get(task, of_clip)
    return np.where(annotated_rows(own)[:, None], own, of_clip)
