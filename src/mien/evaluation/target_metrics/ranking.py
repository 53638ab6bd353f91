"""Metrics of the order of values, also of every resample at once: Spearman, AUROC, mean precision.

A resample is given by how often each clip is in it, so that values are sorted only once.
"""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from mien.evaluation.formulas import Scores, check_scores, corr, divide
from mien.evaluation.metrics import Metric

__all__ = ["SPEARMAN", "auroc_of_counts", "average_precision_of_counts"]


def auroc_of_counts(
    values: Float[np.ndarray, " N"],
    present: Bool[np.ndarray, " N"],
    counts: Int[np.ndarray, "R N"],
) -> Float[np.ndarray, " R"]:
    """Return the area under the ROC curve of every resample; NaN without clips of both kinds.

    It is the chance that a clip in which the label is there has the larger value than a clip in
    which it is not, where a tie counts half.

    Source: hanley1982.

    Args:
        values: What ranks the clips.
        present: Whether the label is there.
        counts: How often each clip is in each resample.
    """
    order, starts, ends = _order(values)
    at = np.flatnonzero(present[order])
    drawn = counts[:, order]
    up_to = np.concatenate([np.zeros_like(drawn[:, :1]), np.cumsum(drawn, axis=1)], axis=1)
    hits = drawn[:, at]
    num = hits.sum(axis=1)
    twice_ranks = up_to[:, starts[at]] + up_to[:, ends[at]] + 1  # equal values share their mean
    twice_pairs = (hits * twice_ranks).sum(axis=1) - num * (num + 1)
    return divide(twice_pairs / 2, (num * (up_to[:, -1] - num)).astype(np.float64))


def average_precision_of_counts(
    values: Float[np.ndarray, " N"],
    present: Bool[np.ndarray, " N"],
    counts: Int[np.ndarray, "R N"],
) -> Float[np.ndarray, " R"]:
    """Return the average precision of every resample; NaN where the label is never there.

        AP = sum over n of (R_n - R_(n-1)) P_n

    P_n and R_n are precision and recall of the clips with one of the n largest values.

    Args:
        values: What ranks the clips.
        present: Whether the label is there.
        counts: How often each clip is in each resample.
    """
    order, _, ends = _order(-values)
    at = np.flatnonzero(present[order])
    drawn = counts[:, order]
    if not at.size:
        return np.full(len(counts), np.nan)
    clips = np.cumsum(drawn, axis=1)[:, ends[at] - 1]
    hits = drawn[:, at]
    of_label = np.cumsum(hits, axis=1)[:, np.searchsorted(at, ends[at]) - 1]
    precision = divide(of_label.astype(np.float64), clips.astype(np.float64))
    total = np.where(hits > 0, hits * precision, 0.0).sum(axis=1)
    return divide(total, hits.sum(axis=1).astype(np.float64))


def _order(
    values: Float[np.ndarray, " N"],
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
    """Return the order of rising values, and where those equal to each of them begin and end."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts, ends = (np.searchsorted(ordered, ordered, side) for side in ("left", "right"))
    return order, starts, ends


def _spearman(scores: Scores, targets: Scores) -> float:
    check_scores(scores, targets)
    once = np.ones((1, len(targets)), np.int64)
    return corr(_ranks_of_counts(scores, once)[0], _ranks_of_counts(targets, once)[0])


def _spearman_of_counts(
    scores: Scores, targets: Scores, counts: Int[np.ndarray, "R N"]
) -> Float[np.ndarray, " R"]:
    """Return the rank correlation of every resample, whose clips are ranked again."""
    x, y = _ranks_of_counts(scores, counts), _ranks_of_counts(targets, counts)
    num = counts.sum(axis=1, keepdims=True)
    x -= (counts * x).sum(axis=1, keepdims=True) / num
    y -= (counts * y).sum(axis=1, keepdims=True) / num
    xx, yy, xy = ((counts * a * b).sum(axis=1) for a, b in ((x, x), (y, y), (x, y)))
    return divide(xy, np.sqrt(xx * yy)).clip(-1.0, 1.0)


def _ranks_of_counts(values: Scores, counts: Int[np.ndarray, "R N"]) -> Float[np.ndarray, "R N"]:
    """Return the rank of each value among those drawn; of no meaning for a value that is not."""
    _, starts, where = np.unique(
        np.sort(values, kind="stable"), return_index=True, return_inverse=True
    )
    order = np.argsort(values, kind="stable")
    drawn = np.add.reduceat(counts[:, order], starts, axis=1)
    ranks = np.empty(counts.shape)
    ranks[:, order] = (np.cumsum(drawn, axis=1) - (drawn - 1) / 2)[:, where]
    return ranks


#: Of scores and targets.
SPEARMAN: Final = Metric(
    function=_spearman,
    higher_is_better=True,
    is_share=False,
    description="correlation of ranks, equal values sharing the mean of theirs",
    weighted=_spearman_of_counts,
    limits=(-1.0, 1.0),
)
