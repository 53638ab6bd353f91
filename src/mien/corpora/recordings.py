"""Recordings to clips: a folder in the field's layout, a CSV with paths, or files without labels.

FOLDER/label.csv, FOLDER/Raw/VIDEO_ID/CLIP_ID.mp4     the field's layout
clips.csv                                             a column path; start and end in seconds
FOLDER/..., FILE                                      recordings without labels
"""

import itertools
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath

from mien.corpora.clip_table.splits import report_absent
from mien.corpora.clip_table.target_requests import read_target_requests
from mien.corpora.recording_folder import name_as_text, walk_recordings
from mien.corpora.recording_table import (
    SUFFIXES,
    RecordedClip,
    Recordings,
    is_table,
    read_recording_table,
)
from mien.corpora.unlabelled import Unlabelled, choose_clips, is_annotated
from mien.errors import ConfigError, CorpusError
from mien.files.hashing import hash_file
from mien.files.reading import parse_json, read_limited, replace_halves, show
from mien.types import ID_SEPARATOR, Clip, Corpus, Scale, Target, Word

__all__ = ["SUFFIXES", "Recordings", "read_recordings", "read_words"]

logger = logging.getLogger(__name__)

#: Tables of the field's layout, in the folder that holds ``Raw``.
_TABLES = ("label.csv", "meta.csv")
#: What aligners write for a pause.
_PAUSES = frozenset({"", "sp", "sil", "<eps>"})
#: Bytes of the largest file of words; those of the field have a tenth of it.
_LARGEST_WORDS = 256 << 20


def read_recordings(
    source: Path,
    *,
    name: str,
    language: str,
    scale: Scale | None,
    encoding: str | None = None,
    unlabelled: Unlabelled = "keep",
    targets: Sequence[str] = (),
) -> Recordings:
    """Find the clips of ``source``.

    - A folder with ``label.csv``, or with ``meta.csv`` and ``Raw``, or such a file: the clip is
      ``Raw/VIDEO_ID/CLIP_ID`` with any suffix. A CSV with a column ``path`` names the recordings
      itself, relative to its folder; its columns ``start`` and ``end`` cut them, and without
      ``video_id`` and ``clip_id`` the video is named by the file and the clips are counted. Columns
      are found by whatever the field calls them (``mien.corpora.clip_table.columns``).
    - A clip without a ``label`` is one that nobody annotated; a clip with one needs a ``mode``.
      Where no clip has a label, clips without a ``mode`` are in ``test``, else in ``train``.
    - A folder without such a table: every file below it whose name ends like a recording's. Its
      folder is the video, its stem the clip; a file at the top is a video with the clip ``1``.
      Names that begin with a dot are left out.

    Nothing is opened: a recording that is not there is found out when it is decoded.

    Args:
        source: A folder, a CSV file or a recording.
        name: What the corpus is called.
        language: ISO 639-1 code of what is said.
        scale: Range of the annotations; needed if there are any.
        encoding: Encoding of a CSV file; None finds out UTF-8, UTF-16 and GB18030.
        unlabelled: Whether clips without a label or target are kept where others have one;
            training and evaluation leave them out.
        targets: What is annotated besides labels, as ``mien.corpora.table.read_table`` has it;
            ``emotion`` is found without that.

    Raises:
        ConfigError: If ``targets`` are not of such a form, or go with no table.
        CorpusError: If nothing is found, or a CSV is not as it should be.
    """
    source = _find_table(source)
    requests = read_target_requests(targets)
    annotated: tuple[Target, ...] = ()
    if requests and not is_table(source):
        raise ConfigError(f"--target: goes with a table of clips, {source} is none")
    if source.is_dir() or (source.is_file() and not is_table(source)):
        recorded = list(_name_files(source))
        origin = {"source": name_as_text(source.resolve().name)}
    elif source.is_file():
        recorded, annotated = read_recording_table(source, scale, encoding, requests)
        stays = choose_clips(source, [each.clip for each in recorded], unlabelled)
        recorded = list(itertools.compress(recorded, stays))
        report_absent(source, [each.clip for each in recorded], annotated)
        origin = {"source": name_as_text(source.name), "sha256": hash_file(source, CorpusError)}
    else:
        state = "is not a file" if source.exists() else "is not there"
        raise CorpusError(f"{source}: {state}; give a folder, a CSV file or a recording")
    if not recorded:
        raise CorpusError(
            f"{source}: has no clips; give a folder with label.csv and Raw/VIDEO/CLIP.mp4, a CSV "
            f"with a column path, or a folder with recordings ({', '.join(SUFFIXES[:4])}, ...)"
        )
    clips = tuple(each.clip for each in recorded)
    return Recordings(
        corpus=Corpus(
            name=name,
            language=language,
            scale=scale or Scale(-1, 1),
            clips=clips,
            is_annotated=any(map(is_annotated, clips)),
            targets=annotated,
        ),
        paths=tuple(each.path for each in recorded),
        origin=origin,
    )


def _find_table(source: Path) -> Path:
    """Return the table of a folder in the field's layout, or what was given."""
    if not source.is_dir():
        return source
    tables = [source / name for name in _TABLES if (source / name).is_file()]
    if not tables or (tables[0].name != _TABLES[0] and not (source / "Raw").is_dir()):
        return source
    if len(tables) > 1:
        logger.info("%s: has label.csv and meta.csv; the first is used", source)
    return tables[0]


# --- files ----------------------------------------------------------------------------------------


def _name_files(source: Path) -> Iterator[RecordedClip]:
    """Name the recordings below a folder, or one recording."""
    if source.is_dir():
        files = sorted(
            (p.parts for p in walk_recordings(source)),
            key=lambda parts: [os.fsencode(part) for part in parts],
        )
    else:
        source, files = source.parent, [(source.name,)]
    short = [_short_id(parts) for parts in files]
    counts = Counter(short)
    for parts, name in zip(files, short, strict=True):
        clip_id = name if counts[name] == 1 else _full_id(parts)
        media = Path(*map(name_as_text, parts))
        clip = Clip(id=clip_id, split="test", transcript="", labels={}, media=media)
        yield RecordedClip(clip, source.joinpath(*parts))


def _short_id(parts: Sequence[str]) -> str:
    *folders, name = map(name_as_text, parts)
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
                result[clip_id] = tuple(
                    _read_clip_words(values[name], f"{path}: clip {show(name)}")
                )
                break
    if not result:
        first = next(iter(values), None)
        raise CorpusError(
            f"{path}: has none of the clips; its first is {show(first)}, ids must be "
            f"VIDEO{ID_SEPARATOR}CLIP or VIDEO_CLIP"
        )
    return result


def _read_clip_words(values: object, where: str) -> Iterator[Word]:
    if not isinstance(values, list):
        raise CorpusError(f"{where}: must be a list of [WORD, START, END]")
    last = 0.0
    for number, entry in enumerate(values):
        match entry:
            case [str(text), int() | float() as start, int() | float() as end]:
                start, end = _as_seconds(start), _as_seconds(end)
            case _:
                raise CorpusError(
                    f"{where}: word {number} is {show(entry)}, must be [WORD, START, END]"
                )
        if not last - 1e-6 <= start <= end < float("inf"):
            raise CorpusError(
                f"{where}: word {number} is from {start:g} to {end:g} s, must follow the one "
                f"before, which begins at {last:g} s"
            )
        last = start
        if text.strip().lower() not in _PAUSES:
            yield Word(replace_halves(text.strip()), start, end)


def _as_seconds(value: int | float) -> float:
    """Return a time as a float; one that is too large for it is infinite."""
    try:
        return float(value) + 0.0
    except OverflowError:
        return float("inf")
