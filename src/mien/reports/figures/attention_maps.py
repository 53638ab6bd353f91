"""Attention over a few clips: words shaded by their weight, and weights over the steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mien.reports.figures.style import COLOURS, INK, MUTED, make_figure
from mien.reports.figures.words import (
    ShadedWord,
    break_lines,
    find_font,
    keep_printable,
    measure_text,
    merge_tokens,
)
from mien.types import Modality, Task

__all__ = ["can_draw_words", "draw_attention", "words_of"]

_AGAINST: Final = "#CC79A7"  # a negative weight
_MOMENT: Final = "#F0E442"
_BORDER: Final = "#9C8F00"
_WIDTH: Final = 11.0  # inches, like all lengths below
_MARGIN: Final = 0.3
_LINE: Final = 0.29
_STRIP: Final = 0.62
_STRIP_ROOM: Final = 1.05  # with its title and axis
_TITLE: Final = 0.28
_HEAD: Final = 0.85
_GAP: Final = 0.2
_FONT_SIZE: Final = 10.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """A word, its font, and its place in inches from the left of its line."""

    word: ShadedWord
    font: FontProperties
    left: float
    width: float
    line: int


def words_of(example: Mapping[str, Any]) -> list[ShadedWord]:
    """Return the words of a clip with their weights; none if its tokens are not known."""
    text = example["attention"].get(str(Modality.TEXT), {})
    return merge_tokens(text["tokens"], text["weights"]) if "tokens" in text else []


def can_draw_words(example: Mapping[str, Any]) -> bool:
    """Return whether fonts that have all characters of the clip's words are installed."""
    return _find_fonts(words_of(example)) is not None


def _find_fonts(words: Sequence[ShadedWord]) -> list[FontProperties] | None:
    """Return a font for each word, the same one if it has them all; None if one is missing."""
    common = find_font(frozenset("".join(word.text for word in words)))
    files = [common or find_font(frozenset(word.text)) for word in words]
    fonts = [FontProperties(fname=file, size=_FONT_SIZE) for file in files if file is not None]
    return fonts if len(fonts) == len(files) else None


def draw_attention(examples: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Draw the attention over a few clips, one below the other.

    The words of a clip are shaded by their weight, the sum over their pieces, relative to the
    largest of the clip; weights of audio and video are drawn over the steps, as are those of text
    whose words are not known or have characters for which no font is installed.

    Args:
        examples: As in ``examples.json``; at least one has attention.
        title: Stands above the figure.
    """
    measure = make_figure("", _WIDTH, 1.0)
    lines = [_place_words(example, measure) for example in examples]
    heights = [_height(*pair) for pair in zip(examples, lines, strict=True)]
    height = _HEAD + sum(heights) + _GAP * len(heights)
    figure = make_figure("", _WIDTH, height)
    figure.set_layout_engine("none")
    figure.suptitle(
        title, x=_MARGIN / _WIDTH, y=1 - 0.14 / height, ha="left", va="top",
        fontsize=12, fontweight="bold", color=INK, parse_math=False,
    )  # fmt: skip
    _draw_keys(figure, examples, 1 - 0.38 / height, has_words=any(lines))
    top = height - _HEAD
    for number, (example, placed) in enumerate(zip(examples, lines, strict=True), start=1):
        _draw_clip(figure, number, example, placed, top)
        top -= heights[number - 1] + _GAP
    return figure


def _height(example: Mapping[str, Any], placed: Sequence[_Placed]) -> float:
    num_lines = placed[-1].line + 1 if placed else 0
    rows = _rows_of_strips(example, has_words=bool(placed))
    return _TITLE + num_lines * _LINE + bool(placed) * 0.12 + len(rows) * _STRIP_ROOM


def _rows_of_strips(example: Mapping[str, Any], *, has_words: bool) -> list[list[Modality]]:
    """Return what is drawn over steps: text on a row of its own, audio beside video."""
    there = [m for m in Modality if str(m) in example["attention"]]
    over_steps: list[Modality] = [m for m in there if m is Modality.TEXT and not has_words]
    beside: list[Modality] = [m for m in there if m is not Modality.TEXT]
    return [row for row in (over_steps, beside) if row]


def _place_words(example: Mapping[str, Any], figure: Figure) -> list[_Placed]:
    """Set the words in lines; nothing if they are not known or cannot be drawn."""
    words = words_of(example)
    fonts = _find_fonts(words)
    if fonts is None:
        return []
    widths = [
        measure_text(figure, word.text, font) + 0.08
        for word, font in zip(words, fonts, strict=True)
    ]
    places = break_lines(widths, _WIDTH - 2 * _MARGIN, 0.03)
    return [
        _Placed(word=word, font=font, left=left, width=width, line=line)
        for word, font, width, (line, left) in zip(words, fonts, widths, places, strict=True)
    ]


def _draw_clip(
    figure: Figure,
    number: int,
    example: Mapping[str, Any],
    placed: Sequence[_Placed],
    top: float,
) -> None:
    height = figure.get_figheight()
    figure.text(
        _MARGIN / _WIDTH, top / height, f"{number}.  {_name_clip(example)}",
        va="top", fontsize=10, fontweight="bold", color=INK, parse_math=False,
    )  # fmt: skip
    top -= _TITLE
    if placed:
        lines = placed[-1].line + 1
        _draw_words(_add_axes(figure, _MARGIN, top, _WIDTH - 2 * _MARGIN, lines * _LINE), placed,
                    example["attention"][str(Modality.TEXT)]["moment"])  # fmt: skip
        top -= lines * _LINE + 0.12
    for row in _rows_of_strips(example, has_words=bool(placed)):
        width = (_WIDTH - 2 * _MARGIN) / len(row)
        for column, modality in enumerate(row):
            left = _MARGIN + column * width + 0.42
            axes = _add_axes(figure, left, top - 0.2, width - 0.55, _STRIP)
            _draw_strip(axes, modality, example["attention"][str(modality)])
        top -= _STRIP_ROOM


def _name_clip(example: Mapping[str, Any]) -> str:
    scores = example["scores"]
    parts = [f"{task} {scores[str(task)]:+.2f}" for task in Task if str(task) in scores]
    name, label = keep_printable(example["id"]), example["target"]
    return f"{name}   label {label:+.2f}   score {', '.join(parts)}"


def _add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes by the place of their upper left corner, in inches."""
    total = figure.get_figheight()
    axes: Axes = figure.add_axes(
        (left / _WIDTH, (top - height) / total, width / _WIDTH, height / total)
    )
    return axes


def _draw_words(axes: Axes, placed: Sequence[_Placed], moment: Sequence[int] | None) -> None:
    """Draw words in inches, line by line, each shaded by its weight."""
    axes.set_axis_off()
    axes.set_xlim(0, _WIDTH - 2 * _MARGIN)
    axes.set_ylim(_LINE * (placed[-1].line + 1), 0)
    largest = max(abs(item.word.weight) for item in placed) or 1.0
    for item in placed:
        word, up = item.word, item.line * _LINE
        colour = COLOURS[Task.TEXT] if word.weight >= 0 else _AGAINST
        alpha = 0.7 * abs(word.weight) / largest
        shade = Rectangle((item.left, up + 0.025), item.width, _LINE - 0.05, linewidth=0)
        shade.set(facecolor=colour, alpha=alpha)
        axes.add_patch(shade)
        ink = MUTED if word.is_special and alpha < 0.35 else INK
        axes.text(
            item.left + item.width / 2, up + _LINE / 2, word.text,
            ha="center", va="center_baseline",
            fontproperties=item.font, color=ink, alpha=0.65 if word.is_special else 1.0,
            parse_math=False,
        )  # fmt: skip
        if moment and word.start < moment[1] and word.end > moment[0]:
            line = [item.left, item.left + item.width]
            axes.plot(line, [up + _LINE - 0.015] * 2, color=_MOMENT, linewidth=2.5)


def _draw_strip(axes: Axes, modality: Modality, attention: Mapping[str, Any]) -> None:
    """Draw the weights of a series over its steps, with the known moment behind them."""
    weights = np.array(attention["weights"], dtype=np.float64)
    colour = COLOURS[Task(modality)]
    step = "token" if "tokens" in attention else "step"
    axes.set_title(f"{modality}, weight of each {step}", loc="left", fontsize=9, color=INK, pad=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(labelsize=8, color=MUTED, labelcolor=INK, length=2.5, pad=2)
    if not weights.size:
        axes.text(0.5, 0.5, f"no {modality}", ha="center", va="center", color=MUTED, fontsize=9)
        axes.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
        return
    if attention["moment"]:
        axes.axvspan(*attention["moment"], color=_MOMENT, alpha=0.5, linewidth=0)
        for border in attention["moment"]:
            axes.axvline(border, color=_BORDER, linewidth=1.0)
    edges = np.arange(len(weights) + 1)
    axes.stairs(np.maximum(weights, 0), edges, fill=True, color=colour, linewidth=0)
    axes.stairs(np.minimum(weights, 0), edges, fill=True, color=_AGAINST, linewidth=0)
    if _sums_to_one(weights):
        axes.axhline(1 / len(weights), color=INK, linewidth=0.9, linestyle=(0, (4, 2)))
    axes.set_xlim(0, len(weights))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=2))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda weight, _: f"{weight:.2g}"))


def _sums_to_one(weights: np.ndarray) -> bool:
    return bool((weights >= 0).all() and abs(weights.sum() - 1) < 0.01)


def _draw_keys(
    figure: Figure, examples: Sequence[Mapping[str, Any]], up: float, *, has_words: bool
) -> None:
    """Explain the colours that occur."""
    series = [part for example in examples for part in example["attention"].values()]
    weights = [np.array(part["weights"], dtype=np.float64) for part in series]
    keys: list[Any] = []
    if has_words:
        keys.append(Patch(color=COLOURS[Task.TEXT], alpha=0.55, label="word with a large weight"))
    if any((w < 0).any() for w in weights):
        keys.append(Patch(color=_AGAINST, label="negative weight"))
    if any(part["moment"] for part in series):
        keys.append(Patch(color=_MOMENT, alpha=0.7, label="known moment"))
    if any(_sums_to_one(w) for w in weights if w.size):
        keys.append(Line2D([], [], color=INK, linestyle=(0, (4, 2)), label="equal weights"))
    figure.legend(
        handles=keys, loc="upper left", bbox_to_anchor=(_MARGIN / _WIDTH - 0.006, up),
        ncols=4, frameon=False, fontsize=9, labelcolor=INK, handlelength=1.4,
    )  # fmt: skip
