"""Features on disk: ragged series end to end, memory-mapped, described and fingerprinted.

STORE/
    meta.json            what is in it, where it comes from, and the fingerprint
    clips.jsonl          one clip a line: id, split, transcript, labels, words, moments
    audio/values.npy     all clips of the series end to end, (S, D); no padding
    audio/offsets.npy    clip i is values[offsets[i] : offsets[i + 1]], (N + 1,)
    audio/times.npy      centre of each step in seconds from the clip's start, (S,), if known
    video/...            further series: video, text (embeddings), tokens (token ids)
"""

import io
import json
import logging
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64, Int, Num
from pydantic import ValidationError

from mien.config import Settings
from mien.errors import CorpusError, FeatureError, StoreError
from mien.files.folders import FolderKind, staged
from mien.files.hashing import hash_files
from mien.files.npy import append_array, save_array, write_header
from mien.files.reading import open_regular, parse_json, read_limited, show
from mien.types import (
    SPLITS,
    Clip,
    Corpus,
    Material,
    Modality,
    Scale,
    SeriesSource,
    Split,
    Task,
    Word,
)

__all__ = ["STORE", "Series", "SeriesMeta", "Store", "StoreMeta", "open_store", "write_store"]

logger = logging.getLogger(__name__)

_LARGEST_META = 1 << 28
#: What files that are not what they should be make readers raise.
_DAMAGE = (
    OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, SyntaxError,
    RecursionError, OverflowError, MemoryError,
)  # fmt: skip

_FORMAT = 1

#: What an extraction writes into a store beside clips and series, for people.
_RECORDS = ("notes.jsonl", "skipped.csv")

_SERIES_FILES = ("values.npy", "offsets.npy", "times.npy")
_MARKS = {"format", "name", "num_clips", "series", "fingerprint"}  # in meta.json of any version


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
        fingerprint: SHA-256 over the clips and every series.
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
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Series:
    """Ragged time series of all clips, mapped from disk.

    Attributes:
        values: All clips end to end, ``(S, D)``.
        offsets: Clip i is ``values[offsets[i]:offsets[i + 1]]``, ``(N + 1,)``.
        times: Centre of each step in seconds from the start of its clip, ``(S,)``, if known.
    """

    values: Num[np.ndarray, "_ D"]
    offsets: Int[np.ndarray, " _"]
    times: Float64[np.ndarray, " _"] | None = None

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


class Store:
    """An opened store. Opening reads ``meta.json`` alone, whatever the size of the rest.

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

    @property
    def scale(self) -> Scale:
        """Range of the annotations."""
        return Scale(*self.meta.scale)

    @cached_property
    def clips(self) -> tuple[Clip, ...]:
        """All clips, in the order of the series."""
        path = self.path / "clips.jsonl"
        try:
            with io.TextIOWrapper(open_regular(path, StoreError), encoding="utf-8") as lines:
                clips = tuple(_clip_from_json(json.loads(line)) for line in lines)
        except StoreError as error:
            raise StoreError(f"{error}; import the corpus again") from None
        except _DAMAGE as error:
            raise _damaged(path, error) from error
        if len(clips) != sum(self.meta.num_clips.values()):
            raise StoreError(
                f"{path}: has {len(clips)} clips, meta.json says "
                f"{sum(self.meta.num_clips.values())}; import the corpus again"
            )
        return clips

    @cached_property
    def _rows(self) -> dict[Split, Int[np.ndarray, " _"]]:
        splits = np.array([clip.split for clip in self.clips])
        return {split: np.flatnonzero(splits == split) for split in SPLITS}

    def rows(self, split: Split) -> Int[np.ndarray, " N"]:
        """Return the rows of the clips of a split, ascending."""
        return self._rows[split]

    def series(self, name: str) -> Series:
        """Map a series from disk.

        Raises:
            StoreError: If the store has no such series, or its files are damaged.
        """
        if name not in self.meta.series:
            there = ", ".join(self.meta.series) or "none"
            raise StoreError(f"{self.path}: has no series {name!r}; there are: {there}")
        meta, folder = self.meta.series[name], self.path / name
        try:
            values = _map_array(folder / "values.npy")
            offsets = np.array(_map_array(folder / "offsets.npy"))
            times = _map_array(folder / "times.npy") if meta.has_times else None
        except (*_DAMAGE, StoreError) as error:
            raise _damaged(folder, error) from error
        fits = (
            values.shape == (meta.num_steps, meta.size)
            and values.dtype == np.dtype(meta.dtype)
            and offsets.dtype == np.int64
            and offsets.shape == (sum(self.meta.num_clips.values()) + 1,)
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
            times = ["times.npy"] if series.has_times else []
            files += [self.path / name / file for file in ("offsets.npy", *times, "values.npy")]
        return hash_files(files, StoreError)


def open_store(path: str | Path) -> Store:
    """Open a store.

    Raises:
        StoreError: If there is none at ``path``, or another version of this package wrote it.
    """
    path = Path(path)
    meta = path / "meta.json"
    if not os.path.lexists(meta):
        raise StoreError(
            f"{path}: is not a store (it has no meta.json); mien import or mien planted makes one"
        )
    values = _read_meta(meta)
    if not isinstance(values, dict) or values.get("format") != _FORMAT:
        found = show(values.get("format") if isinstance(values, dict) else values)
        raise StoreError(
            f"{meta}: format is {found}, this version reads {_FORMAT}; import the corpus again"
        )
    try:
        return Store(path, StoreMeta.model_validate(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = show(".".join(str(part) for part in first["loc"]))[1:-1]
        raise StoreError(f"{meta}: {where}: {first['msg']}; import the corpus again") from error


def _read_meta(meta: Path) -> Any:  # noqa: ANN401  # any JSON
    text = read_limited(meta, StoreError, most=_LARGEST_META)
    return parse_json(text, f"{meta}: cannot be read: it", StoreError)


def _map_array(path: Path) -> np.ndarray:
    """Map an array from disk, so that a promise of more than the file holds costs no memory."""
    open_regular(path, StoreError).close()
    values: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return values


def _damaged(path: Path, error: Exception) -> StoreError:
    reason = show(str(error), most=200)[1:-1]
    return StoreError(f"{path}: is damaged ({reason}); import the corpus again")


def write_store(
    material: Material,
    path: str | Path,
    *,
    replace: bool = False,
    records: Mapping[str, str] | None = None,
) -> Store:
    """Write the clips and series of a corpus as a store, and open it.

    The files are written into a folder beside ``path`` that takes its name when all is done: after
    a failure or a kill there is either the whole store or none.

    Args:
        material: What a reader of a corpus returned.
        path: Folder to make.
        replace: Whether a store that is already there may be replaced. It may hold nothing but
            what this package writes into stores.
        records: Further files of text by name, for people: how the series came about; a store
            with other names than ``notes.jsonl`` and ``skipped.csv`` is not replaced.

    Raises:
        StoreError: If ``path`` exists and may not be replaced.
        OutputError: If it cannot be written.
        CorpusError: If clips are not as they should be: none, equal ids, labels off the scale.
        FeatureError: If a series is misshapen or not finite.
    """
    path = Path(path)
    _check_corpus(material.corpus)
    with staged(path, STORE, replace=replace) as folder:
        _write_clips(material.corpus, folder / "clips.jsonl")
        series = {
            s.name: _write_series(s, material.corpus, folder / s.name) for s in material.series
        }
        meta = _describe(material, series)
        fingerprint = Store(folder, meta).compute_fingerprint()
        meta = meta.model_copy(update={"fingerprint": fingerprint})
        for name, text in (records or {}).items():
            (folder / name).write_text(text, encoding="utf-8", newline="")
        text = meta.model_dump_json(indent=1, exclude_none=True)
        (folder / "meta.json").write_text(text, encoding="utf-8")
    logger.info("wrote %s: %d clips", path, len(material.corpus.clips))
    return open_store(path)


def _list_files(folder: Path) -> Collection[str] | None:
    """Return which files the store in a folder may hold; None if there is none, of any version."""
    try:
        meta = _read_meta(folder / "meta.json")
    except StoreError:
        return None
    if not isinstance(meta, dict) or not meta.keys() >= _MARKS:
        return None
    if not isinstance(meta["format"], int) or not isinstance(meta["series"], dict):
        return None
    series = {f"{name}/{file}" for name in meta["series"] for file in _SERIES_FILES}
    return {"meta.json", "clips.jsonl", *_RECORDS} | series


#: What may be replaced by a store.
STORE = FolderKind("a store", _list_files)


def _check_corpus(corpus: Corpus) -> None:
    if not corpus.clips:
        raise CorpusError(f"corpus {corpus.name!r} has no clips")
    if corpus.is_annotated and not any(Task.FUSION in clip.labels for clip in corpus.clips):
        raise CorpusError(f"corpus {corpus.name!r}: no clip has a multimodal label")
    seen: dict[str, Split] = {}
    for clip in corpus.clips:
        if clip.id in seen:
            raise CorpusError(
                f"clip {clip.id!r} occurs twice (in {seen[clip.id]} and {clip.split}); "
                "ids are unique"
            )
        seen[clip.id] = clip.split
        if clip.labels and not corpus.is_annotated:
            raise CorpusError(f"clip {clip.id!r} has a label, corpus {corpus.name!r} says none has")
        for task, label in clip.labels.items():
            if not corpus.scale.low <= label <= corpus.scale.high:
                raise CorpusError(
                    f"clip {clip.id!r}: label of {task} is {label!r}, must be a number from "
                    f"{corpus.scale.low:g} to {corpus.scale.high:g}"
                )


def _write_clips(corpus: Corpus, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for clip in corpus.clips:
            file.write(json.dumps(_clip_to_json(clip), ensure_ascii=False) + "\n")


def _clip_to_json(clip: Clip) -> dict[str, Any]:
    values: dict[str, Any] = {"id": clip.id, "split": clip.split, "transcript": clip.transcript}
    values["labels"] = {str(task): float(label) for task, label in clip.labels.items()}
    if clip.start is not None:
        values["start"] = clip.start
    if clip.end is not None:
        values["end"] = clip.end
    if clip.media is not None:
        values["media"] = str(clip.media)
    if clip.moments:
        values["moments"] = {str(m): list(span) for m, span in clip.moments.items()}
    if clip.words:
        values["words"] = [list(word) for word in clip.words]
    return values


def _clip_from_json(values: dict[str, Any]) -> Clip:
    if values["split"] not in SPLITS:
        raise ValueError(f"split is {values['split']!r}")
    return Clip(
        id=values["id"],
        split=values["split"],
        transcript=values["transcript"],
        labels={Task(task): float(label) for task, label in values["labels"].items()},
        start=values.get("start"),
        end=values.get("end"),
        media=Path(values["media"]) if "media" in values else None,
        moments={Modality(m): (a, b) for m, (a, b) in values.get("moments", {}).items()},
        words=tuple(
            Word(str(text), float(start), float(end))
            for text, start, end in values.get("words", ())
        ),
    )


def _write_series(source: SeriesSource, corpus: Corpus, folder: Path) -> SeriesMeta:
    _check_feature_names(source)
    folder.mkdir()
    lengths = []
    with (folder / "values.npy").open("wb") as file:
        write_header(file, source.dtype, (0, source.size))
        for clip, values in zip(corpus.clips, source.read(), strict=True):
            append_array(file, _convert_values(values, source, clip))
            lengths.append(len(values))
        num_steps = sum(lengths)
        file.seek(0)
        write_header(file, source.dtype, (num_steps, source.size))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    with (folder / "offsets.npy").open("wb") as file:
        save_array(file, offsets)
    if source.read_times is not None:
        _write_times(source, corpus, lengths, folder / "times.npy")
    return SeriesMeta(
        size=source.size,
        dtype=source.dtype,
        extractor=source.extractor,
        feature_names=source.feature_names,
        step_seconds=source.step_seconds,
        num_steps=num_steps,
        num_missing=lengths.count(0),
        has_times=source.read_times is not None,
    )


def _write_times(source: SeriesSource, corpus: Corpus, lengths: list[int], path: Path) -> None:
    read = source.read_times() if source.read_times is not None else iter(())
    times = np.empty(sum(lengths), np.float64)
    position = 0
    for clip, length, one in zip(corpus.clips, lengths, read, strict=True):
        where = f"{source.name} of clip {clip.id!r}"
        if len(one) != length:
            raise FeatureError(f"{where}: has {length} steps and {len(one)} times")
        if not (np.isfinite(one).all() and (np.diff(one) >= 0).all()):
            raise FeatureError(f"{where}: the times of the steps must be finite and in order")
        times[position : position + length] = one
        position += length
    with path.open("wb") as file:
        save_array(file, times)


def _check_feature_names(source: SeriesSource) -> None:
    if source.feature_names is not None and len(source.feature_names) != source.size:
        raise FeatureError(
            f"{source.name}: has {len(source.feature_names)} feature names for "
            f"{source.size} values a step"
        )


def _convert_values(
    values: Num[np.ndarray, "..."], source: SeriesSource, clip: Clip
) -> Num[np.ndarray, "T D"]:
    """Return the values as the store holds them; what cannot be held is an error, never changed."""
    where = f"{source.name} of clip {clip.id!r}"
    if values.ndim != 2 or values.shape[1] != source.size:
        raise FeatureError(f"{where}: shape is {values.shape}, must be (steps, {source.size})")
    with np.errstate(over="ignore", invalid="ignore"):
        converted = np.ascontiguousarray(values, dtype=source.dtype)
    is_kept = np.isfinite(converted) if source.dtype == "float32" else converted == values
    if not is_kept.all():
        step, feature = np.argwhere(~is_kept)[0]
        wanted = "features must be finite" if source.dtype == "float32" else "must be a token id"
        raise FeatureError(
            f"{where}: value at step {step}, feature {feature} is "
            f"{values[step, feature].item()!r}; {wanted} ({source.dtype})"
        )
    return converted


def _describe(material: Material, series: dict[str, SeriesMeta]) -> StoreMeta:
    corpus = material.corpus
    splits = [clip.split for clip in corpus.clips]
    return StoreMeta(
        format=_FORMAT,
        name=corpus.name,
        language=corpus.language,
        scale=(corpus.scale.low, corpus.scale.high),
        is_synthetic=corpus.is_synthetic,
        num_clips={split: splits.count(split) for split in SPLITS},
        labels=tuple(t for t in Task if any(t in clip.labels for clip in corpus.clips)),
        series=series,
        origin=dict(material.origin),
        extraction=None if material.extraction is None else dict(material.extraction),
        fingerprint="",
    )
