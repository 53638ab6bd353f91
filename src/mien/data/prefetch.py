"""What is read ahead: the next item is made in a thread while the last one is used."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["prefetch"]

Item = TypeVar("Item")
Made = TypeVar("Made")


def prefetch(make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """Yield what ``make`` gives of each item, in their order; one item ahead.

    It pays where the one who uses the items waits for a device, or gives it work and goes on.

    Args:
        make: Is called in a thread, with one item at a time; what it raises is raised here.
        items: The items.
    """
    left = iter(items)
    with ThreadPoolExecutor(1) as thread:
        for first in left:
            ahead = thread.submit(make, first)
            break
        else:
            return
        for item in left:
            made, ahead = ahead, thread.submit(make, item)
            yield made.result()
        yield ahead.result()
