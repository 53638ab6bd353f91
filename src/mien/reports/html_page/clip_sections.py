"""On which clips runs err: their error by kind of clip, and what one gets and another does not."""

from collections.abc import Mapping

import numpy as np

from mien.evaluation.intervals import Interval
from mien.evaluation.metrics import METRICS, Metric
from mien.evaluation.target_metrics.target_table import metrics_of_class
from mien.evaluation.target_metrics.target_values import annotated_classes
from mien.reports.html_page.clip_contrasts import MOST_CLIPS, contrast_clips
from mien.reports.html_page.error_bins import divide_clips, evaluate_bin
from mien.reports.html_page.html_parts import Content, Html, Section, join, paragraph, table, tag
from mien.reports.html_page.page_runs import PageRuns
from mien.reports.target_results.compared_scores import SeedScores
from mien.reports.text import count_words, format_interval, format_value
from mien.types import Target, TargetKind

__all__ = ["show_contrasts", "show_errors"]

#: The longest text of a clip that is shown.
_LONGEST = 400
_PARTS = {
    "polarity": "By polarity of the annotation",
    "intensity": "By intensity of the annotation: its distance from 0",
    "length": "By length of the transcript",
    "modalities": "By whether the annotation of a modality has the opposite sign",
}


def show_errors(runs: PageRuns) -> Section:
    """Return the error of each run on parts of the clips, with intervals."""
    content: list[Html] = []
    if runs.aligned.has_sentiment:
        scores = runs.scores_of("")
        metric = METRICS[runs.finished[0].family]["mae"]
        heading = ["", "clips", *runs.names]
        divisions = divide_clips(
            scores[0].targets,
            runs.finished[0].scale,
            truths=runs.unimodal_truths(),
            num_words=runs.num_words,
            unit=runs.unit,
        )
        content.append(
            paragraph(
                "Mean absolute error of sentiment on parts of the clips, the mean over the seeds, "
                "with 95 % intervals over clips, whole videos or speakers. Lower is better; small "
                "parts have wide intervals."
            )
        )
        for division in divisions:
            rows: list[list[Content]] = [
                [each.name, str(int(each.rows.sum())), *_cells(scores, each.rows, metric)]
                for each in division.bins
            ]
            content.append(table(heading, rows, caption=_PARTS[division.title]))
    content += [_recall_table(runs, each) for each in runs.aligned.targets if each.has_shares]
    return Section(name="errors", title="Errors by kind of clip", content=tuple(content))


def _cells(scores: tuple[SeedScores, ...], rows: np.ndarray, metric: Metric) -> list[Html]:
    return [_interval_cell(each, metric) for each in evaluate_bin(scores, rows, metric)]


def _interval_cell(interval: Interval, metric: Metric) -> Html:
    ends = format_interval(interval.low, interval.high, metric)
    return join([format_value(interval.value, metric), tag("small", ends)])


def _recall_table(runs: PageRuns, target: Target) -> Html:
    """Return the share of the clips of each class that each run recognises."""
    scores = runs.scores_of(target.name)
    truths = scores[0].targets
    everywhere = np.ones(len(truths), dtype=bool)
    rows: list[list[Content]] = []
    for number, name in enumerate(target.classes):
        metric = metrics_of_class(target, name)["recall"]
        has = truths[:, number] >= 0.5
        if target.kind is TargetKind.CLASS:
            classes, is_clear = annotated_classes(truths)
            has = (classes == number) & is_clear
        cells = _cells(scores, everywhere, metric)
        rows.append([name, str(int(has.sum())), *cells])
    caption = f"Recall of each class of {target.name}, %: the share of its clips that are found"
    return table([target.name, "clips", *runs.names], rows, caption=caption)


def show_contrasts(runs: PageRuns) -> Section:
    """Return the clips that the first run gets and another does not, and the other way round."""
    content: list[Html] = []
    kinds: Mapping[str, Target | None] = {
        **({"": None} if runs.aligned.has_sentiment else {}),
        **{t.name: t for t in runs.aligned.targets if t.kind is TargetKind.CLASS},
    }
    for key, target in kinds.items():
        for number in range(1, len(runs.names)):
            content += _contrast(runs, key, target, number)
    if content:
        explained = paragraph(
            "A run gets a clip if the mean of its seeds' predictions has the annotated sign or, of "
            "classes, is largest for the annotated class; clips annotated exactly 0, or on whose "
            f"class votes tie, do not count. Up to {MOST_CLIPS} clips each way, where the one does "
            "most better first."
        )
        content.insert(0, explained)
    title = "Clips that one gets and another does not"
    return Section(name="clips", title=title, content=tuple(content))


def _contrast(runs: PageRuns, key: str, target: Target | None, number: int) -> list[Html]:
    pair = runs.scores_of(key)[0], runs.scores_of(key)[number]
    names = runs.names[0], runs.names[number]
    contrast = contrast_clips(*pair)
    only = contrast.only_first, contrast.only_second
    counts = table(
        ["both", f"{names[0]} alone", f"{names[1]} alone", "neither"],
        [list(map(str, (contrast.both, len(only[0]), len(only[1]), contrast.neither)))],
        words=(),
    )
    parts = [tag("h3", f"{key or 'Sentiment'}: {names[0]} and {names[1]}"), counts]
    for name, rows in zip(names, only, strict=True):
        if len(rows):
            caption = f"Clips that {name} alone gets"
            if len(rows) > MOST_CLIPS:
                caption += f": {MOST_CLIPS} of {count_words(len(rows), 'clip')}"
            parts.append(_clip_table(runs, pair, target, names, rows[:MOST_CLIPS], caption))
    return parts


def _clip_table(
    runs: PageRuns,
    pair: tuple[SeedScores, SeedScores],
    target: Target | None,
    names: tuple[str, str],
    rows: np.ndarray,
    caption: str,
) -> Html:
    has_text = bool(runs.transcripts)
    heading = ["clip", *["text"] * has_text, "annotated", *names]
    cells = [
        [
            pair[0].ids[row],
            *[_shorten(runs.transcripts.get(pair[0].ids[row], ""))] * has_text,
            _show(pair[0].targets, row, target),
            *(_show(run.scores.mean(axis=0), row, target) for run in pair),
        ]
        for row in rows.tolist()
    ]
    is_class = target is not None
    words = (0, *[1] * has_text, *((n + has_text for n in (1, 2, 3)) if is_class else ()))
    return table(heading, cells, caption=caption, words=words)


def _show(values: np.ndarray, row: int, target: Target | None) -> str:
    """Return a score, or the likeliest class with its share."""
    if target is None:
        return f"{float(values[row]):+.2f}"
    number = int(values[row].argmax())
    return f"{target.classes[number]} ({100 * float(values[row, number]):.0f} %)"


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
