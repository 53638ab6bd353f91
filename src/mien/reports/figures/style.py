"""Plain values to plots: learning curves, scores, generated labels; never through pyplot."""

import io
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from mien.evaluation.metrics import Scores
from mien.evaluation.predictions import Predictions
from mien.files.atomic import write_bytes
from mien.reports.finished_run import TrainLabels
from mien.types import Modality, Scale, Task

__all__ = [
    "COLOURS",
    "INK",
    "MUTED",
    "AgreementCurves",
    "draw_agreement",
    "draw_labels",
    "draw_learning",
    "draw_scores",
    "make_figure",
    "save_figure",
    "style_axes",
]

#: One colour per task, the same in every figure. Source: okabe2008, safe for colour-blind readers.
COLOURS: Final[dict[Task, str]] = {
    Task.FUSION: "#222222",
    Task.TEXT: "#0072B2",
    Task.AUDIO: "#D55E00",
    Task.VIDEO: "#009E73",
}
INK: Final = "#222222"
MUTED: Final = "#6e6e6e"
_GRID: Final = "#e6e6e6"
_DASHED: Final = (0, (4, 2))
_DPI: Final = 130


def make_figure(title: str, width: float, height: float) -> Figure:
    """Return an empty figure with a title, sizes in inches; every part is laid out by itself."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    lines = textwrap.fill(title, round(width / 0.105))  # a character takes about a tenth of an inch
    figure.suptitle(
        lines, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK, parse_math=False
    )
    return figure


def style_axes(axes: Axes, title: str = "", *, across: str = "", up: str = "") -> None:
    """Give axes their title and labels, and take away what carries no information."""
    axes.set_title(title, loc="left", fontsize=10.5, color=INK, parse_math=False)
    axes.set_xlabel(across, fontsize=9.5, color=INK)
    axes.set_ylabel(up, fontsize=9.5, color=INK)
    axes.tick_params(labelsize=8.5, color=MUTED, labelcolor=INK, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.grid(visible=True, axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG beside ``path`` and rename it; the same figure gives the same bytes."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=_DPI, facecolor="white")
    write_bytes(path, picture.getvalue())


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
                values = [group.factor * curve.read(one) for one in history]
                _draw_curve(axes, values, curve.colour, _best(history), style=curve.style)
        if len(group.curves) > 1:
            keys = [Line2D([], [], color=c.colour, linestyle=c.style) for c in group.curves]
            axes.legend(keys, [c.name for c in group.curves], **_legend())
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.margins(y=0.08)
        if group.starts_at_zero:
            axes.set_ylim(bottom=0)
    for axes in panels[len(groups) :]:
        axes.set_axis_off()
    seeds = "the seed" if len(histories) == 1 else f"each of {len(histories)} seeds"
    mark = [Line2D([], [], color=MUTED, linewidth=1.1, marker="o", markersize=5)]
    names = [f"a line for {seeds}; dot: its best epoch"]
    figure.legend(mark, names, **_legend(), loc="outside lower left")
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
    if any(one["clipped"] > 0 for history in histories.values() for one in history):
        cut = [_Curve("", lambda one: float(one["clipped"]), MUTED)]
        words = "proposed labels cut to the scale"
        groups.append(
            _Group(title=words, up="percent", curves=cut, factor=100.0, starts_at_zero=True)
        )
    for name, words in (("mae", "mean absolute error"), ("corr", "correlation")):
        picks = " (picks the best epoch)" if name == monitor else ""
        curve = _Curve(name, partial(_read_valid, name=name), COLOURS[Task.FUSION])
        groups.append(_Group(title=f"validation {name}{picks}", up=words, curves=[curve]))
    readings = [name for name in first["valid"] if name.startswith("acc2")]
    styles = ["solid", _DASHED]
    curves = [
        _Curve(name, partial(_read_valid, name=name), COLOURS[Task.FUSION], style)
        for name, style in zip(readings, styles, strict=False)
    ]
    title = f"validation {' and '.join(readings)}"
    groups.append(_Group(title=title, up="percent", curves=curves, factor=100.0))
    return groups


def _read_loss(one: Mapping[str, Any], task: Task) -> float:
    return float(one["losses"][str(task)])


def _read_valid(one: Mapping[str, Any], name: str) -> float:
    return float(one["valid"][name])


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
    return max(int(one["epoch"]) for one in history if one["is_best"])


def _legend() -> dict[str, Any]:
    return {"fontsize": 8.5, "frameon": False, "labelcolor": INK, "handlelength": 1.6}


def draw_scores(predictions: Sequence[Predictions], scale: Scale, title: str) -> Figure:
    """Draw score against label for every task that is annotated, all seeds in one cloud.

    Args:
        predictions: Those of each seed on one split.
        scale: Range of the annotations.
        title: Stands above the figure.
    """
    first = predictions[0]
    tasks = [t for t in Task if t in first.scores and t in first.targets]
    tasks = [t for t in tasks if not np.isnan(first.targets[t]).all()]
    figure = make_figure(title, 3.0 * len(tasks) + (1.6 if len(tasks) == 1 else 0.5), 3.9)
    panels: list[Axes] = list(figure.subplots(1, len(tasks), squeeze=False, sharey=True)[0])
    for axes, task in zip(panels, tasks, strict=True):
        kept = ~np.isnan(first.targets[task])
        if task is not Task.FUSION:
            kept &= first.present[Modality(task)]
        labels = np.concatenate([one.targets[task][kept] for one in predictions])
        scores = np.concatenate([one.scores[task][kept] for one in predictions])
        _draw_cloud(axes, labels, scores, scale, COLOURS[task])
        style_axes(axes, f"{task}, {kept.sum()} clips", across="annotated label")
        axes.grid(visible=False)
    panels[0].set_ylabel("score", fontsize=9.5, color=INK)
    handles = [
        Line2D([], [], color=MUTED, linewidth=1, linestyle=_DASHED),
        Line2D([], [], color=INK, marker="o", markersize=5.5, linewidth=1.2, markerfacecolor="w"),
    ]
    panels[0].legend(handles, ["score = label", "mean score"], **_legend(), loc="upper left")
    return figure


def _draw_cloud(axes: Axes, labels: Scores, scores: Scores, scale: Scale, colour: str) -> None:
    alpha = float(np.clip(60 / math.sqrt(len(labels) + 1) / 10, 0.04, 0.5))
    margin = 0.05 * (scale.high - scale.low)
    low = min(scale.low, float(np.quantile(scores, 0.001))) - margin
    high = max(scale.high, float(np.quantile(scores, 0.999))) + margin
    axes.axhline(0, color=_GRID, linewidth=0.8, zorder=0)
    axes.axvline(0, color=_GRID, linewidth=0.8, zorder=0)
    axes.scatter(labels, scores, s=13, color=colour, alpha=alpha, linewidths=0)
    axes.plot([scale.low, scale.high], [scale.low, scale.high], color=MUTED, linestyle=_DASHED)
    edges = np.linspace(scale.low, scale.high, 13)
    places = np.clip(np.digitize(labels, edges[1:-1]), 0, len(edges) - 2)
    counts = np.bincount(places, minlength=len(edges) - 1)
    kept = counts >= max(3, len(labels) // 500)
    mean_labels = np.bincount(places, labels, minlength=len(counts))[kept] / counts[kept]
    mean_scores = np.bincount(places, scores, minlength=len(counts))[kept] / counts[kept]
    axes.plot(
        mean_labels, mean_scores, "o-", color=colour, markersize=5.5, linewidth=1.2,
        markerfacecolor="white", markeredgewidth=1.3,
    )  # fmt: skip
    axes.set_xlim(scale.low - margin, scale.high + margin)
    axes.set_ylim(low, high)


def draw_labels(
    trajectory: Float[np.ndarray, "_ M N"],
    labels: TrainLabels,
    best_epoch: int,
    scale: Scale,
    title: str,
) -> Figure:
    """Draw how the generated labels of train are spread over the scale, at some epochs.

    Args:
        trajectory: What each unimodal task was trained on, epoch by epoch.
        labels: The multimodal annotation and what is known of the modalities.
        best_epoch: The epoch that validation picked, counted from 1.
        scale: Range of the annotations.
        title: Stands above the figure.
    """
    epochs = _pick_epochs(len(trajectory), best_epoch)
    edges = _bin_edges(labels.annotated, scale)
    modalities = labels.modalities
    size = 2.35 * len(epochs) + 0.8, 1.75 * len(modalities) + 1.1
    figure = make_figure(title, *size)
    panels = figure.subplots(len(modalities), len(epochs), squeeze=False, sharex=True, sharey="row")
    for row, modality in enumerate(modalities):
        for column, epoch in enumerate(epochs):
            best = " (best)" if epoch == best_epoch else ""
            style_axes(panels[row, column], f"epoch {epoch}{best}" if row == 0 else "")
            generated = trajectory[epoch - 1, row]
            _draw_spread(panels[row, column], generated, labels, modality, edges)
        panels[row, 0].set_ylabel(f"{modality}\n% of clips", fontsize=9.5, color=INK)
    for axes in panels[-1]:
        axes.set_xlabel("label", fontsize=9.5, color=INK)
    figure.legend(*_label_keys(labels), **_legend(), ncols=3, loc="outside lower left")
    return figure


def _pick_epochs(num_epochs: int, best_epoch: int) -> list[int]:
    """Return up to five epochs: the first, the best, the last, and some early ones between."""
    spaced = np.geomspace(1, num_epochs, min(4, num_epochs)).round().astype(int)
    return sorted({*spaced.tolist(), best_epoch})


def _bin_edges(annotated: Scores, scale: Scale) -> Float[np.ndarray, "_"]:
    """Return bins with the usual values of the annotation in their middle, 8 to 32 of them."""
    values = np.unique(annotated.round(4))
    gap = float(np.median(np.diff(values))) if len(values) > 1 else math.inf
    num = round((scale.high - scale.low) / gap) if gap > 0 else 0
    num = num if 8 <= num <= 32 else 24
    half = (scale.high - scale.low) / num / 2
    return np.linspace(scale.low - half, scale.high + half, num + 2)


def _draw_spread(
    axes: Axes,
    generated: Scores,
    labels: TrainLabels,
    modality: Modality,
    edges: Float[np.ndarray, "_"],
) -> None:
    colour = COLOURS[Task(modality)]
    axes.stairs(_shares(generated, edges), edges, fill=True, color=colour, alpha=0.45, linewidth=0)
    axes.stairs(_shares(labels.annotated, edges), edges, color=INK, linewidth=1.1)
    if modality in labels.truth:
        known = labels.truth[modality]
        shares = _shares(known[~np.isnan(known)], edges)
        axes.stairs(shares, edges, color=colour, linewidth=1.3, linestyle=_DASHED)
    space = 0.01 * (edges[-1] - edges[0])
    axes.set_xlim(edges[0] - space, edges[-1] + space)


def _shares(labels: Scores, edges: Float[np.ndarray, "_"]) -> Float[np.ndarray, "_"]:
    """Return the percent of the labels in each bin."""
    counts, _ = np.histogram(labels, edges)
    return counts * (100.0 / len(labels))


def _label_keys(labels: TrainLabels) -> tuple[list[Any], list[str]]:
    colour = COLOURS[Task(labels.modalities[0])] if len(labels.modalities) == 1 else MUTED
    handles: list[Any] = [
        Patch(color=colour, alpha=0.45, linewidth=0),
        Line2D([], [], color=INK, linewidth=1.1),
    ]
    names = ["generated label of the modality", "multimodal annotation"]
    if labels.truth:
        handles.append(Line2D([], [], color=colour, linewidth=1.3, linestyle=_DASHED))
        names.append("known label of the modality")
    return handles, names


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementCurves:
    """How well the labels of one modality agree with the truth, as correlation, epoch by epoch.

    Attributes:
        generated: Per seed, over all clips and over the disagreeing ones; NaN where undefined.
        copies: The same for copies of the multimodal annotation, which do not change.
        best_epochs: The best epoch of each seed, counted from 1.
        num_disagreeing: Clips in which the modality says the opposite of the whole.
    """

    generated: Mapping[int, tuple[Sequence[float], Sequence[float]]]
    copies: tuple[float, float]
    best_epochs: Mapping[int, int]
    num_disagreeing: int


def draw_agreement(curves: Mapping[Modality, AgreementCurves], title: str) -> Figure:
    """Draw the correlation of generated labels with the truth by epoch, beside that of copies.

    Args:
        curves: Of the modalities whose truth is known.
        title: Stands above the figure.
    """
    figure = make_figure(title, 3.7 * len(curves) + 0.5, 6.0)
    panels = figure.subplots(2, len(curves), squeeze=False, sharex=True, sharey="row")
    for column, (modality, one) in enumerate(curves.items()):
        colour = COLOURS[Task(modality)]
        clips = ("all clips", f"{one.num_disagreeing} clips that disagree with the whole")
        for row, axes in enumerate(panels[:, column]):
            style_axes(axes, f"{modality}, {clips[row]}", across="epoch" if row else "")
            axes.axhline(one.copies[row], color=INK, linewidth=1.3, linestyle=_DASHED)
            for seed, values in one.generated.items():
                _draw_curve(axes, values[row], colour, one.best_epochs[seed])
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    for axes in panels[:, 0]:
        axes.set_ylabel("correlation with the truth", fontsize=9.5, color=INK)
    handles = [
        Line2D([], [], color=MUTED, linewidth=1.2, marker="o", markersize=5),
        Line2D([], [], color=INK, linewidth=1.3, linestyle=_DASHED),
    ]
    names = ["generated labels, a line for each seed (dot: best epoch)", "copied annotation"]
    figure.legend(handles, names, **_legend(), ncols=2, loc="outside lower left")
    for axes in panels.flat:
        low, high = axes.get_ylim()
        if low < 0 < high:
            axes.axhline(0, color=MUTED, linewidth=0.8, zorder=0)
    return figure
