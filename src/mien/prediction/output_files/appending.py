"""A file that grows by whole pieces, each of them safe on disk before the next."""

import logging
import os
from pathlib import Path

from mien.errors import ConfigError
from mien.files.atomic import output_error
from mien.files.temporaries import try_lock

__all__ = ["Appended"]

logger = logging.getLogger(__name__)

_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)


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
            ConfigError: If it cannot be written, or another process is writing it.
        """
        try:
            handle = self._handle = os.open(self.path, _FLAGS, 0o644)
            is_mine = try_lock(handle)
            self._end = os.fstat(handle).st_size
        except OSError as error:
            raise ConfigError(
                f"{self.path}: cannot be written ({error.strerror}); give an output where files "
                "can be made"
            ) from error
        if is_mine is False:
            raise ConfigError(f"{self.path}: another process is writing it; wait for it")
        if is_mine is None:
            logger.warning("%s: cannot be locked; let no other process write it", self.path)

    def cut(self, end: int) -> None:
        """Cut the file off after so many bytes.

        Raises:
            ConfigError: If it has fewer.
        """
        if self._end < end:
            raise ConfigError(
                f"{self.path}: has {self._end} bytes, but {end} were written; use --replace "
                "without --resume to start again"
            )
        os.ftruncate(self._opened, end)
        self._end = end

    def append(self, piece: bytes) -> tuple[int, int]:
        """Add a piece, and return where it begins and ends; all of it is there, or nothing.

        Raises:
            OutputError: If it cannot be written.
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
            raise output_error(self.path, error) from error
        self._end = begin + len(piece)
        return begin, self._end

    def read(self, begin: int, end: int) -> bytes:
        """Return the bytes from ``begin`` to ``end``."""
        os.lseek(self._opened, begin, os.SEEK_SET)
        return os.read(self._opened, end - begin)

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
