"""Words in a picture: coloured by their effect on the score, underlined by attention."""

import textwrap
from collections.abc import Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mien.prediction.answer import Answer, WordWeight
from mien.reports.figures.style import INK, MUTED
from mien.reports.figures.words import break_lines, find_font, keep_printable, measure_text

__all__ = [
    "LINE",
    "LOWERS",
    "RAISES",
    "Placed",
    "colour_of",
    "fit_parts",
    "wrap_words",
    "write_words",
]

#: Colours of what raises a score and of what lowers it, safe for colour-blind readers.
RAISES: Final = "#2166ac"
LOWERS: Final = "#b2182b"
LINE: Final = 0.3  # height of a line, in inches, like all lengths here
_FONT_SIZE: Final = 10.0
_MOST_LINES: Final = 4
_LONGEST_TITLE: Final = 100  # characters
_LONGEST_HEAD: Final = 170  # characters of the line above the words
_GAP: Final = 0.02  # between two words
_PALEST, _DARKEST = 0.04, 0.6  # opacity; a paler word has no colour

#: Lines of words: each word with its left edge and its width.
Placed = list[list[tuple[WordWeight, float, float]]]


def colour_of(effect: float) -> str:
    """Return the colour of an effect, by its sign."""
    return RAISES if effect > 0 else LOWERS


def fit_parts(parts: Sequence[str]) -> str:
    """Return those parts of a line that fit into the figure; a number is never cut in two.

    >>> fit_parts(["neutral +0.07", "x" * 170, "valence 3.72"])
    'neutral +0.07   valence 3.72   …'
    """
    line: list[str] = []
    for part in map(keep_printable, parts):
        if len("   ".join([*line, part])) <= _LONGEST_HEAD:
            line.append(part)
    return "   ".join([*line, *["…"] * (len(line) < len(parts))])


def fit_title(title: str) -> str:
    """Cut a title behind the last part that fits: many targets make a long one.

    >>> fit_title("a.mp4: " + ", ".join(f"class {k} 0.{k}" for k in range(10, 20)))[-16:]
    'class 15 0.15, …'
    """
    shown = keep_printable(title)
    if len(shown) <= _LONGEST_TITLE:
        return shown
    cut = shown[: _LONGEST_TITLE - 2]
    end = max(cut.rfind(", "), cut.rfind("; "))
    return f"{cut[:end]}, …" if end > 0 else f"{cut}…"


def wrap_words(answer: Answer, figure: Figure, line_width: float) -> Placed:
    """Set the words of an utterance in lines of a width.

    Args:
        answer: The answer; its transcript takes the place of words that it does not have.
        figure: Measures the words.
        line_width: Width of a line.
    """
    words = answer.words or tuple(
        WordWeight(text=w, weight=None) for w in answer.transcript.split()
    )
    texts = [keep_printable(textwrap.shorten(w.text, 40, placeholder="…")) for w in words]
    widths = [measure_text(figure, text, _font_of(text)) + 0.09 for text in texts]
    lines: Placed = []
    places = break_lines(widths, line_width, _GAP)
    for word, text, width, (line, left) in zip(words, texts, widths, places, strict=True):
        if line == _MOST_LINES:
            _, last, last_width = lines[-1][-1]
            lines[-1].append((WordWeight(text="…", weight=None), last + last_width + _GAP, 0.2))
            break
        if line == len(lines):
            lines.append([])
        lines[-1].append((word.model_copy(update={"text": text}), left, width))
    return lines


def _font_of(text: str) -> Any:  # noqa: ANN401  # matplotlib has no types
    from matplotlib.font_manager import FontProperties

    file = find_font(frozenset(text))
    return FontProperties(fname=file, size=_FONT_SIZE) if file else FontProperties(size=_FONT_SIZE)


def write_words(axes: Axes, line: list[tuple[WordWeight, float, float]], full: float) -> None:
    """Write a line of words.

    Args:
        axes: As wide and as high as the line, in inches.
        line: The words.
        full: The effect that has the darkest colour.
    """
    axes.set_axis_off()
    axes.set_ylim(0, LINE)
    for word, left, width in line:
        effect, weight = word.effect or 0.0, abs(word.weight or 0.0)
        strength = _DARKEST * min(abs(effect) / full, 1.0)
        if strength >= _PALEST:
            shade = Rectangle((left, 0.06), width, LINE - 0.08, linewidth=0)
            shade.set(facecolor=colour_of(effect), alpha=strength)
            axes.add_patch(shade)
        if weight > 1:
            line_below = Rectangle((left, 0.0), width, 0.035, linewidth=0)
            line_below.set(facecolor=MUTED, alpha=min((weight - 1) / 2, 1.0))
            axes.add_patch(line_below)
        axes.text(left + width / 2, LINE / 2 + 0.02, word.text, ha="center", va="center_baseline",
                  fontproperties=_font_of(word.text), color=INK, parse_math=False)  # fmt: skip
