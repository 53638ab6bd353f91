"""An experiment: train with every seed, evaluate, and record it all in a run folder."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mien.data.store import Store, open_store
from mien.errors import CheckpointError, DivergenceError, TrainingError
from mien.evaluation.evaluate import evaluate_attention, evaluate_run
from mien.evaluation.metrics_file.run_metrics import RunMetrics, run_metrics_to_json
from mien.evaluation.predictions import Predictions
from mien.evaluation.scoring import predict
from mien.labels import GENERATORS, build_labels
from mien.labels.generator import LabelInputs
from mien.training.checkpoints.videos import plain_name
from mien.training.listening import RunListener, RunPlan, TrainingListener, complete
from mien.training.loading import Start, dataset_of, load_trained, read_start, take_over
from mien.training.loop import check_steps
from mien.training.objective import MultitaskObjective
from mien.training.optimizer import make_accelerator
from mien.training.out_of_fold import cross_fit
from mien.training.preparation import (
    Prepared,
    build,
    check_settings,
    choose_clips,
    describe_lacks,
    fit_scales,
    prepare,
    require_labels,
)
from mien.training.record import (
    check_folder,
    describe_run,
    make_header,
    open_folder,
    record_failure,
    record_seed,
    write_evaluation,
)
from mien.training.run_folder import RunFolder, SeedFolder, open_run, summarise_run
from mien.training.settings import ExperimentConfig, read_config
from mien.training.trainer import Trainer
from mien.types import Split

__all__ = [
    "evaluate",
    "train",
]

logger = logging.getLogger(__name__)


def train(
    config: ExperimentConfig | str | Path,
    store: Store | str | Path,
    out: str | Path,
    *,
    resume: bool = False,
    init: RunFolder | SeedFolder | str | Path | None = None,
    exclude: Sequence[Store | str | Path] = (),
    listener: TrainingListener | None = None,
) -> RunFolder:
    """Train with every seed of the settings, evaluate on valid and test, and write a run folder.

    A seed that diverges is named in ``metrics.json`` and left out of its numbers; the others go on.

    Args:
        config: The settings, a TOML file of them, or the name of settings that come with the
            package.
        store: The data, or the folder of a store.
        out: The run folder to make.
        resume: Whether a run folder that is already there goes on where it stopped; seeds that
            diverged are not trained again.
        init: A run, its folder or a checkpoint whose weights to start from, as far as they fit.
        exclude: Stores whose videos are left out of train and valid: those on which the weights
            learned here will be evaluated later.
        listener: Is notified of the progress; best a ``mien.training.listening.RunListener``. Of
            another object those methods are called that it has.

    Raises:
        ConfigError: If the settings do not fit the store.
        TrainingError: If the run cannot start, or every seed diverges.
        CheckpointError: If ``out`` belongs to another run.
    """
    config, store = read_config(config), open_store(store)
    notified, excluded = complete(listener), _videos_of(exclude)
    plan = _plan_run(config, store, Path(out), excluded, resume=resume)
    start = read_start(init, store, config) if init is not None else None
    notified.on_begin(plan)
    notified.on_stage("loading the data")
    prepared = prepare(store, config, excluded_videos=excluded)
    for sentence in describe_lacks(prepared):
        logger.warning("%s", sentence)
    num_left_out = sum(len(store.rows(s)) - plan.num_clips[s] for s in ("train", "valid"))
    if exclude:
        logger.info("left out %d clips whose videos are in the excluded stores", num_left_out)
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    environment = describe_run(prepared, config, num_left_out, start)
    run = open_folder(plan.folder, config, environment, resume=resume)
    for number, seed in enumerate(config.train.seeds, start=1):
        folder = run.seed(seed)
        if not _has_ended(folder):
            notified.on_seed(seed, number, len(config.train.seeds))
            _train_and_record(folder, config, prepared, start, notified)
        if folder.failure is not None:
            logger.warning(
                "seed %d is left out of all numbers: %s; remove %s to train it again",
                seed, folder.failure, folder.path,
            )  # fmt: skip
    _require_numbers(run)
    notified.on_stage("computing intervals over clips")
    summarise_run(run, prepared.family, store.meta.name, is_synthetic=store.meta.is_synthetic)
    return run


def _plan_run(
    config: ExperimentConfig, store: Store, out: Path, excluded: Collection[str], *, resume: bool
) -> RunPlan:
    """Check all that can be checked before data and models are loaded."""
    require_labels(store)
    encoder = check_settings(store, config)
    is_begun = check_folder(out, config, resume=resume) is not None
    clips = choose_clips(store, excluded_videos=excluded)
    for split in ("train", "valid"):
        if split not in clips:
            raise TrainingError(f"{store.path}: has no clips in {split}; training needs both")
    check_steps(config.train, len(clips["train"]))
    seeds, run = config.train.seeds, RunFolder(out)
    return RunPlan(
        folder=out,
        store=store.path,
        config=config,
        text_encoder=encoder,
        device=make_accelerator(config.train).device.type,  # an error, unless it is here
        num_clips={split: len(rows) for split, rows in clips.items()},
        seeds=seeds,
        ended=tuple(seed for seed in seeds if is_begun and _has_ended(run.seed(seed))),
    )


def _has_ended(seed: SeedFolder) -> bool:
    """Return whether there is nothing left to do for a seed: it is finished, or it diverged."""
    return seed.is_finished or seed.failure is not None


def _train_and_record(
    folder: SeedFolder,
    config: ExperimentConfig,
    prepared: Prepared,
    start: Start | None,
    listener: RunListener,
) -> None:
    """Train one seed, and write what it leaves: its evaluation, or why it diverged."""
    try:
        trainer = _train_seed(folder, config, prepared, start, listener)
    except DivergenceError as error:
        record_failure(folder, error)
    else:
        listener.on_stage(f"evaluating seed {folder.seed}")
        record_seed(folder, trainer, prepared)


def _train_seed(
    folder: SeedFolder,
    config: ExperimentConfig,
    prepared: Prepared,
    start: Start | None,
    listener: RunListener,
) -> Trainer:
    """Train one seed, from the last epoch in its folder on; return its best epoch, loaded."""
    folder.path.mkdir(exist_ok=True)
    dataset, evidence = prepared.datasets["train"], None
    if GENERATORS[config.labels.generator].labels.needs_evidence:
        evidence = cross_fit(prepared, config, seed=folder.seed, on_step=listener.on_evidence)
    torch.manual_seed(folder.seed)
    model = build(prepared, config)
    if start is not None:
        take_over(model, start)
    if config.model.standardise:
        fit_scales(model, dataset)
    inputs = LabelInputs(
        labels=dataset.labels,
        scale=prepared.scale,
        state_sizes=model.state_sizes,
        evidence=evidence,
    )
    labels = build_labels(config.labels, inputs)
    trainer = Trainer(
        model=model,
        objective=MultitaskObjective(labels),
        train=dataset,
        valid=prepared.datasets["valid"],
        family=prepared.family,
        config=config.train,
        seed=folder.seed,
        folder=folder.path,
        header=make_header(config, prepared, start),
    )
    trainer.resume()
    if trainer.history:
        listener.on_resume(tuple(trainer.history))
    trainer.run(listener)
    trainer.load_best()
    return trainer


def _videos_of(stores: Sequence[Store | str | Path]) -> frozenset[str]:
    """Return the videos of some stores, by the names by which videos are compared."""
    return frozenset(plain_name(c.video_id) for store in stores for c in open_store(store).clips)


def _require_numbers(run: RunFolder) -> None:
    """Refuse a run in which every seed diverged, for then there is nothing to report."""
    if any(seed.is_finished for seed in run.seeds):
        return
    failed = [seed for seed in run.seeds if seed.failure is not None]
    num = len(failed) - 1
    others = f", as {num} other seed{'s' * (num > 1)} did" if num else ""
    raise TrainingError(
        f"{failed[0].path}: {failed[0].failure}{others}; remove the folder to try again"
    )


def evaluate(
    run: RunFolder | str | Path,
    *,
    split: Split = "test",
    store: Store | str | Path | None = None,
    out: str | Path | None = None,
) -> dict[str, Any]:
    """Evaluate every finished seed of a run on one split.

    Args:
        run: The run, or its folder.
        split: Which clips.
        store: Other data, with series of the same kind; None takes the predictions that the run
            made on its own store, where it has them.
        out: Folder for predictions and ``metrics.json``; None writes nothing.

    Returns:
        What a run's ``metrics.json`` holds, for this split alone. Seeds that diverged are named
        in ``failed_seeds`` and are left out of all numbers.

    Raises:
        CheckpointError: If no seed has finished, or the data do not fit.
    """
    run = open_run(run)
    seeds = [seed for seed in run.seeds if seed.is_finished]
    if not seeds:
        reasons = [f"seed {s.seed}: {s.failure}" for s in run.seeds if s.failure]
        raise CheckpointError(
            f"{run.path}: no seed has finished ({'; '.join(reasons) or 'training was stopped'}); "
            "continue with mien train ... --resume"
        )
    if store is None:
        metrics, predictions = _read_evaluation(run, seeds, split)
    else:
        metrics, predictions = _evaluate_on(open_store(store), run, seeds, split)
    if out is not None:
        write_evaluation(Path(out), split, metrics, predictions)
    return run_metrics_to_json(metrics)


def _read_evaluation(
    run: RunFolder, seeds: Sequence[SeedFolder], split: Split
) -> tuple[RunMetrics, list[Predictions]]:
    """Return what a run has of one split of its own store: metrics, and predictions per seed."""
    predictions = []
    for seed in seeds:
        scored = seed.predictions(split)
        if scored is None:
            raise CheckpointError(
                f"{run.path}: has no predictions on {split}; give its store (--store)"
            )
        predictions.append(scored)
    metrics = run.results()
    return replace(
        metrics,
        splits={name: tasks for name, tasks in metrics.splits.items() if name == split},
        attention={name: own for name, own in metrics.attention.items() if name == split},
    ), predictions


def _evaluate_on(
    store: Store, run: RunFolder, seeds: Sequence[SeedFolder], split: Split
) -> tuple[RunMetrics, list[Predictions]]:
    """Return metrics on one split of a store, and the predictions of every seed."""
    require_labels(store)
    predictions, attention, warnings = [], [], []
    for seed in seeds:
        trained = load_trained(seed.path, store)
        dataset = dataset_of(trained.prepared, split)
        predictions.append(predict(trained.model, dataset))
        attended = evaluate_attention(predictions[-1], dataset.clips, trained.prepared.tokens)
        attention.append({split: attended})
        warnings += [*trained.warnings, *trained.warn_of_seen(dataset)]
    metrics = evaluate_run(
        trained.prepared.family,
        store.meta.name,
        is_synthetic=store.meta.is_synthetic,
        seeds=[seed.seed for seed in seeds],
        predictions={split: predictions},
        attention=attention,
        failed_seeds=run.failed_seeds,
    )
    for warning in dict.fromkeys(warnings):
        logger.warning("%s", warning)
    return metrics, predictions
