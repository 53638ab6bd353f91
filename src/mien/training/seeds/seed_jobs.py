"""Seeds side by side: each in a process of its own, on this machine or on those of a cluster.

What seeds share is computed before they begin, by the process that gives them their work, and is in
the store and the cache. A process maps it from there; what it writes is the folder of its seed.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from mien.data.store import open_store
from mien.errors import MienError
from mien.files.temporaries import temporary
from mien.processes.clusters import Cluster, on_cluster
from mien.processes.work_pool import side_by_side
from mien.training.listening import RunListener
from mien.training.loading import Start, read_start
from mien.training.preparation import Prepared, prepare
from mien.training.run_folder import RunFolder
from mien.training.seeds.seed_progress import SeedProgress
from mien.training.seeds.seed_training import train_and_record
from mien.training.settings import ExperimentConfig

__all__ = ["SeedData", "train_side_by_side"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedData:
    """What every seed of a run is trained on.

    Attributes:
        config: The settings.
        store: Path of the store.
        excluded_videos: Videos that are left out of train and valid.
        init: Checkpoint whose weights to start from.
    """

    config: ExperimentConfig
    store: Path
    excluded_videos: frozenset[str]
    init: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _SeedJob:
    """A seed, and what its process must know.

    Attributes:
        seed: The seed.
        run: The run folder.
        data: What it is trained on.
        level: Level of the messages that are of interest.
    """

    seed: int
    run: Path
    data: SeedData
    level: int


def train_side_by_side(
    run: RunFolder,
    data: SeedData,
    seeds: Sequence[int],
    *,
    jobs: int,
    cluster: Cluster | None,
    listener: RunListener,
) -> Iterator[int]:
    """Train seeds side by side, and yield each when it has ended.

    Whatever ends the iteration early ends the trainings as well; they can go on later.

    Args:
        run: The run, whose folder is made.
        data: What they are trained on.
        seeds: Those that have not ended.
        jobs: How many at a time.
        cluster: Where; None for this machine.
        listener: Is notified of their progress.

    Raises:
        MienError: What a training raises, with its seed named; those that ended are kept.
    """
    if cluster is not None:  # its machines have other working directories
        run, data = RunFolder(run.path.resolve()), _with_whole_paths(data)
    level = logging.getLogger("mien").getEffectiveLevel()
    todo = [_SeedJob(seed=seed, run=run.path, data=data, level=level) for seed in seeds]
    progress = SeedProgress(run, data.config.train, listener)

    def begin(job: _SeedJob) -> None:
        progress.begin(job.seed)

    with temporary(run.path / "jobs", "file") as presence:
        ended = (
            side_by_side(_work, todo, jobs, begin, progress.look)
            if cluster is None
            else on_cluster(
                cluster, _work, todo, jobs, presence=presence, on_start=begin, on_tick=progress.look
            )
        )
        for job, messages in ended:
            for severity, text in messages:
                logger.log(severity, "seed %d: %s", job.seed, text)
            progress.end(job.seed)
            yield job.seed


def _with_whole_paths(data: SeedData) -> SeedData:
    return SeedData(
        config=data.config,
        store=data.store.resolve(),
        excluded_videos=data.excluded_videos,
        init=None if data.init is None else data.init.resolve(),
    )


def _work(job: _SeedJob) -> list[tuple[int, str]]:
    """Train one seed in a process of its own; return the messages of interest."""
    torch.set_num_threads(job.data.config.train.threads or 1)
    try:
        with _collected(job.level):  # the process that gave the work has logged the same
            prepared, start = _load(job.data)
        with _collected(job.level) as messages:
            train_and_record(
                RunFolder(job.run).seed(job.seed), job.data.config, prepared, start, RunListener()
            )
    except MienError as error:
        error.args = (f"seed {job.seed}: {error}", *error.args[1:])
        raise
    except Exception as error:
        error.add_note(f"in the training of seed {job.seed}")
        raise
    return messages


@lru_cache(maxsize=1)
def _load(data: SeedData) -> tuple[Prepared, Start | None]:
    """Prepare the data; once in a process, for all seeds that it trains."""
    store = open_store(data.store)
    start = None if data.init is None else read_start(data.init, store, data.config)
    return prepare(store, data.config, excluded_videos=data.excluded_videos), start


@contextmanager
def _collected(level: int) -> Iterator[list[tuple[int, str]]]:
    """Collect the messages of the package with their levels, instead of printing them."""
    messages: list[tuple[int, str]] = []
    handler = logging.Handler(level)
    handler.emit = lambda record: messages.append((record.levelno, record.getMessage()))  # type: ignore[method-assign]
    mien = logging.getLogger("mien")
    before, passes_on = mien.level, mien.propagate
    mien.addHandler(handler)
    mien.setLevel(level)
    mien.propagate = False
    try:
        yield messages
    finally:
        mien.removeHandler(handler)
        mien.setLevel(before)
        mien.propagate = passes_on
