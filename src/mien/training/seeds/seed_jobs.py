"""Seeds side by side: each in a process of its own, on this machine or on those of a cluster.

What seeds share is computed before they begin, by the process that gives them their work, and is in
the store and the cache. A process maps it from there; what it writes is the folder of its seed.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch

from mien.data.store import open_store
from mien.errors import MienError
from mien.files.temporaries import temporary
from mien.processes.clusters import Cluster, distribute
from mien.training.listening import RunListener
from mien.training.loading import Start, read_start
from mien.training.preparation import Prepared, prepare
from mien.training.run_folder import RunFolder, SeedFolder
from mien.training.seeds.registered import with_registered
from mien.training.seeds.seed_progress import SeedProgress
from mien.training.seeds.seed_training import train_and_record
from mien.training.settings import ExperimentConfig

__all__ = ["SeedData", "SeedWork", "train_side_by_side"]

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
class SeedWork:
    """A training, and what its process must know.

    Attributes:
        seed: The seed.
        run: The run folder.
        data: What it is trained on.
        fold: What the run is called among those of a run over folds.
        level: Level of the messages that are of interest.
    """

    seed: int
    run: Path
    data: SeedData
    fold: str | None = None
    level: int = logging.WARNING

    @property
    def folder(self) -> SeedFolder:
        """Where its files are."""
        return RunFolder(self.run).seed(self.seed)

    @property
    def title(self) -> str:
        """What it is called in messages."""
        return f"{f'{self.fold}, ' if self.fold else ''}seed {self.seed}"


def train_side_by_side(
    todo: Sequence[SeedWork],
    folder: Path,
    *,
    jobs: int,
    cluster: Cluster | None,
    listener: RunListener,
) -> Iterator[SeedWork]:
    """Train seeds side by side, and yield each when it has ended.

    Whatever ends the iteration early ends the trainings as well; they can go on later.

    Args:
        todo: The trainings, of runs whose folders are made.
        folder: A folder that all processes see.
        jobs: How many at a time.
        cluster: Where; None for this machine.
        listener: Is notified of their progress.

    Raises:
        MienError: What a training raises, with its seed named; those that ended are kept.
    """
    level = logging.getLogger("mien").getEffectiveLevel()
    todo = [replace(work, level=level) for work in todo]
    if cluster is not None:  # its machines have other working directories
        folder, todo = folder.resolve(), list(map(_with_whole_paths, todo))
    progress = SeedProgress(listener)
    configs = [work.data.config for work in todo]
    train = with_registered(_work, configs, jobs=jobs, cluster=cluster)

    def begin(work: SeedWork) -> None:
        progress.begin(work.folder, work.data.config.train, work.fold)

    with temporary(folder / "jobs", "file") as presence:
        ended = distribute(
            train,
            todo,
            jobs,
            cluster=cluster,
            presence=presence,
            on_start=begin,
            on_tick=progress.look,
        )
        for work, messages in ended:
            for severity, text in messages:
                logger.log(severity, "%s: %s", work.title, text)
            progress.end(work.folder)
            yield work


def _with_whole_paths(work: SeedWork) -> SeedWork:
    data = work.data
    init = None if data.init is None else data.init.resolve()
    data = replace(data, store=data.store.resolve(), init=init)
    return replace(work, run=work.run.resolve(), data=data)


def _work(work: SeedWork) -> list[tuple[int, str]]:
    """Train one seed in a process of its own; return the messages of interest."""
    torch.set_num_threads(work.data.config.train.threads or 1)
    try:
        with _collected(work.level):  # the process that gave the work has logged the same
            prepared, start = _load(work.data)
        with _collected(work.level) as messages:
            train_and_record(work.folder, work.data.config, prepared, start, RunListener())
    except MienError as error:
        error.args = (f"{work.title}: {error}", *error.args[1:])
        raise
    except Exception as error:
        error.add_note(f"in the training of {work.title}")
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
