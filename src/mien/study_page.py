"""The results of a study to its page: tables that say on what their numbers rest."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mien.agreement import AGREEMENT
from mien.label_measure import PARTS
from mien.metrics import METRICS, Metric
from mien.reading import Picture
from mien.study_judging import INSIDE, RATIO
from mien.tables import (
    UNDEFINED,
    describe_metrics,
    format_interval,
    format_value,
    label_metric,
    markdown_table,
    name_corpus,
)
from mien.types import Modality, Task

__all__ = ["write_page"]

_SPLITS: Final = ("test", "valid")
#: What a sweep's tables show, and where it lies in the results of a corpus.
_QUANTITIES: Final[dict[str, tuple[str, ...]]] = {
    "mae on test": ("scores", "test", "fusion", "metrics", "mae"),
    **{
        f"attention, {m}, times equal": ("attention", "test", str(m), "metrics", "ratio")
        for m in Modality
    },
    **{
        f"labels, {m}, corr, {called}": ("labels", str(m), "agreement", part, "metrics", "pearson")
        for m in Modality
        for part, called in PARTS.items()
    },
}


def write_page(
    results: Mapping[str, Any], pictures: Mapping[str, Sequence[Picture]], closing: str = ""
) -> str:
    """Return the page of a study, in Markdown.

    Args:
        results: As ``results.json`` holds them.
        pictures: The figures of each corpus and sweep, by its name.
        closing: A paragraph at the end.
    """
    parts = [f"# {results['title']}", results["question"].strip(), _how(results)]
    parts += [f"`{name}` was left out: {why}." for name, why in results["skipped"].items()]
    for name, judged in results["corpora"].items():
        if judged["sweep"] is None:
            parts += _corpus_section(name, judged, results)
            parts += [_picture(one) for one in pictures.get(name, ())]
    for sweep in results["sweeps"]:
        parts += _sweep_section(sweep, results)
        parts += [_picture(one) for one in pictures.get(sweep["name"], ())]
    return "\n\n".join(part for part in [*parts, closing] if part) + "\n"


def _picture(picture: Picture) -> str:
    return f"![{picture.title}]({picture.file})\n\n{picture.caption}"


def _how(results: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    other = results["num_other_code"]
    lines = [
        f"Written by `{results['command']}`; no number in it is typed. Versions: {versions}; code "
        f"`{results['code']}`.",
        f"Deviations (±) are over seeds. Intervals are 95 % percentile bootstraps of the mean over "
        "the seeds, resampling whole videos (clips where each is a video of its own). Differences "
        f"are to `{results['baseline']}` where no other is named, paired on the same resamples; "
        "they speak of other clips, not of other seeds.",
    ]
    if other:
        lines.append(
            f"**{other} of {results['num_runs']} runs were made by other code than the present.**"
        )
    return "\n\n".join(lines)


def _corpus_section(
    name: str, judged: Mapping[str, Any], results: Mapping[str, Any]
) -> Iterator[str]:
    mark = " (synthetic corpus)" if judged["is_synthetic"] else ""
    yield f"## {name}{mark}"
    yield _facts(judged)
    yield from _troubles(judged)
    yield from _label_tables(name, judged, results)
    yield from _score_tables(name, judged, results)
    yield from _attention_tables(name, judged, results)


def _facts(judged: Mapping[str, Any]) -> str:
    clips = ", ".join(f"{split} {num}" for split, num in judged["num_clips"].items())
    planted = judged["planted"]
    made = (
        " Made with " + ", ".join(f"`{k}={v}`" for k, v in planted.items()) + "." if planted else ""
    )
    seeds = ", ".join(map(str, judged["seeds"]))
    return (
        f"Corpus {name_corpus(judged)}; clips: {clips}; seeds {seeds}.{made} Store fingerprint "
        f"`{judged['fingerprint'][:16]}`."
    )


def _troubles(judged: Mapping[str, Any]) -> Iterator[str]:
    """Say what did not come to an end."""
    lines = []
    for name, variant in judged["variants"].items():
        if variant["refusal"]:
            lines.append(f"- `{name}` does not fit this corpus: {variant['refusal']}")
        for seed, run in variant["runs"].items():
            if run["status"] != "finished":
                lines.append(
                    f"- **`{name}`, seed {seed} {run['status']}**: {run['reason']}; it is in no "
                    "mean below"
                )
    if lines:
        yield "\n".join(lines)


def _caption(
    name: str,
    judged: Mapping[str, Any],
    results: Mapping[str, Any],
    clips: str,
) -> str:
    mark = " (synthetic)" if judged["is_synthetic"] else ""
    return f"*{name}{mark}; {clips}; seeds of each row in its column; `{results['command']}`.*"


def _count(one: Mapping[str, Any], word: str) -> str:
    units = one["num_clusters"]
    inside = f" in {units} videos" if units != one["num_clips"] else ""
    return f"{one['num_clips']} clips of {word}{inside}"


def _seeds(entry: Mapping[str, Any], judged: Mapping[str, Any], name: str) -> str:
    """Return how many seeds an entry rests on; of how many, if some are missing."""
    num = len(entry["values"])
    runs = judged["variants"].get(name, {}).get("runs", {})
    return f"{num} of {len(runs)}" if len(runs) > num else str(num)


def _spread(entry: Mapping[str, Any], metric: Metric) -> str:
    mean = format_value(entry["mean"], metric)
    if len(entry["values"]) < 2 or entry["deviation"] is None:
        return mean
    return f"{mean} ± {format_value(entry['deviation'], metric)}"


def _range(entry: Mapping[str, Any], metric: Metric) -> str:
    return format_interval(entry["low"], entry["high"], metric)


def _less(entry: Mapping[str, Any], other: str, metric: Metric) -> str:
    """Return the difference to another source, bold where its interval leaves out zero."""
    found = entry["less"].get(other)
    if found is None or found["difference"] is None:
        return ""
    sign = "+" if found["difference"] > 0 else ""
    text = f"{sign}{format_value(found['difference'], metric)}"
    ends = format_interval(found["low"], found["high"], metric)
    is_clear = found["low"] is not None and (found["low"] > 0 or found["high"] < 0)
    return f"**{text}** {ends}" if is_clear else f"{text} {ends}"


def _label_tables(
    name: str, judged: Mapping[str, Any], results: Mapping[str, Any]
) -> Iterator[str]:
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
        counts.append(f"{modality} {_count(one['agreement'][part], 'train')}")
        for source, entry in metrics.get("pearson", {}).items():
            cells = [modality, source, _seeds(entry, judged, source), _spread(entry, pearson)]
            cells += [_range(entry, pearson), _less(entry, baseline, pearson)]
            for key in ("spearman", "mae", "mae_monotone", "sign"):
                cells.append(_spread(metrics[key][source], AGREEMENT[key]))
            rows.append(cells)
    what = "all clips" if part == "everywhere" else "clips in which the modality contradicts"
    if rows:
        yield f"Agreement with the truth of the modality, {what} ({called}), best epoch:"
        yield markdown_table(heading, rows, 2)
        yield _caption(name, judged, results, ", ".join(counts))


def _other_differences(
    name: str, judged: Mapping[str, Any], results: Mapping[str, Any], known: Mapping[str, Any]
) -> Iterator[str]:
    """Return the differences in correlation to all but the baseline, where there are some."""
    pearson = AGREEMENT["pearson"]
    rows, counts = [], []
    for modality, one in known.items():
        entries = {part: one["agreement"][part]["metrics"].get("pearson", {}) for part in PARTS}
        counts += [f"{modality} {_count(one['agreement'][part], 'train')}" for part in PARTS]
        for source, entry in entries["everywhere"].items():
            for other in entry["less"]:
                if other != results["baseline"]:
                    cells = [
                        _less(entries[part][source], other, pearson)
                        if source in entries[part]
                        else UNDEFINED
                        for part in PARTS
                    ]
                    rows.append([modality, source, other, *cells])
    if rows:
        yield "Correlation with the truth, differences to others:"
        heading = ["", "labels", "less", "all", "contradicting"]
        yield markdown_table(heading, rows, 3)
        yield _caption(name, judged, results, ", ".join(counts))


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


def _score_tables(
    name: str, judged: Mapping[str, Any], results: Mapping[str, Any]
) -> Iterator[str]:
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
        cells = [title, _seeds(entry, judged, source)]
        cells.append(str(judged["variants"][source]["num_parameters"]))
        cells.append(_spread(valid[source], mae) if source in valid else UNDEFINED)
        for key, entries in fusion["metrics"].items():
            cells.append(_spread(entries[source], METRICS[family][key]))
        rows.append(cells)
    yield markdown_table(heading, rows)
    yield _caption(name, judged, results, _count(fusion, split))
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
        cells = [source, *(_range(entries[key], METRICS[family][key]) for key in entries)]
        for other in against:
            cells += [_less(entries[key], other, METRICS[family][key]) for key in entries]
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
            cells = [source, task, _seeds(entry, judged, source)]
            for key in ("mae", "corr"):
                found = one["metrics"][key][source]
                cells += [_spread(found, metrics[key]), _range(found, metrics[key])]
                cells.append(_less(found, baseline, metrics[key]))
            rows.append(cells)
    yield f"Unimodal tasks on {split}, against what is known of the modality alone:"
    yield markdown_table(heading, rows, 2)
    clips = ", ".join(f"{task} {_count(one, split)}" for task, one in tasks.items())
    yield _caption(name, judged, results, clips)


def _attention_tables(
    name: str, judged: Mapping[str, Any], results: Mapping[str, Any]
) -> Iterator[str]:
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
        counts.append(f"{modality} {_count(one, split)}")
        for source, inside in one["metrics"]["inside"].items():
            ratio = one["metrics"]["ratio"][source]
            cells = [modality, source, _seeds(inside, judged, source), _spread(inside, INSIDE)]
            cells += [_range(inside, INSIDE), format_value(one["uniform"], INSIDE)]
            cells += [_spread(ratio, RATIO), _range(ratio, RATIO), _less(ratio, baseline, RATIO)]
            rows.append(cells)
    yield f"### Attention inside the known moments, on {split}"
    if rows:
        yield markdown_table(heading, rows, 2)
        yield _caption(name, judged, results, ", ".join(counts))
    if silent:
        yield f"Weights are all 0, so that there is no share: {', '.join(silent)}."


def _sweep_section(sweep: Mapping[str, Any], results: Mapping[str, Any]) -> Iterator[str]:
    yield f"## Sweep: {sweep['name']} (synthetic corpora)"
    yield f"Across: {sweep['across']}."
    corpora = {one["at"]: results["corpora"][one["corpus"]] for one in sweep["points"]}
    for at, judged in corpora.items():
        for trouble in _troubles(judged):
            yield f"At {at:g}:\n\n{trouble}"
    for what, path in _QUANTITIES.items():
        rows: dict[str, dict[float, str]] = {}
        for at, judged in corpora.items():
            one: Any = judged
            for key in path:
                one = one.get(key, {})
            for source, entry in one.items():
                ends = format_interval(entry["low"], entry["high"])
                rows.setdefault(source, {})[at] = f"{format_value(entry['mean'])} {ends}"
        if rows:
            yield f"{what[0].upper()}{what[1:]}, with 95 % intervals:"
            heading = ["", *(f"{at:g}" for at in corpora)]
            yield markdown_table(
                heading, [[s, *(cells.get(at, "") for at in corpora)] for s, cells in rows.items()]
            )
            first = next(iter(corpora.values()))
            num = len(first["seeds"])
            yield (
                f"*synthetic corpora; {first['num_clips']['test']} clips of test; {num} "
                f"seed{'s' * (num > 1)}; `{results['command']}`.*"
            )
