"""Cells to a table of LaTeX, in which no name is a command."""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from mien.reports.text import UNDEFINED

__all__ = ["escape_latex", "latex_number", "latex_table", "small_latex"]

#: What stands for a character that LaTeX would read, or set as another one. A bracket or a star
#: after the end of a row would belong to it; two hyphens would be set as a dash.
_ESCAPES: Final = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "_": r"\_", "%": r"\%", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\char96{}",
    '"': r"\char34{}", "[": "{[}", "]": "{]}", "*": "{*}",
    "±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
}  # fmt: skip


def escape_latex(text: str) -> str:
    r"""Return text as LaTeX prints it, on one line; nothing in it is a command.

    >>> escape_latex("a_b 5%")
    'a\\_b 5\\%'
    """
    printable = "".join(c if c.isprintable() else " " for c in text)
    escaped = "".join(_ESCAPES.get(c, c) for c in " ".join(printable.split()))
    return re.sub("-(?=-)", "-{}", escaped)


def latex_number(text: str) -> str:
    """Return the number or interval of a cell, set as one.

    >>> latex_number("[-0.500, 0.250]"), latex_number("-")
    ('$[-0.500, 0.250]$', '--')
    """
    return "--" if text == UNDEFINED else f"${text}$"


def small_latex(text: str) -> str:
    r"""Return the number or interval of a cell in small letters, as below a mean.

    >>> small_latex("[-0.500, 0.250]")
    '{\\scriptsize $[-0.500, 0.250]$}'
    """
    return f"{{\\scriptsize {latex_number(text)}}}"


def latex_table(
    heading: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str,
    label: str,
    num_words: int = 1,
) -> str:
    """Return a table for ``booktabs``, over both columns of a page.

    Headings such as ``Acc-2 (has0)`` and ``Acc-2 (non0)`` beside each other get one in common.

    Args:
        heading: Names of the columns, as plain text.
        rows: Their cells, as LaTeX.
        caption: What stands above the table, as plain text.
        label: What the text refers to.
        num_words: Columns from the left that hold words, set to the left; numbers are centred.
    """
    columns = "l" * num_words + "c" * (len(heading) - num_words)
    body = "\n".join(f"{' & '.join(row)} \\\\" for row in rows)
    return "\n".join(
        [
            "\\begin{table*}",
            "\\centering",
            "\\small",
            f"\\caption{{{escape_latex(caption)}}}",
            f"\\label{{{label}}}",
            f"\\begin{{tabular}}{{{columns}}}",
            "\\toprule",
            *_heading_lines(heading),
            "\\midrule",
            body,
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table*}",
        ]
    )


def _heading_lines(heading: Sequence[str]) -> list[str]:
    """Return the heading; in two lines with a rule where neighbours have one in common."""
    parts = [_split_heading(text) for text in heading]
    if not any(reading for _, reading in parts):
        return [f"{' & '.join(escape_latex(text) for text in heading)} \\\\"]
    above, rules, column = [], [], 1
    for base, group in groupby(parts, key=lambda part: part[0]):
        width = len(list(group))
        above.append(
            f"\\multicolumn{{{width}}}{{c}}{{{escape_latex(base)}}}"
            if width > 1
            else escape_latex(base)
        )
        if width > 1:
            rules.append(f"\\cmidrule(lr){{{column}-{column + width - 1}}}")
        column += width
    below = [escape_latex(reading) for _, reading in parts]
    return [f"{' & '.join(above)} \\\\", *rules, f"{' & '.join(below)} \\\\"]


def _split_heading(text: str) -> tuple[str, str]:
    """Return what neighbours have in common, and what tells them apart.

    >>> _split_heading("Acc-2 (has0) ↑"), _split_heading("MAE ↓")
    (('Acc-2 ↑', 'has0'), ('MAE ↓', ''))
    """
    before, bracket, rest = text.partition(" (")
    reading, _, after = rest.partition(")")
    return (before + after, reading) if bracket else (text, "")
