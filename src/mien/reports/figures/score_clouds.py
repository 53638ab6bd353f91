"""Scores against annotated labels."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mien.evaluation.evaluate import evaluated_rows
from mien.evaluation.formulas import Scores
from mien.evaluation.predictions import Predictions
from mien.reports.figures.style import (
    COLOURS,
    DASHED,
    GRID,
    INK,
    MUTED,
    legend_style,
    make_figure,
    style_axes,
)
from mien.types import Scale, Task

__all__ = ["draw_scores"]


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
        rows = evaluated_rows(first, task)
        labels = np.concatenate([seed.targets[task][rows] for seed in predictions])
        scores = np.concatenate([seed.scores[task][rows] for seed in predictions])
        _draw_cloud(axes, labels, scores, scale, COLOURS[task])
        style_axes(axes, f"{task}, {rows.sum()} clips", across="annotated label")
        axes.grid(visible=False)
    panels[0].set_ylabel("score", fontsize=9.5, color=INK)
    handles = [
        Line2D([], [], color=MUTED, linewidth=1, linestyle=DASHED),
        Line2D([], [], color=INK, marker="o", markersize=5.5, linewidth=1.2, markerfacecolor="w"),
    ]
    panels[0].legend(handles, ["score = label", "mean score"], **legend_style(), loc="upper left")
    return figure


def _draw_cloud(axes: Axes, labels: Scores, scores: Scores, scale: Scale, colour: str) -> None:
    alpha = float(np.clip(60 / math.sqrt(len(labels) + 1) / 10, 0.04, 0.5))
    margin = 0.05 * (scale.high - scale.low)
    low = min(scale.low, float(np.quantile(scores, 0.001))) - margin
    high = max(scale.high, float(np.quantile(scores, 0.999))) + margin
    axes.axhline(0, color=GRID, linewidth=0.8, zorder=0)
    axes.axvline(0, color=GRID, linewidth=0.8, zorder=0)
    axes.scatter(labels, scores, s=13, color=colour, alpha=alpha, linewidths=0)
    axes.plot([scale.low, scale.high], [scale.low, scale.high], color=MUTED, linestyle=DASHED)
    edges = np.linspace(scale.low, scale.high, 13)
    bins = np.clip(np.digitize(labels, edges[1:-1]), 0, len(edges) - 2)
    counts = np.bincount(bins, minlength=len(edges) - 1)
    filled = counts >= max(3, len(labels) // 500)
    mean_labels = np.bincount(bins, labels, minlength=len(counts))[filled] / counts[filled]
    mean_scores = np.bincount(bins, scores, minlength=len(counts))[filled] / counts[filled]
    axes.plot(
        mean_labels, mean_scores, "o-", color=colour, markersize=5.5, linewidth=1.2,
        markerfacecolor="white", markeredgewidth=1.3,
    )  # fmt: skip
    axes.set_xlim(scale.low - margin, scale.high + margin)
    axes.set_ylim(low, high)
