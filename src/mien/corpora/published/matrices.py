"""A matrix per clip of a feature pickle, in any of the forms in which files hold them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64, Num

from mien.corpora.safe_pickle.descriptions import advise, describe
from mien.corpora.safe_pickle.feature_file import FeatureFile
from mien.corpora.safe_pickle.lazy_array import MOST_CLIP_BYTES, PickledArray, decode_fixed
from mien.errors import CorpusError

__all__ = ["Table", "as_items", "read_numbers", "squeeze"]

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
        if isinstance(value, PickledArray) and value.dtype.kind == "O" and value.is_built:
            value = _nest(value.items, value.shape)
        if isinstance(value, PickledArray):
            shape = _check_array(value, 3, where)
            _check_size(value.clip_bytes, where)
            num_clips = shape[0]
        elif isinstance(value, list | tuple):
            shape, num_clips = (), len(value)
        else:
            raise CorpusError(
                f"{where}: is {describe(value)}, must be an array or a list{advise(value)}"
            )
        if num_clips != count:
            raise CorpusError(f"{where}: has {num_clips} clips, the split has {count} ids")
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
            elif isinstance(item, PickledArray) and item.dtype.kind != "O":
                yield item.load(file)
            else:
                yield _convert(file, item, (rows, columns), f"{self.where}: clip {clip}")


def _convert(
    file: FeatureFile, item: object, shape: tuple[int, int], where: str
) -> Float64[np.ndarray, "_ _"]:
    values = np.empty(shape, np.float64)
    if isinstance(item, PickledArray):
        item = _nest(item.items, item.shape)
    for step, row in enumerate(item if isinstance(item, list | tuple) else ()):
        values[step] = read_numbers(file, row, shape[1], f"{where}: step {step}")
    return values


def _check_array(array: PickledArray, axes: int, where: str) -> tuple[int, ...]:
    if not array.is_built or len(array.shape) != axes or array.dtype.kind not in "fiub":
        expected = f"{axes} axes" if axes > 1 else "one axis"
        raise CorpusError(
            f"{where}: is {describe(array)}, must have {expected} of numbers{advise(array)}"
        )
    return array.shape


def _check_size(count: int, where: str) -> None:
    if count > MOST_CLIP_BYTES:
        raise CorpusError(
            f"{where}: a clip has {count >> 20} MB, must have at most {MOST_CLIP_BYTES >> 20} MB"
        )


def _list_shapes(
    file: FeatureFile, items: Sequence[object], where: str
) -> Int64[np.ndarray, "N 2"]:
    listed, in_arrays = 0, 0
    shapes = np.zeros((len(items), 2), np.int64)
    for number, item in enumerate(items):
        if isinstance(item, PickledArray) and item.dtype.kind == "O" and item.is_built:
            item = _nest(item.items, item.shape)
        if _is_missing(item):
            continue  # a clip without this modality, as tables write it
        if isinstance(item, PickledArray):
            if item.is_built and item.shape == (0,):
                continue
            shapes[number] = _check_array(item, 2, f"{where}: clip {number}")
            _check_size(item.payload.length, f"{where}: clip {number}")
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
        raise CorpusError(
            f"{where}: is {describe(item)}, must be an array of two axes{advise(item)}"
        )
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


def squeeze(value: object, axes: int) -> object:
    """Drop axes of one value behind the first ones, as in labels of shape (N, 1, 1)."""
    if not isinstance(value, PickledArray):
        return value
    shape = value.shape
    while len(shape) > axes and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == len(value.shape) or len(shape) != 1:
        return value
    return replace(value, shape=shape, stored=shape, axes=(0,))


def as_items(file: FeatureFile, value: object) -> Sequence[object]:
    """Return the values of a list, or of an array that is not large, in C order."""
    if not isinstance(value, PickledArray):
        return value if isinstance(value, list | tuple) else ()
    if value.dtype.kind == "O" or not value.is_built:
        return value.items
    if value.dtype.kind in "US":
        count, size = math.prod(value.shape), value.dtype.itemsize
        raw = np.ascontiguousarray(value.load(file)).reshape(-1).view(np.uint8) if size else b""
        return [
            decode_fixed(bytes(raw[i * size : (i + 1) * size]), value.dtype) for i in range(count)
        ]
    return list(value.load(file).ravel().tolist())


def _nest(items: Sequence[object], shape: tuple[int, ...]) -> Sequence[object]:
    """Return the values of an array of objects as lists of lists."""
    if len(shape) < 2:
        return items
    step = math.prod(shape[1:])
    return [_nest(items[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0])]


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def read_numbers(
    file: FeatureFile, value: object, count: int, where: str, *, may_lack: bool = False
) -> Float64[np.ndarray, " _"]:
    """Read a list, or an array of one axis, of numbers; axes of one value behind it are dropped.

    Args:
        file: The file.
        value: What the file has.
        count: How many numbers there must be.
        where: File, split and key.
        may_lack: Whether None stands for a number that is not there; it becomes NaN.

    Raises:
        CorpusError: If it is something else, or has another length.
    """
    value = squeeze(value, 1)
    if isinstance(value, PickledArray) and value.dtype.kind == "O" and len(value.shape) == 1:
        value = value.items
    if isinstance(value, PickledArray):
        length = _check_array(value, 1, where)[0]
    elif isinstance(value, list | tuple):
        length = len(value)
    else:
        raise CorpusError(
            f"{where}: is {describe(value)}, must be a list of numbers{advise(value)}"
        )
    if length != count:
        raise CorpusError(f"{where}: has {length} values, must have {count}")
    if isinstance(value, PickledArray):
        with np.errstate(invalid="ignore"):
            return value.load(file).astype(np.float64)
    if all(type(item) in (int, float) for item in value):
        return np.array(value, np.float64)
    return np.array([_number_of(file, item, k, where, may_lack) for k, item in enumerate(value)])


def _number_of(
    file: FeatureFile,
    value: object,
    number: int,
    where: str,
    may_lack: bool,  # noqa: FBT001  # handed on
) -> float:
    """Return a number that stands in a list, also as an array or a list of one value."""
    while isinstance(value, list | tuple | PickledArray):
        if isinstance(value, PickledArray) and math.prod(value.shape) != 1:
            break
        items = as_items(file, value)
        if len(items) != 1:
            break
        value = items[0]
    if may_lack and value is None:
        return math.nan
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise CorpusError(
            f"{where}: value {number} is {describe(value)}, must be a number{advise(value)}"
        )
    return float(value)
