"""CRC-32C of large files, in NumPy."""

from functools import cache

import numpy as np
from jaxtyping import UInt32

__all__ = ["ROW_WORDS", "crc32c", "unmask"]

_POLYNOMIAL = 0x82F63B78  # Castagnoli, reflected
#: Words of a row: as long as rows and tables together stay in the processor's cache.
ROW_WORDS = 1 << 13
_WORD = np.dtype("<u4")

Tables = tuple[UInt32[np.ndarray, "65536"], UInt32[np.ndarray, "65536"]]


def crc32c(data: bytes | memoryview) -> int:
    """Return the CRC-32C (Castagnoli) of ``data``.

    The remainder is linear: that of a text is the remainder of its first part, moved on by the
    length of the rest, plus that of the rest. So the text is laid out in rows of words, all columns
    are taken down the rows side by side, and the columns are then folded together.

    Source: RFC 3720, appendix B.4 (polynomial and test vectors).

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    size = len(data)
    if size < 4:
        return _crc32c_by_byte(data)
    head = (size - 4) % (4 * ROW_WORDS) + 4
    first = np.zeros(8 * ROW_WORDS, dtype=np.uint8)  # two rows; zeros in front change nothing
    first[-head:] = np.frombuffer(data, dtype=np.uint8, count=head)
    first[-head:][:4] ^= 0xFF  # the register starts with ones
    row, *rows = first.view(_WORD).reshape(2, -1)
    if size > head:
        rows += list(np.frombuffer(data, dtype=_WORD, offset=head).reshape(-1, ROW_WORDS))
    for following in rows:
        row = _move_on(row, 4 * ROW_WORDS) ^ following
    while len(row) > 1:
        half = len(row) // 2
        row = _move_on(row[:half], 4 * half) ^ row[half:]
    return int(_move_on(row, 4)[0]) ^ 0xFFFFFFFF


def unmask(masked: int) -> int:
    """Return the checksum that a file of LevelDB's or TensorFlow's holds masked.

    Source: LevelDB, ``util/crc32c.h``.

    >>> unmask(((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) % 2**32) == 0xE3069283
    True
    """
    rotated = (masked - 0xA282EAD8) % (1 << 32)
    return (rotated >> 17 | rotated << 15) % (1 << 32)


def _crc32c_by_byte(data: bytes | memoryview) -> int:
    register = 0xFFFFFFFF
    for byte in bytes(data):
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (_POLYNOMIAL if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def _move_on(words: UInt32[np.ndarray, "n"], size: int) -> UInt32[np.ndarray, "n"]:
    """Return the remainders of ``words`` when ``size`` zero bytes follow, theirs included."""
    low, high = _tables(size)
    halves = np.ascontiguousarray(words, dtype=_WORD).view("<u2")
    return low.take(halves[::2]) ^ high.take(halves[1::2])


@cache
def _tables(size: int) -> Tables:
    """Return what becomes of the low and of the high half of a word, ``size`` zero bytes on."""
    images = _images(size)
    return _span(images[:16]), _span(images[16:])


def _span(images: UInt32[np.ndarray, "16"]) -> UInt32[np.ndarray, "65536"]:
    table = np.zeros(1, dtype=_WORD)
    for image in images:
        table = np.concatenate([table, table ^ image])
    return table


@cache
def _images(size: int) -> UInt32[np.ndarray, "32"]:
    """Return what becomes of each bit of a word, ``size`` zero bytes on; a power of two."""
    bit = np.arange(32, dtype=_WORD)
    images = np.left_shift(1, bit, dtype=_WORD)
    if size == 1:
        for _ in range(8):
            images = images >> 1 ^ (images & 1) * _WORD.type(_POLYNOMIAL)
    else:
        half = _images(size // 2)
        images = np.bitwise_xor.reduce((half[:, None] >> bit & 1) * half, axis=1)
    return images
