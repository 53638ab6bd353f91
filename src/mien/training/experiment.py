"""An experiment: train with every seed, evaluate, and record it all in a run folder."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mien.data.store import Store, open_store
from mien.errors import CheckpointError, ConfigError
from mien.evaluation.evaluate import evaluate_attention, evaluate_run
from mien.evaluation.metrics_file.evaluation_folder import refuse_out, write_evaluation
from mien.evaluation.metrics_file.run_metrics import RunMetrics, run_metrics_to_json
from mien.evaluation.predictions import Predictions
from mien.evaluation.scoring import predict
from mien.models.eight_bits import round_text_encoder
from mien.processes.clusters import Backend, read_cluster
from mien.training.checkpoints.baseline_use import BaselineUse, reads_speakers
from mien.training.checkpoints.header import open_header
from mien.training.checkpoints.shipped_models import find_shipped, name_weights
from mien.training.cross_validation.fold_data import find_folds
from mien.training.cross_validation.pooled_results import pool_evaluations
from mien.training.listening import TrainingListener, join_listeners
from mien.training.loading import dataset_of, load_trained
from mien.training.optimizer import find_ranks
from mien.training.preparation import require_labels
from mien.training.run_folder import RunFolder, SeedFolder, open_run
from mien.training.seeds.run_steps import (
    RunRequest,
    begin_run,
    count_threads,
    end_run,
    plan_jobs,
    plan_run,
    train_in_turn,
    videos_of,
)
from mien.training.seeds.seed_jobs import train_side_by_side
from mien.training.settings import ExperimentConfig, read_config
from mien.types import Split

__all__ = [
    "evaluate",
    "evaluate_rounding",
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
    config = read_config(config)
    request = RunRequest(
        config=config,
        store=open_store(store),
        out=Path(out),
        excluded_videos=videos_of(exclude),
        init=init,
        resume=resume,
    )
    cluster, ranks = read_cluster(backend, address), find_ranks(config.train)
    notified = join_listeners(listener if ranks.is_first else None)
    (plan,) = plan_jobs([plan_run(request, ranks)], jobs, cluster, ranks)
    threads = count_threads(config.train, jobs, cluster)
    begun = begin_run(request, plan, threads=threads, listener=notified, ranks=ranks)
    ended = train_in_turn(begun, notified, ranks)
    if plan.jobs:
        works = train_side_by_side(
            begun.work(), begun.folder.path, jobs=plan.jobs, cluster=cluster, listener=notified
        )
        ended = (work.seed for work in works)
    end_run(begun, ended, notified, ranks)
    return begun.folder


def evaluate(
    run: RunFolder | str | Path,
    *,
    split: Split = "test",
    store: Store | str | Path | None = None,
    out: str | Path | None = None,
    int8: bool = False,
    baseline: BaselineUse | None = None,
) -> dict[str, Any]:
    """Evaluate every finished seed of a run, or a model of one file, on one split.

    Args:
        run: The run, or its folder; with a store also the file of a model, or a bundled one's name.
        split: Which clips.
        store: Other data, of a run over folds their folder; None takes the run's own predictions.
        out: Folder for predictions and ``metrics.json``, no run or store; None writes nothing.
        int8: Whether the trained layers of the text encoder multiply in 8 bits, on the CPU.
        baseline: For models trained with ``features.standardise=speaker``. ``speaker``: each clip
            is read against the others of its speaker in the split, without labels; such numbers are
            transductive. ``none``: by itself. None: as the model does (``default`` by itself).

    Returns:
        What a run's ``metrics.json`` holds, for this split alone. Seeds that diverged are named
        in ``failed_seeds`` and are left out of all numbers.

    Raises:
        CheckpointError: If no seed has finished, or the data do not fit.
        ConfigError: If ``int8``, ``baseline`` or ``out`` does not fit, or a store is needed.
    """
    refuse_out(out)
    ways: tuple[Bits, ...] = (8,) if int8 else (32,)
    ((metrics, predictions),) = _evaluate_in(ways, run, split, store, baseline)
    if out is not None:
        write_evaluation(Path(out), split, metrics, predictions)
    return run_metrics_to_json(metrics)


def evaluate_rounding(
    run: RunFolder | str | Path,
    *,
    split: Split = "test",
    store: Store | str | Path | None = None,
    out: str | Path | None = None,
    baseline: BaselineUse | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Evaluate as ``evaluate`` does, in 32 bits and in 8; every model is loaded once for both.

    Args:
        run: As in ``evaluate``; so are the others.
        split: Which clips.
        store: Their data.
        out: Folder for what came of 8 bits.
        baseline: Against whom clips are read.

    Returns:
        What ``evaluate`` returns in 32 bits, and in 8.

    Raises:
        CheckpointError: As ``evaluate`` does.
        ConfigError: So, too.
    """
    refuse_out(out)
    exact, rounded = _evaluate_in((32, 8), run, split, store, baseline)
    if out is not None:
        write_evaluation(Path(out), split, *rounded)
    return run_metrics_to_json(exact[0]), run_metrics_to_json(rounded[0])


#: In how many bits the text encoder multiplies.
Bits = Literal[32, 8]
_Evaluated = tuple[RunMetrics, list[Predictions]]


def _evaluate_in(
    ways: Sequence[Bits],
    run: RunFolder | str | Path,
    split: Split,
    store: Store | str | Path | None,
    baseline: BaselineUse | None,
) -> list[_Evaluated]:
    """Return metrics and the predictions of every seed, in so many bits each."""
    if 8 in ways and store is None:
        raise ConfigError(
            "--int8: predictions in 8 bits are made anew; give the store of their clips (--store)"
        )
    file = _find_file(run)
    if file is not None:
        if store is None:
            raise ConfigError(
                f"{run}: is one file, which holds no predictions; give the store of the clips to "
                "evaluate it on (--store)"
            )
        return _evaluate_on(ways, open_store(store), _Models.of_file(file), split, baseline)
    run = open_run(run)
    reads_speakers(run.config, run.path, baseline)
    if baseline == "none" and store is None:
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
        return [_read_evaluation(run, seeds, split)]
    if run.folds:
        return _evaluate_folds(ways, run, seeds, store, split, baseline)
    return _evaluate_on(ways, open_store(store), _Models.of_run(run, seeds), split, baseline)


def _evaluate_folds(
    ways: Sequence[Bits],
    run: RunFolder,
    seeds: Sequence[SeedFolder],
    store: Store | str | Path,
    split: Split,
    baseline: BaselineUse | None,
) -> list[_Evaluated]:
    """Evaluate the models of every fold on the clips that it holds out, and pool that."""
    if split != "test":
        raise ConfigError(
            f"{run.path}: is a run over folds, in which every clip is test in one; choose "
            "--split test, or give the run of a fold"
        )
    folds = find_folds(run, store.path if isinstance(store, Store) else store)
    evaluated = []
    for fold, of_fold in zip(folds, run.folds, strict=True):
        models = _Models.of_run(of_fold, [of_fold.seed(seed.seed) for seed in seeds])
        evaluated.append(_evaluate_on(ways, fold.store, models, split, baseline))
    return [
        pool_evaluations(folds, [own[way] for own in evaluated], run.failed_seeds)
        for way in range(len(ways))
    ]


def _find_file(run: RunFolder | str | Path) -> Path | None:
    """Return the file of a model that is one file; None for a run."""
    if isinstance(run, RunFolder):
        return None
    path = find_shipped(run) or Path(run)
    return path if path.is_file() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Models:
    """What is evaluated together: the seeds of a run, or a model of one file.

    Attributes:
        checkpoints: Where each is.
        seeds: The seed of each; none of a file.
        failed_seeds: Why seeds of the run diverged.
        name: What the file is called; None for a run.
    """

    checkpoints: tuple[Path, ...]
    seeds: tuple[int, ...] = ()
    failed_seeds: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None

    @classmethod
    def of_run(cls, run: RunFolder, seeds: Sequence[SeedFolder]) -> "_Models":
        """Return the seeds of a run that have finished."""
        return cls(
            checkpoints=tuple(seed.path for seed in seeds),
            seeds=tuple(seed.seed for seed in seeds),
            failed_seeds=run.failed_seeds,
        )

    @classmethod
    def of_file(cls, file: Path) -> "_Models":
        """Return the model of a file, under its name."""
        header = open_header(file)
        members = f", the mean of {len(header.ensemble)} models" if header.ensemble else ""
        if header.averaged:
            members = f", the mean of the weights of {len(header.averaged)} seeds"
        return cls(
            checkpoints=(file,), name=f"{name_weights(file, header.name or str(file))}{members}"
        )


def _read_evaluation(
    run: RunFolder, seeds: Sequence[SeedFolder], split: Split
) -> tuple[RunMetrics, list[Predictions]]:
    """Return what a run has of one split of its own store: metrics, and predictions per seed."""
    predictions = []
    for seed in seeds:
        scored = seed.predictions(split)
        if scored is None:
            advice = "give its store (--store)"
            if run.folds:
                advice = f"over folds every clip is tested; see a fold, such as {run.folds[0].path}"
            raise CheckpointError(f"{run.path}: has no predictions on {split}; {advice}")
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
    ways: Sequence[Bits],
    store: Store,
    models: _Models,
    split: Split,
    baseline: BaselineUse | None,
) -> list[_Evaluated]:
    """Return metrics on one split of a store, and the predictions of every model."""
    require_labels(store)
    predictions: dict[Bits, list[Predictions]] = {bits: [] for bits in ways}
    attention: dict[Bits, list[Any]] = {bits: [] for bits in ways}
    warnings: list[str] = []
    for checkpoint in models.checkpoints:
        trained = load_trained(checkpoint, store, baseline=baseline, splits=(split,))
        dataset = dataset_of(trained.prepared, split)
        warnings += [*trained.warnings, *trained.warn_of_seen(dataset)]
        for bits in ways:
            if bits == 8:
                round_text_encoder(trained.model)
            scored = predict(trained.model, dataset)
            attended = evaluate_attention(scored, dataset.clips, trained.prepared.tokens)
            warnings += _check_present(scored, store, split)
            predictions[bits].append(scored)
            attention[bits].append({split: attended})
    evaluated = [
        (
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
            ),
            predictions[bits],
        )
        for bits in ways
    ]
    for warning in dict.fromkeys(warnings):
        logger.warning("%s", warning)
    return evaluated


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
