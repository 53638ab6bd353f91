"""What is predicted of targets, as lines of a terminal and as columns of a table."""

from collections.abc import Iterator, Mapping, Sequence

from mien.prediction.target_answers.target_answer import (
    ClassAnswer,
    IntensitiesAnswer,
    LabelsAnswer,
    Level,
    ScoreAnswer,
    TargetAnswer,
    TargetFacts,
    TargetMoment,
    TargetValue,
    numbers_of,
    rank,
)
from mien.reports.text import clock_tenths
from mien.types import MODALITY_NAMES, Modality, Scale, TargetKind, Task

__all__ = [
    "describe_means",
    "describe_moments",
    "describe_target",
    "describe_value",
    "explain_target",
    "format_level",
    "name_columns",
    "summarise_targets",
    "summarise_value",
    "to_columns",
]

#: Classes whose numbers a line shows.
_MOST_SHOWN = 4
#: Moments that a line shows.
_MOST_MOMENTS = 5
#: What stands between the classes of a set in a cell, as in tables of annotations.
_BETWEEN = "|"
#: What the column of the words begins with that moved the likeliest class most.
_STRONGEST = "strongest_words"


def describe_target(facts: TargetFacts, answer: TargetAnswer) -> Iterator[str]:
    """Return the lines of a target: from all modalities, and from each by itself."""
    yield f"  {facts.name:20} {describe_value(facts, answer.overall)}"
    for modality, value in answer.unimodal.items():
        yield f"    {modality:5}  {'':18} {describe_value(facts, value)}"


def describe_moments(answer: TargetAnswer) -> str:
    """Return what moved the likeliest class most: ``moved angry most: voice at 0:01.0 +0.21``."""
    if not isinstance(answer.overall, ClassAnswer) or not answer.moments:
        return ""
    moved = [f"{_name_moment(m)} {m.effect:+.2f}" for m in answer.moments[:_MOST_MOMENTS]]
    return f"moved {answer.overall.name} most: {', '.join(moved)}"


def _name_moment(moment: TargetMoment) -> str:
    if moment.modality is Modality.TEXT or moment.start is None:
        return f'"{moment.text}"'
    return f"{MODALITY_NAMES[moment.modality]} at {clock_tenths(moment.start)}"


def describe_value(facts: TargetFacts, value: TargetValue) -> str:
    """Return a value in words and numbers: ``angry or sad, 90 %   angry 0.61, sad 0.31``."""
    if isinstance(value, ScoreAnswer):
        return format_level(value, facts.scale)
    if isinstance(value, IntensitiesAnswer):
        levels = sorted(value.levels.items(), key=lambda pair: -pair[1].value)
        shown = [f"{name} {format_level(level, facts.scale)}" for name, level in levels]
        return _shorten(shown)
    level = "" if facts.level is None else f", {100 * facts.level:g} %"
    return f"{value.words}{level}   {_shorten(_named(value.probabilities))}"


def format_level(level: Level, scale: Scale | None) -> str:
    """Return a value with its interval; one as wide as the scale tells nothing, and says so."""
    if level.low is None or level.high is None:
        return f"{level.value:.2f}"
    is_open = scale is not None and (level.low, level.high) == tuple(scale)
    doubt = " (cannot tell: the scale is as wide)" if is_open else ""
    return f"{level.value:.2f} [{level.low:.2f}, {level.high:.2f}]{doubt}"


def summarise_value(facts: TargetFacts, value: TargetValue) -> str:
    """Return the name of a target and its value in as few words as a headline has."""
    if isinstance(value, ScoreAnswer):
        return f"{facts.name} {format_level(value, facts.scale)}"
    if isinstance(value, IntensitiesAnswer):
        name = rank(numbers_of(value, facts.name))[0]
        return f"{facts.name}: most {name} {value.levels[name].value:.2f}"
    level = "" if facts.level is None else f", {100 * facts.level:g} %"
    return f"{facts.name}: {value.words}{level}"


def summarise_targets(
    targets: Sequence[TargetFacts], answers: Mapping[str, TargetAnswer]
) -> list[str]:
    """Return ``summarise_value`` of the targets of which there is an answer."""
    return [
        summarise_value(facts, answers[facts.name].overall)
        for facts in targets
        if facts.name in answers
    ]


def describe_means(name: str, means: Mapping[str, float]) -> str:
    """Return the means of a target over the utterances of a recording, the largest first."""
    if list(means) == [name]:
        return f"{name}, mean: {means[name]:.2f}"
    return f"{name}, mean: {_shorten(_named(means))}"


def _named(numbers: Mapping[str, float]) -> list[str]:
    return [f"{name} {numbers[name]:.2f}" for name in rank(numbers)]


def _shorten(shown: Sequence[str]) -> str:
    left = len(shown) - _MOST_SHOWN
    more = [f"{left} more"] if left > 0 else []
    return ", ".join([*shown[:_MOST_SHOWN], *more])


def explain_target(facts: TargetFacts) -> str:
    """Return what its set or interval means; empty without one."""
    if facts.level is None:
        return ""
    share = f"{100 * facts.level:g} %"
    if facts.kind is TargetKind.CLASS:
        return (
            f"{facts.name}, {share}: the classes that cannot be ruled out; in {share} of clips "
            "like those of validation the annotated one is among them"
        )
    if facts.kind is TargetKind.LABELS:
        return (
            f"{facts.name}, {share}: what is there, and what may be (perhaps); each label is "
            f"right in {share} of clips like those of validation"
        )
    return f"{facts.name}, [low, high]: {share} prediction interval, calibrated on validation clips"


def name_columns(targets: Sequence[TargetFacts]) -> list[str]:
    """Return the columns of targets in a table: ``emotion/fusion``, ``emotion/fusion/angry``, ...

    ``set/emotion/fusion`` has the classes that cannot be ruled out, ``strongest_words/`` the words
    with the largest effects on the likeliest; ``certain/`` and ``possible/`` the labels that are
    there and those that may be; ``low/`` and ``high/`` are ends of intervals.
    """
    return [name for facts in targets for task in Task for name in _columns_of(facts, task)]


def _columns_of(facts: TargetFacts, task: Task) -> list[str]:
    stem, own = f"{facts.name}/{task}", facts.target.columns(task)
    if facts.kind is TargetKind.CLASS:
        words = [f"{_STRONGEST}/{stem}"] * (task is Task.FUSION)
        return [stem, f"set/{stem}", *words, *own]
    if facts.kind is TargetKind.LABELS:
        return [f"certain/{stem}", f"possible/{stem}", *own]
    return [each for name in own for each in (name, f"low/{name}", f"high/{name}")]


def to_columns(
    targets: Sequence[TargetFacts], answers: Mapping[str, TargetAnswer]
) -> dict[str, str | float | None]:
    """Return the cells of an utterance, by column; those of modalities that lack are left out."""
    cells: dict[str, str | float | None] = {}
    for facts in targets:
        if facts.name not in answers:
            continue
        answer = answers[facts.name]
        for task in Task:
            value = answer.overall if task is Task.FUSION else None
            value = value or answer.unimodal.get(Modality(task))
            if value is not None:
                cells |= _cells_of(facts, task, value)
        if isinstance(answer.overall, ClassAnswer):
            words = [m for m in answer.moments if m.modality is Modality.TEXT]
            cells[f"{_STRONGEST}/{facts.name}/{Task.FUSION}"] = "; ".join(
                f"{word.text} {word.effect:+.2f}" for word in words
            )
    return cells


def _cells_of(facts: TargetFacts, task: Task, value: TargetValue) -> dict[str, str | float | None]:
    stem = f"{facts.name}/{task}"
    names = dict(zip(facts.classes or (facts.name,), facts.target.columns(task), strict=True))
    cells: dict[str, str | float | None] = {}
    if isinstance(value, ClassAnswer):
        cells = {stem: value.name, f"set/{stem}": _join(value.possible)}
    elif isinstance(value, LabelsAnswer):
        certain, possible = _join(value.certain), _join(value.possible)
        cells = {f"certain/{stem}": certain, f"possible/{stem}": possible}
    else:
        levels = {facts.name: value} if isinstance(value, ScoreAnswer) else value.levels
        for name, level in levels.items():
            cells |= {f"low/{names[name]}": level.low, f"high/{names[name]}": level.high}
    return cells | {names[name]: own for name, own in numbers_of(value, facts.name).items()}


def _join(classes: Sequence[str] | None) -> str | None:
    return None if classes is None else _BETWEEN.join(classes)
