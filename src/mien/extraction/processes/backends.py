"""Where clips are worked on: in processes of this machine, or on a Dask or Ray cluster.

Whichever it is, a clip is given to a supervised worker process of the machine that has its turn,
and what comes back is an outcome. Results go through files, so a cluster must see the recordings
and the folder of results under the same paths.
"""

import contextlib
import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mien.errors import ExtractionError
from mien.extraction.processes.supervisor import ClipOutcome, WorkerSupervisor
from mien.processes.clusters import Backend, connect_dask, connect_ray, read_cluster

__all__ = ["Backend", "ClipJob", "run_all"]

_LOST = ClipOutcome(state="lost", reason="the cluster lost the machine that had it")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipJob:
    """What a worker must know beside the clip; it travels to a cluster.

    Attributes:
        settings: What is made of every clip, as JSON.
        limit: Longest time for a clip in seconds, None for one that grows with its length.
        command: How a worker is started; empty for the usual way.
        folder: Where results go.
    """

    settings: str
    limit: float | None
    command: tuple[str, ...]
    folder: str

    def make_supervisor(self) -> WorkerSupervisor:
        """Make a supervisor that has no worker yet."""
        return WorkerSupervisor(self.settings, limit=self.limit, command=self.command or None)


def run_all(
    job: ClipJob,
    tasks: Sequence[str],
    *,
    backend: Backend = "local",
    address: str | None = None,
    jobs: int,
) -> Generator[tuple[int, ClipOutcome]]:
    """Work on clips, and yield the index of each and what came of it, in the order they end.

    A clip whose worker ended is tried once more when all others are through, with nothing beside
    it: if it was another's hunger for memory that ended the worker, it now gets through.

    Args:
        job: What is made of every clip.
        tasks: The clips, as JSON.
        backend: Where.
        address: Of the scheduler, or of the head of the cluster.
        jobs: Clips that are worked on at the same time.

    Raises:
        ConfigError: If the packages for the cluster are not installed, or no address is given.
        ExtractionError: If the cluster does not answer.
    """
    if not tasks:
        return
    again: list[int] = []
    with _open(backend, job, address, jobs) as pool:
        for index, outcome in _drive(pool, tasks, range(len(tasks)), jobs):
            if outcome.state == "lost":
                again.append(index)
            else:
                yield index, outcome
        yield from _drive(pool, tasks, sorted(again), 1)


@runtime_checkable
class _Pool(Protocol):
    """Takes clips, and gives back what came of them."""

    def submit(self, index: int, task: str) -> None:
        """Begin to work on a clip."""
        ...

    def wait(self) -> tuple[int, ClipOutcome]:
        """Wait for any clip."""
        ...


def _drive(
    pool: _Pool, tasks: Sequence[str], indices: Sequence[int], jobs: int
) -> Iterator[tuple[int, ClipOutcome]]:
    """Keep ``jobs`` clips in work."""
    num_running = 0
    for index in indices:
        pool.submit(index, tasks[index])
        num_running += 1
        if num_running == jobs:
            yield pool.wait()
            num_running -= 1
    for _ in range(num_running):
        yield pool.wait()


@contextlib.contextmanager
def _open(backend: Backend, job: ClipJob, address: str | None, jobs: int) -> Iterator[_Pool]:
    cluster = read_cluster(backend, address)
    if cluster is None:
        with contextlib.closing(_LocalPool(job, jobs)) as pool:
            yield pool
    elif cluster.backend == "dask":
        with contextlib.closing(_DaskPool(job, cluster.address)) as dask:
            yield dask
    else:
        with contextlib.closing(_RayPool(job, cluster.address)) as ray:
            yield ray


class _LocalPool:
    """Worker processes of this machine, each with a thread that waits for it."""

    def __init__(self, job: ClipJob, jobs: int) -> None:
        self._todo: queue.SimpleQueue[tuple[int, str] | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[tuple[int, ClipOutcome]] = queue.SimpleQueue()
        self._supervisors = [job.make_supervisor() for _ in range(jobs)]
        self._threads = [
            threading.Thread(target=self._serve, args=(supervisor,), daemon=True)
            for supervisor in self._supervisors
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, index: int, task: str) -> None:
        self._todo.put((index, task))

    def wait(self) -> tuple[int, ClipOutcome]:
        return self._ended.get()

    def close(self) -> None:
        for _ in self._threads:
            self._todo.put(None)
        for supervisor in self._supervisors:
            supervisor.stop()
        for thread in self._threads:
            thread.join()
        for supervisor in self._supervisors:
            supervisor.close()

    def _serve(self, supervisor: WorkerSupervisor) -> None:
        while (item := self._todo.get()) is not None:
            self._ended.put((item[0], supervisor.run(item[1])))


# --- on a cluster ---------------------------------------------------------------------------------

_here = threading.local()  # one supervisor per thread of a machine of the cluster


def _run_there(job: ClipJob, task: str) -> str:
    """Work on a clip on the machine of a cluster that has its turn."""
    if not Path(job.folder).is_dir():
        return ClipOutcome(
            state="failed",
            reason=f"{job.folder}: a machine of the cluster does not see this folder; the "
            "recordings and the folder of --out must be shared by all of them",
        ).model_dump_json()
    known: tuple[ClipJob, WorkerSupervisor] | None = getattr(_here, "supervisor", None)
    if known is None or known[0] != job:
        if known is not None:
            known[1].close()
        known = (job, job.make_supervisor())
        _here.supervisor = known
    return known[1].run(task).model_dump_json()


class _DaskPool:
    """A Dask cluster."""

    def __init__(self, job: ClipJob, address: str) -> None:
        self._client = connect_dask(address, ExtractionError)
        self._job = job
        self._indices: dict[Any, int] = {}
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def submit(self, index: int, task: str) -> None:
        future = self._client.submit(_run_there, self._job, task, pure=False)
        self._indices[future] = index
        future.add_done_callback(self._ended.put)

    def wait(self) -> tuple[int, ClipOutcome]:
        from distributed.scheduler import KilledWorker

        future = self._ended.get()
        index = self._indices.pop(future)
        try:
            return index, ClipOutcome.model_validate_json(future.result())
        except KilledWorker:
            return index, _LOST

    def close(self) -> None:
        self._client.cancel(list(self._indices), force=True)
        self._client.close()


class _RayPool:
    """A Ray cluster."""

    def __init__(self, job: ClipJob, address: str) -> None:
        ray = self._ray = connect_ray(address, ExtractionError)
        self._run = ray.remote(max_retries=0)(_run_there)
        self._job = ray.put(job)
        self._indices: dict[Any, int] = {}

    def submit(self, index: int, task: str) -> None:
        self._indices[self._run.remote(self._job, task)] = index

    def wait(self) -> tuple[int, ClipOutcome]:
        done, _ = self._ray.wait(list(self._indices), num_returns=1)
        index = self._indices.pop(done[0])
        try:
            return index, ClipOutcome.model_validate_json(self._ray.get(done[0]))
        except (self._ray.exceptions.WorkerCrashedError, self._ray.exceptions.NodeDiedError):
            return index, _LOST

    def close(self) -> None:
        for reference in self._indices:
            self._ray.cancel(reference, force=True)
        self._ray.shutdown()
