"""A metric with some units left out or drawn again: intervals and differences are read from it.

Units are clips, or clusters of clips such as videos. Two ways lead from units to an interval:

- 20 units or more: the percentile interval of a bootstrap. It needs no formula for the metric and
  stays inside the metric's range.
- fewer: the jackknife's standard error, with a quantile of Student's t. For the mean of clusters of
  equal size this is the t interval of the clusters' means.

A difference between two methods always takes the second way, with the error of the seeds added.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Float, Int, Shaped

from mien.errors import MetricError
from mien.evaluation.formulas import Values
from mien.evaluation.intervals import (
    FEW_UNITS,
    Comparison,
    Interval,
    compare_values,
    jackknife_error,
    percentile_interval,
    t_interval,
)
from mien.evaluation.metrics import Metric
from mien.types import video_of

__all__ = [
    "CHUNK",
    "RESAMPLES",
    "Draws",
    "Resampled",
    "Unit",
    "clusters_of",
    "come_from_videos",
    "draw_units",
    "group_clips",
    "resample",
]

#: Seed of the resampling, the same for every table, so that the same files give the same page.
SEED: Final = 1111
#: Resamples of every table.
RESAMPLES = 2000
#: Clips (or clusters) times resamples that are drawn at once: 16 MB for each array of that size.
CHUNK = 1 << 21

#: What is resampled, from the smallest to the largest.
Unit = Literal["clip", "video", "speaker"]


def come_from_videos(videos: Shaped[np.ndarray, " N"]) -> bool:
    """Return whether whole videos can be resampled: several, and one of them with several clips."""
    return 1 < len(np.unique(videos)) < len(videos)


def clusters_of(videos: Shaped[np.ndarray, " N"]) -> Shaped[np.ndarray, " N"]:
    """Return what to resample: whole videos where several clips come from one, else clips."""
    return videos if come_from_videos(videos) else np.arange(len(videos)).astype(str)


def group_clips(
    ids: Sequence[str], speakers: Sequence[str] = ()
) -> dict[Unit, Shaped[np.ndarray, " N"] | None]:
    """Return what can be resampled, each with the name of every clip's unit, the largest last.

    Clips can always be; None stands for their names. Videos and speakers can be where there are
    several and one of them has several clips, and speakers are not there where they are the videos.

    Args:
        ids: The clips.
        speakers: Who speaks in each; empty where that is not known, and the video stands for the
            speaker. None at all where it is known of no clip.

    >>> names = [f"film{film}$_${clip}" for film in (1, 2) for clip in (1, 2)]
    >>> list(group_clips(names)), list(group_clips(names, ["Ada", "Bo", "Ada", "Bo"]))
    (['clip', 'video'], ['clip', 'video', 'speaker'])
    """
    groups: dict[Unit, Shaped[np.ndarray, " N"] | None] = {"clip": None}
    videos = np.array([video_of(name) for name in ids])
    if come_from_videos(videos):
        groups["video"] = videos
    if speakers:
        pairs = [
            f"speaker {who}" if who else f"video {video}"
            for who, video in zip(speakers, videos.tolist(), strict=True)
        ]
        people = np.array(pairs)
        joined = len({*zip(pairs, videos.tolist(), strict=True)})
        is_other = not joined == len(np.unique(people)) == len(np.unique(videos))
        if is_other and come_from_videos(people):
            groups["speaker"] = people
    return groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """Units, and how often each is in every resample: drawn once, used for any number of metrics.

    Attributes:
        units: Which unit, counted from 0, each clip belongs to.
        counts: Resamples in several parts, ``(resamples, units)`` each; none below ``FEW_UNITS``.
    """

    units: Int[np.ndarray, " N"]
    counts: tuple[Int[np.ndarray, "_ G"], ...]

    @property
    def num_units(self) -> int:
        """Number of clips or clusters."""
        return int(self.units.max()) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampled:
    """A metric of one model on the clips as they are, and on resampled ones; the mean over seeds.

    Two of them can be compared where they come from the same draws.

    Attributes:
        values: The metric of each seed on the clips as they are; NaN where it is undefined.
        num_units: Number of clips or clusters.
        left_out: The metric without each unit in turn, the mean over seeds; None where it was not
            asked for and no interval takes it.
        replicates: The metric on each resample; NaN where it is undefined.
        bounds: The least and the largest value that the metric can have.
        is_fixed: Whether the scores involve no training, so that another seed would not change
            them.
    """

    values: Float[np.ndarray, " K"]
    num_units: int
    left_out: Float[np.ndarray, " G"] | None
    replicates: Float[np.ndarray, " R"]
    bounds: tuple[float, float]
    is_fixed: bool = False

    @property
    def value(self) -> float:
        """The metric on the clips as they are; NaN if it is undefined for a seed."""
        return float(self.values.mean())

    def interval(self, level: float = 0.95) -> Interval:
        """Return the interval over units: percentiles, or Student's t where units are few.

        Source: efron1993, chapter 11 for the jackknife, chapter 13 for percentiles.
        """
        if self.left_out is None or self.num_units >= FEW_UNITS:
            low, high = percentile_interval(self.value, self.replicates, level)
        else:
            error = jackknife_error(self.left_out)
            low, high = t_interval(self.value, error, self.num_units - 1, level, self.bounds)
        return Interval(
            value=self.value,
            low=low,
            high=high,
            level=level,
            num_units=self.num_units,
            num_resamples=len(self.replicates),
            num_undefined=int(np.isnan(self.replicates).sum()),
        )

    def less(self, other: "Resampled", level: float = 0.95) -> Comparison:
        """Return the difference to another model on the same draws, as ``paired_difference`` does.

        Raises:
            ValueError: If the numbers of units differ, or units were not left out one by one.
        """
        if self.num_units != other.num_units:
            raise ValueError(f"{self.num_units} and {other.num_units} units cannot be paired")
        if self.left_out is None or other.left_out is None:
            raise ValueError("resampled for an interval alone; resample with for_differences=True")
        sides = [None if side.is_fixed else side.values for side in (self, other)]
        return compare_values(
            self.value - other.value,
            jackknife_error(self.left_out - other.left_out),
            self.num_units,
            sides,
            level,
        )


def draw_units(
    num_clips: int,
    clusters: Shaped[np.ndarray, " N"] | None = None,
    *,
    seed: int = SEED,
    resamples: int | None = None,
) -> Draws:
    """Draw resamples of clips, or of clusters of them, for any number of metrics and models.

    Args:
        num_clips: Clips of the split.
        clusters: Name of each clip's cluster, as in ``bootstrap_interval``.
        seed: Seed of the resampling.
        resamples: Number of resamples; None stands for ``RESAMPLES``.

    Raises:
        MetricError: If there is no clip, or not one cluster name per clip.
    """
    if clusters is not None and clusters.shape != (num_clips,):
        raise MetricError(
            f"clusters: shape is {clusters.shape!r}, must be {(num_clips,)!r}: one name per clip"
        )
    if not num_clips:
        raise MetricError("intervals: there is no clip, at least 1 is needed")
    if clusters is None:
        units, num_units = np.arange(num_clips), num_clips
    else:
        names, units = np.unique(clusters, return_inverse=True)
        num_units = len(names)
    if num_units < FEW_UNITS:
        return Draws(units=units, counts=())
    parts = _draw(num_units, seed, RESAMPLES if resamples is None else resamples)
    return Draws(units=units, counts=tuple(part.astype(np.int16) for part in parts))


def resample(
    scores: Float[np.ndarray, "..."],
    targets: Values,
    metric: Metric | Callable[[Values, Values], float],
    draws: Draws,
    *,
    is_fixed: bool = False,
    for_differences: bool = True,
) -> Resampled:
    """Compute a metric on resampled clips, for intervals and any number of paired differences.

    Where many models are compared on the same clips, each is resampled once.

    Args:
        scores: Scores of one run, or one row for each seed, ``(*seeds, N, *K)``.
        targets: Annotated scores, or K values of each clip, ``(N, *K)``.
        metric: Entry of ``METRICS`` or ``TARGET_METRICS``; a plain function works as well, but
            slowly.
        draws: From ``draw_units``, for these clips.
        is_fixed: Whether the scores involve no training, such as copies of an annotation.
        for_differences: Whether differences to others are taken. Without, only the interval is
            there, and from ``FEW_UNITS`` units on no unit is left out in turn, which it does not
            need.

    Raises:
        MetricError: If shapes differ or a value is not finite.
    """
    metric = _as_metric(metric)
    values = _evaluate_rows(scores, targets, metric)
    rows = _as_rows(scores, targets)
    num_units, left_out = draws.num_units, None
    is_undefined = bool(np.isnan(values).any())
    if for_differences or num_units < FEW_UNITS:
        left_out = (
            np.full(num_units, np.nan)
            if is_undefined
            else _leave_out(rows, targets, metric, draws.units).mean(axis=0)
        )
    replicates = (
        np.full(sum(map(len, draws.counts)), np.nan)
        if is_undefined
        else _resample(rows, targets, metric, draws).mean(axis=0)
    )
    return Resampled(
        values=values,
        num_units=num_units,
        left_out=left_out,
        replicates=replicates,
        bounds=metric.bounds,
        is_fixed=is_fixed,
    )


def _as_metric(metric: Metric | Callable[[Values, Values], float]) -> Metric:
    if isinstance(metric, Metric):
        return metric
    return Metric(function=metric, higher_is_better=True, is_share=False, description="")


def _as_rows(scores: Float[np.ndarray, "..."], targets: Values) -> Float[np.ndarray, "_ N *K"]:
    return scores.reshape(-1, *targets.shape)


def _evaluate_rows(
    scores: Float[np.ndarray, "..."], targets: Values, metric: Metric
) -> Float[np.ndarray, " _"]:
    num_seeds = scores.shape[: scores.ndim - targets.ndim]
    if len(num_seeds) > 1 or not scores.size or scores.shape != (*num_seeds, *targets.shape):
        raise MetricError(
            f"bootstrap: scores have shape {scores.shape!r} and targets {targets.shape!r}, must "
            "be (clips,) or (seeds, clips), and (clips,); with K values of each clip, K follows"
        )
    return np.array([metric(row, targets) for row in _as_rows(scores, targets)])


def _draw(num_units: int, seed: int, resamples: int) -> Iterator[Int[np.ndarray, "_ _"]]:
    """Yield how often each unit occurs in each resample, some resamples at a time."""
    generator = np.random.default_rng(seed)
    at_once = max(1, CHUNK // num_units)
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        drawn = generator.integers(num_units, size=(size, num_units))
        drawn += np.arange(size)[:, None] * num_units
        counts = np.bincount(drawn.ravel(), minlength=size * num_units)
        yield counts.reshape(size, num_units)


def _resample(
    rows: Float[np.ndarray, "S N *K"], targets: Values, metric: Metric, draws: Draws
) -> Float[np.ndarray, "S R"]:
    """Return the metric of every run in every resample."""
    if not draws.counts:
        return np.empty((len(rows), 0))
    if metric.sums is None or metric.weighted is not None:
        return _by_counts(rows, targets, metric, draws.counts, draws.units)
    terms = [_add_up(metric.sums.terms(row, targets), draws.units) for row in rows]
    parts = []
    for counts in draws.counts:
        drawn = counts.astype(np.float64)
        parts.append(np.stack([metric.sums.combine(drawn @ term) for term in terms]))
    return np.concatenate(parts, axis=1)


def _leave_out(
    rows: Float[np.ndarray, "S N *K"], targets: Values, metric: Metric, units: Int[np.ndarray, " N"]
) -> Float[np.ndarray, "S G"]:
    """Return the metric of every run without each unit in turn; NaN for a single unit."""
    num_units = int(units.max()) + 1
    if num_units < 2:
        return np.full((len(rows), 1), np.nan)
    if metric.sums is None or metric.weighted is not None:
        at_once = max(1, CHUNK // num_units)
        without = (
            1 - np.eye(min(at_once, num_units - start), num_units, start, dtype=np.int64)
            for start in range(0, num_units, at_once)
        )
        return _by_counts(rows, targets, metric, without, units)
    terms = [_add_up(metric.sums.terms(row, targets), units) for row in rows]
    return np.stack([metric.sums.combine(term.sum(axis=0) - term) for term in terms])


def _by_counts(
    rows: Float[np.ndarray, "S N *K"],
    targets: Values,
    metric: Metric,
    parts: Iterable[Int[np.ndarray, "_ _"]],
    units: Int[np.ndarray, " N"],
) -> Float[np.ndarray, "S _"]:
    """Return the metric of every run from how often each unit occurs."""
    evaluated = []
    for counts in parts:
        if metric.weighted is None:
            evaluated.append(_by_loop(rows, targets, metric, counts[:, units]))
        else:
            evaluated.append(_by_weights(rows, targets, metric.weighted, counts, units))
    return np.concatenate(evaluated, axis=1)


def _add_up(
    terms: Float[np.ndarray, "N C"], units: Int[np.ndarray, " N"]
) -> Float[np.ndarray, "_ C"]:
    sums = np.zeros((int(units.max()) + 1, terms.shape[1]))
    np.add.at(sums, units, terms)
    return sums


def _by_weights(
    rows: Float[np.ndarray, "S N *K"],
    targets: Values,
    weighted: Callable[[Values, Values, Int[np.ndarray, "_ N"]], Float[np.ndarray, " _"]],
    counts: Int[np.ndarray, "R _"],
    units: Int[np.ndarray, " N"],
) -> Float[np.ndarray, "S R"]:
    at_once = max(1, CHUNK // len(units))
    starts = range(0, len(counts), at_once)
    parts = [counts[start : start + at_once, units].astype(np.int64) for start in starts]
    return np.stack([np.concatenate([weighted(row, targets, p) for p in parts]) for row in rows])


def _by_loop(
    rows: Float[np.ndarray, "S N *K"],
    targets: Values,
    metric: Metric,
    counts: Int[np.ndarray, "_ N"],
) -> Float[np.ndarray, "S _"]:
    clips = np.arange(len(targets))
    drawn = [np.repeat(clips, times) for times in counts]
    return np.array([[metric(row[some], targets[some]) for some in drawn] for row in rows])
