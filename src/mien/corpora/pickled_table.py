"""A matrix per clip of a feature pickle, in any of the forms in which files hold them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Num

from mien.corpora.feature_file import FeatureFile
from mien.corpora.pickled_array import MOST_CLIP_BYTES, PickledArray
from mien.corpora.pickled_numpy import describe
from mien.errors import CorpusError

__all__ = ["Table", "read_numbers"]

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
            _check_size(value.clip_bytes, where)
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
        wanted = f"{axes} axes" if axes > 1 else "one axis"
        raise CorpusError(f"{where}: is {describe(array)}, must have {wanted} of numbers")
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
        with np.errstate(invalid="ignore"):
            return value.load(file).astype(np.float64)
    for number, one in enumerate(value):
        if not isinstance(one, int | float) or isinstance(one, bool):
            raise CorpusError(f"{where}: value {number} is {describe(one)}, must be a number")
    return np.array([float(one) for one in value], np.float64)
