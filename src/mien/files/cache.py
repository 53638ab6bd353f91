"""What is computed once and kept: by which versions, and by one process at a time."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from mien.files.cache_entries import cache_limit, evict, mark_used

__all__ = ["locked", "read_or_make", "versions_of"]

logger = logging.getLogger(__name__)

T = TypeVar("T")


def versions_of(*packages: str) -> dict[str, str]:
    """Return the installed version of each package, on whose numbers a result depends."""
    return {name: metadata.version(name) for name in packages}


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes that would make ``path`` waiting; the lock ends with its process.

    The folder of ``path`` is made, and the lock is a file beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("waiting for another process that computes the same: %s", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def read_or_make(path: Path, read: Callable[[], T | None], make: Callable[[], T]) -> T:
    """Return what is kept at ``path``, made if need be; by one process, for which others wait.

    What is made pushes out what was not used for longest, where the cache would grow beyond its
    limit (``cache_entries``); what is returned stays as long as this process.

    Args:
        path: Where it is kept.
        read: Returns it; None if it is not there, or not as it should be.
        make: Makes it, writes it to ``path`` and returns it.
    """
    value = read()
    if value is None:
        limit = cache_limit()
        with locked(path):
            value = read()  # by another process in the meantime
            if value is None:
                value = make()
        mark_used(path)
        evict(limit)
    else:
        mark_used(path)
    return value
