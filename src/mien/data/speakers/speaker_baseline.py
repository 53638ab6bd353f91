"""A person's own mean and deviation, drawn towards those of the training where little is known."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num

__all__ = ["Baseline", "Moments", "Units", "measure", "share_of", "shrink"]


class Units(NamedTuple):
    """Mean and scale of every feature over train, as the network has them.

    Attributes:
        mean: Mean.
        scale: One by the standard deviation; 0 for a feature that is constant in train.
    """

    mean: Float[np.ndarray, " D"]
    scale: Float[np.ndarray, " D"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """What there is of one modality in each of N clips, or in each of N sets of clips.

    Attributes:
        seconds: How much that is.
        counts: Steps.
        sums: Sum of every feature over the steps, in standard units of train.
        squares: Sum of their squares.
    """

    seconds: Float[np.ndarray, " N"]
    counts: Int[np.ndarray, " N"]
    sums: Float[np.ndarray, "N D"]
    squares: Float[np.ndarray, "N D"]

    def total(self) -> "Moments":
        """Return all of it together, as one set."""
        return Moments(
            seconds=self.seconds.sum(keepdims=True),
            counts=self.counts.sum(keepdims=True),
            sums=self.sums.sum(axis=0, keepdims=True),
            squares=self.squares.sum(axis=0, keepdims=True),
        )


def measure(
    series: Iterable[Num[np.ndarray, "_ D"]], seconds: Iterable[float], units: Units
) -> Moments:
    """Return the moments of every clip; nothing but the features is read.

    Args:
        series: The series of each clip; without a step if the clip does not have the modality.
        seconds: How long each is, which counts for those that have a step.
        units: Of train.
    """
    size = len(units.mean)
    lengths, counts, sums, squares = [], [], [np.zeros((0, size))], [np.zeros((0, size))]
    for values, length in zip(series, seconds, strict=True):
        standard = (values.astype(np.float64) - units.mean) * units.scale
        counts.append(len(values))
        lengths.append(float(length) if len(values) else 0.0)
        sums.append(standard.sum(axis=0, keepdims=True))
        squares.append(np.square(standard).sum(axis=0, keepdims=True))
    return Moments(
        seconds=np.array(lengths, dtype=np.float64),
        counts=np.array(counts, dtype=np.int64),
        sums=np.concatenate(sums),
        squares=np.concatenate(squares),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """How the features of each clip are read: against whom, and how much of it that person's.

    Attributes:
        shares: Share of the person's own moments in those that are used; 0 leaves a clip as it is.
        centres: Value of every feature that is the person's middle.
        gains: Deviation over train by that of the person.
        mean: Mean over train.
    """

    shares: Float[np.ndarray, " N"]
    centres: Float[np.ndarray, "N D"]
    gains: Float[np.ndarray, "N D"]
    mean: Float[np.ndarray, " D"]

    def apply(self, values: Num[np.ndarray, "T D"], row: int) -> Num[np.ndarray, "T D"]:
        """Return the features of a clip as if its person were as people of train are on average.

        In the units of the features: the network standardises them by train, as it always does.
        """
        if not self.shares[row]:
            return values
        read: Num[np.ndarray, "T D"] = (values - self.centres[row]) * self.gains[row] + self.mean
        return read

    def take(self, rows: Int[np.ndarray, " _"]) -> "Baseline":
        """Return that of some of the clips."""
        return Baseline(
            shares=self.shares[rows],
            centres=self.centres[rows],
            gains=self.gains[rows],
            mean=self.mean,
        )


def share_of(seconds: Float[np.ndarray, " N"], half_seconds: float) -> Float[np.ndarray, " N"]:
    """Return the share of a person's own moments, of whom there is so much.

    >>> share_of(np.array([0.0, 20.0, 180.0]), 20.0)
    array([0. , 0.5, 0.9])
    """
    share: Float[np.ndarray, " N"] = seconds / (seconds + half_seconds)
    return share


def shrink(moments: Moments, units: Units, half_seconds: float) -> Baseline:
    """Return what clips are read against, by what there is of their persons.

        w = s / (s + r)
        m = w E[x],   d^2 = w E[x^2] + (1 - w) - m^2
        x' = (x - m) / d

    in standard units of train, whose own mean is 0 and deviation 1: s is how many seconds there are
    of the person, E a mean over the steps of them, and r = ``half_seconds``. Without anything of
    the person w = 0, and x' = x. No label is read.

    Source: reynolds2000, eqs. 12 to 14: the adaptation of one Gaussian's mean and variance, with r
    as relevance factor. Theirs is a number of frames; ours is seconds, since steps follow each
    other faster than they tell anything new.
    """
    weight = share_of(moments.seconds, half_seconds)[:, None] * (moments.counts > 0)[:, None]
    count = np.maximum(moments.counts, 1)[:, None]
    mean = weight * moments.sums / count
    variance = weight * moments.squares / count + (1 - weight) - mean**2
    # of what is constant in train nothing is known, and the network reads nothing of it
    deviation = np.divide(1.0, units.scale, out=np.zeros(len(units.scale)), where=units.scale > 0)
    return Baseline(
        shares=weight[:, 0],
        centres=(units.mean + mean * deviation).astype(np.float32),
        gains=(1 / np.sqrt(variance)).astype(np.float32),
        mean=units.mean.astype(np.float32),
    )
