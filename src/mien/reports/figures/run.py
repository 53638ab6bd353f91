"""The figures of a run: from its files to pictures beside its report, each with its sentence."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, get_args

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from mien.evaluation.label_agreement import PARTS, select_parts
from mien.evaluation.metrics import RELATIVE_LOSS
from mien.evaluation.probabilities.reliability import class_reliability, label_reliability
from mien.evaluation.target_metrics.confusion import count_confusion
from mien.evaluation.target_metrics.target_values import annotated_rows
from mien.reports.figures.attention_maps import draw_attention
from mien.reports.figures.class_figures import draw_confusion, draw_reliability
from mien.reports.figures.label_histograms import draw_labels
from mien.reports.figures.label_panels import LabelCourses, draw_agreement, draw_courses
from mien.reports.figures.learning_curves import draw_learning, has_relative_loss
from mien.reports.figures.score_clouds import draw_scores, share_beyond
from mien.reports.figures.style import save_figure
from mien.reports.figures.words import keep_printable
from mien.reports.finished_run import FigureFormat, FinishedRun, Picture, ReportedRun, read_labels
from mien.reports.label_trajectories import (
    LabelRows,
    compare_with_copies,
    evaluate_copies,
    evaluate_trajectories,
    read_label_rows,
    settled_from,
)
from mien.reports.text import name_metric
from mien.types import REPORTED_SPLITS, Split, Target, TargetKind, Task

__all__ = ["FigurePlan", "draw_figures", "plan_figures"]


#: Draws a figure, with a sentence on what it shows; None where there is nothing to show.
_Draw = Callable[[], tuple[Figure, str] | None]


class FigurePlan(NamedTuple):
    """A figure that a run may have.

    Attributes:
        name: Of its file, without an ending.
        title: What it is called, in a few words.
        draw: Draws it, with a sentence on what it shows; None where there is nothing to show.
    """

    name: str
    title: str
    draw: _Draw


def plan_figures(run: ReportedRun, splits: Sequence[Split] = REPORTED_SPLITS) -> list[FigurePlan]:
    """Return the figures that a run may have, in the order of its page.

    An evaluation, and a run over folds, has no training of its own, and no figure of one.

    Args:
        run: The run.
        splits: Of which split predictions are shown: the first that has some.
    """
    drawings: dict[str, _Draw] = {"Scores": partial(_scores, run, splits)}
    if isinstance(run, FinishedRun) and run.metrics.folds is None:
        drawings = {
            "Learning curves": partial(_learning, run),
            **drawings,
            "Generated labels": partial(_labels, run),
            "Agreement with truth": partial(_agreement, run),
            "Attention": partial(_attention, run),
        }
    plans = [
        FigurePlan(title.lower().replace(" ", "-"), title, draw) for title, draw in drawings.items()
    ]
    for number, target in enumerate(run.metrics.described, start=1):
        of_target = {"Confusion": _confusion, "Reliability": _reliability}
        for what, show in of_target.items() if target.has_shares else ():
            name = f"{what.lower()}-{number}"  # a target's name may not be one of a file
            draw = partial(show, run, splits, target)
            plans.append(FigurePlan(name, f"{what} of {target.name}", draw))
    return plans


def draw_figures(run: FinishedRun, also: FigureFormat = "png") -> list[Picture]:
    """Write the figures of a run into its folder, and remove those of an older report.

    A figure for which the run has nothing to show is left out. Every figure is a PNG, and besides
    in the format that is given and in those in which an older report wrote it.
    """
    folder = run.folder.path / "figures"
    folder.mkdir(exist_ok=True)
    pictures = []
    for plan in plan_figures(run):
        name = plan.name
        paths = {kind: folder / f"{name}.{kind}" for kind in get_args(FigureFormat)}
        drawn = plan.draw()
        if drawn is None:
            for path in paths.values():
                path.unlink(missing_ok=True)
            continue
        figure, caption = drawn
        for kind, path in paths.items():
            if kind in ("png", also) or path.is_file():
                save_figure(figure, path)
        pictures.append(Picture(f"figures/{name}.png", plan.title, caption))
    return pictures


def _title(run: ReportedRun, what: str) -> str:
    return keep_printable(f"{what}: {run.title}")


def _learning(run: FinishedRun) -> tuple[Figure, str]:
    histories = {seed.seed: seed.epochs() for seed in run.seeds}
    monitor = str(run.config["train"]["monitor"])
    title = _title(run, "Learning curves")
    has_unimodal = any(len(seed[0]["losses"]) > 1 for seed in histories.values())
    below = "; below, training losses of the unimodal tasks" * has_unimodal
    where = "Above, what" if has_unimodal else "What"
    if has_relative_loss(histories):
        return draw_learning(histories, RELATIVE_LOSS, title), (
            f"{where} validation measures of the multimodal task by epoch{below}. Each seed has "
            "its colour, and its mark at its best epoch by the relative loss: the mean over what "
            "is predicted of its loss, over that of the best constant."
        )
    return draw_learning(histories, monitor, title), (
        f"{where} validation measures of the multimodal task by epoch, with its training loss, "
        f"which is an MAE too{below}. Each seed has its colour, and its mark at its best epoch by "
        f"validation {name_metric(monitor)}."
    )


def _scores(run: ReportedRun, splits: Sequence[Split]) -> tuple[Figure, str] | None:
    for split in splits:
        is_annotated = Task.FUSION in run.metrics.splits.get(split, {})
        predictions = run.predictions(split) if is_annotated else ()
        if predictions:
            many = f", the clips of all {len(predictions)} seeds in one cloud"
            return draw_scores(predictions, run.scale, _title(run, f"Scores on {split}")), (
                f"Score against annotated label on {split}{many * (len(predictions) > 1)}; a ring "
                "is the mean score of the clips around a label, the dashed line a score equal "
                f"to the label.{_describe_beyond(share_beyond(predictions, run.scale))}"
            )
    return None


def _describe_beyond(share: float) -> str:
    if share == 0:
        return ""
    return (
        f" Of the multimodal scores, {100 * share:.1f} % lie beyond the scale and are drawn there; "
        "`mien predict` cuts them to its ends."
    )


def _labels(run: FinishedRun) -> tuple[Figure, str] | None:
    seed = run.seeds[0]
    labels = read_labels(seed)
    if not labels.modalities or not run.has_sentiment:
        return None
    trajectory, best = seed.label_trajectory().astype(np.float64), run.best_epoch(seed)
    title = _title(run, f"Labels of train, seed {seed.seed}")
    figure = draw_labels(trajectory, labels, best, run.scale, title)
    settled = settled_from(trajectory, labels.annotated)
    if settled is None or settled > best:
        when = f"at some epochs of seed {seed.seed}"
    elif settled == 1:
        when = f"in every epoch of seed {seed.seed}"
    else:
        when = (
            f"from epoch {settled} of seed {seed.seed} on, before which they are copies of the "
            "annotation"
        )
    end = " and the known label of the modality as a dashed one." if labels.truth else "."
    return figure, (
        "How the labels on which each unimodal task was trained are spread over the scale, "
        f"{when}; with the multimodal annotation as a solid line{end}"
    )


def _agreement(run: FinishedRun) -> tuple[Figure, str] | None:
    if not run.has_sentiment:
        return None
    rows = {str(m): own for m, own in read_label_rows(run.seeds).items() if own.known.any()}
    if not rows:
        return None
    title = _title(run, "Generated labels against truth")
    parts = (
        "above over all clips, below over those in which the modality contradicts the multimodal "
        "label"
    )
    if all(own.are_settled for own in rows.values()):
        agreement = {m: compare_with_copies(own, names=("pearson",)) for m, own in rows.items()}
        return draw_agreement(agreement, title), (
            "Correlation of the labels that each unimodal task was trained on in the best epoch, "
            "from which they no longer changed, with the known labels of train: "
            f"{parts}; beside it, what copies of the annotation get."
        )
    courses = {m: _courses(own) for m, own in rows.items()}
    note = "dot: the best epoch of a seed; dashed: copies of the annotation"
    return draw_courses(courses, tuple(PARTS), title, note), (
        "Correlation of the labels that each unimodal task was trained on with the known labels of "
        f"train by epoch, {parts}; the dashed line is what copies of the annotation get."
    )


def _courses(rows: LabelRows) -> LabelCourses:
    """Return how labels of a modality went, seed by seed."""
    return LabelCourses(
        trajectories={f"seed {s}": (each,) for s, each in evaluate_trajectories(rows).items()},
        marks=evaluate_copies(rows),
        num_clips={
            part: int(clips.sum())
            for part, clips in select_parts(rows.truth, rows.annotated).items()
        },
    )


def _attention(run: FinishedRun) -> tuple[Figure, str] | None:
    examples = run.examples()
    if not examples:
        return None
    seed = run.seeds[0].seed
    return draw_attention(examples, _title(run, f"Attention, seed {seed}")), (
        f"Attention of seed {seed} over clips spread over the scale: words shaded by weight "
        "(pieces of a word added up, relative to the largest weight of the clip), weights of the "
        "other modalities over their steps, known moments in yellow."
    )


def _read_target(
    run: ReportedRun, splits: Sequence[Split], target: Target
) -> tuple[Split, list[tuple[Float[np.ndarray, "N K"], Float[np.ndarray, "N K"]]]] | None:
    """Return what each seed predicts of a target, and its truth, on the first split that has it."""
    for split in splits:
        own = [each.values[target.name] for each in run.predictions(split)]
        pairs = [
            (each.values[Task.FUSION], each.truths[Task.FUSION])
            for each in own
            if Task.FUSION in each.truths
        ]
        if pairs and annotated_rows(pairs[0][1]).any():
            return split, pairs
    return None


def _add_up(seeds: Sequence[object]) -> str:
    """Return what is said of several seeds in one figure."""
    return f", the clips of {len(seeds)} seeds added up" if len(seeds) > 1 else ""


def _confusion(
    run: ReportedRun, splits: Sequence[Split], target: Target
) -> tuple[Figure, str] | None:
    read = _read_target(run, splits, target)
    if read is None or target.kind is not TargetKind.CLASS:
        return None
    split, pairs = read
    counts = np.sum([count_confusion(*pair) for pair in pairs], axis=0)
    if not counts.any():
        return None
    figure = draw_confusion(counts, target.classes, _title(run, f"Confusion of {target.name}"))
    return figure, (
        f"Which classes of {target.name} are taken for which on {split}{_add_up(pairs)}: each row "
        "is an annotated class, with the share and number of its clips that are predicted to be of "
        "each class."
    )


def _reliability(
    run: ReportedRun, splits: Sequence[Split], target: Target
) -> tuple[Figure, str] | None:
    read = _read_target(run, splits, target)
    if read is None:
        return None
    split, pairs = read
    values, truths = (np.concatenate(each) for each in zip(*pairs, strict=True))
    is_class = target.kind is TargetKind.CLASS
    curve = (class_reliability if is_class else label_reliability)(values, truths)
    title = _title(run, f"Reliability of {target.name}")
    what = "the likeliest class" if is_class else "the labels"
    return draw_reliability({"as predicted": curve}, title), (
        f"How often {what} of {target.name} came true on {split} against the probability that was "
        f"predicted{_add_up(pairs)}. Below the dashed line probabilities are too sure. ECE: mean "
        "distance from that line, over clips."
    )
