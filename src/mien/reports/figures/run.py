"""The figures of a run: from its files to pictures beside its report, each with its sentence."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from mien.evaluation.label_agreement import agreement
from mien.reports.figures.attention_maps import draw_attention
from mien.reports.figures.style import (
    AgreementCurves,
    draw_agreement,
    draw_labels,
    draw_learning,
    draw_scores,
    save_figure,
)
from mien.reports.figures.words import keep_printable
from mien.reports.finished_run import FinishedRun, Picture, read_labels
from mien.types import Modality, Split

__all__ = ["draw_figures"]

_SPLITS: Final[tuple[Split, ...]] = ("test", "valid")


def draw_figures(run: FinishedRun) -> list[Picture]:
    """Write the figures of a run into its folder, and remove those of an older report.

    A figure for which the run has nothing to show is left out.
    """
    folder = run.folder.path / "figures"
    folder.mkdir(exist_ok=True)
    pictures = []
    for title, draw in _FIGURES.items():
        name = title.lower().replace(" ", "-")
        path, drawn = folder / f"{name}.png", draw(run)
        if drawn is None:
            path.unlink(missing_ok=True)
        else:
            figure, caption = drawn
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
    for split in _SPLITS:
        found = [seed.predictions(split) for seed in run.seeds]
        predictions = [one for one in found if one is not None]
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
    curves = {m: _curves(run, m) for m in read_labels(run.seeds[0]).truth}
    if not curves:
        return None
    return draw_agreement(curves, _title(run, "Generated labels against truth")), (
        "Correlation of the labels that each unimodal task was trained on with the known labels of "
        "train by epoch, above over all clips, below over those in which the modality says the "
        "opposite of the whole; the dashed line is what copies of the annotation get."
    )


def _curves(run: FinishedRun, modality: Modality) -> AgreementCurves:
    """Compute how the labels of a modality agree with the truth, by epoch and seed."""
    generated, copies, num = {}, (math.nan, math.nan), 0
    for seed in run.seeds:
        labels = read_labels(seed)
        kept = ~np.isnan(labels.truth[modality])
        truth, whole = labels.truth[modality][kept], labels.annotated[kept]
        row = labels.modalities.index(modality)
        trajectory = seed.label_trajectory()[:, row, kept].astype(np.float64)
        each = [_correlations(one, truth, whole) for one in trajectory]
        generated[seed.seed] = ([one for one, _ in each], [one for _, one in each])
        copies = _correlations(whole, truth, whole)
        num = int((np.sign(truth) * np.sign(whole) < 0).sum())
    return AgreementCurves(
        generated=generated,
        copies=copies,
        best_epochs={seed.seed: run.best_epoch(seed) for seed in run.seeds},
        num_disagreeing=num,
    )


def _correlations(
    labels: Float[np.ndarray, "N"], truth: Float[np.ndarray, "N"], whole: Float[np.ndarray, "N"]
) -> tuple[float, float]:
    result = agreement(labels, truth, whole)
    return result.everywhere.pearson, result.conflicting.pearson


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
