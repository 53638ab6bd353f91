"""Comparisons of runs to what other programs read: Markdown, LaTeX, CSV and JSON."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, get_args

from mien.data.clips.target_json import targets_to_json
from mien.errors import ConfigError
from mien.files.json_values import json_number
from mien.reports.comparison import (
    MARK,
    RunComparison,
    is_marked,
    is_significant,
)
from mien.reports.latex import escape_latex, latex_number, latex_table, small_latex
from mien.reports.run_text import format_comparison
from mien.reports.target_results.compared_captions import (
    describe_marks,
    write_caption,
    write_difference_caption,
)
from mien.reports.text import (
    UNDEFINED,
    escape_markdown,
    format_interval,
    format_p,
    format_value,
    markdown_table,
    name_metric,
)

__all__ = [
    "ComparisonFormat",
    "choose_format",
    "comparison_rows",
    "comparison_to_dict",
    "format_comparison_as",
    "is_marked",
]

#: How a comparison can be written.
ComparisonFormat = Literal["text", "markdown", "csv", "json", "latex"]

_INTERVALS: Final = (
    "Below each mean its 95 % interval over the clips (over videos or speakers where several clips "
    "come from one), for these weights."
)

#: The format that the end of a file's name stands for.
_SUFFIXES: Final[Mapping[str, ComparisonFormat]] = {
    ".txt": "text", ".md": "markdown", ".csv": "csv", ".json": "json", ".tex": "latex",
}  # fmt: skip


def choose_format(chosen: str | None, out: Path | None) -> ComparisonFormat:
    """Return the format that is given, or that of the file's name, or ``text``.

    The end of a file's name is a name of its format as well: ``md``, ``tex`` and ``txt``.

    Raises:
        ConfigError: If there is no such format, or the name of the file stands for none.
    """
    for name in get_args(ComparisonFormat):
        if chosen == name:
            return name  # type: ignore[no-any-return]  # get_args forgets the words
    if chosen is not None:
        if f".{chosen}" in _SUFFIXES:
            return _SUFFIXES[f".{chosen}"]
        names = ", ".join(get_args(ComparisonFormat))
        raise ConfigError(f"--format {chosen!r}: must be one of {names}")
    if out is None:
        return "text"
    if out.suffix.lower() not in _SUFFIXES:
        raise ConfigError(
            f"--out {out}: its name must end in {', '.join(_SUFFIXES)}, or --format must be given"
        )
    return _SUFFIXES[out.suffix.lower()]


def format_comparison_as(comparison: RunComparison, kind: ComparisonFormat) -> str:
    """Return a comparison as text in a format, without a line end after it."""
    return _FORMATS[kind](comparison)


def comparison_to_dict(comparison: RunComparison) -> dict[str, Any]:
    """Return a comparison as JSON holds it: unrounded, None for what is undefined."""
    runs = zip(comparison.runs, comparison.num_seeds, strict=True)
    return {
        "corpus": comparison.corpus,
        "is_synthetic": comparison.is_synthetic,
        "family": comparison.family,
        "split": comparison.split,
        "unit": comparison.unit,
        "num_clips": comparison.num_clips,
        "num_units": comparison.num_units,
        "runs": [
            {
                "name": name,
                "num_seeds": num,
                "failed_seeds": list(comparison.failed_seeds.get(name, ())),
                "baseline": comparison.baselines.get(name),
                "without": list(map(str, comparison.without.get(name, ()))),
                "model": comparison.models.get(name),
            }
            for name, num in runs
        ],
        "metrics": {
            metric: [
                {"run": run.name} | _numbers(comparison, metric, number)
                for number, run in enumerate(compared)
            ]
            for metric, compared in comparison.metrics.items()
        },
        **_describe_targets(comparison),
    }


def _describe_targets(comparison: RunComparison) -> dict[str, Any]:
    if not comparison.targets:
        return {}
    described = targets_to_json(comparison.targets)
    return {"targets": described, "target_clips": dict(comparison.target_clips)}


def _numbers(comparison: RunComparison, metric: str, number: int) -> dict[str, Any]:
    """Return what is known of a metric of a run; a share lies from 0 to 1."""
    run = comparison.metrics[metric][number]
    return {name: json_number(value) for name, value in run.numbers().items()} | {
        "covers_seeds": None if run.to_first is None else run.to_first.covers_seeds,
        "is_best": is_marked(comparison, metric, number),
    }


def comparison_rows(comparison: RunComparison) -> list[dict[str, Any]]:
    """Return a row for each metric and run, every one with what it rests on."""
    rests_on = {
        "corpus": comparison.corpus,
        "is_synthetic": comparison.is_synthetic,
        "split": comparison.split,
        "num_clips": comparison.num_clips,
        "unit": comparison.unit,
        "num_units": comparison.num_units,
    }
    return [
        {
            "metric": metric,
            "name": name_metric(metric),
            "run": run.name,
            "baseline": comparison.runs[0],
            "num_seeds": comparison.num_seeds[number],
            "model": comparison.models.get(run.name),
        }
        | _numbers(comparison, metric, number)
        | rests_on
        for metric, runs in comparison.metrics.items()
        for number, run in enumerate(runs)
    ]


def _csv(comparison: RunComparison) -> str:
    rows = comparison_rows(comparison)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().removesuffix("\n")


def _json(comparison: RunComparison) -> str:
    return json.dumps(comparison_to_dict(comparison), indent=1, allow_nan=False)


def _markdown(comparison: RunComparison) -> str:
    named = map(_with_arrow, comparison.metrics, _better(comparison))
    heading = ["run", "seeds", *map(_escape_target, named)]
    rows = [
        [escape_markdown(name), _seeds_of(comparison, number), *cells]
        for number, name in enumerate(comparison.runs)
        for cells in [_means(comparison, number, _markdown_mean)]
    ]
    differences = markdown_table(
        ["metric", "run", "difference", "95 % interval", "p", "p, Holm"],
        [
            [_escape_target(cells[0]), escape_markdown(cells[1]), *cells[2:]]
            for cells in _difference_rows(comparison)
        ],
        num_words=2,
    )
    captions = [
        escape_markdown(text)
        for text in (write_caption(comparison), write_difference_caption(comparison))
    ]
    return "\n\n".join([captions[0], markdown_table(heading, rows), captions[1], differences])


def _escape_target(name: str) -> str:
    """Return the name of a metric without the marks that the name of its target may have."""
    target, colon, metric = name.rpartition(": ")
    return f"{escape_markdown(target)}{colon}{metric}"


def _latex(comparison: RunComparison) -> str:
    """Return a table of sentiment, one of each target, and one of all differences."""
    places: dict[str, list[int]] = {}
    for place, metric in enumerate(comparison.metrics):
        target, slash, _ = metric.partition("/")
        places.setdefault(target if slash else "", []).append(place)
    full = f"{write_caption(comparison, marks=describe_marks(comparison))} {_INTERVALS}"
    results = [
        _latex_results(
            comparison,
            target,
            columns,
            caption=f"{target} on {comparison.split}, as in the table before." if number else full,
            label=f"tab:comparison-{number + 1}" if number else "tab:comparison",
        )
        for number, (target, columns) in enumerate(places.items())
    ]
    differences = latex_table(
        ["Metric", "Run", "Difference", "95 % interval", "p", "p, Holm"],
        [
            [escape_latex(metric), escape_latex(run), *map(latex_number, numbers_of_row)]
            for metric, run, *numbers_of_row in _difference_rows(comparison)
        ],
        caption=write_difference_caption(comparison),
        label="tab:comparison-differences",
        num_words=2,
    )
    tables = "\n\n".join([*results, differences])
    return f"% needs \\usepackage{{booktabs}}\n{tables}"


def _latex_results(
    comparison: RunComparison, target: str, columns: Sequence[int], *, caption: str, label: str
) -> str:
    """Return the table of some of the metrics: means, and below each its interval."""
    headings = list(map(_with_arrow, comparison.metrics, _better(comparison)))
    rows = []
    for number, name in enumerate(comparison.runs):
        means = _means(comparison, number, _latex_mean)
        intervals = [small_latex(cell) for cell in _intervals(comparison, number)]
        seeds = _seeds_of(comparison, number)
        rows.append([escape_latex(name), seeds, *(means[column] for column in columns)])
        rows.append(["", "", *(intervals[column] for column in columns)])
    named = [headings[column].removeprefix(f"{target}: ") for column in columns]
    return latex_table(["Run", "Seeds", *named], rows, caption=caption, label=label)


def _seeds_of(comparison: RunComparison, number: int) -> str:
    """Return how many seeds a run has; a model of one file has none."""
    is_model = comparison.runs[number] in comparison.models
    return UNDEFINED if is_model else str(comparison.num_seeds[number])


def _better(comparison: RunComparison) -> list[bool]:
    return [comparison.metric(name).higher_is_better for name in comparison.metrics]


def _with_arrow(metric: str, higher_is_better: bool) -> str:  # noqa: FBT001  # for map
    return f"{name_metric(metric)} {'↑' if higher_is_better else '↓'}"


def _means(
    comparison: RunComparison, number: int, show: Callable[[str, str, bool, bool], str]
) -> list[str]:
    """Return the cells of a run: mean, deviation, whether it is the best, and whether another."""
    cells = []
    for metric, runs in comparison.metrics.items():
        seeds, kind = runs[number].seeds, comparison.metric(metric)
        values = format_value(seeds.mean, kind), format_value(seeds.deviation, kind)
        is_best, is_other = is_marked(comparison, metric, number), is_significant(runs[number])
        cells.append(show(*values, is_best, is_other))
    return cells


def _intervals(comparison: RunComparison, number: int) -> list[str]:
    """Return the interval of each mean of a run."""
    return [
        format_interval(runs[number].low, runs[number].high, comparison.metric(metric))
        for metric, runs in comparison.metrics.items()
    ]


def _markdown_mean(mean: str, deviation: str, is_best: bool, _: bool) -> str:  # noqa: FBT001  # a cell
    text = mean if deviation == UNDEFINED else f"{mean} ± {deviation}"
    return f"**{text}**" if is_best else text


def _latex_mean(mean: str, deviation: str, is_best: bool, is_other: bool) -> str:  # noqa: FBT001  # a cell
    if mean == UNDEFINED:
        return latex_number(mean)
    number = f"\\mathbf{{{mean}}}" if is_best else mean
    cell = f"${number}$" if deviation == UNDEFINED else f"${number}_{{\\pm {deviation}}}$"
    return f"{cell}\\textsuperscript{{{MARK}}}" if is_other else cell


def _difference_rows(comparison: RunComparison) -> list[list[str]]:
    rows = []
    for metric, runs in comparison.metrics.items():
        kind = comparison.metric(metric)
        for run in runs[1:]:
            less = run.to_first
            if less is not None:
                rows.append(
                    [
                        name_metric(metric),
                        run.name,
                        format_value(less.difference, kind),
                        format_interval(less.low, less.high, kind),
                        format_p(less.p_value),
                        format_p(run.p_corrected),
                    ]
                )
    return rows


_FORMATS: Final[Mapping[ComparisonFormat, Callable[[RunComparison], str]]] = {
    "text": format_comparison,
    "markdown": _markdown,
    "csv": _csv,
    "json": _json,
    "latex": _latex,
}
