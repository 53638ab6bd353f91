"""The labels that a run generated: how well they agree, how they came about; text and figures."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mien.errors import CheckpointError
from mien.evaluation.label_agreement import (
    AGREEMENT,
    COPY,
    GENERATED,
    PARTS,
    flipped_share,
)
from mien.evaluation.significance import MetricResults, SourceResults, summarise_seeds
from mien.reports.finished_run import FinishedRun, read_run
from mien.reports.label_tables import (
    MODALITY,
    NUM_CLIPS,
    SOURCE,
    LabelColumn,
    describe_estimate,
    label_table,
    mean_column,
    rows_of_sources,
)
from mien.reports.label_trajectories import (
    LabelMoves,
    LabelTrajectory,
    compare_with_copies,
    evaluate_moves,
    evaluate_trajectories,
    read_label_rows,
)
from mien.reports.metric_cells import interval_cell
from mien.reports.target_results.target_labels_report import (
    TargetLabelResults,
    format_target_labels,
    measure_target_labels,
)
from mien.reports.text import (
    UNDEFINED,
    describe_units,
    format_interval,
    format_table,
    format_value,
    wrap,
)
from mien.training.run_folder import RunFolder, open_run
from mien.types import Modality

if TYPE_CHECKING:
    from mien.reports.figures.label_panels import LabelCourses

__all__ = ["LabelReport", "format_label_report", "report_labels"]

#: Which epoch of a seed a row speaks of, from 0.
_EPOCHS: Final[dict[str, Callable[[LabelTrajectory], int]]] = {
    "first": lambda _: 0,
    "best": lambda seed: seed.best_epoch - 1,
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
        contradicting: Per such modality the share of clips whose truth contradicts the
            multimodal label.
        trajectories: Per modality what ``evaluate_trajectories`` gives.
        moves: What ``evaluate_moves`` gives.
        are_settled: Whether labels no longer changed when each seed reached its best epoch, so that
            there is nothing to draw by epoch.
        figures: The figures that were written.
        estimates: By seed, what the generator estimated of annotation and evidence, where it did.
        targets: How well labels of further targets agree, where a truth is known.
    """

    title: str
    generator: str
    seeds: tuple[int, ...]
    agreement: Mapping[str, Mapping[str, MetricResults]]
    contradicting: Mapping[str, float]
    trajectories: Mapping[str, Mapping[str, LabelTrajectory]]
    moves: Mapping[str, LabelMoves]
    are_settled: bool = False
    figures: tuple[Path, ...] = ()
    estimates: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    targets: tuple[TargetLabelResults, ...] = ()


def report_labels(run: RunFolder | str | Path) -> LabelReport:
    """Measure the labels that a run generated, and write ``figures/labels-*.png`` into its folder.

    Labels that no longer change when the best epoch is reached are not drawn by epoch.

    Args:
        run: The run, or its folder.

    Raises:
        CheckpointError: If the training has not ended, or the run has no unimodal task; or if it
            predicts no sentiment, and no truth of a modality is known of its targets.
    """
    finished = read_run(open_run(run))
    targets = measure_target_labels(finished.seeds)
    if not finished.has_sentiment and not targets:
        raise CheckpointError(
            f"{finished.folder.path}: predicts no sentiment, and of its targets it is not known "
            "what a modality alone says, with which generated labels could be compared"
        )
    rows = read_label_rows(finished.seeds) if finished.has_sentiment else {}
    known = {m: own for m, own in rows.items() if own.known.any()}
    report = LabelReport(
        title=finished.title,
        generator=str(finished.config["labels"]["generator"]),
        seeds=tuple(seed.seed for seed in finished.seeds),
        agreement={str(m): compare_with_copies(own) for m, own in known.items()},
        contradicting={
            str(m): flipped_share(own.truth[own.known], own.annotated[own.known])
            for m, own in known.items()
        },
        trajectories={str(m): evaluate_trajectories(own) for m, own in rows.items()},
        moves=evaluate_moves(rows),
        are_settled=all(own.are_settled for own in rows.values()),
        estimates=finished.estimates(),
        targets=targets,
    )
    return replace(report, figures=tuple(_draw(report, finished)))


def _draw(report: LabelReport, run: FinishedRun) -> Iterator[Path]:
    from mien.reports.figures.label_panels import (  # matplotlib takes a while
        COURSES,
        draw_agreement,
        draw_courses,
    )
    from mien.reports.figures.style import save_figure

    folder = run.folder.path / "figures"
    folder.mkdir(exist_ok=True)
    (folder / "labels-agreement.png").unlink(missing_ok=True)
    if report.agreement:
        title = f"Labels of train against the truth: {report.title}"
        save_figure(draw_agreement(report.agreement, title), folder / "labels-agreement.png")
        yield folder / "labels-agreement.png"
    if report.are_settled:
        (folder / "labels-epochs.png").unlink(missing_ok=True)
        return
    note = (
        "a line for each seed, dot: its best epoch; dashed: copies of the annotation, or the "
        "share in the truth"
    )
    title = f"Labels of train by epoch: {report.title}"
    figure = draw_courses(_courses(report), tuple(COURSES), title, note)
    save_figure(figure, folder / "labels-epochs.png")
    yield folder / "labels-epochs.png"


def _courses(report: LabelReport) -> "dict[str, LabelCourses]":
    from mien.reports.figures.label_panels import LabelCourses, marks_of

    courses = {}
    for modality, trajectories in report.trajectories.items():
        agreement = report.agreement.get(modality, {})
        courses[modality] = LabelCourses(
            trajectories={report.generator: tuple(trajectories.values())},
            marks=marks_of(agreement, report.contradicting.get(modality)),
            num_clips={part: results.num_clips for part, results in agreement.items()},
        )
    return courses


def format_label_report(report: LabelReport) -> str:
    """Return the report as text of 80 columns."""
    num = len(report.seeds)
    head = (
        f"{report.title}: labels of train by {report.generator}, {num} seed{'s' * (num > 1)} "
        f"({', '.join(map(str, report.seeds))})"
    )
    parts = [wrap(head), *_estimates(report), *_agreement_tables(report)]
    unknown = [m for m in report.trajectories if m not in report.agreement]
    if unknown:
        parts.append(
            wrap(
                f"What the modality alone says is not known for {', '.join(unknown)}: agreement "
                "cannot be measured there, and how far labels moved proves nothing about it."
            )
        )
    if report.trajectories:
        parts += [_epoch_table(report), *_move_tables(report)]
    parts += format_target_labels(report.targets)
    if report.figures:
        parts.append("\n".join(f"figure: {path}" for path in report.figures))
    return "\n\n".join(parts)


def _estimates(report: LabelReport) -> Iterator[str]:
    for seed, estimate in report.estimates.items():
        first, *others = describe_estimate(estimate)
        yield "\n".join([wrap(f"Seed {seed}. {first}"), *(wrap(line) for line in others)])


def _agreement_tables(report: LabelReport) -> Iterator[str]:
    pearson: LabelColumn[SourceResults] = LabelColumn(
        "95 %", lambda row: interval_cell(row.results["pearson"])
    )
    columns: list[LabelColumn[SourceResults]] = [
        MODALITY, SOURCE, NUM_CLIPS, mean_column("corr", "pearson"), pearson,
        mean_column("rank", "spearman"), mean_column("mae", "mae"),
        mean_column("mapped", "mae_monotone"), mean_column("sign %", "sign", AGREEMENT["sign"]),
    ]  # fmt: skip
    for part, heading in PARTS.items():
        rows = rows_of_sources(report.agreement, part)
        if rows:
            yield f"best epoch against the truth, {heading} clips\n{label_table(rows, columns)}"
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
    """Return on how many videos or clips the intervals rest."""
    return "; ".join(
        f"{modality}, {heading}: {describe_units(parts[part].num_clusters, _unit(parts[part]))}"
        for modality, parts in report.agreement.items()
        for part, heading in PARTS.items()
        if parts[part].num_clips
    )


def _unit(results: MetricResults) -> str:
    return "clip" if results.num_clusters == results.num_clips else "video"


def _difference_table(report: LabelReport) -> str:
    heading = ["", "metric", "all", "95 %", "contradicting", "95 %"]
    rows = []
    for modality, parts in report.agreement.items():
        for key, metric in AGREEMENT.items():
            cells = [modality, f"{key} %" if metric.is_share else key]
            for part in PARTS:
                sources = parts[part].metrics.get(key, {})
                less = sources[GENERATED].less.get(COPY) if GENERATED in sources else None
                if less is None:
                    cells += [UNDEFINED, UNDEFINED]
                else:
                    cells.append(format_value(less.difference, metric))
                    cells.append(format_interval(less.low, less.high, metric))
            rows.append(cells)
    covers_seeds = len(report.seeds) > 1
    meaning = "over clips and seeds" if covers_seeds else "one seed: a comparison of these weights"
    return f"generated minus copy, {meaning}\n{format_table(heading, rows)}"


def _epoch_table(report: LabelReport) -> str:
    """Return shares and correlations at the first, best and last epoch, means over the seeds."""
    heading = ["", "epoch", "clipped %", "flipped %", "moved", "corr, all", "contradicting"]
    rows = []
    for modality, seeds in report.trajectories.items():
        for name, pick in _EPOCHS.items():
            values = {
                key: _mean([c[pick(seed)] for seed in seeds.values() if (c := seed.course(key))])
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
    for modality, moves in report.moves.items():
        cells = [modality]
        for result in (moves.moved, moves.with_annotation):
            cells += [format_value(result.mean), interval_cell(result)]
        rows.append(cells)
    yield f"labels of the best epoch and the annotation\n{format_table(heading, rows)}"
    pairs = [
        [f"{modality} and {other}", format_value(_mean(values)), format_value(_spread(values))]
        for modality, moves in report.moves.items()
        for other, values in moves.with_others.items()
        if list(Modality).index(Modality(modality)) < list(Modality).index(Modality(other))
    ]
    if pairs:
        yield (
            "labels of two modalities, correlation over the clips\n"
            f"{format_table(['', 'mean', 'deviation'], pairs)}"
        )


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of what is defined; None if nothing is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _spread(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return summarise_seeds(known).deviation if known else None


def _percent(share: float | None) -> str:
    return UNDEFINED if share is None or share != share else f"{100 * share:.1f}"
