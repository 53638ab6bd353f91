"""How well generated labels of targets agree with what is known of a modality alone.

As for sentiment, over all clips whose truth is known, and over those in which the modality
contradicts the clip: of classes and intensities none that is first in one is first in the other (of
several that tie each is first), of labels one that is there in one is not in the other, and scores
lie on other sides of the mean of the annotated ones. Copies of the annotation fail on the second.
"""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Shaped

from mien.evaluation.formulas import Values, mean_of_sums
from mien.evaluation.label_agreement import compare_in_parts
from mien.evaluation.metrics import Metric
from mien.evaluation.significance import MetricResults
from mien.evaluation.target_metrics.class_metrics import CLASS_METRICS
from mien.evaluation.target_metrics.column_metrics import metric_of_sums
from mien.evaluation.target_metrics.scale_metrics import INTENSITY_METRICS
from mien.evaluation.target_metrics.target_values import (
    PRESENT,
    annotated_rows,
    check_values,
    leading_classes,
)
from mien.types import Target, TargetKind

__all__ = ["TARGET_AGREEMENT", "contradicts_target", "evaluate_target_agreement"]


def _share_terms(values: Values, truths: Values) -> Float[np.ndarray, "N 2"]:
    check_values(values, truths)
    apart = np.abs(values - truths).sum(axis=1) / 2
    return np.stack([apart, np.ones(len(apart))], axis=1)


def _value_terms(values: Values, truths: Values) -> Float[np.ndarray, "N 2"]:
    check_values(values, truths)
    apart = np.abs(values - truths).mean(axis=1)
    return np.stack([apart, np.ones(len(apart))], axis=1)


_MISPLACED: Final = metric_of_sums(
    _share_terms, mean_of_sums, "share of a label that lies on other classes than the truth has it",
    higher_is_better=False,
)  # fmt: skip
_APART: Final = metric_of_sums(
    _value_terms, mean_of_sums, "mean absolute error of the values, on their scale",
    higher_is_better=False, is_share=False, limits=(0.0, float("inf")),
)  # fmt: skip
_CORR: Final = INTENSITY_METRICS["corr"]

#: What is measured of labels and truth, by kind of target.
TARGET_AGREEMENT: Final[Mapping[TargetKind, Mapping[str, Metric]]] = MappingProxyType(
    {
        TargetKind.CLASS: {
            "misplaced": _MISPLACED,
            "accuracy": CLASS_METRICS["accuracy"],
            "corr": _CORR,
        },
        TargetKind.LABELS: {"mae": _APART, "corr": _CORR},
        TargetKind.INTENSITIES: {"mae": _APART, "corr": _CORR},
        TargetKind.SCORE: {"mae": _APART, "corr": _CORR},
    }
)


def contradicts_target(target: Target, truth: Values, annotated: Values) -> Bool[np.ndarray, " N"]:
    """Return in which clips a modality contradicts the clip; none where its truth is not known.

    Args:
        target: The target.
        truth: What is known of the modality alone; NaN where nothing is.
        annotated: What is annotated of the clips; NaN likewise.
    """
    known = annotated_rows(truth) & annotated_rows(annotated)
    own, of_clip = truth[known], annotated[known]
    if target.kind is TargetKind.SCORE:
        middle = annotated[annotated_rows(annotated)].mean(axis=0)
        differs = (np.sign(own - middle) * np.sign(of_clip - middle) < 0).any(axis=1)
    elif target.kind is TargetKind.LABELS:
        differs = ((own >= PRESENT) != (of_clip >= PRESENT)).any(axis=1)
    else:
        differs = ~(leading_classes(own) & leading_classes(of_clip)).any(axis=1)
    contradicting = np.zeros(len(truth), dtype=bool)
    contradicting[known] = differs
    return contradicting


def evaluate_target_agreement(
    target: Target,
    sources: Mapping[str, Float[np.ndarray, "_ N K"]],
    truth: Values,
    annotated: Values,
    videos: Shaped[np.ndarray, " N"],
    *,
    against: Sequence[str] = (),
    fixed: Collection[str] = (),
) -> dict[str, MetricResults]:
    """Compare labels of one modality, from several sources, with its truth.

    Args:
        target: The target.
        sources: Labels of each source, those of one seed after the other.
        truth: What is known of the modality alone; NaN where nothing is.
        annotated: What is annotated of the clips; NaN where nothing is.
        videos: Video of each clip; whole videos are resampled.
        against: Sources that are subtracted from every other one.
        fixed: Sources without a training.

    Returns:
        For each of ``label_agreement.PARTS`` the metrics of ``TARGET_AGREEMENT``; a part without a
        clip has none.
    """
    parts = {
        "everywhere": annotated_rows(truth) & annotated_rows(annotated),
        "conflicting": contradicts_target(target, truth, annotated),
    }
    metrics = TARGET_AGREEMENT[target.kind]
    return compare_in_parts(sources, truth, parts, metrics, videos, against=against, fixed=fixed)
