"""Panels of like axes to figures: values with intervals, and lines with bands."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mien.evaluation.significance import SourceResults
from mien.reports.figures.style import (
    DASHED,
    GRID,
    INK,
    MUTED,
    make_figure,
    series_colour,
    series_marker,
    style_axes,
)

__all__ = [
    "Estimate",
    "IntervalPanel",
    "Line",
    "LinePanel",
    "draw_intervals",
    "draw_lines",
    "estimates_of",
]

_NOTE_LETTERS: Final = 12  # of a note, in an inch


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with its interval.

    Attributes:
        value: The value; None leaves a gap.
        low: Lower end; None if there is no interval.
        high: Upper end.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalPanel:
    """One axes of a figure of intervals.

    Attributes:
        title: Stands above it.
        across: What the values are.
        estimates: Per name; a name that is not there leaves its line empty.
        mark: Where a dashed line stands, such as what equal weights get; None for none.
    """

    title: str
    across: str
    estimates: Mapping[str, Estimate]
    mark: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a panel, with a band where there are intervals.

    Attributes:
        places: Where the values lie.
        estimates: The values.
        dot: Number of the value that is marked, from 0; None for none.
    """

    places: Sequence[float | int]
    estimates: Sequence[Estimate]
    dot: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePanel:
    """One axes of a figure of lines.

    Attributes:
        title: Stands above it.
        across: What the places are.
        up: What the values are.
        lines: Per name, one line or several of the same kind.
        mark: Where a dashed line stands; None for none.
    """

    title: str
    across: str
    up: str
    lines: Mapping[str, Sequence[Line]]
    mark: float | None = None


def estimates_of(sources: Mapping[str, SourceResults]) -> dict[str, Estimate]:
    """Return a metric of several sources as values with their intervals."""
    return {
        name: Estimate(value=result.mean, low=result.low, high=result.high)
        for name, result in sources.items()
    }


def draw_intervals(
    rows: Sequence[Sequence[IntervalPanel]], names: Sequence[str], title: str, note: str = ""
) -> Figure:
    """Draw a value with its interval for every name, in a grid of panels.

    Panels of one row share their axis of values where it is called the same.

    Args:
        rows: The panels, row by row; shorter rows are filled up with nothing.
        names: What is compared, from above.
        title: Stands above the figure.
        note: Stands below it.
    """
    num_columns = max(len(row) for row in rows)
    longest = max(len(name) for name in names)
    width = 2.9 * num_columns + 0.085 * longest + 0.5
    figure = make_figure(title, width, len(rows) * (0.27 * len(names) + 0.95) + 0.7)
    grid = figure.subplots(len(rows), num_columns, squeeze=False, sharey=True)
    for panels, axes_of_row in zip(rows, grid, strict=True):
        first: dict[str, Axes] = {}
        for panel, axes in zip(panels, axes_of_row, strict=False):
            if (other := first.setdefault(panel.across, axes)) is not axes:
                axes.sharex(other)
            _draw_intervals(axes, panel, names)
        for axes in axes_of_row[len(panels) :]:
            axes.set_axis_off()
    grid[0, 0].set_yticks(range(len(names)), map(_plain, names))
    for axes in grid.flat:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    grid[0, 0].set_ylim(len(names) - 0.5, -0.5)
    if note:
        figure.supxlabel(_fit(note, width), x=0.01, ha="left", fontsize=8.5, color=MUTED)
    return figure


def _plain(name: str) -> str:
    """Return a name in which matplotlib finds no formula."""
    return name.replace("$", r"\$")


def _fit(note: str, width: float) -> str:
    """Break a note into lines that a figure so many inches wide can hold."""
    return textwrap.fill(note, int(width * _NOTE_LETTERS))


def _draw_intervals(axes: Axes, panel: IntervalPanel, names: Sequence[str]) -> None:
    style_axes(axes, panel.title, across=panel.across)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", color=GRID, linewidth=0.8)
    if panel.mark is not None:
        axes.axvline(panel.mark, color=MUTED, linewidth=1.1, linestyle=DASHED, zorder=1)
    for row, name in enumerate(names):
        estimate = panel.estimates.get(name)
        if estimate is None or estimate.value is None:
            continue
        colour = series_colour(row)
        if estimate.low is not None and estimate.high is not None:
            axes.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=1.6)
        axes.plot(
            estimate.value, row, series_marker(row), color=colour, markersize=6,
            markeredgecolor="white",
        )  # fmt: skip


def draw_lines(
    rows: Sequence[Sequence[LinePanel]],
    names: Sequence[str],
    title: str,
    note: str = "",
    *,
    has_integer_places: bool = False,
) -> Figure:
    """Draw lines, with a band where there are intervals, in a grid of panels.

    Panels of one row share their axis of values.

    Args:
        rows: The panels, row by row.
        names: What the lines are called, in the order of their colours.
        title: Stands above the figure.
        note: Stands below it.
        has_integer_places: Whether places are integers, as epochs are.
    """
    num_columns = max(len(row) for row in rows)
    width = 3.4 * num_columns + 0.6
    figure = make_figure(title, width, 2.7 * len(rows) + 1.2)
    grid = figure.subplots(len(rows), num_columns, squeeze=False, sharex=True, sharey="row")
    for panels, axes_of_row in zip(rows, grid, strict=True):
        for panel, axes in zip(panels, axes_of_row, strict=False):
            _draw_lines(axes, panel, names)
            axes.yaxis.label.set_visible(axes is axes_of_row[0])
            if has_integer_places:
                axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        for axes in axes_of_row[len(panels) :]:
            axes.set_axis_off()
    keys = [
        Line2D(
            [],
            [],
            color=series_colour(number),
            marker=series_marker(number),
            markersize=5,
            linewidth=1.4,
        )
        for number in range(len(names))
    ]
    num_abreast = min(2 if num_columns == 1 else 4, len(names))
    figure.legend(
        keys, list(map(_plain, names)), loc="outside lower left", ncols=num_abreast, fontsize=8.5,
        frameon=False, labelcolor=INK, handlelength=2.0, title=_fit(note, width) or None,
        title_fontsize=8.5, alignment="left",
    )  # fmt: skip
    return figure


def _draw_lines(axes: Axes, panel: LinePanel, names: Sequence[str]) -> None:
    style_axes(axes, panel.title, across=panel.across, up=panel.up)
    if panel.mark is not None:
        axes.axhline(panel.mark, color=MUTED, linewidth=1.1, linestyle=DASHED, zorder=1)
    for number, name in enumerate(names):
        colour = series_colour(number)
        for line in panel.lines.get(name, ()):
            values, lows, highs = (
                np.array([math.nan if v is None else v for v in each], dtype=np.float64)
                for each in (
                    [estimate.value for estimate in line.estimates],
                    [estimate.low for estimate in line.estimates],
                    [estimate.high for estimate in line.estimates],
                )
            )
            has_dots = line.dot is None and len(values) <= 12
            axes.plot(
                line.places, values, color=colour, linewidth=1.4,
                marker=series_marker(number) if has_dots else None, markersize=4.5,
            )  # fmt: skip
            if not np.isnan(lows).all():
                axes.fill_between(line.places, lows, highs, color=colour, alpha=0.13, linewidth=0)
            if line.dot is not None:
                axes.plot(
                    line.places[line.dot], values[line.dot], series_marker(number), color=colour,
                    markersize=6, markeredgecolor="white",
                )  # fmt: skip
