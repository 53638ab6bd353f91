"""How well scores agree with annotations: plain functions of two NumPy arrays, unrounded.

A formula that has no clip to count raises ``MetricError``; ``metrics`` makes NaN of that. No
function rounds or turns a share into percent.

A metric that follows from sums over clips is written twice over: what one clip adds to each sum
(``..._terms``, ``..._hits``), and how the sums become the metric. Resampled clips then cost one
product of matrices.
"""

import math
from collections.abc import Callable
from typing import Final, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float

from mien.errors import MetricError

__all__ = [
    "Neutral",
    "NothingToCountError",
    "Scores",
    "Values",
    "check_scores",
    "class_accuracy",
    "class_hits",
    "confusion_terms",
    "corr",
    "corr_of_moments",
    "divide",
    "error_terms",
    "interval_accuracy",
    "interval_hits",
    "mae",
    "mean_of_sums",
    "moment_terms",
    "polarity_accuracy",
    "polarity_f1",
    "polarity_hits",
    "weighted_f1",
]

Scores = Float[np.ndarray, " N"]
#: What a metric compares: a score of each clip, or K values of each.
Values = Float[np.ndarray, "N *K"]

#: What is done with a clip annotated exactly 0: it counts with the positive clips (has0 on MOSI and
#: MOSEI), with the negative ones (CH-SIMS), or not at all (non0).
Neutral = Literal["positive", "negative", "excluded"]

#: A variance below this share of the mean square is rounding: the values are all the same.
_ROUNDING: Final = 1e-10


class NothingToCountError(MetricError):
    """No clip is left to count, so that the metric is undefined."""


def mae(scores: Scores, targets: Scores) -> float:
    """Mean absolute error, on the scale of the annotations, summed in float64.

    Raises:
        MetricError: If there is no clip, or a value is not finite.

    >>> mae(np.array([0.5, -1.0]), np.array([1.0, 1.0]))
    1.25
    """
    check_scores(scores, targets)
    return float(_absolute_errors(scores, targets).mean())


def corr(scores: Scores, targets: Scores) -> float:
    """Correlation coefficient of Pearson, -1 to 1; NaN if the scores or the targets are constant.

    Raises:
        MetricError: If there is no clip, or a value is not finite.
    """
    check_scores(scores, targets)
    x, y = _centre(scores), _centre(targets)
    if not (x.any() and y.any()):
        return math.nan
    return float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1.0, 1.0))


def polarity_accuracy(scores: Scores, targets: Scores, *, neutral: Neutral) -> float:
    """Share of clips whose predicted polarity is the annotated one.

    The literature reports several readings of a clip annotated exactly 0 under the one name Acc-2:
    ``"positive"`` counts it with the positive clips (has0), ``"excluded"`` drops it (non0), and
    ``"negative"`` counts it with the negative ones (CH-SIMS). A score of exactly 0 is read in the
    same way, and as negative where annotated zeros are dropped.

    Args:
        scores: Predicted scores.
        targets: Annotated scores.
        neutral: What to do with clips annotated exactly 0.

    Raises:
        MetricError: If no clip is left to count, or a value is not finite.

    >>> polarity_accuracy(
    ...     np.array([0.4, -1.2, 0.1]), np.array([1.0, -0.6, -0.2]), neutral="positive"
    ... )
    0.6666666666666666
    """
    return _total(mean_of_sums, polarity_hits(scores, targets, neutral))


def polarity_f1(scores: Scores, targets: Scores, *, neutral: Neutral) -> float:
    """F1 of the positive and of the negative class, weighted by their numbers of annotated clips.

        F1_c = 2 TP_c / (2 TP_c + FP_c + FN_c),    F1 = sum over c of N_c F1_c / N

    The weights come from the annotation. Swapping the arguments is a known error in the field; it
    weights by what was predicted, and gives another number.

    Args:
        scores: Predicted scores.
        targets: Annotated scores.
        neutral: What to do with clips annotated exactly 0, as in ``polarity_accuracy``.

    Raises:
        MetricError: If no clip is left to count, or a value is not finite.
    """
    return _total(weighted_f1, confusion_terms(scores, targets, neutral))


def class_accuracy(scores: Scores, targets: Scores, *, bound: int) -> float:
    """Share of clips with equal classes after clipping to -bound..bound and rounding.

    Halves are rounded to the even neighbour, as NumPy and the field's programs do: 0.5 is class 0
    and 1.5 is class 2. Acc-7 has bound 3, Acc-5 has bound 2.

    Raises:
        MetricError: If there is no clip, or a value is not finite.
    """
    return _total(mean_of_sums, class_hits(scores, targets, bound))


def interval_accuracy(scores: Scores, targets: Scores, *, cuts: tuple[float, ...]) -> float:
    """Share of clips whose score and target lie between the same two cuts.

    A value equal to a cut belongs to the class below it. Values and cuts are compared in float32,
    in which the published annotations are stored: there 0.1 is the cut 0.1 and not above it.

    Args:
        scores: Predicted scores.
        targets: Annotated scores.
        cuts: Ends between neighbouring classes, ascending.

    Raises:
        MetricError: If there is no clip, or a value is not finite.
    """
    return _total(mean_of_sums, interval_hits(scores, targets, cuts))


def check_scores(scores: Float[np.ndarray, "..."], targets: Float[np.ndarray, "..."]) -> None:
    """Refuse what cannot be compared.

    Raises:
        MetricError: If shapes differ, there is no clip, or a value is not finite.
    """
    if scores.ndim != 1 or scores.shape != targets.shape:
        raise MetricError(
            f"metrics: scores have shape {scores.shape!r} and targets {targets.shape!r}, both must "
            "be (clips,); drop axes of length 1"
        )
    if not scores.size:
        raise NothingToCountError("metrics: there is no clip, at least 1 is needed")
    for name, values in (("scores", scores), ("targets", targets)):
        broken = values.size - np.count_nonzero(np.isfinite(values))
        if broken:
            raise MetricError(
                f"metrics: {broken} of {values.size} {name} are not finite, all must be numbers; "
                "check whether the training diverged"
            )


def _absolute_errors(scores: Scores, targets: Scores) -> Float[np.ndarray, " N"]:
    errors: Float[np.ndarray, " N"] = np.abs(np.subtract(scores, targets, dtype=np.float64))
    return errors


def _centre(values: Scores) -> Float[np.ndarray, " N"]:
    """Deviations from the mean, the largest of them 1; exactly 0 if the values are all the same."""
    if values.min() == values.max():
        return np.zeros(len(values))
    centred = values.astype(np.float64)
    centred -= centred.mean()
    centred /= np.abs(centred).max()
    return centred


def _read_polarities(
    scores: Scores, targets: Scores, neutral: Neutral
) -> tuple[Bool[np.ndarray, " N"], Bool[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Is the score positive, is the target positive, does the clip count."""
    check_scores(scores, targets)
    if neutral not in get_args(Neutral):
        raise ValueError(f"neutral is {neutral!r}, must be one of {', '.join(get_args(Neutral))}")
    if neutral == "positive":
        return scores >= 0, targets >= 0, np.ones(len(targets), bool)
    counts = targets != 0 if neutral == "excluded" else np.ones(len(targets), bool)
    if not counts.any():
        raise NothingToCountError(
            f"metrics: all {len(targets)} targets are 0, a polarity is needed; "
            "use a reading that counts zeros"
        )
    return scores > 0, targets > 0, counts


def _with_count(
    values: Float[np.ndarray, " N"] | Bool[np.ndarray, " N"], counts: Bool[np.ndarray, " N"]
) -> Float[np.ndarray, "N 2"]:
    return np.stack([values * counts, counts], axis=1, dtype=np.float64)


def error_terms(scores: Scores, targets: Scores) -> Float[np.ndarray, "N 2"]:
    """What each clip adds to the sum of absolute errors, and to the number of clips."""
    check_scores(scores, targets)
    return _with_count(_absolute_errors(scores, targets), np.ones(len(scores), bool))


def polarity_hits(scores: Scores, targets: Scores, neutral: Neutral) -> Float[np.ndarray, "N 2"]:
    """Whether each clip has the annotated polarity, and whether it counts."""
    predicted, annotated, counts = _read_polarities(scores, targets, neutral)
    return _with_count(predicted == annotated, counts)


def class_hits(scores: Scores, targets: Scores, bound: int) -> Float[np.ndarray, "N 2"]:
    """Whether each clip has the annotated class after rounding; each counts."""
    check_scores(scores, targets)
    predicted, annotated = (np.rint(np.clip(v, -bound, bound)) for v in (scores, targets))
    return _with_count(predicted == annotated, np.ones(len(scores), bool))


def interval_hits(
    scores: Scores, targets: Scores, cuts: tuple[float, ...]
) -> Float[np.ndarray, "N 2"]:
    """Whether each clip lies between the same cuts as its annotation; each counts."""
    check_scores(scores, targets)
    ends = np.asarray(cuts, np.float32)
    predicted, annotated = (np.searchsorted(ends, v.astype(np.float32)) for v in (scores, targets))
    return _with_count(predicted == annotated, np.ones(len(scores), bool))


def _total(
    combine: Callable[[Float[np.ndarray, "1 _"]], Float[np.ndarray, "1"]],
    terms: Float[np.ndarray, "N _"],
) -> float:
    return float(combine(terms.sum(axis=0, keepdims=True))[0])


def mean_of_sums(sums: Float[np.ndarray, "*B 2"]) -> Float[np.ndarray, "*B"]:
    """Return a mean from the sum of values and their number."""
    return divide(sums[..., 0], sums[..., 1])


def confusion_terms(scores: Scores, targets: Scores, neutral: Neutral) -> Float[np.ndarray, "N 4"]:
    """Clips that are truly positive, falsely positive, falsely negative, truly negative."""
    predicted, annotated, counts = _read_polarities(scores, targets, neutral)
    cells = [
        predicted & annotated,
        predicted & ~annotated,
        ~predicted & annotated,
        ~predicted & ~annotated,
    ]
    return np.stack([cell & counts for cell in cells], axis=1).astype(np.float64)


def weighted_f1(sums: Float[np.ndarray, "*B 4"]) -> Float[np.ndarray, "*B"]:
    """Return ``polarity_f1`` from the numbers of clips in the four cells of the confusion."""
    hits, false_positive, false_negative, rejections = np.moveaxis(sums, -1, 0)
    total = np.zeros(sums.shape[:-1])
    for true, support in (
        (hits, hits + false_negative),
        (rejections, rejections + false_positive),
    ):
        f1 = divide(2 * true, 2 * true + false_positive + false_negative)
        total = total + np.where(support > 0, support * f1, 0.0)
    return divide(total, sums.sum(axis=-1))


def moment_terms(scores: Scores, targets: Scores) -> Float[np.ndarray, "N 6"]:
    """Terms of the moments that make a correlation, moved and scaled so that they cancel well."""
    check_scores(scores, targets)
    x, y = _scale_down(scores), _scale_down(targets)
    return np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=1)


def _scale_down(values: Scores) -> Float[np.ndarray, " N"]:
    moved = values.astype(np.float64)
    moved -= np.median(moved)
    return moved / (np.abs(moved).max() or 1.0)


def corr_of_moments(sums: Float[np.ndarray, "*B 6"]) -> Float[np.ndarray, "*B"]:
    """Return a correlation from the sums of ``moment_terms``; NaN where a side is constant."""
    count, *rest = np.moveaxis(sums, -1, 0)
    x, y, xx, yy, xy = (divide(moment, count) for moment in rest)
    spread_x, spread_y = xx - x * x, yy - y * y
    is_constant = (spread_x <= _ROUNDING * xx) | (spread_y <= _ROUNDING * yy)
    norm = np.sqrt(np.where(is_constant, 0.0, spread_x * spread_y))
    result = divide(xy - x * y, norm)
    return result.clip(-1.0, 1.0)


def divide(
    above: Float[np.ndarray, "*B"], below: Float[np.ndarray, "*B"]
) -> Float[np.ndarray, "*B"]:
    """Divide, with NaN where the divisor is 0."""
    quotient = np.full(below.shape, np.nan)
    np.divide(above, below, out=quotient, where=below != 0)
    return quotient
