"""Cells of a table as people and programs write them: scores, times, splits, names of clips."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from mien.corpora.clip_table.splits import MIXED, find_split
from mien.errors import CorpusError
from mien.files.reading import show
from mien.types import ID_SEPARATOR, SPLITS, Scale, Split, Task

__all__ = [
    "UNIMODAL",
    "is_mark_of_nothing",
    "is_number",
    "join_id",
    "read_labels",
    "read_mode",
    "read_number",
    "read_piece",
    "read_score",
    "read_seconds",
]

Row = Mapping[str, str]

#: Columns of the unimodal labels.
UNIMODAL = MappingProxyType({"label_T": Task.TEXT, "label_A": Task.AUDIO, "label_V": Task.VIDEO})
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")
#: Minutes and seconds, or hours, minutes and seconds.
_CLOCK = re.compile(r"(?:(\d{1,5}):)?(\d{1,6}):(\d{1,2}(?:[.,]\d*)?)")
_MISSING = frozenset({"nan", "na", "n/a", "none", "null", "<na>"})


def is_number(cell: str) -> bool:
    """Return whether a cell is a finite number, with a point or a comma."""
    return abs(read_number(cell)) < float("inf")


def read_number(text: str) -> float:
    """Return the number that ``text`` is, NaN if it is none; Python's ``1_000`` is none."""
    if _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    try:
        return float("nan" if "_" in text else text)
    except ValueError:
        return float("nan")


def is_mark_of_nothing(cell: str) -> bool:
    """Return whether a program or a person wrote into a cell that there is no value: ``nan``."""
    return cell.lower() in _MISSING


def read_score(row: Row, column: str, where: str, scale: Scale) -> float:
    """Read a label.

    Raises:
        CorpusError: If it is no number, or off the scale.
    """
    score = read_number(row[column])
    if not scale.low <= score <= scale.high:
        advice = ""
        if is_mark_of_nothing(row[column]):
            advice = "; leave it empty where a clip is not annotated"
        elif row[column][1:].isalpha():
            advice = (
                "; classes are not scores here; call their column emotion, or give each class a "
                "value on the scale"
            )
        raise CorpusError(
            f"{where}: {column} is {show(row[column])}, "
            f"must be a number from {scale.low:g} to {scale.high:g}{advice}"
        )
    return score


def read_labels(row: Row, where: str, scale: Scale) -> dict[Task, float]:
    """Read the labels of a clip; an empty cell is one that nobody annotated.

    Raises:
        CorpusError: If one is no number, or off the scale.
    """
    columns = {"label": Task.FUSION, **UNIMODAL}
    return {
        task: read_score(row, column, where, scale)
        for column, task in columns.items()
        if row.get(column)
    }


def read_mode(row: Row, where: str, *, default: Split | None = None) -> Split:
    """Read the split of a clip, by any of the field's names for it.

    Args:
        row: The cells.
        where: File and line, for messages.
        default: The split of a clip that has none; None if it must have one.

    Raises:
        CorpusError: If it is no split.
    """
    mode = row.get("mode", "")
    if not mode and default is not None:
        return default
    split = find_split(mode)
    if split is None and mode.lower() in MIXED:
        split = "train"
    if split is None:
        raise CorpusError(f"{where}: mode is {show(mode)}, must be {', '.join(SPLITS)}")
    return split


def read_seconds(row: Row, column: str, where: str) -> float | None:
    """Read a time, in seconds or as ``HH:MM:SS``; None where there is none.

    Raises:
        CorpusError: If it is no time from 0.
    """
    text = row.get(column)
    if not text:
        return None
    seconds = _read_clock(text)
    if not 0 <= seconds < float("inf"):
        raise CorpusError(
            f"{where}: {column} is {show(text)}, must be seconds from 0, or a time such as "
            "00:01:02.5"
        )
    return seconds


def _read_clock(text: str) -> float:
    """Return the seconds that a time is, NaN if it is none.

    >>> _read_clock("00:00:01.5"), _read_clock("90:30"), _read_clock("1,5")
    (1.5, 5430.0, 1.5)
    """
    match = _CLOCK.fullmatch(text)
    if match is None:
        return read_number(text)
    hours, minutes, seconds = match.groups()
    value = float(seconds.replace(",", "."))
    if value >= 60 or (hours is not None and int(minutes) >= 60):
        return float("nan")
    return 3600.0 * int(hours or 0) + 60.0 * int(minutes) + value


def read_piece(row: Row, where: str, *, begin: float | None) -> tuple[float | None, float | None]:
    """Read where a clip lies in its recording.

    Args:
        row: The cells.
        where: File and line, for messages.
        begin: Where a clip without a start begins; None if that is not known.

    Raises:
        CorpusError: If a time is none, or the end is not behind the start.
    """
    start, end = (read_seconds(row, column, where) for column in ("start", "end"))
    first = begin if start is None else start
    if first is not None and end is not None and end <= first:
        raise CorpusError(
            f"{where}: end is {show(row['end'])}, must be after start, "
            f"{show(row.get('start') or '0')}"
        )
    return start, end


def join_id(row: Row, where: str) -> str:
    """Return the id of a clip.

    Raises:
        CorpusError: If the names of the video and the clip cannot be joined.
    """
    for column in ("video_id", "clip_id"):
        if not row[column] or ID_SEPARATOR in row[column]:
            raise CorpusError(
                f"{where}: {column} is {show(row[column])}, must be a name without {ID_SEPARATOR!r}"
            )
    return f"{row['video_id']}{ID_SEPARATOR}{row['clip_id']}"
