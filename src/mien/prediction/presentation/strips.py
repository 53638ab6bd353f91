"""Voice and face over time in a picture: effects of stretches on the score, and attention."""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mien.prediction.answer import Answer
from mien.prediction.presentation.colored_words import LOWERS, RAISES
from mien.reports.figures.style import COLOURS, INK, MUTED
from mien.reports.text import clock
from mien.types import MODALITY_NAMES, Modality, Task

__all__ = ["DASHES", "draw_attention", "draw_effects", "label_times"]

#: How the line of a modality is broken, so that it is told from others without its colour.
DASHES: Final[dict[Modality, Literal["-", "--", ":"]]] = {
    Modality.TEXT: "-",
    Modality.AUDIO: "--",
    Modality.VIDEO: ":",
}


def draw_effects(
    axes: Axes, *, modality: Modality, answers: Sequence[Answer], span: float, full: float
) -> None:
    """Draw by how much each stretch raises the score (upwards) or lowers it.

    Args:
        axes: Where to.
        modality: Voice or face.
        answers: The answers, in the order of time.
        span: Seconds from left to right.
        full: The effect that reaches the edge.
    """
    series = [answer.steps[modality] for answer in answers if modality in answer.steps]
    for colour, sign in ((RAISES, 1), (LOWERS, -1)):
        windows = [w for steps in series for w in steps.windows if sign * w.effect > 0]
        _draw_bars(
            axes,
            np.array([(w.start, w.end) for w in windows]).reshape(-1, 2),
            np.array([w.effect for w in windows]),
            color=colour,
            alpha=0.8,
        )
    axes.set_ylim(-1.05 * full, 1.05 * full)
    axes.axhline(0.0, color=MUTED, linewidth=0.7)
    axes.set_yticks([-full, full], [f"{-full:+.1f}", f"{full:+.1f}"])
    _finish(axes, f"effect of\n{MODALITY_NAMES[modality]}", span)


def draw_attention(
    axes: Axes, *, modality: Modality, answers: Sequence[Answer], span: float
) -> None:
    """Draw attention as bars over what equal weights would give (a line)."""
    largest = 2.0
    for answer in answers:
        if modality not in answer.steps or not answer.steps[modality].weights:
            continue
        times = np.array(answer.steps[modality].times)
        weights = np.abs(np.array(answer.steps[modality].weights))
        largest = max(largest, float(weights.max(initial=0)))
        step = float(np.median(np.diff(times))) if len(times) > 1 else 0.2
        spans = times[:, None] + np.array([-step / 2, step / 2])
        _draw_bars(axes, spans, weights, color=COLOURS[Task(modality)], alpha=0.5)
    axes.set_ylim(0, min(largest, 6.0) * 1.05)
    axes.axhline(1.0, color=INK, linewidth=0.7, linestyle=(0, (4, 2)))
    axes.set_yticks([])
    _finish(axes, f"attention\nto {MODALITY_NAMES[modality]}", span)


def _draw_bars(
    axes: Axes,
    spans: Float[np.ndarray, "N 2"],
    heights: Float[np.ndarray, " N"],
    *,
    color: str,
    alpha: float,
) -> None:
    """Draw bars from 0 as one shape: an hour has thousands of them."""
    starts, ends, zeros = spans[:, 0], spans[:, 1], np.zeros(len(heights))
    corners = [(starts, zeros), (starts, heights), (ends, heights), (ends, zeros)]
    bars = np.stack([np.stack(corner, axis=-1) for corner in corners], axis=1)
    axes.add_collection(PolyCollection(list(bars), facecolor=color, alpha=alpha, linewidth=0))


def _finish(axes: Axes, name: str, span: float) -> None:
    axes.set_xlim(0, span)
    axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8.5, color=INK)
    axes.yaxis.set_label_coords(-0.035, 0.5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.tick_params(labelsize=8.5, color=MUTED, labelcolor=INK, length=3)
    axes.tick_params(axis="y", labelsize=6.5, length=0)
    label_times(axes, span)


def label_times(axes: Axes, span: float) -> None:
    """Give an axis of seconds its marks; the numbers stand below the lowest axes only."""
    axes.tick_params(labelbottom=False)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, steps=[1, 1.5, 2, 3, 5, 6, 10]))
    if span >= 60:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda second, _: clock(float(second))))
    else:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda second, _: f"{second:g} s"))
