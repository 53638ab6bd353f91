"""The steps of a run: what it does is planned, it begins, its seeds are trained, and it ends."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import torch

from mien.data.store import Store, open_store
from mien.errors import ConfigError, TrainingError
from mien.processes.clusters import Cluster
from mien.training.checkpoints.videos import plain_name
from mien.training.data_parallel.ranks import Ranks
from mien.training.listening import RunListener, RunPlan
from mien.training.loading import Start, find_checkpoint, read_start
from mien.training.loop import check_steps
from mien.training.preparation import (
    Prepared,
    check_settings,
    choose_clips,
    describe_lacks,
    prepare,
    require_labels,
)
from mien.training.record import check_folder, describe_run, open_folder, summarise_run
from mien.training.run_folder import RunFolder, SeedFolder
from mien.training.seeds.fitting import check_fitted
from mien.training.seeds.seed_jobs import SeedData, SeedWork
from mien.training.seeds.seed_training import has_ended, train_and_record
from mien.training.settings import ExperimentConfig, TrainConfig, describe_doubts
from mien.training.targets.aims import check_aims, find_aims, report_people

__all__ = [
    "BegunRun",
    "RunRequest",
    "begin_run",
    "count_threads",
    "end_run",
    "plan_jobs",
    "plan_run",
    "require_numbers",
    "train_in_turn",
    "videos_of",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What is to be trained.

    Attributes:
        config: The settings.
        store: The data.
        out: The run folder.
        excluded_videos: Plain names of videos that are left out of train and valid.
        init: Run, folder or checkpoint whose weights to start from.
        resume: Whether a run that is there goes on.
    """

    config: ExperimentConfig
    store: Store
    out: Path
    excluded_videos: frozenset[str] = frozenset()
    init: RunFolder | SeedFolder | str | Path | None = None
    resume: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunRun:
    """A run whose folder is made, and whose data are ready.

    Attributes:
        request: What is to be trained.
        plan: What it does.
        folder: Its folder.
        prepared: The data.
        start: Weights to start from.
    """

    request: RunRequest
    plan: RunPlan
    folder: RunFolder
    prepared: Prepared
    start: Start | None

    @property
    def seeds_left(self) -> list[int]:
        """The seeds that have not ended."""
        return [seed for seed in self.plan.seeds if seed not in self.plan.ended]

    def work(self, fold: str | None = None) -> list[SeedWork]:
        """Return the trainings that are left, for processes of their own.

        Args:
            fold: What the run is called among those of a run over folds.
        """
        init = self.request.init
        data = SeedData(
            config=self.request.config,
            store=self.request.store.path,
            excluded_videos=self.request.excluded_videos,
            init=None if init is None else find_checkpoint(init),
        )
        return [
            SeedWork(seed=seed, run=self.folder.path, data=data, fold=fold)
            for seed in self.seeds_left
        ]


def plan_run(request: RunRequest, ranks: Ranks) -> RunPlan:
    """Check all that can be checked before data and models are loaded.

    Raises:
        ConfigError: If the settings do not fit the store.
        TrainingError: If the run cannot start.
        CheckpointError: If the folder belongs to another run.
    """
    config, store = request.config, request.store
    require_labels(store)
    encoder, aims = check_settings(store, config), find_aims(store, config.targets)
    check_fitted(config, aims, is_begun=request.init is not None)
    before = ranks.decide(lambda: check_folder(request.out, config, resume=request.resume))
    clips = choose_clips(store, excluded_videos=request.excluded_videos, aims=aims)
    for split in ("train", "valid"):
        if split not in clips:
            lack = f"has no clips in {split}"
            if store.clips.are_in(split).any():
                lack = f"no clip in {split} is annotated for what is learned"
                if request.excluded_videos:
                    lack += " and in no video that is left out (--exclude)"
            raise TrainingError(
                f"{store.path}: {lack}; training needs some in train, to learn from, and in valid, "
                "to choose by"
            )
    check_aims(store, clips["train"], aims)
    report_people(store, clips["valid"], aims)
    check_steps(config.train, len(clips["train"]))
    seeds, run = config.train.seeds, RunFolder(request.out)
    ended = ranks.decide(lambda: [s for s in seeds if before and has_ended(run.seed(s))])
    return RunPlan(
        folder=request.out,
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


def plan_jobs(
    plans: Sequence[RunPlan], jobs: int, cluster: Cluster | None, ranks: Ranks
) -> list[RunPlan]:
    """Plan how many seeds of some runs are trained at the same time.

    Raises:
        ConfigError: If that is no number, or several processes train every seed together.
    """
    if jobs < 1:
        raise ConfigError(f"jobs is {jobs}, must be at least 1")
    if not ranks.is_alone and (jobs > 1 or cluster is not None):
        raise ConfigError(
            f"{ranks.count} processes train every seed together, so seeds are trained one after "
            "the other; leave --jobs and --backend out, or start mien train by itself"
        )
    num_left = sum(len(plan.seeds) - len(plan.ended) for plan in plans)
    is_in_turn = cluster is None and min(jobs, num_left) < 2
    return [replace(plan, jobs=0 if is_in_turn else min(jobs, num_left)) for plan in plans]


def count_threads(config: TrainConfig, jobs: int, cluster: Cluster | None) -> int:
    """Return with how many threads a process computes; 0 where it is left to torch."""
    return config.threads or (0 if jobs == 1 and cluster is None else 1)


def begin_run(
    request: RunRequest, plan: RunPlan, *, threads: int, listener: RunListener, ranks: Ranks
) -> BegunRun:
    """Load the data, and make the run folder.

    Args:
        request: What is to be trained.
        plan: What ``plan_run`` gave.
        threads: With how many this process computes; 0 leaves that as it is.
        listener: Is notified.
        ranks: The processes that train together.

    Raises:
        CheckpointError: If the folder holds a run of other data.
    """
    config, store = request.config, request.store
    start = None if request.init is None else read_start(request.init, store, config)
    listener.on_begin(plan)
    listener.on_stage("loading the data")
    prepared = prepare(store, config, excluded_videos=request.excluded_videos)
    for sentence in chain(describe_lacks(prepared), describe_doubts(config, prepared.sizes)):
        logger.warning("%s", sentence)
    num_left_out = sum(len(store.rows(s)) - plan.num_clips[s] for s in ("train", "valid"))
    if request.excluded_videos:
        logger.info("left out %d clips whose videos are in the excluded stores", num_left_out)
    if threads:
        torch.set_num_threads(threads)
    environment = describe_run(prepared, config, num_left_out, start, ranks)
    run = ranks.decide(lambda: open_folder(plan.folder, config, environment, resume=request.resume))
    return BegunRun(request=request, plan=plan, folder=run, prepared=prepared, start=start)


def train_in_turn(begun: BegunRun, listener: RunListener, ranks: Ranks) -> Iterator[int]:
    """Train seeds one after the other in this process, and yield each when it has ended."""
    of_all, run = begun.plan.seeds, begun.folder
    for seed in begun.seeds_left:
        place = of_all.index(seed) + 1, len(of_all)
        listener.on_seed(seed, *place)
        train_and_record(
            run.seed(seed), begun.request.config, begun.prepared, begun.start, listener, ranks
        )
        listener.on_seed_end(seed, *place)
        yield seed


def end_run(begun: BegunRun, ended: Iterable[int], listener: RunListener, ranks: Ranks) -> None:
    """Write what the seeds of a run gave together.

    Args:
        begun: The run.
        ended: Seeds, as they end.
        listener: Is notified.
        ranks: The processes that train together; the first writes.

    Raises:
        TrainingError: If every seed diverged.
    """
    run = begun.folder
    for seed in chain(begun.plan.ended, ended):
        _warn_of_failure(run.seed(seed))
    require_numbers(run)
    listener.on_stage("computing intervals over clips")
    meta, family = begun.request.store.meta, begun.prepared.family
    ranks.decide(lambda: summarise_run(run, family, meta.name, is_synthetic=meta.is_synthetic))
    listener.on_end(run.path)


def _warn_of_failure(seed: SeedFolder) -> None:
    if seed.failure is not None:
        logger.warning(
            "seed %d is left out of all numbers: %s; remove %s to train it again",
            seed.seed, seed.failure, seed.path,
        )  # fmt: skip


def require_numbers(run: RunFolder) -> None:
    """Refuse a run in which every seed diverged, for then there is nothing to report.

    Raises:
        TrainingError: If that is so.
    """
    if any(seed.is_finished for seed in run.seeds):
        return
    failed = [seed for seed in run.seeds if seed.failure is not None]
    num = len(failed) - 1
    others = f", as {num} other seed{'s' * (num > 1)} did" if num else ""
    raise TrainingError(
        f"{failed[0].path}: {failed[0].failure}{others}; remove the folder to try again"
    )


def videos_of(stores: Sequence[Store | str | Path]) -> frozenset[str]:
    """Return the videos of some stores, by the names by which videos are compared."""
    return frozenset(
        plain_name(video) for store in stores for video in open_store(store).clips.videos
    )
