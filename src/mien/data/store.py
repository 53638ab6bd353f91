"""Features on disk: ragged series end to end, memory-mapped, described and fingerprinted.

STORE/
    meta.json            what is in it, where it comes from, and the fingerprint
    clips.jsonl          one clip a line: id, split, transcript, labels, targets, words, moments
    audio/values.npy     all clips of the series end to end, (S, D); no padding
    audio/offsets.npy    clip i is values[offsets[i] : offsets[i + 1]], (N + 1,)
    audio/times.npy      centre of each step in seconds from the clip's start, (S,), if known
    video/...            further series: video, text (embeddings), tokens (token ids)
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, overload

import numpy as np
from jaxtyping import Float64, Int, Num
from pydantic import ValidationError

from mien.config import Settings
from mien.data.clips.clip_columns import ClipSequence
from mien.data.clips.clip_index import read_clips
from mien.data.clips.clip_lines import DAMAGE, damaged
from mien.data.clips.target_columns import name_values
from mien.errors import StoreError, list_some, name_known
from mien.files.hashing import hash_files, hash_json
from mien.files.npy import release
from mien.files.reading import open_regular, parse_json, read_limited, show
from mien.notebooks import html_table, make_frame, number_or_nan
from mien.types import SPLITS, Clip, Scale, Split, Target, Task

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "STORE_FORMAT",
    "Series",
    "SeriesMeta",
    "Store",
    "StoreMeta",
    "open_store",
    "read_meta",
]

_LARGEST_META = 1 << 28
#: Bytes of a series from which on memory into which it was read is given back.
LARGE_SERIES = 1 << 28
#: Version of the layout that is written and read.
STORE_FORMAT = 1


class SeriesMeta(Settings):
    """What a series of the store is.

    Attributes:
        size: Values per step, D.
        dtype: Type of the values.
        extractor: What made them, with its version, as far as that is known.
        feature_names: Name of each value, if they are known.
        step_seconds: Time from one step to the next, if it is constant and known.
        num_steps: Steps of all clips together, S.
        num_missing: Clips without this series.
        has_times: Whether the centre of every step is known.
    """

    size: int
    dtype: Literal["float32", "int32"]
    extractor: str
    feature_names: tuple[str, ...] | None = None
    step_seconds: float | None = None
    num_steps: int
    num_missing: int
    has_times: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """Names of its files, in the order in which the fingerprint has them."""
        times = ("times.npy",) if self.has_times else ()
        return ("offsets.npy", *times, "values.npy")


class StoreMeta(Settings):
    """What is in a store.

    Attributes:
        format: Version of the layout.
        name: Name of the corpus.
        language: ISO 639-1 code of the transcripts.
        scale: Range of the annotations.
        is_synthetic: Whether a program made the clips.
        num_clips: Clips per split.
        labels: Tasks that are annotated in at least one clip; none in a store for prediction.
        series: The series, by name.
        origin: Where it comes from.
        extraction: Settings with which ``mien extract`` made the series; None if they come from
            elsewhere. With them the same can be made of any recording.
        targets: What is annotated besides sentiment; nothing in stores of earlier versions.
        fingerprint: SHA-256 over the clips, every series and what is known of the targets.
    """

    format: int
    name: str
    language: str
    scale: tuple[float, float]
    is_synthetic: bool
    num_clips: dict[Split, int]
    labels: tuple[Task, ...]
    series: dict[str, SeriesMeta]
    origin: dict[str, str]
    extraction: dict[str, Any] | None = None
    targets: tuple[Target, ...] = ()
    fingerprint: str

    @property
    def has_sentiment(self) -> bool:
        """Whether some clips have a multimodal label."""
        return Task.FUSION in self.labels

    @property
    def is_annotated(self) -> bool:
        """Whether there is anything to learn from, and to evaluate on."""
        return self.has_sentiment or bool(self.targets)


@dataclass(frozen=True, slots=True)
class Series:
    """Ragged time series of all clips, mapped from disk.

    Attributes:
        values: All clips end to end, ``(S, D)``.
        offsets: Clip i is ``values[offsets[i]:offsets[i + 1]]``, ``(N + 1,)``.
        times: Centre of each step in seconds from the start of its clip, ``(S,)``, if known.
        has_context: Whether the last value of a step says if it is context, above 0, or the clip's
            own text, 0; context is behind that.
        together: Clips of one number are read together; None if each is read by itself.
    """

    values: Num[np.ndarray, "_ D"]
    offsets: Int[np.ndarray, " _"]
    times: Float64[np.ndarray, " _"] | None = None
    has_context: bool = False
    together: Int[np.ndarray, " N"] | None = None

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> Num[np.ndarray, "T D"]:
        """Return the series of one clip, a view; no step if the clip does not have it."""
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> Int[np.ndarray, " N"]:
        """Steps of each clip."""
        return np.diff(self.offsets)

    def blocks(self, rows: Int[np.ndarray, " N"], size: int) -> Iterator[Num[np.ndarray, "S D"]]:
        """Yield all steps of the clips at ``rows``, end to end, in blocks of ``size`` steps."""
        starts, ends = self.offsets[rows], self.offsets[rows + 1]
        is_first = np.append(True, starts[1:] != ends[:-1])[: len(rows)]  # of clips end to end
        firsts, lasts = starts[is_first].tolist(), ends[np.roll(is_first, -1)].tolist()
        parts, num = [], 0
        for first, last in zip(firsts, lasts, strict=True):
            start = first
            while start < last:
                stop = min(last, start + size - num)
                parts.append(self.values[start:stop])
                num, start = num + stop - start, stop
                if num == size:
                    yield parts[0] if len(parts) == 1 else np.concatenate(parts)
                    parts, num = [], 0
                    self.release()
        if parts:
            yield np.concatenate(parts)
            self.release()

    def release(self) -> None:
        """Give back the memory into which a large series was read, so that not all of it stays."""
        if self.values.nbytes >= LARGE_SERIES:
            release(self.values)


class Store:
    """An opened store. Opening reads ``meta.json`` alone, whatever the size of the rest.

    Its length is the number of clips; ``store[row]`` is a clip, and a loop goes over all of them.

    Args:
        path: Folder of the store.
        meta: What is in it.
    """

    def __init__(self, path: Path, meta: StoreMeta) -> None:
        self.path = path
        self.meta = meta

    def __repr__(self) -> str:
        """Return the path, the corpus and its size."""
        counts = ", ".join(f"{split} {n}" for split, n in self.meta.num_clips.items())
        return f"Store({str(self.path)!r}, {self.meta.name}: {counts})"

    def __len__(self) -> int:
        """Return the number of clips, which ``meta.json`` has."""
        return sum(self.meta.num_clips.values())

    def __bool__(self) -> bool:
        """Return True: a store without clips is a store."""
        return True

    def __iter__(self) -> Iterator[Clip]:
        """Go over the clips, in the order of the series."""
        return iter(self.clips)

    @overload
    def __getitem__(self, row: SupportsIndex) -> Clip: ...
    @overload
    def __getitem__(self, row: slice) -> tuple[Clip, ...]: ...
    def __getitem__(self, row: SupportsIndex | slice) -> Clip | tuple[Clip, ...]:
        """Return the clip of a row, or those of some rows."""
        return self.clips[row]

    def to_pandas(self) -> "pd.DataFrame":
        """Return a data frame with a row for each clip.

        Columns are ``id``, ``video_id``, ``split``, ``transcript``, ``start`` and ``end`` in
        seconds, and the label of each task, such as ``label_fusion``; NaN where there is none. A
        target has a column for each task and class: ``emotion/fusion/angry``; a score has
        ``valence/fusion``.

        Raises:
            ConfigError: If pandas is not installed.
        """
        columns = ("id", "video_id", "split", "transcript", "start", "end")
        rows = (
            {
                "id": clip.id,
                "video_id": clip.video_id,
                "split": clip.split,
                "transcript": clip.transcript,
                "start": number_or_nan(clip.start),
                "end": number_or_nan(clip.end),
                **{f"label_{task}": number_or_nan(clip.labels.get(task)) for task in Task},
                **name_values(clip, self.meta.targets),
            }
            for clip in self.clips
        )
        of_targets = (n for target in self.meta.targets for t in Task for n in target.columns(t))
        return make_frame(rows, (*columns, *(f"label_{task}" for task in Task), *of_targets))

    def _repr_html_(self) -> str:
        """Return a table for notebooks: clips of each split, and what series there are."""
        low, high = self.scale
        rows = [
            *((f"clips, {split}", num) for split, num in self.meta.num_clips.items()),
            *(
                (name, f"{series.size} values per step, {series.num_steps} steps")
                for name, series in self.meta.series.items()
            ),
            ("labels", f"{low:g} to {high:g}" if self.meta.labels else "none"),
            *((target.name, target.describe()) for target in self.meta.targets),
        ]
        notes = ["synthetic: its clips were made by a program"] * self.meta.is_synthetic
        caption = f"{self.path}: {self.meta.name}, {len(self)} clips"
        return html_table(caption, ("what", "value"), rows, notes)

    @property
    def scale(self) -> Scale:
        """Range of the annotations."""
        return Scale(*self.meta.scale)

    @cached_property
    def clips(self) -> ClipSequence:
        """All clips, in the order of the series; a sequence that has their columns."""
        path = self.path / "clips.jsonl"
        clips = read_clips(path)
        if len(clips) != len(self):
            raise StoreError(
                f"{path}: has {len(clips)} clips, meta.json says {len(self)}; import the corpus "
                "again"
            )
        fault = clips.columns.targets.find_fault(self.meta.targets)
        if fault:
            raise StoreError(f"{path}: {fault}; import the corpus again")
        return clips

    def target(self, name: str) -> Target:
        """Return what is known of a target.

        Raises:
            StoreError: If the store has no such target.
        """
        for target in self.meta.targets:
            if target.name == name:
                return target
        hint = name_known(name, [target.name for target in self.meta.targets])
        raise StoreError(f"{self.path}: has no target {name!r}; {hint}")

    @cached_property
    def _rows(self) -> dict[Split, Int[np.ndarray, " _"]]:
        return {split: np.flatnonzero(self.clips.are_in(split)) for split in SPLITS}

    def rows(self, split: Split) -> Int[np.ndarray, " N"]:
        """Return the rows of the clips of a split, ascending."""
        return self._rows[split]

    def series(self, name: str) -> Series:
        """Map a series from disk.

        Raises:
            StoreError: If the store has no such series, or its files are damaged.
        """
        if name not in self.meta.series:
            hint = name_known(name, self.meta.series)
            raise StoreError(f"{self.path}: has no series {name!r}; {hint}")
        meta, folder = self.meta.series[name], self.path / name
        try:
            values = _map_array(folder / "values.npy")
            offsets = np.array(_map_array(folder / "offsets.npy"))
            times = _map_array(folder / "times.npy") if meta.has_times else None
        except (*DAMAGE, StoreError) as error:
            raise damaged(folder, error) from error
        fits = (
            values.shape == (meta.num_steps, meta.size)
            and values.dtype == np.dtype(meta.dtype)
            and offsets.dtype == np.int64
            and offsets.shape == (len(self) + 1,)
            and offsets[0] == 0
            and offsets[-1] == meta.num_steps
            and bool((np.diff(offsets) >= 0).all())
            and (times is None or (times.shape == values.shape[:1] and times.dtype == np.float64))
        )
        if not fits:
            raise StoreError(f"{folder}: does not fit meta.json; import the corpus again")
        return Series(values, offsets, times)

    def compute_fingerprint(self) -> str:
        """Read everything and return the fingerprint that ``meta.json`` should hold.

        Raises:
            StoreError: If a file is not there or cannot be read.
        """
        files = [self.path / "clips.jsonl"]
        for name, series in sorted(self.meta.series.items()):
            files += [self.path / name / file for file in series.files]
        digest = hash_files(files, StoreError)
        if not self.meta.targets:
            return digest
        targets = self.meta.model_dump(mode="json", include={"targets"})
        return hash_json({"files": digest, **targets}, digits=64)


def open_store(store: Store | str | Path) -> Store:
    """Open a store; one that is open is given back.

    Raises:
        StoreError: If there is none at that path, or another version of this package wrote it.
    """
    if isinstance(store, Store):
        return store
    path = Path(store)
    meta = path / "meta.json"
    if not os.path.lexists(meta):
        inner = list_some(sorted(file.parent.name for file in path.glob("*/meta.json")), 3)
        why = f"but holds {inner}; state one, or train on all folds (--folds)"
        made = "(it has no meta.json); mien import or mien planted makes one"
        raise StoreError(f"{path}: is not a store {why if inner else made}")
    values = read_meta(meta)
    if not isinstance(values, dict) or values.get("format") != STORE_FORMAT:
        version = show(values.get("format") if isinstance(values, dict) else values)
        raise StoreError(
            f"{meta}: format is {version}, this version reads {STORE_FORMAT}; import the corpus "
            "again"
        )
    try:
        return Store(path, StoreMeta.model_validate(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = show(".".join(str(part) for part in first["loc"]))[1:-1]
        raise StoreError(f"{meta}: {where}: {first['msg']}; import the corpus again") from error


def read_meta(meta: Path) -> Any:  # noqa: ANN401  # any JSON
    """Read a ``meta.json`` as it is, of whatever version.

    Raises:
        StoreError: If it cannot be read, or is not JSON.
    """
    text = read_limited(meta, StoreError, most=_LARGEST_META)
    return parse_json(text, f"{meta}: cannot be read: it", StoreError)


def _map_array(path: Path) -> np.ndarray:
    """Map an array from disk, so that a promise of more than the file holds costs no memory."""
    open_regular(path, StoreError).close()
    values: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return values
