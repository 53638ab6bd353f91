"""Metrics of what a corpus has annotated besides sentiment: classes, labels, intensities, scores.

``target_table`` has them by kind and name and evaluates a target; ``class_metrics`` are those of
one class of K, ``label_metrics`` of any of K labels, ``scale_metrics`` of scores and intensities.
``confusion`` counts which classes are taken for which. ``target_values`` reads and checks K values
of each clip, ``column_metrics`` takes metrics of one of them or the mean of all, and ``ranking``
has what depends on their order. ``target_agreement`` compares generated labels with the truth.
"""

from mien.evaluation.target_metrics.confusion import count_confusion, share_rows
from mien.evaluation.target_metrics.target_table import (
    TARGET_METRICS,
    ClassResults,
    evaluate_classes,
    evaluate_target,
    metrics_of_class,
)

__all__ = [
    "TARGET_METRICS",
    "ClassResults",
    "count_confusion",
    "evaluate_classes",
    "evaluate_target",
    "metrics_of_class",
    "share_rows",
]
