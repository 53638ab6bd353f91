"""Targets in a picture: probabilities of classes with their sets, values with their intervals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from mien.prediction.answer import Answer
from mien.prediction.presentation.strips import DASHES, label_times
from mien.prediction.target_answers.target_answer import (
    ClassAnswer,
    IntensitiesAnswer,
    LabelsAnswer,
    Level,
    ScoreAnswer,
    TargetAnswer,
    TargetFacts,
    TargetValue,
    mean_values,
    numbers_of,
    rank,
)
from mien.reports.figures.style import COLOURS, INK, MUTED, style_axes
from mien.reports.figures.words import keep_printable
from mien.types import MODALITY_NAMES, Modality, Task

__all__ = ["TargetStrip", "make_target_strips"]

#: Classes that are drawn; of more, those with the largest values.
_MOST_CLASSES: Final = 8
_LINE: Final = 0.24  # inches, of a class
_TITLE: Final = 0.34
_SCORE: Final = 1.1
#: How dark a bar is whose class can be ruled out.
_PALE: Final = 0.3
_LONGEST: Final = 18  # characters of a class that are written


@dataclass(frozen=True, slots=True)
class TargetStrip:
    """How a target is drawn across the width of a figure.

    Attributes:
        height: In inches, without the title.
        title: What it is; stands above.
        draw: What draws it.
        has_times: Whether it is over time.
    """

    height: float
    title: str
    draw: "partial[None]"
    has_times: bool

    @property
    def title_height(self) -> float:
        """Inches that the title takes."""
        return _TITLE


def make_target_strips(
    targets: Sequence[TargetFacts],
    answers: Sequence[Answer],
    spans: Sequence[tuple[float, float]],
    span: float,
    *,
    has_times: bool,
) -> Iterator[TargetStrip]:
    """Yield how each target is drawn: bars of a single utterance, else strips over time.

    Args:
        targets: What they are.
        answers: The answers, in the order of time.
        spans: Where each of them begins and ends.
        span: Where the picture ends.
        has_times: Whether these are seconds.
    """
    for facts in targets:
        pairs = [pair for pair in zip(answers, spans, strict=True) if facts.name in pair[0].targets]
        own, places = [each.targets[facts.name] for each, _ in pairs], [at for _, at in pairs]
        names = _choose(facts, own)
        title = _title_of(facts, len(names), is_timed=len(answers) > 1)
        height = _LINE * (len(names) + 0.4)
        if len(answers) == 1:
            bars = partial(_draw_bars, facts=facts, answer=own[0], names=names)
            yield TargetStrip(max(height, 0.5), title, bars, has_times=False)
        elif facts.scale is not None and not facts.classes:
            lines = partial(_draw_lines, facts=facts, answers=own, spans=places)
            yield TargetStrip(_SCORE, title, partial(_over_time, lines, span, has_times), has_times)
        else:
            cells = partial(_draw_cells, facts=facts, answers=own, spans=places, names=names)
            yield TargetStrip(height, title, partial(_over_time, cells, span, has_times), has_times)


def _choose(facts: TargetFacts, answers: Sequence[TargetAnswer]) -> list[str]:
    """Return the classes that are drawn, as they come in the target."""
    values = [answer.overall for answer in answers]
    means = mean_values(values, [1.0] * len(values), facts.name)
    chosen = rank(means)[:_MOST_CLASSES]
    return [name for name in means if name in chosen]


def _title_of(facts: TargetFacts, num_drawn: int, *, is_timed: bool) -> str:
    parts = []
    if facts.level is not None:
        share = f"{100 * facts.level:g} %"
        if facts.scale is None:
            mark = "underlined" if is_timed else "dark"
            parts.append(f"{mark}: cannot be ruled out, {share}")
        elif not (is_timed and facts.classes):  # cells have no room for intervals
            parts.append(f"{share} prediction interval")
    left_out = len(facts.classes) - num_drawn if facts.classes else 0
    if left_out > 0:
        parts.append(f"{left_out} classes with smaller values are not drawn")
    return f"{facts.name} ({'; '.join(parts)})" if parts else facts.name


def _over_time(draw: "partial[None]", span: float, has_times: bool, axes: Axes) -> None:  # noqa: FBT001  # of a partial
    style_axes(axes)
    axes.set_xlim(0, span)
    draw(axes)
    if has_times:
        label_times(axes, span)
    else:
        axes.set_xticks([])


def _draw_bars(
    axes: Axes, *, facts: TargetFacts, answer: TargetAnswer, names: Sequence[str]
) -> None:
    """Draw the values of the only utterance: a bar for each class, a dot for each modality."""
    style_axes(axes)
    axes.grid(visible=False, axis="y")
    low, high = facts.target.bounds
    numbers, levels = numbers_of(answer.overall, facts.name), _levels_of(answer.overall, facts)
    is_open = _possible(answer.overall)
    for row, name in enumerate(names):
        level = levels.get(name)
        if level is None:
            alpha = 0.85 if is_open is None or name in is_open else _PALE
            axes.barh(row, numbers[name] - low, 0.66, low, color=COLOURS[Task.FUSION], alpha=alpha)
            continue
        if level.low is not None and level.high is not None:
            axes.plot([level.low, level.high], [row, row], color=COLOURS[Task.FUSION], alpha=0.3,
                      linewidth=7, solid_capstyle="butt")  # fmt: skip
        axes.plot(level.value, row, "o", color=COLOURS[Task.FUSION], clip_on=False)
    for modality, value in answer.unimodal.items():
        own = numbers_of(value, facts.name)
        axes.plot([own[name] for name in names], range(len(names)), linestyle="", marker="D",
                  markersize=4, color=COLOURS[Task(modality)], clip_on=False,
                  label=f"{MODALITY_NAMES[modality]} alone")  # fmt: skip
    _name_rows(axes, names)
    axes.set_xlim(low, high)


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [_shorten(name) for name in names])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_ylim(len(names) - 0.5, -0.5)


def _shorten(name: str) -> str:
    shown = keep_printable(name)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _draw_cells(
    axes: Axes,
    *,
    facts: TargetFacts,
    answers: Sequence[TargetAnswer],
    spans: Sequence[tuple[float, float]],
    names: Sequence[str],
) -> None:
    """Draw a cell for each utterance and class: the darker, the larger; with a line if open."""
    axes.grid(visible=False)
    low, high = facts.target.bounds
    for answer, (start, end) in zip(answers, spans, strict=True):
        numbers, is_open = numbers_of(answer.overall, facts.name), _possible(answer.overall)
        for row, name in enumerate(names):
            share = (numbers[name] - low) / (high - low)
            cell = Rectangle((start, row - 0.42), end - start, 0.84)
            cell.set(facecolor=COLOURS[Task.FUSION], alpha=0.04 + 0.9 * share, linewidth=0)
            axes.add_patch(cell)
            if is_open is not None and name in is_open:
                axes.plot([start, end], [row + 0.42] * 2, color=INK, linewidth=1.6,
                          solid_capstyle="butt")  # fmt: skip
    _name_rows(axes, names)


def _draw_lines(
    axes: Axes,
    *,
    facts: TargetFacts,
    answers: Sequence[TargetAnswer],
    spans: Sequence[tuple[float, float]],
) -> None:
    """Draw a score over time, with its intervals, and that of each modality."""
    low, high = facts.target.bounds
    axes.set_ylim(low, high)
    for answer, span in zip(answers, spans, strict=True):
        for task, value in _by_task(answer).items():
            level = _levels_of(value, facts)[facts.name]
            is_fused = task is Task.FUSION
            if is_fused and level.low is not None and level.high is not None:
                band = Rectangle((span[0], level.low), span[1] - span[0], level.high - level.low)
                band.set(facecolor=COLOURS[task], alpha=0.12, linewidth=0)
                axes.add_patch(band)
            axes.plot(span, [level.value] * 2, color=COLOURS[task], solid_capstyle="butt",
                      linewidth=4.0 if is_fused else 1.6, clip_on=False,
                      linestyle="-" if is_fused else DASHES[Modality(task)])  # fmt: skip
    axes.axhline((low + high) / 2, color=MUTED, linewidth=0.6)


def _by_task(answer: TargetAnswer) -> Mapping[Task, TargetValue]:
    own = {Task(m): value for m, value in answer.unimodal.items()}
    return {Task.FUSION: answer.overall, **(own if len(own) > 1 else {})}


def _levels_of(value: TargetValue, facts: TargetFacts) -> dict[str, Level]:
    """Return values on a scale with their intervals; none of classes and labels."""
    if isinstance(value, ScoreAnswer):
        return {facts.name: value}
    return dict(value.levels) if isinstance(value, IntensitiesAnswer) else {}


def _possible(value: TargetValue) -> set[str] | None:
    """Return the classes that cannot be ruled out; None where that is not known."""
    if isinstance(value, ClassAnswer) and value.possible is not None:
        return set(value.possible)
    if isinstance(value, LabelsAnswer) and value.possible is not None:
        return {*value.possible, *(value.certain or ())}
    return None
