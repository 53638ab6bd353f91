"""Files of users, opened so that they cannot block, grow without end or end in a traceback.

A path may lead to a pipe, a device or a folder; a file may promise more than it holds, or hold more
than memory does. Whatever is wrong with it becomes one sentence.
"""

import json
import os
import stat
import tomllib
from pathlib import Path
from typing import IO, Any

from mien.errors import MienError

__all__ = ["open_regular", "parse_json", "parse_toml", "read_limited"]

_MEGABYTE = 1 << 20


def open_regular(path: Path, error: type[MienError]) -> IO[bytes]:
    """Open a regular file for reading; nothing else is waited for.

    Args:
        path: The file.
        error: What is raised if it cannot be opened.

    Raises:
        MienError: Of the kind ``error``: if it is not there, cannot be read, or is no regular file.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise error(f"{path}: is not there; check the path") from None
    except (OSError, ValueError) as caught:
        reason = getattr(caught, "strerror", None) or str(caught)
        raise error(f"{path}: cannot be read ({reason}); check the path") from caught
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        kind = "a folder" if path.is_dir() else "not a regular file"
        raise error(f"{path}: is {kind}; expected is a file")
    return os.fdopen(handle, "rb")


def read_limited(path: Path, error: type[MienError], *, most: int) -> str:
    """Read a whole file of text in UTF-8, with or without a byte order mark.

    Args:
        path: The file.
        error: What is raised if it cannot be read.
        most: Largest size in bytes.

    Raises:
        MienError: Of the kind ``error``: as ``open_regular``, and if it is too large or no UTF-8.
    """
    with open_regular(path, error) as file:
        try:
            data = file.read(most + 1)
        except OSError as caught:
            raise error(f"{path}: cannot be read ({caught.strerror}); check the disk") from caught
    if len(data) > most:
        raise error(f"{path}: is larger than {most / _MEGABYTE:g} MB; is it the right file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as caught:
        raise error(f"{path}: is not text in UTF-8 ({caught}); save it as UTF-8") from caught


def parse_json(text: str, where: object, error: type[MienError]) -> Any:  # noqa: ANN401  # any JSON
    """Parse JSON of a user.

    Raises:
        MienError: Of the kind ``error``, if it is no JSON, or nested too deep.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise error(f"{where}: is nested too deep to be read as JSON") from None
    except ValueError as caught:
        raise error(f"{where}: is not JSON ({caught})") from caught


def parse_toml(text: str, where: object, error: type[MienError]) -> dict[str, Any]:
    """Parse TOML of a user.

    Raises:
        MienError: Of the kind ``error``, if it is no TOML, nested too deep, or has a number of
            thousands of digits.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise error(f"{where}: is nested too deep to be read as TOML") from None
    except ValueError as caught:  # also for numbers with too many digits
        reason = str(caught).partition(";")[0]
        raise error(f"{where}: is not TOML: {reason}") from caught
