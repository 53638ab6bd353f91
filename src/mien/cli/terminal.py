"""What a terminal shows while a command takes its time, and what Ctrl-C does."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Stopped", "busy", "second_interrupt_ends", "stoppable"]


class Stopped(Exception):  # noqa: N818  # the user's wish, not a fault
    """Ctrl-C ended a command; the message says what is kept and how to go on."""


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Show on a terminal that something takes its time."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


@contextmanager
def stoppable(describe: Callable[[], str]) -> Iterator[None]:
    """Let a command say after Ctrl-C what is kept and how to go on.

    Raises:
        Stopped: After Ctrl-C, with what ``describe`` returns.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(describe()) from None


@contextmanager
def second_interrupt_ends() -> Iterator[None]:
    """Let the first Ctrl-C end a command in good order, and a second one end the process at once.

    Where Ctrl-C is ignored, or somebody else handles it, nothing changes.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    signal.signal(signal.SIGINT, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the protocol's
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt
