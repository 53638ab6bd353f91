"""Answers drawn over time: scores, words shaded by weight, weights of voice and face, frames."""

import textwrap
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mien.live import clock
from mien.plots import COLOURS, INK, MUTED, make_figure, style_axes
from mien.prediction.answer import Answer, WordWeight
from mien.types import Modality, Scale, Task
from mien.words import find_font, keep_printable

__all__ = ["draw_timeline"]

_WIDTH: Final = 12.0  # inches, like all lengths below
_MARGIN: Final = 0.35
_LABELS: Final = 1.25  # room for the names of sentiments
_SCORES: Final = 2.6
_STRIP: Final = 0.34
_FRAMES: Final = 1.15
_LINE: Final = 0.27
_FONT_SIZE: Final = 10.0
#: Words are written out for so many utterances, in so many lines each; more would not be read.
_MOST_WRITTEN: Final = 14
_MOST_LINES: Final = 4
_BAND: Final = "#22222222"

Frame = tuple[float, UInt8[np.ndarray, "H W 3"]]


def draw_timeline(
    answers: Sequence[Answer],
    *,
    seconds: float | None,
    scale: Scale,
    title: str,
    level: float | None,
    frames: Sequence[Frame] = (),
) -> Figure:
    """Draw a prediction.

    From top to bottom: frames at the heaviest moments of the face, scores over time with the
    interval of the multimodal one as a band, weights of voice and face, and what is said, each word
    shaded by its weight. Without times, as for a text, scores stand beside each other.

    Args:
        answers: The answers, in the order of time.
        seconds: Length of the recording; None if there is none.
        scale: Range of the scores.
        title: Stands above the figure.
        level: Share of annotations that lie in the intervals.
        frames: Seconds and pictures.
    """
    strips = [m for m in (Modality.AUDIO, Modality.VIDEO) if any(m in one.steps for one in answers)]
    written = list(answers) if len(answers) <= _MOST_WRITTEN else []
    measure = make_figure("", _WIDTH, 1.0)
    lines = [_wrap(one, measure) for one in written]
    room = sum((len(one) or 1) * _LINE + 0.3 for one in lines)
    pieces = [0.95, _FRAMES * bool(frames), _SCORES, (_STRIP + 0.12) * len(strips), 0.5, room]
    height = sum(pieces)
    figure = make_figure("", _WIDTH, height)
    figure.set_layout_engine("none")
    figure.text(
        _MARGIN / _WIDTH, 1 - 0.16 / height, keep_printable(title), va="top", fontsize=12,
        fontweight="bold", color=INK, parse_math=False,
    )  # fmt: skip
    _draw_keys(figure, answers, level, 1 - 0.45 / height)
    span = seconds if seconds else float(len(answers))
    top = height - pieces[0]
    if frames:
        _draw_frames(figure, frames, span, top)
        top -= pieces[1]
    axes = _add_axes(figure, _LABELS, top, _WIDTH - _LABELS - _MARGIN, _SCORES)
    _draw_scores(axes, answers, scale, span, has_times=bool(seconds))
    top -= _SCORES + 0.12
    for modality in strips:
        strip = _add_axes(figure, _LABELS, top, _WIDTH - _LABELS - _MARGIN, _STRIP)
        _draw_strip(strip, modality, answers, span)
        top -= _STRIP + 0.12
    last = strip if strips else axes
    last.tick_params(labelbottom=bool(seconds))
    top -= 0.35
    for number, (one, placed) in enumerate(zip(written, lines, strict=True), start=1):
        top = _write(figure, one, placed, top, number if len(answers) > 1 else None)
    return figure


def _add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    whole = figure.get_figheight()
    axes: Axes = figure.add_axes(
        (left / _WIDTH, (top - height) / whole, width / _WIDTH, height / whole)
    )
    return axes


def _draw_keys(figure: Figure, answers: Sequence[Answer], level: float | None, up: float) -> None:
    keys: list[Any] = [Patch(color=COLOURS[Task.FUSION], label="all together")]
    there = [m for m in Modality if any(m in one.unimodal for one in answers)]
    names = {Modality.TEXT: "words", Modality.AUDIO: "voice", Modality.VIDEO: "face"}
    keys += [Patch(color=COLOURS[Task(m)], label=f"{names[m]} alone") for m in there]
    if level is not None:
        share = f"{100 * level:g} % of annotations of validation clips lie inside"
        keys.append(Patch(color=_BAND, label=share))
    figure.legend(
        handles=keys, loc="upper left", bbox_to_anchor=(_MARGIN / _WIDTH - 0.006, up), ncols=5,
        frameon=False, fontsize=9, labelcolor=INK, handlelength=1.2,
    )  # fmt: skip


def _draw_frames(figure: Figure, frames: Sequence[Frame], span: float, top: float) -> None:
    """Put each frame above its time, moved aside where the one before is in the way."""
    width, tall = _WIDTH - _LABELS - _MARGIN, _FRAMES - 0.3
    wide = [min(image.shape[1] / image.shape[0], 1.8) * tall for _, image in frames]
    left = _LABELS
    for place, ((time, image), size) in enumerate(zip(frames, wide, strict=True)):
        rest = sum(wide[place:]) + 0.06 * (len(wide) - place)
        wanted = _LABELS + width * min(time / span, 1.0) - size / 2
        left = min(max(wanted, left), max(_LABELS + width - rest + 0.06, left))
        axes = _add_axes(figure, left, top, size, tall)
        axes.imshow(image, aspect="auto", interpolation="antialiased")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color(COLOURS[Task.VIDEO])
        axes.set_xlabel(clock(time) if span >= 60 else f"{time:.1f} s", fontsize=8, color=INK)
        left += size + 0.06


def _draw_scores(
    axes: Axes, answers: Sequence[Answer], scale: Scale, span: float, *, has_times: bool
) -> None:
    style_axes(axes)
    axes.set_xlim(0, span)
    axes.set_ylim(*scale)
    most = max(abs(scale.low), abs(scale.high))
    names = ("strongly negative", "negative", "neutral", "positive", "strongly positive")
    ticks = [-most, -2 * most / 3, 0.0, 2 * most / 3, most]
    shown = [(t, n) for t, n in zip(ticks, names, strict=True) if scale.low <= t <= scale.high]
    axes.set_yticks([t for t, _ in shown], [n for _, n in shown])
    axes.axhline(0, color=MUTED, linewidth=0.8)
    is_dense = len(answers) > 60
    for place, one in enumerate(answers):
        start, end = _span_of(one, place)
        if one.score.low is not None and one.score.high is not None:
            band = Rectangle((start, one.score.low), end - start, one.score.high - one.score.low)
            band.set(facecolor=COLOURS[Task.FUSION], alpha=0.12, linewidth=0)
            axes.add_patch(band)
        for modality, score in one.unimodal.items():
            colour = COLOURS[Task(modality)]
            axes.plot([start, end], [score.value] * 2, color=colour, linewidth=1.6,
                      solid_capstyle="butt")  # fmt: skip
        axes.plot([start, end], [one.score.value] * 2, color=COLOURS[Task.FUSION],
                  linewidth=2.0 if is_dense else 3.4, solid_capstyle="butt")  # fmt: skip
        if one.conflicts and not is_dense:
            axes.text((start + end) / 2, scale.high - 0.04 * (scale.high - scale.low), "≠",
                      ha="center", va="top", fontsize=11, color=INK)  # fmt: skip
    _label_times(axes, span, has_times=has_times)


def _span_of(one: Answer, place: int) -> tuple[float, float]:
    if one.start is None or one.end is None:
        return place + 0.1, place + 0.9
    return one.start, one.end


def _label_times(axes: Axes, span: float, *, has_times: bool) -> None:
    axes.tick_params(labelbottom=False)
    if not has_times:
        axes.set_xticks([])
        return
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, steps=[1, 1.5, 2, 3, 5, 6, 10]))
    if span >= 60:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda second, _: clock(float(second))))
    else:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda second, _: f"{second:g} s"))


def _draw_strip(axes: Axes, modality: Modality, answers: Sequence[Answer], span: float) -> None:
    """Draw how much each moment weighed, as bars over what equal weights would give (a line)."""
    colour = COLOURS[Task(modality)]
    largest = 2.0
    for one in answers:
        if modality not in one.steps:
            continue
        times = np.array(one.steps[modality].times)
        weights = np.abs(np.array(one.steps[modality].weights))
        largest = max(largest, float(weights.max(initial=0)))
        step = float(np.median(np.diff(times))) if len(times) > 1 else 0.2
        axes.bar(times, weights, width=step, color=colour, alpha=0.75, linewidth=0)
    axes.set_xlim(0, span)
    axes.set_ylim(0, min(largest, 6.0) * 1.05)
    axes.axhline(1.0, color=INK, linewidth=0.7, linestyle=(0, (4, 2)))
    axes.set_yticks([])
    name = "voice" if modality is Modality.AUDIO else "face"
    axes.set_ylabel(f"weight of\n{name}", rotation=0, ha="right", va="center", fontsize=8.5,
                    color=INK)  # fmt: skip
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.tick_params(labelsize=8.5, color=MUTED, labelcolor=INK, length=3)
    _label_times(axes, span, has_times=True)


Placed = list[list[tuple[WordWeight, float, float]]]


def _wrap(one: Answer, figure: Figure) -> Placed:
    """Set the words of an utterance in lines: each with its left edge and width."""
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    words = one.words or tuple(WordWeight(text=w, weight=None) for w in one.transcript.split())
    lines: Placed = []
    left, room = 0.0, _WIDTH - 2 * _MARGIN - 0.4
    for word in words:
        text = keep_printable(textwrap.shorten(word.text, 40, placeholder="…"))
        font = _font_of(text)
        pixels, _, _ = renderer.get_text_width_height_descent(text, font, ismath=False)
        width = pixels / figure.dpi + 0.09
        if not lines or left + width > room:
            if len(lines) == _MOST_LINES:
                lines[-1].append((WordWeight(text="…", weight=None), left, 0.2))
                return lines
            lines.append([])
            left = 0.0
        lines[-1].append((word.model_copy(update={"text": text}), left, width))
        left += width + 0.02
    return lines


def _font_of(text: str) -> Any:  # noqa: ANN401  # matplotlib has no types
    from matplotlib.font_manager import FontProperties

    file = find_font(frozenset(text))
    return FontProperties(fname=file, size=_FONT_SIZE) if file else FontProperties(size=_FONT_SIZE)


def _write(figure: Figure, one: Answer, placed: Placed, top: float, number: int | None) -> float:
    """Write one utterance, and return where the next begins."""
    height = figure.get_figheight()
    head = f"{one.score.words} {one.score.value:+.2f}"
    if number is not None and one.start is not None and one.end is not None:
        head = f"{clock(one.start)} to {clock(one.end)}   {head}"
    why = [f"{a} and {b} disagree" for a, b in one.conflicts]
    why += [f"no {m}: {reason}" for m, reason in one.absent.items()]
    figure.text(
        _MARGIN / _WIDTH, top / height, "   ".join([head, *why])[:150], va="top", fontsize=9,
        fontweight="bold" if not why else "normal", color=INK, parse_math=False,
    )  # fmt: skip
    top -= 0.22
    for line in placed or [[]]:
        axes = _add_axes(figure, _MARGIN + 0.2, top, _WIDTH - 2 * _MARGIN - 0.2, _LINE)
        axes.set_axis_off()
        axes.set_xlim(0, _WIDTH - 2 * _MARGIN - 0.2)
        axes.set_ylim(0, _LINE)
        for word, left, width in line:
            strength = min(max((abs(word.weight or 0.0) - 1) / 2, 0.0), 1.0)
            shade = Rectangle((left, 0.03), width, _LINE - 0.05, linewidth=0)
            shade.set(facecolor=COLOURS[Task.TEXT], alpha=0.65 * strength)
            axes.add_patch(shade)
            axes.text(left + width / 2, _LINE / 2, word.text, ha="center", va="center_baseline",
                      fontproperties=_font_of(word.text), color=INK, parse_math=False)  # fmt: skip
        top -= _LINE
    return top - 0.08
