"""A user's own corpus: a CSV file of clips in the field's columns, and npz files of features."""

import csv
import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mien.corpora.arrays import read_arrays
from mien.errors import CorpusError, FeatureError
from mien.types import (
    ID_SEPARATOR,
    SPLITS,
    Clip,
    Corpus,
    Material,
    Modality,
    Scale,
    SeriesSource,
    Task,
)

__all__ = ["UNIMODAL", "read_rows", "read_score", "read_seconds", "read_table"]

logger = logging.getLogger(__name__)

_REQUIRED = ("video_id", "clip_id", "label", "mode")
#: Columns of the unimodal labels.
UNIMODAL = {"label_T": Task.TEXT, "label_A": Task.AUDIO, "label_V": Task.VIDEO}
_KNOWN = (*_REQUIRED, *UNIMODAL, "text", "start", "end")


def read_table(
    path: Path, *, features: Mapping[str, Path], name: str, language: str, scale: Scale
) -> Material:
    """Read a CSV file of clips and join npz files of features to it.

    The columns are found by their names: ``video_id, clip_id, label, mode`` are needed; ``text``
    is the transcript; ``label_T, label_A, label_V`` are unimodal labels, empty where a clip is not
    annotated; ``start, end`` are seconds of the video. Other columns are ignored.

    Args:
        path: The CSV file, UTF-8.
        features: An npz file per modality (``text``, ``audio``, ``video``); ``FILE.npz:NAME``
            chooses an array in it. ``mien.corpora.arrays`` has the layouts.
        name: What the corpus is called.
        language: ISO 639-1 code of the transcripts.
        scale: Range of the annotations.

    Raises:
        CorpusError: If the CSV file is not what it should be; the sentence has file and line.
        FeatureError: If an npz file is not, or has none of the clips.
    """
    clips = _read_clips(path, scale)
    unknown = [one for one in features if one not in list(Modality)]
    if unknown:
        raise FeatureError(
            f"features {unknown[0]!r}: there is no such modality; there are: {', '.join(Modality)}"
        )
    if not features and not any(clip.transcript for clip in clips):
        raise CorpusError(
            f"{path}: has no transcripts, and no features are given; there is nothing to learn from"
        )
    ids = [clip.id for clip in clips]
    series = tuple(read_arrays(features[m], name=m, ids=ids) for m in Modality if m in features)
    corpus = Corpus(name=name, language=language, scale=scale, clips=clips)
    return Material(corpus=corpus, series=series, origin=_describe_origin(path, series, features))


def _read_clips(path: Path, scale: Scale) -> tuple[Clip, ...]:
    clips: dict[str, Clip] = {}
    lines: dict[str, int] = {}
    for line, row in read_rows(path, required=_REQUIRED, known=_KNOWN):
        clip = _read_clip(row, f"{path}:{line}", scale)
        if clip.id in clips:
            raise CorpusError(
                f"{path}:{line}: video_id {row['video_id']!r} with clip_id {row['clip_id']!r} is "
                f"already in line {lines[clip.id]}; clips must be unique"
            )
        clips[clip.id], lines[clip.id] = clip, line
    if not clips:
        raise CorpusError(f"{path}: has no clips")
    return tuple(clips.values())


def read_rows(
    path: Path, *, required: Sequence[str], known: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the first line and the cells of every row of a CSV file.

    Args:
        path: The file, UTF-8, with a header.
        required: Columns that must be there.
        known: Columns that are read; the others are ignored.

    Raises:
        CorpusError: If the file is not CSV, or not of these columns.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            columns = _find_columns(header, path, required, known)
            line = reader.line_num + 1
            for cells in reader:
                if cells:
                    _check_width(cells, header, f"{path}:{line}")
                    yield line, {one: cells[place].strip() for one, place in columns.items()}
                line = reader.line_num + 1
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: is not UTF-8 ({error}); save it as UTF-8") from error
    except csv.Error as error:
        raise CorpusError(f"{path}:{reader.line_num}: is not CSV ({error})") from error


def _find_columns(
    header: Sequence[str], path: Path, required: Sequence[str], known: Sequence[str]
) -> dict[str, int]:
    names = [cell.strip() for cell in header]
    for column in known:
        if names.count(column) > 1:
            raise CorpusError(f"{path}:1: column {column!r} occurs {names.count(column)} times")
        if column in required and column not in names:
            raise CorpusError(
                f"{path}:1: column {column!r} is missing; needed are: {', '.join(required)}; "
                f"there are: {', '.join(names) or 'none'}"
            )
    return {column: names.index(column) for column in known if column in names}


def _check_width(cells: Sequence[str], header: Sequence[str], where: str) -> None:
    if len(cells) != len(header):
        raise CorpusError(
            f"{where}: has {len(cells)} cells, the header has {len(header)}; "
            "a text with a comma must stand in quotes"
        )


def _read_clip(row: dict[str, str], where: str, scale: Scale) -> Clip:
    for column in ("video_id", "clip_id"):
        if not row[column] or ID_SEPARATOR in row[column]:
            raise CorpusError(
                f"{where}: {column} is {row[column]!r}, must be a name without {ID_SEPARATOR!r}"
            )
    if row["mode"] not in SPLITS:
        raise CorpusError(f"{where}: mode is {row['mode']!r}, must be {', '.join(SPLITS)}")
    labels = {Task.FUSION: read_score(row, "label", where, scale)}
    for column, task in UNIMODAL.items():
        if row.get(column):
            labels[task] = read_score(row, column, where, scale)
    start, end = (read_seconds(row, column, where) for column in ("start", "end"))
    if start is not None and end is not None and end <= start:
        raise CorpusError(f"{where}: end is {row['end']!r}, must be after start, {row['start']!r}")
    return Clip(
        id=f"{row['video_id']}{ID_SEPARATOR}{row['clip_id']}",
        split=row["mode"],
        transcript=row.get("text", ""),
        labels=labels,
        start=start,
        end=end,
    )


def read_score(row: Mapping[str, str], column: str, where: str, scale: Scale) -> float:
    """Read a label.

    Raises:
        CorpusError: If it is no number, or off the scale.
    """
    score = _read_number(row[column])
    if not scale.low <= score <= scale.high:
        raise CorpusError(
            f"{where}: {column} is {row[column]!r}, "
            f"must be a number from {scale.low:g} to {scale.high:g}"
        )
    return score


def read_seconds(row: Mapping[str, str], column: str, where: str) -> float | None:
    """Read a time; None where there is none.

    Raises:
        CorpusError: If it is no number from 0.
    """
    if not row.get(column):
        return None
    seconds = _read_number(row[column])
    if not 0 <= seconds < float("inf"):
        raise CorpusError(f"{where}: {column} is {row[column]!r}, must be seconds from 0")
    return seconds


def _read_number(text: str) -> float:
    """Return the number that ``text`` is, NaN if it is none; Python's ``1_000`` is none."""
    try:
        return float("nan" if "_" in text else text)
    except ValueError:
        return float("nan")


def _describe_origin(
    path: Path, series: Sequence[SeriesSource], features: Mapping[str, Path]
) -> dict[str, str]:
    origin = {"file": path.name, "sha256": _hash(path)}
    for one in series:
        file = features[one.name]
        if not file.exists():  # FILE.npz:NAME
            file = Path(str(file).rpartition(":")[0])
        origin |= {one.name: one.extractor, f"{one.name} sha256": _hash(file)}
    return origin


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
