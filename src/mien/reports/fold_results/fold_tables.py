"""The metrics of each fold, with their mean and deviation, as rows of tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from mien.evaluation.metrics import METRICS, Metric
from mien.evaluation.metrics_file.run_metrics import RunMetrics, SeedValues
from mien.reports.target_results.shown_metrics import label_shown, shown_metrics
from mien.reports.text import format_table, format_value, label_metric, name_corpus, wrap
from mien.types import Task

__all__ = ["FoldTable", "format_folds", "iterate_tables"]

#: Metrics side by side in a table of 80 columns.
_AT_ONCE = 4


class FoldTable(NamedTuple):
    """What the folds gave of sentiment or a target.

    Attributes:
        title: What it is of: ``multimodal task``, or the name of a target.
        heading: ``fold``, ``clips``, and the metrics.
        rows: One for each fold, with the clips that are annotated for it, and mean and deviation.
    """

    title: str
    heading: list[str]
    rows: list[list[str]]


def iterate_tables(run: RunMetrics) -> Iterator[FoldTable]:
    """Yield the table of sentiment and that of every target, of the multimodal task."""
    if run.folds is None:
        return
    sentiment = run.folds.tasks.get(Task.FUSION)
    if sentiment:
        known = METRICS[run.family]
        names = {name: label_metric(name, run.family) for name in sentiment}
        clips = run.folds.task_clips.get(Task.FUSION, run.folds.num_clips)
        yield _make_table("multimodal task", run.folds.names, clips, sentiment, known, names)
    for target in run.described:
        metrics = run.folds.targets.get(target.name, {}).get(Task.FUSION)
        if metrics:
            known = shown_metrics(target.kind)
            names = {name: label_shown(name, target.kind) for name in known}
            clips = run.folds.target_clips.get(target.name, {}).get(
                Task.FUSION, run.folds.num_clips
            )
            yield _make_table(target.name, run.folds.names, clips, metrics, known, names)


def _make_table(
    title: str,
    folds: Sequence[str],
    clips: Sequence[int],
    metrics: Mapping[str, SeedValues],
    known: Mapping[str, Metric],
    names: Mapping[str, str],
) -> FoldTable:
    shown = [(metrics[name], known[name]) for name in names]
    rows = [
        [
            fold,
            str(num),
            *(format_value(values.values[row], metric) for values, metric in shown),
        ]
        for row, (fold, num) in enumerate(zip(folds, clips, strict=True))
    ]
    rows.append(["mean", "", *(format_value(values.mean, metric) for values, metric in shown)])
    rows.append(
        ["deviation", "", *(format_value(values.deviation, metric) for values, metric in shown)]
    )
    return FoldTable(title, ["fold", "clips", *names.values()], rows)


def format_folds(run: RunMetrics) -> list[str]:
    """Return the tables of the folds as text of 80 columns."""
    corpus = name_corpus(run.corpus, is_synthetic=run.is_synthetic)
    return [
        f"{wrap(f'each fold of {corpus}, {table.title}')}\n{_format_table(table)}"
        for table in iterate_tables(run)
    ]


def _format_table(table: FoldTable) -> str:
    """Return a table, in several below each other where there are many metrics."""
    parts = []
    for start in range(2, len(table.heading), _AT_ONCE):
        cut = [0, 1, *range(start, min(start + _AT_ONCE, len(table.heading)))]
        parts.append(format_table(_take(table.heading, cut), [_take(r, cut) for r in table.rows]))
    return "\n\n".join(parts)


def _take(cells: Sequence[str], places: Sequence[int]) -> list[str]:
    return [cells[place] for place in places]
