"""Results to plain text: tables of 80 columns for the terminal, and the cells of all tables."""

import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

from mien.evaluation.intervals import FEW_UNITS
from mien.evaluation.metrics import METRICS, Metric

__all__ = [
    "SOMEWHAT_FEW",
    "UNDEFINED",
    "clock",
    "clock_tenths",
    "code_span",
    "count_words",
    "describe_baseline",
    "describe_metrics",
    "describe_units",
    "describe_without",
    "escape_markdown",
    "format_interval",
    "format_p",
    "format_table",
    "format_value",
    "label_metric",
    "markdown_table",
    "name_corpus",
    "name_metric",
    "note_on_units",
    "wrap",
]

#: What stands in a cell for a number that is undefined.
UNDEFINED: Final = "-"

_WIDTH: Final = 80
#: Pairs of back-slashes, which stand for one, and a bar with or without one of its own.
_BAR: Final = re.compile(r"((?:\\\\)*)\\?\|")
#: A p value below this one is said to be so.
_SMALLEST_P: Final = 0.001
#: Names of metrics in papers, without the number of classes.
_PAPER_NAMES: Final = {"mae": "MAE", "corr": "Corr", "acc": "Acc", "f": "F"}
#: Units below which percentile intervals are somewhat too narrow.
SOMEWHAT_FEW: Final = 30


def format_value(value: float | None, metric: Metric | None = None) -> str:
    """Return a number for a table: a share in percent with two decimals, others with three.

    >>> format_value(0.8344, METRICS["mosi"]["acc2_has0"]), format_value(0.8344)
    ('83.44', '0.834')
    """
    if value is None or math.isnan(value):
        return UNDEFINED
    text = f"{100 * value:.2f}" if metric is not None and metric.is_share else f"{value:.3f}"
    return text.removeprefix("-") if float(text) == 0 else text  # no minus before a zero


def format_p(value: float | None) -> str:
    """Return a p value for a table; a small one is not written as 0, which no p value is.

    >>> format_p(0.0437), format_p(0.0004)
    ('0.044', '<0.001')
    """
    if value is not None and value < _SMALLEST_P:
        return f"<{_SMALLEST_P:g}"
    return format_value(value)


def format_interval(low: float | None, high: float | None, metric: Metric | None = None) -> str:
    """Return both ends of an interval, or the mark of what is undefined.

    >>> format_interval(-0.5, 0.25)
    '[-0.500, 0.250]'
    """
    ends = format_value(low, metric), format_value(high, metric)
    return UNDEFINED if UNDEFINED in ends else f"[{ends[0]}, {ends[1]}]"


def label_metric(name: str, family: str) -> str:
    """Return the name of a metric with its unit, as a table shows it.

    >>> label_metric("acc2_non0", "mosi")
    'acc2_non0 %'
    """
    return f"{name} %" if METRICS[family][name].is_share else name


def name_metric(name: str) -> str:
    """Return what papers call a metric; which reading it is stands behind it.

    That of a target has the target before it: ``emotion/uar`` is ``emotion: uar``.

    >>> name_metric("mae"), name_metric("acc2_non0"), name_metric("f1_has0"), name_metric("acc7")
    ('MAE', 'Acc-2 (non0)', 'F1 (has0)', 'Acc-7')
    """
    if "/" in name:  # of a target
        return name.replace("/", ": ")
    base, _, reading = name.partition("_")
    letters = base.rstrip("0123456789")
    title = _PAPER_NAMES.get(letters, letters)
    if digits := base.removeprefix(letters):
        title += digits if letters == "f" else f"-{digits}"
    return f"{title} ({reading})" if reading else title


def describe_baseline(baseline: str) -> str:
    """Return against whom clips were read, by ``RunMetrics.baseline``."""
    if baseline == "none":
        return (
            "Baseline none: every clip is read by itself, by a model that can read it against "
            "other clips of its speaker."
        )
    return (
        "Baseline speaker: every clip is read against all other clips of its speaker in the split, "
        "without their labels. That is transductive: of a clip that is alone the model knows less."
    )


def describe_without(modalities: Sequence[str]) -> str:
    """Return what was left out of the clips, by ``RunMetrics.without``.

    >>> describe_without(["audio", "video"])
    'Without audio and video: every clip is read as if it had none.'
    """
    return f"Without {' and '.join(modalities)}: every clip is read as if it had none."


def describe_metrics(family: str) -> list[str]:
    """Return a sentence for each metric of a family: what it says and how it counts zeros."""
    return [f"{name}: {metric.description}" for name, metric in METRICS[family].items()]


def describe_units(number: int, unit: str) -> str:
    """Return on how many units an interval rests, and of which kind it is therefore.

    >>> describe_units(3, "video")
    '3 videos (few: t intervals with 2 degrees of freedom)'
    >>> describe_units(31, "video"), describe_units(1, "clip")
    ('31 videos', '1 clip (no interval can be given)')
    """
    return f"{count_words(number, unit)}{note_on_units(number)}"


def note_on_units(number: int) -> str:
    """Return a note in brackets where intervals rest on few units; else nothing."""
    if number < 2:
        return " (no interval can be given)"
    if number < FEW_UNITS:
        return f" (few: t intervals with {count_words(number - 1, 'degree')} of freedom)"
    return " (few: intervals are somewhat too narrow)" if number < SOMEWHAT_FEW else ""


def name_corpus(corpus: str, *, is_synthetic: bool) -> str:
    """Return the name of the corpus; a synthetic one is called so.

    >>> name_corpus("planted", is_synthetic=True)
    'planted (synthetic corpus)'
    """
    return f"{corpus} (synthetic corpus)" if is_synthetic else corpus


def format_table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Align cells in columns, the first to the left and the others to the right.

    >>> print(format_table(["metric", "mean"], [["mae", "0.712"], ["acc7 %", "46.10"]]))
    metric   mean
    -------------
    mae     0.712
    acc7 %  46.10
    """
    cells = [tuple(heading), *(tuple(row) for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    lines = []
    for first, *rest in cells:
        right = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *right]).rstrip())
    return "\n".join([lines[0], "-" * (sum(widths) + 2 * (len(widths) - 1)), *lines[1:]])


def markdown_table(
    heading: Sequence[str], rows: Iterable[Sequence[str]], num_words: int = 1
) -> str:
    """Return a table of Markdown.

    Args:
        heading: Names of the columns.
        rows: Their cells.
        num_words: Columns from the left that hold words, set to the left; numbers to the right.

    >>> print(markdown_table(["metric", "mean"], [["mae", "0.712"]]))
    | metric | mean |
    | :--- | ---: |
    | mae | 0.712 |
    """
    marks = [":---" if column < num_words else "---:" for column in range(len(heading))]
    lines = [heading, marks, *rows]
    return "\n".join(f"| {' | '.join(map(_keep_bars, cells))} |" for cells in lines)


def _keep_bars(cell: str) -> str:
    """Return a cell in which no bar ends it, be it escaped or not."""
    return _BAR.sub(lambda bar: f"{bar[1]}&#124;", cell)


def escape_markdown(text: str) -> str:
    r"""Return text in which Markdown finds no marks, on one line.

    >>> escape_markdown("a_b  [c]")
    'a\\_b \\[c\\]'
    """
    marked = "".join(f"\\{c}" if c in "\\`*_[]#<>|$" else c for c in text)
    return " ".join(marked.split())


def code_span(text: str) -> str:
    """Return text as Markdown's code, on one line, between more marks than follow each other in it.

    >>> code_span("mien train"), code_span("a`b")
    ('`mien train`', '`` a`b ``')
    """
    plain = " ".join(text.split())
    longest = max((len(run) for run in re.findall("`+", plain)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {plain} {fence}" if longest else f"{fence}{plain}{fence}"


def count_words(number: int, what: str) -> str:
    """Return a number with what it counts.

    >>> count_words(1, "seed"), count_words(2, "seed")
    ('1 seed', '2 seeds')
    """
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def wrap(text: str, indent: str = "") -> str:
    """Break a paragraph into lines of 80 columns."""
    return textwrap.fill(
        text, _WIDTH, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )


def clock(seconds: float) -> str:
    """Return a duration as a clock shows it.

    >>> clock(75.0), clock(3675.0)
    ('1:15', '1:01:15')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def clock_tenths(seconds: float) -> str:
    """Return a time to a tenth of a second.

    >>> clock_tenths(75.2), clock_tenths(3675.0)
    ('1:15.2', '1:01:15.0')
    """
    tenths = round(seconds * 10 + 1e-9)
    return f"{clock(float(tenths // 10))}.{tenths % 10}"
