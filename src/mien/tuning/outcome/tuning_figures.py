"""A tuning as figures: how its trials went, and which settings and values count."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float64
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mien.reports.figures.style import (
    COLOURS,
    DASHED,
    GRID,
    INK,
    MUTED,
    legend_style,
    make_figure,
    series_colour,
    style_axes,
)
from mien.tuning.outcome.trial_records import TrialRecord, Tuned
from mien.tuning.space import SearchRange, Value
from mien.types import Task

__all__ = ["TuningFigure", "draw_race", "draw_tuned"]

_BLUE, _RED = COLOURS[Task.TEXT], COLOURS[Task.AUDIO]
_MOST_AXES: Final = 14  # of parallel coordinates; more cannot be read

_LIGHTEST: Final = 0.85  # place in the colours up to which a line is seen on white
_BEYOND_ENDS: Final = 1.4  # by how much a logarithmic axis goes beyond its range, as a factor
_BEYOND: Final = "A triangle at the edge stands for a value beyond it."


class TuningFigure(NamedTuple):
    """A figure of the page.

    Attributes:
        figure: The figure.
        title: What it is called.
        caption: What it shows, in a sentence or two.
    """

    figure: Figure
    title: str
    caption: str


def draw_tuned(tuned: Tuned) -> list[TuningFigure]:
    """Return the figures of one model; those that have nothing to show are left out."""
    figures = [_draw_history(tuned)]
    if tuned.importances:
        figures.append(_draw_importances(tuned))
    drawn = [each for each in tuned.records if each.settings and each.value is not None]
    if len(drawn) > 1:
        figures += [_draw_parallel(tuned, drawn), _draw_slices(tuned, drawn)]
    return figures


def draw_race(models: Sequence[Tuned]) -> TuningFigure:
    """Return the best value so far of every model, trial by trial."""
    goal = models[0].goal
    figure = make_figure("The best so far, trial by trial", 7.5, 3.6)
    axes = figure.subplots()
    for number, tuned in enumerate(models):
        best = best_so_far(tuned)
        colour = series_colour(number)
        numbers = [each.number for each in tuned.records]
        axes.step(numbers, best, where="post", color=colour, label=tuned.name)
    style_axes(axes, across="trial", up=f"{goal.metric} on valid")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(**legend_style())
    return TuningFigure(
        figure,
        "The best so far",
        f"Best `{goal.metric}` on valid among the trials so far; trial 0 has the settings as they "
        f"were given. {_better(tuned)}",
    )


def best_so_far(tuned: Tuned) -> Float64[np.ndarray, " _"]:
    """Return the best value of the trials up to each; NaN before the first that finished."""
    values = [
        each.value if each.state == "finished" and each.value is not None else np.nan
        for each in tuned.records
    ]
    best = np.fmax if tuned.goal.is_maximised else np.fmin
    return np.asarray(best.accumulate(np.array(values, dtype=np.float64)))


def _better(tuned: Tuned) -> str:
    return "Higher is better." if tuned.goal.is_maximised else "Lower is better."


def _explain_part(tuned: Tuned) -> str:
    """Return why the value of a trial that was given up is none of a finished one."""
    if tuned.budget.trainings == 1:
        return ""
    return " (of its first trainings, which compares with the others only as far as these went)"


def _draw_history(tuned: Tuned) -> TuningFigure:
    figure = make_figure("Trials in their order", 7.5, 3.4)
    axes = figure.subplots()
    ends = _find_ends(tuned)
    axes.set_ylim(*ends)
    for state, face, label in (("finished", _BLUE, "finished"), ("pruned", "none", "given up")):
        records = [each for each in tuned.records if each.state == state and each.value is not None]
        for number, each in enumerate(records):
            height, marker = _stand(each.value or 0.0, ends)
            axes.plot(
                each.number, height, marker, markersize=5, color=_BLUE, markerfacecolor=face,
                linestyle="none", label=label if not number else None, zorder=3,
            )  # fmt: skip
    numbers = [each.number for each in tuned.records]
    axes.step(numbers, best_so_far(tuned), where="post", color=_RED, label="best so far")
    if tuned.given is not None and tuned.given.value is not None:
        axes.axhline(
            tuned.given.value, color=MUTED, linestyle=DASHED, linewidth=1, label="as given"
        )
    style_axes(axes, across="trial", up=f"{tuned.goal.metric} on valid")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(**legend_style())
    return TuningFigure(
        figure,
        "History",
        f"`{tuned.goal.metric}` on valid of every trial, the mean of its trainings; of a trial "
        f"that was given up, that of its epochs so far{_explain_part(tuned)}. {_BEYOND} "
        f"{_better(tuned)}",
    )


def _find_ends(tuned: Tuned) -> tuple[float, float]:
    """Return what is shown of the values: those that finished, not squeezed by any given up."""
    values = [each.value or 0.0 for each in tuned.finished]
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.05
    return low - margin, high + margin


def _stand(value: float, ends: tuple[float, float]) -> tuple[float, str]:
    """Return where a value stands, and its mark: a triangle at the edge for one that is beyond."""
    low, high = ends
    if low <= value <= high:
        return value, "o"
    inside = 0.03 * (high - low)
    return (low + inside, "v") if value < low else (high - inside, "^")


def _draw_importances(tuned: Tuned) -> TuningFigure:
    pairs = sorted(tuned.importances.items(), key=lambda pair: pair[1])
    figure = make_figure("Which settings count", 7.5, 1.1 + 0.28 * len(pairs))
    axes = figure.subplots()
    axes.barh([name for name, _ in pairs], [value for _, value in pairs], color=_BLUE, height=0.6)
    style_axes(axes, across="importance")
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", color=GRID, linewidth=0.8)
    return TuningFigure(
        figure,
        "Importances",
        "How much each setting tells whether a finished trial is among the best quarter "
        "(PED-ANOVA); they sum to 1. Of few trials they are rough.",
    )


def _draw_parallel(tuned: Tuned, drawn: Sequence[TrialRecord]) -> TuningFigure:
    ranges = _by_importance(tuned)[:_MOST_AXES]
    figure = make_figure("Which values went together", max(7.5, 1.25 * len(ranges) + 1.5), 4.2)
    axes = figure.subplots()
    finished = [each for each in drawn if each.state == "finished"] or list(drawn)
    values = np.array([each.value for each in finished], dtype=np.float64)
    best, worst = np.quantile(values, [1.0, 0.2] if tuned.goal.is_maximised else [0.0, 0.8])
    scale = Normalize(min(best, worst), max(best, worst), clip=True)
    colours = colormaps["viridis"]  # from dark to light
    for each in finished:
        heights = [_height(span, each.settings[span.name]) for span in ranges]
        is_best = each.number == tuned.best.number
        share = float(scale(each.value or 0.0))
        light = _LIGHTEST * (1 - share if tuned.goal.is_maximised else share)
        colour = _RED if is_best else colours(light)
        axes.plot(
            range(len(ranges)), heights, color=colour,
            linewidth=2.6 if is_best else 1.1, alpha=1.0 if is_best else 0.75,
            zorder=3 if is_best else 2,
        )  # fmt: skip
    for place, span in enumerate(ranges):
        axes.axvline(place, color=MUTED, linewidth=0.8, zorder=1)
        for value in _marks(span):
            axes.text(
                place + 0.03, _height(span, value), _short(value), fontsize=7.5, color=INK,
                va="center", parse_math=False,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.6},
                zorder=4,
            )  # fmt: skip
    style_axes(axes)
    axes.set_xticks(range(len(ranges)), [_break(span.name) for span in ranges], fontsize=7.5)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    return TuningFigure(
        figure,
        "Parallel coordinates",
        "A line is a trial that finished, an axis a setting: those that count most come first. "
        "Dark lines are better; the thick line is the best.",
    )


def _draw_slices(tuned: Tuned, drawn: Sequence[TrialRecord]) -> TuningFigure:
    ranges = _by_importance(tuned)
    columns = min(4, len(ranges))
    rows = -(-len(ranges) // columns)
    figure = make_figure("Setting by setting", 2.5 * columns, 0.6 + 2.1 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    ends = _find_ends(tuned)
    grid[0, 0].set_ylim(*ends)
    for span, axes in zip(ranges, grid.flat, strict=False):
        for each in drawn:
            is_finished = each.state == "finished"
            is_best = each.number == tuned.best.number
            height, marker = _stand(each.value or 0.0, ends)
            axes.plot(
                _position(span, each.settings[span.name]), height, marker, markersize=5,
                color=_RED if is_best else _BLUE,
                markerfacecolor=(_RED if is_best else _BLUE) if is_finished else "none",
                zorder=3 if is_best else 2,
            )  # fmt: skip
        style_axes(axes, span.name, up=tuned.goal.metric if axes in grid[:, 0] else "")
        axes.title.set_fontsize(8)
        if span.choices:
            names = [_short(choice) for choice in span.choices]
            axes.set_xticks(range(len(names)), names)
            axes.set_xlim(-0.5, len(names) - 0.5)
        elif span.log:
            axes.set_xscale("log")
            marks = [float(mark) for mark in _marks(span)]
            axes.set_xticks(marks, [_short(mark) for mark in marks])
            axes.minorticks_off()
            axes.set_xlim(marks[0] / _BEYOND_ENDS, marks[-1] * _BEYOND_ENDS)
    for axes in grid.flat[len(ranges) :]:
        axes.set_visible(False)
    return TuningFigure(
        figure,
        "Setting by setting",
        f"`{tuned.goal.metric}` on valid over each setting; hollow: given up"
        f"{_explain_part(tuned)}; red: the best. {_BEYOND}",
    )


def _by_importance(tuned: Tuned) -> list[SearchRange]:
    return sorted(tuned.space.ranges, key=lambda span: -tuned.importances.get(span.name, 0.0))


def _position(span: SearchRange, value: Value) -> float:
    return float(span.choices.index(value) if span.choices else value)


def _height(span: SearchRange, value: Value) -> float:
    """Return where a value stands on its axis, 0 to 1."""
    if span.choices:
        return span.choices.index(value) / (len(span.choices) - 1)
    ends = np.array([span.low, span.high, float(value)])
    low, high, own = np.log(ends) if span.log else ends
    return float((own - low) / (high - low))


def _marks(span: SearchRange) -> list[Value]:
    if span.choices:
        return list(span.choices)
    if span.log:
        return [*np.geomspace(span.low, span.high, 3).tolist()]
    return [*np.linspace(span.low, span.high, 3).tolist()]


def _short(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else f"{value:.3g}"


def _break(name: str) -> str:
    return name.replace(".", ".\n")
