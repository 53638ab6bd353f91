"""Clips that one model gets and another does not.

A model gets a clip if the mean of its seeds' predictions has the annotated sign or, of classes, is
the largest for the annotated class. Clips annotated exactly 0, and those on whose class the votes
tie, are left out.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from mien.evaluation.target_metrics.target_values import annotated_classes
from mien.reports.target_results.compared_scores import SeedScores

__all__ = ["MOST_CLIPS", "ClipContrast", "contrast_clips"]

#: Clips that are listed of those that only one of two models gets.
MOST_CLIPS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipContrast:
    """Which clips two models get.

    Attributes:
        both: Clips that both get.
        neither: Clips that neither gets.
        only_first: Rows of the clips that only the first one gets; where it does most better first.
        only_second: The same of the second.
    """

    both: int
    neither: int
    only_first: Int[np.ndarray, " _"]
    only_second: Int[np.ndarray, " _"]


def contrast_clips(first: SeedScores, second: SeedScores) -> ClipContrast:
    """Compare two models clip by clip.

    Args:
        first: Scores ``(S, N)``, or probabilities of classes ``(S, N, K)``.
        second: The same of the other model, on the same clips.
    """
    truths = first.targets
    of_classes = truths.ndim > 1
    measure = _measure_classes if of_classes else _measure_scores
    counts = annotated_classes(truths)[1] if of_classes else truths != 0
    (gets, worth), (other_gets, other_worth) = (
        measure(run.scores.mean(axis=0), truths) for run in (first, second)
    )
    lead = worth - other_worth
    return ClipContrast(
        both=int((counts & gets & other_gets).sum()),
        neither=int((counts & ~gets & ~other_gets).sum()),
        only_first=_order(counts & gets & ~other_gets, lead),
        only_second=_order(counts & ~gets & other_gets, -lead),
    )


def _measure_scores(
    scores: Float[np.ndarray, " N"], truths: Float[np.ndarray, " N"]
) -> tuple[Bool[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Return which clips have the annotated sign, and how near their scores are."""
    return np.sign(scores) == np.sign(truths), -np.abs(scores - truths)


def _measure_classes(
    values: Float[np.ndarray, "N K"], truths: Float[np.ndarray, "N K"]
) -> tuple[Bool[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Return in which clips the annotated class is the likeliest, and its probability."""
    classes, _ = annotated_classes(truths)
    return values.argmax(axis=1) == classes, values[np.arange(len(values)), classes]


def _order(rows: Bool[np.ndarray, " N"], lead: Float[np.ndarray, " N"]) -> Int[np.ndarray, " _"]:
    places = np.flatnonzero(rows)
    ordered: Int[np.ndarray, " _"] = places[np.argsort(-lead[places], kind="stable")]
    return ordered
