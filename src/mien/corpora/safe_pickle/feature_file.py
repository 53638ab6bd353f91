"""A feature file, opened: reading in order or from any place, its hashes, whether it changed.

Nothing is mapped: pages of a mapped file count as memory of the process, blocks that are read and
dropped do not.
"""

import hashlib
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from mien.errors import CorpusError

__all__ = ["FeatureFile", "Identity"]

_BLOCK = 8 << 20


class Identity(NamedTuple):
    """What tells whether a file is still the one that was looked at."""

    device: int
    inode: int
    size: int
    modified: int


class FeatureFile:
    """A regular file, opened for reading; closed at the end of a ``with`` block.

    Args:
        path: The file.
        expected: The identity that the file had before, when it is opened again.

    Raises:
        CorpusError: If it cannot be read, is no regular file, or has changed.
    """

    def __init__(self, path: Path, expected: Identity | None = None) -> None:
        self.path = path
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                kind = "a folder" if path.is_dir() else "not a regular file"
                raise CorpusError(f"{path}: is {kind}; give the path of a feature pickle")
            self._file = path.open("rb")
        except FileNotFoundError:
            raise CorpusError(f"{path}: there is no such file; check the path") from None
        except (OSError, ValueError) as error:
            raise CorpusError(f"{path}: cannot be read ({error}); check the path") from error
        self.identity = self._identify()
        self.size = self.identity.size
        self.position = 0
        if expected is not None and self.identity != expected:
            self._file.close()
            raise self._changed()

    def __enter__(self) -> "FeatureFile":
        """Return the file."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()

    def check_unchanged(self) -> None:
        """Make sure that nobody wrote to the file since it was opened.

        Raises:
            CorpusError: If somebody did.
        """
        if self._identify() != self.identity:
            raise self._changed()

    def take(self, count: int) -> bytes:
        """Read the next bytes, after a check that the file has as many.

        Raises:
            CorpusError: If it has not: no memory is used for what is only promised.
        """
        if count > self.size - self.position:
            raise self._cut(count)
        self.position += count
        try:
            data = self._file.read(count)
        except OSError as error:
            raise CorpusError(f"{self.path}: cannot be read ({error}); check the disk") from error
        if len(data) < count:
            raise self._changed()
        return data

    def skip(self, count: int) -> int:
        """Pass over the next bytes and return where they begin.

        Raises:
            CorpusError: If the file has not as many.
        """
        if count > self.size - self.position:
            raise self._cut(count)
        begin = self.position
        self.position += count
        self._file.seek(self.position)
        return begin

    def read_at(self, offset: int, count: int) -> UInt8[np.ndarray, " _"]:
        """Read bytes from a place in the file; what ``take`` reads next does not change.

        Raises:
            CorpusError: If they cannot be read.
        """
        data = np.empty(count, np.uint8)
        try:
            self._file.seek(offset)
            got = self._file.readinto(data.data)
            self._file.seek(self.position)
        except OSError as error:
            raise CorpusError(f"{self.path}: cannot be read ({error}); check the disk") from error
        if got < count:
            raise self._changed()
        return data

    def compute_hashes(self) -> tuple[str, str]:
        """Read the file once and return its SHA-256 and its SHA-1."""
        sha256, sha1 = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
        for offset in range(0, self.size, _BLOCK):
            data = self.read_at(offset, min(_BLOCK, self.size - offset))
            sha256.update(data.data)
            sha1.update(data.data)
        return sha256.hexdigest(), sha1.hexdigest()

    def _cut(self, count: int) -> CorpusError:
        return CorpusError(
            f"{self.path}: ends too early: {count} bytes should follow byte {self.position}, "
            f"{self.size - self.position} do; the file is cut short or damaged, get it again"
        )

    def _identify(self) -> Identity:
        status = os.fstat(self._file.fileno())
        return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    def _changed(self) -> CorpusError:
        return CorpusError(f"{self.path}: changed while it was being read; import it again")
