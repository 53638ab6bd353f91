"""What metrics of targets compare: K values of each clip, checked, and what they name."""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from mien.errors import MetricError
from mien.evaluation.formulas import NothingToCountError

__all__ = [
    "PRESENT",
    "annotated_classes",
    "annotated_rows",
    "check_probabilities",
    "check_shares",
    "check_values",
    "leading_classes",
    "predicted_classes",
]

#: Share of votes, or probability, from which on a label counts as there.
PRESENT: Final = 0.5
#: How far apart shares must be to differ; they are stored in single precision.
_ROUNDING: Final = 1e-6
#: How far from 1 the sum of a clip's shares may lie.
_SUM_ROUNDING: Final = 1e-3


def annotated_rows(truths: Float[np.ndarray, "N *K"]) -> Bool[np.ndarray, " N"]:
    """Return which clips are annotated: those without NaN as their value, or among K values."""
    rows: Bool[np.ndarray, " N"] = ~np.isnan(truths).any(axis=tuple(range(1, truths.ndim)))
    return rows


def check_values(values: Float[np.ndarray, "..."], truths: Float[np.ndarray, "..."]) -> None:
    """Refuse values that cannot be compared with the annotated ones.

    Raises:
        MetricError: If shapes differ or are not (clips, K), there is no clip, or a value is not
            finite.
    """
    if values.ndim != 2 or values.shape != truths.shape or not values.shape[1]:
        raise MetricError(
            f"metrics: values have shape {values.shape!r} and truths {truths.shape!r}, both must "
            "be (clips, K), with K at least 1; a score has K = 1"
        )
    if not len(values):
        raise NothingToCountError("metrics: there is no clip, at least 1 is needed")
    for name, numbers in (("values", values), ("truths", truths)):
        broken = len(numbers) - np.count_nonzero(np.isfinite(numbers).all(axis=1))
        if broken:
            raise MetricError(
                f"metrics: {name} of {broken} of {len(numbers)} clips are not finite, all must be "
                "numbers; leave out clips that are not annotated"
            )


def check_probabilities(values: Float[np.ndarray, "..."], truths: Float[np.ndarray, "..."]) -> None:
    """Refuse what ``check_values`` refuses, and values or truths outside 0 to 1.

    Raises:
        MetricError: If something is refused.
    """
    check_values(values, truths)
    for name, numbers in (("values", values), ("truths", truths)):
        low, high = float(numbers.min()), float(numbers.max())
        if low < 0 or high > 1 + _ROUNDING:
            raise MetricError(
                f"metrics: {name} go from {low:g} to {high:g}, must lie from 0 to 1; turn scores "
                "into probabilities first"
            )


def check_shares(values: Float[np.ndarray, "..."], truths: Float[np.ndarray, "..."]) -> None:
    """Refuse what ``check_probabilities`` refuses, and clips whose K values do not sum to 1.

    Raises:
        MetricError: If something is refused.
    """
    check_probabilities(values, truths)
    for name, numbers in (("values", values), ("truths", truths)):
        sums = numbers.sum(axis=1, dtype=np.float64)
        broken = np.flatnonzero(np.abs(sums - 1) > _SUM_ROUNDING)
        if broken.size:
            raise MetricError(
                f"metrics: {name} of {broken.size} of {len(numbers)} clips do not sum to 1 (clip "
                f"{broken[0]}: {sums[broken[0]]:g}), must be shares of the classes"
            )


def predicted_classes(values: Float[np.ndarray, "N K"]) -> Int[np.ndarray, " N"]:
    """Return the likeliest class of each clip, the first of equal ones."""
    classes: Int[np.ndarray, " N"] = values.argmax(axis=1)
    return classes


def annotated_classes(
    truths: Float[np.ndarray, "N K"],
) -> tuple[Int[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Return the class with the largest share of each clip, and whether no other has as much.

    A clip on whose class the votes tie has no annotated class: metrics that count classes leave it
    out, those of probabilities do not.
    """
    classes = truths.argmax(axis=1)
    if truths.shape[1] == 1:
        return classes, np.ones(len(truths), bool)
    second, first = np.moveaxis(np.partition(truths, -2, axis=1)[:, -2:], 1, 0)
    return classes, first - second > _ROUNDING


def leading_classes(values: Float[np.ndarray, "N K"]) -> Bool[np.ndarray, "N K"]:
    """Return which classes of each clip have its largest value: several where they tie."""
    leading: Bool[np.ndarray, "N K"] = values >= values.max(axis=1, keepdims=True) - _ROUNDING
    return leading
