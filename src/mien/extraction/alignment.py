"""Features brought to other steps: pooled over several, to a fixed rate, or over words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Int

from mien.errors import ConfigError
from mien.extraction.extractors import Features
from mien.types import Word

__all__ = ["Pooling", "align_to_words", "pool", "read_pooling"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooling:
    """How the steps of a series are joined.

    Attributes:
        kind: ``steps``: every so many steps that follow each other become one. ``rate``: the steps
            of each of so many equal parts of a second become one.
        amount: Steps, or parts of a second.
    """

    kind: Literal["steps", "rate"]
    amount: float | int

    def __str__(self) -> str:
        """Return what is done, as a store says it."""
        if self.kind == "steps":
            return f"mean over {self.amount:g} steps"
        return f"mean at {self.amount:g} a second"

    def step_seconds(self, before: float | None) -> float | None:
        """Return the time from one step to the next after pooling."""
        if self.kind == "rate":
            return 1 / self.amount
        return None if before is None else before * self.amount


def read_pooling(kind: Literal["steps", "rate"], text: str) -> Pooling:
    """Read how much is pooled.

    Raises:
        ConfigError: If it is no positive number, or no whole number of steps.
    """
    try:
        amount = float(text)
    except ValueError:
        amount = float("nan")
    if kind == "steps" and not (amount >= 1 and amount == int(amount)):
        raise ConfigError(f"--pool {text!r}: must be a whole number of steps, for example 5")
    if kind == "rate" and not 0 < amount <= 1000:
        raise ConfigError(f"--rate {text!r}: must be steps a second up to 1000, for example 10")
    return Pooling(kind=kind, amount=amount)


def pool(features: Features, pooling: Pooling) -> Features:
    """Join steps by their mean.

    With ``steps``, the last group may be smaller; it is kept, as in the field. Groups are made of
    the steps that are there: where frames are absent a group spans more time. With ``rate``, part k
    goes from ``k / rate`` to ``(k + 1) / rate`` seconds and its time is its middle; a part without
    a step is absent.
    """
    count = len(features.times)
    if not count:
        return features
    if pooling.kind == "steps":
        groups = np.arange(count) // int(pooling.amount)
        times = _means(features.times[:, None], groups)[:, 0]
    else:
        groups = np.floor(features.times * pooling.amount + 1e-9).astype(np.int64)
        times = (np.unique(groups) + 0.5) / pooling.amount
    values = _means(features.values, groups).astype(np.float32)
    return Features(values=values, times=times, notes=features.notes)


def _means(
    values: Float[np.ndarray, "T D"], groups: Int[np.ndarray, " T"]
) -> Float[np.ndarray, "_ D"]:
    """Return the mean of each group; groups are numbered in ascending order."""
    starts = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1))
    sums = np.add.reduceat(values.astype(np.float64), starts, axis=0)
    lengths = np.diff(np.append(starts, len(groups)))
    return sums / lengths[:, None]


def align_to_words(features: Features, words: Sequence[Word]) -> Features:
    """Return one step per word: the mean of the steps whose centre lies within the word's span.

    A word too short to hold a step, or during which there is none, gets the step nearest to its
    middle: every series then has as many steps as words, and no made-up zeros. ``notes`` counts
    such words. A clip without any step still has none.
    """
    times = features.times
    if not len(times) or not words:
        empty: Float32[np.ndarray, "0 D"] = features.values[:0]
        return Features(values=empty, times=times[:0], notes=features.notes)
    values = np.empty((len(words), features.values.shape[1]), np.float32)
    middles = np.maximum.accumulate([(word.start + word.end) / 2 for word in words])
    num_empty = 0
    for number, word in enumerate(words):
        first, stop = np.searchsorted(times, [word.start, word.end])
        if first == stop:
            num_empty += 1
            first = int(np.abs(times - middles[number]).argmin())
            stop = first + 1
        values[number] = features.values[first:stop].mean(axis=0, dtype=np.float64)
    notes = features.notes | {"words_without_steps": num_empty}
    return Features(values=values, times=middles, notes=notes)
