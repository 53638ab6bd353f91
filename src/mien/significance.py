"""How sure a number is: intervals and paired comparisons by resampling clips, spread over seeds.

All intervals are percentile intervals of a bootstrap over clips. They need no formula for the
metric, stay inside its range, and do not depend on a jackknife, as the BCa interval does, which
breaks down where a metric is undefined once a certain clip is left out. At the size of the usual
test splits the two hardly differ: for a correlation of 0.75 on 457 clips, in 40 simulated splits,
the ends differed by 0.002 on average and by 0.006 at most.

A bootstrap over clips says how far a number depends on which clips are in the split. How far it
depends on the seed of the training is another question, which ``summarise_seeds`` answers.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int, Shaped

from mien.errors import MetricError
from mien.metrics import Metric, Scores

__all__ = [
    "Comparison",
    "Interval",
    "SeedSummary",
    "bootstrap_interval",
    "holm",
    "paired_bootstrap",
    "summarise_seeds",
]

#: Clips (or clusters) times resamples that are drawn at once: 16 MB for each array of that size.
_CHUNK: Final = 1 << 21


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A metric and what resampled clips make of it.

    Attributes:
        value: The metric on the clips as they are, the mean over seeds; NaN if it is undefined.
        low: Lower end of the interval.
        high: Upper end.
        level: Confidence level, such as 0.95.
        num_resamples: Resamples that were drawn.
        num_undefined: Resamples without a value, such as ``corr`` where one clip was drawn
            throughout; they are left out of the interval.
    """

    value: float
    low: float
    high: float
    level: float
    num_resamples: int
    num_undefined: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How two models differ on the same clips.

    Attributes:
        difference: Metric of the first less that of the second; NaN if one is undefined. Which
            sign is the better one depends on the metric's ``higher_is_better``.
        low: Lower end of the interval of the difference.
        high: Upper end.
        p_value: Two-sided: how well the clips agree with no difference at all.
        level: Confidence level.
        num_resamples: Resamples that were drawn.
        num_undefined: Resamples without a value, left out of interval and p value.
    """

    difference: float
    low: float
    high: float
    p_value: float
    level: float
    num_resamples: int
    num_undefined: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedSummary:
    """A metric over runs that differ in their seed alone.

    Attributes:
        mean: Mean over the seeds; NaN if the metric is NaN for one of them.
        deviation: Standard deviation of a sample, divisor n - 1; NaN for a single seed.
        minimum: Lowest value.
        maximum: Highest value.
        num_seeds: Number of values.
    """

    mean: float
    deviation: float
    minimum: float
    maximum: float
    num_seeds: int


def bootstrap_interval(
    scores: Float[np.ndarray, "*K N"],
    targets: Scores,
    metric: Metric | Callable[[Scores, Scores], float],
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 2000,
    clusters: Shaped[np.ndarray, " N"] | None = None,
) -> Interval:
    """Return a metric with its percentile interval over resampled clips.

    Clips cut from one video share a speaker, a camera and often a mood, so that they tell less than
    as many clips of different videos. With ``clusters``, whole videos are drawn instead of clips,
    which leaves in place what their clips share; the interval is usually wider. Without, the
    interval speaks only of further clips from the same videos.

    Like any bootstrap of few units it is too narrow for few clusters. In a simulation (``mae``, 20
    clips per cluster, a fifth of the errors' variance between clusters) the 95 % interval held the
    truth in 88 % of 1000 splits with 10 clusters, 91 % with 31, 92 % with 100; without ``clusters``
    in 85 to 87 %.

    Source: efron1993, chapter 13; field2007 for clusters.

    Args:
        scores: Predicted scores of one run, or one row for each seed. With several, all rows see
            the same resampled clips, and the statistic is the mean of the metric over the rows.
        targets: Annotated scores.
        metric: Entry of ``METRICS``; a plain function works as well, but slowly.
        seed: Seed of the resampling; the same seed gives the same interval.
        level: Confidence level.
        resamples: Number of resamples.
        clusters: Name of each clip's cluster, such as its video.

    Raises:
        MetricError: If there are fewer than two clips or clusters, a value is not finite, shapes
            differ, or the resamples are too few for the level.
    """
    metric = _as_metric(metric)
    units = _find_units(targets, clusters)
    _check_level(level, resamples)
    value = _mean_over_seeds(scores, targets, metric)
    draws = _draw(int(units.max()) + 1, seed, resamples)
    replicates = _resample(_as_rows(scores), targets, metric, units, draws).mean(axis=0)
    low, high = _read_percentiles(value, replicates, level)
    return Interval(
        value=value,
        low=low,
        high=high,
        level=level,
        num_resamples=resamples,
        num_undefined=int(np.isnan(replicates).sum()),
    )


def paired_bootstrap(
    scores_a: Float[np.ndarray, "*K N"],
    scores_b: Float[np.ndarray, "*J N"],
    targets: Scores,
    metric: Metric | Callable[[Scores, Scores], float],
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 2000,
    clusters: Shaped[np.ndarray, " N"] | None = None,
) -> Comparison:
    """Compare two models on the same clips.

    Every resample holds the same clips for both models, so that what makes a clip hard for both
    cancels out. With R resampled differences d, the p value is that of the percentile interval:

        p = min(1, 2 (1 + min(number of d <= 0, number of d >= 0)) / (R + 1))

    It is 1 for two models that score alike, at least 2 / (R + 1), and below 1 - level where the
    interval leaves 0 out, to the accuracy of the resampling. Where many comparisons are made,
    correct their p values by ``holm``.

    Source: efron1993, chapter 15; davison1997, chapter 4 for the added 1.

    Args:
        scores_a: Scores of the first model: one run, or one row for each seed.
        scores_b: Scores of the second; it may have another number of seeds.
        targets: Annotated scores.
        metric: Entry of ``METRICS``; a plain function works as well, but slowly.
        seed: Seed of the resampling.
        level: Confidence level.
        resamples: Number of resamples.
        clusters: Name of each clip's cluster, as in ``bootstrap_interval``.

    Raises:
        MetricError: As ``bootstrap_interval``.
    """
    metric = _as_metric(metric)
    units = _find_units(targets, clusters)
    _check_level(level, resamples)
    both = (scores_a, scores_b)
    value_a, value_b = (_mean_over_seeds(scores, targets, metric) for scores in both)
    draws = _draw(int(units.max()) + 1, seed, resamples)
    rows = np.concatenate([_as_rows(scores) for scores in both])
    runs = _resample(rows, targets, metric, units, draws)  # (K + J, R)
    num_a = len(_as_rows(scores_a))
    differences = runs[:num_a].mean(axis=0) - runs[num_a:].mean(axis=0)
    difference = value_a - value_b
    low, high = _read_percentiles(difference, differences, level)
    return Comparison(
        difference=difference,
        low=low,
        high=high,
        p_value=math.nan if math.isnan(low) else _two_sided(differences),
        level=level,
        num_resamples=resamples,
        num_undefined=int(np.isnan(differences).sum()),
    )


def summarise_seeds(values: Sequence[float]) -> SeedSummary:
    """Summarise a metric over seeds.

    Raises:
        MetricError: If there is no value.

    >>> summarise_seeds([1.0, 2.0, 3.0])
    SeedSummary(mean=2.0, deviation=1.0, minimum=1.0, maximum=3.0, num_seeds=3)
    """
    if not len(values):
        raise MetricError("seeds: there is no value, at least 1 is wanted")
    numbers = np.asarray(values, np.float64)
    return SeedSummary(
        mean=float(numbers.mean()),
        deviation=float(numbers.std(ddof=1)) if len(numbers) > 1 else math.nan,
        minimum=float(numbers.min()),
        maximum=float(numbers.max()),
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


def _as_metric(metric: Metric | Callable[[Scores, Scores], float]) -> Metric:
    if isinstance(metric, Metric):
        return metric
    return Metric(function=metric, higher_is_better=True, is_share=False, description="")


def _as_rows(scores: Float[np.ndarray, "*K N"]) -> Float[np.ndarray, "_ N"]:
    return scores.reshape(-1, scores.shape[-1])


def _find_units(
    targets: Scores, clusters: Shaped[np.ndarray, " N"] | None
) -> Int[np.ndarray, " N"]:
    """Return which unit, counted from 0, is drawn together with each clip."""
    if clusters is None:
        units, word = np.arange(len(targets)), "clip"
    elif clusters.shape != targets.shape:
        raise MetricError(
            f"clusters: shape is {clusters.shape!r}, must be {targets.shape!r}: one name per clip"
        )
    else:
        units, word = np.unique(clusters, return_inverse=True)[1], "cluster"
    num_units = len(units) and int(units.max()) + 1
    if num_units < 2:
        raise MetricError(
            f"bootstrap: there is {num_units} {word}, at least 2 are wanted to resample from"
        )
    return units


def _check_level(level: float, resamples: int) -> None:
    if not 0 < level < 1:
        raise MetricError(f"bootstrap: level is {level!r}, must be between 0 and 1, such as 0.95")
    least = math.ceil(round(2 / (1 - level), 6))
    if resamples < least:
        raise MetricError(
            f"bootstrap: resamples is {resamples!r}, must be at least {least} at level {level:g}, "
            "so that some lie outside the interval; 2000 is usual"
        )


def _mean_over_seeds(scores: Float[np.ndarray, "*K N"], targets: Scores, metric: Metric) -> float:
    if scores.ndim not in (1, 2) or not scores.size or scores.shape[-1:] != targets.shape:
        raise MetricError(
            f"bootstrap: scores have shape {scores.shape!r} and targets {targets.shape!r}, must "
            "be (clips,) or (seeds, clips), and (clips,)"
        )
    return float(np.mean([metric(row, targets) for row in _as_rows(scores)]))


def _draw(num_units: int, seed: int, resamples: int) -> Iterator[Int[np.ndarray, "_ _"]]:
    """Yield how often each unit occurs in each resample, some resamples at a time."""
    generator = np.random.default_rng(seed)
    at_once = max(1, _CHUNK // num_units)
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        drawn = generator.integers(num_units, size=(size, num_units))
        drawn += np.arange(size)[:, None] * num_units
        counts = np.bincount(drawn.ravel(), minlength=size * num_units)
        yield counts.reshape(size, num_units)


def _resample(
    rows: Float[np.ndarray, "K N"],
    targets: Scores,
    metric: Metric,
    units: Int[np.ndarray, " N"],
    draws: Iterator[Int[np.ndarray, "_ _"]],
) -> Float[np.ndarray, "K R"]:
    """Return the metric of every run in every resample."""
    if any(math.isnan(metric(row, targets)) for row in rows):
        parts = [np.full((len(rows), len(counts)), np.nan) for counts in draws]
    elif metric.sums is None:
        parts = [_by_loop(rows, targets, metric, counts[:, units]) for counts in draws]
    else:
        terms = [_add_up(metric.sums.terms(row, targets), units) for row in rows]
        parts = [
            np.stack([metric.sums.combine(counts.astype(np.float64) @ term) for term in terms])
            for counts in draws
        ]
    return np.concatenate(parts, axis=1)


def _add_up(
    terms: Float[np.ndarray, "N C"], units: Int[np.ndarray, " N"]
) -> Float[np.ndarray, "_ C"]:
    sums = np.zeros((int(units.max()) + 1, terms.shape[1]))
    np.add.at(sums, units, terms)
    return sums


def _by_loop(
    rows: Float[np.ndarray, "K N"],
    targets: Scores,
    metric: Metric,
    counts: Int[np.ndarray, "_ N"],
) -> Float[np.ndarray, "K _"]:
    clips = np.arange(len(targets))
    drawn = [np.repeat(clips, times) for times in counts]
    return np.array([[metric(row[some], targets[some]) for some in drawn] for row in rows])


def _read_percentiles(
    value: float, replicates: Float[np.ndarray, " R"], level: float
) -> tuple[float, float]:
    defined = replicates[~np.isnan(replicates)]
    if math.isnan(value) or not defined.size:
        return math.nan, math.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _two_sided(differences: Float[np.ndarray, " R"]) -> float:
    defined = differences[~np.isnan(differences)]
    fewer = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, 2 * (1 + fewer) / (len(defined) + 1))
