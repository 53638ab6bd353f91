"""What readers of emotion corpora share: what is asked of them, what they return, and files."""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mien.corpora.class_names.naming import find_naming
from mien.corpora.class_names.schemes import SCHEMES
from mien.corpora.clip_table.target_requests import EMOTION, TargetRequest
from mien.corpora.recording_table import RecordedClip, is_recording
from mien.errors import ConfigError, CorpusError
from mien.files.reading import open_regular, show
from mien.types import Scale, Target, TargetKind

__all__ = [
    "ClassValues",
    "LayoutClips",
    "LayoutRequest",
    "find_scale",
    "iterate_recordings",
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
    """

    folder: Path
    targets: Mapping[str, TargetRequest] = field(default_factory=dict)
    fold: int | None = None

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
    """

    clips: list[RecordedClip]
    targets: tuple[Target, ...]
    are_cut: bool = True
    origin: Mapping[str, str] = {}


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
    request: TargetRequest, counts: Counter[str], folder: Path
) -> tuple[Target, Mapping[str, str | None]]:
    """Return a target of classes, and which class each name is.

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
    """Read a text of annotations: UTF-8, or Windows-1252 where it is not that.

    Characters of Windows-1252 that a program has written as control characters of Unicode are
    read as they were meant: MELD has such apostrophes.

    Raises:
        CorpusError: If it cannot be read, is too large, or holds bytes that are no text.
    """
    with open_regular(path, CorpusError) as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise CorpusError(f"{path}: is larger than {_LARGEST >> 20} MB; is it the right file?")
    if b"\0" in data:
        raise CorpusError(f"{path}: is not text; get it again")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        logger.warning("%s: is not UTF-8, and is read as Windows-1252", path)
        text = data.decode("cp1252", "replace")
    return text.translate(_CONTROLS)


#: What the control characters of Unicode stand for that are characters in Windows-1252.
_CONTROLS = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}


def iterate_recordings(folder: Path) -> Iterator[Path]:
    """Yield the recordings below a folder by name, relative to it; hidden files are left out.

    Links are followed, rings are not.

    Raises:
        CorpusError: If there is no such folder, or it holds too many files.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder}: is not a folder; give the folder of the corpus")
    count = 0
    seen: set[tuple[int, int]] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        stat = Path(root).stat()
        if (stat.st_dev, stat.st_ino) in seen:
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        count += len(names)
        if count > _MOST_FILES:
            raise CorpusError(f"{folder}: holds more than {_MOST_FILES} files; is it the corpus?")
        for name in sorted(names):
            if is_recording(name):
                yield Path(root, name).relative_to(folder)


def describe_names(names: Sequence[str]) -> str:
    """Return names of files for a message."""
    shown = ", ".join(show(name) for name in names[:3])
    return f"{shown}{', ...' if len(names) > 3 else ''}"
