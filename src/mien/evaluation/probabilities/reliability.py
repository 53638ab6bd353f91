"""Whether what is predicted with 80 % is so in 80 %: reliability curves and their gap."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from mien.errors import MetricError
from mien.evaluation.target_metrics.target_values import (
    annotated_rows,
    check_probabilities,
    check_shares,
    predicted_classes,
)

__all__ = [
    "NUM_BINS",
    "Reliability",
    "ReliabilityBin",
    "class_reliability",
    "label_reliability",
    "reliability",
]

#: Bins of equal width, as in guo2017.
NUM_BINS: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """The clips whose probability lies in a range.

    Attributes:
        low: Lower end, which belongs to the bin below; 0 belongs to the first.
        high: Upper end, which belongs to the bin.
        num_clips: How many there are.
        predicted: Their mean probability; NaN without a clip.
        observed: The share of them, or of their votes, that is so; NaN without a clip.
    """

    low: float
    high: float
    num_clips: int
    predicted: float
    observed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """A reliability curve.

    Attributes:
        bins: From the least probability to the largest; empty ones too.
        ece: Expected calibration error: the mean over clips of the distance between what was
            predicted and what was observed in their bin; NaN without a clip. It is never quite 0,
            and the larger the fewer clips there are.
        highest: The largest of these distances.
    """

    bins: tuple[ReliabilityBin, ...]
    ece: float
    highest: float

    @property
    def num_clips(self) -> int:
        """Clips in all bins."""
        return sum(each.num_clips for each in self.bins)


def reliability(
    predicted: Float[np.ndarray, " N"], observed: Float[np.ndarray, " N"], num_bins: int = NUM_BINS
) -> Reliability:
    """Return the reliability curve of probabilities, in bins of equal width.

    Source: guo2017, eq. 3 and 5.

    Args:
        predicted: Probability that something is so.
        observed: 1 where it is, 0 where it is not, or the share of votes that it is.
        num_bins: Number of bins from 0 to 1.

    Raises:
        MetricError: If there is no bin.
    """
    if num_bins < 1:
        raise MetricError(f"reliability: number of bins is {num_bins!r}, must be at least 1")
    ends = np.arange(num_bins + 1) / num_bins
    places = np.searchsorted(ends[1:-1], predicted, side="left")
    counts, likely, true = (
        np.bincount(places, weights=weights, minlength=num_bins)
        for weights in (None, predicted, observed)
    )
    gaps = np.abs(likely - true)
    has = counts > 0
    return Reliability(
        bins=tuple(
            ReliabilityBin(
                low=float(ends[number]),
                high=float(ends[number + 1]),
                num_clips=int(count),
                predicted=float(likely[number] / count) if count else math.nan,
                observed=float(true[number] / count) if count else math.nan,
            )
            for number, count in enumerate(counts.tolist())
        ),
        ece=float(gaps.sum() / counts.sum()) if has.any() else math.nan,
        highest=float((gaps[has] / counts[has]).max()) if has.any() else math.nan,
    )


def class_reliability(
    values: Float[np.ndarray, "N K"], truths: Float[np.ndarray, "N K"], num_bins: int = NUM_BINS
) -> Reliability:
    """Return how the probability of the likeliest class compares with its share of votes.

    Args:
        values: Probabilities of classes.
        truths: Shares of votes; NaN where a clip is not annotated.
        num_bins: Number of bins.

    Raises:
        MetricError: If shapes differ, or a clip's values are not shares.
    """
    rows = annotated_rows(truths)
    values, truths = values[rows], truths[rows]
    if len(values):
        check_shares(values, truths)
    places = np.arange(len(values)), predicted_classes(values)
    return reliability(values[places], truths[places], num_bins)


def label_reliability(
    values: Float[np.ndarray, "N K"], truths: Float[np.ndarray, "N K"], num_bins: int = NUM_BINS
) -> Reliability:
    """Return how the probabilities of all labels compare with how often they are there.

    Give one column, ``(N, 1)``, for the curve of a single label. ``num_clips`` counts a clip once
    for each label.

    Args:
        values: Probabilities of labels.
        truths: Which are there; NaN where a clip is not annotated.
        num_bins: Number of bins.

    Raises:
        MetricError: If shapes differ, or a value lies outside 0 to 1.
    """
    rows = annotated_rows(truths)
    values, truths = values[rows], truths[rows]
    if len(values):
        check_probabilities(values, truths)
    return reliability(values.ravel(), truths.ravel(), num_bins)
