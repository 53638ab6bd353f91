"""Tokens and their weights to words, and a font that has their characters."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

__all__ = [
    "ShadedWord",
    "break_lines",
    "find_font",
    "keep_printable",
    "measure_text",
    "merge_tokens",
]

_SPECIAL: Final = re.compile(r"\[(CLS|SEP|PAD)\]|</?s>|<pad>")

#: What begins a word in the vocabularies of SentencePiece and of byte-level BPE.
_WORD_STARTS: Final = ("\u2581", "\u0120")

#: Families that hold Chinese, Japanese or Korean characters, tried before all other fonts.
_FAMILIES: Final = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Microsoft YaHei",
    "SimHei",
    "PingFang SC",
    "Heiti SC",
    "Arial Unicode MS",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadedWord:
    """A word and the attention that its tokens get.

    Attributes:
        text: The word, its pieces joined.
        weight: Sum of the weights of its tokens.
        start: First of its tokens.
        end: The token after its last.
        is_special: Whether it is no word but a mark of the encoder, such as ``[CLS]``.
    """

    text: str
    weight: float
    start: int
    end: int
    is_special: bool


def merge_tokens(tokens: Sequence[str], weights: Sequence[float]) -> list[ShadedWord]:
    """Join the pieces of each word; a Chinese character or word stays a word of its own.

    Understands WordPiece (``##`` goes on with a word) and vocabularies that mark where a word
    begins (SentencePiece, byte-level BPE).

    Raises:
        ValueError: If there is not one weight for each token.

    >>> [
    ...     word.text
    ...     for word in merge_tokens(["[CLS]", "un", "##happy", "now"], [0.1, 0.2, 0.3, 0.4])
    ... ]
    ['[CLS]', 'unhappy', 'now']
    """
    if len(tokens) != len(weights):
        raise ValueError(f"{len(tokens)} tokens have {len(weights)} weights")
    marks_starts = any(token.startswith(_WORD_STARTS) for token in tokens)
    words: list[ShadedWord] = []
    for position, (token, weight) in enumerate(zip(tokens, weights, strict=True)):
        text = token.removeprefix("##") or token
        text = text.removeprefix(_WORD_STARTS[0]).removeprefix(_WORD_STARTS[1])
        if words and _goes_on(token, words[-1], marks_starts=marks_starts):
            last = words.pop()
            text, weight, start = last.text + text, last.weight + weight, last.start
        else:
            start = position
        is_special = _SPECIAL.fullmatch(token) is not None
        words.append(
            ShadedWord(
                text=text,
                weight=float(weight),
                start=start,
                end=position + 1,
                is_special=is_special,
            )
        )
    return words


def _goes_on(token: str, word: ShadedWord, *, marks_starts: bool) -> bool:
    if word.is_special or _SPECIAL.fullmatch(token):
        return False
    if not marks_starts:
        return token.startswith("##") and len(token) > 2
    if token.startswith(_WORD_STARTS):
        return False
    return not word.text or not (_is_ideographic(token[:1]) or _is_ideographic(word.text[-1:]))


def _is_ideographic(character: str) -> bool:
    return bool(character) and unicodedata.east_asian_width(character) in ("W", "F")


@cache
def find_font(characters: frozenset[str]) -> str | None:
    """Return the file of an installed font that has all the characters, or None.

    matplotlib's own font is taken where it suffices; it has no Chinese characters.
    """
    from matplotlib.font_manager import FontProperties, findfont, fontManager

    wanted = {ord(c) for c in characters if not c.isspace()}
    entries = [e for e in fontManager.ttflist if "Last Resort" not in e.name]
    rank = {name: number for number, name in enumerate(_FAMILIES)}
    entries.sort(key=lambda e: (rank.get(e.name, len(rank)), e.style != "normal", e.fname))
    files = [findfont(FontProperties()), *(e.fname for e in entries)]
    return next((f for f in dict.fromkeys(files) if wanted <= _characters_of(f)), None)


@cache
def _characters_of(file: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError):  # a font that cannot be opened has no characters for us
        return frozenset()


def keep_printable(text: str) -> str:
    """Return the text with a hollow square for what matplotlib's own font cannot draw."""
    from matplotlib.font_manager import FontProperties, findfont

    own = _characters_of(findfont(FontProperties()))
    return "".join(c if ord(c) in own else "\u25a1" for c in " ".join(text.split()))


def measure_text(figure: "Figure", text: str, font: "FontProperties") -> float:
    """Return the width of a text in inches.

    Args:
        figure: Whose resolution counts.
        text: One line.
        font: Its font and size.
    """
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    pixels, _, _ = renderer.get_text_width_height_descent(text, font, ismath=False)
    return float(pixels / figure.dpi)


def break_lines(widths: Sequence[float], width: float, gap: float) -> list[tuple[int, float]]:
    """Set words in lines: return the line of each, from 0, and its left edge.

    Args:
        widths: Width of each word.
        width: Width of a line; a wider word has a line of its own.
        gap: Space between two words.

    >>> break_lines([1.0, 1.0, 3.0, 0.5], 2.5, 0.25)
    [(0, 0.0), (0, 1.25), (1, 0.0), (2, 0.0)]
    """
    places: list[tuple[int, float]] = []
    line, left = 0, 0.0
    for own in widths:
        if places and left + own > width:
            line, left = line + 1, 0.0
        places.append((line, left))
        left += own + gap
    return places
