"""A store in the layout of other programs: the field's feature pickle, npz with CSV, or parquet."""

import csv
import shlex
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mien.corpora.class_names.naming import are_read_so
from mien.corpora.clip_table.target_requests import EMOTION
from mien.corpora.table import UNIMODAL
from mien.data.export.feature_pickle import export_pickle
from mien.data.store import Series, Store, open_store
from mien.errors import require
from mien.files.folders import FolderKind, staged
from mien.types import ID_SEPARATOR, Clip, Target, TargetKind, Task

__all__ = ["Form", "export_store"]

Form = Literal["pickle", "npz", "parquet"]

_COLUMNS = {Task.FUSION: "label", **{task: column for column, task in UNIMODAL.items()}}
_SERIES = ("text", "tokens", "audio", "video")
_HEADER = ("video_id", "clip_id", "text", *_COLUMNS.values(), "mode", "start", "end")
#: Rows of a parquet row group, as far as whole clips allow.
_GROUP = 65_536


def export_store(
    store: Store | str | Path,
    out: str | Path,
    *,
    form: Form = "pickle",
    max_steps: int | None = None,
    encoder: str = "auto",
    replace: bool = False,
) -> tuple[str, ...]:
    """Write a store in another layout.

    ``pickle`` is one file in the field's layout: a dict of ``train``, ``valid`` and ``test``, each
    with ``id``, ``raw_text``, ``audio`` and ``vision`` padded with zeros to the longest clip,
    ``audio_lengths``, ``vision_lengths``, ``text_bert`` (ids, mask, segments), ``text`` (the
    store's, if it has one step per token, else the states of the text encoder), ``annotations``,
    ``classification_labels`` and ``regression_labels`` (``_T``, ``_A``, ``_V`` where every clip has
    them). ``npz`` is a folder with ``clips.csv`` and a file per series, as ``mien import`` reads
    them: speakers and targets have columns of their own, ``emotion:angry`` for the share of a class
    and ``emotion_audio:angry`` for that of one modality. ``parquet`` is a folder with
    ``clips.parquet`` and a file per series, a row per step.

    Args:
        store: The store.
        out: File (pickle) or folder to make.
        form: Which layout.
        max_steps: With ``pickle``, longer series of audio and video are cut to their first steps.
        encoder: With ``pickle``, the text encoder whose tokenizer makes ``text_bert``: ``auto``
            for the one of the language, ``none`` to leave it out. A store that has token ids
            keeps them.
        replace: Whether what is at ``out`` may be replaced.

    Returns:
        What the layout cannot hold and the store has, in words.

    Raises:
        StoreError: If ``out`` exists, or the store lacks what the layout cannot be without.
        AssetError: If the text encoder is not here.
        ConfigError: If a package is missing.
    """
    store = open_store(store)
    out = Path(out)
    if form == "pickle":
        return export_pickle(store, out, max_steps, encoder, replace=replace)
    kind = FolderKind("an export", partial(_list_files, series={*_SERIES, *store.meta.series}))
    with staged(out, kind, replace=replace) as folder:
        if form == "npz":
            return _export_npz(store, folder)
        return _export_parquet(store, folder)


def _list_files(folder: Path, series: Collection[str]) -> set[str] | None:
    """Return what an export in a folder may hold; None if there is none, as by its file of clips.

    A table of clips that somebody else wrote, with features beside it, is not taken for one.
    """
    table, columns = folder / "clips.csv", folder / "clips.parquet"
    ending = ""
    if table.is_file():
        with table.open("rb") as file:
            first = file.readline(1000)
        header = ",".join(_HEADER).encode()
        ending = ".npz" if first.startswith((header + b"\n", header + b",")) else ""
    elif columns.is_file():
        with columns.open("rb") as file:
            ending = ".parquet" if file.read(4) == b"PAR1" else ""
    if not ending:
        return None
    return {table.name if ending == ".npz" else columns.name} | {name + ending for name in series}


def _export_npz(store: Store, folder: Path) -> tuple[str, ...]:
    with (folder / "clips.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        columns = _list_targets(store)
        has_speakers = any(clip.speaker for clip in store.clips)
        names = [name for _, _, names in columns for name in names]
        writer.writerow([*_HEADER, *(["speaker"] if has_speakers else []), *names])
        for clip in store.clips:
            speaker = [clip.speaker or ""] if has_speakers else []
            writer.writerow([*_csv_row(clip), *speaker, *_target_cells(clip, columns)])
    ids = np.array([clip.id for clip in store.clips])
    for name, meta in store.meta.series.items():
        series = store.series(name)
        arrays: dict[str, Any] = {"id": ids, "values": series.values, "length": series.lengths}
        if meta.feature_names is not None:
            arrays["values_cols"] = np.array(meta.feature_names)
        if meta.step_seconds is not None:
            arrays["step_seconds"] = np.float64(meta.step_seconds)
        if series.times is not None:
            arrays["times"] = series.times
        np.savez(folder / f"{name}.npz", **arrays)
    lost = ["known moments"] if any(clip.moments for clip in store.clips) else []
    if any(clip.words for clip in store.clips):
        lost.append("words with their times")
    return *lost, *_list_stated(store.meta.targets)


def _list_stated(targets: Sequence[Target]) -> Iterator[str]:
    """Yield what a table does not tell of targets: all but that emotion is one of its classes."""
    for target in targets:
        is_emotion = (target.name, target.kind) == (EMOTION, TargetKind.CLASS)
        if not (is_emotion and are_read_so(target.classes)):
            yield f"what {target.name} is (import it with {_state_target(target)})"


def _state_target(target: Target) -> str:
    """Return the option of ``mien import`` that states a target."""
    if target.scale is not None:
        low, high = (repr(float(end)).removesuffix(".0") for end in target.scale)
        stated = f"{low}:{high}"
    else:
        separator = "|" if target.kind is TargetKind.LABELS else ","
        # a list of one class ends in what would stand before the next
        stated = separator.join([*target.classes, *([""] if target.size == 1 else [])])
    return f"--target {shlex.quote(f'{target.name}={stated}')}"


def _list_targets(store: Store) -> list[tuple[str, Task, list[str]]]:
    """Return the columns of each target and task that is annotated, as ``mien import`` has them."""
    columns = []
    for target in store.meta.targets:
        for task in Task:
            if store.clips.have_target(target.name, task).any():
                stem = target.name if task is Task.FUSION else f"{target.name}_{task}"
                names = [f"{stem}:{name}" for name in target.classes] or [stem]
                columns.append((target.name, task, names))
    return columns


def _target_cells(clip: Clip, columns: list[tuple[str, Task, list[str]]]) -> Iterator[float | str]:
    for target, task, names in columns:
        yield from clip.targets.get(target, {}).get(task, [""] * len(names))


def _csv_row(clip: Clip) -> list[object]:
    video, _, name = clip.id.partition(ID_SEPARATOR)
    labels = [clip.labels.get(task, "") for task in _COLUMNS]
    times = ["" if time is None else time for time in (clip.start, clip.end)]
    return [video, name, clip.transcript, *labels, clip.split, *times]


def _export_parquet(store: Store, folder: Path) -> tuple[str, ...]:
    require("pyarrow", extra="extract")
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(_clip_columns(store, pa)), folder / "clips.parquet")
    for name in store.meta.series:
        _write_series(store, name, folder / f"{name}.parquet", pa, pq)
    return ("known moments",) if any(clip.moments for clip in store.clips) else ()


def _clip_columns(store: Store, pa: Any) -> dict[str, Any]:  # noqa: ANN401  # has no types
    word = pa.struct([("text", pa.string()), ("start", pa.float64()), ("end", pa.float64())])
    clips = store.clips
    columns = {
        "id": pa.array([clip.id for clip in clips], pa.string()),
        "video_id": pa.array([clip.video_id for clip in clips], pa.string()),
        "split": pa.array([clip.split for clip in clips], pa.string()),
        "text": pa.array([clip.transcript for clip in clips], pa.string()),
        "start": pa.array([clip.start for clip in clips], pa.float64()),
        "end": pa.array([clip.end for clip in clips], pa.float64()),
        "words": pa.array([[w._asdict() for w in clip.words] for clip in clips], pa.list_(word)),
    }
    for task, column in _COLUMNS.items():
        if task in store.meta.labels:
            columns[column] = pa.array([clip.labels.get(task) for clip in clips], pa.float64())
    if any(clip.speaker for clip in clips):
        columns["speaker"] = pa.array([clip.speaker for clip in clips], pa.string())
    for target, task, names in _list_targets(store):
        empty = [None] * len(names)
        values = [clip.targets.get(target, {}).get(task, empty) for clip in clips]
        for name, of_class in zip(names, zip(*values, strict=True), strict=True):
            columns[name] = pa.array(of_class, pa.float64())
    return columns


def _write_series(
    store: Store,
    name: str,
    path: Path,
    pa: Any,  # noqa: ANN401
    pq: Any,  # noqa: ANN401
) -> None:
    """Write a series with a row per step: ``id, step, time`` and a column per feature."""
    meta, series = store.meta.series[name], store.series(name)
    names = meta.feature_names or tuple(f"{name}_{number}" for number in range(meta.size))
    kind = pa.float32() if meta.dtype == "float32" else pa.int32()
    schema = pa.schema(
        [("id", pa.dictionary(pa.int32(), pa.string())), ("step", pa.int32())]
        + [("time", pa.float64())]
        + [(column, kind) for column in names],
        metadata={"extractor": meta.extractor},
    )
    ids = pa.array([clip.id for clip in store.clips], pa.string())
    with pq.ParquetWriter(path, schema) as writer:
        for first, stop in _group_clips(series):
            begin, end = series.offsets[first], series.offsets[stop]
            lengths = series.lengths[first:stop]
            rows = pa.array(np.repeat(np.arange(first, stop, dtype=np.int32), lengths))
            steps = np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])
            values = np.asarray(series.values[begin:end])
            times = pa.nulls(len(values), pa.float64())
            if series.times is not None:
                times = pa.array(np.asarray(series.times[begin:end]))
            columns = [pa.DictionaryArray.from_arrays(rows, ids), pa.array(steps), times]
            columns += [pa.array(np.ascontiguousarray(column)) for column in values.T]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _group_clips(series: Series) -> Iterator[tuple[int, int]]:
    """Yield runs of clips with about as many steps as a row group should have."""
    first = 0
    while first < len(series):
        target = series.offsets[first] + _GROUP
        stop = int(np.searchsorted(series.offsets, target, side="right")) - 1
        stop = min(max(stop, first + 1), len(series))
        yield first, stop
        first = stop
