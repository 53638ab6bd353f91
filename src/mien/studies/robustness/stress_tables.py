"""The results of a test of robustness to tables: for the page, the terminal and a CSV file."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Final

from mien.evaluation.metrics import Metric
from mien.evaluation.significance import SourceResults
from mien.files.json_values import Number
from mien.reports.metric_cells import difference_cell, interval_cell
from mien.reports.target_results.shown_metrics import shown_metrics
from mien.reports.text import escape_markdown, format_table, format_value, markdown_table
from mien.studies.robustness.stress_curves import COVERAGE, HALF_WIDTH, SET_SIZE, metric_of
from mien.studies.robustness.stress_values import (
    CurveResults,
    RobustnessResults,
    StressResults,
)
from mien.types import TargetKind

__all__ = [
    "find_metric",
    "format_overall",
    "main_metrics",
    "overall_table",
    "point_table",
    "to_csv",
]

#: Metrics of sentiment that pages show; all others are in the files.
_SENTIMENT: Final = ("mae", "corr")
#: How many metrics of each target they show.
_OF_TARGET: Final = 2
_COLUMNS: Final = (
    *("run", "stress", "point", "level", "metric", "mean", "deviation", "low", "high"),
    *("difference", "difference_low", "difference_high", "p_value", "p_corrected"),
)


def main_metrics(results: RobustnessResults) -> list[str]:
    """Return the names of the metrics that pages show, those of intervals and sets last."""
    known = dict.fromkeys(name for stress in results.stresses.values() for name in stress.metrics)
    shown = [*_SENTIMENT]
    for target, kind in results.targets.items():
        shown += [f"{target}/{name}" for name in list(shown_metrics(TargetKind(kind)))[:_OF_TARGET]]
    of_sets = [f"{name}/{own}" for name in results.targets for own in (COVERAGE, SET_SIZE)]
    return [name for name in (*shown, COVERAGE, HALF_WIDTH, *of_sets) if name in known]


def find_metric(results: RobustnessResults, name: str) -> Metric:
    """Return the metric of a name."""
    return metric_of(name, results.family, results.targets)


def _label(results: RobustnessResults, name: str) -> str:
    title = name.replace("_", " ").replace("/", ": ")
    return f"{title} %" if find_metric(results, name).is_share else title


def _curves(
    results: RobustnessResults,
) -> Iterator[tuple[str, StressResults, str]]:
    """Yield every stress with each run that was tested so."""
    for name, stress in results.stresses.items():
        runs = dict.fromkeys(run for curves in stress.metrics.values() for run in curves)
        yield from ((name, stress, run) for run in runs)


def overall_table(results: RobustnessResults) -> str:
    """Return a table with one number for every curve: its area, or the average over sets."""
    metrics, first = main_metrics(results), next(iter(results.runs))
    has_others = len(results.runs) > 1
    heading = ["stress", *(["run"] if has_others else [])]
    for name in metrics:
        heading += [_label(results, name), "95 %"]
        heading += [f"minus {escape_markdown(first)}", "p"] if has_others else []
    rows = []
    for name, stress, run in _curves(results):
        cells = [name, *([escape_markdown(run)] if has_others else [])]
        for metric in metrics:
            curve = stress.metrics.get(metric, {}).get(run)
            cells += _overall_cells(curve, find_metric(results, metric), first, others=has_others)
        rows.append(cells)
    return markdown_table(heading, rows, 1 + has_others)


def _overall_cells(
    curve: CurveResults | None, metric: Metric, first: str, *, others: bool
) -> list[str]:
    if curve is None:
        return [""] * (4 if others else 2)
    cells = [format_value(curve.overall.mean, metric), interval_cell(curve.overall, metric)]
    if others:
        p = curve.p_corrected
        cells += [difference_cell(curve.overall, first, metric), "" if p is None else f"{p:.3g}"]
    return cells


def point_table(results: RobustnessResults, stress: StressResults) -> str:
    """Return every point of one stress: a row for each metric and run."""
    has_others = len(results.runs) > 1
    heading = ["metric", *(["run"] if has_others else []), *stress.points]
    heading += ["average", *([] if stress.levels is None else ["area"])]
    rows = []
    for name in main_metrics(results):
        metric = find_metric(results, name)
        for run, curve in stress.metrics.get(name, {}).items():
            cells = [_label(results, name), *([escape_markdown(run)] if has_others else [])]
            every = [*curve.points, curve.average, *([] if curve.area is None else [curve.area])]
            cells += [
                f"{format_value(each.mean, metric)} {interval_cell(each, metric)}" for each in every
            ]
            rows.append(cells)
    return markdown_table(heading, rows, 1 + has_others)


def format_overall(results: RobustnessResults) -> str:
    """Return the area of every curve as text, for the terminal."""
    metrics = main_metrics(results)
    rows = []
    for name, stress, run in _curves(results):
        cells = []
        for metric in metrics:
            curve = stress.metrics.get(metric, {}).get(run)
            mean = None if curve is None else curve.overall.mean
            cells.append(format_value(mean, find_metric(results, metric)))
        rows.append([name if len(results.runs) == 1 else f"{name} {run}", *cells])
    return format_table(["stress", *(_label(results, name) for name in metrics)], rows)


def to_csv(results: RobustnessResults) -> str:
    """Return a row for every run, curve, point and metric, unrounded, and for areas and averages.

    ``point`` is a level or the modalities that are there, ``area`` or ``average``.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for name, stress in results.stresses.items():
        levels: Sequence[Number | None] = stress.levels or [None] * len(stress.points)
        for metric, curves in stress.metrics.items():
            for run, curve in curves.items():
                rows: list[tuple[str, Number | None, SourceResults, Number | None]] = [
                    (point, level, each, None)
                    for point, level, each in zip(stress.points, levels, curve.points, strict=True)
                ]
                corrected = curve.p_corrected
                if curve.area is not None:
                    rows.append(("area", None, curve.area, corrected))
                rows.append(("average", None, curve.average, None if curve.area else corrected))
                for point, level, each, p in rows:
                    writer.writerow([run, name, point, level, metric, *_numbers(each), p])
    return text.getvalue()


def _numbers(result: SourceResults) -> list[Number | None]:
    less = next(iter(result.less.values()), None)
    numbers = [result.mean, result.deviation, result.low, result.high]
    if less is None:
        return [*numbers, None, None, None, None]
    return [*numbers, less.difference, less.low, less.high, less.p_value]
