"""Tables of a study: how labels agree with the truth, differ, and come about."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mien.evaluation.label_agreement import AGREEMENT
from mien.reports.label_measure import COPY, PARTS
from mien.reports.text import UNDEFINED, format_value, markdown_table
from mien.studies.cells import caption, count_clips, count_seeds, ends, less, spread

__all__ = ["label_tables"]


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
            cells = [modality, source, count_seeds(entry, judged, source), spread(entry, pearson)]
            cells += [ends(entry, pearson), less(entry, baseline, pearson)]
            for key in ("spearman", "mae", "mae_monotone", "sign"):
                cells.append(spread(metrics[key][source], AGREEMENT[key]))
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
                        less(entries[part][source], other, pearson)
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
