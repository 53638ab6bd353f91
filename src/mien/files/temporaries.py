"""Temporaries beside what they become: locked while they are written, removed once nobody does.

A file or folder is written under the name ``.NAME.XXXXXXXX.partial`` beside NAME, and takes its
name when it is complete. Its writer holds a lock on it, which the system lets go of however the
process ends. So a temporary that nobody has locked was left by a process that was killed; whoever
writes the same NAME next removes it. Where there are no such locks, on Windows and on some network
disks, nothing is ever removed but what a process made itself.
"""

import contextlib
import hashlib
import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

if sys.platform != "win32":
    import fcntl

__all__ = [
    "OLD",
    "PARTIAL",
    "list_siblings",
    "open_to_lock",
    "remove_unlocked",
    "sweep",
    "sweep_folder",
    "temporary",
    "try_lock",
]

logger = logging.getLogger(__name__)

Kind = Literal["file", "folder"]

#: How the name of what is being written ends, and of what is about to be replaced.
PARTIAL, OLD = ".partial", ".replaced"

#: Longest name, in bytes, that a temporary repeats; systems allow 255 for all of it.
_LONGEST = 200
_UNSEEN = (FileNotFoundError, NotADirectoryError, PermissionError)
_RANDOM = r"\.[a-z0-9_]{8}"  # as tempfile draws it
_ANY = re.compile(rf"\..+{_RANDOM}{re.escape(PARTIAL)}", re.DOTALL)


@contextlib.contextmanager
def temporary(path: Path, kind: Kind, *, sweeps: bool = True) -> Iterator[Path]:
    """Give a new file or folder beside ``path``, locked; what then has its name is removed.

    Args:
        path: What it will become, if the block renames it.
        kind: What to make.
        sweeps: Whether to look for what killed writers of ``path`` left, which lists its folder.
    """
    if sweeps:
        sweep(path)
    made, handle = _make(path, kind)
    try:
        yield made
    finally:
        _remove(made)
        if handle is not None:
            os.close(handle)


def sweep(path: Path) -> None:
    """Remove the temporaries of ``path`` that nobody writes any more."""
    for left in list_siblings(path, PARTIAL):
        remove_unlocked(left)


def sweep_folder(folder: Path) -> None:
    """Remove the temporaries of anything in a folder that nobody writes any more."""
    with contextlib.suppress(*_UNSEEN):
        for left in [path for path in folder.iterdir() if _ANY.fullmatch(path.name)]:
            remove_unlocked(left)


def list_siblings(path: Path, ending: str) -> list[Path]:
    """Return what lies beside ``path`` under the name of a temporary, the newest first."""
    pattern = re.compile(re.escape(f".{_stem(path)}") + _RANDOM + re.escape(ending))
    with contextlib.suppress(*_UNSEEN):
        siblings = [file for file in path.parent.iterdir() if pattern.fullmatch(file.name)]
        return sorted(siblings, key=lambda file: file.lstat().st_mtime_ns, reverse=True)
    return []


def remove_unlocked(path: Path) -> bool:
    """Remove a file or folder, unless a process has it locked or that cannot be known."""
    handle = open_to_lock(path)
    if handle is None:
        return False
    try:
        is_free = try_lock(handle) is True
        if is_free:
            _remove(path)
            logger.info("removed %s, which a process that was killed left", path)
    finally:
        os.close(handle)
    return is_free


def try_lock(handle: int, *, shared: bool = False) -> bool | None:
    """Lock an open file or folder until it is closed, or this process ends.

    Args:
        handle: The open file or folder.
        shared: Whether others may lock it likewise, but nobody alone.

    Returns:
        Whether it is locked now; False if another process has it, None if there are no locks here.
    """
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a network disk without locks
        return None
    return True


def open_to_lock(path: Path) -> int | None:
    """Open a file or folder to lock it; None if it is gone, a link, or may not be opened."""
    if sys.platform == "win32":
        return None
    mode = os.O_RDONLY if path.is_dir() else os.O_RDWR  # network disks lock what can be written
    try:
        return os.open(path, mode | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None


def _make(path: Path, kind: Kind) -> tuple[Path, int | None]:
    """Make a temporary and lock it, before anybody takes it for one that was left."""
    while True:
        made, handle = _make_unlocked(path, kind)
        if handle is None:  # no locks here, or another process removed it before it could be opened
            if made.exists():
                return made, None
            continue
        if try_lock(handle) is not False and _is_open(made, handle):
            return made, handle
        os.close(handle)


def _make_unlocked(path: Path, kind: Kind) -> tuple[Path, int | None]:
    prefix = f".{_stem(path)}."
    if kind == "folder":
        made = Path(tempfile.mkdtemp(prefix=prefix, suffix=PARTIAL, dir=path.parent))
        return made, open_to_lock(made)
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=PARTIAL, dir=path.parent)
    if sys.platform == "win32":
        os.close(handle)  # an open file cannot be renamed there
        return Path(name), None
    return Path(name), handle


def _is_open(path: Path, handle: int) -> bool:
    """Return whether ``handle`` is still what has this name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _remove(path: Path) -> None:
    """Remove a file or folder, if it is there; one that cannot be is logged, and harms nothing."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except FileNotFoundError:  # another process removes it
        pass
    except OSError as error:
        logger.warning("%s: cannot be removed (%s); remove it yourself", path, error.strerror)


def _stem(path: Path) -> str:
    """Return the name of ``path``, or a hash of it if it leaves no room for more."""
    name = os.fsencode(path.name)
    return path.name if len(name) <= _LONGEST else hashlib.sha256(name).hexdigest()[:32]
