"""Dask and Ray clusters: reached by their address, and given pieces of work one by one."""

import contextlib
import logging
import os
import pickle
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

from mien.errors import ConfigError, MienError, TrainingError, require
from mien.processes import num_processors
from mien.processes.cluster_work import run_in_process
from mien.processes.work_pool import TICK_SECONDS, side_by_side

__all__ = [
    "CONNECT_SECONDS",
    "Backend",
    "Cluster",
    "connect_dask",
    "connect_ray",
    "default_jobs",
    "distribute",
    "read_cluster",
]

Item = TypeVar("Item")
Result = TypeVar("Result")

Backend = Literal["local", "dask", "ray"]

#: Seconds in which a cluster must answer.
CONNECT_SECONDS = 20
#: Pieces of work that a cluster is given at a time.
_MANY = 256
#: Seconds between two signs that the process is there which gave the work.
_SIGN_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster.

    Attributes:
        backend: What it is of.
        address: Of its scheduler, or of its head.
    """

    backend: Literal["dask", "ray"]
    address: str


def read_cluster(backend: Backend, address: str | None) -> Cluster | None:
    """Return the cluster that is meant; None for this machine.

    Raises:
        ConfigError: If the package for it is not installed, or the address is missing, or is given
            for this machine.
    """
    if backend == "local":
        if address is not None:
            raise ConfigError("--address: is for --backend dask or ray; leave it out")
        return None
    require("distributed" if backend == "dask" else "ray", extra=backend)
    if address is None:
        example = "tcp://HOST:8786" if backend == "dask" else "HOST:6379 or auto"
        raise ConfigError(f"--address: the {backend} backend needs it, such as {example}")
    return Cluster(backend=backend, address=address)


def default_jobs(backend: Backend) -> int:
    """Return how many pieces of work to begin at once if nobody says.

    A cluster is given enough to keep it busy; it lets them wait for its workers.
    """
    return num_processors() if backend == "local" else _MANY


def connect_dask(address: str, error: type[MienError]) -> Any:  # noqa: ANN401  # has no types
    """Return a client of a Dask cluster.

    Raises:
        MienError: Of the given class, if no scheduler answers.
    """
    import distributed

    make_client: Any = distributed.Client
    try:
        return make_client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as reason:
        raise error(
            f"--address {address!r}: no Dask scheduler answers ({reason}); start one with: "
            "dask scheduler"
        ) from reason


def connect_ray(address: str, error: type[MienError]) -> Any:  # noqa: ANN401  # has no types
    """Join a Ray cluster, and return the module ``ray``.

    Raises:
        MienError: Of the given class, if no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    try:
        ray.init(
            address=address, log_to_driver=False, logging_level=logging.ERROR, namespace="mien"
        )
    except (ConnectionError, ValueError, RuntimeError) as reason:
        raise error(
            f"--address {address!r}: no Ray cluster answers ({str(reason).splitlines()[0]}); "
            "start one with: ray start --head"
        ) from reason
    return ray


def distribute(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    num_workers: int,
    *,
    cluster: Cluster | None,
    presence: Path,
    on_start: Callable[[Item], None] | None = None,
    on_tick: Callable[[], None] | None = None,
) -> Iterator[tuple[Item, Result]]:
    """Yield each item with its result, as they come: in processes of this machine or of a cluster.

    Whatever ends the iteration early, the end of this process too, ends the work.

    Args:
        work: Is done with each item; a function of a module.
        items: The items; they are begun in this order.
        num_workers: How many are in work at the same time; 1 on this machine is in this process.
        cluster: The cluster; None for this machine.
        presence: A path in a folder that all machines see. A cluster's work has a file there, and
            ends when it is gone, or no longer changed.
        on_start: Is called with an item whose work begins.
        on_tick: Is called now and then while processes work, and once more when one has ended.

    Raises:
        TrainingError: If a process was killed from outside, the cluster does not answer, or it lost
            a machine with work on it.
    """
    if cluster is None or not items:
        yield from side_by_side(work, items, num_workers, on_start, on_tick)
        return
    yield from _on_cluster(cluster, work, items, num_workers, presence, on_start, on_tick)


def _on_cluster(
    cluster: Cluster,
    work: Callable[[Item], Result],
    items: Sequence[Item],
    num_workers: int,
    presence: Path,
    on_start: Callable[[Item], None] | None,
    on_tick: Callable[[], None] | None,
) -> Iterator[tuple[Item, Result]]:
    """Yield each item with its result, as they come from the machines of a cluster."""
    connect = _DaskTasks if cluster.backend == "dask" else _RayTasks
    with contextlib.closing(connect(cluster.address)) as tasks, _signed(presence):
        running: dict[Any, Item] = {}
        waiting = iter(items)

        def begin(number: int) -> None:
            for item in islice(waiting, number):
                if on_start is not None:
                    on_start(item)
                running[tasks.submit(pickle.dumps((work, item)), str(presence))] = item

        begin(num_workers)
        while running:
            ended = tasks.wait()
            if on_tick is not None:
                on_tick()
            for ticket, answer in ended:
                yield running.pop(ticket), _read(answer)
                begin(1)


def _read(answer: bytes) -> Any:  # noqa: ANN401  # whatever the work returns
    """Return what work gave, or raise what it raised; both come from our own processes."""
    is_done, value = pickle.loads(answer)  # noqa: S301
    if not is_done:
        raise value
    return value


@contextlib.contextmanager
def _signed(presence: Path) -> Iterator[None]:
    """Change the time of a file now and then, until the block ends; then remove the file."""
    ended = threading.Event()

    def sign() -> None:
        while not ended.wait(_SIGN_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(presence)

    presence.touch()
    thread = threading.Thread(target=sign, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        presence.unlink(missing_ok=True)


def _lost() -> TrainingError:
    return TrainingError(
        "the cluster lost a machine that was at work; go on with --resume: what is finished is kept"
    )


class _DaskTasks:
    """Work on a Dask cluster."""

    def __init__(self, address: str) -> None:
        self._client = connect_dask(address, TrainingError)
        self._running: set[Any] = set()
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def submit(self, payload: bytes, presence: str) -> Any:  # noqa: ANN401
        future = self._client.submit(run_in_process, payload, presence, pure=False)
        self._running.add(future)
        future.add_done_callback(self._ended.put)
        return future

    def wait(self) -> list[tuple[Any, bytes]]:
        from distributed.scheduler import KilledWorker

        try:
            future = self._ended.get(timeout=TICK_SECONDS)
        except queue.Empty:
            return []
        self._running.discard(future)
        try:
            return [(future, future.result())]
        except KilledWorker as error:
            raise _lost() from error

    def close(self) -> None:
        self._client.cancel(list(self._running), force=True)
        self._client.close()


class _RayTasks:
    """Work on a Ray cluster."""

    def __init__(self, address: str) -> None:
        self._ray = connect_ray(address, TrainingError)
        self._run = self._ray.remote(max_retries=0)(run_in_process)
        self._running: set[Any] = set()

    def submit(self, payload: bytes, presence: str) -> Any:  # noqa: ANN401
        reference = self._run.remote(payload, presence)
        self._running.add(reference)
        return reference

    def wait(self) -> list[tuple[Any, bytes]]:
        ended, _ = self._ray.wait(list(self._running), num_returns=1, timeout=TICK_SECONDS)
        self._running.difference_update(ended)
        try:
            return [(reference, self._ray.get(reference)) for reference in ended]
        except (
            self._ray.exceptions.WorkerCrashedError,
            self._ray.exceptions.NodeDiedError,
        ) as error:
            raise _lost() from error

    def close(self) -> None:
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._ray.shutdown()
