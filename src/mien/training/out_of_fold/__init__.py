"""Scores of each modality out of fold: of models, each on clips that it has not seen.

A network that has learned the train labels by heart answers with them, so that what it predicts
for a train clip is the annotation again. Here train is cut into folds by video; for each fold a
model is trained on the others and predicts it. There are two kinds, and ``sources`` chooses:
regressions on vectors of the clips, each modality by itself, linear (``ridge``) or not
(``kernel``), and models that fuse late, so that each modality explains its own part of the
annotation and leaves the rest to the others.

Late fusion does not keep a clip's annotation out of its evidence altogether. After the first epoch,
the unimodal tasks of the models learn from labels that are made with evidence, which models of
other folds gave that have seen the annotation. So it comes back by a detour, a little more with
every epoch; docs/labels.md reports how much was measured.

A regression learns from annotations alone, so that there is no such way.

``evidence_settings`` are those that matter, ``folds`` the late-fusion models, which ``fold_team``
trains here or in processes, each a ``fold_process``. ``feedback`` makes the labels from which they
learn, ``held_out_loss`` says how well they do, ``clip_vectors`` is what a regression reads, and
``evidence_cache`` keeps what all gave.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from jaxtyping import Float

from mien.data.dataset import ClipDataset
from mien.errors import DivergenceError, TrainingError
from mien.labels.generator import Evidence, TargetEvidence
from mien.labels.latent import EvidenceConfig
from mien.labels.target_labels import latent_target_labels
from mien.models.late_fusion import LateFusion
from mien.processes.threads import one_thread
from mien.training.out_of_fold.evidence_cache import cached_evidence, evidence_key
from mien.training.out_of_fold.evidence_settings import (
    EvidenceSettings,
    evidence_settings,
    with_frozen_text,
)
from mien.training.out_of_fold.feedback import Feedback
from mien.training.out_of_fold.fold_team import (
    FoldTeam,
    LabelsOfFolds,
    count_processes,
    open_team,
)
from mien.training.out_of_fold.folds import (
    Fold,
    FoldPlan,
    HeldOut,
    OnStep,
    assign_folds,
)
from mien.training.out_of_fold.held_out_loss import HeldOutLoss
from mien.training.out_of_fold.sources import (
    choose_source,
    fit_regressions,
    join_sources,
    late_error,
    regression_error,
)
from mien.training.preparation import Prepared
from mien.training.settings import ExperimentConfig
from mien.training.targets.aims import Aims
from mien.types import Modality, Task

__all__ = [
    "DECAY",
    "EvidenceEpoch",
    "OnStep",
    "assign_folds",
    "best_evidence",
    "cross_fit",
    "evidence_by_epoch",
]

logger = logging.getLogger(__name__)

#: Share of the running mean over the epochs that an epoch leaves as it was.
DECAY = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceEpoch:
    """Where the late-fusion models stand after an epoch.

    Attributes:
        epoch: Counted from 1.
        evidence: Running mean over the epochs of the scores of held-out clips.
        fused: The same of their multimodal scores, one per train clip; empty without sentiment.
        error: Mean absolute error of ``fused``. With further targets the mean loss of all that is
            predicted, each in units of a predictor that says the same of every clip.
        models: The model of each fold; they are trained on in the next epoch.
    """

    epoch: int
    evidence: Evidence
    fused: Float[torch.Tensor, " N"]
    error: float
    models: tuple[LateFusion, ...]


def cross_fit(
    prepared: Prepared,
    config: ExperimentConfig,
    *,
    seed: int,
    on_step: OnStep | None = None,
) -> Evidence:
    """Score each modality of each train clip, by models that have not seen the clip.

    ``labels.evidence`` says by which. Of the epochs of late-fusion models, ``evidence_by_epoch``,
    that one is taken at which the running mean has the least mean absolute error over train;
    neither valid nor test is looked at. That error is optimistic: after the first epoch the
    annotation of a clip has moved labels from which its model learns, so that it is lower than on
    clips of no fold, the more so the later the epoch. The log states so.

    On a CPU the models of the folds are trained side by side, in as many processes as torch may use
    threads here, each with one thread; the numbers do not depend on how many there are.

    The result is kept in the user's cache folder, under a key of all that it depends on: data,
    settings, code, versions and device.

    Args:
        prepared: The data.
        config: The settings; sizes of the parts and ``labels`` matter, which are those of a
            generator that needs evidence.
        seed: Of the folds, initial weights, dropout and the order of clips.
        on_step: Is called as the training goes on.

    Raises:
        TrainingError: If the models diverge, or train has one clip, so that nothing can be held
            out.
    """
    settings = evidence_settings(config)
    if len(prepared.datasets["train"]) < 2:
        raise TrainingError(
            f"{prepared.store.path}: train has 1 clip, and evidence comes from models that have "
            f"not seen the clip; take another generator than {config.labels.generator!r} "
            "(labels.generator=copy)"
        )
    dataset, sizes, text = with_frozen_text(prepared, settings)
    key = evidence_key(prepared, settings, dataset, text, seed)
    plan = _plan(dataset, sizes, prepared, settings, seed)
    source = choose_source(settings.labels.evidence, prepared.aims, dataset)
    num_processes = count_processes(dataset, settings)

    def gather_late() -> Evidence:
        with open_team(plan, num_processes) as team:
            return best_evidence(_epochs(plan, team, on_step), settings.labels)

    def gather() -> Evidence:
        if source == "late":
            return gather_late()
        regressions = fit_regressions(source, dataset, settings, seed)
        if source in ("ridge", "kernel"):
            return regressions
        if source == "both":
            return join_sources(gather_late(), regressions)
        error = regression_error(regressions, dataset, settings, seed)
        late = late_error(plan, on_step)
        chosen = "late-fusion models" if late < error else "regressions"
        logger.info(
            "evidence: of %s; mean absolute error in the first fold %.3f by regressions, "
            "%.3f by late fusion", chosen, error, late,
        )  # fmt: skip
        if late >= error:
            return regressions
        return join_sources(gather_late(), regressions)

    with one_thread():
        return cached_evidence(key, dataset, prepared.aims, gather)


def evidence_by_epoch(
    prepared: Prepared,
    config: ExperimentConfig,
    *,
    seed: int,
    on_step: OnStep | None = None,
) -> Iterator[EvidenceEpoch]:
    """Train the late-fusion models, and give the evidence after each epoch; nothing is kept.

    All folds are trained side by side, an epoch each at a time. In the first epoch their unimodal
    tasks learn from copies of the annotation, later from the labels that the evidence so far
    makes. Text comes as states of the frozen encoder, whatever the settings do with it later.

    Args:
        prepared: The data.
        config: The settings; sizes of the parts and ``labels`` matter, which are those of a
            generator that needs evidence.
        seed: Of the folds, initial weights, dropout and the order of clips.
        on_step: Is called as the training goes on.

    Raises:
        TrainingError: If the models diverge.
    """
    settings = evidence_settings(config)
    dataset, sizes, _ = with_frozen_text(prepared, settings)
    plan = _plan(dataset, sizes, prepared, settings, seed)
    return _epochs(plan, FoldTeam(plan), on_step)


def _plan(
    dataset: ClipDataset,
    sizes: Mapping[Modality, int],
    prepared: Prepared,
    settings: EvidenceSettings,
    seed: int,
) -> FoldPlan:
    return FoldPlan(
        dataset=dataset,
        sizes=sizes,
        scale=prepared.scale,
        settings=settings,
        seed=seed,
        aims=prepared.aims,
    )


def best_evidence(epochs: Iterator[EvidenceEpoch], config: EvidenceConfig) -> Evidence:
    """Return the evidence of the epoch with the least error, until patience or epochs end."""
    best = None
    for epoch in epochs:
        if best is None or epoch.error < best.error:
            best = epoch
        if (
            epoch.epoch - best.epoch >= config.evidence_patience
            or epoch.epoch == config.evidence_epochs
        ):
            break
    if best is None:
        raise ValueError("there is no epoch to take evidence from")
    logger.info(
        "evidence: mean absolute error on held-out clips %.3f in epoch %d%s",
        best.error,
        best.epoch,
        " (optimistic: their annotations shaped labels of other clips)" if best.epoch > 1 else "",
    )
    return best.evidence


def _epochs(plan: FoldPlan, team: FoldTeam, on_step: OnStep | None) -> Iterator[EvidenceEpoch]:
    dataset, aims, settings = plan.dataset, plan.aims, plan.settings
    scale, rest, folds = plan.scale, settings.labels.rest, team.folds
    feedback = Feedback(settings.labels.feedback, dataset.labels[Task.FUSION], rest)
    judge = HeldOutLoss(dataset, scale, settings.targets, aims)
    mean: HeldOut = {}
    labels = LabelsOfFolds()
    for epoch in count(1):
        scores = team.run_epoch(epoch, labels, on_step)
        decay = DECAY if mean else 0.0
        mean = {key: decay * mean.get(key, 0.0) + (1 - decay) * s for key, s in scores.items()}
        error = judge.measure(mean)
        if not np.isfinite(error):
            raise DivergenceError(f"evidence of the modalities diverged in epoch {epoch}")
        evidence = _to_evidence(mean, folds, dataset, aims)
        yield EvidenceEpoch(
            epoch=epoch,
            evidence=evidence,
            fused=mean.get(Task.FUSION, torch.zeros(0)),
            error=error,
            models=tuple(fold.model for fold in folds),
        )
        labels = LabelsOfFolds(
            sentiment=feedback.make_labels(evidence) if aims.has_sentiment else {},
            targets={
                target.name: latent_target_labels(
                    target,
                    evidence.targets[target.name],
                    dataset.values[target.name][Task.FUSION],
                    rest=rest,
                )
                for target in aims.targets
            },
        )


def _to_evidence(mean: HeldOut, folds: list[Fold], dataset: ClipDataset, aims: Aims) -> Evidence:
    absent = {
        m: torch.from_numpy(series.lengths[dataset.rows] == 0)
        for m, series in dataset.series.items()
    }
    models = [fold.model for fold in folds]
    return Evidence(
        scores={m: mean[Task(m)].masked_fill(lacks, torch.nan) for m, lacks in absent.items()}
        if aims.has_sentiment
        else {},
        weights=_average([m.weights for m in models]) if aims.has_sentiment else {},
        targets={
            target.name: TargetEvidence(
                values={
                    m: mean[target.name, Task(m)].masked_fill(lacks.unsqueeze(-1), torch.nan)
                    for m, lacks in absent.items()
                },
                weights=_average([m.target_weights(target) for m in models]),
            )
            for target in aims.targets
        },
    )


def _average(weights: list[dict[Modality, float]]) -> dict[Modality, float]:
    return {m: float(np.mean([own[m] for own in weights])) for m in weights[0]}
