"""Arrays in files of NumPy's format, written so that an error says why."""

import mmap
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import Shaped

from mien.files.atomic import written_beside

__all__ = ["append_array", "release", "save_array", "write_array", "write_header"]


def write_array(path: Path, array: Shaped[np.ndarray, "..."]) -> None:
    """Write an array as ``np.save`` does, beside ``path`` and renamed."""
    with written_beside(path) as made, made.open("wb") as file:
        save_array(file, array)


def save_array(file: IO[bytes], array: Shaped[np.ndarray, "..."]) -> None:
    """Write the bytes of ``np.save``, whose own error does not give the reason of the disk."""
    write_header(file, array.dtype, array.shape)
    append_array(file, array)


def write_header(file: IO[bytes], dtype: np.dtype[Any] | str, shape: tuple[int, ...]) -> int:
    """Write the header of an npy file, and return how long it is.

    NumPy leaves room in it for the first axis to grow.
    """
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()


def append_array(file: IO[bytes], array: Shaped[np.ndarray, "..."]) -> None:
    """Write the values of an array, as ``ndarray.tofile`` does; errors keep their reason."""
    file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def release(array: Shaped[np.ndarray, "..."]) -> None:
    """Give back the memory into which parts of a mapped file were read; they can be read again.

    The system would do so only when memory is short, and until then the process seems to need as
    much as it has ever looked at. Does nothing to an array that is not mapped for reading alone,
    or where the system has no such call (Windows).
    """
    base: object = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(base, "madvise"):
        base.madvise(mmap.MADV_DONTNEED)
