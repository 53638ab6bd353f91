"""A metric on resampled clips: what intervals and paired differences are read from."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int, Shaped

from mien.errors import MetricError
from mien.metrics import Metric, Scores

__all__ = ["Comparison", "Interval", "Resampled", "come_from_videos", "resample"]

#: Clips (or clusters) times resamples that are drawn at once: 16 MB for each array of that size.
_CHUNK: Final = 1 << 21


def come_from_videos(videos: Shaped[np.ndarray, " N"]) -> bool:
    """Return whether whole videos can be resampled: several, and one of them with several clips."""
    return 1 < len(np.unique(videos)) < len(videos)


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
class Resampled:
    """A metric of one model on the clips as they are, and on resampled ones; the mean over seeds.

    Two of them can be compared where they come from the same clips, clusters, seed and number of
    resamples: they saw the same draws.

    Attributes:
        value: The metric on the clips as they are; NaN if it is undefined.
        replicates: The metric on each resample; NaN where it is undefined.
    """

    value: float
    replicates: Float[np.ndarray, " R"]

    def interval(self, level: float = 0.95) -> Interval:
        """Return the percentile interval, as ``bootstrap_interval`` does."""
        low, high = _read_percentiles(self.value, self.replicates, level)
        return Interval(
            value=self.value,
            low=low,
            high=high,
            level=level,
            num_resamples=len(self.replicates),
            num_undefined=int(np.isnan(self.replicates).sum()),
        )

    def less(self, other: "Resampled", level: float = 0.95) -> Comparison:
        """Return the difference to another model on the same draws, as ``paired_bootstrap`` does.

        Raises:
            ValueError: If the numbers of resamples differ.
        """
        if len(self.replicates) != len(other.replicates):
            raise ValueError(
                f"{len(self.replicates)} and {len(other.replicates)} resamples cannot be paired"
            )
        differences = self.replicates - other.replicates
        difference = self.value - other.value
        low, high = _read_percentiles(difference, differences, level)
        return Comparison(
            difference=difference,
            low=low,
            high=high,
            p_value=math.nan if math.isnan(low) else _two_sided(differences),
            level=level,
            num_resamples=len(differences),
            num_undefined=int(np.isnan(differences).sum()),
        )


def resample(
    scores: Float[np.ndarray, "*K N"],
    targets: Scores,
    metric: Metric | Callable[[Scores, Scores], float],
    *,
    seed: int,
    resamples: int = 2000,
    clusters: Shaped[np.ndarray, " N"] | None = None,
) -> Resampled:
    """Compute a metric on resampled clips, for intervals and any number of paired differences.

    Where many models are compared on the same clips, each is resampled once.

    Args:
        scores: Scores of one run, or one row for each seed.
        targets: Annotated scores.
        metric: Entry of ``METRICS``; a plain function works as well, but slowly.
        seed: Seed of the resampling.
        resamples: Number of resamples.
        clusters: Name of each clip's cluster, as in ``bootstrap_interval``.

    Raises:
        MetricError: As ``bootstrap_interval``.
    """
    metric = _as_metric(metric)
    units = _find_units(targets, clusters)
    value = _mean_over_seeds(scores, targets, metric)
    draws = _draw(int(units.max()) + 1, seed, resamples)
    replicates = _resample(_as_rows(scores), targets, metric, units, draws).mean(axis=0)
    return Resampled(value=value, replicates=replicates)


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
    elif metric.weighted is not None:
        parts = [_by_weights(rows, targets, metric.weighted, counts, units) for counts in draws]
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


def _by_weights(
    rows: Float[np.ndarray, "K N"],
    targets: Scores,
    weighted: Callable[[Scores, Scores, Int[np.ndarray, "_ N"]], Float[np.ndarray, " _"]],
    counts: Int[np.ndarray, "R _"],
    units: Int[np.ndarray, " N"],
) -> Float[np.ndarray, "K R"]:
    at_once = max(1, _CHUNK // len(units))
    starts = range(0, len(counts), at_once)
    parts = [counts[start : start + at_once, units] for start in starts]
    return np.stack([np.concatenate([weighted(row, targets, p) for p in parts]) for row in rows])


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
