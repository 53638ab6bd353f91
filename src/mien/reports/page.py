"""A run folder to a page with its tables and figures, from the files of the run alone."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from mien.evaluation.intervals import FEW_UNITS
from mien.evaluation.label_agreement import AGREEMENT, COPY, GENERATED
from mien.evaluation.metrics import METRICS
from mien.evaluation.metrics_file.run_metrics import LabelMetrics, MetricSummary, SeedValues
from mien.files.atomic import write_text
from mien.reports.finished_run import FigureFormat, FinishedRun, Picture, read_run
from mien.reports.fold_results.fold_page import (
    describe_folds,
    read_pooled,
    write_fold_tables,
)
from mien.reports.label_tables import (
    NUM_CLIPS,
    LabelColumn,
    describe_estimate,
    label_table,
    mean_column,
    rows_of_run,
    spread_column,
)
from mien.reports.metric_cells import (
    count_units,
    mean_cell,
    metric_heading,
    metric_rows,
    spread_cell,
)
from mien.reports.target_results.target_page import write_targets
from mien.reports.text import (
    UNDEFINED,
    code_span,
    describe_baseline,
    describe_metrics,
    escape_markdown,
    format_value,
    label_metric,
    markdown_table,
)
from mien.training.run_folder import RunFolder, open_run
from mien.types import REPORTED_SPLITS, Task

__all__ = ["write_report"]

#: What the page calls the parts of ``PARTS``, and the sources of labels.
_CLIPS: Final = {
    "everywhere": "all clips",
    "conflicting": "clips in which the modality contradicts the multimodal label",
}
_SOURCES: Final = {GENERATED: "generated", COPY: "copied annotation"}


def write_report(run: RunFolder | str | Path, *, figures: FigureFormat = "png") -> Path:
    """Write ``report.md`` and its figures into a run folder, from the files in it alone.

    What a run does not have is left out: unimodal tasks that are not annotated, known moments,
    attention. Figures and page are each written beside their place and renamed; the same files
    give the same report. The page shows PNGs; figures that lie there in another format are written
    anew as well.

    Args:
        run: The run, or its folder.
        figures: Another format to write every figure in, for papers.

    Returns:
        The path of ``report.md``.

    Raises:
        CheckpointError: If the training has not ended, or a file of the run is missing or damaged.
    """
    run = open_run(run)
    if run.folds:
        sections = _fold_sections(read_pooled(run))
    else:
        sections = _run_sections(read_run(run), figures)
    path = run.path / "report.md"
    write_text(path, "\n\n".join(section for section in sections if section) + "\n")
    return path


def _run_sections(run: FinishedRun, figures: FigureFormat) -> list[str]:
    from mien.reports.figures.run import draw_figures  # matplotlib takes a while

    pictures = draw_figures(run, figures)
    return [
        _headline(run),
        _main_results(run),
        _unimodal_results(run),
        write_targets(run),
        _label_estimates(run),
        _label_results(run),
        _attention_results(run),
        _figure_section(pictures),
        _example_section(run),
        _environment(run),
        _repeat(run),
    ]


def _fold_sections(run: FinishedRun) -> list[str]:
    return [
        _headline(run),
        describe_folds(run),
        _main_results(run),
        _unimodal_results(run),
        write_targets(run),
        write_fold_tables(run),
        _environment(run),
        _repeat(run),
    ]


def _headline(run: FinishedRun) -> str:
    seeds = ", ".join(map(str, run.metrics.seeds))
    num = len(run.seeds)
    lines = [f"# {run.config['model']['name']} on {run.corpus_in_markdown}", ""]
    if run.metrics.is_synthetic:
        lines += ["**Synthetic corpus: its clips were made by a program.**", ""]
    best = ", ".join(map(str, run.metrics.best_epochs))
    lines.append(
        f"Model `{run.config['model']['name']}`, labels of the unimodal tasks by "
        f"`{run.config['labels']['generator']}`, {num} seed{'s' * (num > 1)} ({seeds})"
        + (f", best epoch{'s' * (num > 1)} on validation {best}." if best else ".")
    )
    for split in run.sentiment_splits[:1]:
        lines += ["", f"On {split}: {_in_short(run, split)}."]
    if run.metrics.baseline is not None:
        lines += ["", describe_baseline(run.metrics.baseline)]
    lines += _left_out_seeds(run)
    return "\n".join(lines)


def _in_short(run: FinishedRun, split: str) -> str:
    parts = []
    for name, summary in run.metrics.splits[split][Task.FUSION].items():
        if name in ("mae", "corr") or name.startswith("acc2"):
            cell = mean_cell(summary, METRICS[run.family][name])
            parts.append(f"`{label_metric(name, run.family)}` {cell}")
    return ", ".join(parts)


def _left_out_seeds(run: FinishedRun) -> list[str]:
    """Say which seeds of the folder are not in the numbers, and why."""
    counted = set(run.metrics.seeds)
    lines = []
    for seed in run.folder.seeds:
        if seed.seed not in counted:
            why = seed.failure or "its training has not finished, or the numbers are older than it"
            lines += ["", f"**Seed {seed.seed} is not in the numbers:** {why}."]
    return lines


def _main_results(run: FinishedRun) -> str:
    if not run.has_sentiment:
        return ""
    parts = ["## Multimodal task"]
    for split in REPORTED_SPLITS:
        metrics = run.metrics.splits.get(split, {}).get(Task.FUSION)
        if metrics:
            num = run.environment.get("num_clips", {}).get(split)
            clips = count_units(metrics) or (f", {num} clips" if num else "")
            parts.append(f"**{split} of {run.corpus_in_markdown}{clips}**")
            parts.append(_metric_table(metrics, run))
            parts.append(f"**{split} of {run.corpus_in_markdown}, every seed**")
            parts.append(_seed_table(metrics, run))
    splits = [tasks.get(Task.FUSION) for tasks in run.metrics.splits.values()]
    if any(metrics and not count_units(metrics) for metrics in splits):
        parts.append(
            "**The numbers are of an earlier version, whose intervals are percentiles however few "
            "the videos: below 20 of them they are too narrow.**"
        )
    ensemble = (
        "Ensemble: the metric of the mean of the seeds' scores, which is one prediction that takes "
        "as many models. "
    )
    parts.append(
        "Mean, and standard deviation of a sample, over the seeds. "
        f"{ensemble * (len(run.metrics.seeds) > 1)}Intervals are 95 % intervals of "
        "the mean over the seeds, by clips and, where several clips come from one, by whole videos "
        "or, where it is known who speaks, speakers: percentiles of a bootstrap, or t intervals "
        f"below {FEW_UNITS} of them. They say "
        "how far a number depends on the clips of the split, for these weights; not how far it "
        "depends on the seed. "
        "Columns with % are shares of clips in percent."
    )
    parts.append("How each metric counts:\n\n" + _bullets(describe_metrics(run.family)))
    return "\n\n".join(parts)


def _metric_table(metrics: Mapping[str, MetricSummary], run: FinishedRun) -> str:
    rows = metric_rows(metrics, METRICS[run.family], _metric_names(metrics, run))
    return markdown_table(metric_heading(metrics), rows)


def _metric_names(metrics: Iterable[str], run: FinishedRun) -> dict[str, str]:
    family = METRICS[run.family]
    return {name: f"`{name}`{' %' * family[name].is_share}" for name in metrics}


def _seed_table(metrics: Mapping[str, MetricSummary], run: FinishedRun) -> str:
    rows = []
    for number, seed in enumerate(run.seeds):
        values = [
            format_value(m.values[number], METRICS[run.family][n]) for n, m in metrics.items()
        ]
        best = [str(run.best_epoch(seed))] if run.metrics.best_epochs else []
        rows.append([str(seed.seed), *best, *values])
    best = ["best epoch"] if run.metrics.best_epochs else []
    return markdown_table(["seed", *best, *_metric_names(metrics, run).values()], rows)


def _unimodal_results(run: FinishedRun) -> str:
    parts = []
    for split in REPORTED_SPLITS:
        evaluated = run.metrics.splits.get(split, {})
        tasks = [task for task in Task if task is not Task.FUSION and task in evaluated]
        if tasks:
            rows = [
                [
                    name,
                    *(mean_cell(evaluated[t][key], METRICS[run.family][key]) for t in tasks),
                ]
                for key, name in _metric_names(evaluated[tasks[0]], run).items()
            ]
            parts.append(f"**{split} of {run.corpus_in_markdown}**")
            parts.append(markdown_table(["metric", *map(str, tasks)], rows))
    if not parts:
        return ""
    note = (
        "Scores of one modality alone against the labels that are annotated for it, on the clips "
        "that have both; mean ± standard deviation over the seeds."
    )
    return "\n\n".join(["## Unimodal tasks", note, *parts])


def _label_estimates(run: FinishedRun) -> str:
    """Return what the label generator estimated of annotation and evidence, by seed."""
    parts = [
        f"Seed {seed}: {' '.join(describe_estimate(estimate))}"
        for seed, estimate in run.estimates().items()
    ]
    return "\n\n".join(["## What the label generator estimated", *parts]) if parts else ""


def _label_results(run: FinishedRun) -> str:
    labels = run.metrics.labels
    if not labels:
        return ""
    parts = ["## Generated labels against known truth"]
    parts.append(
        "How the unimodal labels on which each seed was trained in its best epoch agree with the "
        "labels that are known for train, beside copies of the multimodal annotation: the control "
        f"that a label generator must beat. Generator `{run.config['labels']['generator']}`, mean "
        "± standard deviation over the seeds."
    )
    for part, clips in _CLIPS.items():
        parts.append(f"**train of {run.corpus_in_markdown}, {clips}**")
        parts.append(_agreement_table(labels, part))
    parts.append(
        "Pearson and Spearman: correlation of values and of ranks; `mae`: mean absolute error; "
        "`sign`: share of the clips whose truth is not 0 in which the label has its sign."
    )
    return "\n\n".join(parts)


def _agreement_table(labels: LabelMetrics, part: str) -> str:
    columns: list[LabelColumn[SeedValues]] = [
        LabelColumn("modality", lambda row: row.modality),
        LabelColumn("labels", lambda row: _SOURCES[row.source]),
        NUM_CLIPS,
        _label_column("Pearson", "pearson"),
        _label_column("Spearman", "spearman"),
        _label_column("`mae`", "mae"),
        _label_column("`sign` %", "sign"),
    ]
    make_table = partial(markdown_table, num_words=2)
    return label_table(rows_of_run(labels, part), columns, make_table)


def _label_column(heading: str, key: str) -> LabelColumn[SeedValues]:
    """Return a column of means; those of copies, the same for every seed, without deviation."""
    with_spread, mean = spread_column(heading, key), mean_column(heading, key, AGREEMENT[key])
    return LabelColumn(heading, lambda row: (mean if row.source == COPY else with_spread).cell(row))


def _percent(value: float | None) -> str:
    return UNDEFINED if value is None else f"{100 * value:.2f}"


def _attention_results(run: FinishedRun) -> str:
    parts = []
    for split in REPORTED_SPLITS:
        modalities = run.metrics.attention.get(split, {})
        if modalities:
            rows = [
                [
                    modality,
                    f"{values['num_clips'].mean:.0f}",
                    spread_cell(values["inside"], _percent),
                    _percent(values["uniform"].mean),
                    spread_cell(values["ratio"]),
                ]
                for modality, values in modalities.items()
            ]
            heading = ["modality", "clips", "inside %", "equal weights %", "ratio"]
            parts += [f"**{split} of {run.corpus_in_markdown}**", markdown_table(heading, rows)]
    if not parts:
        return ""
    note = (
        "Share of the attention, by its absolute value, that falls inside the known moment of a "
        "clip, beside the share that equal weights would put there; mean ± standard deviation over "
        "the seeds. A ratio of 1 is what uninformed attention gets."
    )
    return "\n\n".join(["## Attention inside known moments", note, *parts])


def _figure_section(pictures: Sequence[Picture]) -> str:
    parts = [f"![{p.title}]({p.file})\n\n*{p.caption}*" for p in pictures]
    return "\n\n".join(["## Figures", *parts])


def _example_section(run: FinishedRun) -> str:
    from mien.reports.figures.attention_maps import can_draw_words, words_of

    examples = run.examples()
    if not examples:
        return ""

    parts = ["### Clips of the last figure"]
    lines = []
    lacks_font = False
    for number, clip in enumerate(examples, start=1):
        transcript = escape_markdown(clip["transcript"]) or "no transcript"
        lines.append(f"{number}. {code_span(clip['id'])}: {transcript}")
        if not can_draw_words(clip):
            lacks_font = True
            words = " · ".join(
                f"{escape_markdown(w.text)} ({format_value(w.weight)})" for w in words_of(clip)
            )
            lines.append(f"   \n   Words and their weights: {words}")
    if lacks_font:
        parts.append(
            "No installed font has the characters of some clips, so that the figure shows the "
            "weights of their text by position; their words stand here. Install a font with "
            "Chinese characters, such as Noto Sans CJK, and write the report again to see them "
            "in the figure."
        )
    return "\n\n".join([*parts, "\n".join(lines)])


def _environment(run: FinishedRun) -> str:
    facts = run.environment
    rows = [[f"`{name}`", version] for name, version in facts["versions"].items()]
    rows += [["Python", facts["python"]], ["platform", facts["platform"]]]
    rows += [["device", facts["device"]], ["threads", str(facts["threads"])]]
    hashes = [[f"fingerprint of {name}", f"`{value}`"] for name, value in run.fingerprints]
    rows += [["corpus", run.corpus_in_markdown], *hashes]
    if facts["text_encoder"]:
        rows.append(["text encoder", f"`{facts['text_encoder']}`"])
    if facts["text_encoder_fingerprint"]:
        rows.append(["its fingerprint", f"`{facts['text_encoder_fingerprint']}`"])
    rows += [[f"clips in {split}", str(num)] for split, num in facts["num_clips"].items()]
    if facts["num_left_out"]:
        rows.append(["clips left out of train and valid", str(facts["num_left_out"])])
    if facts.get("num_truncated_transcripts"):
        rows.append(["clips with a transcript cut short", str(facts["num_truncated_transcripts"])])
    if facts["init"]:
        rows.append(["fingerprint of the weights at the start", f"`{facts['init']}`"])
    return "## Environment\n\n" + markdown_table(["what", "value"], rows, num_words=2)


def _repeat(run: FinishedRun) -> str:
    notes = ["`config.toml` is next to this page and holds every setting, including the seeds."]
    option, what = ("store", "") if run.metrics.folds is None else ("folds", "the folds of ")
    command = f"mien train config.toml --{option} {option.upper()} --out FOLDER"
    notes.append(f"`{option.upper()}` holds {what}{run.corpus_in_markdown}, fingerprints above.")
    if run.environment["init"]:
        command += " --init CHECKPOINT"
        notes.append("`CHECKPOINT` holds the weights with the fingerprint above.")
    if run.environment["num_left_out"]:
        command += " --exclude OTHER_STORE"
        notes.append("`OTHER_STORE` holds the videos that were left out.")
    return f"## To repeat\n\n```\n{command}\n```\n\n{' '.join(notes)}"


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(
        "- `{}`: {}".format(*line.split(": ", 1)) if ": " in line else f"- {line}" for line in lines
    )
