"""Predictions as rows of a data frame, and as the table of a notebook."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from mien.notebooks import number_or_nan
from mien.prediction.answer import Answer, Score
from mien.prediction.target_answers.target_words import (
    describe_value,
    name_columns,
    to_columns,
)
from mien.types import Modality

if TYPE_CHECKING:
    from mien.prediction.result import Prediction

__all__ = ["frame_columns", "frame_rows", "notebook_rows"]

_GIVEN: Final = ("source", "utterance", "start", "end", "transcript")
_SENTIMENT: Final = (
    *("sentiment", "score", "low", "high"),
    *(f"{m}_{what}" for m in Modality for what in ("score", "low", "high", "contribution")),
)


def frame_columns(predictions: "Sequence[Prediction]") -> list[str]:
    """Return the columns of predictions: of sentiment, if one has any, and of all their targets."""
    has_sentiment = not predictions or any(each.has_sentiment for each in predictions)
    names = [*_GIVEN, *(_SENTIMENT if has_sentiment else ())]
    names += [name for each in predictions for name in name_columns(each.targets)]
    return list(dict.fromkeys(names))


def frame_rows(prediction: "Prediction") -> Iterator[dict[str, object]]:
    """Yield a row for each utterance."""
    for number, answer in enumerate(prediction.answers, start=1):
        row: dict[str, object] = {
            "source": prediction.source,
            "utterance": number,
            "start": number_or_nan(answer.start),
            "end": number_or_nan(answer.end),
            "transcript": answer.transcript,
        }
        if answer.score is not None:
            row |= _describe_sentiment(answer, answer.score)
        yield row | to_columns(prediction.targets, answer.targets)


def _describe_sentiment(answer: Answer, score: Score) -> dict[str, object]:
    row: dict[str, object] = {
        "sentiment": score.words,
        "score": score.value,
        "low": number_or_nan(score.low),
        "high": number_or_nan(score.high),
    }
    for modality in Modality:
        own = answer.unimodal.get(modality)
        if own is not None:
            row |= {
                f"{modality}_score": own.value,
                f"{modality}_low": number_or_nan(own.low),
                f"{modality}_high": number_or_nan(own.high),
            }
        row[f"{modality}_contribution"] = number_or_nan(answer.influence.get(modality))
    return row


def notebook_rows(prediction: "Prediction") -> tuple[list[str], list[list[str]]]:
    """Return the headings and cells of a table with a row for each utterance."""
    headings = ["seconds", "said"]
    if prediction.has_sentiment:
        headings += ["sentiment", "score", *(str(m) for m in Modality)]
    headings += [facts.name for facts in prediction.targets]
    rows = []
    for answer in prediction.answers:
        row = [_time_of(answer), answer.transcript]
        if answer.score is not None:
            row += [answer.score.words, _format_score(answer.score)]
            row += [_format_score(answer.unimodal.get(m)) for m in Modality]
        for facts in prediction.targets:
            own = answer.targets.get(facts.name)
            row.append("" if own is None else describe_value(facts, own.overall))
        rows.append(row)
    return headings, rows


def _time_of(answer: Answer) -> str:
    if answer.start is None or answer.end is None:
        return ""
    return f"{answer.start:.1f} to {answer.end:.1f}"


def _format_score(score: Score | None) -> str:
    if score is None:
        return ""
    if score.low is None or score.high is None:
        return f"{score.value:+.2f}"
    return f"{score.value:+.2f} [{score.low:+.2f}, {score.high:+.2f}]"
