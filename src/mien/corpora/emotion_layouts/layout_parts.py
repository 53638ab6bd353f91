"""What readers of emotion corpora share: what is asked of them, what they return, and files."""

import io
import itertools
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mien.corpora.class_names.naming import find_naming
from mien.corpora.class_names.schemes import SCHEMES
from mien.corpora.clip_table.encodings import find_encoding
from mien.corpora.clip_table.rows import read_cells, skip_blank
from mien.corpora.clip_table.separators import SEPARATORS, find_separator
from mien.corpora.clip_table.target_requests import EMOTION, TargetRequest
from mien.corpora.recording_folder import walk_recordings
from mien.corpora.recording_table import SUFFIXES, RecordedClip
from mien.errors import ConfigError, CorpusError
from mien.files.reading import open_regular, show
from mien.types import Scale, Target, TargetKind

__all__ = [
    "ClassValues",
    "LayoutClips",
    "LayoutRequest",
    "describe_names",
    "drop_suffix",
    "find_scale",
    "iterate_recordings",
    "iterate_rows",
    "make_classes",
    "name_class",
    "read_text",
]

logger = logging.getLogger(__name__)

#: Bytes of the largest text of annotations; those of the field have a tenth of it.
_LARGEST = 64 << 20
_MOST_FILES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutRequest:
    """What is asked of a reader.

    Attributes:
        folder: The folder, as people download it.
        targets: What is stated of targets, by their names.
        fold: Number of the fold that is tested, from 1; None for the published split.
        language: ISO 639-1 code of what is said, if it is stated.
    """

    folder: Path
    targets: Mapping[str, TargetRequest] = field(default_factory=dict)
    fold: int | None = None
    language: str | None = None

    def emotion(self, scheme: str) -> TargetRequest:
        """Return what is stated of emotion, or the scheme that the corpus has."""
        return self.targets.get(EMOTION) or TargetRequest(name=EMOTION, scheme=SCHEMES[scheme])


class LayoutClips(NamedTuple):
    """What a reader returns.

    Attributes:
        clips: The clips and their recordings.
        targets: What is annotated.
        are_cut: Whether each recording holds its clip alone, so that start and end of a clip are
            places in its dialogue and not in the recording.
        origin: What else is known of where they come from, for people to read.
        language: ISO 639-1 code of what is said, where a layout holds several corpora.
    """

    clips: list[RecordedClip]
    targets: tuple[Target, ...]
    are_cut: bool = True
    origin: Mapping[str, str] = {}
    language: str | None = None


class ClassValues(NamedTuple):
    """A target of classes, and the values of every clip; None where it is not annotated."""

    target: Target
    values: list[tuple[float, ...] | None]


def make_classes(request: TargetRequest, names: Sequence[str | None], folder: Path) -> ClassValues:
    """Make a target of one class per clip.

    Args:
        request: What is stated of it.
        names: The class of every clip as the corpus calls it; None where there is none.
        folder: For messages.

    Raises:
        CorpusError: If names are unknown; the sentence lists them with their counts.
        ConfigError: If the request is for something but classes.
    """
    target, classes = name_class(request, Counter(name for name in names if name), folder)
    return ClassValues(
        target,
        [
            None
            if not name or classes[name] is None
            else tuple(float(each == classes[name]) for each in target.classes)
            for name in names
        ],
    )


def name_class(
    request: TargetRequest, counts: Counter[str], folder: Path, *, are_votes: bool = False
) -> tuple[Target, Mapping[str, str | None]]:
    """Return a target of classes, and which class each name is.

    Args:
        request: What is stated of it.
        counts: How often each name occurs.
        folder: For messages.
        are_votes: Whether these are numbers of votes, several for a clip.

    Raises:
        CorpusError: If names are unknown.
        ConfigError: If the request is for something but classes.
    """
    if request.scale is not None or request.are_labels:
        raise ConfigError(
            f"--target {request.name}=...: {folder.name} has one class per clip; list classes "
            "with commas, or name a scheme"
        )
    naming = find_naming(
        request.name,
        counts,
        folder,
        classes=request.classes,
        scheme=request.scheme,
        is_emotion=request.name == EMOTION,
        are_votes=are_votes,
    )
    target = Target(name=request.name, kind=TargetKind.CLASS, classes=naming.classes)
    return target, naming.names


def find_scale(request: LayoutRequest, name: str, scale: Scale) -> Scale:
    """Return the range of a score: what is stated of it, or that of the corpus.

    Raises:
        ConfigError: If something but a range is stated.
    """
    stated = request.targets.get(name)
    if stated is None:
        return scale
    if stated.scale is None:
        raise ConfigError(f"--target {name}=...: is a score, state its range as LOW:HIGH")
    return stated.scale


def read_text(path: Path) -> str:
    """Read a text of annotations, encoded as ``find_encoding`` finds it, else in Windows-1252.

    Characters of Windows-1252 that a program has written as control characters of Unicode are
    read as they were meant: MELD has such apostrophes.

    Raises:
        CorpusError: If it cannot be read, is too large, or holds bytes that are no text.
    """
    with open_regular(path, CorpusError) as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise CorpusError(f"{path}: is larger than {_LARGEST >> 20} MB; is it the right file?")
    text = data.decode(find_encoding(path, otherwise="Windows-1252"), "replace")
    if "\0" in text:
        raise CorpusError(f"{path}: is not text; get it again")
    return text.removeprefix("\ufeff").translate(_CONTROLS)


#: What the control characters of Unicode stand for that are characters in Windows-1252.
_CONTROLS = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}


def iterate_recordings(folder: Path) -> Iterator[Path]:
    """Yield the recordings below a folder, relative to it; hidden files are left out.

    Pictures with sound come before sound, whatever folders they lie in, so that of several
    recordings of a clip the first is the one to take; those alike in that come by name.

    Raises:
        CorpusError: If there is no such folder, or it holds too many files.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder}: is not a folder; give the folder of the corpus")
    paths = walk_recordings(folder, most=_MOST_FILES)
    yield from sorted(paths, key=lambda path: SUFFIXES.index(path.suffix.lower()))


def drop_suffix(name: str) -> str:
    """Return a name of a clip without that of its kind of file, as tables may have it."""
    stem, point, suffix = name.rpartition(".")
    return stem if point and f".{suffix.lower()}" in SUFFIXES else name


def iterate_rows(
    path: Path,
    columns: Mapping[str, Sequence[str]],
    *,
    optional: Mapping[str, Sequence[str]] = MappingProxyType({}),
    may_be_short: bool = False,
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the first line and the cells of every row of a table that has any text.

    Cells are separated by commas or, as spreadsheets may save them, by semicolons or tabs: by what
    gives most of the columns that are read.

    Args:
        path: The table.
        columns: What each column that is needed may be called, whatever the case of its letters;
            the first name that is there is meant.
        optional: The same of columns that need not be there; their cells are empty then.
        may_be_short: Whether cells may lack at the end of a row; they are empty then.

    Yields:
        The line, and the cells by their names in ``columns`` and ``optional``.

    Raises:
        CorpusError: If it is no CSV, lacks a column or has one twice, or a row has another number
            of cells.
    """
    wanted = {**columns, **optional}
    known = {name.lower() for names in wanted.values() for name in names}
    lines = iter(io.StringIO(read_text(path), newline=""))
    first = skip_blank(lines)
    separator = find_separator(first.text, lambda column: column.strip().lower() in known)
    table = read_cells(itertools.chain([first.text], lines), first.skipped, separator, path)
    top, titles = next(table, (1, []))
    header = [name.strip().lower() for name in titles]
    places = {key: _find_column(header, names, f"{path}:{top}") for key, names in wanted.items()}
    for key, names in columns.items():
        if places[key] is None:
            raise CorpusError(
                f"{path}:{top}: has no column {names[0]!r}; there are: "
                f"{', '.join(map(show, header[:12]))}"
            )
    for line, cells in table:
        if may_be_short:
            cells += [""] * (len(header) - len(cells))
        if len(cells) != len(header):
            raise CorpusError(
                f"{path}:{line}: has {len(cells)} cells, the header has {len(header)}; a "
                f"text with {SEPARATORS[separator]} must stand in quotes"
            )
        yield line, {key: "" if at is None else cells[at] for key, at in places.items()}


def _find_column(header: Sequence[str], names: Sequence[str], where: str) -> int | None:
    """Return the place of a column; None if there is none."""
    there = next((name for name in names if name.lower() in header), None)
    if there is None:
        return None
    if header.count(there.lower()) > 1:
        raise CorpusError(f"{where}: column {show(there)} occurs twice; take one out")
    return header.index(there.lower())


def describe_names(names: Sequence[str]) -> str:
    """Return names of files for a message."""
    shown = ", ".join(show(name) for name in names[:3])
    return f"{shown}{', ...' if len(names) > 3 else ''}"
