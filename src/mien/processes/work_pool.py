"""Pieces of work side by side, one process and one thread each; they end with who began them."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

from mien.errors import TrainingError
from mien.processes import safe_spawn

__all__ = ["TICK_SECONDS", "side_by_side"]

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Seconds between two looks at how the work goes on.
TICK_SECONDS = 0.5


def side_by_side(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    num_workers: int,
    on_start: Callable[[Item], None] | None = None,
    on_tick: Callable[[], None] | None = None,
) -> Iterator[tuple[Item, Result]]:
    """Yield each item with its result, as they come; in this process if one worker is enough.

    Whatever ends the iteration early ends the processes as well.

    Args:
        work: Is done with each item.
        items: The items; they are begun in this order.
        num_workers: How many processes.
        on_start: Is called with an item whose work begins.
        on_tick: Is called now and then while processes work, and once more when one has ended.

    Raises:
        TrainingError: If a process was killed from outside.
    """
    start, tick = on_start or _pass_over, on_tick or _pass_over
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
        yield from _collect(futures, num_workers, start, tick)
        pool.shutdown()
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        ours = set(multiprocessing.active_children()) - set(before)
        for process in ours:
            process.terminate()
        for process in ours:
            process.join()
        if isinstance(error, BrokenProcessPool):
            raise TrainingError(
                "a process was killed, perhaps because memory ran out; go on with fewer --jobs: "
                "what is finished is kept"
            ) from error
        raise


def _collect(
    futures: dict[Future[Result], Item],
    num_workers: int,
    start: Callable[[Item], None],
    tick: Callable[[], None],
) -> Iterator[tuple[Item, Result]]:
    """Yield results as they come; what begins in the place of each is the next of the items."""
    waiting, left = iter(futures.values()), set(futures)
    for item in islice(waiting, num_workers):
        start(item)
    while left:
        ended, left = wait(left, TICK_SECONDS, FIRST_COMPLETED)
        tick()
        for future in ended:
            yield futures[future], future.result()
            for item in islice(waiting, 1):
                start(item)


def _pass_over(*_: object) -> None:
    pass


def _begin_worker() -> None:
    """Compute with one thread, and end with the process that began this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that began this
    os.environ["OMP_NUM_THREADS"] = "1"  # torch reads it when it is imported
    if "torch" in sys.modules:  # it may have been already, by the program that began this
        sys.modules["torch"].set_num_threads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:  # noqa: ANN401  # multiprocessing does not name its class
    parent.join()
    os._exit(1)
