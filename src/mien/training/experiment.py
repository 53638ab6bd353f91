"""An experiment: train with every seed, evaluate, and record it all in a run folder."""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from mien.data.store import Store, open_store
from mien.errors import CheckpointError, ConfigError, TrainingError
from mien.evaluation.evaluate import evaluate_attention, evaluate_run
from mien.evaluation.metrics_file.run_metrics import RunMetrics, run_metrics_to_json
from mien.evaluation.predictions import Predictions
from mien.evaluation.scoring import predict
from mien.models.eight_bits import round_text_encoder
from mien.processes.clusters import Backend, Cluster, read_cluster
from mien.training.checkpoints.videos import plain_name
from mien.training.data_parallel.ranks import Ranks
from mien.training.listening import RunListener, RunPlan, TrainingListener, complete
from mien.training.loading import (
    BaselineUse,
    Start,
    dataset_of,
    find_checkpoint,
    load_trained,
    read_start,
    reads_speakers,
)
from mien.training.loop import check_steps
from mien.training.optimizer import find_ranks
from mien.training.preparation import (
    Prepared,
    check_settings,
    choose_clips,
    describe_lacks,
    prepare,
    require_labels,
)
from mien.training.record import check_folder, describe_run, open_folder, write_evaluation
from mien.training.run_folder import RunFolder, SeedFolder, open_run, summarise_run
from mien.training.seeds.seed_jobs import SeedData, train_side_by_side
from mien.training.seeds.seed_training import has_ended, train_and_record
from mien.training.settings import ExperimentConfig, read_config
from mien.training.targets.aims import check_aims, find_aims
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
    jobs: int = 1,
    backend: Backend = "local",
    address: str | None = None,
    listener: TrainingListener | None = None,
) -> RunFolder:
    """Train with every seed of the settings, evaluate on valid and test, and write a run folder.

    A seed that diverges is named in ``metrics.json`` and left out of its numbers; the others go on.

    With ``jobs`` above 1 seeds are trained side by side, each in a process of its own with one
    thread unless ``train.threads`` is set; the files are the same, byte for byte, as with one job
    and the same number of threads. A script that does so calls it under
    ``if __name__ == "__main__":``, as new processes of Python import it.

    Where torchrun or accelerate has started several processes, they train each seed together, a
    part of every batch each. Settings mean the same for any number of them, and the first writes.

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
        jobs: How many seeds are trained at the same time.
        backend: Where: in processes of this machine, or on a Dask or Ray cluster whose machines see
            the store, ``out`` and the cache folder under the same paths.
        address: Of the Dask scheduler or the head of the Ray cluster.
        listener: Is notified of the progress; best a ``mien.training.listening.RunListener``. Of
            another object those methods are called that it has.

    Raises:
        ConfigError: If the settings do not fit the store.
        TrainingError: If the run cannot start, or every seed diverges.
        CheckpointError: If ``out`` belongs to another run.
    """
    config, store = read_config(config), open_store(store)
    excluded = _videos_of(exclude)
    cluster, ranks = read_cluster(backend, address), find_ranks(config.train)
    notified = complete(listener if ranks.is_first else None)
    plan = _plan_run(config, store, Path(out), excluded, resume=resume, ranks=ranks)
    plan = _with_jobs(plan, jobs, cluster, ranks)
    start = read_start(init, store, config) if init is not None else None
    notified.on_begin(plan)
    notified.on_stage("loading the data")
    prepared = prepare(store, config, excluded_videos=excluded)
    for sentence in describe_lacks(prepared):
        logger.warning("%s", sentence)
    num_left_out = sum(len(store.rows(s)) - plan.num_clips[s] for s in ("train", "valid"))
    if exclude:
        logger.info("left out %d clips whose videos are in the excluded stores", num_left_out)
    threads = config.train.threads or (0 if jobs == 1 and cluster is None else 1)
    if threads:
        torch.set_num_threads(threads)
    environment = describe_run(prepared, config, num_left_out, start, ranks)
    run = ranks.decide(lambda: open_folder(plan.folder, config, environment, resume=resume))
    left = [seed for seed in plan.seeds if seed not in plan.ended]
    if plan.jobs:
        checkpoint = None if init is None else find_checkpoint(init)
        data = SeedData(config=config, store=store.path, excluded_videos=excluded, init=checkpoint)
        ended = train_side_by_side(
            run, data, left, jobs=plan.jobs, cluster=cluster, listener=notified
        )
    else:
        ended = _train_in_turn(run, left, config, prepared, start, notified, ranks)
    for seed in chain(plan.ended, ended):
        _warn_of_failure(run.seed(seed))
    _require_numbers(run)
    notified.on_stage("computing intervals over clips")
    is_synthetic, corpus = store.meta.is_synthetic, store.meta.name
    ranks.decide(lambda: summarise_run(run, prepared.family, corpus, is_synthetic=is_synthetic))
    return run


def _plan_run(
    config: ExperimentConfig,
    store: Store,
    out: Path,
    excluded: Collection[str],
    *,
    resume: bool,
    ranks: Ranks,
) -> RunPlan:
    """Check all that can be checked before data and models are loaded."""
    require_labels(store)
    encoder, aims = check_settings(store, config), find_aims(store, config.targets)
    is_begun = ranks.decide(lambda: check_folder(out, config, resume=resume)) is not None
    clips = choose_clips(store, excluded_videos=excluded, aims=aims)
    for split in ("train", "valid"):
        if split not in clips:
            raise TrainingError(f"{store.path}: has no clips in {split}; training needs both")
    check_aims(store, clips["train"], aims)
    check_steps(config.train, len(clips["train"]))
    seeds, run = config.train.seeds, RunFolder(out)
    ended = ranks.decide(lambda: [s for s in seeds if is_begun and has_ended(run.seed(s))])
    return RunPlan(
        folder=out,
        store=store.path,
        config=config,
        text_encoder=encoder,
        device=ranks.device.type,
        num_clips={split: len(rows) for split, rows in clips.items()},
        seeds=seeds,
        ended=tuple(ended),
        processes=ranks.count,
        has_sentiment=aims.has_sentiment,
        targets=aims.targets,
    )


def _with_jobs(plan: RunPlan, jobs: int, cluster: Cluster | None, ranks: Ranks) -> RunPlan:
    """Plan how many seeds are trained at the same time."""
    if jobs < 1:
        raise ConfigError(f"jobs is {jobs}, must be at least 1")
    if not ranks.is_alone and (jobs > 1 or cluster is not None):
        raise ConfigError(
            f"{ranks.count} processes train every seed together, so seeds are trained one after "
            "the other; leave --jobs and --backend out, or start mien train by itself"
        )
    num_left = len(plan.seeds) - len(plan.ended)
    is_in_turn = cluster is None and min(jobs, num_left) < 2
    return replace(plan, jobs=0 if is_in_turn else min(jobs, num_left))


def _warn_of_failure(seed: SeedFolder) -> None:
    if seed.failure is not None:
        logger.warning(
            "seed %d is left out of all numbers: %s; remove %s to train it again",
            seed.seed, seed.failure, seed.path,
        )  # fmt: skip


def _train_in_turn(
    run: RunFolder,
    seeds: Sequence[int],
    config: ExperimentConfig,
    prepared: Prepared,
    start: Start | None,
    listener: RunListener,
    ranks: Ranks,
) -> Iterator[int]:
    """Train seeds one after the other in this process, and yield each when it has ended."""
    of_all = config.train.seeds
    for seed in seeds:
        place = of_all.index(seed) + 1, len(of_all)
        listener.on_seed(seed, *place)
        train_and_record(run.seed(seed), config, prepared, start, listener, ranks)
        listener.on_seed_end(seed, *place)
        yield seed


def _videos_of(stores: Sequence[Store | str | Path]) -> frozenset[str]:
    """Return the videos of some stores, by the names by which videos are compared."""
    return frozenset(
        plain_name(video) for store in stores for video in open_store(store).clips.videos
    )


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
    int8: bool = False,
    baseline: BaselineUse | None = None,
) -> dict[str, Any]:
    """Evaluate every finished seed of a run on one split.

    Args:
        run: The run, or its folder.
        split: Which clips.
        store: Other data, with series of the same kind; None takes the predictions that the run
            made on its own store, where it has them.
        out: Folder for predictions and ``metrics.json``; None writes nothing.
        int8: Whether the trained layers of the text encoder multiply in 8 bits, on the CPU.
        baseline: For models that were trained with ``features.standardise=speaker``. ``speaker``,
            which None stands for: every clip is read against all other clips of its speaker in the
            split, without their labels; such numbers are transductive. ``none``: by itself.

    Returns:
        What a run's ``metrics.json`` holds, for this split alone. Seeds that diverged are named
        in ``failed_seeds`` and are left out of all numbers.

    Raises:
        CheckpointError: If no seed has finished, or the data do not fit.
        ConfigError: If ``int8`` is given without a store, or the model trained no text encoder; or
            ``baseline`` ``none`` without a store, or any for a model that knows none.
    """
    if int8 and store is None:
        raise ConfigError(
            "--int8: predictions in 8 bits are made anew; give the store of their clips (--store)"
        )
    run = open_run(run)
    reads_speakers(run.config, run.path, baseline)
    if baseline == "none" and store is None:
        raise ConfigError(
            "--baseline none: predictions without baselines are made anew; give the store of their "
            "clips (--store)"
        )
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
        metrics, predictions = _evaluate_on(
            open_store(store), run, seeds, split, int8=int8, baseline=baseline
        )
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
        targets={name: own for name, own in metrics.targets.items() if name == split},
        classes={name: own for name, own in metrics.classes.items() if name == split},
    ), predictions


def _evaluate_on(
    store: Store,
    run: RunFolder,
    seeds: Sequence[SeedFolder],
    split: Split,
    *,
    int8: bool,
    baseline: BaselineUse | None,
) -> tuple[RunMetrics, list[Predictions]]:
    """Return metrics on one split of a store, and the predictions of every seed."""
    require_labels(store)
    predictions, attention, warnings = [], [], []
    for seed in seeds:
        trained = load_trained(seed.path, store, baseline=baseline)
        if int8:
            round_text_encoder(trained.model)
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
        baseline=_name_baseline(run, baseline),
    )
    for warning in dict.fromkeys(warnings):
        logger.warning("%s", warning)
    return metrics, predictions


def _name_baseline(run: RunFolder, baseline: BaselineUse | None) -> str | None:
    """Return against whom clips are read; None for models that know no baselines."""
    return (baseline or "speaker") if run.config.features.standardise == "speaker" else None
