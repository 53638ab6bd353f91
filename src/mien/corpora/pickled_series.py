"""Time series of a published feature pickle: their shapes, where each clip's steps lie, reading."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64, Num

from mien.corpora.pickled_array import MOST_CLIP_BYTES, FeatureFile, Identity, PickledArray
from mien.corpora.pickled_numpy import describe
from mien.errors import CorpusError, FeatureError
from mien.types import SeriesSource

__all__ = ["Spans", "Table", "make_features", "make_tokens", "read_masks", "read_numbers"]

logger = logging.getLogger(__name__)

#: Numbers that may stand in lists of Python numbers; arrays may hold any amount.
_MOST_LISTED = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A matrix per clip, still in the file.

    Attributes:
        where: File, split and key, for messages.
        value: One array of three axes, or a list with an array of two axes, or with lists of
            numbers, per clip.
        shapes: Rows and columns of each clip's matrix.
    """

    where: str
    value: PickledArray | Sequence[object]
    shapes: Int64[np.ndarray, "N 2"]

    @classmethod
    def make(cls, file: FeatureFile, value: object, count: int, where: str) -> "Table":
        """Check what the file has under a key.

        Args:
            file: The file.
            value: What it has.
            count: Clips of the split.
            where: File, split and key.

        Raises:
            CorpusError: If it is not numbers, or does not have the right number of axes or clips.
        """
        if isinstance(value, PickledArray):
            shape = _check_array(value, 3, where)
            found = shape[0]
        elif isinstance(value, list | tuple):
            shape, found = (), len(value)
        else:
            raise CorpusError(f"{where}: is {describe(value)}, must be an array or a list")
        if found != count:
            raise CorpusError(f"{where}: has {found} clips, the split has {count} ids")
        if isinstance(value, PickledArray):
            shapes = np.tile(np.array(shape[1:] if count else (0, 0), np.int64), (count, 1))
        else:
            shapes = _list_shapes(file, value, where)
        return cls(where=where, value=value, shapes=shapes)

    @property
    def is_ragged(self) -> bool:
        """Whether the clips are separate and differ in length, so none can be padded."""
        is_list = not isinstance(self.value, PickledArray)
        return is_list and len(set(self.shapes[:, 0].tolist())) > 1

    def read(self, file: FeatureFile) -> Iterator[Num[np.ndarray, "_ _"]]:
        """Read the matrices, one after the other."""
        if isinstance(self.value, PickledArray):
            yield from self.value.rows(file)
            return
        shapes = self.shapes.tolist()
        for clip, (item, (rows, columns)) in enumerate(zip(self.value, shapes, strict=True)):
            if not rows:
                yield np.empty((0, columns), np.float32)
            elif isinstance(item, PickledArray):
                yield item.load(file)
            else:
                yield _convert(file, item, (rows, columns), f"{self.where}: clip {clip}")


def _convert(
    file: FeatureFile, item: object, shape: tuple[int, int], where: str
) -> Float64[np.ndarray, "_ _"]:
    values = np.empty(shape, np.float64)
    for step, row in enumerate(item if isinstance(item, list | tuple) else ()):
        values[step] = read_numbers(file, row, shape[1], f"{where}: step {step}")
    return values


def _check_array(array: PickledArray, axes: int, where: str) -> tuple[int, ...]:
    if not array.is_built or len(array.shape) != axes or array.dtype.kind not in "fiu":
        raise CorpusError(f"{where}: is {describe(array)}, must have {axes} axes of numbers")
    size = array.clip_bytes if axes == 3 else array.clip_bytes * array.shape[0]
    if size > MOST_CLIP_BYTES:
        raise CorpusError(
            f"{where}: a clip has {size >> 20} MB, must have at most {MOST_CLIP_BYTES >> 20} MB"
        )
    return array.shape


def _list_shapes(
    file: FeatureFile, items: Sequence[object], where: str
) -> Int64[np.ndarray, "N 2"]:
    listed, in_arrays = 0, 0
    shapes = np.zeros((len(items), 2), np.int64)
    for number, item in enumerate(items):
        if isinstance(item, PickledArray):
            if item.is_built and item.shape == (0,):
                continue
            shapes[number] = _check_array(item, 2, f"{where}: clip {number}")
            in_arrays += item.payload.length
        else:
            shapes[number] = _check_lists(item, f"{where}: clip {number}")
            listed += int(shapes[number].sum() + shapes[number].prod())
        if listed > _MOST_LISTED or in_arrays > file.size + MOST_CLIP_BYTES:
            raise CorpusError(
                f"{where}: the clips are made of the same parts again and again, or of more than "
                f"{_MOST_LISTED} numbers in lists; save them as NumPy arrays"
            )
    return shapes


def _check_lists(item: object, where: str) -> tuple[int, int]:
    if not isinstance(item, list | tuple):
        raise CorpusError(f"{where}: is {describe(item)}, must be an array of two axes")
    if not item:
        return 0, 0
    first = item[0]
    if isinstance(first, PickledArray) and len(first.shape) == 1:
        columns = first.shape[0]
    elif isinstance(first, list | tuple):
        columns = len(first)
    else:
        raise CorpusError(f"{where}: a step is {describe(first)}, must be a list of numbers")
    if len(item) * max(1, columns) > _MOST_LISTED:
        raise CorpusError(f"{where}: has more than {_MOST_LISTED} numbers in lists; save an array")
    return len(item), columns


def read_numbers(
    file: FeatureFile, value: object, count: int, where: str
) -> Float64[np.ndarray, " _"]:
    """Read a list, or an array of one axis, of numbers.

    Args:
        file: The file.
        value: What the file has.
        count: How many numbers there must be.
        where: File, split and key.

    Raises:
        CorpusError: If it is something else, or has another length.
    """
    if isinstance(value, PickledArray):
        found = _check_array(value, 1, where)[0]
    elif isinstance(value, list | tuple):
        found = len(value)
    else:
        raise CorpusError(f"{where}: is {describe(value)}, must be a list of numbers")
    if found != count:
        raise CorpusError(f"{where}: has {found} values, must have {count}")
    if isinstance(value, PickledArray):
        return value.load(file).astype(np.float64)
    for number, one in enumerate(value):
        if not isinstance(one, int | float) or isinstance(one, bool):
            raise CorpusError(f"{where}: value {number} is {describe(one)}, must be a number")
    return np.array([float(one) for one in value], np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """Which steps of each clip are real.

    Attributes:
        starts: The first one.
        stops: The one after the last.
        kind: ``given``: a length that the file states; padding that stands in front all the same
            is seen and dropped. ``exact``: a mask, or series that were never padded. ``unknown``:
            nothing says it, so rows of zeros at either end are taken for padding.
    """

    starts: Int64[np.ndarray, " N"]
    stops: Int64[np.ndarray, " N"]
    kind: Literal["given", "exact", "unknown"]


def read_masks(file: FeatureFile, table: Table) -> Spans:
    """Read which steps are real from the second row of ``text_bert``, and check the token ids.

    Raises:
        CorpusError: If a clip has not three rows (ids, mask, segment), its mask is not one run of
            ones, or an id is not a whole number from 0.
    """
    starts = np.zeros(len(table.shapes), np.int64)
    stops = np.zeros(len(table.shapes), np.int64)
    for number, matrix in enumerate(table.read(file)):
        where = f"{table.where}: clip {number}"
        if len(matrix) != 3 and matrix.shape != (0, 0):
            raise CorpusError(
                f"{where}: has {len(matrix)} rows, must have 3: token ids, mask, segment"
            )
        real = np.flatnonzero(matrix[1]) if len(matrix) else np.empty(0, np.int64)
        if not real.size:
            continue
        start, stop = int(real[0]), int(real[-1]) + 1
        if stop - start != real.size or not (matrix[1][real] == 1).all():
            raise CorpusError(f"{where}: the mask (row 1) is not zeros around one run of ones")
        ids = matrix[0][start:stop].astype(np.float64)
        if not ((ids >= 0) & (ids < 2**31) & (ids == np.floor(ids))).all():
            raise CorpusError(f"{where}: the token ids (row 0) are not whole numbers from 0")
        starts[number], stops[number] = start, stop
    return Spans(starts=starts, stops=stops, kind="exact")


@dataclass(slots=True)
class _Count:
    """What was found in a pass over a series, to be said once at its end."""

    clips: int = 0
    not_finite: int = 0
    not_finite_clips: int = 0
    front_clips: int = 0
    scanned_clips: int = 0
    scanned_steps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """What is needed to read a series: the file, and the tables of the splits with their spans."""

    path: Path
    identity: Identity
    name: str
    size: int
    parts: tuple[tuple[Table, Spans], ...]

    def features(self) -> Iterator[Float32[np.ndarray, "_ _"]]:
        count = _Count()
        with FeatureFile(self.path, self.identity) as file:
            for table, spans in self.parts:
                steps = zip(spans.starts.tolist(), spans.stops.tolist(), strict=True)
                for values, (start, stop) in zip(table.read(file), steps, strict=True):
                    count.clips += 1
                    start, stop = _find_steps(values, start, stop, spans.kind, count)
                    yield self._clean(values[start:stop], count)
        self._report(count)

    def tokens(self) -> Iterator[Int32[np.ndarray, "_ 1"]]:
        with FeatureFile(self.path, self.identity) as file:
            for table, spans in self.parts:
                steps = zip(spans.starts.tolist(), spans.stops.tolist(), strict=True)
                for matrix, (start, stop) in zip(table.read(file), steps, strict=True):
                    ids = matrix[0, start:stop] if len(matrix) else np.empty(0)
                    yield ids.astype(np.int32)[:, np.newaxis]

    def _clean(self, values: Num[np.ndarray, "T _"], count: _Count) -> Float32[np.ndarray, "T _"]:
        if not len(values):
            return np.empty((0, self.size), np.float32)
        with np.errstate(over="ignore"):
            values = values.astype(np.float32)
        finite = np.isfinite(values)
        if not finite.all():
            count.not_finite += int(values.size - finite.sum())
            count.not_finite_clips += 1
            values[~finite] = 0
        return values

    def _report(self, count: _Count) -> None:
        where = f"{self.path.name}: {self.name}"
        if count.not_finite:
            logger.warning(
                "%s: %d values in %d of %d clips are infinite or not a number; they become 0",
                where,
                count.not_finite,
                count.not_finite_clips,
                count.clips,
            )
        if count.front_clips:
            logger.warning(
                "%s: %d of %d clips are padded in front, not at the end; their last steps are kept",
                where,
                count.front_clips,
                count.clips,
            )
        if count.scanned_clips:
            logger.warning(
                "%s: the file does not say how long clips are; %d rows of zeros at the ends of %d "
                "of %d clips are taken for padding",
                where,
                count.scanned_steps,
                count.scanned_clips,
                count.clips,
            )


def _find_steps(
    values: Num[np.ndarray, "_ _"], start: int, stop: int, kind: str, count: _Count
) -> tuple[int, int]:
    if kind == "given" and start == 0 < stop < len(values):
        padding = len(values) - stop
        if not values[:padding].any() and values[stop:].any():
            count.front_clips += 1
            return padding, len(values)
    if kind == "unknown":
        real = np.flatnonzero(values.any(axis=1))
        start, stop = (int(real[0]), int(real[-1]) + 1) if real.size else (0, 0)
        if stop - start < len(values):
            count.scanned_clips += 1
            count.scanned_steps += len(values) - stop + start
    return start, stop


def make_features(
    file: FeatureFile,
    name: str,
    extractor: str,
    parts: Sequence[tuple[Table, Spans]],
) -> SeriesSource:
    """Make the source of a series of features.

    Values that are infinite or no numbers become 0; each complete pass says once how many. So is
    said, once, how much padding was found by looking at values.

    Args:
        file: The file.
        name: Name of the series.
        extractor: What is known about where the values come from.
        parts: Table and real steps of each split.

    Raises:
        FeatureError: If the clips differ in the number of values per step, or it is 0.
    """
    size = _common_size(parts)
    path, identity = file.path, file.identity
    rest = _Pass(path=path, identity=identity, name=name, size=size, parts=tuple(parts))
    return SeriesSource(
        name=name, size=size, dtype="float32", extractor=extractor, read=rest.features
    )


def make_tokens(
    file: FeatureFile, extractor: str, parts: Sequence[tuple[Table, Spans]]
) -> SeriesSource:
    """Make the source of the token ids, from ``text_bert``."""
    path, identity = file.path, file.identity
    rest = _Pass(path=path, identity=identity, name="tokens", size=1, parts=tuple(parts))
    return SeriesSource(name="tokens", size=1, dtype="int32", extractor=extractor, read=rest.tokens)


def _common_size(parts: Sequence[tuple[Table, Spans]]) -> int:
    found: int | None = None
    for table, _ in parts:
        for number in np.flatnonzero(table.shapes[:, 0]).tolist():
            size = int(table.shapes[number, 1])
            found = size if found is None else found
            if size != found or not size:
                raise FeatureError(
                    f"{table.where}: clip {number} has {size} values per step, "
                    f"must be {found or 'at least 1'} as in the other clips"
                )
    if found is None:
        where = parts[0][0].where if parts else "the file"
        raise FeatureError(f"{where}: no clip has a step; a series needs at least one")
    return found
