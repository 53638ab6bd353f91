"""SHA-256 of files, and of values that JSON can hold."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mien.errors import MienError
from mien.files.reading import open_regular

__all__ = ["hash_file", "hash_files", "hash_json"]


def hash_file(path: Path, error: type[MienError]) -> str:
    """Return the SHA-256 of a file, which is read in blocks.

    Args:
        path: The file.
        error: What is raised if it cannot be opened.

    Raises:
        MienError: Of the kind ``error``, as ``open_regular``.
    """
    return hash_files([path], error)


def hash_files(paths: Iterable[Path], error: type[MienError], *, with_names: bool = False) -> str:
    """Return the SHA-256 of files as if they were one, end to end in the given order.

    Args:
        paths: The files.
        error: What is raised if one cannot be opened.
        with_names: Whether the name of each file is hashed before its content.

    Raises:
        MienError: Of the kind ``error``, as ``open_regular``.
    """
    digest = hashlib.sha256()
    for path in paths:
        if with_names:
            digest.update(path.name.encode())
        with open_regular(path, error) as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def hash_json(values: Any, *, digits: int = 24) -> str:  # noqa: ANN401  # whatever JSON can hold
    """Return a short hash of plain values, for the name of a file or folder.

    Args:
        values: What JSON can hold; the order of the keys of a dict does not count.
        digits: Hexadecimal digits of the hash, up to 64.
    """
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
