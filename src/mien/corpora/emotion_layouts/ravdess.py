"""RAVDESS from the names of its files: emotion, intensity, sentence and actor (livingstone2018)."""

import logging
import re
from pathlib import Path

from mien.corpora.class_names.schemes import SCHEMES
from mien.corpora.clip_table.target_requests import TargetRequest
from mien.corpora.emotion_layouts.layout_parts import (
    LayoutClips,
    LayoutRequest,
    describe_names,
    iterate_recordings,
    make_classes,
)
from mien.corpora.recording_table import RecordedClip
from mien.errors import ConfigError, CorpusError
from mien.files.reading import show
from mien.types import ID_SEPARATOR, Clip, Split, Task

__all__ = ["read_ravdess"]

logger = logging.getLogger(__name__)

_NAME = re.compile(r"\d\d(?:-\d\d){6}")
_PARTS = ("modality", "channel", "emotion", "intensity", "statement", "repetition", "actor")
_LARGEST = (3, 2, 8, 2, 2, 2, 24)
_EMOTIONS = SCHEMES["ravdess8"].classes
_INTENSITIES = ("normal", "strong")
_STATEMENTS = ("Kids are talking by the door", "Dogs are sitting by the door")
#: Picture with sound (1) before sound alone (3) before picture alone (2).
_PREFERRED = (1, 3, 2)
_LAST_TRAIN, _LAST_VALID = 14, 17


def read_ravdess(request: LayoutRequest) -> LayoutClips:
    """Read a folder of recordings such as ``03-01-06-01-02-01-12.wav``, however deep they lie.

    A take may be there as picture with sound, as sound and as picture; the first of these is used.
    Songs (channel 02) are clips beside speech. Actors 1 to 14 are train, 15 to 17 valid, 18 to 24
    test, as in ``recipes/ravdess.py``; nothing is published. The speaker is the actor. Targets are
    ``emotion``, what the actor was told to show, and ``intensity``.

    Raises:
        CorpusError: If no file has such a name, or one has numbers that mean nothing.
    """
    if request.fold is not None:
        raise ConfigError("--fold: RAVDESS has no published folds; leave it out")
    takes: dict[str, tuple[tuple[int, ...], Path]] = {}
    others = []
    for path in iterate_recordings(request.folder):
        if not _NAME.fullmatch(path.stem):
            others.append(path.name)
            continue
        numbers = _read_numbers(path, request.folder)
        name = _name_take(numbers)
        if name not in takes or _rank(numbers) < _rank(takes[name][0]):
            takes[name] = numbers, path
    if not takes:
        raise CorpusError(
            f"{request.folder}: has no recording with a name such as 03-01-06-01-02-01-12.wav"
        )
    if others:
        logger.warning(
            "%s: %d recordings are left out that are not named as those of RAVDESS: %s",
            request.folder, len(others), describe_names(others),
        )  # fmt: skip
    names = sorted(takes)
    rows = [takes[name] for name in names]
    emotion = make_classes(
        request.emotion("ravdess8"), [_EMOTIONS[n[2] - 1] for n, _ in rows], request.folder
    )
    intensity = make_classes(
        TargetRequest(name="intensity", classes=_INTENSITIES),
        [_INTENSITIES[n[3] - 1] for n, _ in rows],
        request.folder,
    )
    clips = []
    for at, (name, (numbers, path)) in enumerate(zip(names, rows, strict=True)):
        values = {"emotion": emotion.values[at], "intensity": intensity.values[at]}
        clip = Clip(
            id=name,
            split=_find_split(numbers[6]),
            transcript=_STATEMENTS[numbers[4] - 1],
            labels={},
            media=path,
            speaker=f"actor{numbers[6]:02d}",
            targets={key: {Task.FUSION: value} for key, value in values.items() if value},
        )
        clips.append(RecordedClip(clip, request.folder / path))
    return LayoutClips(clips, (emotion.target, intensity.target))


def _read_numbers(path: Path, folder: Path) -> tuple[int, ...]:
    numbers = tuple(int(part) for part in path.stem.split("-"))
    for part, number, largest in zip(_PARTS, numbers, _LARGEST, strict=True):
        if not 1 <= number <= largest:
            raise CorpusError(
                f"{folder / path}: the {part} in its name is {number:02d}, must be 01 to "
                f"{largest:02d}; rename {show(path.name)} or take it out"
            )
    return numbers


def _name_take(numbers: tuple[int, ...]) -> str:
    """Return the id of a take, the same for its picture and its sound."""
    _, channel, *take, actor = numbers
    song = "song-" if channel == 2 else ""
    return f"actor{actor:02d}{ID_SEPARATOR}{song}{'-'.join(f'{number:02d}' for number in take)}"


def _rank(numbers: tuple[int, ...]) -> int:
    return _PREFERRED.index(numbers[0])


def _find_split(actor: int) -> Split:
    return "train" if actor <= _LAST_TRAIN else "valid" if actor <= _LAST_VALID else "test"
