"""Recordings to clips: a folder in the field's layout, a CSV with paths, or files without labels.

FOLDER/label.csv, FOLDER/Raw/VIDEO_ID/CLIP_ID.mp4     the field's layout
clips.csv                                             a column path; start and end in seconds
FOLDER/..., FILE                                      recordings without labels
"""

import csv
import hashlib
import logging
import os
import reprlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NamedTuple

from mien.corpora.table import UNIMODAL, read_rows, read_score, read_seconds
from mien.errors import CorpusError
from mien.inputs import parse_json, read_limited
from mien.types import ID_SEPARATOR, SPLITS, Clip, Corpus, Scale, Split, Task, Word

__all__ = ["SUFFIXES", "Recordings", "read_recordings", "read_words"]

logger = logging.getLogger(__name__)

#: How the names of files end that are taken for recordings, pictures with sound before sound.
SUFFIXES = (
    *(".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".ts"),
    *(".mts", ".m2ts", ".3gp", ".ogv", ".vob", ".mxf", ".f4v", ".asf", ".nut"),
    *(".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".aac", ".wma", ".aif", ".aiff", ".ac3"),
)
_KNOWN = ("video_id", "clip_id", "path", "start", "end", "text", "label", *UNIMODAL, "mode")
#: What aligners write for a pause.
_PAUSES = frozenset({"", "sp", "sil", "<eps>"})
#: Bytes of the largest file of words; those of the field have a tenth of it.
_LARGEST_WORDS = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Recordings:
    """Clips and where their recordings are.

    Attributes:
        corpus: The clips; their ``media`` is relative to ``root``, or absolute where the CSV says
            so, and written in UTF-8.
        paths: The recording of each clip, as the system opens it.
        origin: Where the clips come from, for people to read.
    """

    corpus: Corpus
    paths: tuple[Path, ...]
    origin: Mapping[str, str]


class _Found(NamedTuple):
    """A clip and its recording."""

    clip: Clip
    path: Path


def read_recordings(source: Path, *, name: str, language: str, scale: Scale | None) -> Recordings:
    """Find the clips of ``source``.

    - A folder with ``label.csv``, or such a file: the clip is ``Raw/VIDEO_ID/CLIP_ID`` with any
      suffix. A CSV with a column ``path`` names the recordings itself, relative to its folder; its
      columns ``start`` and ``end`` cut them, and without ``video_id`` and ``clip_id`` the video is
      named by the file and the clips are counted.
    - ``label`` and ``mode`` are annotated for all clips or for none; clips without labels are all
      in ``test``.
    - A folder without ``label.csv``: every file below it whose name ends like a recording's. Its
      folder is the video, its stem the clip; a file at the top is a video with the clip ``1``.
      Names that begin with a dot are left out.

    Nothing is opened: a recording that is not there is found out when it is decoded.

    Args:
        source: A folder, a CSV file or a recording.
        name: What the corpus is called.
        language: ISO 639-1 code of what is said.
        scale: Range of the annotations; needed if there are any.

    Raises:
        CorpusError: If nothing is found, or a CSV is not as it should be.
    """
    if source.is_dir() and (source / "label.csv").is_file():
        source = source / "label.csv"
    if source.is_dir() or (source.is_file() and source.suffix.lower() != ".csv"):
        found, origin = list(_name_files(source)), {"source": _as_text(source.resolve().name)}
    elif source.is_file():
        found = list(_read_table(source, scale))
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        origin = {"source": _as_text(source.name), "sha256": digest}
    else:
        state = "is no file" if source.exists() else "is not there"
        raise CorpusError(f"{source}: {state}; give a folder, a CSV file or a recording")
    if not found:
        raise CorpusError(
            f"{source}: has no clips; give a folder with label.csv and Raw/VIDEO/CLIP.mp4, a CSV "
            f"with a column path, or a folder with recordings ({', '.join(SUFFIXES[:4])}, ...)"
        )
    clips = tuple(one.clip for one in found)
    return Recordings(
        corpus=Corpus(
            name=name,
            language=language,
            scale=scale or Scale(-1, 1),
            clips=clips,
            is_annotated=bool(clips[0].labels),
        ),
        paths=tuple(one.path for one in found),
        origin=origin,
    )


def _as_text(name: str) -> str:
    """Return a name as UTF-8 can hold it."""
    return os.fsencode(name).decode("utf-8", "replace")


# --- a CSV ----------------------------------------------------------------------------------------


def _read_table(path: Path, scale: Scale | None) -> Iterator[_Found]:
    rows = list(read_rows(path, required=(), known=_KNOWN))
    if not rows:
        return
    columns = rows[0][1]
    if "path" not in columns and not {"video_id", "clip_id"} <= columns.keys():
        raise CorpusError(
            f"{path}:1: names no recordings; it needs the column path, or video_id and clip_id "
            "with the recordings in Raw/VIDEO_ID/CLIP_ID.mp4; there are: "
            f"{', '.join(_read_header(path))}; columns are separated by commas"
        )
    is_annotated = any(row.get("label") for _, row in rows)
    if is_annotated and scale is None:
        raise CorpusError(
            f"{path}: has labels; say their range (--scale LOW,HIGH), or --corpus mosi, mosei or "
            "sims"
        )
    folder = _Raw(path.parent / "Raw")
    naming = _Naming(rows)
    lines: dict[str, int] = {}
    for line, row in rows:
        where = f"{path}:{line}"
        clip_id, recording, media = _name_clip(row, where, path.parent, folder, naming)
        if clip_id in lines:
            raise CorpusError(
                f"{where}: clip {clip_id!r} is already in line {lines[clip_id]}; clips must be "
                "unique"
            )
        lines[clip_id] = line
        yield _Found(
            _read_clip(row, where, clip_id, media, scale if is_annotated else None), recording
        )


def _read_header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [repr(cell.strip()) for cell in next(csv.reader(file))]


def _name_clip(
    row: Mapping[str, str], where: str, base: Path, raw: "_Raw", naming: "_Naming"
) -> tuple[str, Path, Path]:
    """Return the id of a row's clip, its recording, and how the store names that."""
    if "path" in row:
        if not row["path"] or "\0" in row["path"]:
            raise CorpusError(f"{where}: path is {row['path']!r}, must name a recording")
        media = Path(row["path"])
        if "video_id" in row and "clip_id" in row:
            return _join_id(row, where), base / media, media
        return naming.name(media), base / media, media
    clip_id = _join_id(row, where)
    for column in ("video_id", "clip_id"):
        if row[column] in (".", "..") or any(sign in row[column] for sign in "/\\\0"):
            raise CorpusError(
                f"{where}: {column} is {row[column]!r}, must be the name of a file; put other "
                "places into a column path"
            )
    recording = raw.find(row["video_id"], row["clip_id"])
    return clip_id, recording, recording.relative_to(base)


def _join_id(row: Mapping[str, str], where: str) -> str:
    for column in ("video_id", "clip_id"):
        if not row[column] or ID_SEPARATOR in row[column]:
            raise CorpusError(
                f"{where}: {column} is {row[column]!r}, must be a name without {ID_SEPARATOR!r}"
            )
    return f"{row['video_id']}{ID_SEPARATOR}{row['clip_id']}"


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
    """The folder of a video's clips in the field's layout; each is listed once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed: dict[str, dict[str, list[str]]] = {}

    def find(self, video: str, clip: str) -> Path:
        """Return the recording of a clip, or where it should be."""
        if video not in self._listed:
            self._listed[video] = self._list(self._root / video)
        names = self._listed[video].get(clip, [f"{clip}.mp4"])
        if len(names) > 1:
            logger.warning("%s: of %s the first is taken", self._root / video, ", ".join(names))
        return self._root / video / names[0]

    @staticmethod
    def _list(folder: Path) -> dict[str, list[str]]:
        by_stem: dict[str, list[str]] = {}
        if folder.is_dir():
            names = [one.name for one in folder.iterdir() if _is_recording(one.name)]
            for name in sorted(names, key=lambda one: (SUFFIXES.index(_suffix(one)), one)):
                by_stem.setdefault(Path(name).stem, []).append(name)
        return by_stem


def _read_clip(
    row: dict[str, str], where: str, clip_id: str, media: Path, scale: Scale | None
) -> Clip:
    start, end = (read_seconds(row, column, where) for column in ("start", "end"))
    if end is not None and end <= (start or 0.0):
        raise CorpusError(
            f"{where}: end is {row['end']!r}, must be after start, {row.get('start') or '0'!r}"
        )
    return Clip(
        id=clip_id,
        split=_read_mode(row, where, scale),
        transcript=row.get("text", ""),
        labels={} if scale is None else _read_labels(row, where, scale),
        start=start,
        end=end,
        media=media,
    )


def _read_mode(row: Mapping[str, str], where: str, scale: Scale | None) -> Split:
    mode = row.get("mode", "")
    if scale is None and not mode:
        return "test"
    for split in SPLITS:
        if mode == split:
            return split
    raise CorpusError(f"{where}: mode is {mode!r}, must be {', '.join(SPLITS)}")


def _read_labels(row: Mapping[str, str], where: str, scale: Scale) -> dict[Task, float]:
    if not row["label"]:
        raise CorpusError(f"{where}: label is empty, other clips have one; annotate all or none")
    labels = {Task.FUSION: read_score(row, "label", where, scale)}
    for column, task in UNIMODAL.items():
        if row.get(column):
            labels[task] = read_score(row, column, where, scale)
    return labels


# --- files ----------------------------------------------------------------------------------------


def _name_files(source: Path) -> Iterator[_Found]:
    """Name the recordings below a folder, or one recording."""
    if source.is_dir():
        files = sorted(_walk(source), key=lambda parts: [os.fsencode(part) for part in parts])
    else:
        source, files = source.parent, [(source.name,)]
    short = [_short_id(parts) for parts in files]
    counts = Counter(short)
    for parts, name in zip(files, short, strict=True):
        clip_id = name if counts[name] == 1 else _full_id(parts)
        media = Path(*map(_as_text, parts))
        clip = Clip(id=clip_id, split="test", transcript="", labels={}, media=media)
        yield _Found(clip, source.joinpath(*parts))


def _walk(root: Path) -> Iterator[tuple[str, ...]]:
    """Yield the parts of every recording's relative path; links are followed, rings are not."""
    num_others = 0
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, onerror=_warn, followlinks=True):
        stat = Path(folder).stat()
        if (stat.st_dev, stat.st_ino) in seen:
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        parts = Path(folder).relative_to(root).parts
        recordings = [one for one in names if _is_recording(one)]
        num_others += len(names) - len(recordings)
        yield from ((*parts, name) for name in recordings)
    if num_others:
        logger.info("%s: %d other files are no recordings by their names", root, num_others)


def _warn(error: OSError) -> None:
    logger.warning(
        "%s: cannot be looked into (%s); its recordings are left out",
        error.filename, error.strerror,
    )  # fmt: skip


def _suffix(name: str) -> str:
    return PurePath(name).suffix.lower()


def _is_recording(name: str) -> bool:
    return not name.startswith(".") and _suffix(name) in SUFFIXES


def _short_id(parts: Sequence[str]) -> str:
    *folders, name = map(_as_text, parts)
    stem = PurePath(name).stem
    video, clip = ("/".join(folders), stem) if folders else (stem, "1")
    return f"{video}{ID_SEPARATOR}{clip}"


def _full_id(parts: Sequence[str]) -> str:
    """Return an id with the suffix in it, for files whose names are else the same."""
    *folders, name = (os.fsencode(part).decode("utf-8", "backslashreplace") for part in parts)
    return f"{'/'.join(folders)}{ID_SEPARATOR}{name}" if folders else f"{name}{ID_SEPARATOR}1"


# --- words ----------------------------------------------------------------------------------------


def read_words(path: Path, ids: Iterable[str]) -> dict[str, tuple[Word, ...]]:
    """Read when each word is said: JSON, ``{CLIP: [[WORD, START, END], ...]}``.

    Times are seconds from the start of the clip. A clip is named ``VIDEO$_$CLIP`` or
    ``VIDEO_CLIP``. Pauses (``sp``, ``sil``) are left out.

    Args:
        path: The file, UTF-8.
        ids: Ids of the clips; others are ignored.

    Raises:
        CorpusError: If it is not of that form, or has none of the clips.
    """
    text = read_limited(path, CorpusError, most=_LARGEST_WORDS)
    values = parse_json(text, path, CorpusError)
    if not isinstance(values, dict):
        raise CorpusError(f"{path}: must be {{CLIP: [[WORD, START, END], ...]}}")
    result = {}
    for clip_id in ids:
        for name in (clip_id, clip_id.replace(ID_SEPARATOR, "_")):
            if name in values:
                result[clip_id] = tuple(_read_clip_words(values[name], f"{path}: clip {name!r}"))
                break
    if not result:
        first = next(iter(values), None)
        raise CorpusError(
            f"{path}: has none of the clips; its first is {first!r}, ids must be "
            f"VIDEO{ID_SEPARATOR}CLIP or VIDEO_CLIP"
        )
    return result


def _read_clip_words(values: object, where: str) -> Iterator[Word]:
    if not isinstance(values, list):
        raise CorpusError(f"{where}: must be a list of [WORD, START, END]")
    last = 0.0
    for number, one in enumerate(values):
        match one:
            case [str(text), int() | float() as start, int() | float() as end]:
                start, end = _as_seconds(start), _as_seconds(end)
            case _:
                raise CorpusError(
                    f"{where}: word {number} is {reprlib.repr(one)}, must be [WORD, START, END]"
                )
        if not last - 1e-6 <= start <= end < float("inf"):
            raise CorpusError(
                f"{where}: word {number} is from {start:g} to {end:g} s, must follow the one "
                f"before, which begins at {last:g} s"
            )
        last = start
        if text.strip().lower() not in _PAUSES:
            yield Word(text.strip(), start, end)


def _as_seconds(value: int | float) -> float:
    """Return a time as a float; one that is too large for it is infinite."""
    try:
        return float(value) + 0.0
    except OverflowError:
        return float("inf")
