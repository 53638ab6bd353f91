"""Which classes are taken for which: counts, and shares of the clips of each class."""

import numpy as np
from jaxtyping import Float, Int

from mien.evaluation.formulas import divide
from mien.evaluation.target_metrics.target_values import (
    annotated_classes,
    annotated_rows,
    check_shares,
    predicted_classes,
)

__all__ = ["count_confusion", "share_rows"]


def count_confusion(
    values: Float[np.ndarray, "N K"], truths: Float[np.ndarray, "N K"]
) -> Int[np.ndarray, "K K"]:
    """Return how many clips of each class, in rows, are predicted to be of each, in columns.

    Clips that are not annotated, or on whose class the votes tie, are left out.

    Args:
        values: Probabilities of the classes.
        truths: Shares of votes; NaN where a clip is not annotated.

    Raises:
        MetricError: If shapes differ, or a clip's values are not shares.
    """
    rows = annotated_rows(truths)
    values, truths = values[rows], truths[rows]
    size = truths.shape[1]
    if not len(truths):
        return np.zeros((size, size), np.int64)
    check_shares(values, truths)
    annotated, is_clear = annotated_classes(truths)
    cells = annotated[is_clear] * size + predicted_classes(values)[is_clear]
    return np.bincount(cells, minlength=size * size).reshape(size, size)


def share_rows(counts: Int[np.ndarray, "K K"]) -> Float[np.ndarray, "K K"]:
    """Return the confusion as shares of the clips of each class; NaN for a class without clips.

    >>> share_rows(np.array([[3, 1], [0, 2]]))
    array([[0.75, 0.25],
           [0.  , 1.  ]])
    """
    totals = np.broadcast_to(counts.sum(axis=1, keepdims=True), counts.shape)
    return divide(counts.astype(np.float64), totals.astype(np.float64))
