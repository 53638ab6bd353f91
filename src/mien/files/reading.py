"""Files of users, opened so that they cannot block, grow without end or end in a traceback.

A path may lead to a pipe, a device or a folder; a file may promise more than it holds, or hold more
than memory does. Whatever is wrong with it becomes one sentence, in which text of the file is short
and cannot steer a terminal.
"""

import json
import os
import re
import reprlib
import stat
import tomllib
import unicodedata
from io import BufferedReader
from pathlib import Path
from typing import Any

from mien.errors import MienError

__all__ = [
    "HEAD_SIZE",
    "as_printable",
    "name_kind",
    "open_regular",
    "parse_json",
    "parse_toml",
    "read_limited",
    "replace_halves",
    "require_regular",
    "require_whole",
    "show",
]

_MEGABYTE = 1 << 20
#: Kinds of characters that a terminal acts on instead of showing them.
_CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
#: What turns the direction of writing.
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

#: How files begin that are given in the place of others, and what they are.
_KINDS = (
    (rb"\s*<(!doctype html|html)", "a web page, not what was to be downloaded from it"),
    (rb"version https://git-lfs", "a pointer of Git LFS (git lfs pull brings the file)"),
    (rb"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9|PK\x03\x04.{26}[^/]+/data\.pkl", "a file of torch.save"),
    (rb"PK\x03\x04.{26}[^/]+\.npy", "an npz file of NumPy"),
    (rb"PK\x03\x04|7z\xbc\xaf\x27\x1c|Rar!\x1a", "an archive, which is to be unpacked"),
    (rb"\x1f\x8b|BZh\d1AY|\xfd7zXZ|\x28\xb5\x2f\xfd", "a compressed file, which is to be unpacked"),
    (rb"\x93NUMPY", "an npy file of NumPy"),
    (rb"\x89HDF\r\n", "an HDF5 file"),
    (rb"MATLAB 5\.0", "a MATLAB file"),
    (rb"%PDF-", "a PDF"),
    (rb"\x08[\x01-\x20]\x12[\x01-\x40][ -~]", "an ONNX network, which onnxruntime reads"),
    (rb"\x80[\x02-\x05]", "a pickle"),
)
#: Bytes from its beginning that tell what a file is.
HEAD_SIZE = 512


def name_kind(head: bytes) -> str | None:
    """Say what a file is, for a message that another kind is expected; None if it is not known.

    Args:
        head: Its first bytes, at most ``HEAD_SIZE``.

    >>> name_kind(b"<!DOCTYPE html>"), name_kind(b"id,text")
    ('a web page, not what was to be downloaded from it', None)
    """
    kinds = (kind for start, kind in _KINDS if re.match(start, head, re.DOTALL | re.IGNORECASE))
    return next(kinds, None)


def show(value: object, *, most: int = 80) -> str:
    r"""Return a value of a file as a message shows it: as Python writes it, and short.

    Args:
        value: A file can hold texts and numbers without end.
        most: Characters that are shown.

    >>> show("a" * 100, most=4), show("\x1b[31m")
    ("'aaaa'...", "'\\x1b[31m'")
    """
    if isinstance(value, str | bytes):
        return f"{value[:most]!r}{'...' if len(value) > most else ''}"
    shortened = reprlib.Repr()
    shortened.maxlist = shortened.maxtuple = shortened.maxdict = shortened.maxset = most
    shortened.maxstring = shortened.maxother = most
    try:
        text = shortened.repr(value)
    except ValueError:
        return "a number with thousands of digits"
    return text if len(text) <= most else f"{text[:most]}..."


def as_printable(text: str, *, most: int = 6000) -> str:
    r"""Return a message with control characters written out, and no longer than it may be.

    Args:
        text: May hold names of files, and text out of them.
        most: Characters that are left of it; a path alone can have four thousand.

    >>> as_printable("a\x1b[2Jb\nc")
    'a\\x1b[2Jb\\nc'
    """
    shown = text if len(text) <= most else f"{text[:most]}..."
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in _CONTROLS or character in _TURNS
        else character
        for character in shown
    )


def open_regular(path: Path, error: type[MienError]) -> BufferedReader:
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
        raise error(f"{path}: is {kind}; expected a file")
    return os.fdopen(handle, "rb")


def require_regular(folder: Path, error: type[MienError]) -> None:
    """Refuse a folder that holds a pipe or a device, before a library waits for its end.

    Args:
        folder: A folder whose files another library is going to open.
        error: What is raised.

    Raises:
        MienError: Of the kind ``error``: if the folder cannot be listed, or a file in it is not a
            regular one or cannot be read.
    """
    try:
        files = sorted(path for path in folder.iterdir() if not path.is_dir())
    except OSError as caught:
        raise error(f"{folder}: cannot be read ({caught.strerror}); check the path") from caught
    for path in files:
        open_regular(path, error).close()


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


def replace_halves(text: str) -> str:
    r"""Replace halves of characters (lone surrogates), as UTF-8 has none; pairs are joined.

    >>> replace_halves("a\ud83d\ude00"), replace_halves("a\ud800b")
    ('a😀', 'a�b')
    """
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def require_whole(text: str, what: str, error: type[MienError]) -> None:
    """Refuse a text with half of a character, which is what bytes of another coding come as.

    Args:
        text: The text.
        what: What it is, for the message.
        error: What is raised.

    Raises:
        MienError: Of the kind ``error``, if it cannot be written in UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError as caught:
        half = ascii(text[caught.start])
        raise error(
            f"{what} holds half of a character at place {caught.start + 1} ({half}): it was not in "
            "UTF-8; give it in UTF-8"
        ) from None


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
