"""Arrays that stay in the file they are pickled in, and are read a few clips at a time."""

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Shaped, UInt8

from mien.corpora.safe_pickle.feature_file import FeatureFile
from mien.corpora.safe_pickle.names import Opaque
from mien.errors import CorpusError
from mien.files.reading import replace_halves

__all__ = [
    "BLOCK",
    "LATIN1_BLOCK",
    "MOST_CLIP_BYTES",
    "MOST_TEXT_BYTES",
    "STRIDED_BLOCK",
    "FileBytes",
    "Latin1Bytes",
    "LongText",
    "MemoryBytes",
    "Payload",
    "PickledArray",
    "decode_fixed",
    "decode_text",
    "text_of",
]

#: The largest clip that is read; the largest published ones have about 0.2 MB.
MOST_CLIP_BYTES = 128 << 20

#: The longest text that is read.
MOST_TEXT_BYTES = 1 << 20

#: Bytes that are read at a time: of an array whose clips follow each other; of one whose clips
#: are gathered from all over the file; of one that is kept as Latin-1 text.
BLOCK, STRIDED_BLOCK, LATIN1_BLOCK = 8 << 20, 64 << 20, 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBytes:
    """Bytes that lie in the file as they are.

    Attributes:
        offset: Where they begin.
        length: How many there are.
    """

    offset: int
    length: int

    def read(self, file: FeatureFile, start: int, count: int) -> UInt8[np.ndarray, " _"]:
        """Read ``count`` bytes from byte ``start`` on."""
        return file.read_at(self.offset + start, count)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryBytes:
    """A few bytes that are held in memory.

    Attributes:
        data: The bytes.
    """

    data: bytes

    @property
    def length(self) -> int:
        """How many bytes there are."""
        return len(self.data)

    def read(self, file: FeatureFile, start: int, count: int) -> UInt8[np.ndarray, " _"]:  # noqa: ARG002
        """Return ``count`` bytes from byte ``start`` on."""
        return np.frombuffer(self.data, np.uint8, count, start) if count else np.empty(0, np.uint8)


@dataclass(slots=True, kw_only=True, eq=False)
class Latin1Bytes:
    """Bytes that pickle protocol 2 keeps as text: each byte is one character, written in UTF-8.

    Reading decodes the blocks that are asked for; the last one is kept.

    Attributes:
        length: How many bytes there are.
        offsets: Where each block begins in the file, and where the last one ends.
        starts: Which byte is the first of each block.
    """

    length: int
    offsets: list[int]
    starts: list[int]
    _number: int = field(default=-1, init=False)
    _block: bytes = field(default=b"", init=False)

    @classmethod
    def scan(cls, file: FeatureFile, offset: int, length: int) -> "Latin1Bytes":
        """Find the blocks of a text that lies in the file.

        Args:
            file: The file.
            offset: Where the text begins.
            length: Its length in UTF-8.

        Raises:
            CorpusError: If it is not UTF-8, or has a character that is not one byte.
        """
        begin, end, total = offset, offset + length, 0
        offsets, starts = [offset], []
        while begin < end:
            data = file.read_at(begin, min(LATIN1_BLOCK, end - begin)).tobytes()
            if data[-1] >= 0xC0 and len(data) > 1:
                data = data[:-1]  # the first byte of a character of two
            starts.append(total)
            total += len(_decode_latin1(file, data))
            begin += len(data)
            offsets.append(begin)
        return cls(length=total, offsets=offsets, starts=starts)

    def read(self, file: FeatureFile, start: int, count: int) -> UInt8[np.ndarray, " _"]:
        """Decode ``count`` bytes from byte ``start`` on."""
        pieces: list[bytes] = []
        while count > 0:
            number = bisect_right(self.starts, start) - 1
            block = self._decode(file, number)
            first = start - self.starts[number]
            piece = block[first : first + count]
            pieces.append(piece)
            start += len(piece)
            count -= len(piece)
        return np.frombuffer(b"".join(pieces), np.uint8)

    def _decode(self, file: FeatureFile, number: int) -> bytes:
        if number != self._number:
            begin, end = self.offsets[number : number + 2]
            self._block = _decode_latin1(file, file.read_at(begin, end - begin).tobytes())
            self._number = number
        return self._block


Payload = FileBytes | MemoryBytes | Latin1Bytes


@dataclass(slots=True, kw_only=True, eq=False)
class PickledArray:
    """An array whose values are still in the file.

    Attributes:
        shape: Its axes.
        dtype: Type of the values; ``object`` for texts.
        stored: The axes as they follow each other in the file.
        axes: Axis i of the array is axis ``axes[i]`` of ``stored``.
        payload: Where the bytes are.
        items: The values themselves, in C order, if they are Python objects.
        opaque: Name of a type of values that is not read; empty if they are read.
        is_built: Whether the pickle has said all that.
    """

    shape: tuple[int, ...] = ()
    dtype: np.dtype = field(default_factory=lambda: np.dtype(object))
    stored: tuple[int, ...] = ()
    axes: tuple[int, ...] = ()
    payload: Payload = field(default_factory=lambda: MemoryBytes(data=b""))
    items: tuple[object, ...] = ()
    opaque: str = ""
    is_built: bool = False

    @property
    def clip_bytes(self) -> int:
        """Bytes of one row, all axes but the first."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def texts(self, file: FeatureFile) -> Iterator[object]:
        """Read an array of one axis of texts: a ``str``, or what ``text_of`` knows, for each.

        A text that is not Unicode is opaque.
        """
        if self.dtype.kind == "O":
            yield from self.items
            return
        shape = (self.shape[0], self.dtype.itemsize)
        raw = replace(self, shape=shape, stored=shape, axes=(0, 1), dtype=np.dtype(np.uint8))
        for row in raw.rows(file):
            text = decode_fixed(row.tobytes(), self.dtype)
            yield Opaque("a text that is not Unicode") if text is None else text

    def load(self, file: FeatureFile) -> Shaped[np.ndarray, "..."]:
        """Read the full array, which must not be larger than a clip may be."""
        data = self.payload.read(file, 0, math.prod(self.shape) * self.dtype.itemsize)
        return data.view(self.dtype).reshape(self.stored).transpose(self.axes)

    def rows(self, file: FeatureFile) -> Iterator[Shaped[np.ndarray, "..."]]:
        """Read the array in blocks and give its rows, one after the other.

        The rows are views of their block. Where clips are not stored one after the other, as in an
        array in Fortran order, a block is gathered from all over the file.
        """
        outer = math.prod(self.stored[: self.axes[0]])
        most = BLOCK if outer == 1 else STRIDED_BLOCK
        step = max(1, most // max(1, self.clip_bytes))
        for begin in range(0, self.shape[0], step):
            yield from self._read_block(file, begin, min(begin + step, self.shape[0]))

    def _read_block(self, file: FeatureFile, begin: int, end: int) -> Shaped[np.ndarray, "..."]:
        first = self.axes[0]
        head, tail = self.stored[:first], self.stored[first + 1 :]
        outer, inner = math.prod(head), math.prod(tail) * self.dtype.itemsize
        if end - begin == self.shape[0]:
            return self.load(file)
        pieces = [
            self.payload.read(file, (o * self.shape[0] + begin) * inner, (end - begin) * inner)
            for o in range(outer)
        ]
        data = pieces[0] if outer == 1 else np.concatenate(pieces)
        return data.view(self.dtype).reshape((*head, end - begin, *tail)).transpose(self.axes)


@dataclass(slots=True, eq=False)
class LongText:
    """A long text that stays in the file, in UTF-8.

    Attributes:
        offset: Where it begins.
        length: Its length in bytes.
        encoded: The bytes that it stands for, once the file has asked for them.
    """

    offset: int
    length: int
    encoded: Latin1Bytes | None = None


def text_of(file: FeatureFile, value: object) -> str | None:
    """Return a text of the file, or None if ``value`` is no text or has more than 1 MB."""
    if isinstance(value, str):
        return value
    if isinstance(value, LongText):
        if value.length > MOST_TEXT_BYTES:
            return None
        raw = file.read_at(value.offset, value.length).tobytes()
        try:
            return replace_halves(raw.decode("utf-8", "surrogatepass"))
        except UnicodeDecodeError:
            return decode_text(raw)
    payload: Payload
    if isinstance(value, Payload):
        payload = value
    else:
        return None
    if payload.length > MOST_TEXT_BYTES:
        return None
    return decode_text(payload.read(file, 0, payload.length).tobytes())


def decode_text(data: bytes) -> str:
    r"""Decode bytes that stand for text: UTF-8, or Latin-1 where they are not UTF-8.

    Python 2 did not say which one its texts were in.

    >>> decode_text("中".encode()), decode_text(b"caf\xe9")
    ('中', 'café')
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def decode_fixed(data: bytes, dtype: np.dtype) -> str | None:
    """Decode one text of a NumPy array of texts; None if it is not Unicode.

    NumPy itself would make a broken text of it, or fail.
    """
    if dtype.kind == "S":
        return decode_text(data.rstrip(b"\0"))
    codec = "utf-32-be" if dtype.str[0] == ">" else "utf-32-le"
    try:
        return replace_halves(data.decode(codec, "surrogatepass").rstrip("\0"))
    except UnicodeDecodeError:
        return None


def _decode_latin1(file: FeatureFile, data: bytes) -> bytes:
    try:
        return data.decode("utf-8").encode("latin-1")
    except UnicodeError as error:
        raise CorpusError(
            f"{file.path}: the text that holds an array's bytes is damaged ({error}); get it again"
        ) from error
