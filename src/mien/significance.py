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
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from mien.errors import MetricError
from mien.metrics import Metric, Scores
from mien.resampling import Comparison, Interval, resample

__all__ = [
    "Comparison",
    "Interval",
    "SeedSummary",
    "bootstrap_interval",
    "holm",
    "paired_bootstrap",
    "summarise_seeds",
]


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
    _check_level(level, resamples)
    drawn = resample(scores, targets, metric, seed=seed, resamples=resamples, clusters=clusters)
    return drawn.interval(level)


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
    _check_level(level, resamples)
    first, second = (
        resample(one, targets, metric, seed=seed, resamples=resamples, clusters=clusters)
        for one in (scores_a, scores_b)
    )
    return first.less(second, level)


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


def _check_level(level: float, resamples: int) -> None:
    if not 0 < level < 1:
        raise MetricError(f"bootstrap: level is {level!r}, must be between 0 and 1, such as 0.95")
    least = math.ceil(round(2 / (1 - level), 6))
    if resamples < least:
        raise MetricError(
            f"bootstrap: resamples is {resamples!r}, must be at least {least} at level {level:g}, "
            "so that some lie outside the interval; 2000 is usual"
        )
