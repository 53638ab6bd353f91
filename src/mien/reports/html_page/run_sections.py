"""The runs of a page one by one: what they are, their figures, settings and environment."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mien.config import flatten_settings
from mien.reports.figures.run import plan_figures
from mien.reports.finished_run import ReportedRun
from mien.reports.html_page.html_parts import (
    Content,
    DrawnFigure,
    Html,
    Section,
    details,
    join,
    paragraph,
    show_figure,
    table,
    tag,
)
from mien.reports.html_page.page_runs import PageRuns
from mien.reports.target_results.shown_metrics import describe_shown
from mien.reports.text import UNDEFINED, describe_baseline, describe_metrics, describe_without
from mien.types import Split

__all__ = [
    "show_curves",
    "show_environment",
    "show_figures",
    "show_metrics",
    "show_runs",
    "show_settings",
]

#: The figure of each run that stands outside its folded part.
_CURVES = "learning-curves"


def show_runs(runs: PageRuns) -> Section:
    """Return what each run is: its model, label generator, seeds and best epochs."""
    pairs = list(zip(runs.names, runs.finished, strict=True))
    columns: dict[str, list[Content]] = {
        runs.kind: [_name(runs, name) for name in runs.names],
        "model": [join([run.model, *_describe_file(run)]) for run in runs.finished],
        "unimodal labels": [_name_generator(run, runs.aligned.split) for run in runs.finished],
        "seeds": [", ".join(map(str, run.metrics.seeds)) for run in runs.finished],
        "best epochs": [", ".join(map(str, run.metrics.best_epochs)) for run in runs.finished],
    }
    columns = {heading: cells for heading, cells in columns.items() if any(cells)}
    rows = [[cell or UNDEFINED for cell in row] for row in zip(*columns.values(), strict=True)]
    notes = [
        paragraph(f"{name}: seed {seed} is left out of all numbers: {reason}", kind="warning")
        for name, folder in zip(runs.names, runs.aligned.runs, strict=True)
        for seed, reason in folder.failed_seeds.items()
    ]
    notes += [
        paragraph(f"{name}: {describe_baseline(run.metrics.baseline)}", kind="note")
        for name, run in pairs
        if run.metrics.baseline is not None
    ]
    notes += [
        paragraph(f"{name}: {describe_without(run.metrics.without)}", kind="note")
        for name, run in pairs
        if run.metrics.without
    ]
    shown = table(list(columns), rows, words=range(len(columns)))
    content = (shown, *notes, *_explain_evaluations(runs))
    return Section(name="runs", title=f"{runs.kind.capitalize()}s", content=content)


def _name(runs: PageRuns, name: str) -> Content:
    """Return what a run is called; an evaluation among runs is said to be one."""
    is_other = runs.kind == "run" and name in runs.evaluations
    return join([name, tag("small", "evaluation")]) if is_other else name


def _name_generator(run: ReportedRun, split: Split) -> str:
    """Return what made the labels of the unimodal tasks; nothing of a model without such tasks."""
    first = run.predictions(split)[0]
    tasks = {*first.scores, *(task for own in first.values.values() for task in own.values)}
    return str(run.config["labels"]["generator"]) if run.config and len(tasks) > 1 else ""


def _describe_file(run: ReportedRun) -> list[Html]:
    """Return what a model of one file is called."""
    return [] if run.metrics.model is None else [tag("small", run.metrics.model)]


def _explain_evaluations(runs: PageRuns) -> list[Html]:
    """Return what evaluations are, and what they do not have."""
    if not runs.evaluations:
        return []
    texts = [
        "An evaluation is what mien evaluate --out wrote, of models that were trained before. "
        "Learning curves, generated labels and attention are of the training, and are in the "
        "report of the run that was evaluated."
    ]
    earlier = [name for name, run in runs.evaluations.items() if not run.config]
    if earlier:
        texts.append(
            f"{', '.join(earlier)}: written by an earlier version, without settings, environment "
            "and how often intervals and sets hold; evaluate again to have them here."
        )
    return [paragraph(text, kind="note") for text in texts]


def draw_run(name: str, number: int, run: ReportedRun, split: Split) -> Iterator[DrawnFigure]:
    """Draw the figures of a run.

    Args:
        name: What the run is called.
        number: Which of the runs of the page it is, from 1: the first part of names of files.
        run: The run.
        split: Of which split its predictions are shown.
    """
    for plan in plan_figures(run, (split,)):
        drawn = plan.draw()
        if drawn is not None:
            yield DrawnFigure(f"{number}-{plan.name}", f"{plan.title}, {name}", *drawn)


def show_curves(runs: PageRuns, drawn: Sequence[Sequence[DrawnFigure]]) -> Section:
    """Return the learning curves of each run."""
    content = [
        part
        for name, figures in zip(runs.names, drawn, strict=True)
        for figure in figures
        if figure.name.endswith(_CURVES)
        for part in (tag("h3", name), show_figure(figure))
    ]
    return Section(name="curves", title="Learning curves", content=tuple(content))


def show_figures(runs: PageRuns, drawn: Sequence[Sequence[DrawnFigure]]) -> Section:
    """Return the other figures of each run, folded up: scores, labels, attention, classes."""
    content = []
    for name, figures in zip(runs.names, drawn, strict=True):
        others = [show_figure(each) for each in figures if not each.name.endswith(_CURVES)]
        if others:
            content.append(details(f"Figures of {name}", *others))
    of_training = ", labels, attention" if runs.kind == "run" else ""
    title = f"Scores{of_training} and classes"
    return Section(name="figures", title=title, content=tuple(content))


def show_settings(runs: PageRuns) -> Section:
    """Return the settings in which runs differ, and all settings of each, folded up."""
    known = _read_known(runs, lambda run: run.config)
    flat = list(known.values())
    content: list[Html] = []
    if len(flat) > 1:
        names = sorted({name for settings in flat for name in settings})
        rows = [
            [name, *shown]
            for name in names
            if len(set(shown := [settings.get(name, "") for settings in flat])) > 1
        ]
        note = "Settings in which the runs differ; an empty cell: the run has no such setting."
        same = paragraph("The settings of the runs are the same.")
        words = range(len(flat) + 1)
        heading = ["setting", *known]
        content.append(table(heading, rows, caption=note, words=words) if rows else same)
    for name, settings in known.items():
        rows = [[key, value] for key, value in settings.items()]
        content.append(
            details(f"All settings of {name}", table(["setting", "value"], rows, words=(0, 1)))
        )
    return Section(name="settings", title="Settings", content=tuple(content))


def show_environment(runs: PageRuns) -> Section:
    """Return versions, device, and fingerprints of data and weights, a column for each run."""
    known = _read_known(runs, lambda run: run.environment)
    flat = list(known.values())
    if not flat:
        return Section(name="environment", title="Environment", content=())
    names = dict.fromkeys(name for facts in flat for name in facts)
    values = {name: [facts.get(name, "") for facts in flat] for name in names}
    same = [[name, own[0]] for name, own in values.items() if len(set(own)) == 1]
    other = [[name, *own] for name, own in values.items() if len(set(own)) > 1]
    differing = [table(["differs", *known], other, words=range(len(flat) + 1))]
    note = (
        "The same settings, versions, store and text encoder, by their fingerprints, on a CPU give "
        "the same numbers again; threads and devices change the last digits."
    )
    heading = ["the same in all runs" if len(flat) > 1 else "what", "value"]
    content = (
        *differing[: len(other)],
        table(heading, same, words=(0, 1)),
        paragraph(note, kind="note"),
    )
    return Section(name="environment", title="Environment", content=content)


def show_metrics(runs: PageRuns) -> Section:
    """Return how each metric counts."""
    lines = describe_metrics(runs.finished[0].family) if runs.aligned.has_sentiment else []
    lists = [_list(lines)] if lines else []
    for target in runs.aligned.targets:
        lists += [
            tag("h3", f"{target.name}: {target.describe()}"),
            _list(describe_shown(target.kind)),
        ]
    return Section(name="metrics", title="How metrics count", content=tuple(lists))


def _list(lines: Sequence[str]) -> Html:
    items = []
    for line in lines:
        name, _, meaning = line.partition(": ")
        items.append(tag("li", join([tag("b", name), ": ", meaning])))
    return tag("ul", *items)


def _read_known(
    runs: PageRuns, read: Callable[[ReportedRun], Mapping[str, Any]]
) -> dict[str, dict[str, str]]:
    """Return values of each run as text, by what the run is called, of those that have some."""
    pairs = zip(runs.names, runs.finished, strict=True)
    return {name: _as_text(values) for name, run in pairs if (values := read(run))}


def _as_text(values: Mapping[str, Any]) -> dict[str, str]:
    """Return each setting by its full name, as text; those that are unset are left out."""
    return {
        name: ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in flatten_settings(values)
        if value is not None
    }
