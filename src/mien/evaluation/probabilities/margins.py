"""Which classes cannot be ruled out: sets that hold the annotated class as often as promised.

A class is in the set of a clip if its probability is not too far below that of the likeliest:

    log p_max - log p_k <= margin_k

and the margins come from clips that the training has not seen, by split conformal prediction. The
likeliest class is always in the set, so that none is empty. A set of one class says that the
others are told apart from it.

The score was chosen among those for which the promise holds, which are all. Sets by a bound on p
(LAC, sadinle2019) are empty where nothing is likely; filled up with the likeliest class they would
call the most doubtful clips clear. Sets by the sum of p (APS, romano2020) grow with the many small
probabilities of many classes. Sets by this ratio are about as small as the former, and do not
depend on a temperature, so that one may be fitted on the same clips.

Margins are those of the clips of a class alone (Mondrian, vovk2005), so that the promise holds for
each class: one that the model cannot recognise has a wide margin and is in most sets. Classes with
few clips share a margin.

Clips of one person are alike. Where there are enough people, each counts as one, and the promise
is for a clip of a person who is not among them (lee2023); else it is for further clips of the
same people.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from mien.evaluation.probabilities.temperature import SMALLEST
from mien.evaluation.target_metrics.target_values import (
    annotated_classes,
    annotated_rows,
    check_shares,
)

__all__ = ["FEWEST_OF_CLASS", "Margins", "class_sets", "conformal_quantile", "measure_margins"]

#: Clips that a class needs for a margin of its own.
FEWEST_OF_CLASS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """How far below the likeliest class each class may lie, in logarithms of probabilities.

    Attributes:
        margins: Of every class; infinite where there were too few clips to tell, so that the class
            is in every set.
        num_clips: Clips of each class.
        num_speakers: People whose clips they are, each of whom counts as one; None if every clip
            counts for itself.
    """

    margins: Float[np.ndarray, " K"]
    num_clips: Int[np.ndarray, " K"]
    num_speakers: int | None


def conformal_quantile(
    scores: Float[np.ndarray, " N"], level: float, groups: Shaped[np.ndarray, " N"] | None = None
) -> float:
    """Return the bound that a new clip's score keeps with a chance of at least ``level``.

    It is the least score q with

        sum over groups g of (share of g's scores that are <= q) / (G + 1) >= level

    and infinite if there is none. Without groups every clip is its own, and q is the ceil((N + 1)
    level)-th smallest score. With groups, the new clip is of a new group.

    Source: lei2018; lee2023 for groups.

    Args:
        scores: Scores of clips that the training has not seen.
        level: The chance.
        groups: Who speaks in each clip.

    >>> conformal_quantile(np.array([0.4, 0.1, 0.3, 0.2]), 0.8)
    0.4
    >>> conformal_quantile(np.array([0.4, 0.1, 0.3, 0.2]), 0.4, np.array(["a", "a", "b", "b"]))
    0.3
    """
    if not len(scores):
        return math.inf
    order = np.argsort(scores, kind="stable")
    if groups is None:
        rank = math.ceil((len(scores) + 1) * level - 1e-9)
        return math.inf if rank > len(scores) else float(scores[order[max(rank, 1) - 1]])
    _, places, counts = np.unique(groups, return_inverse=True, return_counts=True)
    shares = np.cumsum((1 / counts)[places][order]) / (len(counts) + 1)
    rank = int(np.searchsorted(shares, level - 1e-9))
    return math.inf if rank == len(scores) else float(scores[order[rank]])


def measure_margins(
    values: Float[np.ndarray, "N K"],
    truths: Float[np.ndarray, "N K"],
    level: float,
    speakers: Shaped[np.ndarray, " N"] | None = None,
) -> Margins:
    """Return the margins with which sets hold the annotated class with a chance of ``level``.

    A class with few clips shares a margin with the other such classes and, while these have too
    few together, with the next rarer ones. Few are less than ``FEWEST_OF_CLASS``, or than twice as
    many as the level needs for any bound, which are 9 at 0.9.

    Args:
        values: Probabilities of classes.
        truths: Shares of votes; NaN where a clip is not annotated. Clips on which votes tie have no
            annotated class and are left out.
        level: Share of clips of each class in whose set it should be.
        speakers: Who speaks in each clip. Every person counts as one if there are as many as the
            level needs; else every clip counts for itself.

    Raises:
        MetricError: If shapes differ, or a clip's values are not shares.
    """
    rows = annotated_rows(truths)
    if rows.any():
        check_shares(values[rows], truths[rows])
        rows[rows] = annotated_classes(truths[rows])[1]
    values, size = values[rows], truths.shape[1]
    classes = truths[rows].argmax(axis=1)
    scores = _distances(values)[np.arange(len(values)), classes]
    least = math.ceil(level / (1 - level) - 1e-9)
    groups = None if speakers is None else speakers[rows]
    if groups is not None and len(np.unique(groups)) < least:
        groups = None

    def has_enough(part: Sequence[int]) -> bool:
        member = np.isin(classes, part)
        if member.sum() < max(FEWEST_OF_CLASS, 2 * least):
            return False
        return groups is None or len(np.unique(groups[member])) >= least

    num_clips = np.bincount(classes, minlength=size)
    parts = _share_margins(np.argsort(num_clips, kind="stable").tolist(), has_enough)
    margins = np.full(size, math.inf)
    for part in parts:
        member = np.isin(classes, part)
        own = None if groups is None else groups[member]
        margins[part] = conformal_quantile(scores[member], level, own)
    return Margins(
        margins=margins,
        num_clips=num_clips,
        num_speakers=None if groups is None else len(np.unique(groups)),
    )


def class_sets(
    values: Float[np.ndarray, "*B K"], margins: Float[np.ndarray, " K"]
) -> Bool[np.ndarray, "*B K"]:
    """Return which classes are in the set of each clip; at least the likeliest is.

    >>> class_sets(np.array([0.6, 0.3, 0.1]), np.log([3.0, 3.0, 3.0]))
    array([ True,  True, False])
    """
    return _distances(values) <= margins


def _distances(values: Float[np.ndarray, "*B K"]) -> Float[np.ndarray, "*B K"]:
    """How far each class lies below the likeliest one, in logarithms."""
    logs = np.log(values.astype(np.float64).clip(SMALLEST, 1.0))
    distances: Float[np.ndarray, "*B K"] = logs.max(axis=-1, keepdims=True) - logs
    return distances


def _share_margins(
    classes: Sequence[int], has_enough: Callable[[Sequence[int]], bool]
) -> list[list[int]]:
    """Return the classes that share a margin: each common one alone, all rare ones together.

    Args:
        classes: The rarest first.
        has_enough: Whether classes have enough clips for a margin.
    """
    rare = [index for index in classes if not has_enough([index])]
    common = [index for index in classes if index not in rare]
    while rare and common and not has_enough(rare):
        rare.append(common.pop(0))
    return [*([rare] if rare else []), *([index] for index in common)]
