"""One settings file trained on every fold of a corpus."""

import logging
from collections.abc import Sequence
from pathlib import Path

from mien.data.store import Store
from mien.errors import CheckpointError, TrainingError
from mien.processes.clusters import Backend, Cluster, read_cluster
from mien.training.cross_validation.fold_data import FoldStore, describe_stores, open_folds
from mien.training.cross_validation.pooled_results import pool_folds
from mien.training.data_parallel.ranks import Ranks
from mien.training.listening import RunListener, RunPlan, TrainingListener, join_listeners
from mien.training.optimizer import find_ranks
from mien.training.record import check_folder, open_folder
from mien.training.run_folder import RunFolder, SeedFolder
from mien.training.seeds.run_steps import (
    BegunRun,
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

__all__ = ["train_folds"]

logger = logging.getLogger(__name__)


def train_folds(
    config: ExperimentConfig | str | Path,
    folds: str | Path,
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
    """Train on every fold of a corpus, and evaluate on all clips, each held out once.

    Each fold is a run as ``mien.train`` makes it, ``OUT/fold-1`` and so on; ``OUT`` is the run of
    all clips together, without seeds that diverge in a fold, and with the metrics of each fold.

    Args:
        config: The settings, a TOML file of them, or the name of settings.
        folds: The folder of their stores, as ``mien.write_folds`` makes them.
        out: The run folder to make.
        resume: Whether a run that is already there goes on where it stopped.
        init: As ``mien.train`` has it, for every fold.
        exclude: As ``mien.train`` has it, for every fold.
        jobs: How many seeds are trained at the same time, of any folds.
        backend: As ``mien.train`` has it.
        address: As ``mien.train`` has it.
        listener: Is notified of the progress.

    Raises:
        StoreError: If the folds are not of one corpus, or a clip is not test in one of them.
        TrainingError: If each seed diverges in some fold; besides what ``mien.train`` raises.
    """
    config, out, opened = read_config(config), Path(out), open_folds(folds)
    cluster, ranks = read_cluster(backend, address), find_ranks(config.train)
    notified = join_listeners(listener if ranks.is_first else None)
    excluded = videos_of(exclude)
    ranks.decide(lambda: _check_begun(out, config, opened, resume=resume))
    requests = [
        RunRequest(
            config=config,
            store=fold.store,
            out=out / fold.name,
            excluded_videos=excluded,
            init=init,
            resume=resume,
        )
        for fold in opened
    ]
    plans = plan_jobs([plan_run(request, ranks) for request in requests], jobs, cluster, ranks)
    _check_tested(plans)
    notified.on_folds(out, plans)
    ranks.decide(lambda: open_folder(out, config, describe_stores(opened), resume=resume))
    steps = _FoldSteps(requests, plans, notified, ranks, count_threads(config.train, jobs, cluster))
    if plans[0].jobs:
        steps.train_side_by_side(out, plans[0].jobs, cluster)
    else:
        steps.train_in_turn()
    notified.on_stage("pooling the folds")
    pooled = ranks.decide(lambda: pool_folds(out, opened))
    notified.on_end(out)
    return pooled


class _FoldSteps:
    """The runs of the folds, one after the other or side by side."""

    def __init__(
        self,
        requests: Sequence[RunRequest],
        plans: Sequence[RunPlan],
        listener: RunListener,
        ranks: Ranks,
        threads: int,
    ) -> None:
        self._runs = list(zip(requests, plans, strict=True))
        self._listener, self._ranks, self._threads = listener, ranks, threads

    def train_in_turn(self) -> None:
        """Train fold after fold; the data of one are loaded at a time."""
        for request, plan in self._runs:
            begun = self._begin(request, plan)
            ended = train_in_turn(begun, self._listener, self._ranks)
            end_run(begun, ended, self._listener, self._ranks)

    def train_side_by_side(self, out: Path, jobs: int, cluster: Cluster | None) -> None:
        """Train seeds of all folds side by side."""
        begun = [self._begin(request, plan) for request, plan in self._runs]
        todo = [work for run in begun for work in run.work(run.folder.path.name)]
        for _ in train_side_by_side(todo, out, jobs=jobs, cluster=cluster, listener=self._listener):
            pass
        for run in begun:
            self._listener.on_fold(run.folder.path.name)
            end_run(run, run.seeds_left, self._listener, self._ranks)

    def _begin(self, request: RunRequest, plan: RunPlan) -> BegunRun:
        self._listener.on_fold(request.out.name)
        return begin_run(
            request, plan, threads=self._threads, listener=self._listener, ranks=self._ranks
        )


def _check_begun(
    out: Path, config: ExperimentConfig, folds: Sequence[FoldStore], *, resume: bool
) -> None:
    """Check that a run over folds can be made, or that the one that is there can go on.

    Raises:
        CheckpointError: If a run is there that was begun with other settings or folds.
    """
    if check_folder(out, config, resume=resume) is None:
        return
    names = {fold.name for fold in folds}
    others = [run.path.name for run in RunFolder(out).folds if run.path.name not in names]
    if others or (not RunFolder(out).folds and RunFolder(out).seeds):
        held = f"has {others[0]}" if others else "is a run on one store"
        raise CheckpointError(
            f"{out}: {held}; resume it with the folds of the first start, or give another --out"
        )


def _check_tested(plans: Sequence[RunPlan]) -> None:
    """Check that every fold has clips to be evaluated on.

    Raises:
        TrainingError: If one has none that is annotated for what is learned.
    """
    for plan in plans:
        if "test" not in plan.num_clips:
            raise TrainingError(
                f"{plan.store}: no clip in test is annotated for what is learned; share the clips "
                "out to other folds"
            )
