"""Tables of a study: labels, scores and attention side by side, with what they rest on."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mien.evaluation.label_agreement import AGREEMENT
from mien.evaluation.metrics import METRICS, Metric
from mien.reports.label_measure import COPY, PARTS
from mien.reports.text import (
    UNDEFINED,
    describe_metrics,
    format_interval,
    format_value,
    label_metric,
    markdown_table,
    note_on_units,
)
from mien.studies.results import INSIDE, RATIO
from mien.types import Task

__all__ = [
    "attention_tables",
    "caption",
    "count_clips",
    "count_seeds",
    "difference_cell",
    "interval_cell",
    "label_tables",
    "mean_cell",
    "score_tables",
]

#: The splits on whose clips tables rest: the first of them with results.
_SPLITS: Final = ("test", "valid")


def label_tables(name: str, judged: Mapping[str, Any], results: Mapping[str, Any]) -> Iterator[str]:
    """Yield the heading, tables and sentences about the labels of one corpus."""
    labels = judged.get("labels", {})
    if not labels:
        return
    yield "### Labels of train"
    known = {m: one for m, one in labels.items() if "agreement" in one}
    if not known:
        yield (
            "Nothing is known of what a modality alone says here, so that agreement cannot be "
            "measured; how far labels moved proves nothing about it."
        )
    for part, called in PARTS.items() if known else ():
        yield from _agreement_table(name, judged, results, known, part, called)
    if known:
        yield from _other_differences(name, judged, results, known)
    yield _moves_table(labels)
    unfit = {why for one in labels.values() for why in one["unfit_references"].values()}
    yield from (f"A reference was left out: {why}." for why in sorted(unfit))


def _agreement_table(
    name: str,
    judged: Mapping[str, Any],
    results: Mapping[str, Any],
    known: Mapping[str, Any],
    part: str,
    called: str,
) -> Iterator[str]:
    baseline, pearson = results["baseline"], AGREEMENT["pearson"]
    heading = ["", "labels", "seeds", "corr", "95 %", f"less {baseline}"]
    heading += ["rank corr", "mae", "mae after map", "same sign %"]
    rows, counts = [], []
    for modality, one in known.items():
        metrics = one["agreement"][part]["metrics"]
        counts.append(f"{modality} {count_clips(one['agreement'][part], 'train')}")
        for source, entry in metrics.get("pearson", {}).items():
            cells = [
                modality,
                source,
                count_seeds(entry, judged, source),
                mean_cell(entry, pearson),
            ]
            cells += [interval_cell(entry, pearson), difference_cell(entry, baseline, pearson)]
            for key in ("spearman", "mae", "mae_monotone", "sign"):
                cells.append(mean_cell(metrics[key][source], AGREEMENT[key]))
            rows.append(cells)
    what = "all clips" if part == "everywhere" else "clips in which the modality contradicts"
    if rows:
        yield f"Agreement with the truth of the modality, {what} ({called}), best epoch:"
        yield markdown_table(heading, rows, 2)
        yield caption(name, judged, results, ", ".join(counts))


def _other_differences(
    name: str, judged: Mapping[str, Any], results: Mapping[str, Any], known: Mapping[str, Any]
) -> Iterator[str]:
    """Return the differences in correlation to all but the baseline, where there are some."""
    pearson = AGREEMENT["pearson"]
    rows, counts = [], []
    for modality, one in known.items():
        entries = {part: one["agreement"][part]["metrics"].get("pearson", {}) for part in PARTS}
        counts += [f"{modality} {count_clips(one['agreement'][part], 'train')}" for part in PARTS]
        own = [one for one in entries["everywhere"] if one in judged["variants"] or one == COPY]
        for source in own:
            for other in entries["everywhere"][source]["less"]:
                if other != results["baseline"]:
                    cells = [
                        difference_cell(entries[part][source], other, pearson)
                        if source in entries[part]
                        else UNDEFINED
                        for part in PARTS
                    ]
                    rows.append([modality, source, other, *cells])
    if rows:
        yield "Correlation with the truth, differences to others:"
        heading = ["", "labels", "less", "all", "contradicting"]
        yield markdown_table(heading, rows, 3)
        yield caption(name, judged, results, ", ".join(counts))


def _moves_table(labels: Mapping[str, Any]) -> str:
    """Return how labels came about: cut, flipped, moved; means over the seeds."""
    heading = ["", "labels", "clipped % first / best / last epoch", "flipped % best epoch"]
    heading += ["contradicting % in truth", "moved, mean"]
    rows = []
    for modality, one in labels.items():
        truth = one.get("contradicting")
        for source, variant in one["variants"].items():
            seeds = list(variant["trajectories"].values())
            clipped = [
                _percent([seed["clipped"][pick(seed)] for seed in seeds])
                for pick in (lambda _: 0, lambda seed: seed["best_epoch"] - 1, lambda _: -1)
            ]
            rows.append(
                [
                    modality,
                    source,
                    " / ".join(clipped),
                    _percent(variant["flipped"]),
                    _percent([truth]),
                    format_value(variant["moves"]["moved"]["mean"]),
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


def score_tables(name: str, judged: Mapping[str, Any], results: Mapping[str, Any]) -> Iterator[str]:
    """Yield the heading, tables and sentences about the scores of one corpus."""
    scores = judged.get("scores", {})
    split = next((one for one in _SPLITS if str(Task.FUSION) in scores.get(one, {})), None)
    if split is None:
        return
    family, fusion = judged["family"], scores[split][str(Task.FUSION)]
    best = judged["best_on_valid"]
    valid = scores.get("valid", {}).get(str(Task.FUSION), {}).get("metrics", {}).get("mae", {})
    mae = METRICS[family]["mae"]
    yield f"### Multimodal task on {split}"
    heading = ["", "seeds", "parameters", "valid mae"]
    heading += [label_metric(one, family) for one in fusion["metrics"]]
    rows = []
    for source, entry in fusion["metrics"]["mae"].items():
        title = f"{source} (best on valid)" if source == best else source
        cells = [title, count_seeds(entry, judged, source)]
        cells.append(str(judged["variants"][source]["num_parameters"]))
        cells.append(mean_cell(valid[source], mae) if source in valid else UNDEFINED)
        for key, entries in fusion["metrics"].items():
            cells.append(mean_cell(entries[source], METRICS[family][key]))
        rows.append(cells)
    yield markdown_table(heading, rows)
    yield caption(name, judged, results, count_clips(fusion, split))
    yield from _score_differences(judged, results, fusion)
    yield from _task_table(name, judged, results, split)
    yield "; ".join(describe_metrics(family)) + "."


def _score_differences(
    judged: Mapping[str, Any], results: Mapping[str, Any], fusion: Mapping[str, Any]
) -> Iterator[str]:
    family = judged["family"]
    against = [name for name in results["against"] if name in fusion["metrics"]["mae"]]
    heading = ["", "mae, 95 %", "corr, 95 %"]
    heading += [f"{key} less {other}" for other in against for key in ("mae", "corr")]
    rows = []
    for source in fusion["metrics"]["mae"]:
        entries = {key: fusion["metrics"][key][source] for key in ("mae", "corr")}
        cells = [source, *(interval_cell(entries[key], METRICS[family][key]) for key in entries)]
        for other in against:
            cells += [difference_cell(entries[key], other, METRICS[family][key]) for key in entries]
        rows.append(cells)
    yield markdown_table(heading, rows)


def _task_table(
    name: str, judged: Mapping[str, Any], results: Mapping[str, Any], split: str
) -> Iterator[str]:
    """Return how the unimodal tasks do against what is known of their modality."""
    tasks = {t: one for t, one in judged["scores"][split].items() if t != str(Task.FUSION)}
    if not tasks:
        return
    metrics, baseline = METRICS[judged["family"]], results["baseline"]
    heading = ["", "task", "seeds", "mae", "mae, 95 %", f"mae less {baseline}", "corr"]
    heading += ["corr, 95 %", f"corr less {baseline}"]
    rows = []
    for task, one in tasks.items():
        for source, entry in one["metrics"]["mae"].items():
            cells = [source, task, count_seeds(entry, judged, source)]
            for key in ("mae", "corr"):
                found = one["metrics"][key][source]
                cells += [mean_cell(found, metrics[key]), interval_cell(found, metrics[key])]
                cells.append(difference_cell(found, baseline, metrics[key]))
            rows.append(cells)
    yield f"Unimodal tasks on {split}, against what is known of the modality alone:"
    yield markdown_table(heading, rows, 2)
    clips = ", ".join(f"{task} {count_clips(one, split)}" for task, one in tasks.items())
    yield caption(name, judged, results, clips)


def attention_tables(
    name: str, judged: Mapping[str, Any], results: Mapping[str, Any]
) -> Iterator[str]:
    """Yield the heading, table and sentence about the attention of one corpus."""
    attention = judged.get("attention", {})
    split = next((one for one in _SPLITS if one in attention), None)
    if split is None:
        return
    baseline = results["baseline"]
    heading = ["", "variant", "seeds", "inside %", "95 %", "equal %", "times equal", "95 %"]
    heading.append(f"times less {baseline}")
    rows, counts, silent = [], [], []
    for modality, one in attention[split].items():
        silent += [f"{variant} ({modality})" for variant in one["without_attention"]]
        if not one["metrics"]:
            continue
        counts.append(f"{modality} {count_clips(one, split)}")
        for source, inside in one["metrics"]["inside"].items():
            ratio = one["metrics"]["ratio"][source]
            cells = [
                modality,
                source,
                count_seeds(inside, judged, source),
                mean_cell(inside, INSIDE),
            ]
            cells += [interval_cell(inside, INSIDE), format_value(one["uniform"], INSIDE)]
            cells += [
                mean_cell(ratio, RATIO),
                interval_cell(ratio, RATIO),
                difference_cell(ratio, baseline, RATIO),
            ]
            rows.append(cells)
    yield f"### Attention inside the known moments, on {split}"
    if rows:
        yield markdown_table(heading, rows, 2)
        yield caption(name, judged, results, ", ".join(counts))
    if silent:
        yield f"Weights are all 0, so that there is no share: {', '.join(silent)}."


def caption(name: str, judged: Mapping[str, Any], results: Mapping[str, Any], clips: str) -> str:
    """Say below a table on what it rests."""
    mark = " (synthetic)" if judged["is_synthetic"] else ""
    return f"*{name}{mark}; {clips}; seeds of each row in its column; `{results['command']}`.*"


def count_clips(one: Mapping[str, Any], word: str) -> str:
    """Say how many clips and videos a part of the results rests on."""
    units, clips = one["num_clusters"], one["num_clips"]
    inside = "" if units == clips else f" in {units} video{'s' * (units != 1)}"
    return f"{clips} clip{'s' * (clips != 1)} of {word}{inside}{note_on_units(units)}"


def count_seeds(entry: Mapping[str, Any], judged: Mapping[str, Any], name: str) -> str:
    """Return how many seeds an entry rests on; of how many, if some are missing."""
    num = len(entry["values"])
    runs = judged["variants"].get(name, {}).get("runs", {})
    return f"{num} of {len(runs)}" if len(runs) > num else str(num)


def mean_cell(entry: Mapping[str, Any], metric: Metric) -> str:
    """Return the mean over the seeds, with its deviation where there are several."""
    mean = format_value(entry["mean"], metric)
    if len(entry["values"]) < 2 or entry["deviation"] is None:
        return mean
    return f"{mean} ± {format_value(entry['deviation'], metric)}"


def interval_cell(entry: Mapping[str, Any], metric: Metric) -> str:
    """Return the interval of the mean."""
    return format_interval(entry["low"], entry["high"], metric)


def difference_cell(entry: Mapping[str, Any], other: str, metric: Metric) -> str:
    """Return the difference to another source, with its interval.

    Bold, with the word ``better`` or ``worse``, where the interval covers the seeds and leaves out
    zero; ``(weights)`` where it does not cover the seeds.
    """
    found = entry["less"].get(other)
    if found is None or found["difference"] is None:
        return ""
    sign = "+" if found["difference"] > 0 else ""
    text = f"{sign}{format_value(found['difference'], metric)}"
    both = format_interval(found["low"], found["high"], metric)
    if found["low"] is None:
        return text
    if not found["covers_seeds"]:
        return f"{text} {both} (weights)"
    if found["low"] <= 0 <= found["high"]:
        return f"{text} {both}"
    is_better = (found["difference"] > 0) == metric.higher_is_better
    return f"**{text} {'better' if is_better else 'worse'}** {both}"
