"""Which split a clip is in, by the names of the field, and what splits may not share."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from mien.errors import CorpusError, list_some
from mien.files.reading import show
from mien.types import Clip, Split, Target, TargetKind

__all__ = ["MIXED", "Piece", "check_pieces", "find_split", "report_absent", "report_shared"]

logger = logging.getLogger(__name__)

_SPLITS: Mapping[str, Split] = MappingProxyType(
    {
        **dict.fromkeys(("train", "training", "trn", "tr"), "train"),
        **dict.fromkeys(("valid", "val", "dev", "validation", "devel", "development"), "valid"),
        **dict.fromkeys(("test", "testing", "tst", "te"), "test"),
    }
)
#: What CH-SIMS v2 calls its training clips together with those that nobody annotated.
MIXED = ("train_mix", "trainmix", "mix")
#: Seconds by which pieces in two splits may overlap: cuts are rounded.
_TOLERANCE = 0.25
_SHOWN = 12


def find_split(text: str) -> Split | None:
    """Return the split that a name stands for, whatever its case.

    >>> find_split("Dev"), find_split("held out")
    ('valid', None)
    """
    return _SPLITS.get(text.strip().lower())


class Piece(NamedTuple):
    """A clip's place in a recording.

    Attributes:
        recording: What the recording is called.
        start: Where the clip begins, in seconds.
        end: Where it ends; infinite for the end of the recording.
        split: The split of the clip.
        line: Its line in the table.
    """

    recording: str
    start: float
    end: float
    split: Split
    line: int


def check_pieces(path: Path, pieces: Iterable[Piece]) -> None:
    """Check that no piece of a recording is in two splits.

    Raises:
        CorpusError: If one is; the sentence has both lines.
    """
    by_recording = defaultdict[str, list[Piece]](list)
    for piece in pieces:
        by_recording[piece.recording].append(piece)
    for recording, of_one in by_recording.items():
        last: dict[Split, Piece] = {}  # of those that begin before, the one that ends last
        for piece in sorted(of_one, key=lambda each: (each.start, each.line)):
            for other in last.values():
                shared = min(piece.end, other.end) - piece.start
                if other.split != piece.split and shared > _TOLERANCE:
                    first, second = sorted((other, piece), key=lambda each: each.line)
                    raise CorpusError(
                        f"{path}:{second.line}: this piece of {show(recording)} is in "
                        f"{second.split}, and in line {first.line} in {first.split}; a model "
                        "would be tested on what it has learned: put it into one split"
                    )
            if piece.split not in last or piece.end > last[piece.split].end:
                last[piece.split] = piece


def report_shared(path: Path, clips: Sequence[Clip]) -> None:
    """Log how many videos, and speakers, have clips in more than one split.

    Args:
        path: The table.
        clips: Its clips.
    """
    videos = [clip.video_id for clip in clips]
    speakers = [clip.speaker for clip in clips]
    for kind, names in (("videos", videos), ("speakers", speakers)):
        splits = defaultdict[str, set[Split]](set)
        for name, clip in zip(names, clips, strict=True):
            if name:
                splits[name].add(clip.split)
        shared = [name for name, names in splits.items() if len(names) > 1]
        if shared:
            logger.warning(
                "%s: %d of %d %s have clips in more than one split, such as %s; there a model can "
                "know the speaker from training",
                path, len(shared), len(splits), kind, show(shared[0]),
            )  # fmt: skip


def report_absent(path: Path, clips: Sequence[Clip], targets: Sequence[Target]) -> None:
    """Log which classes no clip of train has, so that no model can learn them.

    Nothing is learned from clips of which none is in train: these are not spoken of.

    Args:
        path: The table, or the folder of a corpus.
        clips: Its clips.
        targets: What is annotated.
    """
    if not any(clip.split == "train" for clip in clips):
        return
    for target in targets:
        if target.kind is TargetKind.SCORE:
            continue
        there = _find_classes(clips, target)
        lacking = []
        for at, name in enumerate(target.classes):
            splits = [split for split, is_there in there.items() if is_there[at]]
            if "train" not in splits:
                others = f" (clips of {' and '.join(splits)} have)" if splits else ""
                lacking.append(f"{show(name)}{others}")
        if lacking:
            logger.warning(
                "%s: %s: no clip of train has the class %s; no model can learn that",
                path, target.name, list_some(lacking, _SHOWN),
            )  # fmt: skip
        if len(target.classes) == 1 and target.kind is TargetKind.CLASS:
            logger.warning(
                "%s: %s has one class alone, %s; there is nothing to tell apart",
                path, target.name, show(target.classes[0]),
            )  # fmt: skip


def _find_classes(clips: Sequence[Clip], target: Target) -> dict[Split, Bool[np.ndarray, " K"]]:
    """Return which classes of a target clips of each split have, for any task; splits by name.

    A class is there if its value is above the lowest that it can have: 0, or that of the scale.
    """
    values = defaultdict[Split, list[tuple[float, ...]]](list)
    for clip in clips:
        values[clip.split].extend(clip.targets.get(target.name, {}).values())
    return {
        split: np.asarray(np.max(own, axis=0) > target.bounds.low)
        for split, own in sorted(values.items())
        if own
    }
