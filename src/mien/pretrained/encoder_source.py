"""Where a text encoder comes from, and what its files are."""

from pathlib import Path

from mien.errors import AssetError
from mien.files.hashing import hash_files

__all__ = ["fingerprint_of"]


def fingerprint_of(source: Path | str) -> str:
    """Return the SHA-256 of a local encoder's files; its name for one of a hub.

    Raises:
        AssetError: If a file cannot be read.
    """
    if isinstance(source, str):
        return f"hub:{source}"
    files = sorted([*source.glob("*.safetensors"), *source.glob("*.bin"), *source.glob("*.json")])
    return hash_files(files, AssetError, with_names=True)
