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
    order, ends = _order(values)
    drawn = counts[:, order]
    others = _up_to(drawn * ~present[order], ends)
    tied = np.diff(others, axis=1, prepend=0)
    hits = np.diff(_up_to(drawn * present[order], ends), axis=1, prepend=0)
    pairs = (hits * (2 * others - tied)).sum(axis=1) / 2
    return divide(pairs, (hits.sum(axis=1) * others[:, -1]).astype(np.float64))


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
    order, ends = _order(-values)
    drawn = counts[:, order]
    hits = _up_to(drawn * present[order], ends)
    precision = divide(hits.astype(np.float64), _up_to(drawn, ends).astype(np.float64))
    gained = np.diff(hits, axis=1, prepend=0)
    total = np.where(gained > 0, gained * precision, 0.0).sum(axis=1)
    return divide(total, hits[:, -1].astype(np.float64))


def _order(values: Float[np.ndarray, " N"]) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " _"]]:
    """Return the order of rising values, and the last place of each group of equal ones."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    return order, np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(values) - 1)


def _up_to(counts: Int[np.ndarray, "R N"], ends: Int[np.ndarray, " G"]) -> Int[np.ndarray, "R G"]:
    """Return how many clips there are up to the end of each group."""
    added: Int[np.ndarray, "R G"] = np.cumsum(counts, axis=1)[:, ends]
    return added


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
