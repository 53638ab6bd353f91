"""One live line on a terminal, while something takes long."""

import sys
from types import TracebackType
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

__all__ = ["LiveLine", "clock", "clock_tenths"]

LineT = TypeVar("LineT", bound="LiveLine")


class LiveLine:
    """A bar on stderr where that is a terminal, and lines that stay above it.

    Args:
        what: What stands before the bar; a template of rich, such as ``{task.description}``.
        unit: What is counted, such as `` clips``.
    """

    def __init__(self, what: str, unit: str = "") -> None:
        self.console = Console(stderr=True, soft_wrap=True, highlight=False)
        self._columns = (
            TextColumn(what),
            BarColumn(),
            TextColumn(f"{{task.completed:.0f}}/{{task.total:.0f}}{unit}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[beside]}"),
        )
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self: LineT) -> LineT:
        """Start."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the live line away."""
        if self._bar is not None:
            self._bar.stop()

    @property
    def is_shown(self) -> bool:
        """Whether there is a bar."""
        return self._task is not None

    def show(
        self,
        description: str = "",
        *,
        total: int,
        completed: int = 0,
        **facts: Any,  # noqa: ANN401  # free fields
    ) -> None:
        """Begin the bar, or begin it anew; nothing where there is no terminal."""
        if not sys.stderr.isatty():
            return
        if self._bar is None:
            self._bar = Progress(*self._columns, console=self.console, transient=True)
            self._bar.start()
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(
            description, total=total, completed=completed, beside="", **facts
        )

    def move(self, **facts: Any) -> None:  # noqa: ANN401  # numbers of the bar, and free fields
        """Move the bar, and change what stands beside it, where there is one."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, **facts)


def clock(seconds: float) -> str:
    """Return a duration as a clock shows it.

    >>> clock(75.0), clock(3675.0)
    ('1:15', '1:01:15')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def clock_tenths(seconds: float) -> str:
    """Return a time to a tenth of a second.

    >>> clock_tenths(75.2), clock_tenths(3675.0)
    ('1:15.2', '1:01:15.0')
    """
    tenths = round(seconds * 10 + 1e-9)
    return f"{clock(float(tenths // 10))}.{tenths % 10}"
