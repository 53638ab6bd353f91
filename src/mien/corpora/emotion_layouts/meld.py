"""MELD from its three tables of utterances, and the clips of its folders (poria2019).

train_sent_emo.csv, dev_sent_emo.csv, test_sent_emo.csv
train_splits/, dev_splits_complete/, output_repeated_splits_test/ with diaD_uttU.mp4
"""

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from mien.corpora.class_names.schemes import SCHEMES
from mien.corpora.clip_table.target_requests import TargetRequest
from mien.corpora.emotion_layouts.layout_parts import (
    ClassValues,
    LayoutClips,
    LayoutRequest,
    describe_names,
    iterate_recordings,
    iterate_rows,
    make_classes,
)
from mien.corpora.recording_table import RecordedClip
from mien.errors import ConfigError, CorpusError
from mien.files.reading import show
from mien.types import ID_SEPARATOR, Clip, Split, Task

__all__ = ["read_meld"]

logger = logging.getLogger(__name__)

_TABLES: Mapping[str, Split] = {"train": "train", "dev": "valid", "test": "test"}
_NEEDED = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")
_NUMBER = re.compile(r"[0-9]{1,6}")
_CLIP = re.compile(r"dia([0-9]+)_utt([0-9]+)")
#: What names of folders begin with, and the part whose clips they hold.
_FOLDERS = {"train": "train", "dev": "dev", "val": "dev", "test": "test", "output": "test"}
#: Clips of the published archive that cannot be decoded, or are not there.
_BROKEN = frozenset({("train", 125, 3), ("dev", 110, 7)})

Key = tuple[str, int, int]


class _Utterance(NamedTuple):
    """A row of a table."""

    key: Key
    text: str
    speaker: str
    emotion: str
    sentiment: str


def read_meld(request: LayoutRequest) -> LayoutClips:
    """Read the folder with the tables, and with the clips below it if they are there.

    A dialogue is a video, ``train_dia0``, and its utterances are clips in their order, ``utt0``;
    the speaker is whom the table names. The published split is used. Targets are ``emotion``, seven
    classes, and ``sentiment``, of three. Text that was written as Windows-1252 is mended. Where
    there are clips, ``train dia125_utt3`` and ``dev dia110_utt7`` are left out: the one of the
    published archive cannot be decoded, the other is not in it. Times in the tables are those of
    the episodes and are not used: some are wrong.

    Raises:
        CorpusError: If there is no table, or a row is not as it should be.
    """
    folder = request.folder
    if request.fold is not None:
        raise ConfigError("--fold: MELD has a published split; leave it out")
    rows = list(_read_tables(folder))
    if not rows:
        raise CorpusError(f"{folder}: no utterance is in its tables; get them again")
    paths = _find_clips(folder)
    if paths:
        broken = [row for row in rows if row.key in _BROKEN]
        rows = [row for row in rows if row.key not in _BROKEN]
        if broken:
            logger.warning(
                "%s: left out are the clips of the published archive that cannot be used: %s",
                folder, describe_names([_name(row.key) for row in broken]),
            )  # fmt: skip
    emotion = make_classes(request.emotion("meld7"), [row.emotion for row in rows], folder)
    stated = request.targets.get("sentiment")
    sentiment = make_classes(
        stated or TargetRequest(name="sentiment", scheme=SCHEMES["sentiment3"]),
        [row.sentiment for row in rows],
        folder,
    )
    clips = [
        _make_clip(folder, row, at, paths, (emotion, sentiment)) for at, row in enumerate(rows)
    ]
    return LayoutClips(clips, (emotion.target, sentiment.target))


def _make_clip(
    folder: Path,
    row: _Utterance,
    at: int,
    paths: Mapping[Key, Path],
    targets: tuple[ClassValues, ...],
) -> RecordedClip:
    part, dialogue, utterance = row.key
    media = paths.get(row.key, Path(part, f"dia{dialogue}_utt{utterance}.mp4"))
    clip = Clip(
        id=f"{part}_dia{dialogue}{ID_SEPARATOR}utt{utterance}",
        split=_TABLES[part],
        transcript=row.text,
        labels={},
        media=media,
        speaker=row.speaker or None,
        targets={
            each.target.name: {Task.FUSION: values}
            for each in targets
            if (values := each.values[at]) is not None
        },
    )
    return RecordedClip(clip, folder / media)


def _read_tables(folder: Path) -> Iterator[_Utterance]:
    if not folder.is_dir():
        raise CorpusError(f"{folder}: is not a folder; give the folder with train_sent_emo.csv")
    tables = {part: _find_table(folder, part) for part in _TABLES}
    there = [part for part, path in tables.items() if path is not None]
    if not there:
        raise CorpusError(f"{folder}: has none of train_sent_emo.csv, dev_ and test_sent_emo.csv")
    for part, path in tables.items():
        if path is None:
            logger.warning("%s: has no %s_sent_emo.csv", folder, part)
            continue
        lines: dict[Key, int] = {}
        rows = []
        for line, cells in iterate_rows(path, {name: (name,) for name in _NEEDED}):
            row = _read_utterance(cells, part, f"{path}:{line}")
            if row.key in lines:
                raise CorpusError(
                    f"{path}:{line}: {_name(row.key)} is already in line {lines[row.key]}; "
                    "utterances must be unique"
                )
            lines[row.key] = line
            rows.append(row)
        yield from sorted(rows)


def _find_table(folder: Path, part: str) -> Path | None:
    for parent in (folder, folder / part, folder / "data" / "MELD"):
        path = parent / f"{part}_sent_emo.csv"
        if path.is_file():
            return path
    return None


def _read_utterance(cells: Mapping[str, str], part: str, where: str) -> _Utterance:
    numbers = []
    for column in ("Dialogue_ID", "Utterance_ID"):
        cell = cells[column].strip().removesuffix(".0")
        if not _NUMBER.fullmatch(cell):
            raise CorpusError(
                f"{where}: {column} is {show(cells[column])}, must be a number of at most 6 digits"
            )
        numbers.append(int(cell))
    return _Utterance(
        (part, numbers[0], numbers[1]),
        " ".join(cells["Utterance"].split()),
        " ".join(cells["Speaker"].split()),
        cells["Emotion"].strip(),
        cells["Sentiment"].strip(),
    )


def _name(key: Key) -> str:
    part, dialogue, utterance = key
    return f"{part} dia{dialogue}_utt{utterance}"


def _find_clips(folder: Path) -> dict[Key, Path]:
    """Return the recording of each utterance, by the folder that it lies in."""
    paths: dict[Key, Path] = {}
    for path in iterate_recordings(folder):
        match = _CLIP.fullmatch(path.stem)
        part = _find_part(path)
        if match is not None and part is not None:
            paths.setdefault((part, int(match[1]), int(match[2])), path)  # pictures come first
    return paths


def _find_part(path: Path) -> str | None:
    """Return the part that a clip is of, by the nearest folder that tells it."""
    for name in reversed(path.parts[:-1]):
        for begin, part in _FOLDERS.items():
            if name.lower().startswith(begin):
                return part
    return None
