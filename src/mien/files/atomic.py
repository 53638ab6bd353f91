"""Files that are there in full or not at all, and the sentence for one that cannot be written."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mien.errors import OutputError
from mien.files.temporaries import temporary

__all__ = [
    "is_disk_full",
    "output_error",
    "refuse_existing",
    "reported_as",
    "resumable",
    "sync",
    "write_bytes",
    "write_text",
    "written_beside",
]

#: Errors of a disk that takes no more; no other operation has these errors.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_AGAIN = "and try again"
_REMEDIES = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there, or have the quota raised",
    errno.EFBIG: "see how large a file may be there (ulimit -f)",
    errno.ENAMETOOLONG: "give a shorter name",
}


def refuse_existing(path: Path, *, replace: bool) -> None:
    """Refuse to write over a file, unless it is to be replaced.

    Raises:
        OutputError: If it is there.
    """
    if path.exists() and not replace:
        raise OutputError(f"{path}: exists already; use --replace, or give another name")


@contextmanager
def written_beside(path: Path, *, sweeps: bool = True) -> Iterator[Path]:
    """Give a file beside ``path`` to write; it takes its name, safe on disk, if the block succeeds.

    A kill leaves the old file or the new one, and the next writer of ``path`` removes what it left
    beside it. If ``path`` is a link, what it points to is replaced. Of several that write the same
    file, the last one's is what stays.

    Args:
        path: The file to write.
        sweeps: Whether to look for what killed writers left, which lists the folder.

    Raises:
        OutputError: If it cannot be written.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OutputError(f"{path}: is not a file, so no file can replace it; give another name")
    with reported_as(path, target.parent), temporary(target, "file", sweeps=sweeps) as made:
        yield made
        sync(made)
        made.chmod(0o644)
        made.replace(target)


@contextmanager
def reported_as(path: Path, folder: Path) -> Iterator[None]:
    """Turn an error of writing into a sentence about ``path``.

    Args:
        path: What the user knows.
        folder: Where its temporary lies; errors about files elsewhere are left as they are.

    Raises:
        OutputError: If the disk takes no more, or a temporary cannot be made, written or renamed.
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        hidden = os.path.join(folder, ".")  # noqa: PTH118  # a path would lose the point
        if is_disk_full(error) or str(error.filename).startswith(hidden):
            raise output_error(path, error) from error
        raise


@contextmanager
def resumable() -> Iterator[None]:
    """Add to an error of writing in the block that the command goes on where it stopped."""
    try:
        yield
    except OutputError as error:
        sentence = str(error).removesuffix(_AGAIN) + "and continue with --resume"
        raise OutputError(sentence, errno=error.errno, strerror=error.strerror or "") from error


def output_error(path: Path, error: OSError) -> OutputError:
    """Return the sentence for a file or folder that cannot be written."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    remedy = _REMEDIES.get(error.errno or 0, "check the path and who may write there")
    return OutputError(
        f"{path}: cannot be written ({reason}); {remedy}, {_AGAIN}",
        errno=error.errno,
        strerror=reason,
    )


def is_disk_full(error: OSError) -> bool:
    """Return whether there was no room to write."""
    return error.errno in _FULL


def sync(path: Path) -> None:
    """Wait until what was written into a file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Write a text file beside ``path`` and rename it; line ends stay as they are."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes | memoryview, *, sweeps: bool = True) -> None:
    """Write a file beside ``path`` and rename it; as ``written_beside``."""
    with written_beside(path, sweeps=sweeps) as made:
        made.write_bytes(data)
