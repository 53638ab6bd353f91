"""The results of a study to its page: tables that say on what their numbers rest."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mien.evaluation.bootstrap import FEW_UNITS
from mien.reports.finished_run import Picture
from mien.reports.label_measure import PARTS
from mien.reports.text import (
    format_interval,
    format_value,
    markdown_table,
    name_corpus,
)
from mien.studies.tables import attention_tables, label_tables, score_tables
from mien.types import Modality

__all__ = ["write_page"]

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
    yield from score_tables(name, judged, results)
    yield from attention_tables(name, judged, results)


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
