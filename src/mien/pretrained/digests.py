"""Whether files are those that are known by their sha256, each of them hashed once."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from mien.errors import AssetError
from mien.files.hashing import hash_file
from mien.files.json_values import write_json
from mien.files.user_folders import data_folder
from mien.pretrained.registry import AssetFile

__all__ = ["find_damage"]


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


def _digest_of(path: Path) -> str:
    """Return the sha256 of a file, from memory if its size and time of change are known."""
    stat = path.stat()
    seen = [stat.st_size, stat.st_mtime_ns]
    digests = _read_digests()
    match digests.get(str(path)):
        case [size, changed, str(digest)] if [size, changed] == seen:
            return digest
    digest = hash_file(path, AssetError)
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
