"""Folders that are there in full or not at all, and replaced only if they are what they seem."""

import ctypes
import logging
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mien.errors import MienError, StoreError
from mien.files.atomic import output_error, reported_as, sync
from mien.files.temporaries import (
    OLD,
    list_siblings,
    open_to_lock,
    remove_unlocked,
    temporary,
    try_lock,
)

__all__ = ["FolderKind", "check_target", "check_writable", "refuse_foreign", "staged"]

logger = logging.getLogger(__name__)

_OF_FILE_MANAGERS = {".DS_Store", "Thumbs.db", "desktop.ini"}  # nobody misses them
_AT_CWD, _EXCHANGE = -100, 2  # of renameat2 in Linux


@dataclass(frozen=True, slots=True)
class FolderKind:
    """What a folder must be to be replaced.

    Attributes:
        name: What it is called, with its article.
        list_files: Returns which files such a folder may hold, as paths inside it with ``/``; None
            if the folder is not of this kind.
        error: What is raised if it may not be replaced.
        remedy: What to do about one that is there, if it could be replaced.
    """

    name: str
    list_files: Callable[[Path], Collection[str] | None]
    error: type[MienError] = StoreError
    remedy: str = "use --replace"


@contextmanager
def staged(path: Path, kind: FolderKind, *, replace: bool) -> Iterator[Path]:
    """Give a folder beside ``path`` to write into; it becomes ``path`` if the block succeeds.

    A kill leaves the old folder or the new one, and the next writer of ``path`` removes what it
    left beside it. If ``path`` is a link, what it points to is replaced. If several write the same
    folder, the last one's stays with ``replace``; without it the first one's.

    Args:
        path: The folder to make.
        kind: What it is.
        replace: Whether one of the same kind that is already there may be replaced.

    Raises:
        kind.error: If ``path`` exists and may not be replaced, or holds anything that does not
            belong to such a folder.
        OutputError: If it cannot be written.
    """
    target = Path(os.path.realpath(path))
    if path.is_symlink() and not target.exists():
        raise kind.error(f"{path}: is a link to {target}, which is not there; make it or remove it")
    _restore(target)
    check_target(path, kind, replace=replace)
    with reported_as(path, target.parent):
        _make_parents(path, target)
        with temporary(target, "folder") as folder:
            yield folder
            folder.chmod(0o755)
            for file in sorted(folder.rglob("*")):
                if file.is_file():
                    sync(file)
            check_target(path, kind, replace=replace)
            _put(folder, target)


def check_target(path: Path, kind: FolderKind, *, replace: bool) -> None:
    """Refuse a path where something is already, unless it may be replaced by its own kind.

    Raises:
        kind.error: If it is so.
    """
    if not path.exists():
        return
    if path.resolve() == Path.cwd():
        raise kind.error(f"{path}: is the working directory, which stays; run this from elsewhere")
    if not replace:
        raise kind.error(f"{path}: already exists; choose another path, or {kind.remedy}")
    refuse_foreign(path, kind)


def check_writable(path: Path) -> None:
    """Check that a folder can be made, or written into if it is there, and leave nothing behind.

    Raises:
        OutputError: If it cannot.
    """
    above = path
    while not above.exists() and above != above.parent:
        above = above.parent
    try:
        with tempfile.TemporaryDirectory(prefix=".mien-", dir=above):
            pass
    except OSError as error:
        raise output_error(path, error) from error


def refuse_foreign(path: Path, kind: FolderKind) -> None:
    """Refuse a folder that is not of a kind, or holds anything that does not belong to it.

    Raises:
        kind.error: If it is so.
    """
    known = kind.list_files(path) if path.is_dir() else None
    if known is None:
        raise kind.error(f"{path}: exists and is not {kind.name}; it will not be replaced")
    foreign = _find_foreign(path, known)
    if foreign:
        raise kind.error(
            f"{path}: holds {foreign!r}, which does not belong to {kind.name}, so it will not be "
            "replaced; move that away, or choose another path"
        )


def _find_foreign(path: Path, known: Collection[str]) -> str:
    """Return the first thing in a folder that is no known file or a folder of known files."""
    above = {parent for name in known for parent in Path(name).parents}
    for folder, folders, files in os.walk(path):
        inside = Path(folder).relative_to(path)
        folders.sort()
        for name in folders:
            if inside / name not in above or Path(folder, name).is_symlink():
                return (inside / name).as_posix()
        for name in sorted(set(files) - _OF_FILE_MANAGERS):
            if (inside / name).as_posix() not in known:
                return (inside / name).as_posix()
    return ""


def _make_parents(path: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(path, error) from error


def _put(folder: Path, target: Path) -> None:
    """Give a finished folder its name; an old one that has it gets the name of the temporary."""
    if not target.exists():
        folder.rename(target)
    elif not _exchange(folder, target):
        old = folder.with_suffix(OLD)
        handle = open_to_lock(target)
        try:
            if handle is not None:
                try_lock(handle)  # so that nobody puts it back meanwhile
            target.rename(old)
            folder.rename(target)
            old.rename(folder)
        finally:
            if handle is not None:
                os.close(handle)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step, where the system and the disk can."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, TypeError, OSError):  # not Linux
        return False
    names = os.fsencode(first), os.fsencode(second)
    return bool(rename(_AT_CWD, names[0], _AT_CWD, names[1], _EXCHANGE) == 0)


def _restore(target: Path) -> None:
    """Put back a folder whose writer was killed between two renames; remove others like it."""
    for old in list_siblings(target, OLD):
        handle = open_to_lock(old)
        if handle is None:
            continue
        is_free = try_lock(handle) is True
        os.close(handle)
        if not is_free:
            continue
        if target.exists():
            remove_unlocked(old)
        else:
            old.rename(target)
            logger.info("put %s back; a process was killed while it replaced it", target)
