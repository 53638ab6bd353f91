"""The labels that a run generated: how well they agree, how they came about; text and figures."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from mien.evaluation.label_agreement import AGREEMENT
from mien.evaluation.significance import summarise_seeds
from mien.reports.finished_run import FinishedRun, read_run
from mien.reports.label_measure import (
    COPY,
    PARTS,
    LabelRows,
    evaluate_agreement,
    evaluate_moves,
    evaluate_trajectories,
    flipped_share,
    read_label_rows,
)
from mien.reports.text import (
    UNDEFINED,
    describe_units,
    format_interval,
    format_table,
    format_value,
    wrap,
)
from mien.training.run_folder import RunFolder
from mien.types import Modality

__all__ = ["LabelReport", "format_label_report", "report_labels"]

_GENERATED: Final = "generated"
#: Which epoch of a seed a row speaks of, from 0.
_EPOCHS: Final[dict[str, Callable[[Mapping[str, Any]], int]]] = {
    "first": lambda _: 0,
    "best": lambda seed: int(seed["best_epoch"]) - 1,
    "last": lambda _: -1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelReport:
    """What can be said of the labels of a run.

    Attributes:
        title: Model and corpus; a synthetic corpus is called so.
        generator: What made the labels.
        seeds: Its seeds.
        agreement: Per modality whose truth is known, what ``evaluate_agreement`` gives for the
            ``generated`` labels of the best epoch and for ``copy``.
        contradicting: Per such modality the share of clips whose truth contradicts the whole.
        trajectories: Per modality what ``evaluate_trajectories`` gives.
        moves: What ``evaluate_moves`` gives.
        figures: The figures that were written.
    """

    title: str
    generator: str
    seeds: tuple[int, ...]
    agreement: Mapping[str, Any]
    contradicting: Mapping[str, float]
    trajectories: Mapping[str, Any]
    moves: Mapping[str, Any]
    figures: tuple[Path, ...] = ()


def report_labels(run: RunFolder) -> LabelReport:
    """Measure the labels that a run generated, and write ``figures/labels-*.png`` into its folder.

    Raises:
        CheckpointError: If the training has not ended, or the run has no unimodal task.
    """
    finished = read_run(run)
    rows = read_label_rows(finished.seeds)
    known = {m: one for m, one in rows.items() if one.known.any()}
    report = LabelReport(
        title=finished.title,
        generator=str(finished.config["labels"]["generator"]),
        seeds=tuple(seed.seed for seed in finished.seeds),
        agreement={str(m): _judge(one) for m, one in known.items()},
        contradicting={
            str(m): flipped_share(one.truth[one.known], one.annotated[one.known])
            for m, one in known.items()
        },
        trajectories={str(m): evaluate_trajectories(one) for m, one in rows.items()},
        moves=evaluate_moves(rows),
    )
    return replace(report, figures=tuple(_draw(report, finished)))


def _judge(rows: LabelRows) -> dict[str, Any]:
    sources = {_GENERATED: rows.best, COPY: rows.annotated[None]}
    return evaluate_agreement(
        sources, rows.truth, rows.annotated, rows.videos, against=(COPY,), fixed=(COPY,)
    )


def _draw(report: LabelReport, run: FinishedRun) -> Iterator[Path]:
    from mien.reports.figures.style import save_figure  # matplotlib takes a while

    folder = run.folder.path / "figures"
    folder.mkdir(exist_ok=True)
    drawn = {"labels-epochs.png": _draw_epochs(report)}
    if report.agreement:
        drawn["labels-agreement.png"] = _draw_agreement(report)
    if not report.agreement:
        (folder / "labels-agreement.png").unlink(missing_ok=True)
    for name, figure in sorted(drawn.items()):
        save_figure(figure, folder / name)
        yield folder / name


def _draw_agreement(report: LabelReport) -> Any:  # noqa: ANN401  # a figure of matplotlib
    from mien.reports.figures.panels import IntervalPanel, draw_intervals, estimate

    rows = [
        [
            IntervalPanel(
                title=f"{modality}, {one[part]['num_clips']} clips, {called}",
                across="correlation with the truth",
                estimates={n: estimate(e) for n, e in one[part]["metrics"]["pearson"].items()}
                if one[part]["metrics"]
                else {},
            )
            for modality, one in report.agreement.items()
        ]
        for part, called in PARTS.items()
    ]
    title = f"Labels of train against the truth: {report.title}"
    note = "bars: 95 % intervals of the mean over the seeds, by whole videos, for these weights"
    return draw_intervals(rows, [_GENERATED, COPY], title, note)


def _draw_epochs(report: LabelReport) -> Any:  # noqa: ANN401
    from mien.reports.figures.panels import Estimate, Line, LinePanel, draw_lines

    wanted = {
        "everywhere": ("correlation with the truth, all", "correlation"),
        "conflicting": ("correlation, contradicting clips", "correlation"),
        "moved": ("distance from the annotation", "mean absolute"),
        "flipped": ("sign opposite to the annotation", "share of clips"),
        "clipped": ("proposals cut, all modalities", "share"),
    }
    rows = []
    for key, (words, up) in wanted.items():
        panels = []
        for modality, seeds in report.trajectories.items():
            lines = [
                Line(
                    places=list(range(1, len(seed[key]) + 1)),
                    estimates=[Estimate(value=value) for value in seed[key]],
                    dot=seed["best_epoch"] - 1,
                )
                for seed in seeds.values()
                if key in seed
            ]
            mark = _mark(report, modality, key)
            one = LinePanel(
                title=f"{modality}, {words}",
                across="epoch" if key == "clipped" else "",
                up=up,
                lines={report.generator: lines},
                mark=mark,
            )
            panels.append(one)
        if any(panel.lines[report.generator] for panel in panels):
            rows.append(panels)
    note = (
        "a line for each seed, dot: its best epoch; dashed: copies of the annotation, or the "
        "share in the truth"
    )
    title = f"Labels of train by epoch: {report.title}"
    return draw_lines(rows, [report.generator], title, note, are_whole=True)


def _mark(report: LabelReport, modality: str, key: str) -> float | None:
    """Return what stands beside a curve: copies, or the share that the truth has."""
    if key == "flipped":
        return report.contradicting.get(modality)
    if key in PARTS and modality in report.agreement:
        copies = report.agreement[modality][key]["metrics"].get("pearson", {}).get(COPY)
        return None if copies is None else copies["mean"]
    return None


def format_label_report(report: LabelReport) -> str:
    """Return the report as text of 80 columns."""
    num = len(report.seeds)
    head = (
        f"{report.title}: labels of train by {report.generator}, {num} seed{'s' * (num > 1)} "
        f"({', '.join(map(str, report.seeds))})"
    )
    parts = [wrap(head), *_agreement_tables(report)]
    unknown = [m for m in report.trajectories if m not in report.agreement]
    if unknown:
        parts.append(
            wrap(
                f"What the modality alone says is not known for {', '.join(unknown)}: agreement "
                "cannot be measured there, and how far labels moved proves nothing about it."
            )
        )
    parts += [_epoch_table(report), *_move_tables(report)]
    parts.append("\n".join(f"figure: {path}" for path in report.figures))
    return "\n\n".join(parts)


def _agreement_tables(report: LabelReport) -> Iterator[str]:
    heading = ["", "labels", "clips", "corr", "95 %", "rank", "mae", "mapped", "sign %"]
    for part, called in PARTS.items():
        rows = []
        for modality, one in report.agreement.items():
            metrics = one[part]["metrics"]
            for source, entry in metrics.get("pearson", {}).items():
                cells = [modality, source, str(one[part]["num_clips"])]
                cells += [format_value(entry["mean"]), format_interval(entry["low"], entry["high"])]
                for key in ("spearman", "mae", "mae_monotone", "sign"):
                    cells.append(format_value(metrics[key][source]["mean"], AGREEMENT[key]))
                rows.append(cells)
        if rows:
            words = f"best epoch against the truth, {called} clips"
            yield f"{words}\n{format_table(heading, rows)}"
    if report.agreement:
        yield _difference_table(report)
        yield wrap(
            "contradicting: the truth of the modality and the annotation have opposite signs; "
            "mapped: mae after the increasing map that fits best; copy: the annotation itself; "
            "intervals: 95 %, of the mean over the seeds, by whole videos where several clips come "
            f"from one; of a difference also over the seeds, where there are several; "
            f"{_describe_parts(report)}"
        )


def _describe_parts(report: LabelReport) -> str:
    """Say on how many videos or clips the intervals rest."""
    return "; ".join(
        f"{modality}, {called}: {describe_units(one[part]['num_clusters'], _unit(one[part]))}"
        for modality, one in report.agreement.items()
        for part, called in PARTS.items()
        if one[part]["num_clips"]
    )


def _unit(part: Mapping[str, Any]) -> str:
    return "clip" if part["num_clusters"] == part["num_clips"] else "video"


def _difference_table(report: LabelReport) -> str:
    heading = ["", "metric", "all", "95 %", "contradicting", "95 %"]
    rows = []
    for modality, one in report.agreement.items():
        for key, metric in AGREEMENT.items():
            cells = [modality, f"{key} %" if metric.is_share else key]
            for part in PARTS:
                entry = one[part]["metrics"].get(key, {}).get(_GENERATED, {"less": {}})
                less = entry["less"].get(COPY)
                if less is None:
                    cells += [UNDEFINED, UNDEFINED]
                else:
                    cells.append(format_value(less["difference"], metric))
                    cells.append(format_interval(less["low"], less["high"], metric))
            rows.append(cells)
    several = len(report.seeds) > 1
    meaning = "over clips and seeds" if several else "one seed: a comparison of these weights"
    return f"generated less copy, {meaning}\n{format_table(heading, rows)}"


def _epoch_table(report: LabelReport) -> str:
    """Return shares and correlations at the first, best and last epoch, means over the seeds."""
    heading = ["", "epoch", "clipped %", "flipped %", "moved", "corr, all", "contradicting"]
    rows = []
    for modality, seeds in report.trajectories.items():
        for name, pick in _EPOCHS.items():
            values = {
                key: _mean([seed[key][pick(seed)] for seed in seeds.values() if key in seed])
                for key in ("clipped", "flipped", "moved", "everywhere", "conflicting")
            }
            shares = [_percent(values[key]) for key in ("clipped", "flipped")]
            others = [format_value(values[k]) for k in ("moved", "everywhere", "conflicting")]
            rows.append([modality, name, *shares, *others])
        if modality in report.contradicting:
            share = _percent(report.contradicting[modality])
            rows.append([modality, "truth", "", share, "", "", ""])
    note = wrap(
        "clipped: proposals cut to the scale, all modalities together; flipped: sign opposite to "
        "the annotation's; moved: mean absolute distance from it; means over the seeds"
    )
    return f"labels by epoch\n{format_table(heading, rows)}\n{note}"


def _move_tables(report: LabelReport) -> Iterator[str]:
    heading = ["", "moved", "95 %", "corr with annotation", "95 %"]
    rows = []
    for modality, one in report.moves.items():
        cells = [modality]
        for key in ("moved", "with_annotation"):
            cells.append(format_value(one[key]["mean"]))
            cells.append(format_interval(one[key]["low"], one[key]["high"]))
        rows.append(cells)
    yield f"labels of the best epoch and the annotation\n{format_table(heading, rows)}"
    pairs = [
        [f"{modality} and {other}", format_value(_mean(values)), format_value(_spread(values))]
        for modality, one in report.moves.items()
        for other, values in one["with"].items()
        if list(Modality).index(Modality(modality)) < list(Modality).index(Modality(other))
    ]
    if pairs:
        yield (
            "labels of two modalities, correlation over the clips\n"
            f"{format_table(['', 'mean', 'deviation'], pairs)}"
        )


def _mean(values: list[float | None]) -> float | None:
    """Return the mean of what is defined; None if nothing is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _spread(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return summarise_seeds(known).deviation if known else None


def _percent(share: float | None) -> str:
    return UNDEFINED if share is None or share != share else f"{100 * share:.1f}"
