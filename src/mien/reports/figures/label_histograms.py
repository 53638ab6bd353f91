"""How generated labels are spread over the scale, at some epochs."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mien.evaluation.formulas import Scores
from mien.reports.figures.style import (
    COLOURS,
    DASHED,
    INK,
    MUTED,
    legend_style,
    make_figure,
    style_axes,
)
from mien.reports.finished_run import TrainLabels
from mien.reports.label_trajectories import settled_from
from mien.types import Modality, Scale, Task

__all__ = ["bin_edges", "draw_labels", "pick_epochs"]


def draw_labels(
    trajectory: Float[np.ndarray, "_ M N"],
    labels: TrainLabels,
    best_epoch: int,
    scale: Scale,
    title: str,
) -> Figure:
    """Draw how the generated labels of train are spread over the scale, at some epochs.

    Labels that do not change any more when the best epoch is reached are drawn once.

    Args:
        trajectory: What each unimodal task was trained on, epoch by epoch.
        labels: The multimodal annotation and what is known of the modalities.
        best_epoch: The epoch that validation picked, counted from 1.
        scale: Range of the annotations.
        title: Stands above the figure.
    """
    edges = bin_edges(labels.annotated, scale)
    settled = settled_from(trajectory, labels.annotated)
    if settled is not None and settled <= best_epoch:
        return _draw_once(trajectory[-1], labels, edges, title)
    epochs = pick_epochs(len(trajectory), best_epoch)
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
    figure.legend(*_label_keys(labels), **legend_style(), ncols=3, loc="outside lower left")
    return figure


def _draw_once(
    settled: Float[np.ndarray, "M N"],
    labels: TrainLabels,
    edges: Float[np.ndarray, "_"],
    title: str,
) -> Figure:
    """Draw labels that stay, a panel for each modality."""
    num = len(labels.modalities)
    figure = make_figure(title, 3.6 * num + 0.5, 3.1)
    panels = figure.subplots(1, num, squeeze=False, sharex=True)[0]
    for axes, modality, generated in zip(panels, labels.modalities, settled, strict=True):
        up = "% of clips" if axes is panels[0] else ""
        style_axes(axes, str(modality), across="label", up=up)
        _draw_spread(axes, generated, labels, modality, edges)
    num_columns = 1 if num == 1 else 3
    figure.legend(
        *_label_keys(labels), **legend_style(), ncols=num_columns, loc="outside lower left"
    )
    return figure


def pick_epochs(num_epochs: int, best_epoch: int) -> list[int]:
    """Return up to five epochs: the first, the best, the last, and some early ones between."""
    spaced = np.geomspace(1, num_epochs, min(4, num_epochs)).round().astype(int)
    return sorted({*spaced.tolist(), best_epoch})


def bin_edges(annotated: Scores, scale: Scale) -> Float[np.ndarray, "_"]:
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
        axes.stairs(shares, edges, color=colour, linewidth=1.3, linestyle=DASHED)
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
        handles.append(Line2D([], [], color=colour, linewidth=1.3, linestyle=DASHED))
        names.append("known label of the modality")
    return handles, names
