"""CRC-32C against its published values and a slow definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.pretrained.conversion import checksum
from mien.pretrained.conversion.checksum import crc32c, unmask


def slow_crc32c(data: bytes) -> int:
    """Divide by the polynomial, bit by bit."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 * (register & 1))
    return register ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_published_values(data, value):
    """RFC 3720, appendix B.4."""
    assert crc32c(data) == value


@given(data=st.binary(max_size=300))
def test_short_data(data):
    assert crc32c(data) == slow_crc32c(data)


@pytest.mark.parametrize("extra", [-5, -4, -1, 0, 1, 3, 4, 5])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_data_around_whole_rows(extra, rows, monkeypatch):
    monkeypatch.setattr(checksum, "ROW_WORDS", 64)
    data = np.random.default_rng(rows).bytes(rows * 256 + extra)
    assert crc32c(memoryview(data)) == slow_crc32c(data)


def test_a_changed_bit_changes_the_checksum():
    data = bytearray(np.random.default_rng(0).bytes(100_001))
    before = crc32c(bytes(data))
    data[50_000] ^= 1
    assert crc32c(bytes(data)) != before


@given(value=st.integers(0, 2**32 - 1))
def test_unmasking_takes_the_mask_off(value):
    rotated = ((value >> 15) | (value << 17)) % 2**32
    assert unmask((rotated + 0xA282EAD8) % 2**32) == value
