"""A pickle of plain containers and NumPy arrays, written piece by piece.

The pickle module wants an array's bytes all at once, twice over. Here an array is a shape and an
iterator of rows: only one row is in memory. What is written needs nothing but NumPy to be loaded.

Source: the opcodes of protocol 4 are those that ``pickletools`` lists.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from jaxtyping import Shaped

__all__ = ["StreamedArray", "Value", "write_pickle"]


@dataclass(frozen=True, slots=True)
class StreamedArray:
    """An array that is written row by row.

    Attributes:
        shape: Its shape.
        dtype: A number type, little-endian, such as ``<f4``.
        rows: What its first axis holds, each of the remaining shape.
    """

    shape: tuple[int, ...]
    dtype: str
    rows: Iterable[Shaped[np.ndarray, "..."]]


Value = StreamedArray | str | int | float | Sequence[Any] | Mapping[str, Any]


def write_pickle(value: Value, file: IO[bytes]) -> None:
    """Write a value as a pickle of protocol 4.

    Raises:
        ValueError: If an array has other rows than its shape says.
    """
    file.write(b"\x80\x04")
    _write(value, file)
    file.write(b".")


def _write(value: Value, file: IO[bytes]) -> None:
    match value:
        case StreamedArray():
            _write_array(value, file)
        case str():
            _write_text(value, file)
        case int():
            _write_int(value, file)
        case float():
            file.write(b"G" + struct.pack(">d", value))
        case Mapping():
            file.write(b"}(")
            for key, item in value.items():
                _write_text(key, file)
                _write(item, file)
            file.write(b"u")
        case _:
            file.write(b"](")
            for item in value:
                _write(item, file)
            file.write(b"e")


def _write_text(text: str, file: IO[bytes]) -> None:
    encoded = text.encode("utf-8")
    file.write(b"X" + struct.pack("<I", len(encoded)) + encoded)


def _write_int(value: int, file: IO[bytes]) -> None:
    encoded = value.to_bytes(8, "little", signed=True)
    file.write(b"\x8a\x08" + encoded)


def _write_array(array: StreamedArray, file: IO[bytes]) -> None:
    """Write what ``ndarray.__reduce__`` says, with the bytes of the rows one after the other."""
    file.write(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R")
    file.write(b"(K\x01(")
    for size in array.shape:
        _write_int(size, file)
    file.write(b"t")
    dtype = np.dtype(array.dtype)
    kind = f"{dtype.kind}{dtype.itemsize}"
    file.write(b"cnumpy\ndtype\n")
    _write_text(kind, file)
    file.write(b"\x89\x88\x87R(K\x03")
    _write_text("<", file)
    file.write(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")
    size = int(np.prod(array.shape, dtype=np.int64)) * dtype.itemsize
    file.write(b"\x8e" + struct.pack("<Q", size))
    written = 0
    for row in array.rows:
        if row.shape != array.shape[1:]:
            raise ValueError(f"a row has shape {row.shape}, the array {array.shape}")
        block = np.ascontiguousarray(row, dtype).tobytes()
        file.write(block)
        written += len(block)
    if written != size:
        raise ValueError(f"rows have {written} bytes, the array of shape {array.shape} has {size}")
    file.write(b"tb")
