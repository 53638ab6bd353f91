"""Transcripts of the MER challenges and of corpora that MERTools has prepared (lian2023).

transcription.csv                     name, and the text as ``sentence``
transcription-engchi-polish.csv       name, chinese, english: what MERTools reads
transcription-merge.csv, label-transcription.csv, subtitle_chieng.csv     the same in other years
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path

from mien.corpora.clip_table.encodings import find_encoding
from mien.corpora.clip_table.rows import read_header
from mien.corpora.emotion_layouts.layout_parts import describe_names, drop_suffix, iterate_rows
from mien.errors import ConfigError, CorpusError
from mien.files.reading import show

__all__ = ["is_text_table", "read_texts"]

logger = logging.getLogger(__name__)

_TABLE = re.compile(r"(?!\.).*(?:transcri|subtitle).*\.csv", re.IGNORECASE)
#: Which table is read where there are several: what MERTools reads, then what it is made from.
#: ``label-transcription.csv`` of MER2024 has clips of train alone.
_ORDER = ("engchi-polish", "polish", "merge", "transcription.csv", "transcripts.csv", "subtitle")
_PLAIN = ("sentence", "text", "transcription", "transcript")
#: The columns of a text in two languages, by ISO 639-1 codes.
_LANGUAGES: Mapping[str, str] = {"zh": "chinese", "en": "english"}


def is_text_table(path: Path) -> bool:
    """Return whether a table holds transcripts, by its name."""
    return _TABLE.fullmatch(path.name) is not None


def read_texts(folder: Path, language: str | None) -> dict[str, str]:
    """Read the transcripts of a folder, if it has a table of them.

    Args:
        folder: The folder.
        language: ISO 639-1 code of what is said, by which one of two columns is chosen; None if it
            is not known.

    Returns:
        The text of every clip by its name; empty where there is no table, which is logged.

    Raises:
        ConfigError: If there are columns of two languages, and none that is spoken.
        CorpusError: If a row is not as it should be, or two rows of a clip differ.
    """
    tables = sorted(filter(is_text_table, folder.iterdir()), key=_rank)
    if not tables:
        logger.warning("%s: has no transcription.csv; clips have no transcripts", folder)
        return {}
    path, *others = tables
    column = _choose_column(path, language)
    beside = f"; not {describe_names([other.name for other in others])}" if others else ""
    logger.info("%s: transcripts are column %s of %s%s", folder, show(column), path.name, beside)
    rows = iterate_rows(path, {"name": ("name",), "text": (column,)}, may_be_short=True)
    texts: dict[str, str] = {}
    for line, cells in rows:
        name, text = drop_suffix(cells["name"].strip()), cells["text"].strip()
        if texts.setdefault(name, text) != text:
            raise CorpusError(
                f"{path}:{line}: clip {show(name)} is already there with another text; leave one"
            )
    return texts


def _rank(path: Path) -> tuple[int, str]:
    name = path.name.lower()
    return next(
        (at for at, part in enumerate(_ORDER) if part in name and not name.startswith("label")),
        len(_ORDER),
    ), name


def _choose_column(path: Path, language: str | None) -> str:
    """Return the column of the text that was said, and not of its translation."""
    there = [name.strip().lower() for name in read_header(path, find_encoding(path))]
    own = next((name for name in _PLAIN if name in there), None)
    if own is not None:
        return own
    columns = {code: name for code, name in _LANGUAGES.items() if name in there}
    if language in columns:
        return columns[language]
    if len(columns) == 1:
        (column,) = columns.values()
        return column
    if not columns:
        return _PLAIN[0]  # the message of the reader names what is there
    raise ConfigError(
        f"{path}: has the text in {' and in '.join(columns.values())}; state what is said "
        f"(--language {' or '.join(columns)})"
    )
