"""The figures of a run: from its files to pictures beside its report, each with its sentence."""

from collections.abc import Callable
from typing import Final, get_args

import numpy as np
from matplotlib.figure import Figure

from mien.evaluation.label_agreement import PARTS, select_parts
from mien.reports.figures.attention_maps import draw_attention
from mien.reports.figures.label_histograms import draw_labels
from mien.reports.figures.label_panels import LabelCourses, draw_courses
from mien.reports.figures.learning_curves import draw_learning
from mien.reports.figures.score_clouds import draw_scores
from mien.reports.figures.style import save_figure
from mien.reports.figures.words import keep_printable
from mien.reports.finished_run import FigureFormat, FinishedRun, Picture, read_labels
from mien.reports.label_trajectories import (
    evaluate_copies,
    evaluate_trajectories,
    read_label_rows,
)
from mien.types import REPORTED_SPLITS

__all__ = ["draw_figures"]


def draw_figures(run: FinishedRun, also: FigureFormat = "png") -> list[Picture]:
    """Write the figures of a run into its folder, and remove those of an older report.

    A figure for which the run has nothing to show is left out. Every figure is a PNG, and besides
    in the format that is given and in those in which an older report wrote it.
    """
    folder = run.folder.path / "figures"
    folder.mkdir(exist_ok=True)
    pictures = []
    for title, draw in _FIGURES.items():
        name = title.lower().replace(" ", "-")
        paths = {kind: folder / f"{name}.{kind}" for kind in get_args(FigureFormat)}
        drawn = draw(run)
        if drawn is None:
            for path in paths.values():
                path.unlink(missing_ok=True)
            continue
        figure, caption = drawn
        for kind, path in paths.items():
            if kind in ("png", also) or path.is_file():
                save_figure(figure, path)
        pictures.append(Picture(f"figures/{name}.png", title, caption))
    return pictures


def _title(run: FinishedRun, what: str) -> str:
    return keep_printable(f"{what}: {run.title}")


def _learning(run: FinishedRun) -> tuple[Figure, str]:
    histories = {seed.seed: seed.epochs() for seed in run.seeds}
    monitor = str(run.config["train"]["monitor"])
    return draw_learning(histories, monitor, _title(run, "Learning curves")), (
        "Training loss of each task and validation metrics of the multimodal task by epoch, one "
        f"line for each seed; the dot is the seed's best epoch by validation `{monitor}`."
    )


def _scores(run: FinishedRun) -> tuple[Figure, str] | None:
    for split in REPORTED_SPLITS:
        predictions = [read for seed in run.seeds if (read := seed.predictions(split)) is not None]
        if predictions:
            seeds = "the seed" if len(predictions) == 1 else f"all {len(predictions)} seeds"
            return draw_scores(predictions, run.scale, _title(run, f"Scores on {split}")), (
                f"Score against annotated label on {split}, the clips of {seeds} in one cloud; a "
                "ring is the mean score of the clips around a label, the dashed line a score equal "
                "to the label."
            )
    return None


def _labels(run: FinishedRun) -> tuple[Figure, str] | None:
    seed = run.seeds[0]
    labels = read_labels(seed)
    if not labels.modalities:
        return None
    figure = draw_labels(
        seed.label_trajectory().astype(np.float64),
        labels,
        run.best_epoch(seed),
        run.scale,
        _title(run, f"Labels of train, seed {seed.seed}"),
    )
    end = " and the known label of the modality as a dashed one." if labels.truth else "."
    return figure, (
        "How the labels on which each unimodal task was trained are spread over the scale, at "
        f"some epochs of seed {seed.seed}, with the multimodal annotation as a solid line{end}"
    )


def _agreement(run: FinishedRun) -> tuple[Figure, str] | None:
    courses = {
        str(modality): LabelCourses(
            trajectories={_generator(run): tuple(evaluate_trajectories(rows).values())},
            marks=evaluate_copies(rows),
            num_clips={
                part: int(clips.sum())
                for part, clips in select_parts(rows.truth, rows.annotated).items()
            },
        )
        for modality, rows in read_label_rows(run.seeds).items()
        if rows.known.any()
    }
    if not courses:
        return None
    note = "a line for each seed, dot: its best epoch; dashed: copies of the annotation"
    title = _title(run, "Generated labels against truth")
    return draw_courses(courses, tuple(PARTS), title, note), (
        "Correlation of the labels that each unimodal task was trained on with the known labels of "
        "train by epoch, above over all clips, below over those in which the modality contradicts "
        "the multimodal label; the dashed line is what copies of the annotation get."
    )


def _generator(run: FinishedRun) -> str:
    return str(run.config["labels"]["generator"])


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


#: The figures, in the order of the page, by title; a file is named after its title.
_FIGURES: Final[dict[str, Callable[[FinishedRun], tuple[Figure, str] | None]]] = {
    "Learning curves": _learning,
    "Scores": _scores,
    "Generated labels": _labels,
    "Agreement with truth": _agreement,
    "Attention": _attention,
}
