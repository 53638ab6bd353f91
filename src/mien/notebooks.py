"""Values as notebooks show them: a table in HTML, and a data frame of pandas."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from mien.errors import require

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["html_table", "make_frame", "number_or_nan"]


def html_table(
    caption: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    notes: Sequence[str] = (),
) -> str:
    """Return a table in HTML without scripts; every text is escaped, whatever it holds.

    Args:
        caption: What stands above it.
        headings: Of the columns.
        rows: Cells; None is an empty one.
        notes: Sentences below the table.

    >>> html_table("a & b", ["id"], [["<b>"]]).partition("<tbody>")[2]
    '<tr><td>&lt;b&gt;</td></tr></tbody></table>'
    """
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row) + "</tr>" for row in rows
    )
    below = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>{f'<ul>{below}</ul>' if below else ''}"
    )


def _cell(value: object) -> str:
    return "" if value is None else escape(str(value))


def number_or_nan(value: float | None) -> float:
    """Return a number of a data frame, in which a missing one is NaN.

    >>> number_or_nan(1.0), number_or_nan(None)
    (1.0, nan)
    """
    return math.nan if value is None else float(value)


def make_frame(rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> "pd.DataFrame":
    """Return a data frame with the columns in that order, also where there is no row.

    Raises:
        ConfigError: If pandas is not installed.
    """
    require("pandas", extra="pandas")
    import pandas

    frame: Any = pandas.DataFrame([dict(row) for row in rows], columns=list(columns))
    return frame
