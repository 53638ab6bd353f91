"""A user's npz file of features to a series, joined to the clips by id.

Four layouts are read; which one a file has is told by its arrays (N clips, S steps of all clips):

    id (N,), values (N, D)                   one vector per clip: a series of one step
    id (N,), values (S, D), length (N,)      all clips end to end
    id (N,), values (N, T, D), length (N,)   padded, at the end or in front
    CLIP (T, D), CLIP (T, D), ...            one array per clip, named by its id

``values`` may have any name: that of the modality, or one given as ``FILE.npz:NAME``. Names of the
features may stand beside it as ``NAME_cols`` (D,), and the time from one step to the next as
``step_seconds``.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int, Num, Shaped

from mien.corpora.npz_file import NpzFile, open_npz
from mien.corpora.padded_steps import PaddingFinder
from mien.errors import FeatureError
from mien.files.reading import show
from mien.types import ID_SEPARATOR, SeriesSource

__all__ = ["read_arrays"]

logger = logging.getLogger(__name__)

# What people call the array of a modality, first choice first.
_ALIASES = {
    "text": ("values", "text"),
    "audio": ("values", "audio"),
    "video": ("values", "video", "vision"),
}
_MOST_STEPS = 1 << 40
_WANTED = f"ids must be VIDEO{ID_SEPARATOR}CLIP, VIDEO_CLIP or the clip's name"


class _Join(NamedTuple):
    """Which rows of a file are the clips of a corpus.

    Attributes:
        ids: Ids of the clips.
        rows: Place of each clip among the ids of the file, None if it is not there.
        bounds: Begin and end of each id of the file.
    """

    ids: Sequence[str]
    rows: Sequence[int | None]
    bounds: Int[np.ndarray, "N 2"]


def read_arrays(features: Path, *, name: str, ids: Sequence[str]) -> SeriesSource:
    """Make a series of the clips ``ids`` from an npz file; its values are read when they are used.

    The ids of the file may be written ``VIDEO$_$CLIP``, ``VIDEO_CLIP``, or as the clip's own name
    where no other video has a clip of that name; the way that finds most clips is taken. A clip
    that the file does not have lacks this modality.

    Args:
        features: The file, or ``FILE.npz:NAME`` for one of several arrays in it.
        name: What the series is called: ``text``, ``audio`` or ``video``.
        ids: Ids of the clips, ``VIDEO$_$CLIP``.

    Raises:
        FeatureError: If the file has none of the layouts, or no clip of the corpus.
    """
    path, key = _split_key(features)
    file = open_npz(path)
    if "id" not in file.arrays:
        if key is not None:
            raise FeatureError(
                f"{path}: has no array 'id' that says which clip a row of {show(key)} is; "
                f"there are: {file.describe()}"
            )
        return _make_source_of_clips(file, name, ids)
    file_ids = _load_ids(file)
    lengths = _load_lengths(file, len(file_ids))
    key = _choose_key(file, name, lengths) if key is None else _check_key(file, key)
    rows = _join(file_ids, ids, f"{path}:{key}", name)
    if rows is None:
        raise FeatureError(
            f"{path}: no id is a clip of the corpus (one of {len(file_ids)} ids is "
            f"{_first(file_ids)}, "
            f"one of {len(ids)} clips is {_first(ids)}); {_WANTED}"
        )
    return _make_source(
        file, key, name, _Join(ids=ids, rows=rows, bounds=_find_bounds(file, key, lengths))
    )


def _split_key(features: Path) -> tuple[Path, str | None]:
    """Split ``FILE.npz:NAME``; a colon elsewhere belongs to the path."""
    if not features.exists():
        before, separator, key = str(features).rpartition(".npz:")
        if separator and key:
            return Path(f"{before}.npz"), key
    return features, None


def _choose_key(file: NpzFile, name: str, lengths: Int[np.ndarray, " N"]) -> str:
    """Return the array named like the modality, else the only one that can be meant.

    Raises:
        FeatureError: If there is none, or more than one.
    """
    series = {key: array for key, array in file.arrays.items() if array.is_series}
    for alias in _ALIASES[name]:
        if alias in series:
            return alias
    rows = {2: {len(lengths), int(lengths.sum())}, 3: {len(lengths)}}
    fitting = [key for key, (shape, _) in series.items() if shape[0] in rows[len(shape)]]
    if len(fitting) != 1:
        which = f"{len(fitting)} arrays" if fitting else "no array"
        raise FeatureError(
            f"{file.path}: {which} can be the features of {name} (there are: {file.describe()}); "
            f"name one: {name}={file.path.name}:NAME"
        )
    return fitting[0]


def _check_key(file: NpzFile, key: str) -> str:
    if key not in file.arrays:
        raise FeatureError(f"{file.path}: has no array {show(key)}; there are: {file.describe()}")
    array = file.arrays[key]
    if not array.is_series:
        raise FeatureError(
            f"{file.path}: array {show(key)} is {array}, must be numbers with 2 axes (clips or "
            "steps, features) or 3 (clips, steps, features)"
        )
    return key


def _load_ids(file: NpzFile) -> list[str]:
    if file.arrays["id"].dtype.kind not in "US" or len(file.arrays["id"].shape) != 1:
        raise FeatureError(f"{file.path}: array 'id' is {file.arrays['id']}, must be text [N]")
    ids = file.load("id")
    names = _as_texts(ids, f"{file.path}: array 'id'")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise FeatureError(f"{file.path}: id {show(twice[0])} occurs twice; ids must be unique")
    return names


def _as_texts(values: Shaped[np.ndarray, " N"], where: str) -> list[str]:
    """Return texts; bytes are UTF-8, as in files of other programs.

    Raises:
        FeatureError: If one is not.
    """
    texts = []
    for number, value in enumerate(values.tolist()):
        try:
            texts.append(value.decode("utf-8") if isinstance(value, bytes) else str(value))
        except UnicodeDecodeError as error:
            raise FeatureError(
                f"{where}: value {number} is {value[:40]!r}, which is not UTF-8; save it as str"
            ) from error
    return texts


def _join(
    file_ids: Sequence[str], ids: Sequence[str], where: str, name: str
) -> list[int | None] | None:
    """Return for each clip its row in ``file_ids``, or None; None for all if no clip is there."""
    indices = [{file_id: row for row, file_id in enumerate(file_ids)}]
    integers = [file_id.removesuffix(".0") for file_id in file_ids]  # pandas has made 1.0 of 1
    if len(set(integers)) == len(file_ids):
        indices.append({file_id: row for row, file_id in enumerate(integers)})
    ways = [
        [rows.get(clip_id) for clip_id in spelled]
        for spelled in _spellings(ids)
        for rows in indices
    ]
    best = max(ways, key=_count)
    if not _count(best):
        return None
    missing, unused = len(ids) - _count(best), len(file_ids) - _count(best)
    logger.info("%s: %s of %d clips", where, name, _count(best))
    if missing:
        logger.warning("%s: %d of %d clips have no %s", where, missing, len(ids), name)
    if unused:
        logger.info("%s: %d of %d ids are not in the corpus", where, unused, len(file_ids))
    return best


def _spellings(ids: Sequence[str]) -> Iterator[list[str]]:
    """Yield the ids in each way of writing them that keeps clips apart."""
    yield list(ids)
    joined = [clip_id.replace(ID_SEPARATOR, "_", 1) for clip_id in ids]
    alone = [clip_id.partition(ID_SEPARATOR)[2] for clip_id in ids]
    yield from (spelled for spelled in (joined, alone) if len(set(spelled)) == len(ids))


def _count(rows: Sequence[int | None]) -> int:
    return sum(row is not None for row in rows)


def _first(names: Sequence[str]) -> str:
    return show(names[0]) if names else "none"


def _make_source(file: NpzFile, key: str, name: str, join: _Join) -> SeriesSource:
    size = file.arrays[key].shape[-1]
    names = _load_feature_names(file, key, name, size)
    loaded: list[Num[np.ndarray, ...]] = []

    def read() -> Iterator[Float32[np.ndarray, "_ _"]]:
        if not loaded:
            loaded.append(file.load(key))
        values, padded = loaded[0], PaddingFinder()
        for number, (clip, row) in enumerate(zip(join.ids, join.rows, strict=True)):
            series = np.zeros((0, size), np.float32)
            if row is not None:
                begin, end = join.bounds[row].tolist()
                steps = values
                if values.ndim == 3:
                    steps = values[row]
                    begin, end = padded.find(steps, end)
                series = steps[begin:end]
            if number == len(join.ids) - 1:
                padded.report(f"{file.path}:{key}", len(join.ids))
            yield _check_finite(series, f"{file.path}:{key}: clip {show(clip)}", names)

    return SeriesSource(
        name=name,
        size=size,
        dtype="float32",
        extractor=f"{file.path.name}:{key}",
        read=read,
        feature_names=names,
        step_seconds=_load_step_seconds(file),
    )


def _find_bounds(file: NpzFile, key: str, lengths: Int[np.ndarray, " N"]) -> Int[np.ndarray, "N 2"]:
    """Return where each clip begins and ends: along the first axis, or along the padded one."""
    shape, num_ids = file.arrays[key].shape, len(lengths)
    if len(shape) == 3:
        _check_padded(file, key, lengths)
        return np.stack([np.zeros_like(lengths), lengths], axis=1)
    if "length" in file.arrays and lengths.sum() == shape[0]:
        ends = np.cumsum(lengths)
        return np.stack([ends - lengths, ends], axis=1)
    if shape[0] == num_ids:
        ends = np.arange(1, num_ids + 1)
        return np.stack([ends - 1, ends], axis=1)
    wanted = f"{num_ids} (one a clip)"
    wanted += f" or {lengths.sum()} (the sum of 'length')" if "length" in file.arrays else ""
    raise FeatureError(f"{file.path}: array {show(key)} has {shape[0]} rows, must have {wanted}")


def _check_padded(file: NpzFile, key: str, lengths: Int[np.ndarray, " N"]) -> None:
    num_ids, num_steps, _ = file.arrays[key].shape
    if "length" not in file.arrays:
        raise FeatureError(
            f"{file.path}: array {show(key)} is padded {file.arrays[key]}; "
            "needs an array 'length' with the steps of each clip"
        )
    if num_ids != len(lengths):
        raise FeatureError(
            f"{file.path}: array {show(key)} has {num_ids} clips, 'id' has {len(lengths)}"
        )
    if lengths.max(initial=0) > num_steps:
        raise FeatureError(
            f"{file.path}: 'length' goes up to {lengths.max()}, "
            f"array {show(key)} has {num_steps} steps a clip"
        )


def _load_lengths(file: NpzFile, num_ids: int) -> Int[np.ndarray, " N"]:
    """Return the steps of each clip; one where the file does not say."""
    if "length" not in file.arrays:
        return np.ones(num_ids, np.int64)
    lengths = file.load("length")
    is_wrong = lengths.dtype.kind not in "iu" or lengths.shape != (num_ids,)
    if is_wrong or (lengths < 0).any() or (lengths > _MOST_STEPS).any():
        raise FeatureError(
            f"{file.path}: array 'length' is {file.arrays['length']}, must be {num_ids} whole "
            "numbers from 0, one an id"
        )
    steps: Int[np.ndarray, " N"] = lengths.astype(np.int64)
    return steps


def _load_feature_names(file: NpzFile, key: str, name: str, size: int) -> tuple[str, ...] | None:
    for candidate in (f"{key}_cols", f"{name}_cols"):
        if candidate not in file.arrays:
            continue
        array = file.arrays[candidate]
        if array.shape == (size,) and array.dtype.kind in "US":
            return tuple(_as_texts(file.load(candidate), f"{file.path}: array {show(candidate)}"))
        logger.warning(
            "%s: %s is %s and does not name the %d features; they stay unnamed",
            file.path, candidate, array, size,
        )  # fmt: skip
    return None


def _load_step_seconds(file: NpzFile) -> float | None:
    array = file.arrays.get("step_seconds")
    if array is None:
        return None
    if array.shape != () or array.dtype.kind not in "fiu":
        raise FeatureError(f"{file.path}: step_seconds is {array}, must be one number")
    seconds = float(file.load("step_seconds"))
    if not 0 < seconds < float("inf"):
        raise FeatureError(f"{file.path}: step_seconds is {seconds!r}, must be above 0")
    return seconds


def _make_source_of_clips(file: NpzFile, name: str, ids: Sequence[str]) -> SeriesSource:
    """Make a series from a file with one array per clip."""
    keys = list(file.arrays)
    rows = _join(keys, ids, str(file.path), name)
    if rows is None:
        raise FeatureError(
            f"{file.path}: has no array 'id', and no array has the name of a clip (one of "
            f"{len(keys)} arrays is {_first(keys)}, one of {len(ids)} clips is {_first(ids)}); "
            f"{_WANTED}"
        )
    used = [keys[row] for row in rows if row is not None]
    size = _common_size(file, used)

    def read() -> Iterator[Float32[np.ndarray, "_ _"]]:
        arrays = file.load_each(used)
        for clip, row in zip(ids, rows, strict=True):
            if row is None:
                yield np.zeros((0, size), np.float32)
            else:
                yield _check_finite(next(arrays), f"{file.path}: clip {show(clip)}", None)

    return SeriesSource(
        name=name,
        size=size,
        dtype="float32",
        extractor=file.path.name,
        read=read,
        step_seconds=None,
    )


def _common_size(file: NpzFile, keys: Sequence[str]) -> int:
    size = file.arrays[keys[0]].shape[-1:]
    for key in keys:
        array = file.arrays[key]
        if not array.is_series or len(array.shape) != 2:
            raise FeatureError(
                f"{file.path}: array {show(key)} is {array}, must be numbers (steps, features)"
            )
        if array.shape[-1:] != size:
            raise FeatureError(
                f"{file.path}: array {show(key)} has {array.shape[-1]} features, "
                f"{show(keys[0])} has {size[0]}; all clips must have the same"
            )
    return size[0]


def _check_finite(
    values: Num[np.ndarray, "T D"], where: str, names: Sequence[str] | None
) -> Float32[np.ndarray, "T D"]:
    """Return the values as float32; what does not fit into it counts as infinite."""
    with np.errstate(over="ignore"):
        converted = values.astype(np.float32)
    is_bad = ~np.isfinite(converted)
    if is_bad.any():
        step, feature = np.argwhere(is_bad)[0]
        called = f" ({names[feature]})" if names else ""
        raise FeatureError(
            f"{where}: value at step {step}, feature {feature}{called} is "
            f"{values[step, feature].item()!r}, must be a finite float32; fix the extractor, "
            "or leave the clip out of the file"
        )
    return converted
