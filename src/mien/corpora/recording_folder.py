"""The recordings below a folder, and their names as a store can hold them."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from mien.corpora.recording_table import is_recording
from mien.errors import CorpusError

__all__ = ["name_as_text", "walk_recordings"]

logger = logging.getLogger(__name__)


def name_as_text(name: str) -> str:
    """Return a name of a file as UTF-8 can hold it."""
    return os.fsencode(name).decode("utf-8", "replace")


def walk_recordings(root: Path, *, most: int | None = None) -> Iterator[Path]:
    """Yield the recordings below a folder by name, relative to it; hidden files are left out.

    Links are followed, rings are not. A folder that cannot be opened is left out, which is logged.

    Args:
        root: The folder.
        most: How many files there may be, recordings or not; None for any number.

    Raises:
        CorpusError: If there are more.
    """
    num_files = num_others = 0
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, onerror=_warn, followlinks=True):
        stat = Path(folder).stat()
        if (stat.st_dev, stat.st_ino) in seen:
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        num_files += len(names)
        if most is not None and num_files > most:
            raise CorpusError(f"{root}: holds more than {most} files; is it the corpus?")
        recordings = sorted(name for name in names if is_recording(name))
        num_others += len(names) - len(recordings)
        yield from (Path(folder, name).relative_to(root) for name in recordings)
    if num_others:
        logger.info("%s: %d other files do not have the name of a recording", root, num_others)


def _warn(error: OSError) -> None:
    logger.warning(
        "%s: cannot be opened (%s); its recordings are left out",
        error.filename, error.strerror,
    )  # fmt: skip
