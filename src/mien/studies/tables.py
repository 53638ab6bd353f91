"""Tables of a study: labels, scores and attention side by side, with what they rest on."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from mien.evaluation.label_agreement import AGREEMENT, COPY, PARTS
from mien.evaluation.metrics import METRICS, Metric
from mien.evaluation.significance import MetricResults, SourceResults, holm
from mien.reports.label_tables import (
    MODALITY,
    SOURCE,
    LabelColumn,
    label_table,
    rows_of_sources,
    spread_column,
)
from mien.reports.metric_cells import difference_cell, interval_cell, mean_cell
from mien.reports.target_results.shown_metrics import label_shown, shown_metrics
from mien.reports.text import (
    UNDEFINED,
    code_span,
    count_words,
    format_value,
    label_metric,
    markdown_table,
    note_on_units,
)
from mien.studies.results.attention_metrics import ATTENTION_METRICS
from mien.studies.results.label_values import LabelResults, LabelTruthResults
from mien.studies.results.values import AttentionResults, CorpusResults, StudyResults
from mien.types import REPORTED_SPLITS, Task

__all__ = [
    "attention_tables",
    "caption",
    "count_clips",
    "count_seeds",
    "label_tables",
    "score_tables",
    "target_tables",
]


def label_tables(name: str, corpus: CorpusResults, study: StudyResults) -> Iterator[str]:
    """Yield the heading, tables and sentences about the labels of one corpus."""
    if not corpus.labels:
        return
    yield "### Labels of the training split"
    known = {
        modality: labels.truth
        for modality, labels in corpus.labels.items()
        if labels.truth is not None
    }
    if known:
        for part, heading in PARTS.items():
            yield from _agreement_table(name, corpus, study, known, part, heading)
        yield from _other_differences(name, corpus, study, known)
    else:
        yield (
            "The true sentiment of a single modality is not known here, so agreement cannot be "
            "measured; how far labels moved says nothing about it."
        )
    yield _moves_table(corpus.labels)
    reasons = {
        reason for labels in corpus.labels.values() for reason in labels.unfit_references.values()
    }
    yield from (f"A reference was left out: {reason}." for reason in sorted(reasons))


def _agreement_table(
    name: str,
    corpus: CorpusResults,
    study: StudyResults,
    known: Mapping[str, LabelTruthResults],
    part: str,
    heading_of_part: str,
) -> Iterator[str]:
    pearson = AGREEMENT["pearson"]
    columns: list[LabelColumn[SourceResults]] = [
        MODALITY,
        SOURCE,
        LabelColumn("seeds", lambda row: count_seeds(row.results["pearson"], corpus, row.source)),
        spread_column("corr", "pearson"),
        LabelColumn("95 %", lambda row: interval_cell(row.results["pearson"], pearson)),
        LabelColumn(
            f"minus {study.baseline}",
            lambda row: difference_cell(row.results["pearson"], study.baseline, pearson),
        ),
        spread_column("rank corr", "spearman"),
        spread_column("mae", "mae"),
        spread_column("mae after map", "mae_monotone"),
        spread_column("same sign %", "sign"),
    ]
    agreement = {modality: truth.agreement for modality, truth in known.items()}
    rows = rows_of_sources(agreement, part)
    counts = [f"{m} {count_clips(parts[part], 'train')}" for m, parts in agreement.items()]
    clips = (
        "all clips"
        if part == "everywhere"
        else "clips in which the modality contradicts the multimodal label"
    )
    if rows:
        yield f"Agreement with the truth of the modality, {clips} ({heading_of_part}), best epoch:"
        yield label_table(rows, columns, partial(markdown_table, num_words=2))
        yield caption(name, corpus, study, ", ".join(counts))


def _other_differences(
    name: str,
    corpus: CorpusResults,
    study: StudyResults,
    known: Mapping[str, LabelTruthResults],
) -> Iterator[str]:
    """Return the differences in correlation to all but the baseline, where there are some."""
    pearson = AGREEMENT["pearson"]
    rows, counts = [], []
    for modality, truth in known.items():
        parts = {part: truth.agreement[part].metrics.get("pearson", {}) for part in PARTS}
        counts += [f"{modality} {count_clips(truth.agreement[part], 'train')}" for part in PARTS]
        for source, result in parts["everywhere"].items():
            if source not in corpus.variants and source != COPY:
                continue
            for other in result.less:
                if other != study.baseline:
                    cells = [
                        difference_cell(sources[source], other, pearson)
                        if source in sources
                        else UNDEFINED
                        for sources in parts.values()
                    ]
                    rows.append([modality, source, other, *cells])
    if rows:
        yield "Correlation with the truth, differences to other generators:"
        heading = ["", "labels", "minus", "all", "contradicting"]
        yield markdown_table(heading, rows, 3)
        yield caption(name, corpus, study, ", ".join(counts))


def _moves_table(labels: Mapping[str, LabelResults]) -> str:
    """Return how labels came about: cut, flipped, moved; means over the seeds."""
    heading = ["", "labels", "clipped % first / best / last epoch", "flipped % best epoch"]
    heading += ["contradicting % in truth", "moved, mean"]
    rows = []
    for modality, results in labels.items():
        contradicting = None if results.truth is None else results.truth.contradicting
        for source, variant in results.variants.items():
            seeds = variant.trajectories.values()
            clipped = [
                [seed.clipped[0] for seed in seeds],
                [seed.clipped[seed.best_epoch - 1] for seed in seeds],
                [seed.clipped[-1] for seed in seeds],
            ]
            rows.append(
                [
                    modality,
                    source,
                    " / ".join(_percent(shares) for shares in clipped),
                    _percent(variant.flipped),
                    _percent([contradicting]),
                    format_value(variant.moves.moved.mean),
                ]
            )
    return (
        "Clipped: proposals cut to the scale, of all modalities together. Flipped: labels with the "
        "sign opposite to the annotation's. Moved: mean absolute distance from the annotation.\n\n"
        + markdown_table(heading, rows, 2)
    )


def _percent(shares: Sequence[float | None]) -> str:
    known = [share for share in shares if share is not None and not math.isnan(share)]
    return f"{100 * sum(known) / len(known):.1f}" if known else UNDEFINED


def score_tables(name: str, corpus: CorpusResults, study: StudyResults) -> Iterator[str]:
    """Yield the heading, tables and sentences about the scores of one corpus."""
    if corpus.scores is None:
        return
    split = next((each for each in REPORTED_SPLITS if corpus.task(each, Task.FUSION)), None)
    fusion = None if split is None else corpus.task(split, Task.FUSION)
    if split is None or fusion is None:
        return
    family = corpus.scores.family
    valid = corpus.task_sources("valid", Task.FUSION, "mae")
    mae = METRICS[family]["mae"]
    yield f"### Multimodal task on {split}"
    heading = ["", "seeds", "parameters", "valid mae"]
    heading += [label_metric(metric, family) for metric in fusion.metrics]
    rows = []
    for source, result in fusion.metrics["mae"].items():
        is_best = source == corpus.scores.best_on_valid
        cells = [f"{source} (best on valid)" if is_best else source]
        cells.append(count_seeds(result, corpus, source))
        cells.append(str(corpus.variants[source].num_parameters))
        cells.append(mean_cell(valid[source], mae) if source in valid else UNDEFINED)
        for key, sources in fusion.metrics.items():
            cells.append(mean_cell(sources[source], METRICS[family][key]))
        rows.append(cells)
    yield markdown_table(heading, rows)
    yield caption(name, corpus, study, count_clips(fusion, split))
    named = {key: label_metric(key, family) for key in fusion.metrics}
    yield from _comparison_tables(fusion, METRICS[family], ("mae", "corr"), named, corpus, study)
    tasks = {t: results for t, results in corpus.scores.splits[split].items() if t != Task.FUSION}
    if tasks:
        yield f"Unimodal tasks on {split}, against the known labels of the modality:"
        yield _task_table(tasks, corpus, family, study.baseline)
        clips = ", ".join(f"{t} {count_clips(results, split)}" for t, results in tasks.items())
        yield caption(name, corpus, study, clips)


def target_tables(name: str, corpus: CorpusResults, study: StudyResults) -> Iterator[str]:
    """Yield the heading, tables and sentences about each target of one corpus."""
    for target, results in (corpus.targets or {}).items():
        split = next((each for each in REPORTED_SPLITS if each in results.splits), None)
        if split is None:
            continue
        measured, metrics = results.splits[split], shown_metrics(results.kind)
        named = {key: label_shown(key, results.kind) for key in measured.metrics}
        main, *_, chosen = metrics
        chosen = chosen if chosen == "log_loss" else main
        valid = results.splits["valid"].metrics[chosen] if "valid" in results.splits else {}
        yield f"### {target} on {split}"
        heading = ["", "seeds", "parameters", f"valid {named[chosen]}", *named.values()]
        rows = []
        for source, result in measured.metrics[main].items():
            cells = [source, count_seeds(result, corpus, source)]
            cells.append(str(corpus.variants[source].num_parameters))
            cells.append(
                mean_cell(valid[source], metrics[chosen]) if source in valid else UNDEFINED
            )
            cells += [mean_cell(measured.metrics[key][source], metrics[key]) for key in named]
            rows.append(cells)
        yield markdown_table(heading, rows)
        yield caption(name, corpus, study, count_clips(measured, split))
        yield from _comparison_tables(measured, metrics, tuple(named)[:2], named, corpus, study)


def _comparison_tables(
    measured: MetricResults,
    metrics: Mapping[str, Metric],
    keys: Sequence[str],
    named: Mapping[str, str],
    corpus: CorpusResults,
    study: StudyResults,
) -> Iterator[str]:
    """Yield how variants differ in the metrics ``keys``, what they cost, and all p values."""
    yield _score_differences(measured, metrics, keys, study.against)
    if len(measured.metrics[keys[0]]) > 1:
        yield (
            f"Every variant against {study.baseline}: seconds of an epoch as it ran, which depend "
            "on what else the machine did; p values by Student's t, corrected by Holm across the "
            "variants of a metric:"
        )
        yield _corrected_table(measured, corpus, named, study.baseline)


def _score_differences(
    measured: MetricResults,
    metrics: Mapping[str, Metric],
    keys: Sequence[str],
    against: Sequence[str],
) -> str:
    """Return the intervals of each variant in some metrics, and its differences to others."""
    others = [name for name in against if name in measured.metrics[keys[0]]]
    heading = ["", *(f"{key}, 95 %" for key in keys)]
    heading += [f"{key} minus {other}" for other in others for key in keys]
    rows = []
    for source in measured.metrics[keys[0]]:
        results = [(measured.metrics[key][source], metrics[key]) for key in keys]
        cells = [source, *(interval_cell(result, metric) for result, metric in results)]
        for other in others:
            cells += [difference_cell(result, other, metric) for result, metric in results]
        rows.append(cells)
    return markdown_table(heading, rows)


def _corrected_table(
    measured: MetricResults, corpus: CorpusResults, named: Mapping[str, str], baseline: str
) -> str:
    """Return what every variant costs, and the corrected p values of its differences."""
    heading = ["", "parameters", "seconds an epoch"]
    corrected = {key: _correct(sources, baseline) for key, sources in measured.metrics.items()}
    heading += [f"{named[key]}, p" for key in measured.metrics]
    rows = []
    for source in next(iter(measured.metrics.values())):
        variant = corpus.variants[source]
        cells = [source, str(variant.num_parameters), format_value(variant.seconds_per_epoch)]
        for key in measured.metrics:
            p_value = corrected[key].get(source)
            cells.append("" if p_value is None else f"{p_value:.3g}")
        rows.append(cells)
    return markdown_table(heading, rows)


def _correct(sources: Mapping[str, SourceResults], baseline: str) -> dict[str, float]:
    """Return the p value of each source's difference to the baseline, corrected by Holm."""
    p_values = {
        name: float(less.p_value)
        for name, result in sources.items()
        if (less := result.less.get(baseline)) is not None and less.p_value is not None
    }
    return dict(zip(p_values, holm(list(p_values.values())), strict=True))


def _task_table(
    tasks: Mapping[str, MetricResults], corpus: CorpusResults, family: str, baseline: str
) -> str:
    """Return how the unimodal tasks do against what is known of their modality."""
    heading = ["", "task", "seeds", "mae", "mae, 95 %", f"mae minus {baseline}", "corr"]
    heading += ["corr, 95 %", f"corr minus {baseline}"]
    rows = []
    for task, results in tasks.items():
        for source in results.metrics["mae"]:
            cells = [source, task, count_seeds(results.metrics["mae"][source], corpus, source)]
            for key in ("mae", "corr"):
                result, metric = results.metrics[key][source], METRICS[family][key]
                cells += [mean_cell(result, metric), interval_cell(result, metric)]
                cells.append(difference_cell(result, baseline, metric))
            rows.append(cells)
    return markdown_table(heading, rows, 2)


def attention_tables(name: str, corpus: CorpusResults, study: StudyResults) -> Iterator[str]:
    """Yield the heading, table and sentence about the attention of one corpus."""
    attention = corpus.attention or {}
    split = next((each for each in REPORTED_SPLITS if each in attention), None)
    if split is None:
        return
    heading = ["", "variant", "seeds", "inside %", "95 %", "equal %", "ratio to equal", "95 %"]
    heading.append(f"ratio minus {study.baseline}")
    rows, counts, silent = [], [], []
    share, times = ATTENTION_METRICS["inside"], ATTENTION_METRICS["ratio"]
    for modality, results in attention[split].items():
        silent += [f"{variant} ({modality})" for variant in results.without_attention]
        if not results.metrics:
            continue
        counts.append(f"{modality} {count_clips(results, split)}")
        for source, inside in results.metrics["inside"].items():
            ratio = results.metrics["ratio"][source]
            cells = [modality, source, count_seeds(inside, corpus, source)]
            cells += [mean_cell(inside, share), interval_cell(inside, share)]
            cells += [format_value(results.uniform, share), mean_cell(ratio, times)]
            cells += [interval_cell(ratio, times), difference_cell(ratio, study.baseline, times)]
            rows.append(cells)
    yield f"### Attention inside the known moments, on {split}"
    if rows:
        yield markdown_table(heading, rows, 2)
        yield caption(name, corpus, study, ", ".join(counts))
    if silent:
        yield f"All weights are 0, so there is no share: {', '.join(silent)}."


def caption(name: str, corpus: CorpusResults, study: StudyResults, clips: str) -> str:
    """Return the sentence below a table: on what it rests."""
    mark = " (synthetic)" if corpus.is_synthetic else ""
    command = code_span(study.command)
    return f"*{name}{mark}; {clips}; seeds of each row in its column; {command}.*"


def count_clips(results: MetricResults | AttentionResults, split: str) -> str:
    """Return on how many clips, and videos or speakers of several clips, results rest."""
    clips, units = results.num_clips, results.num_clusters or 0
    unit = results.unit if isinstance(results, MetricResults) else "video"
    inside = "" if units == clips else f" in {count_words(units, unit)}"
    return f"{clips} clip{'s' * (clips != 1)} of {split}{inside}{note_on_units(units)}"


def count_seeds(result: SourceResults, corpus: CorpusResults, name: str) -> str:
    """Return how many seeds a result rests on; of how many, if some are missing."""
    num = len(result.values)
    runs = corpus.variants[name].runs if name in corpus.variants else {}
    return f"{num} of {len(runs)}" if len(runs) > num else str(num)
