"""An npz file of numbers and text: the headers of its arrays first, the arrays when they are used.

Nothing in the file is ever unpickled.
"""

import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from mien.errors import FeatureError

__all__ = ["ArrayHeader", "NpzFile", "open_npz"]

_SHOWN = 12
# What a file that is cut short, or not what its name says, can raise.
_DAMAGE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


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
            with np.load(self.path, allow_pickle=False) as file:
                for key in keys:
                    yield np.asarray(file[key])
        except _DAMAGE as error:
            raise FeatureError(f"{self.path}: array {key!r} cannot be read ({error})") from error

    def describe(self) -> str:
        """Return names and shapes of the arrays, for messages."""
        shown = [f"{key} {array}" for key, array in list(self.arrays.items())[:_SHOWN]]
        left = len(self.arrays) - len(shown)
        return ", ".join(shown) + (f" and {left} more" if left else "")


def open_npz(path: Path) -> NpzFile:
    """Read the headers of an npz file.

    Raises:
        FeatureError: If it is not an npz file, or holds Python objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            arrays = {name.removesuffix(".npy"): _read_header(archive, name) for name in names}
    except FileNotFoundError:
        raise FeatureError(f"{path}: is not there; check the path") from None
    except _DAMAGE as error:
        raise FeatureError(f"{path}: is not an npz file ({error}); np.savez makes one") from error
    for key, array in arrays.items():
        if array.dtype.hasobject:
            raise FeatureError(
                f"{path}: array {key!r} holds Python objects, which are never loaded; "
                "save numbers and text (dtype float32, str)"
            )
    return NpzFile(path=path, arrays=arrays)


def _read_header(archive: zipfile.ZipFile, name: str) -> ArrayHeader:
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(member)
    return ArrayHeader(shape, dtype)
