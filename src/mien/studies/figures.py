"""The results of a study to its figures, each with its sentence."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from mien.evaluation.label_agreement import PARTS
from mien.evaluation.significance import MetricResults, SourceResults
from mien.reports.figures.label_panels import (
    LabelCourses,
    describe_intervals,
    draw_agreement,
    draw_courses,
    marks_of,
)
from mien.reports.figures.panels import (
    Estimate,
    IntervalPanel,
    Line,
    LinePanel,
    draw_intervals,
    draw_lines,
    estimates_of,
)
from mien.reports.figures.style import save_figure
from mien.reports.finished_run import Picture
from mien.reports.text import name_corpus
from mien.studies.distinct_variants import name_picture
from mien.studies.results.label_values import LabelResults, LabelTruthResults
from mien.studies.results.values import AttentionResults, CorpusResults
from mien.types import Modality, Task

__all__ = ["draw_corpus", "draw_sweep"]

#: Metrics of the multimodal task, and what axes call them.
_SCORES = {"mae": "mean absolute error", "corr": "correlation"}


def draw_corpus(name: str, corpus: CorpusResults, out: Path) -> list[Picture]:
    """Write the figures of one corpus of a study."""
    title_end = name_corpus(name, is_synthetic=corpus.is_synthetic)
    pictures = []
    for measure, title, figure, caption in _figures(corpus, title_end):
        file = name_picture(name, measure)
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
            draw_agreement(
                {modality: truth.agreement for modality, truth in truths.items()},
                f"Labels of train against the truth: {title_end}",
            ),
            "Correlation of each unimodal task's labels with the truth, at the best epoch by "
            "validation, over all clips and over those in which the modality contradicts the "
            "multimodal label.",
        )
        yield (
            "label-epochs",
            "Labels against the truth by epoch",
            draw_courses(
                {modality: _courses(labels[modality], truth) for modality, truth in truths.items()},
                (*PARTS, "flipped"),
                f"Labels of train by epoch: {title_end}",
            ),
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


def _courses(labels: LabelResults, truth: LabelTruthResults) -> LabelCourses:
    return LabelCourses(
        trajectories={
            name: tuple(variant.trajectories.values()) for name, variant in labels.variants.items()
        },
        marks=marks_of(truth.agreement, truth.contradicting),
        num_clips={part: results.num_clips for part, results in truth.agreement.items()},
    )


def _draw_scores(fusion: MetricResults, title: str) -> Figure:
    panels = [
        IntervalPanel(
            title=f"{metric}, {fusion.num_clips} clips",
            across=heading,
            estimates=estimates_of(fusion.metrics[metric]),
        )
        for metric, heading in _SCORES.items()
    ]
    names = list(fusion.metrics["mae"])
    unit = "clip" if fusion.num_clusters == fusion.num_clips else fusion.unit
    note = describe_intervals(unit=unit)
    return draw_intervals([[panel] for panel in panels], names, title, note)


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
                estimates=estimates_of(sources),
                mark=1.0,
            )
        )
    return draw_intervals([panels], list(names), title, describe_intervals())


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
        file = name_picture(name, measure)
        heading = f"{title}, {name}: synthetic corpora"
        note = describe_intervals("bands")
        save_figure(draw_lines(rows, variants, heading, note), out / file)
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
        for name, estimate in estimates_of(sources).items():
            lines.setdefault(name, []).append((at, estimate))
    return {
        name: [Line(places=[at for at, _ in line], estimates=[value for _, value in line])]
        for name, line in lines.items()
    }
