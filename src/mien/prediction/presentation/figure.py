"""Answers drawn: scores with intervals, effects of words, voice and face, attention, frames."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from mien.prediction.answer import Answer
from mien.prediction.presentation.colored_words import (
    LINE,
    LOWERS,
    RAISES,
    fit_parts,
    fit_title,
    wrap_words,
    write_words,
)
from mien.prediction.presentation.strips import (
    DASHES,
    draw_attention,
    draw_effects,
    label_times,
)
from mien.prediction.presentation.target_strips import make_target_strips
from mien.prediction.target_answers.target_answer import TargetFacts
from mien.prediction.target_answers.target_words import summarise_targets
from mien.reports.figures.style import COLOURS, INK, MUTED, make_figure, style_axes
from mien.reports.figures.words import keep_printable
from mien.reports.text import clock
from mien.types import MODALITY_NAMES, Modality, Scale, Task

__all__ = ["draw_timeline"]

_WIDTH: Final = 12.0  # inches, like all lengths below
_MARGIN: Final = 0.35
_LABELS: Final = 1.25  # room for the names of sentiments
_SCORES: Final = 2.6
_ROW: Final = 0.36  # of a score of the only utterance
_STRIP: Final = 0.36
_GAP: Final = 0.12
_TICKS: Final = 0.25  # below a row whose axis is not that of time
_ABOVE_WORDS: Final = 0.2
_KEY: Final = 0.25
_FRAMES: Final = 1.15
#: Words are written out for so many utterances; more would not be read.
_MOST_WRITTEN: Final = 14
_MANY: Final = 60  # utterances whose lines must be thin
_BAND: Final = "#22222222"
#: The darkest colour is that of the largest effect, or of this share of the end of the scale.
_FULL: Final = 0.1
_SENTIMENTS: Final = (
    *("strongly negative", "negative", "neutral", "positive", "strongly positive"),
)

Frame = tuple[float, UInt8[np.ndarray, "H W 3"]]


@dataclass(frozen=True, slots=True)
class _Row:
    """A part of the figure across its width: how high it is, and what draws it."""

    height: float
    draw: Callable[[Axes], None]
    has_times: bool = True
    title: str = ""
    title_height: float = 0.0

    @property
    def full_height(self) -> float:
        """The height that it takes with its title, and what is below it up to the next row."""
        return self.title_height + self.height + _GAP + (0.0 if self.has_times else _TICKS)


def draw_timeline(
    answers: Sequence[Answer],
    *,
    seconds: float | None,
    scale: Scale | None,
    title: str,
    level: float | None,
    frames: Sequence[Frame] = (),
    targets: Sequence[TargetFacts] = (),
) -> Figure:
    """Draw a prediction.

    From top to bottom: frames of the face, scores (over time with the interval of the multimodal
    one as a band; of a single utterance, a dot and an interval for each score), effects of and
    attention to voice and face over time, and what is said, each word coloured by its effect (on
    the score or, without sentiment, on the likeliest class of a target) and underlined by
    attention.

    Args:
        answers: The answers, in the order of time.
        seconds: Length of the recording; None if there is none.
        scale: Range of the scores of sentiment; None if there are none.
        title: Stands above the figure.
        level: Share of annotations that should lie in the intervals.
        frames: Seconds and pictures.
        targets: What is predicted besides; each has its place below the scores.
    """
    if scale is None:
        answers = [_with_class_effects(answer) for answer in answers]
    span = seconds if seconds else float(len(answers))
    full = _largest_effect(answers, scale)
    rows = [] if scale is None else [_score_row(answers, scale, span, has_times=bool(seconds))]
    rows += _target_rows(targets, answers, span, has_times=bool(seconds))
    rows += _strips(answers, span, full)
    written = list(answers) if len(answers) <= _MOST_WRITTEN else []
    measure = make_figure("", _WIDTH, 1.0)
    wrapped = [wrap_words(answer, measure, _WIDTH - 2 * _MARGIN - 0.4) for answer in written]
    top = 0.95 + _FRAMES * bool(frames)
    words_height = sum(len(lines) * LINE + 0.32 for lines in wrapped)
    below = _ABOVE_WORDS + _KEY + words_height + _GAP
    height = top + sum(row.full_height for row in rows) + below
    figure = make_figure("", _WIDTH, height)
    figure.set_layout_engine("none")
    _draw_head(figure, answers, title, level)
    if frames:
        _draw_frames(figure, frames, span, height - 0.95)
    at = _draw_rows(figure, rows, height - top)
    _write_key(figure, written, at)
    at -= _KEY
    for number, (answer, lines) in enumerate(zip(written, wrapped, strict=True), start=1):
        _write_head(figure, answer, at, number if len(answers) > 1 else None, targets)
        at -= 0.24
        for line in lines:
            axes = _add_axes(figure, _MARGIN + 0.2, at, _WIDTH - 2 * _MARGIN - 0.2, LINE)
            axes.set_xlim(0, _WIDTH - 2 * _MARGIN - 0.2)
            write_words(axes, line, full)
            at -= LINE
        at -= 0.08
    return figure


def _with_class_effects(answer: Answer) -> Answer:
    """Return an answer whose words have their effects on the first target that has such."""
    of_targets = (target.words for target in answer.targets.values())
    effects = next((own for own in of_targets if len(own) == len(answer.words)), ())
    words = (
        word.model_copy(update={"effect": own.effect})
        for word, own in zip(answer.words, effects, strict=bool(effects))
    )
    return answer.model_copy(update={"words": tuple(words)}) if effects else answer


def _largest_effect(answers: Sequence[Answer], scale: Scale | None) -> float:
    """Return the effect that has the darkest colour, the same in all parts of a figure."""
    effects = [abs(word.effect or 0.0) for answer in answers for word in answer.words]
    series = [steps for answer in answers for steps in answer.steps.values()]
    effects += [abs(window.effect) for steps in series for window in steps.windows]
    least = _FULL if scale is None else _FULL * max(abs(scale.low), abs(scale.high))
    return max(least, *effects, 1e-6)


def _score_row(answers: Sequence[Answer], scale: Scale, span: float, *, has_times: bool) -> _Row:
    if len(answers) == 1:
        height = _ROW * (len(_tasks_of(answers[0])) + 0.5)
        return _Row(height, partial(_draw_dots, answer=answers[0], scale=scale), has_times=False)
    draw = partial(_draw_scores, answers=answers, scale=scale, span=span, has_times=has_times)
    return _Row(_SCORES, draw, has_times=has_times)


def _target_rows(
    targets: Sequence[TargetFacts], answers: Sequence[Answer], span: float, *, has_times: bool
) -> list[_Row]:
    spans = [_span_of(answer, index) for index, answer in enumerate(answers)]
    strips = make_target_strips(targets, answers, spans, span, has_times=has_times)
    return [
        _Row(each.height, each.draw, each.has_times, each.title, each.title_height)
        for each in strips
    ]


def _strips(answers: Sequence[Answer], span: float, full: float) -> list[_Row]:
    rows = []
    for modality in (Modality.AUDIO, Modality.VIDEO):
        there = [answer.steps[modality] for answer in answers if modality in answer.steps]
        if any(steps.windows for steps in there):
            effects = partial(
                draw_effects, modality=modality, answers=answers, span=span, full=full
            )
            rows.append(_Row(_STRIP, effects))
        if any(steps.weights for steps in there):
            attention = partial(draw_attention, modality=modality, answers=answers, span=span)
            rows.append(_Row(_STRIP * 0.7, attention))
    return rows


def _draw_rows(figure: Figure, rows: Sequence[_Row], top: float) -> float:
    """Draw one row below the other, with times under the lowest, and return where they end."""
    timed = [index for index, row in enumerate(rows) if row.has_times]
    for index, row in enumerate(rows):
        place = top - row.title_height
        axes = _add_axes(figure, _LABELS, place, _WIDTH - _LABELS - _MARGIN, row.height)
        row.draw(axes)
        if row.title:
            axes.set_title(
                keep_printable(row.title), loc="left", fontsize=9, color=INK, parse_math=False
            )
        if timed and index == timed[-1]:
            axes.tick_params(labelbottom=True)
        top -= row.full_height
    return top - _ABOVE_WORDS


def _add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    tall = figure.get_figheight()
    axes: Axes = figure.add_axes(
        (left / _WIDTH, (top - height) / tall, width / _WIDTH, height / tall)
    )
    return axes


def _draw_head(figure: Figure, answers: Sequence[Answer], title: str, level: float | None) -> None:
    height = figure.get_figheight()
    figure.text(
        _MARGIN / _WIDTH, 1 - 0.16 / height, fit_title(title), va="top", fontsize=12,
        fontweight="bold", color=INK, parse_math=False,
    )  # fmt: skip
    has_overall = len(answers) > 1 or Task.FUSION in _tasks_of(answers[0])
    overall = Patch(color=COLOURS[Task.FUSION], label="overall")
    keys: list[Any] = [overall] if has_overall else []
    there = [m for m in Modality if any(m in answer.present for answer in answers)]
    keys += [_key_of(m, is_line=len(answers) > 1) for m in there]
    if level is not None:
        keys.append(Patch(color=_BAND, label=f"{100 * level:g} % prediction interval"))
    if any(answer.score is not None for answer in answers):
        keys.append(Patch(color=RAISES, label="raises the score"))
        keys.append(Patch(color=LOWERS, label="lowers it"))
    figure.legend(
        handles=keys, loc="upper left", ncols=7,
        bbox_to_anchor=(_MARGIN / _WIDTH - 0.006, 1 - 0.45 / height),
        frameon=False, fontsize=9, labelcolor=INK, handlelength=1.2 if len(answers) == 1 else 2.2,
    )  # fmt: skip


def _key_of(modality: Modality, *, is_line: bool) -> Any:  # noqa: ANN401  # matplotlib's
    """Return how the score of a modality alone looks: a line over time, or a dot."""
    colour, label = COLOURS[Task(modality)], f"{MODALITY_NAMES[modality]} alone"
    if not is_line:
        return Patch(color=colour, label=label)
    return Line2D([], [], color=colour, linestyle=DASHES[modality], linewidth=2.2, label=label)


def _draw_frames(figure: Figure, frames: Sequence[Frame], span: float, top: float) -> None:
    """Put each frame above its time, moved aside where the one before is in the way."""
    width, tall = _WIDTH - _LABELS - _MARGIN, _FRAMES - 0.3
    wide = [min(image.shape[1] / image.shape[0], 1.8) * tall for _, image in frames]
    left = _LABELS
    for index, ((time, image), size) in enumerate(zip(frames, wide, strict=True)):
        rest = sum(wide[index:]) + 0.06 * (len(wide) - index)
        wanted = _LABELS + width * min(time / span, 1.0) - size / 2
        left = min(max(wanted, left), max(_LABELS + width - rest + 0.06, left))
        axes = _add_axes(figure, left, top, size, tall)
        axes.imshow(image, aspect="auto", interpolation="antialiased")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color(COLOURS[Task.VIDEO])
        axes.set_xlabel(clock(time) if span >= 60 else f"{time:.1f} s", fontsize=8, color=INK)
        left += size + 0.06


def _tasks_of(answer: Answer) -> list[Task]:
    """Return the scores to show: of a modality alone there is one, since both are the same."""
    own = [Task(m) for m in answer.present if m in answer.unimodal]
    return own if len(own) == 1 else [Task.FUSION, *own]


def _ticks(scale: Scale) -> tuple[list[float], list[str]]:
    most = max(abs(scale.low), abs(scale.high))
    values = [-most, -2 * most / 3, 0.0, 2 * most / 3, most]
    named = zip(values, _SENTIMENTS, strict=True)
    shown = [(value, name) for value, name in named if scale.low <= value <= scale.high]
    return [value for value, _ in shown], [name for _, name in shown]


def _draw_dots(axes: Axes, *, answer: Answer, scale: Scale) -> None:
    """Draw a dot with its interval for each score of the only utterance."""
    style_axes(axes)
    axes.grid(visible=False, axis="y")
    tasks = _tasks_of(answer)
    for row, task in enumerate(tasks):
        score = answer.score if task is Task.FUSION else answer.unimodal[Modality(task)]
        if score is None:
            continue
        if score.low is not None and score.high is not None:
            axes.plot([score.low, score.high], [row, row], color=COLOURS[task], alpha=0.3,
                      linewidth=7, solid_capstyle="butt")  # fmt: skip
        axes.plot(score.value, row, "o", color=COLOURS[task], markersize=8, clip_on=False)
    names = [
        "overall" if t is Task.FUSION else f"{MODALITY_NAMES[Modality(t)]} alone" for t in tasks
    ]
    axes.set_yticks(range(len(tasks)), names)
    axes.set_ylim(len(tasks) - 0.5, -0.6)
    axes.set_xlim(*scale)
    axes.set_xticks(*_ticks(scale))
    for label, value in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True):
        if value <= scale.low:
            label.set_horizontalalignment("left")
        elif value >= scale.high:
            label.set_horizontalalignment("right")
    axes.axvline(0, color=MUTED, linewidth=0.8)


def _draw_scores(
    axes: Axes, *, answers: Sequence[Answer], scale: Scale, span: float, has_times: bool
) -> None:
    style_axes(axes)
    axes.set_xlim(0, span)
    axes.set_ylim(*scale)
    axes.set_yticks(*_ticks(scale))
    axes.axhline(0, color=MUTED, linewidth=0.8)
    for index, answer in enumerate(answers):
        start, end = _span_of(answer, index)
        score = answer.score
        if score is not None and score.low is not None and score.high is not None:
            band = Rectangle((start, score.low), end - start, score.high - score.low)
            band.set(facecolor=COLOURS[Task.FUSION], alpha=0.12, linewidth=0)
            axes.add_patch(band)
        _draw_levels(axes, answer, (start, end), is_dense=len(answers) > _MANY)
        if answer.conflicts and len(answers) <= _MANY:
            axes.text((start + end) / 2, scale.high - 0.04 * (scale.high - scale.low), "≠",
                      ha="center", va="top", fontsize=11, color=INK)  # fmt: skip
    if has_times:
        label_times(axes, span)
    else:
        axes.set_xticks([])


def _draw_levels(axes: Axes, answer: Answer, span: tuple[float, float], *, is_dense: bool) -> None:
    """Draw the scores of an utterance; those of the modalities stay visible on the overall one."""
    for score in () if answer.score is None else (answer.score,):
        axes.plot(span, [score.value] * 2, color=COLOURS[Task.FUSION], solid_capstyle="butt",
                  linewidth=2.5 if is_dense else 4.5, clip_on=False)  # fmt: skip
    for modality, score in answer.unimodal.items():
        axes.plot(span, [score.value] * 2, color=COLOURS[Task(modality)],
                  linewidth=1.0 if is_dense else 1.8, solid_capstyle="butt", dash_capstyle="butt",
                  linestyle="-" if is_dense else DASHES[modality], clip_on=False)  # fmt: skip


def _span_of(answer: Answer, index: int) -> tuple[float, float]:
    if answer.start is None or answer.end is None:
        return index + 0.1, index + 0.9
    return answer.start, answer.end


def _write_key(figure: Figure, written: Sequence[Answer], top: float) -> None:
    """Say what colours and lines of words mean, where there are any."""
    words = [word for answer in written for word in answer.words]
    parts = []
    if any(word.effect is not None for word in words):
        is_class = all(answer.score is None for answer in written)
        what = "probability of the likeliest class" if is_class else "overall score"
        parts.append(f"colour of a word: what the {what} would change without it")
    if any(word.weight is not None for word in words):
        parts.append("line below it: attention above the average")
    if parts:
        figure.text(
            _MARGIN / _WIDTH, top / figure.get_figheight(), "; ".join(parts), va="top",
            fontsize=8.5, color=MUTED,
        )  # fmt: skip


def _write_head(
    figure: Figure,
    answer: Answer,
    top: float,
    number: int | None,
    targets: Sequence[TargetFacts],
) -> None:
    """Write the line above the words of an utterance."""
    score = answer.score
    parts = [] if score is None else [f"{score.words} {score.value:+.2f}"]
    if number is not None and answer.start is not None and answer.end is not None:
        parts.insert(0, f"{clock(answer.start)} to {clock(answer.end)}")
    why = [f"{a} and {b} disagree" for a, b in answer.conflicts]
    why += [*answer.notes, *(f"no {m}: {reason}" for m, reason in answer.absent.items())]
    parts += [*why, *summarise_targets(targets, answer.targets)]
    figure.text(
        _MARGIN / _WIDTH, top / figure.get_figheight(), fit_parts(parts), va="top",
        fontsize=9, fontweight="normal" if why or targets else "bold", color=INK, parse_math=False,
    )  # fmt: skip
