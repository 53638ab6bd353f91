"""Figures of classes: which are taken for which, and how far probabilities can be relied on."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from mien.evaluation.probabilities.reliability import Reliability
from mien.evaluation.target_metrics.confusion import share_rows
from mien.reports.figures.style import (
    COLOURS,
    DASHED,
    GRID,
    INK,
    MUTED,
    legend_style,
    make_figure,
    series_colour,
    series_marker,
    style_axes,
)
from mien.reports.figures.words import keep_printable
from mien.types import Task

__all__ = ["draw_confusion", "draw_reliability"]

#: Classes up to which every cell has its numbers, and every class its name.
_MOST_WRITTEN: Final = 12
_MOST_NAMED: Final = 40
#: Shares above this stand on a dark ground.
_DARK: Final = 0.85
_LONGEST_NAME: Final = 18
_SHADES: Final = LinearSegmentedColormap.from_list("shares", ["#ffffff", COLOURS[Task.TEXT]])


def draw_confusion(counts: Int[np.ndarray, "K K"], classes: Sequence[str], title: str) -> Figure:
    """Draw a confusion matrix: the shade is the share of the clips of a row's class.

    Up to 12 classes every cell has its share in percent, and the number of clips below. A row
    without clips is grey.

    Args:
        counts: From ``count_confusion``: annotated classes in rows, predicted ones in columns.
        classes: Their names.
        title: What the figure shows.
    """
    size = len(classes)
    shares = share_rows(counts)
    is_written = size <= _MOST_WRITTEN
    side = max(2.4, 0.72 * size) if is_written else 6.5
    figure = make_figure(title, side + (2.4 if is_written else 3.4), side + 1.3)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap=_SHADES.with_extremes(bad=GRID), vmin=0, vmax=1)
    style_axes(axes, across="predicted class", up="annotated class")
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    _name_classes(axes, counts, classes)
    if is_written:
        _write_cells(axes, counts, shares)
    else:
        bar = figure.colorbar(image, ax=axes, shrink=0.6)
        bar.set_label("share of the clips of a class", fontsize=9.5, color=INK)
        bar.ax.tick_params(labelsize=8.5, color=MUTED, labelcolor=INK)
    return figure


def _name_classes(axes: Axes, counts: Int[np.ndarray, "K K"], classes: Sequence[str]) -> None:
    step = -(-len(classes) // _MOST_NAMED)
    places = list(range(0, len(classes), step))
    names = [_shorten(keep_printable(classes[place])) for place in places]
    numbers = counts.sum(axis=1)
    rows = [f"{name}  ({numbers[k]})" for name, k in zip(names, places, strict=True)]
    small = 8.5 if len(places) <= _MOST_WRITTEN else 6.5
    axes.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, rows)
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set(fontsize=small, parse_math=False)


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _write_cells(
    axes: Axes, counts: Int[np.ndarray, "K K"], shares: Float[np.ndarray, "K K"]
) -> None:
    for row, column in np.ndindex(counts.shape):
        share, count = shares[row, column], counts[row, column]
        if not count:
            continue
        colour = "white" if share > _DARK else INK
        axes.text(
            column, row, f"{100 * share:.0f} %", ha="center", va="bottom", color=colour, fontsize=9
        )
        axes.text(column, row + 0.06, f"{count}", ha="center", va="top", color=colour, fontsize=7.5)


def draw_reliability(curves: Mapping[str, Reliability], title: str) -> Figure:
    """Draw how often predictions come true against how sure they were, and how many there are.

    The dashed line is where probabilities are as sure as they are right; a point below it is too
    sure. Empty bins have no point.

    Args:
        curves: By names, such as before and after scaling; at least one, with the same bins.
        title: What the figure shows.
    """
    figure = make_figure(title, 5.4, 5.6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    above.plot([0, 1], [0, 1], color=MUTED, linestyle=DASHED, linewidth=1)
    for number, (name, curve) in enumerate(curves.items()):
        colour, has = series_colour(number), [b for b in curve.bins if b.num_clips]
        above.plot(
            [each.predicted for each in has],
            [each.observed for each in has],
            color=colour,
            marker=series_marker(number),
            markersize=5,
            clip_on=False,
            label=f"{keep_printable(name)} (ECE {curve.ece:.3f})",
        )
        width = (curve.bins[0].high - curve.bins[0].low) / (len(curves) + 0.5)
        below.bar(
            [each.low + (number + 0.75) * width for each in curve.bins],
            [each.num_clips for each in curve.bins],
            width,
            color=colour,
        )
    style_axes(above, up="came true, share")
    style_axes(below, across="predicted probability", up="clips")
    above.set(xlim=(0, 1), ylim=(0, 1))
    for text in above.legend(loc="upper left", **legend_style()).get_texts():
        text.set_parse_math(False)
    return figure
