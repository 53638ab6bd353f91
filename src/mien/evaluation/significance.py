"""How sure a number is: intervals, paired comparisons, spread over seeds.

An interval of one method says how far its number depends on which clips, or videos, are in the
split: ``bootstrap_interval``. From 20 units on it is the percentile interval of a bootstrap, which
needs no formula for the metric, stays inside its range, and does not depend on a jackknife, as the
BCa interval does, which breaks down where a metric is undefined once a certain clip is left out.
At the size of the usual test splits the two hardly differ: for a correlation of 0.75 on 457 clips,
in 40 simulated splits, the ends differed by 0.002 on average and by 0.006 at most. Below 20 units
percentiles are too narrow, and a t interval is given.

A difference between two methods depends on the seeds of their trainings as well: its interval and
its p value cover both, ``paired_difference``. With one seed on a side they cannot, and what is
compared is these weights.
"""

import math
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from mien.errors import MetricError
from mien.evaluation.bootstrap import draw_units, resample
from mien.evaluation.formulas import Values
from mien.evaluation.intervals import Comparison, Interval
from mien.evaluation.metrics import Metric
from mien.files.json_values import Number, StrictValue, json_number, json_numbers

__all__ = [
    "Comparison",
    "Interval",
    "MetricResults",
    "SeedSummary",
    "SourceDifference",
    "SourceResults",
    "bootstrap_interval",
    "compare_sources",
    "describe_difference",
    "holm",
    "paired_bootstrap",
    "paired_difference",
    "summarise_seeds",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedSummary:
    """A metric over runs that differ in their seed alone.

    Attributes:
        mean: Mean over the seeds; NaN if the metric is NaN for one of them.
        deviation: Standard deviation of a sample, divisor n - 1; NaN for a single seed.
        num_seeds: Number of values.
    """

    mean: float
    deviation: float
    num_seeds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDifference(StrictValue):
    """How far a source lies above another on the same clips.

    Attributes:
        difference: Mean of the source less that of the other.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p_value: Two-sided p value.
        error_units: Standard error over videos or clips.
        error_seeds: Standard error over seeds; None if it is unknown.
        covers_seeds: Whether interval and p value hold for further seeds; else for these weights.
    """

    difference: Number | None
    low: Number | None
    high: Number | None
    p_value: Number | None
    error_units: Number | None
    error_seeds: Number | None
    covers_seeds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceResults(StrictValue):
    """A metric of a source, which is a variant or a set of labels without a training.

    Attributes:
        mean: Mean over the seeds.
        deviation: Standard deviation over the seeds.
        values: The metric of each seed.
        low: Lower end of the 95 % interval of the mean over videos or clips.
        high: Upper end.
        less: Differences to other sources, by their names.
    """

    mean: Number | None
    deviation: Number | None
    values: tuple[Number | None, ...]
    low: Number | None
    high: Number | None
    less: Mapping[str, SourceDifference]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricResults(StrictValue):
    """Every metric of several sources on the same clips.

    Attributes:
        num_clips: Clips.
        num_clusters: How many units are resampled; clips where each is a unit of its own.
        metrics: Per metric the result of each source; empty without a clip.
        unit: What units are, where several clips are one: videos or speakers.
    """

    num_clips: int
    num_clusters: int
    metrics: Mapping[str, Mapping[str, SourceResults]]
    unit: str = "video"


def bootstrap_interval(
    scores: Float[np.ndarray, "..."],
    targets: Values,
    metric: Metric | Callable[[Values, Values], float],
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 2000,
    clusters: Shaped[np.ndarray, " N"] | None = None,
) -> Interval:
    """Return a metric with its interval over clips, or over clusters of them.

    Clips cut from one video share a speaker, a camera and often a mood, so that they tell less than
    as many clips of different videos. With ``clusters``, whole videos are drawn instead of clips,
    which leaves in place what their clips share; the interval is usually wider. Without, the
    interval speaks only of further clips from the same videos. Neither speaks of other seeds.

    From 20 units on (clips, or clusters) it is a percentile interval. With fewer, that would be too
    narrow, and a t interval with the jackknife's standard error takes its place: ends are cut to
    the range of the metric. A single unit has no interval: its ends are NaN.

    ``benchmarks/coverage.py`` simulates how often it holds the truth; docs/concepts.md has a table.

    Source: efron1993, chapters 11 and 13; field2007 for clusters.

    Args:
        scores: Predicted scores of one run, or one row for each seed. With several, all rows see
            the same resampled clips, and the statistic is the mean of the metric over the rows.
        targets: Annotated scores, or K values of each clip, as the scores then have.
        metric: Entry of ``METRICS`` or ``TARGET_METRICS``; a plain function works, but slowly.
        seed: Seed of the resampling; the same seed gives the same interval.
        level: Confidence level.
        resamples: Number of resamples.
        clusters: Name of each clip's cluster, such as its video.

    Raises:
        MetricError: If there is no clip, a value is not finite, shapes differ, or the resamples are
            too few for the level.
    """
    _check_level(level)
    _check_resamples(level, resamples)
    draws = draw_units(len(targets), clusters, seed=seed, resamples=resamples)
    drawn = resample(scores, targets, metric, draws, for_differences=False)
    return drawn.interval(level)


def paired_difference(
    scores_a: Float[np.ndarray, "..."],
    scores_b: Float[np.ndarray, "..."],
    targets: Values,
    metric: Metric | Callable[[Values, Values], float],
    *,
    level: float = 0.95,
    clusters: Shaped[np.ndarray, " N"] | None = None,
) -> Comparison:
    """Compare two methods on the same clips, each over the seeds of its trainings.

        t = (mean of A - mean of B) / error
        error^2 = error_units^2 + s_A^2 / K_A + s_B^2 / K_B

    ``error_units`` is the jackknife's standard error of the difference: clips (or clusters) are
    left out for both methods at once, so that what makes a clip hard for both cancels out. s are
    deviations over the seeds, K their numbers; seeds of the same number are no pairs, since the
    methods draw different numbers from them. t has Satterthwaite's degrees of freedom. Interval and
    p value come from the same t, so that they agree.

    With one seed on a side, the error over seeds is unknown; the result has ``covers_seeds`` False,
    holds for these weights alone, and says nothing about the methods.

    Source: efron1993, chapter 11; satterthwaite1946. Where many comparisons are made, correct their
    p values by ``holm``.

    Args:
        scores_a: Scores of the first method: one run, or one row for each seed.
        scores_b: Scores of the second; it may have another number of seeds.
        targets: Annotated scores, or K values of each clip, as the scores then have.
        metric: Entry of ``METRICS`` or ``TARGET_METRICS``; a plain function works, but slowly.
        level: Confidence level.
        clusters: Name of each clip's cluster, as in ``bootstrap_interval``.

    Raises:
        MetricError: If there is no clip, a value is not finite, or shapes differ.
    """
    _check_level(level)
    draws = draw_units(len(targets), clusters, seed=0, resamples=0)
    a, b = (resample(scores, targets, metric, draws) for scores in (scores_a, scores_b))
    return a.less(b, level)


def paired_bootstrap(
    scores_a: Float[np.ndarray, "..."],
    scores_b: Float[np.ndarray, "..."],
    targets: Values,
    metric: Metric | Callable[[Values, Values], float],
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 2000,
    clusters: Shaped[np.ndarray, " N"] | None = None,
) -> Comparison:
    """Compare two methods: an earlier name of ``paired_difference``, which draws nothing.

    Its interval and p value left out the seeds; two equal methods differed with p < 0.05 in up to
    a third of the cases. ``seed`` and ``resamples`` have no effect any more.
    """
    del seed, resamples
    warnings.warn(
        "paired_bootstrap is now paired_difference, which covers the seeds and draws nothing",
        DeprecationWarning,
        stacklevel=2,
    )
    return paired_difference(scores_a, scores_b, targets, metric, level=level, clusters=clusters)


def compare_sources(
    rows: Mapping[str, Float[np.ndarray, "_ N *K"]],
    targets: Values,
    metric: Metric,
    *,
    clusters: Shaped[np.ndarray, " N"],
    against: Sequence[str] = (),
    fixed: Collection[str] = (),
) -> dict[str, SourceResults]:
    """Compare several sources of scores on the same clips, each of them over its seeds.

    All lose and see the same clusters, so that their differences are paired.

    Args:
        rows: Scores of each source, one row for each seed.
        targets: What they are compared with.
        metric: Of scores and targets.
        clusters: Name of each clip's cluster, from ``clusters_of``.
        against: Sources that are subtracted from every other one; those that are not there are
            passed over.
        fixed: Sources without a training, such as copies of the annotation: another seed would not
            change them.
    """
    draws = draw_units(len(targets), clusters)
    resampled = {
        name: resample(scores, targets, metric, draws, is_fixed=name in fixed)
        for name, scores in rows.items()
    }
    results = {}
    for name, source in resampled.items():
        summary = summarise_seeds(source.values.tolist())
        interval = source.interval()
        results[name] = SourceResults(
            mean=json_number(summary.mean),
            deviation=json_number(summary.deviation),
            values=json_numbers(source.values),
            low=json_number(interval.low),
            high=json_number(interval.high),
            less={
                other: describe_difference(source.less(resampled[other]))
                for other in against
                if other != name and other in resampled
            },
        )
    return results


def describe_difference(comparison: Comparison) -> SourceDifference:
    """Return what tables show of a difference."""
    return SourceDifference(
        difference=json_number(comparison.difference),
        low=json_number(comparison.low),
        high=json_number(comparison.high),
        p_value=json_number(comparison.p_value),
        error_units=json_number(comparison.error_units),
        error_seeds=json_number(comparison.error_seeds),
        covers_seeds=comparison.covers_seeds,
    )


def summarise_seeds(values: Sequence[float]) -> SeedSummary:
    """Summarise a metric over seeds.

    Raises:
        MetricError: If there is no value.

    >>> summarise_seeds([1.0, 2.0, 3.0])
    SeedSummary(mean=2.0, deviation=1.0, num_seeds=3)
    """
    if not len(values):
        raise MetricError("seeds: there is no value, at least 1 is needed")
    numbers = np.asarray(values, np.float64)
    return SeedSummary(
        mean=float(numbers.mean()),
        deviation=float(numbers.std(ddof=1)) if len(numbers) > 1 else math.nan,
        num_seeds=len(numbers),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct the p values of several comparisons, in their order.

        p'_(i) = max over j <= i of min(1, (m - j + 1) p_(j)),    p_(1) <= ... <= p_(m)

    Calling those differences real whose corrected p value is below a level keeps the chance of
    even one false call below that level, however the comparisons depend on each other.

    Source: holm1979.

    Raises:
        MetricError: If a p value is not a number from 0 to 1.

    >>> holm([0.02, 0.01, 0.5])
    [0.04, 0.03, 0.5]
    """
    for position, p_value in enumerate(p_values):
        if not 0 <= p_value <= 1:
            raise MetricError(
                f"holm: p value at position {position} is {p_value!r}, must be a number from 0 "
                "to 1; leave out comparisons that are undefined"
            )
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = raised.clip(max=1.0)
    return [float(value) for value in corrected]


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise MetricError(f"interval: level is {level!r}, must be between 0 and 1, such as 0.95")


def _check_resamples(level: float, resamples: int) -> None:
    least = math.ceil(round(2 / (1 - level), 6))
    if resamples < least:
        raise MetricError(
            f"bootstrap: resamples is {resamples!r}, must be at least {least} at level {level:g}, "
            "so that some lie outside the interval; 2000 is usual"
        )
