"""The results of a study to its page: tables that say on what their numbers rest."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from mien.config import flatten_settings
from mien.evaluation.intervals import FEW_UNITS
from mien.evaluation.label_agreement import PARTS
from mien.evaluation.significance import SourceResults
from mien.reports.finished_run import Picture
from mien.reports.target_results.shown_metrics import describe_shown
from mien.reports.text import (
    code_span,
    count_words,
    describe_metrics,
    escape_markdown,
    format_interval,
    format_value,
    markdown_table,
    name_corpus,
)
from mien.studies.results.values import CorpusResults, StudyResults, SweepResults
from mien.studies.tables import attention_tables, label_tables, score_tables, target_tables
from mien.types import Modality, Task

__all__ = ["write_page"]

#: Settings of a variant that the page names; another model has dozens.
_MOST_CHANGES: Final = 12


def _read_attention(modality: Modality) -> Callable[[CorpusResults], Mapping[str, SourceResults]]:
    return lambda corpus: corpus.attention_sources("test", modality, "ratio")


def _read_labels(
    modality: Modality, part: str
) -> Callable[[CorpusResults], Mapping[str, SourceResults]]:
    return lambda corpus: corpus.label_sources(modality, part, "pearson")


#: What a sweep's tables show, and how it is read from the results of a corpus.
_QUANTITIES: Final[Mapping[str, Callable[[CorpusResults], Mapping[str, SourceResults]]]] = {
    "mae on test": lambda corpus: corpus.task_sources("test", Task.FUSION, "mae"),
    **{f"attention, {m}, ratio to equal weights": _read_attention(m) for m in Modality},
    **{
        f"labels, {m}, corr, {heading}": _read_labels(m, part)
        for m in Modality
        for part, heading in PARTS.items()
    },
}


def write_page(
    results: StudyResults, pictures: Mapping[str, Sequence[Picture]], closing: str = ""
) -> str:
    """Return the page of a study, in Markdown.

    Args:
        results: The results.
        pictures: The figures of each corpus and sweep, by its name.
        closing: A paragraph at the end.
    """
    parts = [f"# {results.title}", results.question.strip(), _methods(results)]
    parts += [f"`{name}` was left out: {reason}." for name, reason in results.skipped.items()]
    for name, corpus in results.corpora.items():
        if corpus.sweep is None:
            parts += _corpus_section(name, corpus, results)
            parts += [_picture(picture) for picture in pictures.get(name, ())]
    for sweep in results.sweeps:
        parts += _sweep_section(sweep, results)
        parts += [_picture(picture) for picture in pictures.get(sweep.name, ())]
    parts += _describe_families(results)
    return "\n\n".join(part for part in [*parts, closing] if part) + "\n"


def _describe_families(results: StudyResults) -> Iterator[str]:
    """Yield how the metrics count, once for each family that a table has."""
    scores = [c.scores for c in results.corpora.values() if c.sweep is None and c.scores]
    families = dict.fromkeys(each.family for each in scores if any(each.splits.values()))
    kinds = dict.fromkeys(
        target.kind for c in results.corpora.values() for target in (c.targets or {}).values()
    )
    if families or kinds:
        yield "## Metrics"
    for lines in [*map(describe_metrics, families), *map(describe_shown, kinds)]:
        yield "\n".join("- `{}`: {}".format(*line.split(": ", 1)) for line in lines)


def _picture(picture: Picture) -> str:
    return f"![{picture.title}]({picture.file})\n\n{picture.caption}"


def _units(results: StudyResults) -> Iterator[str]:
    """Yield what was resampled, for every task and target of every split."""
    for corpus in results.corpora.values():
        tables = [*(corpus.scores.splits.values() if corpus.scores is not None else ())]
        tables += [each.splits for each in (corpus.targets or {}).values()]
        for table in tables:
            yield from (metrics.unit for metrics in table.values())


def _methods(results: StudyResults) -> str:
    """Return how the numbers came about."""
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    other = results.num_other_code
    units = "videos or speakers" if "speaker" in set(_units(results)) else "videos"
    lines = [
        f"Written by {code_span(results.command)}; no number was typed by hand. "
        f"Versions: {versions}; code `{results.code}`.",
        "Deviations (±) are over seeds. Intervals of one variant are 95 % intervals of its mean "
        f"over the seeds, resampling {units} (clips where each is a video of its own): percentiles "
        f"of a bootstrap, t intervals below {FEW_UNITS} {units}; they hold for these weights. "
        f"Differences are to `{results.baseline}` unless another is named. Their 95 % intervals "
        f"use Student's t and cover both the {units}, which are paired, and the seeds, which are "
        "not; `(weights)` marks those of a variant with one seed, which hold for these weights "
        "only. `better`, in bold, or `worse`: the interval excludes 0. Intervals are not "
        "corrected for their number.",
    ]
    if results.is_restated:
        lines.append(
            "The runs were evaluated by an earlier version, without the seeds. The intervals of "
            "differences, and those over few videos, were recomputed by `mien study "
            "--rewrite` from the values and intervals it had stored; they are approximate."
        )
    if other:
        lines.append(
            f"**{other} of the {results.num_runs} runs were trained with an earlier version of the "
            "code.**"
        )
    return "\n\n".join(lines)


def _corpus_section(name: str, corpus: CorpusResults, results: StudyResults) -> Iterator[str]:
    mark = " (synthetic corpus)" if corpus.is_synthetic else ""
    yield f"## {escape_markdown(name)}{mark}"
    yield _facts(corpus)
    yield from _settings_table(corpus, results.baseline)
    yield from _troubles(corpus)
    yield from label_tables(name, corpus, results)
    yield from score_tables(name, corpus, results)
    yield from target_tables(name, corpus, results)
    yield from attention_tables(name, corpus, results)


def _facts(corpus: CorpusResults) -> str:
    name = escape_markdown(name_corpus(corpus.corpus, is_synthetic=corpus.is_synthetic))
    clips = ", ".join(f"{split} {num}" for split, num in corpus.num_clips.items())
    settings = ", ".join(f"`{key}={value}`" for key, value in (corpus.planted or {}).items())
    made = f" Made with {settings}." if settings else ""
    seeds = ", ".join(map(str, corpus.seeds))
    return (
        f"Corpus {name}; clips: {clips}; seeds {seeds}.{made} Store fingerprint "
        f"`{corpus.fingerprint[:16]}`."
    )


def _troubles(corpus: CorpusResults) -> Iterator[str]:
    """Yield a list of what did not come to an end, if anything."""
    lines = []
    for name, variant in corpus.variants.items():
        if variant.refusal:
            lines.append(f"- `{name}` does not fit this corpus: {variant.refusal}")
        lines += [
            f"- **`{name}`, seed {seed} {run.status}**: {run.reason}; it is left out of all means"
            for seed, run in variant.unfinished.items()
        ]
    lines += [
        f"- {', '.join(map(code_span, group))} predict the same, to the last bit: what differs in "
        "their settings had no effect here, up to the best epoch"
        for group in corpus.alike
    ]
    if lines:
        yield "\n".join(lines)


def _settings_table(corpus: CorpusResults, baseline: str) -> Iterator[str]:
    """Yield which settings of each variant are not those of the baseline."""
    if len(corpus.variants) < 2 or baseline not in corpus.variants:
        return
    base = dict(flatten_settings(corpus.variants[baseline].settings))
    rows = []
    for name, variant in corpus.variants.items():
        own = flatten_settings(variant.settings)
        changed = [f"{key}={_write(v)}" for key, v in own if key not in base or v != base[key]]
        shown = ", ".join(map(code_span, changed[:_MOST_CHANGES]))
        if len(changed) > _MOST_CHANGES:
            shown += f" and {len(changed) - _MOST_CHANGES} more, in `results.json`"
        if name != baseline:
            rows.append([escape_markdown(name), shown or "none that it has"])
    yield f"Settings that are not those of {code_span(baseline)}:"
    yield markdown_table(["", "settings"], rows, 2)


def _write(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _sweep_section(sweep: SweepResults, results: StudyResults) -> Iterator[str]:
    yield f"## Sweep: {escape_markdown(sweep.name)} (synthetic corpora)"
    yield f"Across: {sweep.across}."
    corpora = {point.at: results.corpora[point.corpus] for point in sweep.points}
    for at, corpus in corpora.items():
        for trouble in _troubles(corpus):
            yield f"At {at:g}:\n\n{trouble}"
    for quantity, read in _QUANTITIES.items():
        rows: dict[str, dict[float, str]] = {}
        for at, corpus in corpora.items():
            for source, result in read(corpus).items():
                interval = format_interval(result.low, result.high)
                rows.setdefault(source, {})[at] = f"{format_value(result.mean)} {interval}"
        if rows:
            yield f"{quantity[0].upper()}{quantity[1:]}, with 95 % intervals:"
            heading = ["", *(f"{at:g}" for at in corpora)]
            yield markdown_table(
                heading, [[s, *(cells.get(at, "") for at in corpora)] for s, cells in rows.items()]
            )
            clips = [corpus.num_clips["test"] for corpus in corpora.values()]
            num_clips = f"{clips[0]}" if len(set(clips)) == 1 else f"{min(clips)} to {max(clips)}"
            seeds = count_words(len(next(iter(corpora.values())).seeds), "seed")
            yield (
                f"*synthetic corpora; {num_clips} clips of test; {seeds}; "
                f"{code_span(results.command)}.*"
            )
