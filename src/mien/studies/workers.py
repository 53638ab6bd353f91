"""Pieces of work side by side, one process and one thread each; they end with who began them."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, Protocol, TypeVar, runtime_checkable

from mien.errors import TrainingError
from mien.processes import safe_spawn

__all__ = ["StudyListener", "side_by_side"]

Item = TypeVar("Item")
Result = TypeVar("Result")


@runtime_checkable
class StudyListener(Protocol):
    """Follows how a study goes on.

    Where it has a method ``on_start`` as well, that is called with a piece of work that begins;
    what ``on_done`` gets then is the same, or begins with the same and a colon.
    """

    def on_stage(self, what: str, total: int) -> None:
        """Take note that ``total`` pieces of work of one kind begin."""

    def on_done(self, what: str) -> None:
        """Take note that a piece is done, and which."""


def side_by_side(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    num_workers: int,
    on_start: Callable[[Item], None] | None = None,
) -> Iterator[tuple[Item, Result]]:
    """Yield each item with its result, as they come; in this process if one worker is enough.

    Whatever ends the iteration early ends the processes as well.

    Args:
        work: Is done with each item.
        items: The items; they are begun in this order.
        num_workers: How many processes.
        on_start: Is called with an item whose work begins.

    Raises:
        TrainingError: If a process was killed from outside.
    """
    start = on_start or _pass_over
    if num_workers == 1 or len(items) < 2:
        for item in items:
            start(item)
            yield item, work(item)
        return
    before = multiprocessing.active_children()
    with safe_spawn():
        pool = ProcessPoolExecutor(
            max_workers=min(num_workers, len(items)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin_worker,
        )
    try:
        with safe_spawn():
            futures = {pool.submit(work, item): item for item in items}
        yield from _collect(futures, num_workers, start)
        pool.shutdown()
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - set(before):
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise TrainingError(
                "a process of the study was killed, perhaps because memory ran out; run it again "
                "with fewer --jobs: finished runs are kept"
            ) from error
        raise


def _collect(
    futures: dict[Future[Result], Item], num_workers: int, start: Callable[[Item], None]
) -> Iterator[tuple[Item, Result]]:
    """Yield results as they come; what begins in the place of each is the next of the items."""
    waiting = iter(futures.values())
    for item in islice(waiting, num_workers):
        start(item)
    for future in as_completed(futures):
        yield futures[future], future.result()
        for item in islice(waiting, 1):
            start(item)


def _pass_over(_: object) -> None:
    pass


def _begin_worker() -> None:
    """Compute with one thread, and end with the process that began this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that began this
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:  # noqa: ANN401  # multiprocessing does not name its class
    parent.join()
    os._exit(1)
