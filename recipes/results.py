"""Write a page of results from run folders: every number on docs/results.md comes from here.

    python recipes/results.py docs/results.toml RUNS docs/results.md [--section TITLE]

``docs/results.toml`` names the title (Results if it names none), the sections, the commands, the
runs (folders under RUNS) and the tables that other recipes wrote (Markdown files under RUNS) to
show; a section with ``target`` shows how well that target is predicted, and not sentiment. With
``--section``, which can be repeated, only these sections are written, and the others stay as they
are on the page: their runs need not be there.
"""

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from mien.evaluation.metrics import METRICS, Metric
from mien.files.atomic import write_text
from mien.reports.target_results.shown_metrics import describe_shown, label_shown, shown_metrics
from mien.reports.text import (
    describe_metrics,
    format_interval,
    format_value,
    label_metric,
    markdown_table,
)
from mien.training.run_folder import RunFolder, open_run
from mien.types import TargetKind


def write_results(plan: Path, runs: Path, out: Path, only: Collection[str] = ()) -> None:
    """Write the page that ``plan`` describes, or only some of its sections.

    Raises:
        ValueError: If ``only`` names a section that is not in ``plan``, or another section is not
            on the page yet.
    """
    settings = tomllib.loads(plan.read_text(encoding="utf-8"))
    titles = [section["title"] for section in settings["section"]]
    for title in only:
        if title not in titles:
            raise ValueError(f"{plan}: has no section {title!r}; it has: {', '.join(titles)}")
    kept = _read_sections(out) if only else {}
    parts = [f"# {settings.get('title', 'Results')}", settings["introduction"].strip()]
    for section in settings["section"]:
        if not only or section["title"] in only:
            parts.append(_section(section, runs))
        elif section["title"] in kept:
            parts.append(kept[section["title"]])
        else:
            raise ValueError(f"{out}: has no section {section['title']!r} yet; write it too")
    write_text(out, "\n\n".join(part for part in parts if part) + "\n")


def _read_sections(page: Path) -> dict[str, str]:
    """Return the sections of a page as they are, by title."""
    found = re.split(r"^## (?=\S)", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {one.partition("\n")[0]: f"## {one}".strip() for one in found}


def _section(section: dict[str, Any], runs: Path) -> str:
    parts = [f"## {section['title']}", section["text"].strip()]
    parts.append("```sh\n" + section["commands"].strip() + "\n```")
    parts += [
        (runs / name).read_text(encoding="utf-8").strip() for name in section.get("tables", [])
    ]
    opened = [(row["name"], open_run(runs / row["run"])) for row in section.get("runs", [])]
    rows = [(row["name"], _read_metrics(row, runs)) for row in section.get("runs", [])]
    split = section.get("split", "test")
    if rows and "target" in section:
        parts += _target_tables(rows, split, section["target"])
    elif rows:
        parts.append(_metric_table(rows, split, section.get("reference", [])))
    tasks = [t for t in ("text", "audio", "video") if any(_has(m, split, t) for _, m in rows)]
    if tasks:
        parts.append("Unimodal tasks, against the known or annotated unimodal labels:")
        parts.append(_task_table(rows, split, tasks))
    if any(metrics["labels"] for _, metrics in rows):
        parts.append(
            "Generated labels of train against the true unimodal labels: correlation over all "
            "clips / over those where the modality contradicts the multimodal label (copy: the "
            "annotation itself):"
        )
        parts.append(_label_table(rows))
    if any(metrics["attention"].get(split) for _, metrics in rows):
        parts.append("Share of attention inside the known moments, and what equal weights get:")
        parts.append(_attention_table(rows, split))
    if opened:
        parts.append(_environment([run for _, run in opened]))
    parts.append(section.get("reading", "").strip())
    return "\n\n".join(part for part in parts if part)


def _read_metrics(row: dict[str, Any], runs: Path) -> dict[str, Any]:
    """Return the metrics of a run, or those that ``mien evaluate --out`` wrote of it."""
    folder = runs / row.get("evaluation", row["run"])
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return metrics


def _has(metrics: dict[str, Any], split: str, task: str) -> bool:
    return task in metrics["splits"].get(split, {})


def _metric_table(
    rows: list[tuple[str, dict[str, Any]]], split: str, reference: list[dict[str, Any]]
) -> str:
    family = rows[0][1]["family"]
    names = list(METRICS[family])
    heading = ["", "seeds", *(label_metric(name, family) for name in names)]
    table = []
    for title, metrics in rows:
        table += _rows_of(title, metrics, metrics["splits"][split]["fusion"], METRICS[family])
    for row in reference:
        cells = [str(row.get(name, "")) for name in names]
        table.append([row["name"], str(row.get("seeds", "")), *cells])
    zeros = "; ".join(describe_metrics(family))
    return markdown_table(heading, table) + f"\n\n{zeros}."


def _rows_of(
    title: str, metrics: dict[str, Any], judged: dict[str, Any], shown: dict[str, Metric]
) -> list[list[str]]:
    """Return the rows of a run: mean and deviation, interval, and the mean of seeds if known."""
    mark = " (synthetic)" if metrics["is_synthetic"] else ""
    cells = [_spread(judged[name], metric) for name, metric in shown.items()]
    ends = [format_interval(judged[n]["low"], judged[n]["high"], m) for n, m in shown.items()]
    table = [
        [title + mark, str(len(metrics["seeds"]) or ""), *cells],
        ["95 % over clips", "", *ends],
    ]
    joined = [judged[name].get("ensemble") for name in shown]
    if any(value is not None for value in joined):
        values = [format_value(v, m) for v, m in zip(joined, shown.values(), strict=True)]
        table.append(["mean of the seeds' scores", "", *values])
    return table


def _target_tables(rows: list[tuple[str, dict[str, Any]]], split: str, target: str) -> list[str]:
    """Return how well a target is predicted, and how many clips of each class are recognised."""
    described = {one["name"]: one for one in rows[0][1]["targets"]["described"]}[target]
    kind = TargetKind(described["kind"])
    shown = shown_metrics(kind)
    heading = ["", "seeds", *(label_shown(name, kind) for name in shown)]
    table = []
    for title, metrics in rows:
        judged = metrics["targets"]["splits"][split][target]["fusion"]
        table += _rows_of(title, metrics, judged, shown)
    parts = [f"{markdown_table(heading, table)}\n\n{'; '.join(describe_shown(kind))}."]
    if kind is TargetKind.CLASS:
        recalls = [
            [title, *(_recall(metrics, split, target, name) for name in described["classes"])]
            for title, metrics in rows
        ]
        parts.append("Share of the clips of each class that are recognised, in percent:")
        parts.append(markdown_table(["", *described["classes"]], recalls))
    return parts


def _recall(metrics: dict[str, Any], split: str, target: str, name: str) -> str:
    recall = metrics["targets"]["classes"][split][target][name]["recall"]["mean"]
    return "" if recall is None else f"{100 * recall:.0f}"


def _spread(one: dict[str, Any], metric: Metric) -> str:
    mean = format_value(one["mean"], metric)
    if len(one["values"]) < 2:
        return mean
    return f"{mean} ± {format_value(one['deviation'], metric)}"


def _task_table(rows: list[tuple[str, dict[str, Any]]], split: str, tasks: list[str]) -> str:
    heading = ["", *(f"{task} {name}" for task in tasks for name in ("mae", "corr"))]
    table = []
    for title, metrics in rows:
        judged = metrics["splits"][split]
        cells = [
            _spread(judged[task][name], METRICS[metrics["family"]][name]) if task in judged else ""
            for task in tasks
            for name in ("mae", "corr")
        ]
        table.append([title, *cells])
    return markdown_table(heading, table)


def _label_table(rows: list[tuple[str, dict[str, Any]]]) -> str:
    tasks = [t for t in ("text", "audio", "video") if any(t in m["labels"] for _, m in rows)]
    table = [[title, *(_pair(m["labels"], t, "generated") for t in tasks)] for title, m in rows]
    first = next(m for _, m in rows if m["labels"])
    table.append(["copy", *(_pair(first["labels"], task, "copy") for task in tasks)])
    return markdown_table(["", *tasks], table)


def _pair(labels: dict[str, Any], task: str, which: str) -> str:
    if task not in labels:
        return ""
    parts = [labels[task][which][part]["pearson"] for part in ("everywhere", "conflicting")]
    cells = []
    for one in parts:
        spread = one["deviation"] if which == "generated" else None
        text = f"{one['mean']:+.2f}"
        cells.append(text if spread is None else f"{text} ± {spread:.2f}")
    return " / ".join(cells)


def _attention_table(rows: list[tuple[str, dict[str, Any]]], split: str) -> str:
    shown = [(title, m["attention"].get(split) or {}) for title, m in rows]
    tasks = [t for t in ("text", "audio", "video") if any(t in one for _, one in shown)]
    table = [
        [
            title,
            *(
                f"{100 * one[t]['inside']['mean']:.1f} % ({one[t]['ratio']['mean']:.1f} times)"
                if t in one
                else ""
                for t in tasks
            ),
        ]
        for title, one in shown
    ]
    uniform = next(one for _, one in shown if one)
    table.append(
        ["equal weights", *(f"{100 * uniform[t]['uniform']['mean']:.1f} %" for t in tasks)]
    )
    return markdown_table(["", *tasks], table)


def _environment(runs: list[RunFolder]) -> str:
    values = runs[0].environment()
    stores = dict.fromkeys(run.environment()["store"]["fingerprint"][:16] for run in runs)
    found = f"fingerprint{'s' if len(stores) > 1 else ''} {', '.join(f'`{one}`' for one in stores)}"
    clips = ", ".join(f"{split} {count}" for split, count in values["num_clips"].items())
    versions = ", ".join(f"{name} {version}" for name, version in values["versions"].items())
    return f"Clips: {clips}. Store {found}. Versions: {versions}."


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plan", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--section", action="append", default=[], metavar="TITLE")
    arguments = parser.parse_args()
    try:
        write_results(arguments.plan, arguments.runs, arguments.out, arguments.section)
    except ValueError as error:
        sys.exit(str(error))
