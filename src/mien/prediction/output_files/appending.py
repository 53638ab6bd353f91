"""A file that grows by whole pieces, each of them safe on disk before the next."""

import fcntl
import os
from pathlib import Path

from mien.errors import ConfigError, MienError

__all__ = ["Appended", "cannot_write"]


class Appended:
    """A file to which pieces are added; one process at a time may do so.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None
        self._end = 0

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self._end

    def open(self) -> None:
        """Open the file, made if need be, and keep other processes from writing it.

        Raises:
            MienError: If it cannot be written, or another process is writing it.
        """
        try:
            handle = self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._end = os.fstat(handle).st_size
        except BlockingIOError as error:
            raise ConfigError(f"{self.path}: another process is writing it; wait for it") from error
        except OSError as error:
            raise ConfigError(
                f"{self.path}: cannot be written ({error.strerror}); give an output where files "
                "can be made"
            ) from error

    def cut(self, end: int) -> None:
        """Cut the file off after so many bytes.

        Raises:
            MienError: If it has fewer.
        """
        if self._end < end:
            raise ConfigError(
                f"{self.path}: has {self._end} bytes, but {end} were written; say --replace "
                "without --resume to begin again"
            )
        os.ftruncate(self._opened, end)
        self._end = end

    def append(self, piece: bytes) -> tuple[int, int]:
        """Add a piece, and return where it begins and ends; all of it is there, or nothing.

        Raises:
            MienError: If it cannot be written.
        """
        handle, begin = self._opened, self._end
        try:
            os.lseek(handle, begin, os.SEEK_SET)
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
        except OSError as error:
            os.ftruncate(handle, begin)
            raise cannot_write(self.path, error) from error
        self._end = begin + len(piece)
        return begin, self._end

    def read(self, begin: int, end: int) -> bytes:
        """Return the bytes from ``begin`` to ``end``."""
        return os.pread(self._opened, end - begin, begin)

    def close(self) -> None:
        """Close the file, and let others write it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    @property
    def _opened(self) -> int:
        if self._handle is None:
            raise ValueError(f"{self.path} is not open")
        return self._handle


def cannot_write(path: Path, error: OSError) -> MienError:
    """Return the sentence about a file that cannot be written."""
    return MienError(
        f"{path}: cannot be written ({error.strerror}); what was answered before is kept: mend "
        "that, then go on with --resume"
    )
