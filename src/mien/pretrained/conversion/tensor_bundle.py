"""Checkpoints in TensorFlow's tensor-bundle format, read without TensorFlow.

``PREFIX.index`` is a sorted string table as LevelDB writes them: blocks of entries whose keys share
prefixes, each block followed by a byte that names its compression and by a checksum; a block that
lists the blocks; 48 bytes at the end that say where that list is. The entry with the empty key
describes the bundle, every other one a variable, both as protocol buffers. The values lie in
``PREFIX.data-00000-of-00001`` and so on.

Every number that is read is held against the size of what it points into before anything is
allocated, and every checksum is compared, those of the values included.

Source: LevelDB, ``doc/table_format.md``; TensorFlow, ``core/protobuf/tensor_bundle.proto``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mien.errors import AssetError
from mien.files.reading import open_regular
from mien.pretrained.conversion.checksum import crc32c, unmask

__all__ = ["TensorBundle", "Variable"]

_MAGIC = 0xDB4775248B80FB57
_FOOTER_SIZE = 48
_TRAILER_SIZE = 5
# Far above what a checkpoint of BERT has (60 kB, 1200 variables), and small enough for any machine.
_MOST_INDEX_BYTES = 1 << 24
_MOST_ENTRIES = 100_000
_MOST_KEY_BYTES = 1024
_MOST_SHARDS = 1 << 16
_COMPRESSIONS = {0: "none", 1: "snappy"}
#: Types of TensorFlow, ``core/framework/types.proto``, that hold weights.
_DTYPES: dict[int, np.dtype[np.floating]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    19: np.dtype("<f2"),
}


class _MalformedError(ValueError):
    """A length or a number that cannot be; the bundle adds the file's name to it."""


class Variable(NamedTuple):
    """Where the values of a variable are.

    Attributes:
        dtype: Number of their type in TensorFlow.
        shape: Shape of the variable.
        shard: Number of the file.
        offset: First byte in it.
        size: Number of bytes.
        checksum: Masked CRC-32C of the bytes.
        is_partitioned: Whether it was saved in several slices.
    """

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int
    is_partitioned: bool


@dataclass(frozen=True)
class TensorBundle:
    """A checkpoint on disk.

    Attributes:
        prefix: Path of its files up to ``.index``.
    """

    prefix: Path

    @cached_property
    def variables(self) -> Mapping[str, Variable]:
        """What is in it, by name.

        Raises:
            AssetError: If the index cannot be read or is damaged.
        """
        return self._contents[1]

    @property
    def num_shards(self) -> int:
        """Number of files over which the values are spread."""
        return self._contents[0]

    @cached_property
    def _contents(self) -> tuple[int, Mapping[str, Variable]]:
        path = _beside(self.prefix, ".index")
        try:
            with open_regular(path, AssetError) as file:
                content = file.read(_MOST_INDEX_BYTES + 1)
            if len(content) > _MOST_INDEX_BYTES:
                raise AssetError(f"{path}: is not the index of a checkpoint: it is too large")
            table = _read_table(memoryview(content))
            entries = dict(islice(table, _MOST_ENTRIES))
            num_shards = _read_header(entries.pop(b"", memoryview(b"")))
            return num_shards, {k.decode(): _read_entry(v) for k, v in entries.items()}
        except OSError as error:
            raise AssetError(
                f"{path}: cannot be read ({error.strerror}); check the path"
            ) from error
        except (_MalformedError, UnicodeDecodeError) as error:
            raise AssetError(f"{path}: is damaged, or not a plain index: {error}") from error

    def read(self, name: str) -> Float[np.ndarray, "..."]:
        """Return the values of a variable.

        Raises:
            AssetError: If it is not there, is no weight, or its bytes are missing or damaged.
        """
        if name not in self.variables:
            raise AssetError(f"{self.prefix}: has no variable {name!r}")
        variable = self.variables[name]
        shard = f".data-{variable.shard:05d}-of-{self.num_shards:05d}"
        path = _beside(self.prefix, shard)
        where = f"{path}: variable {name!r}"
        self._check(variable, where)
        try:
            with open_regular(path, AssetError) as file:
                end = variable.offset + variable.size
                if end > (size := file.seek(0, 2)):
                    raise AssetError(
                        f"{where} ends at byte {end}, the file at {size}; get it again"
                    )
                file.seek(variable.offset)
                data = file.read(variable.size)
        except OSError as error:
            raise AssetError(
                f"{path}: cannot be read ({error.strerror}); check the path"
            ) from error
        if crc32c(data) != unmask(variable.checksum):
            raise AssetError(f"{where}: its checksum is wrong; the file is damaged, get it again")
        return np.frombuffer(data, dtype=_DTYPES[variable.dtype]).reshape(variable.shape)

    def _check(self, variable: Variable, where: str) -> None:
        if variable.is_partitioned:
            raise AssetError(f"{where}: was saved in slices, which cannot be read here")
        dtype = _DTYPES.get(variable.dtype)
        if dtype is None:
            raise AssetError(
                f"{where}: has values of TensorFlow's type {variable.dtype}, must be 1, 2 or 19 "
                "(float, double, half)"
            )
        if variable.size != prod(variable.shape) * dtype.itemsize:
            raise AssetError(
                f"{where}: has {variable.size} bytes for shape {variable.shape} of {dtype}"
            )
        if not 0 <= variable.shard < self.num_shards:
            raise AssetError(f"{where}: is in shard {variable.shard} of {self.num_shards}")


def _beside(prefix: Path, ending: str) -> Path:
    return prefix.with_name(prefix.name + ending)


# --- the sorted string table ----------------------------------------------------------------------


def _read_table(table: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield keys and values."""
    if len(table) < _FOOTER_SIZE:
        raise _MalformedError(f"it has {len(table)} bytes")
    footer = table[-_FOOTER_SIZE:]
    if int.from_bytes(footer[-8:], "little") != _MAGIC:
        raise _MalformedError("it does not end like an index")
    _, after_metaindex = _read_handle(footer, 0)
    (offset, size), _ = _read_handle(footer, after_metaindex)
    end = 0
    for _, value in _read_block(table, offset, size):
        (offset, size), _ = _read_handle(value, 0)
        if offset < end:
            raise _MalformedError(f"the blocks at {offset} and before overlap")
        end = offset + size
        yield from _read_block(table, offset, size)


def _read_handle(data: memoryview, position: int) -> tuple[tuple[int, int], int]:
    offset, position = _read_varint(data, position)
    size, position = _read_varint(data, position)
    return (offset, size), position


def _read_block(table: memoryview, offset: int, size: int) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the entries of a block, after comparing its checksum."""
    end = offset + size
    if end + _TRAILER_SIZE + _FOOTER_SIZE > len(table) or size < 4:
        raise _MalformedError(f"a block of {size} bytes at {offset} does not fit into it")
    compression = table[end]
    stored = int.from_bytes(table[end + 1 : end + _TRAILER_SIZE], "little")
    if crc32c(table[offset : end + 1]) != unmask(stored):
        raise _MalformedError(f"the checksum of the block at {offset} is wrong")
    if compression != 0:
        name = _COMPRESSIONS.get(compression, f"number {compression}")
        raise _MalformedError(f"the block at {offset} is compressed ({name}), must be plain")
    yield from _read_entries(table[offset:end])


def _read_entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    num_restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 - 4 * num_restarts
    if end < 0:
        raise _MalformedError(f"a block has {num_restarts} restarts in {len(block)} bytes")
    block, position, key = block[:end], 0, b""
    while position < end:
        num_shared, position = _read_varint(block, position)
        num_own, position = _read_varint(block, position)
        num_value, position = _read_varint(block, position)
        if num_shared > len(key) or num_own + num_value > end - position:
            raise _MalformedError("an entry reaches beyond its block")
        if num_shared + num_own > _MOST_KEY_BYTES:
            raise _MalformedError(f"a name has {num_shared + num_own} bytes")
        key = key[:num_shared] + bytes(block[position : position + num_own])
        position += num_own + num_value
        yield key, block[position - num_value : position]


# --- protocol buffers -----------------------------------------------------------------------------


def _read_varint(data: memoryview, position: int) -> tuple[int, int]:
    """Return a number of up to 64 bits in groups of seven, lowest first, and what follows it."""
    number = 0
    for shift, byte in enumerate(data[position : position + 10]):
        number |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return number % (1 << 64), position + shift + 1
    raise _MalformedError("a number does not end")


def _read_fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the numbers and values of a message's fields: integers, or bytes."""
    position = 0
    while position < len(message):
        tag, position = _read_varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value, position = _read_varint(message, position)
            yield number, value
            continue
        if wire_type == 2:
            size, position = _read_varint(message, position)
        elif wire_type in (1, 5):
            size = 8 if wire_type == 1 else 4
        else:
            raise _MalformedError(f"a field has wire type {wire_type}")
        if size > len(message) - position:
            raise _MalformedError("a field reaches beyond its message")
        content = message[position : position + size]
        position += size
        yield number, content if wire_type == 2 else int.from_bytes(content, "little")


def _as_signed(value: int | memoryview) -> int:
    """Return an integer field, which is signed."""
    if not isinstance(value, int):
        raise _MalformedError("a field that must be a number is not")
    return value - (1 << 64) if value >= 1 << 63 else value


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise _MalformedError("a field that must be a message is a number")
    return value


def _read_header(message: memoryview) -> int:
    """Return the number of shards of a ``BundleHeaderProto``."""
    fields = dict(_read_fields(message))
    num_shards, endianness = (_as_signed(fields.get(number, 0)) for number in (1, 2))
    if not 1 <= num_shards <= _MOST_SHARDS:
        raise _MalformedError(f"it mentions {num_shards} data files")
    if endianness != 0:
        raise _MalformedError("it was written on a big-endian machine, which cannot be read here")
    return num_shards


def _read_entry(message: memoryview) -> Variable:
    """Return what a ``BundleEntryProto`` says."""
    numbers = dict.fromkeys((1, 3, 4, 5, 6), 0)
    shape: tuple[int, ...] = ()
    is_partitioned = False
    for number, value in _read_fields(message):
        if number in numbers:
            numbers[number] = _as_signed(value)
        elif number == 2:
            shape = tuple(_read_shape(_message(value)))
        elif number == 7:
            is_partitioned = True
    dtype, shard, offset, size, checksum = numbers.values()
    if offset < 0 or size < 0:
        raise _MalformedError(f"a variable has {size} bytes at {offset}")
    return Variable(dtype, shape, shard, offset, size, checksum, is_partitioned)


def _read_shape(message: memoryview) -> Iterator[int]:
    """Yield the sizes of a ``TensorShapeProto``."""
    for number, value in _read_fields(message):
        if number == 2:
            size = _as_signed(dict(_read_fields(_message(value))).get(1, 0))
            if size < 0:
                raise _MalformedError(f"a variable has an axis of {size}")
            yield size
