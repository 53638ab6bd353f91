"""How a table of text is encoded: by its mark, as UTF-8, or as Chinese text of older programs."""

import codecs
import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mien.errors import ConfigError, CorpusError
from mien.files.reading import HEAD_SIZE, name_kind, open_regular, show

__all__ = ["LONGEST_LINE", "find_encoding", "read_lines"]

logger = logging.getLogger(__name__)

#: Characters of the longest line, and of the longest cell.
LONGEST_LINE = 1 << 23
#: Bytes of the largest table; those of the field have a hundredth of it.
_LARGEST = 1 << 30
_CHUNK = 1 << 20
#: Marks at the beginning of a file; that of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_CHINESE = "gb18030"
#: The first bytes of the characters of GB 2312 that are in common use, sorted by sound.
_COMMON = range(0xB0, 0xD8)
_OTHERS = re.compile(r"[^\x00-\x7f]+")
#: Share of common characters, and length of a run of characters that are no ASCII, from which text
#: is Chinese: what other encodings give when they are read so is rare characters among letters.
_COMMON_SHARE, _RUN = 0.6, 1.8
#: The most frequent characters of Chinese, and their least share of a text that is not short:
#: Korean text that is read so is made of common characters too, but of others.
_FREQUENT = frozenset(
    "的一是不了在人有我他这个们来到时大说就那你也要对没好去都自己很吗呢啊什么会能看想知道给"
)
_LEAST_FREQUENT, _NOT_SHORT = 0.05, 50
#: Share of the characters beyond ASCII that are sound in UTF-8 of which a part is damaged.
_SOUND_SHARE = 0.9


def read_lines(path: Path, encoding: str | None = None) -> Iterator[str]:
    """Yield the lines of a table with their ends, in bounded memory.

    Args:
        path: The file.
        encoding: Its encoding, as Python calls it; None finds it out.

    Raises:
        CorpusError: If it cannot be read or decoded, or a line is too long.
        ConfigError: If there is no such encoding.
    """
    with open_regular(path, CorpusError) as file:
        head = file.read(HEAD_SIZE)
    if not head.startswith(_WORKBOOKS) and (kind := name_kind(head)) is not None:
        raise CorpusError(f"{path}: is not a table but {kind}")
    encoding = find_encoding(path) if encoding is None else _check_name(encoding)
    number = 0
    with (
        open_regular(path, CorpusError) as file,
        io.TextIOWrapper(file, encoding=encoding, newline="") as text,
    ):
        try:
            while line := text.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    raise CorpusError(
                        f"{path}:{number}: the line has more than {LONGEST_LINE} characters; "
                        "is it a table?"
                    )
                yield line
        except OSError as error:
            raise CorpusError(f"{path}: cannot be read ({error.strerror})") from error
        except UnicodeError as error:
            raise CorpusError(
                f"{path}:{number + 1}: is not {encoding.upper()} ({_explain(error)}); save it as "
                "UTF-8, or state its encoding, for example --encoding gb18030"
            ) from error


def find_encoding(path: Path, otherwise: str | None = None) -> str:
    """Return the encoding of a table: by its mark, else UTF-8, else Chinese if it reads as that.

    Args:
        path: The file.
        otherwise: The encoding of text that is none of these; None refuses it. With one, UTF-8 of
            which a few characters are damaged is read as that.

    Raises:
        CorpusError: If it is none of these, or no text.
    """
    with open_regular(path, CorpusError) as file:
        head = file.read(4096)
        marked = next((name for mark, name in _MARKS if head.startswith(mark)), None)
        if marked is not None:
            if not marked.startswith("utf-8"):
                logger.info("%s: is read as %s", path, marked.upper())
            return marked
        if head.startswith(_WORKBOOKS):
            raise CorpusError(f"{path}: is a workbook, not text; save it as CSV in UTF-8")
        if b"\0" in head:
            return _find_wide(head, path)
        error = _find_error(file, "utf-8")
        if error is None:
            return "utf-8"
        is_damaged = _is_mostly_utf8(file)
        if not is_damaged and _find_error(file, _CHINESE) is None and _is_chinese(file):
            logger.warning(
                "%s: is not UTF-8, and is read as %s; if the text is wrong, state its encoding "
                "(--encoding)",
                path,
                _CHINESE.upper(),
            )
            return _CHINESE
    if otherwise is not None:
        lack = f"is damaged ({_explain(error)})" if is_damaged else "is not UTF-8"
        encoding = "UTF-8" if is_damaged else otherwise
        logger.warning("%s: %s, and is read as %s", path, lack, encoding)
        return encoding
    raise CorpusError(
        f"{path}: is not UTF-8 ({_explain(error)}); save it as UTF-8, or state its encoding, for "
        "example --encoding latin-1"
    )


def _check_name(encoding: str) -> str:
    """Return the name of an encoding of text."""
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=encoding).read()
    except (LookupError, ValueError):  # also for a name that holds NUL
        raise ConfigError(
            f"--encoding {show(encoding)}: there is no such encoding; expected a name such as "
            "utf-8, utf-16, gb18030, latin-1 or cp1252"
        ) from None
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def _find_wide(head: bytes, path: Path) -> str:
    """Return which UTF-16 without a mark a file is, by where its zeros are."""
    for name, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if zeros.count(0) > len(zeros) / 3:
            logger.info("%s: is read as %s", path, name.upper())
            return name
    raise CorpusError(f"{path}: holds zero bytes, so it is not text; save it as CSV in UTF-8")


def _find_error(file: IO[bytes], encoding: str) -> UnicodeDecodeError | None:
    """Return why a file cannot be decoded."""
    decoder = codecs.getincrementaldecoder(encoding)()
    file.seek(0)
    size = 0
    try:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            if size > _LARGEST:
                raise CorpusError(
                    f"{file.name}: is larger than {_LARGEST >> 20} MB; is it the right file?"
                )
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        return error
    return None


def _read_sample(file: IO[bytes], encoding: str) -> str:
    file.seek(0)
    return codecs.getincrementaldecoder(encoding)(errors="replace").decode(file.read(_CHUNK))


def _is_mostly_utf8(file: IO[bytes]) -> bool:
    """Return whether a file is UTF-8 of which a few characters are damaged."""
    others = "".join(_OTHERS.findall(_read_sample(file, "utf-8")))
    return 1 - others.count("\ufffd") / max(len(others), 1) > _SOUND_SHARE


def _is_chinese(file: IO[bytes]) -> bool:
    runs = _OTHERS.findall(_read_sample(file, _CHINESE))
    text = "".join(runs)
    hanzi = [sign for sign in text if "\u4e00" <= sign <= "\u9fff"]
    frequent = sum(sign in _FREQUENT for sign in hanzi)
    codes = (sign.encode("gb2312", "ignore") for sign in hanzi)
    common = sum(code[0] in _COMMON for code in codes if code)
    return (
        len(hanzi) > len(text) / 2
        and common >= _COMMON_SHARE * len(hanzi)
        and len(text) >= _RUN * len(runs)
        and (len(hanzi) < _NOT_SHORT or frequent >= _LEAST_FREQUENT * len(hanzi))
    )


def _explain(error: UnicodeError) -> str:
    """Return a decoder's reason without what it was given, which has no end."""
    if isinstance(error, UnicodeDecodeError):
        return f"{error.reason}, byte 0x{error.object[error.start]:02x}"
    return show(str(error))
