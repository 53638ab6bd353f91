"""Results to plain text: tables of 80 columns for the terminal, and the cells of all tables."""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from mien.evaluation.bootstrap import FEW_UNITS
from mien.evaluation.metrics import METRICS, Metric
from mien.reports.comparison import ComparedRun, RunComparison
from mien.types import Task

__all__ = [
    "UNDEFINED",
    "clock",
    "clock_tenths",
    "count_units",
    "describe_metrics",
    "describe_units",
    "format_comparison",
    "format_interval",
    "format_run",
    "format_table",
    "format_value",
    "label_metric",
    "markdown_table",
    "name_corpus",
    "note_on_units",
    "wrap",
]

#: What stands in a cell for a number that is undefined.
UNDEFINED: Final = "-"

_WIDTH: Final = 80
_FEW: Final = 30  # units below which percentile intervals are somewhat too narrow


def format_value(value: float | None, metric: Metric | None = None) -> str:
    """Return a number for a table: a share in percent with two decimals, others with three.

    >>> format_value(0.8344, METRICS["mosi"]["acc2_has0"]), format_value(0.8344)
    ('83.44', '0.834')
    """
    if value is None or math.isnan(value):
        return UNDEFINED
    text = f"{100 * value:.2f}" if metric is not None and metric.is_share else f"{value:.3f}"
    return text.removeprefix("-") if float(text) == 0 else text  # no minus before a zero


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
    return f"{_count(number, unit)}{note_on_units(number)}"


def note_on_units(number: int) -> str:
    """Return a note in brackets where intervals rest on few units; else nothing."""
    if number < 2:
        return " (no interval can be given)"
    if number < FEW_UNITS:
        return f" (few: t intervals with {_count(number - 1, 'degree')} of freedom)"
    return " (few: intervals are somewhat too narrow)" if number < _FEW else ""


def name_corpus(facts: Mapping[str, Any]) -> str:
    """Return the name of the corpus; a synthetic one is called so.

    >>> name_corpus({"corpus": "planted", "is_synthetic": True})
    'planted (synthetic corpus)'
    """
    return f"{facts['corpus']} (synthetic corpus)" if facts["is_synthetic"] else facts["corpus"]


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
    marks = [":---" if place < num_words else "---:" for place in range(len(heading))]
    lines = [heading, marks, *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in c)} |" for c in lines)


def format_run(run_metrics: Mapping[str, Any]) -> str:
    """Return what a run gave on the multimodal task, from its ``metrics.json``.

    For test and valid, as far as there are predictions: mean and deviation over the seeds and the
    95 % interval over clips, and over videos where several clips come from one video; below, how
    each metric counts.
    """
    seeds = run_metrics["seeds"]
    family, corpus = run_metrics["family"], name_corpus(run_metrics)
    head = f"{corpus}: {_count(len(seeds), 'seed')} ({', '.join(map(str, seeds))})"
    parts = [wrap(head)]
    for seed, reason in run_metrics.get("failed_seeds", {}).items():
        parts.append(wrap(f"seed {seed} is in no number: {reason}"))
    for split in ("test", "valid"):
        metrics = run_metrics["splits"].get(split, {}).get(str(Task.FUSION))
        if metrics:
            title = f"{split} of {corpus}, multimodal task{count_units(metrics)}"
            parts.append(f"{wrap(title)}\n{_format_metrics(metrics, family)}")
    parts += _format_unimodal(run_metrics, family)
    parts += _format_agreement(run_metrics)
    parts += _format_attention(run_metrics)
    parts.append(
        wrap(
            "deviation: standard deviation over the seeds; intervals: 95 %, of the mean over the "
            "seeds, by clips or whole videos; they hold for these weights, not for other seeds"
        )
        + "\n"
        + _describe(family)
    )
    return "\n\n".join(parts)


def count_units(metrics: Mapping[str, Any]) -> str:
    """Return on what the intervals of a task rest, after a comma; nothing for an older run."""
    one = next(iter(metrics.values()))
    units = [(f"num_{unit}s", unit) for unit in ("clip", "video")]
    found = [describe_units(one[key], unit) for key, unit in units if key in one]
    return f", {', '.join(found)}" if found else ""


def _format_metrics(metrics: Mapping[str, Any], family: str) -> str:
    has_videos = any("low_videos" in one for one in metrics.values())
    heading = ["metric", "mean", "deviation", "interval, clips"]
    rows = []
    for name, one in metrics.items():
        metric = METRICS[family][name]
        row = [label_metric(name, family)]
        row += [format_value(one[key], metric) for key in ("mean", "deviation")]
        row.append(format_interval(one["low"], one["high"], metric))
        if has_videos:
            row.append(format_interval(one.get("low_videos"), one.get("high_videos"), metric))
        rows.append(row)
    return format_table([*heading, "interval, videos"] if has_videos else heading, rows)


def _format_unimodal(run_metrics: Mapping[str, Any], family: str) -> list[str]:
    """Return a table of the unimodal tasks, where they are annotated or their truth is known."""
    for split in ("test", "valid"):
        judged = run_metrics["splits"].get(split, {})
        tasks = [task for task in judged if task != str(Task.FUSION)]
        if tasks:
            rows = []
            for name, metric in METRICS[family].items():
                means = [format_value(judged[task][name]["mean"], metric) for task in tasks]
                rows.append([label_metric(name, family), *means])
            title = f"{split} of {name_corpus(run_metrics)}, unimodal tasks, mean over the seeds"
            return [f"{wrap(title)}\n{format_table(['metric', *tasks], rows)}"]
    return []


def _format_agreement(run_metrics: Mapping[str, Any]) -> list[str]:
    """Return how well generated labels of train agree with the truth, beside copied ones."""
    rows = []
    for modality, sides in run_metrics["labels"].items():
        for part in ("everywhere", "conflicting"):
            for side in ("generated", "copy"):
                one = sides[side][part]
                clips = round(one["num_clips"]["mean"])
                values = [format_value(one[key]["mean"]) for key in ("pearson", "mae", "sign")]
                where = "all" if part == "everywhere" else "contradicting"
                rows.append([modality, side, f"{clips} {where}", *values])
    if not rows:
        return []
    title = (
        f"train of {name_corpus(run_metrics)}, unimodal labels against the truth: all clips, and "
        "those in which the modality contradicts the whole"
    )
    heading = ["", "labels", "clips", "corr", "mae", "same sign"]
    return [f"{wrap(title)}\n{format_table(heading, rows)}"]


def _format_attention(run_metrics: Mapping[str, Any]) -> list[str]:
    """Return the share of attention inside the known moments, where there are some."""
    for split in ("test", "valid"):
        judged = run_metrics["attention"].get(split)
        if judged:
            rows = [
                [
                    modality,
                    *(format_value(one[key]["mean"]) for key in ("inside", "uniform", "ratio")),
                ]
                for modality, one in judged.items()
            ]
            title = (
                f"{split} of {name_corpus(run_metrics)}, share of attention inside the known "
                "moments, and what equal weights get"
            )
            return [f"{wrap(title)}\n{format_table(['', 'inside', 'equal', 'ratio'], rows)}"]
    return []


def format_comparison(comparison: RunComparison) -> str:
    """Return how runs differ from the first one, metric by metric."""
    letters = [_letter(number) for number in range(len(comparison.runs))]
    corpus = name_corpus({"corpus": comparison.corpus, "is_synthetic": comparison.is_synthetic})
    units = _count(comparison.num_units, comparison.unit)
    units += " (few)" * (1 < comparison.num_units < _FEW)
    lines = [wrap(f"{comparison.split} of {corpus}: {_count(comparison.num_clips, 'clip')}")]
    for letter, name, num in zip(letters, comparison.runs, comparison.num_seeds, strict=True):
        lines.append(wrap(f"{letter}: {name} ({_count(num, 'seed')})", indent="   "))
        failed = comparison.failed_seeds.get(name, ())
        lines += [f"   seed {seed} diverged and is in no number" for seed in failed]
    heading = ["metric", "run", "mean", "deviation", f"less {letters[0]}", "interval", "p", "Holm"]
    rows = [
        _compare_row(name, letter, run, comparison.family)
        for name, runs in comparison.metrics.items()
        for letter, run in zip(letters, runs, strict=True)
    ]
    note = (
        f"deviation: standard deviation over the seeds; less {letters[0]}: difference of the means "
        f"to {letters[0]}, with a 95 % interval and a two-sided p value by Student's t, paired "
        f"over {units}{_describe_seeds(comparison)}; Holm: p corrected for the number of runs "
        f"compared with {letters[0]}; {_better(comparison.family)}"
    )
    table = format_table(heading, rows)
    return "\n\n".join(["\n".join(lines), table, f"{wrap(note)}\n{_describe(comparison.family)}"])


def _compare_row(name: str, letter: str, run: ComparedRun, family: str) -> list[str]:
    metric, difference = METRICS[family][name], run.to_first
    row = [label_metric(name, family), letter]
    row += [format_value(run.seeds.mean, metric), format_value(run.seeds.deviation, metric)]
    if difference is None:
        return [*row, "", "", "", ""]
    return [
        *row,
        format_value(difference.difference, metric),
        format_interval(difference.low, difference.high, metric),
        format_value(difference.p_value),
        format_value(run.p_corrected),
    ]


def _describe_seeds(comparison: RunComparison) -> str:
    """Say whether differences hold for further trainings, or for these weights alone."""
    if comparison.num_units < 2:
        return ", too few for an interval"
    compared = [one.to_first for one in next(iter(comparison.metrics.values()))]
    covers = [one.covers_seeds for one in compared if one is not None]
    if all(covers):
        return " and over the seeds"
    if any(covers):
        return (
            " and, where both runs have several, over the seeds; with one seed on a side they "
            "compare these weights, not the methods"
        )
    return ": a comparison of these weights, not of the methods, which takes several seeds each"


def _better(family: str) -> str:
    low = [name for name, metric in METRICS[family].items() if not metric.higher_is_better]
    return f"lower is better for {', '.join(low)}, higher for the others"


def _letter(number: int) -> str:
    """Return A, B, ... Z, and numbers from 27 on.

    >>> _letter(1), _letter(26)
    ('B', '27')
    """
    return chr(ord("A") + number) if number < 26 else str(number + 1)


def _describe(family: str) -> str:
    return "\n".join(wrap(line, indent="    ") for line in describe_metrics(family))


def _count(number: int, what: str) -> str:
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
