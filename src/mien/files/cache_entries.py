"""What lies in the user's cache folder: listed, held while it is used, and kept below a limit."""

import contextlib
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from mien.errors import ConfigError
from mien.files.reading import show
from mien.files.temporaries import PARTIAL, open_to_lock, try_lock
from mien.files.user_folders import cache_folder

__all__ = [
    "CACHE_KINDS",
    "CacheEntry",
    "cache_limit",
    "clear_cache",
    "evict",
    "list_cache",
    "mark_used",
    "read_size",
]

logger = logging.getLogger(__name__)

#: What there is in the cache folder, by the name of its folder.
CACHE_KINDS = {
    "clips": "columns of large stores",
    "tokens": "token ids of transcripts",
    "states": "states of text encoders",
    "evidence": "evidence for labels",
    "languages": "tables that tell languages apart",
    "stores": "planted corpora of studies",
    "runs": "trainings of studies",
}
#: These are trainings, so that they go only when they are named.
_KEPT_RUNS = "runs"

_DEFAULT_LIMIT = "20GB"
_UNITS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", re.IGNORECASE)
_held: dict[tuple[int, int], int] = {}  # open files, by device and inode: locked until the end


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """A file or folder of the cache.

    Attributes:
        kind: Name of its folder, one of ``CACHE_KINDS``.
        path: Where it is.
        size: Bytes of its files.
        used: When it was last used, in seconds since 1970.
    """

    kind: str
    path: Path
    size: int
    used: float

    @property
    def age(self) -> float:
        """Seconds since it was last used."""
        return max(0.0, time.time() - self.used)


def read_size(text: str, where: str) -> int:
    """Return a size in bytes.

    Args:
        text: Such as ``20GB``, ``500 MB`` or a number of bytes; units are of 1000.
        where: What the user has set to it, for the message.

    Raises:
        ConfigError: If it is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"{where} is {show(text)}, must be a size such as 20GB or 500MB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def cache_limit() -> int:
    """Return how many bytes the cache may take: ``MIEN_CACHE_LIMIT``, or 20 GB.

    Raises:
        ConfigError: If it is no size.
    """
    return read_size(os.environ.get("MIEN_CACHE_LIMIT") or _DEFAULT_LIMIT, "MIEN_CACHE_LIMIT")


def list_cache(kinds: Iterable[str] = CACHE_KINDS) -> list[CacheEntry]:
    """Return what is in the cache, the last used first; nothing if there is no cache."""
    entries = []
    for kind in kinds:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for path in (cache_folder() / kind).iterdir():
                if path.name.startswith(".") or path.suffix == ".lock":
                    continue
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    used = path.stat().st_mtime
                    entries.append(CacheEntry(kind=kind, path=path, size=_size(path), used=used))
    return sorted(entries, key=lambda entry: -entry.used)


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    files = (Path(place) / name for place, _, names in os.walk(path) for name in names)
    total = 0
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            total += file.lstat().st_size
    return total


def mark_used(path: Path) -> None:
    """Note that something of the cache is used now, and keep a folder until this process ends.

    A folder stays mapped from disk, a file has been read in full. Where the cache may only be
    read, nothing is noted; where there are no locks, nothing is kept.
    """
    with contextlib.suppress(OSError):  # a cache of others
        os.utime(path)
    with contextlib.suppress(OSError):
        status = path.stat()
        key = status.st_dev, status.st_ino
        if key in _held or not path.is_dir():
            return
        handle = open_to_lock(path)
        if handle is None:
            return
        if try_lock(handle, shared=True):
            _held[key] = handle
        else:
            os.close(handle)


def evict(limit: int) -> list[CacheEntry]:
    """Remove what was not used for longest until the cache takes no more than ``limit`` bytes.

    What a process uses stays, and so do the trainings of studies, although they count.

    Returns:
        What was removed.
    """
    entries = list_cache()
    total, removed = sum(entry.size for entry in entries), []
    for entry in reversed(entries):
        if total <= limit:
            break
        if entry.kind != _KEPT_RUNS and _remove_unused(entry.path):
            total -= entry.size
            removed.append(entry)
            logger.info("removed %s; the cache may take %.3g GB", entry.path, limit / 1e9)
    return removed


def clear_cache(kinds: Collection[str] = ()) -> tuple[list[CacheEntry], list[CacheEntry]]:
    """Remove what is in the cache and is not in use.

    Args:
        kinds: Names of ``CACHE_KINDS``; by default all but the trainings of studies.

    Returns:
        What was removed, and what is in use and stayed.
    """
    removed: list[CacheEntry] = []
    stayed: list[CacheEntry] = []
    for entry in list_cache(kinds or [kind for kind in CACHE_KINDS if kind != _KEPT_RUNS]):
        (removed if _remove_unused(entry.path, forced=True) else stayed).append(entry)
    return removed, stayed


def _remove_unused(path: Path, *, forced: bool = False) -> bool:
    """Remove something unless a process uses it; ``forced`` also where that cannot be known."""
    handle = open_to_lock(path)
    try:
        is_free = None if handle is None else try_lock(handle)
        if is_free is False or (is_free is None and not forced):
            return False
        gone = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")  # as sweeping knows
        try:
            path.rename(gone)
            shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
        except OSError as error:
            logger.warning("%s: cannot be removed (%s)", path, error.strerror)
            return False
    finally:
        if handle is not None:
            os.close(handle)
    return True
