"""The user's folders for data that stay and for what can be computed again."""

import os
from pathlib import Path

import platformdirs

__all__ = ["cache_folder", "data_folder", "expand_home"]


def data_folder() -> Path:
    """Return the folder in which this project keeps data of the user; it may not exist yet.

    ``MIEN_DATA`` if it is set, else ``mien`` in the folder that the platform has for such data.
    """
    if chosen := os.environ.get("MIEN_DATA"):
        return expand_home(chosen).absolute()
    return platformdirs.user_data_path("mien", appauthor=False)


def cache_folder() -> Path:
    """Return the folder of results computed once; it may not exist yet.

    ``MIEN_CACHE`` if it is set, else ``mien`` in the folder that the platform has for caches.
    """
    if "MIEN_CACHE" in os.environ:
        return Path(os.environ["MIEN_CACHE"])
    return platformdirs.user_cache_path("mien", appauthor=False)


def expand_home(path: str) -> Path:
    """Put the home folder in place of ``~``; an unknown ``~user`` stays, where pathlib fails."""
    return Path(os.path.expanduser(path))  # noqa: PTH111
