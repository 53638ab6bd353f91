"""Training losses and validation metrics by epoch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mien.evaluation.metrics import RELATIVE_LOSS
from mien.reports.figures.style import (
    DASHED,
    MUTED,
    legend_style,
    make_figure,
    series_colour,
    series_marker,
    style_axes,
)
from mien.reports.text import name_metric
from mien.types import Task

__all__ = ["draw_learning", "has_relative_loss"]

_Histories = Mapping[int, Sequence[Mapping[str, Any]]]

_SEEDS_ABREAST: Final = 5  # in the legend
_NARROWEST: Final = 4.2  # inches, into which the title of the legend fits


def has_relative_loss(histories: _Histories) -> bool:
    """Return whether validation measures a relative loss, as it does where targets are learned."""
    return RELATIVE_LOSS in next(iter(histories.values()))[0]["valid"]


def draw_learning(histories: _Histories, monitor: str, title: str) -> Figure:
    """Draw training losses and validation metrics by epoch, a line for each seed.

    Above the multimodal task, where the training loss is an MAE as well; below the losses of the
    unimodal tasks, and how many proposed labels were cut to the scale, if that changes.

    Args:
        histories: Per seed the lines of ``epochs.jsonl``.
        monitor: Validation metric that picked the best epoch.
        title: Stands above the figure.
    """
    rows = [row for row in (_multimodal(histories), _unimodal(histories)) if row]
    num_columns = max(map(len, rows))
    width = max(_NARROWEST, 2.85 * num_columns + 0.3)
    figure = make_figure(title, width, 2.6 * len(rows) + 0.95)
    grid = figure.subplots(len(rows), num_columns, squeeze=False)
    for panels, axes_of_row in zip(rows, grid, strict=True):
        first: dict[str, Axes] = {}
        for panel, axes in zip(panels, axes_of_row, strict=False):
            if (other := first.setdefault(panel.up, axes)) is not axes:
                axes.sharey(other)
            _draw_panel(axes, panel, histories)
        for panel, axes in zip(panels, axes_of_row, strict=False):
            if panel.starts_at_zero:  # after all that share the axis have been drawn
                axes.set_ylim(bottom=0)
        for axes in axes_of_row[len(panels) :]:
            axes.set_axis_off()
    figure.legend(
        [_seed_key(number) for number in range(len(histories))],
        [f"seed {seed}" for seed in histories],
        **legend_style(),
        loc="outside lower left",
        ncols=min(_SEEDS_ABREAST, len(histories)),
        title=f"mark: best epoch of a seed by validation {_name(monitor)}",
        title_fontsize=8.5,
        alignment="left",
    )
    return figure


class _Curve(NamedTuple):
    """What is read from each epoch, and how it is drawn."""

    name: str
    read: Callable[[Mapping[str, Any]], float]
    style: Any = "solid"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    """The curves of one panel."""

    title: str
    up: str
    curves: list[_Curve]
    factor: float = 1.0
    starts_at_zero: bool = False


def _name(metric: str) -> str:
    return "relative loss" if metric == RELATIVE_LOSS else name_metric(metric)


def _multimodal(histories: _Histories) -> list[_Panel]:
    """Return the panels of the multimodal task; MAE is what is minimised, too."""
    first = next(iter(histories.values()))[0]
    panels = []
    acc2 = [name for name in first["valid"] if name.startswith("acc2")]
    for name in (RELATIVE_LOSS, "mae", "corr", *acc2):
        if name not in first["valid"]:
            continue
        curves = [_Curve("validation", partial(_read_valid, name=name))]
        if name == "mae" and not has_relative_loss(histories):
            curves.append(_Curve("training", partial(_read_loss, task=Task.FUSION), DASHED))
        is_share, title = name.startswith("acc2"), _name(name)
        panels.append(
            _Panel(
                title=f"{'validation ' * (name != 'mae')}{title}",
                up=f"{title}{', %' * is_share}",
                curves=curves,
                factor=100.0 if is_share else 1.0,
            )
        )
    return panels


def _unimodal(histories: _Histories) -> list[_Panel]:
    """Return the panels of the unimodal tasks and their labels."""
    first = next(iter(histories.values()))[0]
    panels = [
        _Panel(
            title=f"training loss, {task}",
            up="weighted loss" if has_relative_loss(histories) else "weighted absolute error",
            curves=[_Curve("", partial(_read_loss, task=task))],
            starts_at_zero=True,
        )
        for task in map(Task, first["losses"])
        if task is not Task.FUSION
    ]
    if any(_keeps_changing(history) for history in histories.values()):
        panels.append(
            _Panel(
                title="proposed labels cut to the scale",
                up="%",
                curves=[_Curve("", lambda epoch: float(epoch["clipped"]))],
                factor=100.0,
                starts_at_zero=True,
            )
        )
    return panels


def _keeps_changing(history: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the share of labels that were cut changes more than once.

    Labels that are made before the training, and taken after a warm-up, change once.
    """
    shares = [float(epoch["clipped"]) for epoch in history]
    return sum(share != before for before, share in pairwise(shares)) > 1


def _read_loss(epoch: Mapping[str, Any], task: Task) -> float:
    return float(epoch["losses"][str(task)])


def _read_valid(epoch: Mapping[str, Any], name: str) -> float:
    return float(epoch["valid"][name])


def _draw_panel(axes: Axes, panel: _Panel, histories: _Histories) -> None:
    style_axes(axes, panel.title, across="epoch", up=panel.up)
    for curve in panel.curves:
        for number, history in enumerate(histories.values()):
            values = [panel.factor * curve.read(epoch) for epoch in history]
            _draw_curve(axes, values, curve.style, number, _best(history))
    if len(panel.curves) > 1:
        keys = [Line2D([], [], color=MUTED, linestyle=curve.style) for curve in panel.curves]
        axes.legend(keys, [curve.name for curve in panel.curves], **legend_style())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.margins(y=0.08)


def _draw_curve(
    axes: Axes,
    values: Sequence[float],
    style: Any,  # noqa: ANN401  # a name or a pattern of dashes
    number: int,
    best: int,
) -> None:
    """Draw the curve of a seed; its best epoch is marked on what validation measured."""
    colour = series_colour(number)
    epochs = np.arange(1, len(values) + 1)
    axes.plot(epochs, values, color=colour, linewidth=1.2, alpha=0.8, linestyle=style)
    if style == "solid":
        axes.plot(
            best, values[best - 1], series_marker(number), color=colour, markersize=6,
            markeredgecolor="white",
        )  # fmt: skip


def _seed_key(number: int) -> Line2D:
    return Line2D(
        [], [], color=series_colour(number), marker=series_marker(number), markersize=5,
        linewidth=1.2,
    )  # fmt: skip


def _best(history: Sequence[Mapping[str, Any]]) -> int:
    return max(int(epoch["epoch"]) for epoch in history if epoch["is_best"])
