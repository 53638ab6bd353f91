"""Cells of tables that show metrics over seeds: means, intervals, differences."""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from mien.evaluation.bootstrap import Unit
from mien.evaluation.metrics import Metric
from mien.evaluation.metrics_file.run_metrics import MetricSummary
from mien.evaluation.significance import SourceResults
from mien.files.json_values import Number
from mien.reports.text import UNDEFINED, describe_units, format_interval, format_value

__all__ = [
    "OverSeeds",
    "WithInterval",
    "count_units",
    "difference_cell",
    "has_ensemble",
    "interval_cell",
    "mean_cell",
    "metric_heading",
    "metric_rows",
    "spread_cell",
]


@runtime_checkable
class OverSeeds(Protocol):
    """A number over seeds, such as ``SeedValues``, ``MetricSummary`` and ``SourceResults``."""

    @property
    def mean(self) -> Number | None:
        """Mean over the seeds."""

    @property
    def deviation(self) -> Number | None:
        """Standard deviation over the seeds; None for a single one."""


@runtime_checkable
class WithInterval(Protocol):
    """A number with an interval, such as ``MetricSummary`` and ``SourceResults``."""

    @property
    def low(self) -> Number | None:
        """Lower end of the interval of the mean; None if there is none."""

    @property
    def high(self) -> Number | None:
        """Upper end."""


def count_units(metrics: Mapping[str, MetricSummary]) -> str:
    """Return on what the intervals of a task rest, after a comma; nothing for an older run."""
    first = next(iter(metrics.values()))
    units = {"clip": first.num_clips, first.widest.unit: first.widest.num_units}
    counts = [describe_units(num, unit) for unit, num in units.items() if num is not None]
    return f", {', '.join(counts)}" if counts else ""


def _find_unit(metrics: Mapping[str, MetricSummary]) -> Unit:
    """Return over what intervals are beside those over clips; clips where there are no others."""
    return next(iter(metrics.values())).widest.unit if metrics else "clip"


def has_ensemble(metrics: Mapping[str, MetricSummary]) -> bool:
    """Return whether the metrics of the mean of several seeds' scores are known."""
    return any(metric.ensemble is not None for metric in metrics.values())


def metric_heading(
    metrics: Mapping[str, MetricSummary], interval: str = "95 % interval"
) -> list[str]:
    """Return the heading above ``metric_rows``.

    Args:
        metrics: The metrics of a task.
        interval: What an interval is called.
    """
    ensemble = ["ensemble"] * has_ensemble(metrics)
    units = dict.fromkeys(["clip", _find_unit(metrics)])
    return ["metric", "mean", "deviation", *ensemble, *(f"{interval}, {unit}s" for unit in units)]


def metric_rows(
    metrics: Mapping[str, MetricSummary], known: Mapping[str, Metric], names: Mapping[str, str]
) -> list[list[str]]:
    """Return a row for each metric: name, mean, deviation, ensemble, intervals.

    The metric of the ensemble is there where ``has_ensemble``; intervals are those by clips and,
    where there are such, those by the largest units: speakers or videos.

    Args:
        metrics: The metrics of a task.
        known: Their entries of ``METRICS[family]`` or ``TARGET_METRICS[kind]``.
        names: What each metric is called in the table.
    """
    rows = []
    for name, summary in metrics.items():
        metric = known[name]
        row = [names[name], format_value(summary.mean, metric)]
        row.append(format_value(summary.deviation, metric))
        if has_ensemble(metrics):
            row.append(format_value(summary.ensemble, metric))
        row.append(format_interval(summary.low, summary.high, metric))
        if _find_unit(metrics) != "clip":
            row.append(format_interval(summary.widest.low, summary.widest.high, metric))
        rows.append(row)
    return rows


def spread_cell(result: OverSeeds, show: Callable[[Number | None], str] = format_value) -> str:
    """Return the mean over the seeds, with its deviation where there are several.

    Args:
        result: The number.
        show: Turns a number into text.
    """
    mean, deviation = show(result.mean), show(result.deviation)
    return mean if deviation == UNDEFINED else f"{mean} ± {deviation}"


def mean_cell(result: OverSeeds, metric: Metric) -> str:
    """Return the mean of a metric, with its deviation where there are several seeds."""
    return spread_cell(result, lambda value: format_value(value, metric))


def interval_cell(result: WithInterval, metric: Metric | None = None) -> str:
    """Return the interval of the mean."""
    return format_interval(result.low, result.high, metric)


def difference_cell(result: SourceResults, other: str, metric: Metric) -> str:
    """Return the difference to another source, with its interval; empty if there is none.

    With the word ``better``, in bold, or ``worse`` where the interval covers the seeds and leaves
    out zero; ``(weights)`` where it does not cover the seeds.
    """
    less = result.less.get(other)
    if less is None or less.difference is None:
        return ""
    sign = "+" if less.difference > 0 else ""
    text = f"{sign}{format_value(less.difference, metric)}"
    if less.low is None or less.high is None:
        return text
    interval = format_interval(less.low, less.high, metric)
    if not less.covers_seeds:
        return f"{text} {interval} (weights)"
    if less.low <= 0 <= less.high:
        return f"{text} {interval}"
    is_better = (less.difference > 0) == metric.higher_is_better
    return f"**{text} better** {interval}" if is_better else f"{text} worse {interval}"
