"""The labels that trainings generated, beside what is annotated and what is known: the measure.

How well labels agree with the truth is said over two sets of clips: all whose truth is known
(``everywhere``), and those in which the modality contradicts the whole (``conflicting``): its truth
and the multimodal annotation have opposite signs. Copies of the annotation do well on the first
and fail on the second.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from mien.errors import CheckpointError
from mien.evaluation.bootstrap import clusters_of
from mien.evaluation.label_agreement import AGREEMENT
from mien.evaluation.metrics import METRICS, Scores
from mien.evaluation.significance import compare_sources
from mien.files.json_values import json_number
from mien.reports.finished_run import read_labels
from mien.training.run_folder import SeedFolder
from mien.types import ID_SEPARATOR, Modality

__all__ = [
    "COPY",
    "PARTS",
    "LabelRows",
    "contradicts",
    "evaluate_agreement",
    "evaluate_moves",
    "evaluate_trajectories",
    "flipped_share",
    "read_label_rows",
]

#: The sets of clips over which agreement is said, with what tables call them.
PARTS = {"everywhere": "all", "conflicting": "contradicting"}
#: What copies of the annotation are called among the sources of labels.
COPY = "copy"


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


def read_label_rows(seeds: Sequence[SeedFolder]) -> dict[Modality, LabelRows]:
    """Read what finished trainings on the same train clips generated, per modality.

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
    trajectories = {one.seed: one.label_trajectory().astype(np.float64) for one in seeds}
    return {
        modality: LabelRows(
            modality=modality,
            videos=np.array([name.split(ID_SEPARATOR)[0] for name in ids]),
            annotated=known.annotated,
            truth=known.truth.get(modality, np.full(len(ids), math.nan)),
            trajectories={seed: one[:, row] for seed, one in trajectories.items()},
            best_epochs={one.seed: int(one.metrics()["best_epoch"]) for one in seeds},
            clipped={
                one.seed: [float(epoch["clipped"]) for epoch in one.epochs()] for one in seeds
            },
        )
        for row, modality in enumerate(known.modalities)
    }


def contradicts(truth: Scores, annotated: Scores) -> Bool[np.ndarray, " N"]:
    """Return in which clips the modality says the opposite of the whole."""
    opposite: Bool[np.ndarray, " N"] = np.sign(truth) * np.sign(annotated) < 0
    return opposite


def flipped_share(labels: Scores, annotated: Scores) -> float:
    """Return the share of clips whose label has the sign opposite to the annotation's.

    Clips annotated exactly 0 do not count; NaN if all are.

    >>> flipped_share(np.array([0.5, -1.0, 2.0]), np.array([-1.0, -1.0, 0.0]))
    0.5
    """
    signed = annotated != 0
    flipped = contradicts(labels, annotated)[signed]
    return float(flipped.mean()) if flipped.size else math.nan


def evaluate_agreement(
    sources: Mapping[str, Float[np.ndarray, "_ N"]],
    truth: Scores,
    annotated: Scores,
    videos: Shaped[np.ndarray, " N"],
    *,
    against: Sequence[str] = (),
    fixed: Collection[str] = (),
) -> dict[str, Any]:
    """Compare labels of one modality, from several sources, with its truth.

    Args:
        sources: Labels of each source, one row for each seed.
        truth: What is known of the modality alone; NaN where it is not.
        annotated: The multimodal annotation.
        videos: Video of each clip; whole videos are resampled.
        against: Sources that are subtracted from every other one.
        fixed: Sources without a training.

    Returns:
        For ``everywhere`` and ``conflicting``: ``num_clips``, ``num_clusters`` and ``metrics``,
        per metric what ``compare_sources`` gives. A part without a clip has no metrics.
    """
    known = ~np.isnan(truth)
    parts = {"everywhere": known, "conflicting": known & contradicts(truth, annotated)}
    judged = {}
    for part, kept in parts.items():
        clusters = clusters_of(videos[kept]) if kept.any() else videos[kept]
        rows = {name: one[:, kept] for name, one in sources.items()}
        judged[part] = {
            "num_clips": int(kept.sum()),
            "num_clusters": len(np.unique(clusters)),
            "metrics": {
                name: compare_sources(
                    rows, truth[kept], metric, clusters=clusters, against=against, fixed=fixed
                )
                for name, metric in AGREEMENT.items()
            }
            if kept.any()
            else {},
        }
    return judged


def evaluate_trajectories(rows: LabelRows) -> dict[str, Any]:
    """Follow the labels of a modality over the epochs, seed by seed.

    Returns:
        Per seed ``best_epoch`` and, for each epoch, ``clipped`` (share of proposals cut to the
        scale, all modalities together), ``flipped`` (share with the sign opposite to the
        annotation's), ``moved`` (mean absolute distance from the annotation) and, where the truth
        is known, its correlation with the labels ``everywhere`` and ``conflicting``.
    """
    mae, corr = METRICS["general"]["mae"], METRICS["general"]["corr"]
    known = rows.known
    parts = {"everywhere": known, "conflicting": known & contradicts(rows.truth, rows.annotated)}
    followed = {}
    for seed, trajectory in rows.trajectories.items():
        one: dict[str, Any] = {
            "best_epoch": rows.best_epochs[seed],
            "clipped": [json_number(share) for share in rows.clipped[seed]],
            "flipped": [json_number(flipped_share(row, rows.annotated)) for row in trajectory],
            "moved": [json_number(mae(labels, rows.annotated)) for labels in trajectory],
        }
        for part, kept in parts.items() if known.any() else ():
            one[part] = [json_number(corr(labels[kept], rows.truth[kept])) for labels in trajectory]
        followed[str(seed)] = one
    return followed


def evaluate_moves(rows: Mapping[Modality, LabelRows]) -> dict[str, Any]:
    """Say how far the labels of the best epoch are from the annotation and from each other.

    This needs no truth, and proves nothing about it.

    Returns:
        Per modality ``moved`` (mean absolute distance from the annotation) and ``with_annotation``
        (correlation), as ``compare_sources`` gives them for one source, and ``with`` other
        modalities: the correlation of each seed's labels.
    """
    judged = {}
    for modality, one in rows.items():
        source = {"generated": one.best}
        clusters = clusters_of(one.videos)
        metrics = {"moved": "mae", "with_annotation": "corr"}
        judged[str(modality)] = {
            name: compare_sources(
                source, one.annotated, METRICS["general"][key], clusters=clusters
            )["generated"]
            for name, key in metrics.items()
        }
        judged[str(modality)]["with"] = {
            str(other): [
                json_number(METRICS["general"]["corr"](a, b))
                for a, b in zip(one.best, two.best, strict=True)
            ]
            for other, two in rows.items()
            if other != modality
        }
    return judged
