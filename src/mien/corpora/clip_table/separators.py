"""What separates the cells of a table: commas or, as spreadsheets may save them, others."""

import csv
from collections.abc import Callable
from typing import Final

__all__ = ["SEPARATORS", "find_separator"]

#: What may separate cells, and what it is called.
SEPARATORS: Final = {",": "a comma", ";": "a semicolon", "\t": "a tab"}


def find_separator(header: str, is_known: Callable[[str], bool]) -> str:
    """Return what gives most columns that are known, and of equals most columns.

    Args:
        header: The line of the header.
        is_known: Tells whether a column of this name, as it is written, is known.

    >>> find_separator("id;label;a,b", {"id", "label"}.__contains__)
    ';'
    """

    def count(separator: str) -> tuple[int, int]:
        try:
            cells = next(csv.reader([header], delimiter=separator), [])
        except csv.Error:
            return 0, 0
        return sum(is_known(cell) for cell in cells), len(cells)

    return max(SEPARATORS, key=count)
