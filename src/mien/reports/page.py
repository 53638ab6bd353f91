"""A run folder to a page with its tables and figures, from the files of the run alone."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mien.evaluation.bootstrap import FEW_UNITS
from mien.evaluation.metrics import METRICS
from mien.files.atomic import write_text
from mien.reports.finished_run import FinishedRun, Picture, read_run
from mien.reports.text import (
    UNDEFINED,
    count_units,
    describe_metrics,
    format_interval,
    format_value,
    label_metric,
    markdown_table,
)
from mien.training.run_folder import RunFolder
from mien.types import Split, Task

__all__ = ["write_report"]

_SPLITS: Final[tuple[Split, ...]] = ("test", "valid")


def write_report(run: RunFolder) -> Path:
    """Write ``report.md`` and its figures into a run folder, from the files in it alone.

    What a run does not have is left out: unimodal tasks that are not annotated, known moments,
    attention. Figures and page are each written beside their place and renamed; the same files
    give the same report.

    Returns:
        The path of ``report.md``.

    Raises:
        CheckpointError: If the training has not ended, or a file of the run is missing or damaged.
    """
    from mien.reports.figures.run import draw_figures  # matplotlib takes a while

    finished = read_run(run)
    pictures = draw_figures(finished)
    sections = [
        _headline(finished),
        _main_results(finished),
        _unimodal_results(finished),
        _label_results(finished),
        _attention_results(finished),
        _figure_section(pictures),
        _example_section(finished),
        _environment(finished),
        _repeat(finished),
    ]
    path = run.path / "report.md"
    write_text(path, "\n\n".join(section for section in sections if section) + "\n")
    return path


def _headline(run: FinishedRun) -> str:
    seeds = ", ".join(map(str, run.metrics["seeds"]))
    num = len(run.seeds)
    lines = [f"# {run.title}", ""]
    if run.metrics["is_synthetic"]:
        lines += ["**Synthetic corpus: its clips were made by a program.**", ""]
    best = ", ".join(map(str, run.metrics["best_epochs"]))
    lines.append(
        f"Model `{run.config['model']['name']}`, labels of the unimodal tasks by "
        f"`{run.config['labels']['generator']}`, {num} seed{'s' * (num > 1)} ({seeds}), best "
        f"epoch{'s' * (num > 1)} on validation {best}."
    )
    split = next((one for one in _SPLITS if one in run.metrics["splits"]), None)
    if split is not None:
        lines += ["", f"On {split}: {_in_short(run, split)}."]
    lines += _left_out_seeds(run)
    return "\n".join(lines)


def _in_short(run: FinishedRun, split: str) -> str:
    parts = []
    for name, one in run.metrics["splits"][split][str(Task.FUSION)].items():
        if name in ("mae", "corr") or name.startswith("acc2"):
            parts.append(
                f"`{label_metric(name, run.family)}` {_mean_and_deviation(one, name, run)}"
            )
    return ", ".join(parts)


def _left_out_seeds(run: FinishedRun) -> list[str]:
    """Say which seeds of the folder are not in the numbers, and why."""
    counted = set(run.metrics["seeds"])
    lines = []
    for seed in run.folder.seeds:
        if seed.seed not in counted:
            why = seed.failure or "its training has not ended, or the numbers are older than it"
            lines += ["", f"**Seed {seed.seed} is not in the numbers:** {why}."]
    return lines


def _main_results(run: FinishedRun) -> str:
    parts = ["## Multimodal task"]
    for split in _SPLITS:
        metrics = run.metrics["splits"].get(split, {}).get(str(Task.FUSION))
        if metrics:
            num = run.environment.get("num_clips", {}).get(split)
            clips = count_units(metrics) or (f", {num} clips" if num else "")
            parts.append(f"**{split} of {run.corpus}{clips}**")
            parts.append(_metric_table(metrics, run))
            parts.append(f"**{split} of {run.corpus}, every seed**")
            parts.append(_seed_table(metrics, run))
    judged = [one.get(str(Task.FUSION)) for one in run.metrics["splits"].values()]
    if any(metrics and not count_units(metrics) for metrics in judged):
        parts.append(
            "**The numbers are of an earlier version, whose intervals are percentiles however few "
            "the videos: below 20 of them they are too narrow.**"
        )
    parts.append(
        "Mean, and standard deviation of a sample, over the seeds. Intervals are 95 % intervals of "
        "the mean over the seeds, by clips and, where several clips come from one video, by whole "
        f"videos: percentiles of a bootstrap, or t intervals below {FEW_UNITS} of them. They say "
        "how far a number depends on the clips of the split, for these weights; not how far it "
        "depends on the seed. "
        "Columns with % are shares of clips in percent."
    )
    parts.append("How each metric counts:\n\n" + _bullets(describe_metrics(run.family)))
    return "\n\n".join(parts)


def _metric_table(metrics: Mapping[str, Any], run: FinishedRun) -> str:
    has_videos = any("low_videos" in one for one in metrics.values())
    heading = ["metric", "mean", "deviation", "95 % interval, clips"]
    rows = []
    for name, one in metrics.items():
        metric = METRICS[run.family][name]
        row = [f"`{name}`{' %' * metric.is_share}"]
        row += [format_value(one[key], metric) for key in ("mean", "deviation")]
        row.append(format_interval(one["low"], one["high"], metric))
        if has_videos:
            row.append(format_interval(one.get("low_videos"), one.get("high_videos"), metric))
        rows.append(row)
    return markdown_table(heading + ["95 % interval, videos"] * has_videos, rows)


def _seed_table(metrics: Mapping[str, Any], run: FinishedRun) -> str:
    rows = []
    for place, seed in enumerate(run.seeds):
        values = [
            format_value(m["values"][place], METRICS[run.family][n]) for n, m in metrics.items()
        ]
        rows.append([str(seed.seed), str(run.best_epoch(seed)), *values])
    names = [f"`{n}`{' %' * METRICS[run.family][n].is_share}" for n in metrics]
    return markdown_table(["seed", "best epoch", *names], rows)


def _mean_and_deviation(one: Mapping[str, Any], name: str, run: FinishedRun) -> str:
    metric = METRICS[run.family][name]
    return _plus_minus(one, lambda value: format_value(value, metric))


def _plus_minus(one: Mapping[str, Any], show: Callable[[float | None], str]) -> str:
    mean, deviation = show(one["mean"]), show(one["deviation"])
    return mean if deviation == UNDEFINED else f"{mean} ± {deviation}"


def _unimodal_results(run: FinishedRun) -> str:
    parts = []
    for split in _SPLITS:
        judged = run.metrics["splits"].get(split, {})
        tasks = [str(task) for task in Task if task is not Task.FUSION and str(task) in judged]
        if tasks:
            rows = [
                [
                    f"`{name}`{' %' * METRICS[run.family][name].is_share}",
                    *(_mean_and_deviation(judged[task][name], name, run) for task in tasks),
                ]
                for name in judged[tasks[0]]
            ]
            parts.append(f"**{split} of {run.corpus}**")
            parts.append(markdown_table(["metric", *tasks], rows))
    if not parts:
        return ""
    note = (
        "Scores of one modality alone against the labels that are annotated for it, on the clips "
        "that have both; mean ± standard deviation over the seeds."
    )
    return "\n\n".join(["## Unimodal tasks", note, *parts])


def _label_results(run: FinishedRun) -> str:
    labels = run.metrics["labels"]
    if not labels:
        return ""
    parts = ["## Generated labels against known truth"]
    parts.append(
        "How the unimodal labels on which each seed was trained in its best epoch agree with the "
        "labels that are known for train, beside copies of the multimodal annotation: the control "
        f"that a label generator must beat. Generator `{run.config['labels']['generator']}`, mean "
        "± standard deviation over the seeds."
    )
    clips = {
        "everywhere": "all clips",
        "conflicting": "clips in which the modality says the opposite of the whole",
    }
    for part, words in clips.items():
        parts.append(f"**train of {run.corpus}, {words}**")
        parts.append(_agreement_table(labels, part))
    parts.append(
        "Pearson and Spearman: correlation of values and of ranks; `mae`: mean absolute error; "
        "`sign`: share of the clips whose truth is not 0 in which the label has its sign."
    )
    return "\n\n".join(parts)


def _agreement_table(labels: Mapping[str, Any], part: str) -> str:
    rows = []
    for modality, given in labels.items():
        for name, words in (("generated", "generated"), ("copy", "copied annotation")):
            one = given[name][part]
            row = [modality, words, f"{one['num_clips']['mean']:.0f}"]
            keys = ("pearson", "spearman", "mae")
            if name == "generated":
                row += [_plus_minus(one[key], format_value) for key in keys]
                row.append(_plus_minus(one["sign"], _percent))
            else:  # the same for every seed
                row += [format_value(one[key]["mean"]) for key in keys]
                row.append(_percent(one["sign"]["mean"]))
            rows.append(row)
    heading = ["modality", "labels", "clips", "Pearson", "Spearman", "`mae`", "`sign` %"]
    return markdown_table(heading, rows, num_words=2)


def _percent(value: float | None) -> str:
    return UNDEFINED if value is None else f"{100 * value:.2f}"


def _attention_results(run: FinishedRun) -> str:
    parts = []
    for split in _SPLITS:
        judged = run.metrics["attention"].get(split, {})
        if judged:
            rows = [
                [
                    modality,
                    f"{one['num_clips']['mean']:.0f}",
                    _plus_minus(one["inside"], _percent),
                    _percent(one["uniform"]["mean"]),
                    _plus_minus(one["ratio"], format_value),
                ]
                for modality, one in judged.items()
            ]
            heading = ["modality", "clips", "inside %", "equal weights %", "ratio"]
            parts += [f"**{split} of {run.corpus}**", markdown_table(heading, rows)]
    if not parts:
        return ""
    note = (
        "Share of the attention, by its absolute value, that falls inside the known moment of a "
        "clip, beside the share that equal weights would put there; mean ± standard deviation over "
        "the seeds. A ratio of 1 is what attention that knows nothing gets."
    )
    return "\n\n".join(["## Attention inside known moments", note, *parts])


def _figure_section(pictures: Sequence[Picture]) -> str:
    parts = [f"![{one.title}]({one.file})\n\n*{one.caption}*" for one in pictures]
    return "\n\n".join(["## Figures", *parts])


def _example_section(run: FinishedRun) -> str:
    from mien.reports.figures.attention_maps import can_draw_words, words_of

    examples = run.examples()
    if not examples:
        return ""

    parts = ["### Clips of the last figure"]
    lines = []
    lacks_font = False
    for number, one in enumerate(examples, start=1):
        said = _escape(one["transcript"]) or "no transcript"
        lines.append(f"{number}. `{one['id']}`: {said}")
        if not can_draw_words(one):
            lacks_font = True
            words = [f"{_escape(w.text)} ({format_value(w.weight)})" for w in words_of(one)]
            lines.append(f"   \n   Words and their weights: {' · '.join(words)}")
    if lacks_font:
        parts.append(
            "No installed font has the characters of some clips, so that the figure shows the "
            "weights of their text by position; their words stand here. Install a font with "
            "Chinese characters, such as Noto Sans CJK, and write the report again to see them "
            "in the figure."
        )
    return "\n\n".join([*parts, "\n".join(lines)])


def _escape(text: str) -> str:
    """Return text in which Markdown finds no marks."""
    marked = "".join(f"\\{c}" if c in "\\`*_[]#<>|$" else c for c in text)
    return " ".join(marked.split())


def _environment(run: FinishedRun) -> str:
    facts = run.environment
    rows = [[f"`{name}`", version] for name, version in facts["versions"].items()]
    rows += [["Python", facts["python"]], ["platform", facts["platform"]]]
    rows += [["device", facts["device"]], ["threads", str(facts["threads"])]]
    rows.append(["corpus", run.corpus])
    rows.append(["fingerprint of the store", f"`{facts['store']['fingerprint']}`"])
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
    command = "mien train config.toml --store STORE --out FOLDER"
    notes = ["`config.toml` lies beside this page and spells out every setting, seeds included."]
    notes.append(f"`STORE` holds {run.corpus} with the fingerprint above.")
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
