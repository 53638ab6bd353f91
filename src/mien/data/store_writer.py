"""Clips and series to a store, written beside its place and checked; ``store`` is the layout."""

import logging
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Num

from mien.corpora.unlabelled import is_annotated
from mien.data.clips.clip_lines import clip_to_line
from mien.data.clips.target_checks import check_targets
from mien.data.store import STORE_FORMAT, SeriesMeta, Store, StoreMeta, open_store, read_meta
from mien.errors import CorpusError, FeatureError, StoreError
from mien.files.folders import FolderKind, staged
from mien.files.npy import append_array, save_array, write_header
from mien.files.reading import show
from mien.types import SPLITS, Clip, Corpus, Material, SeriesSource, Split, Task

__all__ = ["STORE", "write_clips", "write_meta", "write_store"]

logger = logging.getLogger(__name__)

#: What an extraction writes into a store beside clips and series, for people.
_RECORDS = ("notes.jsonl", "skipped.csv")

_SERIES_FILES = ("values.npy", "offsets.npy", "times.npy")
_MARKS = {"format", "name", "num_clips", "series", "fingerprint"}  # in meta.json of any version


def write_store(
    material: Material,
    path: str | Path,
    *,
    replace: bool = False,
    records: Mapping[str, str] | None = None,
) -> Store:
    """Write the clips and series of a corpus as a store, and open it.

    The files are written into a folder beside ``path`` that takes its name when all is done: after
    a failure or a kill there is either the complete store or none.

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
        CorpusError: If clips are not as they should be: none, equal ids, labels off the scale,
            values of targets that no target of the corpus can have.
        FeatureError: If a series is misshapen or not finite.
    """
    path = Path(path)
    _check_corpus(material.corpus)
    with staged(path, STORE, replace=replace) as folder:
        write_clips(folder, material.corpus.clips)
        series = {
            s.name: _write_series(s, material.corpus, folder / s.name) for s in material.series
        }
        for name, text in (records or {}).items():
            (folder / name).write_text(text, encoding="utf-8", newline="")
        write_meta(folder, _describe(material, series))
    logger.info("wrote %s: %d clips", path, len(material.corpus.clips))
    return open_store(path)


def write_clips(folder: Path, clips: Iterable[Clip]) -> None:
    """Write the clips of a store into its folder, in the order of the series."""
    with (folder / "clips.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        for clip in clips:
            try:
                file.write(clip_to_line(clip))
            except UnicodeEncodeError as error:
                raise CorpusError(
                    f"clip {show(clip.id)}: its id, its text, or the name of its file holds half "
                    f"of a character ({error.object[error.start]!a}), which UTF-8 cannot hold; "
                    "repair it"
                ) from None


def write_meta(folder: Path, meta: StoreMeta) -> None:
    """Write what is in a store whose other files are there, with its fingerprint."""
    fingerprint = Store(folder, meta).compute_fingerprint()
    meta = meta.model_copy(update={"fingerprint": fingerprint})
    left_out = set() if meta.targets else {"targets"}
    text = meta.model_dump_json(indent=1, exclude_none=True, exclude=left_out)
    (folder / "meta.json").write_text(text, encoding="utf-8")


def _list_files(folder: Path) -> Collection[str] | None:
    """Return which files the store in a folder may hold; None if there is none, of any version."""
    try:
        meta = read_meta(folder / "meta.json")
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
    check_targets(corpus)
    if corpus.is_annotated and not any(map(is_annotated, corpus.clips)):
        raise CorpusError(
            f"corpus {corpus.name!r}: no clip has a multimodal label, or values of a target"
        )
    seen: dict[str, Split] = {}
    for clip in corpus.clips:
        if clip.id in seen:
            raise CorpusError(
                f"clip {clip.id!r} occurs twice (in {seen[clip.id]} and {clip.split}); "
                "ids are unique"
            )
        seen[clip.id] = clip.split
        if (clip.labels or clip.targets) and not corpus.is_annotated:
            raise CorpusError(f"clip {clip.id!r} has a label, corpus {corpus.name!r} says none has")
        for task, label in clip.labels.items():
            if not corpus.scale.low <= label <= corpus.scale.high:
                raise CorpusError(
                    f"clip {clip.id!r}: label of {task} is {label!r}, must be a number from "
                    f"{corpus.scale.low:g} to {corpus.scale.high:g}"
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
    for clip, length, centres in zip(corpus.clips, lengths, read, strict=True):
        where = f"{source.name} of clip {clip.id!r}"
        if len(centres) != length:
            raise FeatureError(f"{where}: has {length} steps and {len(centres)} times")
        if not (np.isfinite(centres).all() and (np.diff(centres) >= 0).all()):
            raise FeatureError(f"{where}: the times of the steps must be finite and in order")
        times[position : position + length] = centres
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
        format=STORE_FORMAT,
        name=corpus.name,
        language=corpus.language,
        scale=(corpus.scale.low, corpus.scale.high),
        is_synthetic=corpus.is_synthetic,
        num_clips={split: splits.count(split) for split in SPLITS},
        labels=tuple(t for t in Task if any(t in clip.labels for clip in corpus.clips)),
        series=series,
        origin=dict(material.origin),
        extraction=None if material.extraction is None else dict(material.extraction),
        targets=corpus.targets,
        fingerprint="",
    )
