"""Files that are there whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mien.errors import CheckpointError

__all__ = ["refuse_existing", "write_text", "written_beside"]


def refuse_existing(path: Path, *, replace: bool) -> None:
    """Refuse to write over a file, unless it is to be replaced.

    Raises:
        CheckpointError: If it is there.
    """
    if path.exists() and not replace:
        raise CheckpointError(f"{path}: exists already; say --replace, or give another name")


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Give a file beside ``path`` to write; it takes its name, safe on disk, if the block succeeds.

    A kill leaves the old file or the new one.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    try:
        yield Path(name)
        with Path(name).open("rb") as file:
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file beside ``path`` and rename it."""
    with written_beside(path) as file:
        file.write_text(text, encoding="utf-8")
