"""Runs and models to their metrics on a split, with predictions and what was evaluated."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mien.config import read_toml
from mien.data.store import Store, open_store
from mien.errors import CheckpointError, ConfigError
from mien.evaluation.conformal import coverage
from mien.evaluation.evaluate import evaluate_attention, evaluate_run
from mien.evaluation.metrics_file.evaluated_model import EvaluatedModel
from mien.evaluation.metrics_file.evaluation_folder import Evaluation
from mien.evaluation.metrics_file.seed_metrics import Coverage, SeedCoverage
from mien.evaluation.predictions import Predictions
from mien.evaluation.probabilities.covered_targets import cover_targets
from mien.evaluation.scoring import predict
from mien.models.eight_bits import round_text_encoder
from mien.training.checkpoints.baseline_use import BaselineUse, reads_speakers
from mien.training.cross_validation.fold_data import find_folds
from mien.training.cross_validation.pooled_results import pool_evaluations
from mien.training.loading import ModelOnStore, dataset_of, load_trained
from mien.training.model_evaluation.model_set import ModelSet, find_file
from mien.training.preparation import require_labels
from mien.training.record import describe_use
from mien.training.run_folder import RunFolder, SeedFolder, open_run
from mien.types import Modality, Split

__all__ = ["Bits", "EvaluationRequest", "evaluate_models"]

logger = logging.getLogger(__name__)

#: In how many bits the text encoder multiplies.
Bits = Literal[32, 8]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """How models are evaluated.

    Attributes:
        split: On which clips.
        ways: In how many bits the text encoder multiplies; in several, every model is loaded once.
        baseline: Against whom clips are read; None as the model does as a rule.
        without: What is left out, as if no clip had it.
    """

    split: Split
    ways: tuple[Bits, ...] = (32,)
    baseline: BaselineUse | None = None
    without: tuple[Modality, ...] = ()


def evaluate_models(
    run: RunFolder | str | Path, store: Store | str | Path | None, request: EvaluationRequest
) -> list[Evaluation]:
    """Evaluate every finished seed of a run, or a model of one file.

    Args:
        run: The run, or its folder; with a store also the file of a model, or a bundled one's name.
        store: The data, of a run over folds their folder; None takes the run's own predictions.
        request: How.

    Returns:
        An evaluation in so many bits each.

    Raises:
        CheckpointError: If no seed has finished, or the data do not fit.
        ConfigError: If the request does not fit, or a store is needed.
    """
    _check_request(request, has_store=store is not None)
    file = find_file(run)
    if file is not None:
        if store is None:
            raise ConfigError(
                f"{run}: is one file, which holds no predictions; give the store of the clips to "
                "evaluate it on (--store)"
            )
        return _evaluate_on(open_store(store), ModelSet.of_file(file), request)
    run = open_run(run)
    reads_speakers(run.config, run.path, request.baseline)
    if request.baseline == "none" and store is None:
        what = "the folder of the stores of its folds" if run.folds else "the store of their clips"
        raise ConfigError(
            f"--baseline none: predictions without baselines are made anew; give {what} (--store)"
        )
    seeds = [seed for seed in run.seeds if seed.is_finished]
    if not seeds:
        reasons = [f"seed {s.seed}: {s.failure}" for s in run.seeds if s.failure]
        raise CheckpointError(
            f"{run.path}: no seed has finished ({'; '.join(reasons) or 'training was stopped'}); "
            "continue with mien train ... --resume"
        )
    if store is None:
        return [_read_evaluation(run, seeds, request.split)]
    if run.folds:
        return _evaluate_folds(run, seeds, store, request)
    return _evaluate_on(open_store(store), ModelSet.of_run(run, seeds), request)


def _check_request(request: EvaluationRequest, *, has_store: bool) -> None:
    """Refuse what cannot be computed, of whatever is evaluated.

    Raises:
        ConfigError: If something is to be computed anew without a store, or of no text.
    """
    if 8 in request.ways and not has_store:
        raise ConfigError(
            "--int8: predictions in 8 bits are made anew; give the store of their clips (--store)"
        )
    if request.without and not has_store:
        raise ConfigError(
            f"--without {','.join(request.without)}: predictions without are made anew; give the "
            "store of their clips (--store)"
        )
    if 8 in request.ways and Modality.TEXT in request.without:
        raise ConfigError(
            "--int8: computes the text encoder in 8 bits, and the text is left out (--without "
            "text); leave out one of the two"
        )


def _evaluate_folds(
    run: RunFolder,
    seeds: Sequence[SeedFolder],
    store: Store | str | Path,
    request: EvaluationRequest,
) -> list[Evaluation]:
    """Evaluate the models of every fold on the clips that it holds out, and pool that."""
    if request.split != "test":
        raise ConfigError(
            f"{run.path}: is a run over folds, in which every clip is test in one; choose "
            "--split test, or give the run of a fold"
        )
    folds = find_folds(run, store.path if isinstance(store, Store) else store)
    evaluated = []
    for fold, of_fold in zip(folds, run.folds, strict=True):
        models = ModelSet.of_run(of_fold, [of_fold.seed(seed.seed) for seed in seeds])
        evaluated.append(_evaluate_on(fold.store, models, request))
    return [
        pool_evaluations(folds, [own[way] for own in evaluated], run.failed_seeds)
        for way in range(len(request.ways))
    ]


def _read_evaluation(run: RunFolder, seeds: Sequence[SeedFolder], split: Split) -> Evaluation:
    """Return what a run has of one split of its own store."""
    predictions = []
    for seed in seeds:
        scored = seed.predictions(split)
        if scored is None:
            advice = "give its store (--store)"
            if run.folds:
                advice = f"over folds every clip is tested; see a fold, such as {run.folds[0].path}"
            raise CheckpointError(f"{run.path}: has no predictions on {split}; {advice}")
        predictions.append(scored)
    return Evaluation(
        run.results().take(split),
        predictions,
        EvaluatedModel(
            settings=read_toml(run.path / "config.toml"),
            environment=run.environment(),
            coverage=tuple(seed.results().covered.take(split) for seed in seeds),
        ),
    )


def _evaluate_on(store: Store, models: ModelSet, request: EvaluationRequest) -> list[Evaluation]:
    """Evaluate every model on one split of a store."""
    require_labels(store)
    split = request.split
    predictions: dict[Bits, list[Predictions]] = {bits: [] for bits in request.ways}
    attention: dict[Bits, list[Any]] = {bits: [] for bits in request.ways}
    covered: dict[Bits, list[SeedCoverage]] = {bits: [] for bits in request.ways}
    warnings: list[str] = []
    for checkpoint in models.checkpoints:
        trained = load_trained(
            checkpoint,
            store,
            baseline=request.baseline,
            splits=(split,),
            without=request.without,
        )
        dataset = dataset_of(trained.prepared, split)
        warnings += [*trained.warnings, *trained.warn_of_seen(dataset)]
        for bits in request.ways:
            if bits == 8:
                round_text_encoder(trained.model)
            scored = predict(trained.model, dataset)
            attended = evaluate_attention(scored, dataset.clips, trained.prepared.tokens)
            warnings += _check_present(scored, store, split)
            predictions[bits].append(scored)
            attention[bits].append({split: attended})
            if split != "valid":  # where training made intervals and sets
                covered[bits].append(_measure_coverage(trained, scored, split))
    evaluated = [
        Evaluation(
            evaluate_run(
                trained.prepared.family,
                store.meta.name,
                is_synthetic=store.meta.is_synthetic,
                seeds=models.seeds,
                predictions={split: predictions[bits]},
                attention=attention[bits],
                failed_seeds=models.failed_seeds,
                baseline=trained.baseline,
                model=models.name,
                without=request.without,
            ),
            predictions[bits],
            EvaluatedModel(
                settings=models.settings,
                environment={
                    **describe_use(trained.prepared, device="cpu"),
                    **({"text_encoder_bits": bits} if bits == 8 else {}),
                },
                coverage=tuple(covered[bits]),
                scale=store.scale,
            ),
        )
        for bits in request.ways
    ]
    for warning in dict.fromkeys(warnings):
        logger.warning("%s", warning)
    return evaluated


def _measure_coverage(trained: ModelOnStore, scored: Predictions, split: Split) -> SeedCoverage:
    """Return how often the intervals and sets that a model was given in training hold."""
    sentiment, targets = trained.header.calibrations(alone=trained.baseline == "none")
    return SeedCoverage(
        sentiment=None
        if sentiment is None
        else Coverage(
            level=sentiment.level,
            splits={split: coverage(sentiment, scored, trained.prepared.scale)},
        ),
        targets={split: cover_targets(targets, scored)},
    )


def _check_present(scored: Predictions, store: Store, split: Split) -> list[str]:
    """Return a sentence if some clips have nothing that a model reads.

    Raises:
        CheckpointError: If that is all of them.
    """
    num_blank = int((~np.any(list(scored.present.values()), axis=0)).sum())
    read = f"nothing of what the model reads ({', '.join(scored.present)})"
    if num_blank == len(scored):
        raise CheckpointError(f"{store.path}: the clips of {split} have {read}; take another store")
    if num_blank == 0:
        return []
    return [
        f"{store.path}: {num_blank} of {len(scored)} clips of {split} have {read}, so that all of "
        "these are predicted alike"
    ]
