"""Training losses and validation metrics by epoch."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mien.reports.figures.style import (
    COLOURS,
    DASHED,
    MUTED,
    legend_style,
    make_figure,
    style_axes,
)
from mien.types import Task

__all__ = ["draw_learning"]


def draw_learning(
    histories: Mapping[int, Sequence[Mapping[str, Any]]], monitor: str, title: str
) -> Figure:
    """Draw training losses and validation metrics by epoch, a line for each seed.

    Args:
        histories: Per seed the lines of ``epochs.jsonl``.
        monitor: Validation metric that picked the best epoch.
        title: Stands above the figure.
    """
    groups = _group_curves(histories, monitor)
    num_columns = min(3, len(groups))
    num_rows = math.ceil(len(groups) / num_columns)
    figure = make_figure(title, 3.5 * num_columns + 0.3, 2.75 * num_rows + 0.75)
    panels: list[Axes] = list(figure.subplots(num_rows, num_columns, squeeze=False).flat)
    for axes, group in zip(panels, groups, strict=False):
        style_axes(axes, group.title, across="epoch", up=group.up)
        for curve in group.curves:
            for history in histories.values():
                values = [group.factor * curve.read(epoch) for epoch in history]
                _draw_curve(axes, values, curve.colour, _best(history), style=curve.style)
        if len(group.curves) > 1:
            keys = [Line2D([], [], color=c.colour, linestyle=c.style) for c in group.curves]
            axes.legend(keys, [c.name for c in group.curves], **legend_style())
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.margins(y=0.08)
        if group.starts_at_zero:
            axes.set_ylim(bottom=0)
    for axes in panels[len(groups) :]:
        axes.set_axis_off()
    seeds = "the seed" if len(histories) == 1 else f"each of {len(histories)} seeds"
    mark = [Line2D([], [], color=MUTED, linewidth=1.1, marker="o", markersize=5)]
    names = [f"a line for {seeds}; dot: its best epoch"]
    figure.legend(mark, names, **legend_style(), loc="outside lower left")
    return figure


class _Curve(NamedTuple):
    """What is read from each epoch, and how it is drawn."""

    name: str
    read: Callable[[Mapping[str, Any]], float]
    colour: str
    style: Any = "solid"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """The curves of one panel."""

    title: str
    up: str
    curves: list[_Curve]
    factor: float = 1.0
    starts_at_zero: bool = False


def _group_curves(
    histories: Mapping[int, Sequence[Mapping[str, Any]]], monitor: str
) -> list[_Group]:
    """Decide what is drawn: losses, cut labels, and validation metrics."""
    first = next(iter(histories.values()))[0]
    tasks = [Task(name) for name in first["losses"]]
    curves = [_Curve(str(t), partial(_read_loss, task=t), COLOURS[t]) for t in tasks]
    error = "weighted absolute error"
    groups = [_Group(title="training loss, fusion", up=error, curves=curves[:1])]
    if len(curves) > 1:
        words = "training loss, unimodal tasks"
        groups.append(_Group(title=words, up=error, curves=curves[1:], starts_at_zero=True))
    if any(epoch["clipped"] > 0 for history in histories.values() for epoch in history):
        cut = [_Curve("", lambda epoch: float(epoch["clipped"]), MUTED)]
        words = "proposed labels cut to the scale"
        groups.append(
            _Group(title=words, up="percent", curves=cut, factor=100.0, starts_at_zero=True)
        )
    for name, words in (("mae", "mean absolute error"), ("corr", "correlation")):
        picks = " (picks the best epoch)" if name == monitor else ""
        curve = _Curve(name, partial(_read_valid, name=name), COLOURS[Task.FUSION])
        groups.append(_Group(title=f"validation {name}{picks}", up=words, curves=[curve]))
    readings = [name for name in first["valid"] if name.startswith("acc2")]
    styles = ["solid", DASHED]
    curves = [
        _Curve(name, partial(_read_valid, name=name), COLOURS[Task.FUSION], style)
        for name, style in zip(readings, styles, strict=False)
    ]
    title = f"validation {' and '.join(readings)}"
    groups.append(_Group(title=title, up="percent", curves=curves, factor=100.0))
    return groups


def _read_loss(epoch: Mapping[str, Any], task: Task) -> float:
    return float(epoch["losses"][str(task)])


def _read_valid(epoch: Mapping[str, Any], name: str) -> float:
    return float(epoch["valid"][name])


def _draw_curve(
    axes: Axes,
    values: Sequence[float],
    colour: str,
    best: int,
    style: Any = "solid",  # noqa: ANN401  # a name or a pattern of dashes
) -> None:
    epochs = np.arange(1, len(values) + 1)
    axes.plot(epochs, values, color=colour, linewidth=1.1, alpha=0.75, linestyle=style)
    axes.plot(best, values[best - 1], "o", color=colour, markersize=5.5, markeredgecolor="white")


def _best(history: Sequence[Mapping[str, Any]]) -> int:
    return max(int(epoch["epoch"]) for epoch in history if epoch["is_best"])
