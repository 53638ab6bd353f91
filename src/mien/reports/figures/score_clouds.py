"""Scores against annotated labels."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
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

__all__ = ["draw_scores", "share_beyond"]

_DOTTED = (0, (1, 2))
_MOST_VECTORS = 2000  # dots that a vector figure holds one by one; more become a picture in it


def draw_scores(predictions: Sequence[Predictions], scale: Scale, title: str) -> Figure:
    """Draw score against label for every task that is evaluated, all seeds in one cloud.

    Scores beyond the scale are drawn as they are; where there are some, its ends are marked.

    Args:
        predictions: Those of each seed on one split.
        scale: Range of the annotations.
        title: Stands above the figure.
    """
    first = predictions[0]
    tasks = [t for t in Task if t in first.scores and evaluated_rows(first, t).any()]
    figure = make_figure(title, 3.0 * len(tasks) + (1.6 if len(tasks) == 1 else 0.5), 3.9)
    panels: list[Axes] = list(figure.subplots(1, len(tasks), squeeze=False, sharey=True)[0])
    lows, highs = [scale.low], [scale.high]
    for axes, task in zip(panels, tasks, strict=True):
        rows = evaluated_rows(first, task)
        labels = np.concatenate([seed.targets[task][rows] for seed in predictions])
        scores = np.concatenate([seed.scores[task][rows] for seed in predictions])
        lows.append(float(np.quantile(scores, 0.001)))
        highs.append(float(np.quantile(scores, 0.999)))
        _draw_cloud(axes, labels, scores, scale, COLOURS[task])
        style_axes(axes, f"{task}, {rows.sum()} clips", across="annotated label")
        axes.grid(visible=False)
    margin = 0.05 * (scale.high - scale.low)
    panels[0].set_ylim(min(lows) - margin, max(highs) + margin)
    panels[0].set_ylabel("score", fontsize=9.5, color=INK)
    keys = {
        "score = label": Line2D([], [], color=MUTED, linewidth=1, linestyle=DASHED),
        "mean score": Line2D(
            [], [], color=INK, marker="o", markersize=5.5, linewidth=1.2, markerfacecolor="w"
        ),
    }
    if any(_is_beyond(seed.scores[task], scale).any() for seed in predictions for task in tasks):
        keys["end of the scale"] = Line2D([], [], color=MUTED, linewidth=0.9, linestyle=_DOTTED)
    figure.legend(
        list(keys.values()), list(keys), **legend_style(), loc="outside lower left",
        ncols=1 if len(tasks) == 1 else len(keys),
    )  # fmt: skip
    return figure


def share_beyond(predictions: Sequence[Predictions], scale: Scale) -> float:
    """Return the share of scores of the multimodal task that lie beyond the scale."""
    scores = np.concatenate([seed.scores[Task.FUSION] for seed in predictions])
    return float(_is_beyond(scores, scale).mean())


def _is_beyond(scores: Scores, scale: Scale) -> Bool[np.ndarray, "_"]:
    beyond: Bool[np.ndarray, _] = (scores < scale.low) | (scores > scale.high)
    return beyond


def _draw_cloud(axes: Axes, labels: Scores, scores: Scores, scale: Scale, colour: str) -> None:
    alpha = float(np.clip(60 / math.sqrt(len(labels) + 1) / 10, 0.04, 0.5))
    margin = 0.05 * (scale.high - scale.low)
    axes.axhline(0, color=GRID, linewidth=0.8, zorder=0)
    axes.axvline(0, color=GRID, linewidth=0.8, zorder=0)
    if _is_beyond(scores, scale).any():
        for end in scale:
            axes.axhline(end, color=MUTED, linewidth=0.9, linestyle=_DOTTED, zorder=0)
    axes.scatter(
        labels, scores, s=13, color=colour, alpha=alpha, linewidths=0,
        rasterized=len(labels) > _MOST_VECTORS,
    )  # fmt: skip
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
