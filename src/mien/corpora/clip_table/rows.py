"""The one reader of tables of clips: separator, rows, columns; whatever program wrote them."""

import csv
import itertools
import logging
import re
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mien.corpora.clip_table.cells import is_mark_of_nothing
from mien.corpora.clip_table.columns import SYNONYMS, Columns, find_columns, normalise
from mien.corpora.clip_table.encodings import LONGEST_LINE, read_lines
from mien.corpora.clip_table.separators import SEPARATORS, find_separator
from mien.corpora.clip_table.target_cells import TargetValues, read_targets
from mien.corpora.clip_table.target_requests import TargetRequest
from mien.errors import CorpusError
from mien.files.reading import show
from mien.types import Scale, Target

__all__ = ["TableRows", "has_labels", "read_cells", "read_header", "read_rows", "skip_blank"]

logger = logging.getLogger(__name__)

#: More clips, and more text, than any corpus of the field has by a factor of twenty.
_MOST_ROWS = 500_000
_MOST_CHARACTERS = 200_000_000
_INTEGER = re.compile(r"\d+")
_FLOAT = re.compile(r"(\d+)\.0")


class TableRows(NamedTuple):
    """A table of clips.

    Attributes:
        header: The names of the columns, as they are written.
        columns: Which of them are read.
        rows: First line and cells of every row; the cells by the field's names of the columns.
        targets: What is annotated besides the label.
        values: Values of the targets of each row, by its first line; rows without are left out.
    """

    header: tuple[str, ...]
    columns: Columns
    rows: list[tuple[int, dict[str, str]]]
    targets: tuple[Target, ...] = ()
    values: Mapping[int, TargetValues] = MappingProxyType({})


def read_rows(
    path: Path,
    *,
    required: Sequence[str],
    known: Sequence[str],
    encoding: str | None = None,
    targets: Sequence[TargetRequest] = (),
) -> TableRows:
    """Read a table of clips: separated by commas, semicolons or tabs, with a header.

    Numbers of clips that pandas has made ``1.0`` are ``1`` again. Rows without any text are left
    out.

    Args:
        path: The file.
        required: Columns that must be there; ``label`` only where there is no target.
        known: Columns that are read; the others are listed.
        encoding: Its encoding; None finds it out.
        targets: What is stated of targets; ``emotion`` is read without that.

    Raises:
        CorpusError: If the file is no such table, or not of these columns, or a cell of a target
            is not as it should be.
    """
    names, separator, table = _open_table(path, known, encoding)
    if separator != ",":
        logger.info("%s: cells are separated by %s", path, SEPARATORS[separator])
    body = list(_check_rows(table, names, separator, path))
    annotated = read_targets(path, names, body, targets)
    columns = find_columns(
        names,
        lambda at: [cells[at].strip() for _, cells in body],
        path,
        required=[name for name in required if name != "label" or not annotated.targets],
        known=known,
        taken=annotated.columns,
    )
    rows = [
        (line, {name: cells[at].strip() for name, at in columns.positions.items()})
        for line, cells in body
    ]
    _mend_ids(rows)
    return TableRows(names, columns, rows, annotated.targets, annotated.values)


def read_header(path: Path, encoding: str | None = None) -> tuple[str, ...]:
    """Return the names of the columns of a table; no more of it is read.

    Args:
        path: The file.
        encoding: Its encoding; None finds it out.

    Raises:
        CorpusError: If it cannot be read or decoded, or its header is no line of a table.
    """
    names, _, table = _open_table(path, tuple(SYNONYMS), encoding)
    table.close()
    return names


def _open_table(
    path: Path, known: Sequence[str], encoding: str | None
) -> tuple[tuple[str, ...], str, Generator[tuple[int, list[str]]]]:
    """Return the names of the columns, what separates cells, and an iterator over the rows."""
    if csv.field_size_limit() < LONGEST_LINE:
        csv.field_size_limit(LONGEST_LINE)
    lines = read_lines(path, encoding)
    first = skip_blank(lines)
    names = {other for name in known for other in (normalise(name), *SYNONYMS[name])}
    separator = find_separator(first.text, lambda column: normalise(column) in names)
    table = read_cells(itertools.chain([first.text], lines), first.skipped, separator, path)
    _, header = next(table, (1, []))
    return tuple(name.strip() for name in header), separator, table


def has_labels(
    path: Path, table: TableRows, scale: Scale | None, *, is_optional: bool = True
) -> bool:
    """Return whether the clips of a table have labels that can be read.

    Args:
        path: The table, for messages.
        table: The table.
        scale: Range of the labels, if it is given.
        is_optional: Whether a column that is the label by a synonym alone is left alone where no
            scale is given.

    Raises:
        CorpusError: If there are labels, and their range is not given.
    """
    there = any(row.get("label") for _, row in table.rows)
    if not there or scale is not None:
        return there
    written = table.columns.names["label"]
    if is_optional and normalise(written) != "label":
        are_classes = normalise(written) == "emotion"
        logger.warning(
            "%s: column %s is not used; if it is the label, state its range (--scale LOW,HIGH)%s",
            path,
            show(written),
            f", if its numbers are classes, list them (--target {written}=0,1,...)" * are_classes,
        )
        return False
    _refuse_words(path, table)
    is_class = normalise(written) in ("emotion", "valence")
    advice = f"; if they are none, state the target (--target {written}=...)" if is_class else ""
    raise CorpusError(
        f"{path}: has labels; give their range (--scale LOW,HIGH), or the corpus (--corpus mosi, "
        f"mosei, sims or sims2){advice}"
    )


def _refuse_words(path: Path, table: TableRows) -> None:
    """Refuse labels that are words: to ask for their range would lead nowhere."""
    for line, row in table.rows:
        cell = row.get("label", "")
        if cell and not is_mark_of_nothing(cell) and not any(sign.isdigit() for sign in cell):
            raise CorpusError(
                f"{path}:{line}: {table.columns.names['label']} is {show(cell)}, but labels are "
                "numbers; call a column of classes emotion, or give it another name, which "
                "--target NAME=CLASS,CLASS states"
            )


class _First(NamedTuple):
    """The line of the header, and how many lines are before it."""

    text: str
    skipped: int


def skip_blank(lines: Iterator[str]) -> _First:
    """Find the header; Excel may say the separator in a line before it."""
    for number, line in enumerate(lines):
        if line.strip() and not line.strip().lower().startswith("sep="):
            return _First(line, number)
    return _First("", 0)


def read_cells(
    lines: Iterable[str], skipped: int, separator: str, path: Path
) -> Generator[tuple[int, list[str]]]:
    """Yield the first line and the cells of every row that has any text, the header's first.

    Args:
        lines: The lines, from the header.
        skipped: How many lines are before that.
        separator: What separates cells.
        path: The table, for messages.

    Raises:
        CorpusError: If they are no CSV.
    """
    reader = csv.reader(lines, delimiter=separator, strict=True)
    line = skipped + 1
    try:
        for cells in reader:
            if cells == [""] or any(cell.strip() for cell in cells):
                yield line, cells
            line = skipped + reader.line_num + 1
    except csv.Error as error:
        number = skipped + reader.line_num
        raise CorpusError(f"{path}:{number}: is not CSV ({error})") from error


def _check_rows(
    table: Iterable[tuple[int, list[str]]], names: Sequence[str], separator: str, path: Path
) -> Iterator[tuple[int, list[str]]]:
    num_characters = 0
    for number, (line, cells) in enumerate(table):
        num_characters += sum(map(len, cells))
        if number == _MOST_ROWS or num_characters > _MOST_CHARACTERS:
            raise CorpusError(
                f"{path}:{line}: a table has at most {_MOST_ROWS} rows and {_MOST_CHARACTERS} "
                "characters; is it a table of clips?"
            )
        if len(cells) != len(names):
            raise CorpusError(
                f"{path}:{line}: has {len(cells)} cells, the header has {len(names)}; "
                f"a text with {SEPARATORS[separator]} must stand in quotes"
            )
        yield line, cells


def _mend_ids(rows: Sequence[tuple[int, dict[str, str]]]) -> None:
    """Turn numbers of clips that pandas has made floats into whole numbers again.

    That is done where all cells of a column are such numbers, and none is also there without its
    decimal.
    """
    for column in ("video_id", "clip_id"):
        cells = {row.get(column, "") for _, row in rows} - {""}
        floats = {cell for cell in cells if _FLOAT.fullmatch(cell)}
        others = cells - floats
        if not floats or not all(_INTEGER.fullmatch(cell) for cell in others):
            continue
        if others & {cell.removesuffix(".0") for cell in floats}:
            continue
        for _, row in rows:
            row[column] = row[column].removesuffix(".0")
