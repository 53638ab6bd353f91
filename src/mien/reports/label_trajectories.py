"""The labels that trainings generated, epoch by epoch: read from their folders, and measured."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Bool, Float, Shaped
from pydantic import Field

from mien.errors import CheckpointError
from mien.evaluation.bootstrap import clusters_of
from mien.evaluation.formulas import Scores, mae
from mien.evaluation.label_agreement import (
    AGREEMENT,
    COPY,
    GENERATED,
    evaluate_agreement,
    flipped_share,
    select_parts,
)
from mien.evaluation.significance import MetricResults, SourceResults, compare_sources
from mien.files.json_values import Number, StrictValue, json_number, json_numbers
from mien.reports.finished_run import read_labels
from mien.training.run_folder import SeedFolder
from mien.types import Modality, video_of

__all__ = [
    "LabelMoves",
    "LabelRows",
    "LabelTrajectory",
    "compare_with_copies",
    "evaluate_copies",
    "evaluate_moves",
    "evaluate_trajectories",
    "read_label_rows",
    "settled_from",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRows:
    """What several trainings generated for one modality of the same train clips.

    Attributes:
        modality: Whose labels they are.
        videos: Video of each clip.
        annotated: The multimodal annotation.
        truth: What is known of the modality alone, NaN where it is not.
        trajectories: Per seed the labels after each epoch, ``(epochs, N)``.
        best_epochs: Per seed the epoch that validation picked, counted from 1.
        clipped: Per seed and epoch the share of proposals cut to the scale, of all modalities.
    """

    modality: Modality
    videos: Shaped[np.ndarray, " N"]
    annotated: Scores
    truth: Scores
    trajectories: Mapping[int, Float[np.ndarray, "_ N"]]
    best_epochs: Mapping[int, int]
    clipped: Mapping[int, Sequence[float]]

    @property
    def known(self) -> Bool[np.ndarray, " N"]:
        """Clips whose truth is known."""
        known: Bool[np.ndarray, " N"] = ~np.isnan(self.truth)
        return known

    @property
    def best(self) -> Float[np.ndarray, "_ N"]:
        """Labels of the best epoch, one row for each seed."""
        return np.stack([t[self.best_epochs[s] - 1] for s, t in self.trajectories.items()])

    @property
    def last(self) -> Float[np.ndarray, "_ N"]:
        """Labels of the last epoch, one row for each seed."""
        return np.stack([t[-1] for t in self.trajectories.values()])

    @property
    def are_settled(self) -> bool:
        """Whether no seed changed its labels any more when it reached its best epoch.

        So it is with labels that are made before the training.
        """
        epochs = {s: settled_from(t, self.annotated) for s, t in self.trajectories.items()}
        return all(e is not None and e <= self.best_epochs[s] for s, e in epochs.items())


def settled_from(
    trajectory: Float[np.ndarray, "E *M N"], annotated: Float[np.ndarray, " N"]
) -> int | None:
    """Return the epoch, from 1, from which labels stay as they are.

    Args:
        trajectory: The labels after each epoch.
        annotated: The multimodal annotation.

    Returns:
        None if they keep changing: if they are no copies of the annotation before that epoch, or
        if it is the last one, so that nothing is known of what would follow.
    """
    differs = [not np.array_equal(labels, trajectory[-1]) for labels in trajectory]
    settled = len(differs) - differs[::-1].index(True) if any(differs) else 0
    if settled == 0:
        return 1
    if settled == len(trajectory) - 1 or not np.allclose(
        trajectory[:settled], annotated, atol=1e-5
    ):
        return None
    return settled + 1


def read_label_rows(seeds: Sequence[SeedFolder]) -> dict[Modality, LabelRows]:
    """Read what finished trainings on the same train clips generated, per modality.

    Clips whose sentiment is not annotated have no labels and are left out.

    Raises:
        CheckpointError: If there is none, or they were not trained on the same clips.
    """
    if not seeds:
        raise CheckpointError("labels: there is no finished seed; train one first")
    first = seeds[0]
    ids = first.train_clips()["ids"]
    known = read_labels(first)
    for seed in seeds[1:]:
        if seed.train_clips()["ids"] != ids or read_labels(seed).modalities != known.modalities:
            raise CheckpointError(
                f"{seed.path}: its train clips or modalities are not those of {first.path}; "
                "compare labels of the same clips"
            )
    rows = np.flatnonzero(~np.isnan(known.annotated))
    trajectories = {
        seed.seed: seed.label_trajectory()[:, :, rows].astype(np.float64) for seed in seeds
    }
    unknown = np.full(len(ids), math.nan)
    return {
        modality: LabelRows(
            modality=modality,
            videos=np.array([video_of(ids[clip]) for clip in rows]),
            annotated=known.annotated[rows],
            truth=known.truth.get(modality, unknown)[rows],
            trajectories={seed: labels[:, row] for seed, labels in trajectories.items()},
            best_epochs={seed.seed: seed.results().best_epoch for seed in seeds},
            clipped={
                seed.seed: [float(epoch["clipped"]) for epoch in seed.epochs()] for seed in seeds
            },
        )
        for row, modality in enumerate(known.modalities)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTrajectory(StrictValue):
    """The labels that one seed gave a modality, epoch by epoch.

    Attributes:
        best_epoch: The epoch that validation picked, counted from 1.
        clipped: Share of proposals cut to the scale, of all modalities together.
        flipped: Share of labels with the sign opposite to the annotation's.
        moved: Mean absolute distance from the annotation.
        everywhere: Correlation with the truth over all clips; None if no truth is known.
        conflicting: The same over clips in which the modality contradicts the annotation.
    """

    best_epoch: int
    clipped: tuple[Number | None, ...]
    flipped: tuple[Number | None, ...]
    moved: tuple[Number | None, ...]
    everywhere: tuple[Number | None, ...] | None = None
    conflicting: tuple[Number | None, ...] | None = None

    def course(self, name: str) -> tuple[Number | None, ...]:
        """Return what a field holds for each epoch; nothing if that is not known."""
        values: tuple[Number | None, ...] | None = getattr(self, name)
        return values or ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMoves(StrictValue):
    """How far labels of the best epoch lie from the annotation and from other modalities'.

    Attributes:
        moved: Mean absolute distance from the annotation.
        with_annotation: Correlation with the annotation.
        with_others: Key ``with``: per other modality the correlation with its labels, seed by seed.
    """

    moved: SourceResults
    with_annotation: SourceResults
    with_others: Annotated[Mapping[str, tuple[Number | None, ...]], Field(alias="with")]


def evaluate_trajectories(rows: LabelRows) -> dict[str, LabelTrajectory]:
    """Follow the labels of a modality over the epochs, seed by seed."""
    pearson = AGREEMENT["pearson"]
    parts = select_parts(rows.truth, rows.annotated) if rows.known.any() else {}
    return {
        str(seed): LabelTrajectory(
            best_epoch=rows.best_epochs[seed],
            clipped=json_numbers(rows.clipped[seed]),
            flipped=json_numbers(flipped_share(labels, rows.annotated) for labels in trajectory),
            moved=json_numbers(mae(labels, rows.annotated) for labels in trajectory),
            **{
                part: json_numbers(pearson(each[clips], rows.truth[clips]) for each in trajectory)
                for part, clips in parts.items()
            },
        )
        for seed, trajectory in rows.trajectories.items()
    }


def compare_with_copies(
    rows: LabelRows, names: Collection[str] | None = None
) -> dict[str, MetricResults]:
    """Compare the labels of the best epoch, and copies of the annotation, with the truth.

    Args:
        rows: Labels of a modality.
        names: Which metrics of ``AGREEMENT``; all of them if None.

    Returns:
        What ``evaluate_agreement`` gives for the ``generated`` labels and for ``copy``.
    """
    return evaluate_agreement(
        {GENERATED: rows.best, COPY: rows.annotated[None]}, rows.truth, rows.annotated,
        rows.videos, against=(COPY,), fixed=(COPY,), names=names,
    )  # fmt: skip


def evaluate_copies(rows: LabelRows) -> dict[str, float | None]:
    """Return the correlation of the annotation with the truth, over each of ``PARTS``."""
    return {
        part: json_number(AGREEMENT["pearson"](rows.annotated[clips], rows.truth[clips]))
        for part, clips in select_parts(rows.truth, rows.annotated).items()
    }


def evaluate_moves(rows: Mapping[Modality, LabelRows]) -> dict[str, LabelMoves]:
    """Measure how far the labels of each modality moved from the annotation."""
    pearson = AGREEMENT["pearson"]
    return {
        str(modality): LabelMoves(
            moved=_compare_with_annotation(own, "mae"),
            with_annotation=_compare_with_annotation(own, "pearson"),
            with_others={
                str(other): json_numbers(map(pearson, own.best, others.best))
                for other, others in rows.items()
                if other != modality
            },
        )
        for modality, own in rows.items()
    }


def _compare_with_annotation(rows: LabelRows, metric: str) -> SourceResults:
    source, clusters = {GENERATED: rows.best}, clusters_of(rows.videos)
    results = compare_sources(source, rows.annotated, AGREEMENT[metric], clusters=clusters)
    return results[GENERATED]
