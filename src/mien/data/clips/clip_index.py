"""``clips.jsonl`` to clips with columns; those of large files are kept and mapped from disk."""

import logging
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from mien.data.clips.clip_columns import ClipColumns, ClipSequence, as_clips, gather_columns
from mien.data.clips.clip_lines import DAMAGE, clip_from_line, damaged
from mien.errors import StoreError
from mien.files.cache import read_or_make
from mien.files.folders import FolderKind, staged
from mien.files.hashing import hash_file
from mien.files.npy import save_array
from mien.files.reading import open_regular
from mien.files.temporaries import sweep_folder
from mien.files.user_folders import cache_folder
from mien.types import Clip

__all__ = ["LARGE", "read_clips"]

logger = logging.getLogger(__name__)

#: Bytes of a ``clips.jsonl`` from which on its columns are kept: below, reading takes no second.
LARGE = 1 << 22

_FORMAT = 4  # of the columns; another one is made anew
_COLUMNS = FolderKind("columns of clips", lambda _: {f"{n}.npy" for n in ClipColumns.names()})


def read_clips(path: Path) -> ClipSequence:
    """Read the clips of a file of lines.

    All lines are read and checked once. The columns of a large file are kept in the user's cache
    under the SHA-256 of the file, which is computed at every opening: of another file they are
    never taken. Its clips are made from their lines as they are looked at.

    Raises:
        StoreError: If it is not there, or damaged.
    """
    try:
        return _read_large(path) if _size_of(path) >= LARGE else _read_small(path)
    except StoreError as error:
        raise StoreError(f"{str(error).removesuffix(_AGAIN)}{_AGAIN}") from None
    except DAMAGE as error:
        raise damaged(path, error) from error


_AGAIN = "; import the corpus again"


def _size_of(path: Path) -> int:
    with open_regular(path, StoreError) as file:
        return os.fstat(file.fileno()).st_size


def _read_small(path: Path) -> ClipSequence:
    with open_regular(path, StoreError) as file:
        return as_clips(tuple(clip_from_line(line.decode()) for line in file))


def _read_large(path: Path) -> ClipSequence:
    stamp = _stamp(path)
    folder = cache_folder() / "clips" / f"{hash_file(path, StoreError)[:32]}-{_FORMAT}"
    made: list[ClipColumns] = []

    def make() -> ClipColumns:
        made.append(_gather(path))
        sweep_folder(folder.parent)
        with staged(folder, _COLUMNS, replace=True) as partial:  # in the place of a damaged one
            for name, values in made[0].to_arrays().items():
                with (partial / f"{name}.npy").open("wb") as file:
                    save_array(file, values)
        return _map_columns(folder)

    try:
        columns = read_or_make(folder, lambda: _read_columns(folder), make)
    except OSError as error:  # of the cache; one of the clips is raised again
        logger.warning("%s; the columns of %s are not kept, and made again next time", error, path)
        columns = made[0] if made else _gather(path)
    reader = _LineReader(path, stamp, columns.lines)
    reader.check()
    return ClipSequence(columns, reader)


def _gather(path: Path) -> ClipColumns:
    logger.info("reading %s once, to keep its columns", path)
    lines = array("q", [0])

    def clips() -> Iterator[Clip]:
        with open_regular(path, StoreError) as file:
            for line in file:
                lines.append(lines[-1] + len(line))
                yield clip_from_line(line.decode())

    return gather_columns(clips(), lines)


def _read_columns(folder: Path) -> ClipColumns | None:
    if not folder.exists():
        return None
    try:
        return _map_columns(folder)
    except (OSError, ValueError, EOFError) as error:
        logger.warning("%s: is damaged (%s); the clips are read again", folder, error)
        return None


def _map_columns(folder: Path) -> ClipColumns:
    return ClipColumns.from_arrays(
        {
            name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in ClipColumns.names()
        }
    )


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


@dataclass(frozen=True, slots=True)
class _LineReader:
    """Makes the clip of a line, of a file that must not have been changed since it was hashed."""

    path: Path
    stamp: tuple[int, int, int]
    lines: Int64[np.ndarray, " _"]

    def check(self) -> None:
        if _stamp(self.path) != self.stamp:
            raise StoreError(f"{self.path}: was changed while it was read; start again")

    def __call__(self, row: int) -> Clip:
        self.check()
        start, end = int(self.lines[row]), int(self.lines[row + 1])
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(start)
                return clip_from_line(file.read(end - start).decode())
        except DAMAGE as error:
            raise damaged(self.path, error) from error
