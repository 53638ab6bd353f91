"""The results of a study to its figures, each with its sentence."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mien.reports.figures.panels import (
    Estimate,
    IntervalPanel,
    Line,
    LinePanel,
    draw_intervals,
    draw_lines,
    estimate,
)
from mien.reports.figures.style import save_figure
from mien.reports.finished_run import Picture
from mien.reports.label_measure import COPY, PARTS
from mien.reports.text import name_corpus
from mien.types import Modality, Task

__all__ = ["draw_corpus", "draw_sweep"]

_INTERVALS = "bars: 95 % intervals of the mean over the seeds, by whole videos, for these weights"


def draw_corpus(name: str, judged: Mapping[str, Any], out: Path) -> list[Picture]:
    """Write the figures of one corpus of a study."""
    where = name_corpus({"corpus": name, "is_synthetic": judged["is_synthetic"]})
    pictures = []
    for what, title, figure, caption in _figures(judged, where):
        file = f"{name}-{what}.png"
        save_figure(figure, out / file)
        pictures.append(Picture(file, title, caption))
    return pictures


def _figures(judged: Mapping[str, Any], where: str) -> Iterator[tuple[str, str, Figure, str]]:
    agreeing = {m: one for m, one in judged.get("labels", {}).items() if "agreement" in one}
    if agreeing:
        yield (
            "labels",
            "Labels against the truth",
            _draw_agreement(agreeing, f"Labels of train against the truth: {where}"),
            "Correlation of each unimodal task's labels with the truth, at the best epoch by "
            "validation, over all clips and over those in which the modality contradicts the "
            "whole.",
        )
        yield (
            "label-epochs",
            "Labels against the truth by epoch",
            _draw_trajectories(agreeing, f"Labels of train by epoch: {where}"),
            "The same by epoch, one line for each seed; dots: best epochs; dashed: copies of the "
            "annotation. Below: share of labels with the sign opposite to the annotation's; "
            "dashed: the share of clips in which the truth has it.",
        )
    fusion = judged.get("scores", {}).get("test", {}).get(str(Task.FUSION))
    if fusion:
        yield (
            "scores",
            "Multimodal task",
            _draw_scores(fusion, f"Multimodal task on test: {where}"),
            "Mean absolute error and correlation of the multimodal task on test.",
        )
    shares = judged.get("attention", {}).get("test")
    if shares and any(one["metrics"] for one in shares.values()):
        yield (
            "attention",
            "Attention inside the known moments",
            _draw_attention(shares, f"Attention on test: {where}"),
            "Share of attention inside the known moments, over what equal weights get (dashed).",
        )


def _estimates(entries: Mapping[str, Any]) -> dict[str, Estimate]:
    return {name: estimate(entry) for name, entry in entries.items()}


def _draw_agreement(agreeing: Mapping[str, Any], title: str) -> Figure:
    names: dict[str, None] = {}
    rows = []
    for part, called in PARTS.items():
        panels = []
        for modality, one in agreeing.items():
            judged = one["agreement"][part]
            entries = judged["metrics"].get("pearson", {})
            names |= dict.fromkeys(entries)
            panels.append(
                IntervalPanel(
                    title=f"{modality}, {judged['num_clips']} clips, {called}",
                    across="correlation with the truth",
                    estimates=_estimates(entries),
                    mark=0.0 if part == "conflicting" else None,
                )
            )
        rows.append(panels)
    return draw_intervals(rows, list(names), title, _INTERVALS)


def _draw_trajectories(agreeing: Mapping[str, Any], title: str) -> Figure:
    names: dict[str, None] = {}
    for one in agreeing.values():
        names |= dict.fromkeys(one["variants"])
    rows = []
    for part, called in PARTS.items():
        rows.append(
            [
                LinePanel(
                    title=f"{modality}, {called}",
                    across="",
                    up="correlation with the truth",
                    lines=_lines(one, part),
                    mark=_copied(one, part),
                )
                for modality, one in agreeing.items()
            ]
        )
    rows.append(
        [
            LinePanel(
                title=f"{modality}, sign opposite to the annotation",
                across="epoch",
                up="share of clips",
                lines=_lines(one, "flipped"),
                mark=one.get("contradicting"),
            )
            for modality, one in agreeing.items()
        ]
    )
    return draw_lines(rows, list(names), title, are_whole=True)


def _lines(one: Mapping[str, Any], key: str) -> dict[str, list[Line]]:
    lines = {}
    for name, variant in one["variants"].items():
        lines[name] = [
            Line(
                places=list(range(1, len(seed[key]) + 1)),
                estimates=[Estimate(value=value) for value in seed[key]],
                dot=seed["best_epoch"] - 1,
            )
            for seed in variant["trajectories"].values()
        ]
    return lines


def _copied(one: Mapping[str, Any], part: str) -> float | None:
    entry = one["agreement"][part]["metrics"].get("pearson", {}).get(COPY)
    return None if entry is None else entry["mean"]


def _draw_scores(fusion: Mapping[str, Any], title: str) -> Figure:
    metrics = {"mae": "mean absolute error", "corr": "correlation"}
    panels = [
        IntervalPanel(
            title=f"{name}, {fusion['num_clips']} clips",
            across=words,
            estimates=_estimates(fusion["metrics"][name]),
        )
        for name, words in metrics.items()
    ]
    names = list(fusion["metrics"]["mae"])
    return draw_intervals([[panel] for panel in panels], names, title, _INTERVALS)


def _draw_attention(shares: Mapping[str, Any], title: str) -> Figure:
    names: dict[str, None] = {}
    panels = []
    for modality, one in shares.items():
        entries = one["metrics"].get("ratio", {})
        names |= dict.fromkeys(entries)
        panels.append(
            IntervalPanel(
                title=f"{modality}, {one['num_clips']} clips",
                across="times what equal weights get",
                estimates=_estimates(entries),
                mark=1.0,
            )
        )
    return draw_intervals([panels], list(names), title, _INTERVALS)


def draw_sweep(
    name: str,
    across: str,
    points: Sequence[tuple[float, Mapping[str, Any]]],
    variants: Sequence[str],
    out: Path,
) -> list[Picture]:
    """Write the figures of a sweep, a line for each variant.

    Args:
        name: What the sweep is called.
        across: What stands along its axis.
        points: Where each corpus lies, and what was judged on it, in the order of the axis.
        variants: Names of the lines.
        out: Folder to write into.
    """
    wanted = {
        "labels": ("Labels against the truth", _sweep_labels),
        "scores": ("Multimodal task on test", _sweep_scores),
        "attention": ("Attention inside the known moments on test", _sweep_attention),
    }
    pictures = []
    for measure, (title, find) in wanted.items():
        rows = find(points, across)
        if not rows:
            continue
        file = f"{name}-{measure}.png"
        heading = f"{title}, {name}: synthetic corpora"
        save_figure(draw_lines(rows, variants, heading, _INTERVALS), out / file)
        caption = f"{title} against {across}; bands: 95 % intervals."
        pictures.append(Picture(file, title, caption))
    return pictures


_Points = Sequence[tuple[float, Mapping[str, Any]]]


def _sweep_labels(points: _Points, across: str) -> list[list[LinePanel]]:
    modalities = [m for m in Modality if any(str(m) in one.get("labels", {}) for _, one in points)]
    rows = []
    for part, called in PARTS.items():
        rows.append(
            [
                LinePanel(
                    title=f"{modality}, {called}",
                    across=across,
                    up="correlation with the truth",
                    lines=_swept(
                        points, ("labels", str(modality), "agreement", part, "metrics", "pearson")
                    ),
                )
                for modality in modalities
            ]
        )
    return rows if modalities else []


def _sweep_scores(points: _Points, across: str) -> list[list[LinePanel]]:
    lines = {
        name: _swept(points, ("scores", "test", str(Task.FUSION), "metrics", name))
        for name in ("mae", "corr")
    }
    up = {"mae": "mean absolute error", "corr": "correlation"}
    return [
        [LinePanel(title=name, across=across, up=up[name], lines=one)]
        for name, one in lines.items()
        if one
    ]


def _sweep_attention(points: _Points, across: str) -> list[list[LinePanel]]:
    panels = []
    for modality in Modality:
        lines = _swept(points, ("attention", "test", str(modality), "metrics", "ratio"))
        if lines:
            panels.append(
                LinePanel(
                    title=str(modality),
                    across=across,
                    up="times what equal weights get",
                    lines=lines,
                    mark=1.0,
                )
            )
    return [panels] if panels else []


def _swept(points: _Points, path: Sequence[str]) -> dict[str, list[Line]]:
    """Return a line for each source of what lies at ``path`` in the results of every point."""
    found: dict[str, list[tuple[float, Estimate]]] = {}
    for at, judged in points:
        one: Any = judged
        for key in path:
            one = one.get(key, {})
        for name, entry in one.items():
            found.setdefault(name, []).append((at, estimate(entry)))
    return {
        name: [Line(places=[at for at, _ in each], estimates=[one for _, one in each])]
        for name, each in found.items()
    }
