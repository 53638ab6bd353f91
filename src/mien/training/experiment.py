"""An experiment: train with every seed, evaluate, and record it all in a run folder."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from mien.data.store import Store, open_store
from mien.evaluation.metrics_file.evaluation_folder import refuse_out, write_evaluation
from mien.evaluation.metrics_file.run_metrics import run_metrics_to_json
from mien.processes.clusters import Backend, read_cluster
from mien.training.checkpoints.absent_series import read_without
from mien.training.checkpoints.baseline_use import BaselineUse
from mien.training.listening import TrainingListener, join_listeners
from mien.training.model_evaluation.evaluate_models import EvaluationRequest, evaluate_models
from mien.training.optimizer import find_ranks
from mien.training.run_folder import RunFolder, SeedFolder
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
    without: Collection[str] = (),
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
        without: Modalities that are left out, as if no clip had them: nothing of them is read.

    Returns:
        What a run's ``metrics.json`` holds, for this split; seeds that diverged are left out of it.

    Raises:
        CheckpointError: If no seed has finished, or the data do not fit.
        ConfigError: If an option does not fit, or a store is needed.
    """
    refuse_out(out)
    request = EvaluationRequest(
        split=split,
        ways=(8,) if int8 else (32,),
        baseline=baseline,
        without=read_without(without),
    )
    (evaluation,) = evaluate_models(run, store, request)
    if out is not None:
        write_evaluation(Path(out), split, evaluation)
    return run_metrics_to_json(evaluation.metrics)


def evaluate_rounding(
    run: RunFolder | str | Path,
    *,
    split: Split = "test",
    store: Store | str | Path | None = None,
    out: str | Path | None = None,
    baseline: BaselineUse | None = None,
    without: Collection[str] = (),
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Evaluate as ``evaluate`` does, in 32 bits and in 8; every model is loaded once for both.

    Args:
        run: As in ``evaluate``; so are the others.
        split: Which clips.
        store: Their data.
        out: Folder for what came of 8 bits.
        baseline: Against whom clips are read.
        without: What is left out.

    Returns:
        What ``evaluate`` returns in 32 bits, and in 8.

    Raises:
        CheckpointError: As ``evaluate`` does.
        ConfigError: So, too.
    """
    refuse_out(out)
    request = EvaluationRequest(
        split=split, ways=(32, 8), baseline=baseline, without=read_without(without)
    )
    exact, rounded = evaluate_models(run, store, request)
    if out is not None:
        write_evaluation(Path(out), split, rounded)
    return run_metrics_to_json(exact.metrics), run_metrics_to_json(rounded.metrics)
