"""Voice and face over time in a picture: effects of stretches on the score, and attention."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mien.prediction.answer import Answer
from mien.prediction.presentation.colored_words import LOWERS, RAISES
from mien.reports.figures.style import COLOURS, INK, MUTED
from mien.reports.text import clock
from mien.types import Modality, Task

__all__ = ["NAMES", "draw_attention", "draw_effects", "label_times"]

#: Modalities as people name them.
NAMES: Final = {Modality.TEXT: "text", Modality.AUDIO: "voice", Modality.VIDEO: "face"}


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
    for answer in answers:
        for window in answer.steps[modality].windows if modality in answer.steps else ():
            axes.bar(
                (window.start + window.end) / 2,
                window.effect,
                width=window.end - window.start,
                color=RAISES if window.effect > 0 else LOWERS,
                alpha=0.8,
                linewidth=0,
            )
    axes.set_ylim(-1.05 * full, 1.05 * full)
    axes.axhline(0.0, color=MUTED, linewidth=0.7)
    axes.set_yticks([-full, full], [f"{-full:+.1f}", f"{full:+.1f}"])
    _finish(axes, f"effect of\n{NAMES[modality]}", span)


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
        axes.bar(times, weights, width=step, color=COLOURS[Task(modality)], alpha=0.5, linewidth=0)
    axes.set_ylim(0, min(largest, 6.0) * 1.05)
    axes.axhline(1.0, color=INK, linewidth=0.7, linestyle=(0, (4, 2)))
    axes.set_yticks([])
    _finish(axes, f"attention\nto {NAMES[modality]}", span)


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
