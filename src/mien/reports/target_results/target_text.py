"""What a run gives of its targets, to text of 80 columns."""

from collections.abc import Mapping

from mien.evaluation.metrics_file.run_metrics import MetricSummary, RunMetrics
from mien.reports.metric_cells import count_units, metric_heading, metric_rows
from mien.reports.target_results.shown_metrics import (
    describe_shown,
    label_shown,
    pick_shown,
    shown_metrics,
)
from mien.reports.text import format_table, format_value, name_corpus, wrap
from mien.types import REPORTED_SPLITS, Target, Task

__all__ = ["format_targets"]


def format_targets(run: RunMetrics) -> list[str]:
    """Return the tables of every target, each with what its metrics say below it.

    For test and valid the multimodal task, with intervals; for the first of them that there is the
    unimodal tasks as well, means over the seeds of a run.
    """
    return [part for target in run.described for part in _format_target(run, target)]


def _format_target(run: RunMetrics, target: Target) -> list[str]:
    corpus = name_corpus(run.corpus, is_synthetic=run.is_synthetic)
    known = {split: run.targets.get(split, {}).get(target.name, {}) for split in REPORTED_SPLITS}
    parts = []
    for split, tasks in known.items():
        metrics = tasks.get(Task.FUSION)
        if metrics:
            title = f"{split} of {corpus}, {target.name}, multimodal task{count_units(metrics)}"
            parts.append(f"{wrap(title)}\n{_main_table(metrics, target)}")
    for split, tasks in known.items():
        alone = {task: each for task, each in tasks.items() if task != Task.FUSION}
        if alone:
            title = f"{split} of {corpus}, {target.name}, unimodal tasks"
            title += ", mean over the seeds" if run.model is None else ""
            parts.append(f"{wrap(title)}\n{_unimodal_table(alone, target)}")
            break
    if parts:
        lines = [f"{target.name}: {target.describe()}", *describe_shown(target.kind)]
        parts.append("\n".join(wrap(line, indent="    ") for line in lines))
    return parts


def _main_table(metrics: Mapping[str, MetricSummary], target: Target) -> str:
    shown = pick_shown(metrics, target.kind)
    names = {name: label_shown(name, target.kind) for name in shown}
    return format_table(
        metric_heading(shown, "interval"), metric_rows(shown, shown_metrics(target.kind), names)
    )


def _unimodal_table(tasks: Mapping[str, Mapping[str, MetricSummary]], target: Target) -> str:
    rows = [
        [
            label_shown(name, target.kind),
            *(format_value(task[name].mean, metric) for task in tasks.values()),
        ]
        for name, metric in shown_metrics(target.kind).items()
    ]
    return format_table(["metric", *tasks], rows)
