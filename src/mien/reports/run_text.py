"""Runs and comparisons of runs to text of 80 columns."""

from collections.abc import Mapping, Sequence
from typing import Any

from mien.evaluation.label_agreement import PARTS
from mien.evaluation.metrics import METRICS, Metric
from mien.evaluation.metrics_file.run_metrics import (
    MetricSummary,
    RunMetrics,
    SeedValues,
    run_metrics_from_json,
)
from mien.reports.comparison import ComparedRun, RunComparison
from mien.reports.fold_results.fold_tables import format_folds
from mien.reports.label_tables import (
    MODALITY,
    SOURCE,
    LabelColumn,
    label_table,
    mean_column,
    rows_of_run,
)
from mien.reports.metric_cells import count_units, metric_heading, metric_rows
from mien.reports.target_results.shown_metrics import (
    describe_shown,
    label_shown,
    shown_metrics,
)
from mien.reports.target_results.target_text import format_targets
from mien.reports.text import (
    SOMEWHAT_FEW,
    count_words,
    describe_baseline,
    describe_metrics,
    describe_without,
    format_interval,
    format_p,
    format_table,
    format_value,
    label_metric,
    name_corpus,
    wrap,
)
from mien.types import REPORTED_SPLITS, Task

__all__ = ["describe_pairing", "format_comparison", "format_rounding", "format_run"]


def format_run(values: Mapping[str, Any]) -> str:
    """Return what a run gave on the multimodal task, from what its ``metrics.json`` holds.

    For each split, as far as there are predictions: mean and deviation over the seeds, the
    metric of the mean of their scores, and the 95 % interval over clips and, where several clips
    come from one, over videos or speakers; below, how each metric counts. The same for every
    further target.
    """
    run = run_metrics_from_json(values)
    family, corpus = run.family, name_corpus(run.corpus, is_synthetic=run.is_synthetic)
    seeds = f"{count_words(len(run.seeds), 'seed')} ({', '.join(map(str, run.seeds))})"
    head = f"{corpus}: {run.model or seeds}"
    if run.folds is not None:
        head += f", {len(run.folds.names)} folds, each clip predicted by the model of its fold"
    parts = [wrap(head)]
    for seed, reason in run.failed_seeds.items():
        parts.append(wrap(f"seed {seed} is left out of all numbers: {reason}"))
    if run.baseline is not None:
        parts.append(wrap(describe_baseline(run.baseline)))
    if run.without:
        parts.append(wrap(describe_without(run.without)))
    for split in REPORTED_SPLITS:
        metrics = run.splits.get(split, {}).get(str(Task.FUSION))
        if metrics:
            title = f"{split} of {corpus}, multimodal task{count_units(metrics)}"
            parts.append(f"{wrap(title)}\n{_format_metrics(metrics, family)}")
    parts += _format_unimodal(run)
    parts += format_targets(run)
    parts += format_folds(run)
    parts += _format_agreement(run)
    parts += _format_attention(run)
    ensemble = "ensemble: the metric of the mean of the seeds' scores; " * (len(run.seeds) > 1)
    means = f"deviation: standard deviation over the seeds; {ensemble}intervals: 95 %, of the mean "
    over = f"{means}over the seeds, by" if run.model is None else "intervals: 95 %, by"
    parts.append(
        wrap(
            f"{over} clips, and by whole videos or speakers; they hold for these weights, not for "
            "other seeds"
        )
    )
    if run.has_sentiment:
        parts[-1] += f"\n{_describe(family)}"
    return "\n\n".join(parts)


def format_rounding(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return what 8 bits cost on the multimodal task, metric by metric, of targets as well.

    Args:
        before: What ``metrics.json`` holds of predictions in 32 bits.
        after: The same of predictions in 8 bits, on the same clips.
    """
    exact, rounded = run_metrics_from_json(before), run_metrics_from_json(after)
    rows = []
    for split, tasks in rounded.splits.items():
        summaries = tasks.get(str(Task.FUSION), {})
        for name in summaries:
            both = exact.splits[split][str(Task.FUSION)][name], summaries[name]
            label = label_metric(name, exact.family)
            rows.append(_rounded_row(label, METRICS[exact.family][name], *both))
    for split, targets in rounded.targets.items():
        for target in rounded.described:
            summaries = targets.get(target.name, {}).get(str(Task.FUSION), {})
            for name, metric in shown_metrics(target.kind).items() if summaries else ():
                known = exact.targets[split][target.name][str(Task.FUSION)][name]
                label = f"{target.name}: {label_shown(name, target.kind)}"
                rows.append(_rounded_row(label, metric, known, summaries[name]))
    return format_table(["multimodal task", "32 bits", "8 bits", "difference"], rows)


def _rounded_row(
    label: str, metric: Metric, exact: MetricSummary, rounded: MetricSummary
) -> list[str]:
    other, own = exact.mean, rounded.mean
    apart = None if own is None or other is None else own - other
    return [label, *(format_value(value, metric) for value in (other, own, apart))]


def _format_metrics(metrics: Mapping[str, MetricSummary], family: str) -> str:
    names = {name: label_metric(name, family) for name in metrics}
    return format_table(
        metric_heading(metrics, "interval"), metric_rows(metrics, METRICS[family], names)
    )


def _format_unimodal(run: RunMetrics) -> list[str]:
    """Return a table of the unimodal tasks, where they are annotated or their truth is known."""
    for split in REPORTED_SPLITS:
        tasks = {t: each for t, each in run.splits.get(split, {}).items() if t != Task.FUSION}
        if tasks:
            rows = []
            for name, metric in METRICS[run.family].items():
                means = [format_value(task[name].mean, metric) for task in tasks.values()]
                rows.append([label_metric(name, run.family), *means])
            corpus = name_corpus(run.corpus, is_synthetic=run.is_synthetic)
            title = f"{split} of {corpus}, unimodal tasks"
            title += ", mean over the seeds" if run.model is None else ""
            return [f"{wrap(title)}\n{format_table(['metric', *tasks], rows)}"]
    return []


def _format_agreement(run: RunMetrics) -> list[str]:
    """Return how well generated labels of train agree with the truth, beside copied ones."""
    rows = [
        row
        for modality, sources in run.labels.items()
        for part in PARTS
        for row in rows_of_run({modality: sources}, part)
    ]
    if not rows:
        return []
    corpus = name_corpus(run.corpus, is_synthetic=run.is_synthetic)
    title = (
        f"train of {corpus}, unimodal labels against the truth: all clips, and "
        "those in which the modality contradicts the multimodal label"
    )
    columns: list[LabelColumn[SeedValues]] = [
        MODALITY,
        SOURCE,
        LabelColumn("clips", lambda row: f"{row.num_clips} {PARTS[row.part]}"),
        mean_column("corr", "pearson"),
        mean_column("mae", "mae"),
        mean_column("same sign", "sign"),
    ]
    return [f"{wrap(title)}\n{label_table(rows, columns)}"]


def _format_attention(run: RunMetrics) -> list[str]:
    """Return the share of attention inside the known moments, where there are some."""
    for split in REPORTED_SPLITS:
        modalities = run.attention.get(split)
        if modalities:
            rows = [
                [modality, *(format_value(each[k].mean) for k in ("inside", "uniform", "ratio"))]
                for modality, each in modalities.items()
            ]
            corpus = name_corpus(run.corpus, is_synthetic=run.is_synthetic)
            title = (
                f"{split} of {corpus}, share of attention inside the known "
                "moments, and what equal weights get"
            )
            return [f"{wrap(title)}\n{format_table(['', 'inside', 'equal', 'ratio'], rows)}"]
    return []


def format_comparison(comparison: RunComparison) -> str:
    """Return how runs differ from the first one, metric by metric."""
    letters = [_letter(number) for number in range(len(comparison.runs))]
    corpus = name_corpus(comparison.corpus, is_synthetic=comparison.is_synthetic)
    lines_of_runs = [
        wrap(f"{comparison.split} of {corpus}: {count_words(comparison.num_clips, 'clip')}")
    ]
    for letter, name, num in zip(letters, comparison.runs, comparison.num_seeds, strict=True):
        model = comparison.models.get(name)
        what = count_words(num, "seed") if model is None else f"one model: {model}"
        lines_of_runs.append(wrap(f"{letter}: {name} ({what})", indent="   "))
        failed = comparison.failed_seeds.get(name, ())
        lines_of_runs += [
            f"   seed {seed} diverged and is left out of all numbers" for seed in failed
        ]
        if comparison.baselines.get(name) == "speaker":
            lines_of_runs.append("   every clip is read against the other clips of its speaker")
        if name in comparison.without:
            lines_of_runs.append(f"   {describe_without(comparison.without[name])}")
    note = (
        f"deviation: standard deviation over the seeds; minus {letters[0]}: difference of the "
        f"means to {letters[0]}, with a 95 % interval and a two-sided p value by Student's t, "
        f"{describe_pairing(comparison)}; Holm: p corrected for the number of runs "
        f"compared with {letters[0]}; {_better(comparison)}"
    )
    tables, described = [], [wrap(note)]
    if comparison.has_sentiment:
        own = [name for name in comparison.metrics if "/" not in name]
        tables.append(_compare_table(comparison, own, letters))
        described[0] += f"\n{_describe(comparison.family)}"
    for target in comparison.targets:
        own = [name for name in comparison.metrics if name.rpartition("/")[0] == target.name]
        title = f"{target.name}, {count_words(comparison.target_clips[target.name], 'clip')}"
        tables.append(f"{wrap(title)}\n{_compare_table(comparison, own, letters)}")
        lines = [f"{target.name}: {target.describe()}", *describe_shown(target.kind)]
        described.append("\n".join(wrap(line, indent="    ") for line in lines))
    return "\n\n".join(["\n".join(lines_of_runs), *tables, *described])


def _compare_table(comparison: RunComparison, names: Sequence[str], letters: Sequence[str]) -> str:
    heading = ["metric", "run", "mean", "deviation", f"minus {letters[0]}", "interval", "p", "Holm"]
    rows = [
        _compare_row(name.rpartition("/")[2], letter, run, comparison.metric(name))
        for name in names
        for letter, run in zip(letters, comparison.metrics[name], strict=True)
    ]
    return format_table(heading, rows)


def _compare_row(name: str, letter: str, run: ComparedRun, metric: Metric) -> list[str]:
    difference = run.to_first
    row = [f"{name}{' %' * metric.is_share}", letter]
    row += [format_value(run.seeds.mean, metric), format_value(run.seeds.deviation, metric)]
    if difference is None:
        return [*row, "", "", "", ""]
    return [
        *row,
        format_value(difference.difference, metric),
        format_interval(difference.low, difference.high, metric),
        format_p(difference.p_value),
        format_p(run.p_corrected),
    ]


def describe_pairing(comparison: RunComparison) -> str:
    """Return over what differences are paired, and for which trainings they hold.

    For further ones with other seeds, or for these weights alone.
    """
    units = count_words(comparison.num_units, comparison.unit)
    few = " (few)" * (1 < comparison.num_units < SOMEWHAT_FEW)
    parts = " (each target over the clips annotated for it)" * comparison.has_parts
    return f"paired over {units}{few}{parts}{_describe_seeds(comparison)}"


def _describe_seeds(comparison: RunComparison) -> str:
    if comparison.num_units < 2:
        return ", too few for an interval"
    compared = [run.to_first for run in next(iter(comparison.metrics.values()))]
    covers = [each.covers_seeds for each in compared if each is not None]
    if all(covers):
        return " and over the seeds"
    if any(covers):
        return (
            " and, where both runs have several, over the seeds; with one seed on a side they "
            "compare these weights, not the methods"
        )
    return ": a comparison of these weights, not of the methods, which takes several seeds each"


def _better(comparison: RunComparison) -> str:
    names = {name.rpartition("/")[2]: name for name in comparison.metrics}
    low = [own for own, name in names.items() if not comparison.metric(name).higher_is_better]
    return f"lower is better for {', '.join(low)}, higher for the others"


def _letter(number: int) -> str:
    """Return A, B, ... Z, and numbers from 27 on.

    >>> _letter(1), _letter(26)
    ('B', '27')
    """
    return chr(ord("A") + number) if number < 26 else str(number + 1)


def _describe(family: str) -> str:
    return "\n".join(wrap(line, indent="    ") for line in describe_metrics(family))
