"""A prediction as text for a terminal, and as rows for a spreadsheet."""

import textwrap
from collections.abc import Iterator, Sequence

from mien.live import clock
from mien.prediction.answer import Answer, Moment, Score
from mien.prediction.result import Prediction
from mien.types import Modality

__all__ = ["format_prediction", "to_rows"]

_WIDTH = 96
#: What a spreadsheet would take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS = (
    *("source", "utterance", "start", "end", "transcript", "sentiment", "score", "low", "high"),
    *(f"{m}_{what}" for m in Modality for what in ("score", "low", "high")),
    *("absent", "conflicts", "heaviest_words", "warnings"),
)


def format_prediction(prediction: Prediction) -> str:
    """Return what a terminal shows: a headline, then every utterance with its reasons."""
    lines = [_headline(prediction)]
    for number, one in enumerate(prediction.answers, start=1):
        lines += ["", *_describe(one, number if len(prediction) > 1 else None)]
    for warning in prediction.warnings:
        lines += textwrap.wrap(f"note: {_clean(warning)}", _WIDTH, subsequent_indent="      ")
    lines += ["", *_explain(prediction)]
    return "\n".join(lines)


def _headline(prediction: Prediction) -> str:
    facts = []
    if prediction.seconds is not None:
        facts.append(clock(prediction.seconds))
    what = "parts" if prediction.seconds is None else "utterances"
    if len(prediction) > 1:
        facts.append(f"{len(prediction)} {what}, mean {prediction.overall:+.2f}")
    low, high = prediction.scale
    facts.append(f"scale {low:g} to {high:g}")
    return f"{_clean(prediction.source)}   {', '.join(facts)}"


def _describe(one: Answer, number: int | None) -> Iterator[str]:
    if number is not None:
        yield f"{number}. {_span(one)}".rstrip()
    if one.transcript:
        said = f'"{_clean(one.transcript)}"'
        yield from textwrap.wrap(said, _WIDTH, initial_indent="  ", subsequent_indent="   ")
    yield f"  {one.score.words:20} {_number(one.score)}"
    for modality in Modality:
        if modality in one.unimodal:
            score = one.unimodal[modality]
            yield f"    {modality:5}  {score.words:18} {_number(score)}{_influence(one, modality)}"
        elif modality in one.absent:
            yield f"    {modality:5}  not judged: {one.absent[modality]}"
    for first, second in one.conflicts:
        yield f"    {first} and {second} disagree"
    heavy = [_moment(moment) for moment in one.moments]
    if heavy:
        text = f"weighed most: {', '.join(heavy)}"
        yield from textwrap.wrap(text, _WIDTH, initial_indent="    ", subsequent_indent="      ")


def _span(one: Answer) -> str:
    if one.start is None or one.end is None:
        return ""
    return f"{_time(one.start)} to {_time(one.end)}"


def _number(score: Score) -> str:
    if score.low is None or score.high is None:
        return f"{score.value:+.2f}"
    return f"{score.value:+.2f}  [{score.low:+.2f}, {score.high:+.2f}]"


def _influence(one: Answer, modality: Modality) -> str:
    if modality not in one.influence:
        return ""
    return f"   moves the whole by {one.influence[modality]:+.2f}"


def _moment(moment: Moment) -> str:
    what = f'"{_clean(moment.text)}"' if moment.modality is Modality.TEXT else str(moment.modality)
    if moment.start is not None and moment.modality is not Modality.TEXT:
        what += f" at {_time(moment.start)}"
    return f"{what} ({moment.weight:.1f}x)"


def _time(seconds: float) -> str:
    """Return a time to a tenth of a second.

    >>> _time(75.2), _time(3675.0)
    ('1:15.2', '1:01:15.0')
    """
    tenths = round(seconds * 10 + 1e-9)
    return f"{clock(float(tenths // 10))}.{tenths % 10}"


def _explain(prediction: Prediction) -> Iterator[str]:
    if prediction.level is not None:
        share = f"{100 * prediction.level:g} %"
        yield f"[low, high]: {share} of the annotations of validation clips lay inside"
    if any(one.moments for one in prediction.answers):
        yield "(2.0x): twice the weight that equal weights would give"
    licence = f"; {prediction.model.licence}" if prediction.model.licence else ""
    yield f"model: {prediction.model.name}{licence}"


def _clean(text: str) -> str:
    """Leave out what would move a terminal's cursor or change its colours."""
    return "".join(one if one.isprintable() else " " for one in text)


def to_rows(prediction: Prediction) -> list[list[str]]:
    """Return a row of names, and a row for each utterance.

    Scores have six digits; what is not there is empty. Text that a spreadsheet would take for a
    formula begins with an apostrophe.
    """
    rows = [list(_COLUMNS)]
    for number, one in enumerate(prediction.answers, start=1):
        cells: list[object] = [prediction.source, number, one.start, one.end, one.transcript]
        cells += [one.score.words, *_cells(one.score)]
        for modality in Modality:
            cells += _cells(one.unimodal.get(modality))
        cells.append("; ".join(f"{m}: {why}" for m, why in one.absent.items()))
        cells.append("; ".join(f"{a} and {b}" for a, b in one.conflicts))
        words = [m.text for m in one.moments if m.modality is Modality.TEXT]
        cells.append(" ".join(words))
        cells.append("; ".join(prediction.warnings))
        rows.append([_cell(value) for value in cells])
    return rows


def _cells(score: Score | None) -> Sequence[object]:
    return (None, None, None) if score is None else (score.value, score.low, score.high)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = _clean(str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text
