"""What is read of all clips at once, as arrays, and clips that are made as they are looked at."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import SupportsIndex, overload

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64, Shaped, UInt8

from mien.data.clips.target_columns import GrowingTargets, TargetColumns
from mien.types import SPLITS, Clip, Modality, Split, Target, Task, video_of

__all__ = ["ClipColumns", "ClipSequence", "Texts", "as_clips", "gather_columns"]

_TASKS, _MODALITIES = tuple(Task), tuple(Modality)


class Texts(Sequence[str]):
    """Texts end to end in one array of bytes; each is decoded when it is looked at.

    Args:
        data: All texts in UTF-8.
        offsets: Text i is ``data[offsets[i] : offsets[i + 1]]``.
        rows: Which of them, and in what order; all by default.
    """

    def __init__(
        self,
        data: UInt8[np.ndarray, " _"],
        offsets: Int64[np.ndarray, " _"],
        rows: Int[np.ndarray, " N"] | None = None,
    ) -> None:
        self.data, self.offsets, self.rows = data, offsets, rows

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.offsets) - 1 if self.rows is None else len(self.rows)

    @overload
    def __getitem__(self, index: SupportsIndex) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Texts": ...
    def __getitem__(self, index: SupportsIndex | slice) -> "str | Texts":
        """Return a text, or some of them."""
        chosen = range(len(self))[index]
        if isinstance(chosen, range):
            return self.take(np.arange(chosen.start, chosen.stop, chosen.step))
        row = chosen if self.rows is None else self.rows[chosen]
        return self.data[self.offsets[row] : self.offsets[row + 1]].tobytes().decode(*_UTF8)

    def __iter__(self) -> Iterator[str]:
        """Go over the texts."""
        return map(self.__getitem__, range(len(self)))

    def take(self, rows: Int[np.ndarray, " _"]) -> "Texts":
        """Return some of the texts, without copying them."""
        return Texts(self.data, self.offsets, rows if self.rows is None else self.rows[rows])

    @property
    def num_bytes(self) -> Int64[np.ndarray, " N"]:
        """Bytes of each text."""
        sizes = np.diff(self.offsets)
        return sizes if self.rows is None else sizes[self.rows]


_UTF8 = ("utf-8", "surrogatepass")  # JSON can hold half of a pair


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipColumns:
    """What is read of all clips, by column.

    Attributes:
        splits: Number of each clip's split among ``SPLITS``, ``(N,)``.
        labels: Annotated labels of every task, in the order of ``Task``, ``(N, 4)``; NaN where
            there is none.
        has_moments: Whether it is known where each modality carries its sentiment, ``(N, 3)``.
        videos: Number of each clip's video among ``video_names``, ``(N,)``.
        video_names: The different videos, in the order in which they come.
        speakers: Number of each clip's speaker, in the order in which they come, ``(N,)``.
        speaker_names: The different speakers, by these numbers; empty for a video that stands for
            one.
        ids: Name of each clip.
        transcripts: Transcript of each clip.
        starts: Where each clip begins in its video, in seconds; NaN if that is not known.
        lines: Where each clip begins in ``clips.jsonl``, in bytes, and where the last one ends,
            ``(N + 1,)``; empty if the clips come from elsewhere.
        targets: Values of further targets.
    """

    splits: UInt8[np.ndarray, " N"]
    labels: Float64[np.ndarray, "N 4"]
    has_moments: Bool[np.ndarray, "N 3"]
    videos: Int64[np.ndarray, " N"]
    speakers: Int64[np.ndarray, " N"]
    video_names: Texts
    speaker_names: Texts
    ids: Texts
    transcripts: Texts
    starts: Float64[np.ndarray, " N"]
    lines: Int64[np.ndarray, " _"]
    targets: TargetColumns

    def to_arrays(self) -> dict[str, Shaped[np.ndarray, "..."]]:
        """Return the columns as arrays by name; a column of texts is two."""
        arrays = {name: getattr(self, name) for name in _PLAIN}
        for name in _TEXTS:
            texts = getattr(self, name)
            arrays |= {name: texts.data, f"{name}_offsets": texts.offsets}
        return arrays | self.targets.to_arrays()

    @staticmethod
    def names() -> tuple[str, ...]:
        """Return the names of the arrays."""
        texts = (*_TEXTS, *(f"{name}_offsets" for name in _TEXTS))
        return (*_PLAIN, *texts, *TargetColumns.names())

    @staticmethod
    def from_arrays(arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> "ClipColumns":
        """Return columns from what ``to_arrays`` gave.

        Raises:
            ValueError: If one does not fit the others.
        """
        texts = {name: Texts(arrays[name], arrays[f"{name}_offsets"]) for name in _TEXTS}
        columns = ClipColumns(
            splits=arrays["splits"],
            labels=arrays["labels"],
            has_moments=arrays["has_moments"],
            videos=arrays["videos"],
            speakers=arrays["speakers"],
            starts=arrays["starts"],
            lines=arrays["lines"],
            targets=TargetColumns.from_arrays(arrays, len(arrays["splits"])),
            **texts,
        )
        num = len(columns.splits)
        shapes = {
            "labels": (num, len(_TASKS)), "has_moments": (num, len(_MODALITIES)),
            "videos": (num,), "speakers": (num,), "starts": (num,), "lines": (num + 1,),
            "ids_offsets": (num + 1,), "transcripts_offsets": (num + 1,),
        }  # fmt: skip
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise ValueError(f"{name} is {arrays[name].shape}, must be {shape}")
        for name in _TEXTS:
            if len(arrays[name]) != arrays[f"{name}_offsets"][-1]:
                raise ValueError(f"{name} is cut short")
        return columns


_PLAIN = ("splits", "labels", "has_moments", "videos", "speakers", "starts", "lines")
_TEXTS = ("video_names", "speaker_names", "ids", "transcripts")


class _GrowingTexts:
    def __init__(self) -> None:
        self.data, self.offsets = bytearray(), array("q", [0])

    def append(self, text: str) -> None:
        self.data += text.encode(*_UTF8)
        self.offsets.append(len(self.data))

    def finish(self) -> Texts:
        return Texts(np.frombuffer(self.data, np.uint8), np.frombuffer(self.offsets, np.int64))


def gather_columns(clips: Iterable[Clip], lines: Sequence[int] = ()) -> ClipColumns:
    """Return the columns of clips, which are read once.

    Args:
        clips: The clips.
        lines: Where each begins in its file; may grow while the clips are read.
    """
    splits, has_moments = bytearray(), bytearray()
    labels, starts = array("d"), array("d")
    videos, speakers = array("q"), array("q")
    ids, transcripts = _GrowingTexts(), _GrowingTexts()
    names, people_names = _GrowingTexts(), _GrowingTexts()
    numbers: dict[str, int] = {}
    people: dict[tuple[bool, str], int] = {}
    targets = GrowingTargets()
    number_of = {split: number for number, split in enumerate(SPLITS)}
    for clip in clips:
        splits.append(number_of[clip.split])
        labels.extend(clip.labels.get(task, np.nan) for task in _TASKS)
        has_moments.extend(modality in clip.moments for modality in _MODALITIES)
        starts.append(np.nan if clip.start is None else clip.start)
        ids.append(clip.id)
        transcripts.append(clip.transcript)
        video = video_of(clip.id)
        if video not in numbers:
            numbers[video] = len(numbers)
            names.append(video)
        videos.append(numbers[video])
        person = clip.speaker is not None, clip.speaker or video
        if person not in people:
            people[person] = len(people)
            people_names.append(clip.speaker or "")
        speakers.append(people[person])
        targets.append(clip.targets)
    return ClipColumns(
        splits=np.frombuffer(splits, np.uint8),
        labels=np.frombuffer(labels, np.float64).reshape(-1, len(_TASKS)),
        has_moments=np.frombuffer(has_moments, np.bool_).reshape(-1, len(_MODALITIES)),
        videos=np.frombuffer(videos, np.int64),
        speakers=np.frombuffer(speakers, np.int64),
        video_names=names.finish(),
        speaker_names=people_names.finish(),
        ids=ids.finish(),
        transcripts=transcripts.finish(),
        starts=np.frombuffer(starts, np.float64),
        lines=np.array(lines, dtype=np.int64),
        targets=targets.finish(),
    )


class ClipSequence(Sequence[Clip]):
    """Clips as a sequence, and their columns.

    A clip of a large store is made when it is looked at, and not kept; whoever needs one thing of
    all clips takes a column. It equals any sequence of the same clips.

    Args:
        columns: The columns.
        read: Returns the clip of a row of the columns.
        rows: Which rows, and in what order; all by default.
    """

    def __init__(
        self,
        columns: ClipColumns,
        read: Callable[[int], Clip],
        rows: Int[np.ndarray, " N"] | None = None,
    ) -> None:
        self.columns, self._read = columns, read
        self._rows = rows

    def __repr__(self) -> str:
        """Return how many clips there are."""
        return f"ClipSequence({len(self)} clips)"

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.columns.splits) if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Clip: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Clip, ...]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Clip | tuple[Clip, ...]:
        """Return a clip, or a tuple of some."""
        chosen = range(len(self))[index]
        if isinstance(chosen, range):
            return tuple(self[number] for number in chosen)
        return self._read(chosen if self._rows is None else int(self._rows[chosen]))

    def __iter__(self) -> Iterator[Clip]:
        """Go over the clips."""
        return map(self.__getitem__, range(len(self)))

    def __eq__(self, other: object) -> bool:
        """Return whether the other is a sequence of the same clips."""
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as a list

    def take(self, rows: Int[np.ndarray, " _"]) -> "ClipSequence":
        """Return some of the clips, without copying what is known of them."""
        taken = rows if self._rows is None else self._rows[rows]
        return ClipSequence(self.columns, self._read, taken)

    def _of(self, column: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
        return column if self._rows is None else column[self._rows]

    @property
    def ids(self) -> Texts:
        """Name of each clip."""
        ids = self.columns.ids
        return ids if self._rows is None else ids.take(self._rows)

    @property
    def transcripts(self) -> Texts:
        """Transcript of each clip."""
        transcripts = self.columns.transcripts
        return transcripts if self._rows is None else transcripts.take(self._rows)

    @property
    def starts(self) -> Float64[np.ndarray, " N"]:
        """Where each clip begins in its video, in seconds; NaN if that is not known."""
        return self._of(self.columns.starts)

    def labels(self, task: Task) -> Float64[np.ndarray, " N"]:
        """Return the label of each clip for a task; NaN where there is none."""
        return self._of(self.columns.labels[:, _TASKS.index(task)])

    def target(self, target: Target, task: Task) -> Float64[np.ndarray, "N K"]:
        """Return the K values of each clip for a task of a target; NaN where it has none."""
        values = self.columns.targets.values(target, task, len(self.columns.splits))
        return self._of(values)

    def have_target(self, name: str, task: Task) -> Bool[np.ndarray, " N"]:
        """Return which clips have values for a task of a target."""
        return self._of(self.columns.targets.known(name, task, len(self.columns.splits)))

    def are_in(self, split: Split) -> Bool[np.ndarray, " N"]:
        """Return which clips are in a split."""
        are_in: Bool[np.ndarray, " N"] = self._of(self.columns.splits) == SPLITS.index(split)
        return are_in

    @property
    def split_numbers(self) -> UInt8[np.ndarray, " N"]:
        """Number of each clip's split among ``SPLITS``."""
        return self._of(self.columns.splits)

    def have_moment(self, modality: Modality) -> Bool[np.ndarray, " N"]:
        """Return in which clips it is known where a modality carries its sentiment."""
        return self._of(self.columns.has_moments[:, _MODALITIES.index(modality)])

    @property
    def speaker_numbers(self) -> Int64[np.ndarray, " N"]:
        """A number for each clip's speaker, or its video where the speaker is not known."""
        return self._of(self.columns.speakers)

    @cached_property
    def speakers(self) -> tuple[str, ...]:
        """Name of each clip's speaker, empty where it is not known; nothing if none is."""
        names = tuple(self.columns.speaker_names)
        speakers = tuple(names[number] for number in self.speaker_numbers.tolist())
        return speakers if any(speakers) else ()

    @cached_property
    def video_numbers(self) -> Int64[np.ndarray, " N"]:
        """Number of each clip's video among ``videos``."""
        videos = self._of(self.columns.videos)
        _, numbers = np.unique(videos, return_inverse=True)
        names = self._names(videos)
        ranks = np.argsort(np.argsort(np.array(names, dtype=object), kind="stable"), kind="stable")
        ranked: Int64[np.ndarray, " N"] = ranks[numbers].astype(np.int64)
        return ranked

    @cached_property
    def videos(self) -> tuple[str, ...]:
        """The different videos of the clips, in the order of their names."""
        return tuple(sorted(self._names(self._of(self.columns.videos))))

    def _names(self, videos: Int64[np.ndarray, " _"]) -> list[str]:
        return [self.columns.video_names[number] for number in np.unique(videos).tolist()]


def as_clips(clips: Sequence[Clip]) -> ClipSequence:
    """Return clips with their columns; such that have them are given back."""
    if isinstance(clips, ClipSequence):
        return clips
    clips = tuple(clips)
    return ClipSequence(gather_columns(clips), clips.__getitem__)
