"""An npz file of numbers and text: the headers of its arrays first, the arrays when they are used.

Nothing in the file is ever unpickled.
"""

import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from mien.errors import FeatureError, list_some
from mien.files.reading import HEAD_SIZE, name_kind, open_regular

__all__ = ["LARGEST_PACKED", "ArrayHeader", "NpzFile", "open_npz"]

_SHOWN = 12
#: Bytes of the largest array that is read into memory.
_LARGEST = 4 << 30
#: Bytes of the largest array that may be packed more than so many times: an array of nothing but
#: zeros, by which a small file fills memory.
LARGEST_PACKED, _TIGHT = 256 << 20, 200
# What a file that is cut short, encrypted, packed in an unknown way, or not what its name says, can
# raise: readers of headers and unpackers have no error of their own.
_DAMAGE = (
    OSError, ValueError, EOFError, TypeError, OverflowError, MemoryError, RuntimeError,
    NotImplementedError, SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
    lzma.LZMAError, struct.error,
)  # fmt: skip


class ArrayHeader(NamedTuple):
    """What the header of an array says; the array itself is not read for it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def is_series(self) -> bool:
        """Whether it holds numbers with axes (clips or steps, features) or one more."""
        return self.dtype.kind in "fiu" and len(self.shape) in (2, 3)

    def __str__(self) -> str:
        """Return type and shape, as messages say them."""
        return f"{self.dtype}{list(self.shape)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NpzFile:
    """An npz file and the headers of its arrays.

    Attributes:
        path: The file.
        arrays: What is in it, by name.
    """

    path: Path
    arrays: Mapping[str, ArrayHeader]

    def load(self, key: str) -> Shaped[np.ndarray, "..."]:
        """Read one array."""
        return next(self.load_each([key]))

    def load_each(self, keys: Iterable[str]) -> Iterator[Shaped[np.ndarray, "..."]]:
        """Read arrays one after the other, opening the file once."""
        key = ""
        try:
            with (
                open_regular(self.path, FeatureError) as opened,
                np.load(opened, allow_pickle=False) as file,
            ):
                for key in keys:
                    yield np.asarray(file[key])
        except FeatureError:
            raise
        except _DAMAGE as error:
            raise FeatureError(f"{self.path}: array {key!r} cannot be read ({error})") from error

    def describe(self) -> str:
        """Return names and shapes of the arrays, for messages."""
        return list_some([f"{key} {array}" for key, array in self.arrays.items()], _SHOWN)


def open_npz(path: Path) -> NpzFile:
    """Read the headers of an npz file.

    Raises:
        FeatureError: If it is not an npz file, or holds Python objects.
    """
    try:
        with open_regular(path, FeatureError) as file, zipfile.ZipFile(file) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            arrays = {
                info.filename.removesuffix(".npy"): _read_header(archive, info, path)
                for info in members
            }
    except FeatureError:
        raise
    except _DAMAGE as error:
        kind = None if zipfile.is_zipfile(path) else _name_kind(path)
        reason = f"({error})" if kind is None else f"but {kind}"
        raise FeatureError(f"{path}: is not an npz file {reason}; np.savez makes one") from error
    if not arrays:
        raise FeatureError(f"{path}: holds no array; np.savez makes an npz file of some")
    for key, array in arrays.items():
        if array.dtype.hasobject:
            raise FeatureError(
                f"{path}: array {key!r} holds Python objects, which are never loaded; "
                "save numbers and text (dtype float32, str)"
            )
    return NpzFile(path=path, arrays=arrays)


def _name_kind(path: Path) -> str | None:
    with open_regular(path, FeatureError) as file:
        return name_kind(file.read(HEAD_SIZE))


def _read_header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> ArrayHeader:
    """Read the header of an array, and check what it promises against what is there.

    Raises:
        FeatureError: If the array would be larger than the file has bytes for it.
    """
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(member)
        begin = member.tell()
    promised = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and (promised > _LARGEST or promised != info.file_size - begin):
        raise FeatureError(
            f"{path}: array {info.filename.removesuffix('.npy')!r} promises {promised} bytes "
            f"({dtype}{list(shape)}), {info.file_size - begin} are there, and at most "
            f"{_LARGEST >> 30} GB are read; save it again"
        )
    if promised > max(LARGEST_PACKED, _TIGHT * info.compress_size):
        raise FeatureError(
            f"{path}: array {info.filename.removesuffix('.npy')!r} unpacks {info.compress_size} "
            f"bytes to {promised}, as a file does that is made to fill memory; save it without "
            "compression (np.savez)"
        )
    return ArrayHeader(shape, dtype)
