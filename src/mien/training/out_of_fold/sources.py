"""Which models give the evidence: regressions, or late fusion where it predicts better."""

import logging
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from mien.data.clips.clip_columns import as_clips
from mien.data.dataset import ClipDataset
from mien.errors import ConfigError
from mien.labels.generator import Evidence
from mien.labels.label_settings import EvidenceSource
from mien.training.out_of_fold.clip_vectors import clip_vectors
from mien.training.out_of_fold.evidence_settings import EvidenceSettings
from mien.training.out_of_fold.folds import (
    FoldPlan,
    OnStep,
    make_folds,
    number_folds,
    run_epoch,
)
from mien.training.out_of_fold.kernel import take_kernel
from mien.training.out_of_fold.ridge import ridge_evidence
from mien.training.targets.aims import Aims
from mien.types import Task

__all__ = ["choose_source", "fit_regressions", "join_sources", "late_error", "regression_error"]

logger = logging.getLogger(__name__)

_TRIAL_EPOCHS = 8


def choose_source(source: EvidenceSource, aims: Aims, dataset: ClipDataset) -> EvidenceSource:
    """Return what makes the evidence: regressions are for sentiment of every clip alone.

    Raises:
        ConfigError: If they are named for anything else.
    """
    annotated = dataset.labels[Task.FUSION]
    if not aims.targets and aims.has_sentiment and not bool(annotated.isnan().any()):
        return source
    if source in ("ridge", "kernel"):
        raise ConfigError(
            f"setting labels.evidence is {source!r}, which is for sentiment that is annotated in "
            "every clip; set labels.evidence=late"
        )
    return "late"


def fit_regressions(
    source: EvidenceSource, dataset: ClipDataset, settings: EvidenceSettings, seed: int
) -> Evidence:
    """Return the evidence of regressions on vectors of the clips.

    They are ridge regressions for ``ridge``, kernel regressions for ``kernel``, and of each
    modality the better ones for others.

    Args:
        source: What makes the evidence.
        dataset: The train split.
        settings: What the evidence is made by.
        seed: Of the folds and of the cuts of the features.
    """
    vectors = {modality: clip_vectors(dataset, modality) for modality in dataset.series}
    fold_of = number_folds(dataset, settings.labels.folds, seed)
    videos = as_clips(dataset.clips).video_numbers
    annotated = _annotations(dataset)
    ridge = ridge_evidence(vectors, annotated, fold_of, videos, seed=seed)
    if source == "ridge":
        return ridge
    best = take_kernel(
        ridge, vectors, annotated, fold_of, videos, seed=seed, where_better=source != "kernel"
    )
    for modality, scores in best.scores.items():
        if scores is not ridge.scores[modality]:
            logger.info("evidence: %s is read by kernel regressions", modality)
    return best


def regression_error(
    evidence: Evidence, dataset: ClipDataset, settings: EvidenceSettings, seed: int
) -> float:
    """Return the mean absolute error in the first fold of all scores of ``fit_regressions``.

    They are joined by the linear function that fits the other folds best.
    """
    y, held_out = _annotations(dataset), number_folds(dataset, settings.labels.folds, seed) == 0
    scores = torch.stack(list(evidence.scores.values())).double().nan_to_num(nan=float(y.mean()))
    columns = np.vstack([scores.numpy(), np.ones(len(y))]).T
    weights = np.linalg.lstsq(columns[~held_out], y[~held_out], rcond=None)[0]
    return float(np.abs(columns[held_out] @ weights - y[held_out]).mean())


def late_error(plan: FoldPlan, on_step: OnStep | None) -> float:
    """Return the least mean absolute error of a late-fusion model in the first fold.

    It is trained for a few epochs on copies of the annotation, and for the first fold alone.

    Args:
        plan: From what it is made.
        on_step: Is called as the training goes on.
    """
    dataset, labels = plan.dataset, plan.settings.labels
    first = [next(make_folds(plan))]
    rows = torch.from_numpy(first[0].held_out_rows)
    annotated = dataset.labels[Task.FUSION][rows]
    errors: list[float] = []
    for epoch in range(1, min(_TRIAL_EPOCHS, labels.evidence_epochs) + 1):
        scores = run_epoch(dataset, first, epoch, plan.seed, on_step)[Task.FUSION][rows]
        errors.append(float((scores - annotated).abs().mean()))
        if epoch - int(np.argmin(errors)) > labels.evidence_patience:
            break
    return min(errors)


def join_sources(late: Evidence, regressions: Evidence) -> Evidence:
    """Return the scores of late-fusion models, with all that the regressions give.

    These know of no other modality, and no annotation comes back to them by a detour.
    """
    return replace(
        late, halves=regressions.halves, overlap=regressions.overlap, alone=regressions.scores
    )


def _annotations(dataset: ClipDataset) -> Float[np.ndarray, "N"]:
    return dataset.labels[Task.FUSION].double().numpy()
