"""The results of a study to its figures, each with its sentence."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from mien.reports.figures.panels import (
    Estimate,
    IntervalPanel,
    Line,
    LinePanel,
    draw_intervals,
    draw_lines,
)
from mien.reports.figures.style import save_figure
from mien.reports.finished_run import Picture
from mien.reports.label_measure import COPY, PARTS
from mien.reports.text import name_corpus
from mien.studies.results.label_values import LabelResults, LabelTrajectory, LabelTruthResults
from mien.studies.results.sources import MetricResults, SourceResults
from mien.studies.results.values import AttentionResults, CorpusResults
from mien.types import Modality, Task

__all__ = ["draw_corpus", "draw_sweep"]

_INTERVALS = "bars: 95 % intervals of the mean over the seeds, by whole videos, for these weights"
#: Metrics of the multimodal task, and what axes call them.
_SCORES = {"mae": "mean absolute error", "corr": "correlation"}
_Curve = Callable[[LabelTrajectory], Sequence[float | None]]
#: Correlation with the truth by epoch, over the clips of each part.
_CURVES: Mapping[str, _Curve] = {
    "everywhere": lambda seed: seed.everywhere or (),
    "conflicting": lambda seed: seed.conflicting or (),
}


def draw_corpus(name: str, corpus: CorpusResults, out: Path) -> list[Picture]:
    """Write the figures of one corpus of a study."""
    title_end = name_corpus({"corpus": name, "is_synthetic": corpus.is_synthetic})
    pictures = []
    for measure, title, figure, caption in _figures(corpus, title_end):
        file = f"{name}-{measure}.png"
        save_figure(figure, out / file)
        pictures.append(Picture(file, title, caption))
    return pictures


def _figures(corpus: CorpusResults, title_end: str) -> Iterator[tuple[str, str, Figure, str]]:
    """Yield the last word of a figure's file, its title, the figure and its caption."""
    labels = corpus.labels or {}
    truths = {modality: each.truth for modality, each in labels.items() if each.truth is not None}
    if truths:
        yield (
            "labels",
            "Labels against the truth",
            _draw_agreement(truths, f"Labels of train against the truth: {title_end}"),
            "Correlation of each unimodal task's labels with the truth, at the best epoch by "
            "validation, over all clips and over those in which the modality contradicts the "
            "whole.",
        )
        yield (
            "label-epochs",
            "Labels against the truth by epoch",
            _draw_trajectories(labels, truths, f"Labels of train by epoch: {title_end}"),
            "The same by epoch, one line for each seed; dots: best epochs; dashed: copies of the "
            "annotation. Below: share of labels with the sign opposite to the annotation's; "
            "dashed: the share of clips in which the truth has it.",
        )
    fusion = corpus.task("test", Task.FUSION)
    if fusion is not None:
        yield (
            "scores",
            "Multimodal task",
            _draw_scores(fusion, f"Multimodal task on test: {title_end}"),
            "Mean absolute error and correlation of the multimodal task on test.",
        )
    attention = (corpus.attention or {}).get("test", {})
    if any(results.metrics for results in attention.values()):
        yield (
            "attention",
            "Attention inside the known moments",
            _draw_attention(attention, f"Attention on test: {title_end}"),
            "Share of attention inside the known moments, over what equal weights get (dashed).",
        )


def _estimate(result: SourceResults) -> Estimate:
    return Estimate(value=result.mean, low=result.low, high=result.high)


def _estimates(sources: Mapping[str, SourceResults]) -> dict[str, Estimate]:
    return {name: _estimate(result) for name, result in sources.items()}


def _draw_agreement(truths: Mapping[str, LabelTruthResults], title: str) -> Figure:
    names: dict[str, None] = {}
    rows = []
    for part, heading in PARTS.items():
        panels = []
        for modality, truth in truths.items():
            agreement = truth.agreement[part]
            sources = agreement.metrics.get("pearson", {})
            names |= dict.fromkeys(sources)
            panels.append(
                IntervalPanel(
                    title=f"{modality}, {agreement.num_clips} clips, {heading}",
                    across="correlation with the truth",
                    estimates=_estimates(sources),
                    mark=0.0 if part == "conflicting" else None,
                )
            )
        rows.append(panels)
    return draw_intervals(rows, list(names), title, _INTERVALS)


def _draw_trajectories(
    labels: Mapping[str, LabelResults], truths: Mapping[str, LabelTruthResults], title: str
) -> Figure:
    names = dict.fromkeys(name for modality in truths for name in labels[modality].variants)
    rows = [
        [
            LinePanel(
                title=f"{modality}, {heading}",
                across="",
                up="correlation with the truth",
                lines=_lines(labels[modality], _CURVES[part]),
                mark=_mean_of_copies(truth, part),
            )
            for modality, truth in truths.items()
        ]
        for part, heading in PARTS.items()
    ]
    rows.append(
        [
            LinePanel(
                title=f"{modality}, sign opposite to the annotation",
                across="epoch",
                up="share of clips",
                lines=_lines(labels[modality], lambda seed: seed.flipped),
                mark=truth.contradicting,
            )
            for modality, truth in truths.items()
        ]
    )
    return draw_lines(rows, list(names), title, are_whole=True)


def _lines(labels: LabelResults, read: _Curve) -> dict[str, list[Line]]:
    return {
        name: [
            Line(
                places=list(range(1, len(read(seed)) + 1)),
                estimates=[Estimate(value=value) for value in read(seed)],
                dot=seed.best_epoch - 1,
            )
            for seed in variant.trajectories.values()
        ]
        for name, variant in labels.variants.items()
    }


def _mean_of_copies(truth: LabelTruthResults, part: str) -> float | None:
    copies = truth.agreement[part].metrics.get("pearson", {}).get(COPY)
    return None if copies is None else copies.mean


def _draw_scores(fusion: MetricResults, title: str) -> Figure:
    panels = [
        IntervalPanel(
            title=f"{metric}, {fusion.num_clips} clips",
            across=heading,
            estimates=_estimates(fusion.metrics[metric]),
        )
        for metric, heading in _SCORES.items()
    ]
    names = list(fusion.metrics["mae"])
    return draw_intervals([[panel] for panel in panels], names, title, _INTERVALS)


def _draw_attention(attention: Mapping[str, AttentionResults], title: str) -> Figure:
    names: dict[str, None] = {}
    panels = []
    for modality, results in attention.items():
        sources = results.metrics.get("ratio", {})
        names |= dict.fromkeys(sources)
        panels.append(
            IntervalPanel(
                title=f"{modality}, {results.num_clips} clips",
                across="times what equal weights get",
                estimates=_estimates(sources),
                mark=1.0,
            )
        )
    return draw_intervals([panels], list(names), title, _INTERVALS)


_Points = Sequence[tuple[float, CorpusResults]]


def draw_sweep(
    name: str, across: str, points: _Points, variants: Sequence[str], out: Path
) -> list[Picture]:
    """Write the figures of a sweep, a line for each variant.

    Args:
        name: What the sweep is called.
        across: What its axis is.
        points: Where each corpus lies, and its results, in the order of the axis.
        variants: Names of the lines.
        out: Folder to write into.
    """
    measures = {
        "labels": ("Labels against the truth", _sweep_labels),
        "scores": ("Multimodal task on test", _sweep_scores),
        "attention": ("Attention inside the known moments on test", _sweep_attention),
    }
    pictures = []
    for measure, (title, make_rows) in measures.items():
        rows = make_rows(points, across)
        if not rows:
            continue
        file = f"{name}-{measure}.png"
        heading = f"{title}, {name}: synthetic corpora"
        save_figure(draw_lines(rows, variants, heading, _INTERVALS), out / file)
        caption = f"{title} against {across}; bands: 95 % intervals."
        pictures.append(Picture(file, title, caption))
    return pictures


def _sweep_labels(points: _Points, across: str) -> list[list[LinePanel]]:
    measured = {modality for _, corpus in points for modality in corpus.labels or {}}
    modalities = [modality for modality in Modality if modality in measured]
    rows = []
    for part, heading in PARTS.items():
        rows.append(
            [
                LinePanel(
                    title=f"{modality}, {heading}",
                    across=across,
                    up="correlation with the truth",
                    lines=_sweep_lines(
                        (at, corpus.label_sources(modality, part, "pearson"))
                        for at, corpus in points
                    ),
                )
                for modality in modalities
            ]
        )
    return rows if modalities else []


def _sweep_scores(points: _Points, across: str) -> list[list[LinePanel]]:
    rows = []
    for metric, heading in _SCORES.items():
        lines = _sweep_lines(
            (at, corpus.task_sources("test", Task.FUSION, metric)) for at, corpus in points
        )
        if lines:
            rows.append([LinePanel(title=metric, across=across, up=heading, lines=lines)])
    return rows


def _sweep_attention(points: _Points, across: str) -> list[list[LinePanel]]:
    panels = []
    for modality in Modality:
        lines = _sweep_lines(
            (at, corpus.attention_sources("test", modality, "ratio")) for at, corpus in points
        )
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


def _sweep_lines(
    points: Iterable[tuple[float, Mapping[str, SourceResults]]],
) -> dict[str, list[Line]]:
    """Return a line for each source of a metric across the points of a sweep."""
    lines: dict[str, list[tuple[float, Estimate]]] = {}
    for at, sources in points:
        for name, result in sources.items():
            lines.setdefault(name, []).append((at, _estimate(result)))
    return {
        name: [Line(places=[at for at, _ in line], estimates=[value for _, value in line])]
        for name, line in lines.items()
    }
