"""What a run gives of its targets, to sections of its page."""

from typing import Final

import numpy as np

from mien.evaluation.target_metrics.confusion import count_confusion, share_rows
from mien.reports.finished_run import FinishedRun
from mien.reports.metric_cells import (
    count_units,
    mean_cell,
    metric_heading,
    metric_rows,
)
from mien.reports.target_results.shown_metrics import (
    describe_shown,
    label_shown,
    pick_shown,
    shown_metrics,
)
from mien.reports.text import UNDEFINED, escape_markdown, markdown_table
from mien.types import REPORTED_SPLITS, Target, TargetKind, Task

__all__ = ["write_targets"]

#: The most classes whose confusion is a table.
_MOST_IN_TABLE: Final = 20
_NOTE: Final = (
    "Mean, and standard deviation of a sample, over the seeds; 95 % intervals of the mean over the "
    "seeds, by clips and, where several clips come from one, by whole videos or speakers. "
    "`metrics.json` has further metrics, and those of every class."
)


def write_targets(run: FinishedRun) -> str:
    """Return a section for each target; nothing for a run of sentiment alone."""
    sections = [_write_target(run, target) for target in run.metrics.described]
    return "\n\n".join(section for section in sections if section)


def _write_target(run: FinishedRun, target: Target) -> str:
    known = {
        split: tasks
        for split in REPORTED_SPLITS
        if (tasks := run.metrics.targets.get(split, {}).get(target.name))
    }
    if not known:
        return ""
    name, metrics = escape_markdown(target.name), shown_metrics(target.kind)
    names = {key: label_shown(key, target.kind) for key in metrics}
    parts = [f"## {name}", f"{escape_markdown(target.describe())}. {_NOTE}"]
    for split, tasks in known.items():
        if Task.FUSION in tasks:
            shown = pick_shown(tasks[Task.FUSION], target.kind)
            parts.append(
                f"**{split} of {run.corpus_in_markdown}, multimodal task{count_units(shown)}**"
            )
            parts.append(markdown_table(metric_heading(shown), metric_rows(shown, metrics, names)))
        alone = [task for task in tasks if task != Task.FUSION]
        if alone:
            rows = [
                [names[key], *(mean_cell(tasks[task][key], metric) for task in alone)]
                for key, metric in metrics.items()
            ]
            parts.append(f"**{split} of {run.corpus_in_markdown}, unimodal tasks**")
            parts.append(markdown_table(["metric", *alone], rows))
    parts += _write_confusion(run, target)
    parts.append("\n".join(f"- {line}" for line in describe_shown(target.kind)))
    return "\n\n".join(parts)


def _write_confusion(run: FinishedRun, target: Target) -> list[str]:
    """Return which classes are taken for which, on the first split that has predictions."""
    if target.kind is not TargetKind.CLASS or not 1 < target.size <= _MOST_IN_TABLE:
        return []
    for split in REPORTED_SPLITS:
        read = run.predictions(split)
        own = [each.values[target.name] for each in read if target.name in each.values]
        counts = [
            count_confusion(each.values[Task.FUSION], each.truths[Task.FUSION])
            for each in own
            if Task.FUSION in each.truths
        ]
        total = np.sum(counts, axis=0)
        if counts and total.any():
            classes = [escape_markdown(name) for name in target.classes]
            rows = [
                [
                    name,
                    f"{row.sum() / len(counts):g}",
                    *(UNDEFINED if np.isnan(share) else f"{100 * share:.1f}" for share in shares),
                ]
                for name, row, shares in zip(classes, total, share_rows(total), strict=True)
            ]
            title = (
                f"**{split} of {run.corpus_in_markdown}, annotated classes in rows, and how many "
                "percent of their clips are predicted to be of each class, over the seeds**"
            )
            return [title, markdown_table(["annotated", "clips", *classes], rows)]
    return []
