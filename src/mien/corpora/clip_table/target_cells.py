"""The targets of a table: their kinds and classes, and the values of every row."""

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mien.corpora.class_names.naming import Naming, find_naming
from mien.corpora.clip_table.cells import is_mark_of_nothing, read_number
from mien.corpora.clip_table.target_headings import TargetColumn, find_target_columns
from mien.corpora.clip_table.target_requests import EMOTION, TargetRequest
from mien.errors import CorpusError
from mien.files.reading import show
from mien.types import Scale, Target, TargetKind, Task

__all__ = ["TableTargets", "TargetValues", "read_targets"]

logger = logging.getLogger(__name__)

#: What may stand between several classes in one cell; the first that a table has, and no other.
_SEPARATORS = ("|", ";", ",")
#: Cells with several classes, as a share of all, below which they look like slips.
_FEW_JOINED = 0.05
#: A list, tuple or set of names as Python, JSON and NumPy write them, and a name in it.
_NAMES = r"\s*((?:(?:'[^']*'|\"[^\"]*\")[\s,]*)*)"
_LIST = re.compile(rf"\[{_NAMES}\]|\({_NAMES}\)|\{{{_NAMES}\}}|set\(\)")
_ITEM = re.compile(r"(['\"])(.*?)\1")
#: A cell that a program has written from some value, a list or not.
_BRACKETS = re.compile(r"\[.*\]|\{.*\}|\(.*,.*\)", re.DOTALL)
#: Where a label, a number of votes, and a score without a range lie.
_SHARE, _AMOUNT = Scale(0, 1), Scale(0, float("inf"))
_ANY = Scale(-float("inf"), float("inf"))
#: What programs write for whether a class is there.
_TRUTHS = {"true": "1", "false": "0"}

Rows = Sequence[tuple[int, Sequence[str]]]
#: Values of a clip, by target and task.
TargetValues = Mapping[str, Mapping[Task, tuple[float, ...]]]


class TableTargets(NamedTuple):
    """The targets of a table.

    Attributes:
        columns: Places of the columns that hold them.
        targets: What there is.
        values: The values of each row, by its first line; rows without any are left out.
    """

    columns: frozenset[int]
    targets: tuple[Target, ...]
    values: Mapping[int, TargetValues]


def read_targets(
    path: Path, header: Sequence[str], rows: Rows, requests: Sequence[TargetRequest]
) -> TableTargets:
    """Read the targets of a table.

    A target has one column, ``emotion``, and may have one per modality, ``emotion_audio``. With a
    column per class, ``emotion:angry``, these hold votes or shares; intensities, if a range is
    stated; or 0 and 1, if labels are. A clip without votes has the class of the column ``emotion``,
    if there is one. Several classes in a cell stand with ``|`` between them, or as a list
    (``['angry', 'sad']``); ``|`` or ``[]`` alone says that none is there. An empty cell is one that
    nobody annotated.

    Args:
        path: The table, for messages.
        header: The names of all columns.
        rows: First line and cells of every row.
        requests: What is stated of targets.

    Raises:
        CorpusError: If a cell is not as it should be; the sentence has its line.
    """
    columns = find_target_columns(
        header, lambda at: [cells[at].strip() for _, cells in rows], path, requests
    )
    stated = {request.name: request for request in requests}
    by_target = defaultdict[str, list[TargetColumn]](list)
    for column in columns:
        by_target[column.target].append(column)
    targets = []
    values = defaultdict[int, dict[str, dict[Task, tuple[float, ...]]]](dict)
    for name, own in by_target.items():
        reader = _TargetReader(path, header, rows, stated.get(name, TargetRequest(name=name)), own)
        targets.append(reader.target)
        for line, task, read in reader.read():
            values[line].setdefault(name, {})[task] = read
    return TableTargets(frozenset(column.at for column in columns), tuple(targets), dict(values))


class _TargetReader:
    """Reads one target of a table."""

    def __init__(
        self,
        path: Path,
        header: Sequence[str],
        rows: Rows,
        request: TargetRequest,
        columns: Sequence[TargetColumn],
    ) -> None:
        self._path, self._header, self._rows, self._request = path, header, rows, request
        self._single = {c.task: c.at for c in columns if c.class_name is None}
        self._by_class = defaultdict[Task, dict[str, int]](dict)
        for column in columns:
            if column.class_name is not None:
                self._by_class[column.task][column.class_name] = column.at
        self._num_cut = 0
        self._check_brackets()
        self._separator = self._find_separator()
        self.target = self._describe()

    def read(self) -> Iterator[tuple[int, Task, tuple[float, ...]]]:
        """Yield line, task and values of all that is annotated."""
        for line, cells in self._rows:
            for task in Task:
                values = self._read_cells(line, task, cells)
                if values is not None:
                    yield line, task, values
        if self._num_cut:
            low, high = self.target.bounds
            logger.warning(
                "%s: %s: %d rows have values off %g to %g; they are cut",
                self._path, self.target.name, self._num_cut, low, high,
            )  # fmt: skip

    def _describe(self) -> Target:
        request, has_columns = self._request, bool(self._by_class)
        if request.scale is not None and not has_columns:
            self._naming = Naming((), {})
            return Target(name=request.name, kind=TargetKind.SCORE, scale=request.scale)
        self._naming = find_naming(
            request.name,
            self._count_names(),
            self._path,
            classes=request.classes,
            scheme=request.scheme,
            is_emotion=request.name == EMOTION,
            are_votes=not self._single,
        )
        if request.scale is not None:
            self._check_intensities()
        if not self._naming.classes:
            raise CorpusError(f"{self._path}: {request.name} has no classes; no cell names one")
        kind = TargetKind.CLASS
        if request.scale is not None:
            kind = TargetKind.INTENSITIES
        elif request.are_labels or (self._separator and not request.classes):
            kind = TargetKind.LABELS
            self._report_several()
        return Target(
            name=request.name,
            kind=kind,
            classes=self._naming.classes,
            scale=request.scale if kind is TargetKind.INTENSITIES else None,
        )

    def _check_intensities(self) -> None:
        """Refuse two columns with the intensity of one class: their sum would say nothing."""
        for by_name in self._by_class.values():
            titles: dict[str, str] = {}
            for name, at in by_name.items():
                meant = self._naming.names[name]
                if meant is None:
                    continue
                if meant in titles:
                    raise CorpusError(
                        f"{self._path}:1: columns {show(titles[meant])} and "
                        f"{show(self._header[at])} are both the intensity of {meant}; take one out"
                    )
                titles[meant] = self._header[at]

    def _check_brackets(self) -> None:
        """Refuse values of programs that are no lists of names, where no classes are stated."""
        if self._request.classes or self._request.scheme or self._request.scale:
            return
        for line, cells in self._rows:
            for at in self._single.values():
                cell = cells[at].strip()
                if _BRACKETS.fullmatch(cell) and not _LIST.fullmatch(cell):
                    raise CorpusError(
                        f"{self._describe_cell(line, at, cell)}, which is no list of names in "
                        f"quotes; write CLASS|CLASS, or give each class a column, "
                        f"{self._request.name}:CLASS, with its votes, share or intensity"
                    )

    def _find_separator(self) -> str:
        """Return what stands between several classes in a cell; empty if no cell has several."""
        if self._request.scale is not None:
            return ""
        cells = [cells[at] for _, cells in self._rows for at in self._single.values()]
        if any(_LIST.fullmatch(cell.strip()) for cell in cells):
            return ","
        within = "".join(self._request.classes)  # signs in a stated name separate nothing
        signs = [sign for sign in _SEPARATORS if sign not in within]
        there = [sign for sign in signs if any(sign in cell for cell in cells)]
        if len(there) > 1 and not self._request.classes:
            first = next(cell for cell in cells if there[0] in cell)
            other = next(cell for cell in cells if there[1] in cell)
            raise CorpusError(
                f"{self._path}: {self._request.name} has {show(there[0])} in {show(first)} and "
                f"{show(there[1])} in {show(other)}; write the same sign between classes "
                f"everywhere, or list the classes, as --target '{self._request.name}=A|B|C'"
            )
        return next(iter(there), "")

    def _report_several(self) -> None:
        """Say in how many cells several classes stand, where nobody has stated that they may.

        A few among many are hardly meant to make labels of all classes: of these one is warned.
        """
        if self._request.are_labels or not self._separator:
            return
        filled = [
            (line, cells[at])
            for line, cells in self._rows
            for at in self._single.values()
            if cells[at].strip()
        ]
        joined = [(line, cell) for line, cell in filled if self._separator in cell]
        if not joined:
            return
        are_few = len(joined) < _FEW_JOINED * len(filled)
        (line, cell), name = joined[0], self._request.name
        logger.log(
            logging.WARNING if are_few else logging.INFO,
            "%s:%d: %s: every class is a label of its own, since %d of %d cells have %s between "
            "classes, such as %s; --target '%s=CLASS,CLASS,...' states one class a clip, and "
            "--target '%s=CLASS|CLASS|...' that there may be several",
            self._path, line, name, len(joined), len(filled), show(self._separator), show(cell),
            name, name,
        )  # fmt: skip

    def _count_names(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        if self._request.scale is None:
            for _, cells in self._rows:
                for at in self._single.values():
                    counts.update(self._split(cells[at]))
        for by_name in self._by_class.values():
            for name, at in by_name.items():
                counts[name] += sum(self._says_something(cells[at]) for _, cells in self._rows)
        return counts

    @staticmethod
    def _says_something(cell: str) -> bool:
        """Return whether a cell of a class has anything but 0 in it."""
        cell = cell.strip()
        return bool(cell) and read_number(_TRUTHS.get(cell.lower(), cell)) != 0

    def _split(self, cell: str) -> list[str]:
        inner = _LIST.fullmatch(cell.strip())
        if inner is not None:
            return [part.strip() for _, part in _ITEM.findall(cell) if part.strip()]
        parts = cell.split(self._separator) if self._separator else [cell]
        return [part.strip() for part in parts if part.strip()]

    def _read_cells(self, line: int, task: Task, cells: Sequence[str]) -> tuple[float, ...] | None:
        at, by_name = self._single.get(task), self._by_class.get(task)
        cell = "" if at is None else cells[at].strip()
        if at is not None and cell and self.target.kind is TargetKind.INTENSITIES:
            raise CorpusError(
                f"{self._describe_cell(line, at, cell)}; with a column for each class its own "
                "column must be empty"
            )
        if by_name and any(cells[at].strip() for at in by_name.values()):
            return self._read_class_columns(line, by_name, cells)
        if at is None or not cell:
            return None
        if self.target.kind is TargetKind.SCORE:
            return (self._read_value(line, at, cell, self._request.scale or _ANY),)
        if self.target.kind is TargetKind.LABELS:
            return self._mark(self._split(cell))
        return self._read_class(line, at, cell)

    def _describe_cell(self, line: int, at: int, cell: str) -> str:
        return f"{self._path}:{line}: {show(self._header[at])[1:-1]} is {show(cell)}"

    def _read_class(self, line: int, at: int, cell: str) -> tuple[float, ...] | None:
        parts = self._split(cell)
        if len(parts) != 1:
            raise CorpusError(
                f"{self._describe_cell(line, at, cell)}, must be one class; where several may be "
                f"there, list them as --target '{self.target.name}=CLASS|CLASS|...'"
            )
        return self._mark(parts)

    def _mark(self, names: Sequence[str]) -> tuple[float, ...] | None:
        """Return 1 for each class that is there; None if all names are left out."""
        there = {self._naming.names[name] for name in names}
        if names and there == {None}:
            return None
        return tuple(float(name in there) for name in self._naming.classes)

    def _read_class_columns(
        self, line: int, by_name: Mapping[str, int], cells: Sequence[str]
    ) -> tuple[float, ...] | None:
        bounds = self._request.scale or (
            _SHARE if self.target.kind is TargetKind.LABELS else _AMOUNT
        )
        sums = dict.fromkeys(self._naming.classes, 0.0)
        is_cut = False
        for name, at in by_name.items():
            cell = cells[at].strip()
            if self._request.scale is None:
                cell = _TRUTHS.get(cell.lower(), cell)
            value = self._read_value(line, at, cell, bounds)
            meant = self._naming.names[name]
            if meant is not None:
                is_cut |= not bounds.low <= value <= bounds.high
                sums[meant] += min(max(value, bounds.low), bounds.high)
        self._num_cut += is_cut
        values = tuple(sums.values())
        if self.target.kind is not TargetKind.CLASS:
            return tuple(min(value, bounds.high) for value in values)
        total = sum(values)
        if not 0 < total < float("inf"):
            self._check_votes(line, by_name, cells)
            return None
        return tuple(value / total for value in values)

    def _check_votes(self, line: int, by_name: Mapping[str, int], cells: Sequence[str]) -> None:
        """Check that a row without votes for the classes has some for those that are left out.

        Raises:
            CorpusError: If nobody voted at all.
        """
        left_out = [at for name, at in by_name.items() if self._naming.names[name] is None]
        if not any(read_number(cells[at].strip()) > 0 for at in left_out):
            raise CorpusError(
                f"{self._path}:{line}: the votes for {self.target.name} must have a sum above 0; "
                "leave them empty where nobody voted"
            )

    def _read_value(self, line: int, at: int, cell: str, bounds: Scale) -> float:
        """Read a number on a scale, or off it where such are cut.

        Raises:
            CorpusError: If it is none, or off the scale.
        """
        value = read_number(cell)
        if abs(value) < float("inf") and (
            self._request.are_cut or bounds.low <= value <= bounds.high
        ):
            return value
        ends = f"from {bounds.low:g}"
        if bounds.high < float("inf"):
            ends += f" to {bounds.high:g}"
        is_nothing = not cell or is_mark_of_nothing(cell)
        advice = "; leave the cells of a clip empty where it is not annotated" * is_nothing
        raise CorpusError(f"{self._describe_cell(line, at, cell)}, must be a number {ends}{advice}")
