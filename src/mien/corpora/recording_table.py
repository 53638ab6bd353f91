"""A table of clips with their recordings: by a column of paths, or in the field's folders."""

import logging
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import NamedTuple

from mien.corpora.clip_table.cells import UNIMODAL, join_id, read_labels, read_mode, read_piece
from mien.corpora.clip_table.columns import NO_MODE, list_names
from mien.corpora.clip_table.rows import TableRows, has_labels, read_rows
from mien.corpora.clip_table.splits import Piece, check_pieces, report_shared
from mien.corpora.clip_table.target_cells import TargetValues
from mien.corpora.clip_table.target_requests import TargetRequest
from mien.errors import CorpusError
from mien.files.reading import show
from mien.types import ID_SEPARATOR, Clip, Corpus, Scale, Split, Target

__all__ = [
    "SUFFIXES",
    "RecordedClip",
    "Recordings",
    "is_recording",
    "is_table",
    "read_recording_table",
]

logger = logging.getLogger(__name__)

#: How the names of files end that are taken for recordings, pictures with sound before sound.
SUFFIXES = (
    *(".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".ts"),
    *(".mts", ".m2ts", ".3gp", ".ogv", ".vob", ".mxf", ".f4v", ".asf", ".nut"),
    *(".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".aac", ".wma", ".aif", ".aiff", ".ac3"),
)
#: How the names of tables end.
_TABLES = (".csv", ".tsv")
_KNOWN = (
    *("video_id", "clip_id", "path", "start", "end", "text", "label"),
    *(*UNIMODAL, "mode", "speaker"),
)
_INTEGER = re.compile(r"[0-9]+")


class RecordedClip(NamedTuple):
    """A clip and its recording."""

    clip: Clip
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Recordings:
    """Clips and where their recordings are.

    Attributes:
        corpus: The clips; their ``media`` is relative to ``root``, or absolute where the CSV says
            so, and written in UTF-8.
        paths: The recording of each clip, as the system opens it.
        origin: Where the clips come from, for people to read.
        are_cut: Whether each recording holds its clip alone, so that start and end of a clip are
            places in its video and not in the recording.
    """

    corpus: Corpus
    paths: tuple[Path, ...]
    origin: Mapping[str, str]
    are_cut: bool = False


def is_table(path: Path) -> bool:
    """Return whether a file is a table by its name."""
    return _suffix(path.name) in _TABLES


def is_recording(name: str) -> bool:
    """Return whether a file is a recording by its name."""
    return not name.startswith(".") and _suffix(name) in SUFFIXES


def _suffix(name: str) -> str:
    return PurePath(name).suffix.lower()


def read_recording_table(
    path: Path,
    scale: Scale | None,
    encoding: str | None,
    targets: Sequence[TargetRequest] = (),
) -> tuple[list[RecordedClip], tuple[Target, ...]]:
    """Read the clips of a table and its targets, and find the recordings.

    Args:
        path: The table.
        scale: Range of the labels; needed if there are any.
        encoding: Its encoding; None finds it out.
        targets: What is stated of targets.

    Raises:
        CorpusError: If it is not as it should be; the sentence has file and line.
    """
    table = read_rows(path, required=(), known=_KNOWN, encoding=encoding, targets=targets)
    if not table.rows:
        return [], ()
    _check_columns(path, table)
    if not has_labels(path, table, scale):
        scale = None
    if "mode" not in table.columns.positions and (scale is not None or table.values):
        raise CorpusError(
            f"{path}:1: column 'mode' is missing; {NO_MODE}; there are: {list_names(table.header)}"
        )
    default: Split = "test" if scale is None and not table.targets else "train"
    folder = _Raw(path.parent / "Raw")
    rows = [(line, _mend_path(row, path.parent)) for line, row in table.rows]
    naming = _Naming(rows)
    lines: dict[str, int] = {}
    clips: list[RecordedClip] = []
    pieces = []
    for line, row in rows:
        where = f"{path}:{line}"
        clip_id, recording, media = _name_clip(row, where, path.parent, folder, naming)
        if clip_id in lines:
            raise CorpusError(
                f"{where}: clip {show(clip_id)} is already in line {lines[clip_id]}; clips must be "
                "unique"
            )
        lines[clip_id] = line
        clip = _read_clip(row, where, clip_id, scale, default, table.values.get(line, {}))
        clips.append(RecordedClip(replace(clip, media=media), recording))
        source = os.path.normpath(recording)
        pieces.append(Piece(source, clip.start or 0.0, clip.end or math.inf, clip.split, line))
    check_pieces(path, pieces)
    report_shared(path, [recorded.clip for recorded in clips])
    return clips, table.targets


def _check_columns(path: Path, table: TableRows) -> None:
    columns = table.columns.positions
    if "path" not in columns and not {"video_id", "clip_id"} <= columns.keys():
        raise CorpusError(
            f"{path}:1: names no recordings; it needs the column path, or video_id and clip_id "
            "with the recordings in Raw/VIDEO_ID/CLIP_ID.mp4; there are: "
            f"{list_names(table.header)}; cells are separated by commas, semicolons or tabs"
        )


def _mend_path(row: dict[str, str], base: Path) -> dict[str, str]:
    """Turn the back-slashes of a path into slashes where the file is found so."""
    written = row.get("path", "")
    if "\\" not in written or "\0" in written or (base / written).exists():
        return row
    turned = written.replace("\\", "/")
    return {**row, "path": turned} if (base / turned).exists() else row


def _name_clip(
    row: Mapping[str, str], where: str, base: Path, raw: "_Raw", naming: "_Naming"
) -> tuple[str, Path, Path]:
    """Return the id of a row's clip, its recording, and how the store names that."""
    if "path" in row:
        if not row["path"] or "\0" in row["path"]:
            raise CorpusError(f"{where}: path is {show(row['path'])}, must name a recording")
        media = Path(row["path"])
        if "video_id" in row and "clip_id" in row:
            return join_id(row, where), base / media, media
        return naming.name(media), base / media, media
    clip_id = join_id(row, where)
    for column in ("video_id", "clip_id"):
        if row[column] in (".", "..") or any(sign in row[column] for sign in "/\\\0"):
            raise CorpusError(
                f"{where}: {column} is {show(row[column])}, must be the name of a file; put other "
                "places into a column path"
            )
    recording = raw.find(row["video_id"], row["clip_id"])
    return clip_id, recording, recording.relative_to(base)


class _Naming:
    """Names clips by their recordings: the stem, or all of the path where stems are the same."""

    def __init__(self, rows: Iterable[tuple[int, Mapping[str, str]]]) -> None:
        paths = {Path(row["path"]) for _, row in rows if row.get("path")}
        self._stems = Counter(path.stem for path in paths)
        self._clips: Counter[Path] = Counter()

    def name(self, media: Path) -> str:
        """Return the id of the next clip of a recording."""
        self._clips[media] += 1
        video = media.stem if self._stems[media.stem] == 1 else media.as_posix()
        return f"{video}{ID_SEPARATOR}{self._clips[media]}"


class _Raw:
    """The folder of a video's clips in the field's layout; each is listed once.

    Programs that take ``0001`` for a number leave ``1`` of it; that finds ``0001.mp4`` where only
    one name is that number.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed: dict[str, dict[str, list[str]]] = {}
        self._folders: dict[str, list[str]] | None = None

    def find(self, video: str, clip: str) -> Path:
        """Return the recording of a clip, or where it should be."""
        if self._folders is None:
            names = [path.name for path in self._root.iterdir()] if self._root.is_dir() else []
            self._folders = {name: [name] for name in names}
        video = (_look_up(self._folders, video) or [video])[0]
        if video not in self._listed:
            self._listed[video] = self._list(self._root / video)
        names = _look_up(self._listed[video], clip) or [f"{clip}.mp4"]
        if len(names) > 1:
            logger.warning("%s: of %s the first is taken", self._root / video, ", ".join(names))
        return self._root / video / names[0]

    @staticmethod
    def _list(folder: Path) -> dict[str, list[str]]:
        by_stem: dict[str, list[str]] = {}
        if folder.is_dir():
            names = [path.name for path in folder.iterdir() if is_recording(path.name)]
            for name in sorted(names, key=lambda name: (SUFFIXES.index(_suffix(name)), name)):
                by_stem.setdefault(Path(name).stem, []).append(name)
        return by_stem


def _look_up(names: Mapping[str, list[str]], wanted: str) -> list[str] | None:
    """Return what is called so, or else is the same whole number if only one name is."""
    if wanted in names or not _INTEGER.fullmatch(wanted):
        return names.get(wanted)
    number = wanted.lstrip("0")
    same = [name for name in names if _INTEGER.fullmatch(name) and name.lstrip("0") == number]
    return names[same[0]] if len(same) == 1 else None


def _read_clip(
    row: Mapping[str, str],
    where: str,
    clip_id: str,
    scale: Scale | None,
    default: Split,
    targets: TargetValues,
) -> Clip:
    """Read a clip; without a scale it has no labels."""
    has_any = bool(targets) or (scale is not None and bool(row.get("label")))
    start, end = read_piece(row, where, begin=0.0)
    return Clip(
        id=clip_id,
        split=read_mode(row, where, default=None if has_any else default),
        transcript=row.get("text", ""),
        labels={} if scale is None else read_labels(row, where, scale),
        start=start,
        end=end,
        speaker=row.get("speaker") or None,
        targets=targets,
    )
