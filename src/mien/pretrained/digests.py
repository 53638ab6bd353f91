"""The sha256 of files, computed once: whether they are those that are known, and fingerprints."""

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from mien.errors import AssetError
from mien.files.hashing import hash_file, hash_files
from mien.files.json_values import write_json
from mien.files.user_folders import data_folder
from mien.pretrained.registry import AssetFile

__all__ = ["REMEMBERED_FROM", "digest_of_folder", "find_damage"]

#: From so many bytes on a digest is remembered; below, computing it costs as little.
REMEMBERED_FROM: Final = 16 * 2**20


def find_damage(folder: Path, files: Mapping[str, AssetFile]) -> str:
    """Return what is wrong with the first file that is not as it should be, or nothing.

    A file is hashed once: its sha256 is remembered in the user's data folder, by path, size and
    time of change.

    Args:
        folder: Where the files lie.
        files: What each must be, by its path inside the folder.

    Raises:
        AssetError: If a file cannot be read.
    """
    for name, wanted in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if (size := path.stat().st_size) != wanted.size:
            return f"{name} has {size} bytes, not {wanted.size}"
        if (digest := _digest_of(path)) != wanted.sha256:
            return f"{name} has sha256 {digest[:8]}…, not {wanted.sha256[:8]}…"
    return ""


def digest_of_folder(folder: Path, files: Sequence[Path]) -> str:
    """Return the sha256 of files of a folder as if they were one, the name of each before it.

    If they are large, it is remembered as ``find_damage`` does.

    Raises:
        AssetError: If a file cannot be read.
    """

    def compute() -> str:
        return hash_files(files, AssetError, with_names=True)

    there = [path.stat().st_size for path in files if path.is_file()]
    if len(there) < len(files) or sum(there) < REMEMBERED_FROM:
        return compute()
    seen = [value for path in files for value in (path.name, *_state_of(path))]
    return _remember(folder, seen, compute)


def _digest_of(path: Path) -> str:
    """Return the sha256 of a file, from memory if its size and time of change are known."""
    return _remember(path, _state_of(path), lambda: hash_file(path, AssetError))


def _state_of(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _remember(path: Path, seen: Sequence[object], compute: Callable[[], str]) -> str:
    """Return the digest of what is at a path, from memory if that was seen in the same state."""
    digests = _read_digests()
    match digests.get(str(path)):
        case [*known, str(digest)] if known == seen:
            return digest
    digest = compute()
    digests[str(path)] = [*seen, digest]
    _write_digests({name: entry for name, entry in digests.items() if Path(name).exists()})
    return digest


def _read_digests() -> dict[str, object]:
    with contextlib.suppress(OSError, ValueError):
        values = json.loads(_digests_path().read_text(encoding="utf-8"))
        if isinstance(values, dict):
            return values
    return {}


def _write_digests(digests: Mapping[str, object]) -> None:
    """Remember the digests; where the data folder cannot be written they are computed again."""
    path = _digests_path()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, digests, indent=0)


def _digests_path() -> Path:
    return data_folder() / "assets" / ".digests.json"
