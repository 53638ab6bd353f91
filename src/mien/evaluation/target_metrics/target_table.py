"""The metrics of each kind of target, by name, and what a target's predictions give."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from mien.errors import MetricError
from mien.evaluation.metrics import Metric
from mien.evaluation.target_metrics.class_metrics import (
    CLASS_METRICS,
    evaluate_each_class,
    metrics_of_one_class,
)
from mien.evaluation.target_metrics.label_metrics import (
    LABEL_METRICS,
    evaluate_each_label,
    metrics_of_one_label,
)
from mien.evaluation.target_metrics.scale_metrics import (
    INTENSITY_METRICS,
    SCORE_METRICS,
    evaluate_each_intensity,
    metrics_of_one_intensity,
)
from mien.evaluation.target_metrics.target_values import (
    PRESENT,
    annotated_rows,
)
from mien.types import Target, TargetKind

__all__ = [
    "TARGET_METRICS",
    "ClassResults",
    "evaluate_classes",
    "evaluate_target",
    "metrics_of_class",
]

#: The metrics of each kind, in the order of tables. Each takes the K values of every clip, ``(N,
#: K)``, and what is annotated.
TARGET_METRICS: Final[dict[TargetKind, dict[str, Metric]]] = {
    TargetKind.SCORE: SCORE_METRICS,
    TargetKind.CLASS: CLASS_METRICS,
    TargetKind.LABELS: LABEL_METRICS,
    TargetKind.INTENSITIES: INTENSITY_METRICS,
}

_OF_CLASS: Final[dict[TargetKind, Callable[[int], dict[str, Metric]]]] = {
    TargetKind.CLASS: metrics_of_one_class,
    TargetKind.LABELS: metrics_of_one_label,
    TargetKind.INTENSITIES: metrics_of_one_intensity,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassResults:
    """How well one class of a target is recognised.

    Attributes:
        num_annotated: Clips of the class; those in which a label is there, or an intensity is
            above 0.
        num_predicted: Clips that are predicted to be so.
        metrics: Metrics of the class alone, by name; NaN where undefined.
    """

    num_annotated: int
    num_predicted: int
    metrics: dict[str, float]


def evaluate_target(
    target: Target, values: Float[np.ndarray, "N K"], truths: Float[np.ndarray, "N K"]
) -> dict[str, float]:
    """Return every metric of a target, unrounded; NaN for one that is undefined.

    Args:
        target: What is predicted.
        values: Probabilities of classes or labels; predicted score or intensities.
        truths: What is annotated, as ``TargetKind`` says; clips with NaN are left out. Without an
            annotated clip every metric is NaN.

    Raises:
        MetricError: If shapes do not fit, a value is not finite, or probabilities are none.
    """
    values, truths = _annotated(target, values, truths)
    return {name: metric(values, truths) for name, metric in TARGET_METRICS[target.kind].items()}


def evaluate_classes(
    target: Target, values: Float[np.ndarray, "N K"], truths: Float[np.ndarray, "N K"]
) -> dict[str, ClassResults]:
    """Return the metrics of every class of a target by itself; a score has no classes.

    Args:
        target: What is predicted.
        values: As in ``evaluate_target``.
        truths: As in ``evaluate_target``.

    Raises:
        MetricError: As ``evaluate_target`` does.
    """
    values, truths = _annotated(target, values, truths)
    match target.kind:
        case TargetKind.SCORE:
            return {}
        case TargetKind.CLASS:
            annotated, predicted, metrics = evaluate_each_class(values, truths)
        case TargetKind.LABELS:
            annotated, predicted = (np.sum(each >= PRESENT, axis=0) for each in (truths, values))
            metrics = evaluate_each_label(values, truths)
        case TargetKind.INTENSITIES:
            annotated, predicted = (np.sum(each > 0, axis=0) for each in (truths, values))
            metrics = evaluate_each_intensity(values, truths)
    return {
        name: ClassResults(
            num_annotated=int(annotated[index]),
            num_predicted=int(predicted[index]),
            metrics={key: float(of_all[index]) for key, of_all in metrics.items()},
        )
        for index, name in enumerate(target.classes)
    }


def metrics_of_class(target: Target, name: str) -> dict[str, Metric]:
    """Return the metrics of one class of a target, of the K values of every clip.

    They can be resampled and compared as those of ``TARGET_METRICS`` are.

    Raises:
        MetricError: If the target has no such class.
    """
    if name not in target.classes:
        raise MetricError(
            f"metrics: {target.name} has no class {name!r}, must be one of "
            f"{', '.join(target.classes) or 'none: it is a score'}"
        )
    return _OF_CLASS[target.kind](target.classes.index(name))


def _annotated(
    target: Target, values: Float[np.ndarray, "N K"], truths: Float[np.ndarray, "N K"]
) -> tuple[Float[np.ndarray, "_ K"], Float[np.ndarray, "_ K"]]:
    if values.shape != truths.shape or truths.shape[1] != target.size:
        raise MetricError(
            f"metrics: values of {target.name} have shape {values.shape!r} and truths "
            f"{truths.shape!r}, both must be (clips, {target.size})"
        )
    rows = annotated_rows(truths)
    return values[rows], truths[rows]
