"""The results of a study to its page: tables that say on what their numbers rest."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mien.evaluation.bootstrap import FEW_UNITS
from mien.evaluation.metrics import METRICS
from mien.reports.finished_run import Picture
from mien.reports.label_measure import PARTS
from mien.reports.text import (
    UNDEFINED,
    describe_metrics,
    format_interval,
    format_value,
    label_metric,
    markdown_table,
    name_corpus,
)
from mien.studies.cells import caption, count_clips, count_seeds, ends, less, spread
from mien.studies.results import INSIDE, RATIO
from mien.studies.tables import label_tables
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
        "Deviations (±) are over seeds. Intervals of one variant are 95 % intervals of its mean "
        "over the seeds, by whole videos (clips where each is a video of its own): percentiles of "
        f"a bootstrap, t intervals below {FEW_UNITS} videos; they hold for these weights. "
        f"Differences are to `{results['baseline']}` where no other is named. Their 95 % intervals "
        "are by Student's t and cover both the videos, which are paired, and the seeds, which are "
        "not; `(weights)` marks those of a variant with one seed, which hold for these weights "
        "alone. Bold: the interval leaves 0 out. Intervals are not corrected for their number.",
    ]
    if results.get("is_restated"):
        lines.append(
            "The runs were judged by an earlier version, without the seeds. The intervals of "
            "differences, and those over few videos, were worked out again by `mien study "
            "--rewrite` from the values and intervals it had stored; they are approximate."
        )
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
    yield from label_tables(name, judged, results)
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
        cells = [title, count_seeds(entry, judged, source)]
        cells.append(str(judged["variants"][source]["num_parameters"]))
        cells.append(spread(valid[source], mae) if source in valid else UNDEFINED)
        for key, entries in fusion["metrics"].items():
            cells.append(spread(entries[source], METRICS[family][key]))
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
        cells = [source, *(ends(entries[key], METRICS[family][key]) for key in entries)]
        for other in against:
            cells += [less(entries[key], other, METRICS[family][key]) for key in entries]
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
                cells += [spread(found, metrics[key]), ends(found, metrics[key])]
                cells.append(less(found, baseline, metrics[key]))
            rows.append(cells)
    yield f"Unimodal tasks on {split}, against what is known of the modality alone:"
    yield markdown_table(heading, rows, 2)
    clips = ", ".join(f"{task} {count_clips(one, split)}" for task, one in tasks.items())
    yield caption(name, judged, results, clips)


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
        counts.append(f"{modality} {count_clips(one, split)}")
        for source, inside in one["metrics"]["inside"].items():
            ratio = one["metrics"]["ratio"][source]
            cells = [modality, source, count_seeds(inside, judged, source), spread(inside, INSIDE)]
            cells += [ends(inside, INSIDE), format_value(one["uniform"], INSIDE)]
            cells += [spread(ratio, RATIO), ends(ratio, RATIO), less(ratio, baseline, RATIO)]
            rows.append(cells)
    yield f"### Attention inside the known moments, on {split}"
    if rows:
        yield markdown_table(heading, rows, 2)
        yield caption(name, judged, results, ", ".join(counts))
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
                both = format_interval(entry["low"], entry["high"])
                rows.setdefault(source, {})[at] = f"{format_value(entry['mean'])} {both}"
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
