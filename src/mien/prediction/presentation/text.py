"""A prediction as text for a terminal, and as rows for a spreadsheet."""

import csv
import io
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from mien.files.atomic import write_text
from mien.prediction.answer import Answer, ModelFacts, Moment, Score
from mien.prediction.result import Prediction
from mien.prediction.spoken.language import name_language
from mien.prediction.target_answers.target_words import (
    describe_means,
    describe_moments,
    describe_target,
    explain_target,
    name_columns,
    to_columns,
)
from mien.reports.text import clock, clock_tenths
from mien.types import MODALITY_NAMES, Modality

__all__ = [
    "format_answers",
    "format_legend",
    "format_prediction",
    "format_rows",
    "to_rows",
    "write_rows",
]

_WIDTH = 96
#: Columns of the longest lines: numbers of targets.
_WIDEST = 108
#: Moments that are shown of an utterance.
_NUM_MOMENTS = 5
#: Words in a cell of a spreadsheet.
_NUM_WORDS = 3
#: What a spreadsheet would take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_GIVEN = ("source", "utterance", "start", "end", "transcript")
_SCORES = (
    *("sentiment", "score", "low", "high"),
    *(f"{m}_{what}" for m in Modality for what in ("score", "low", "high")),
)
_CONTRIBUTIONS = tuple(f"{m}_contribution" for m in Modality)


def format_prediction(prediction: Prediction) -> str:
    """Return all that a terminal shows of one prediction: its answers and the legend."""
    return f"{format_answers(prediction)}\n\n{format_legend(prediction)}"


def format_answers(prediction: Prediction) -> str:
    """Return a headline, then every utterance with its reasons."""
    lines, means = [_headline(prediction)], prediction.target_means.items()
    if len(prediction) > 1:
        lines += [_clean(describe_means(name, own)) for name, own in means]
    for number, answer in enumerate(prediction.answers, start=1):
        lines += ["", *_describe(prediction, answer, number if len(prediction) > 1 else None)]
    for warning in prediction.warnings:
        lines += textwrap.wrap(f"note: {_clean(warning)}", _WIDTH, subsequent_indent="      ")
    return "\n".join(lines)


def format_legend(prediction: Prediction) -> str:
    """Return what the numbers mean, and which model they are from."""
    lines = []
    if prediction.level is not None:
        what = "[low, high] of sentiment" if prediction.targets else "[low, high]"
        lines.append(
            f"{what}: {100 * prediction.level:g} % prediction interval, calibrated on "
            "validation clips"
        )
    for text in map(explain_target, prediction.targets):
        lines += textwrap.wrap(_clean(text), _WIDEST, subsequent_indent="  ")
    if any(answer.influence for answer in prediction.answers):
        lines.append("contribution: the overall score minus what it would be without the modality")
    if any(moment.effect is not None for answer in prediction.answers for moment in answer.moments):
        lines.append(
            "moved the score most: the overall score minus what it would be without this word or "
            "moment"
        )
    of_targets = (target for answer in prediction.answers for target in answer.targets.values())
    if any(target.moments for target in of_targets):
        lines.append(
            "moved a class most: its probability minus what it would be without this word or moment"
        )
    if any(answer.confidence is not None for answer in prediction.answers):
        lines.append("confidence of recognised words: the mean of the recogniser's probabilities")
    lines.append(f"model: {_name_model(prediction.model)}")
    if prediction.companion is not None:
        lines.append(f"beside it: {_name_model(prediction.companion)}")
    return "\n".join(lines)


def _name_model(model: ModelFacts) -> str:
    """Return the name of a model, and its licence if it says so."""
    return f"{model.name}; {model.licence}" if model.licence else model.name


def _headline(prediction: Prediction) -> str:
    facts = []
    if prediction.seconds is not None:
        facts.append(clock(prediction.seconds))
    what = "parts" if prediction.seconds is None else "utterances"
    if len(prediction) > 1:
        mean = "" if prediction.overall is None else f", mean {prediction.overall:+.2f}"
        facts.append(f"{len(prediction)} {what}{mean}")
    if prediction.speech is not None and prediction.speech.language:
        facts.append(f"spoken in {name_language(prediction.speech.language)}")
    if prediction.scale is not None:
        low, high = prediction.scale
        facts.append(f"scale {low:g} to {high:g}")
    return f"{_clean(prediction.source)}   {', '.join(facts)}".rstrip()


def _describe(prediction: Prediction, answer: Answer, number: int | None) -> Iterator[str]:
    if number is not None:
        yield f"{number}. {_span(answer)}".rstrip()
    if answer.transcript:
        quoted = f'"{_clean(answer.transcript)}"'
        yield from textwrap.wrap(quoted, _WIDTH, initial_indent="  ", subsequent_indent="   ")
    if answer.confidence is not None:
        yield f"   recognised with a confidence of {100 * answer.confidence:.0f} %"
    yield from _describe_values(prediction, answer)
    for first, second in answer.conflicts:
        yield f"    {first} and {second} disagree"
    moved = [_moment(moment) for moment in answer.moments if moment.effect is not None]
    if moved:
        yield from _wrap(f"moved the score most: {', '.join(moved[:_NUM_MOMENTS])}")
    for note in answer.notes:
        yield from _wrap(f"note: {_clean(note)}")


def _describe_values(prediction: Prediction, answer: Answer) -> Iterator[str]:
    """Return the lines of sentiment and of targets; of modalities that lack, the reason once."""
    if answer.score is not None:
        yield f"  {answer.score.words:20} {_number(answer.score)}"
        for modality in Modality:
            yield from _describe_modality(answer, modality)
    for facts in prediction.targets:
        if facts.name in answer.targets:
            for line in describe_target(facts, answer.targets[facts.name]):
                yield from textwrap.wrap(_clean(line), _WIDEST, subsequent_indent=" " * 23)
            moved = describe_moments(answer.targets[facts.name])
            yield from _wrap(_clean(moved)) if moved else ()
    if answer.score is None:
        for modality in answer.absent:
            yield from _describe_modality(answer, modality)


def _describe_modality(answer: Answer, modality: Modality) -> Iterator[str]:
    if modality in answer.unimodal:
        score = answer.unimodal[modality]
        line = f"    {modality:5}  {score.words:18} {_number(score)}"
        if modality in answer.influence:
            line += f"   contribution {answer.influence[modality]:+.2f}"
        yield line
    elif modality in answer.absent:
        yield f"    {modality:5}  absent: {answer.absent[modality]}"


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="    ", subsequent_indent="      ")


def _span(answer: Answer) -> str:
    if answer.start is None or answer.end is None:
        return ""
    return f"{clock_tenths(answer.start)} to {clock_tenths(answer.end)}"


def _number(score: Score) -> str:
    if score.low is None or score.high is None:
        return f"{score.value:+.2f}"
    return f"{score.value:+.2f}  [{score.low:+.2f}, {score.high:+.2f}]"


def _moment(moment: Moment) -> str:
    if moment.modality is Modality.TEXT:
        what = f'"{_clean(moment.text)}"'
    else:
        name = MODALITY_NAMES[moment.modality]
        what = name if moment.start is None else f"{name} at {clock_tenths(moment.start)}"
    return f"{what} {moment.effect:+.2f}"


def _clean(text: str) -> str:
    """Leave out what would move a terminal's cursor or change its colours."""
    return "".join(char if char.isprintable() else " " for char in text)


def to_rows(prediction: Prediction) -> list[list[str]]:
    """Return a row of names, and a row for each utterance.

    Scores and contributions have six digits; what is not there is empty. ``heaviest_words`` have
    the most attention, ``strongest_words`` the largest effect on the score. Text that a spreadsheet
    would take for a formula begins with an apostrophe. Columns of scores are there if sentiment is
    predicted, and those of targets, as ``name_columns`` names them, if there are any.
    """
    targets = name_columns(prediction.targets)
    with_scores = prediction.has_sentiment
    names = [*_GIVEN, *(_SCORES if with_scores else ()), "absent"]
    names += ["conflicts"] * with_scores + ["heaviest_words"]
    names += ["strongest_words", *_CONTRIBUTIONS] if with_scores else []
    rows = [[*names, "notes", "warnings", *(_cell(name) for name in targets)]]
    for number, answer in enumerate(prediction.answers, start=1):
        cells: list[object] = [
            prediction.source,
            number,
            answer.start,
            answer.end,
            answer.transcript,
        ]
        if with_scores:
            cells += ["" if answer.score is None else answer.score.words, *_cells(answer.score)]
            for modality in Modality:
                cells += _cells(answer.unimodal.get(modality))
        cells.append("; ".join(f"{m}: {why}" for m, why in answer.absent.items()))
        if with_scores:
            cells.append("; ".join(f"{a} and {b}" for a, b in answer.conflicts))
        cells.append(_heaviest(answer))
        if with_scores:
            cells += [_strongest(answer), *(answer.influence.get(m) for m in Modality)]
        cells += ["; ".join(answer.notes), "; ".join(prediction.warnings)]
        own = to_columns(prediction.targets, answer.targets)
        rows.append([_cell(value) for value in [*cells, *(own.get(name) for name in targets)]])
    return rows


def write_rows(prediction: Prediction, path: Path) -> None:
    """Write the rows of a prediction as a CSV file."""
    write_text(path, format_rows(prediction))


def format_rows(prediction: Prediction) -> str:
    """Return the rows of a prediction as CSV."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(to_rows(prediction))
    return text.getvalue()


def _heaviest(answer: Answer) -> str:
    """Return the words with the most attention."""
    words = [word for word in answer.words if word.weight is not None]
    words = sorted(words, key=lambda word: -abs(word.weight or 0.0))[:_NUM_WORDS]
    return " ".join(word.text for word in words)


def _strongest(answer: Answer) -> str:
    """Return the words that moved the score most, with their effects."""
    words = [m for m in answer.moments if m.modality is Modality.TEXT and m.effect is not None]
    return "; ".join(f"{word.text} {word.effect:+.2f}" for word in words)


def _cells(score: Score | None) -> Sequence[object]:
    return (None, None, None) if score is None else (score.value, score.low, score.high)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = _clean(str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text
