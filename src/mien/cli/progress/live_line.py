"""One line that changes at the bottom of a terminal; elsewhere lines that follow each other."""

import logging
import sys
import threading
import time
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from mien.cli.options import is_quiet
from mien.files.reading import as_printable
from mien.reports.text import clock

__all__ = ["QUIET_SECONDS", "LiveLine"]

#: Seconds without a line, where there is no terminal, until one says what is being done.
QUIET_SECONDS = 30.0

LineT = TypeVar("LineT", bound="LiveLine")


class LiveLine:
    """A bar on stderr where that is a terminal, and lines that stay above it.

    Where there is no terminal, what the bar would show is printed as a line whenever nothing else
    was printed for ``QUIET_SECONDS``. Texts may hold names of files: what would steer a terminal is
    written out.

    Args:
        unit: What is counted, such as `` clips``.

    Attributes:
        console: Where lines go that stay.
        bar: The bar; None where there is no terminal, and before it is first shown.
    """

    def __init__(self, unit: str = "") -> None:
        self.console = Console(
            stderr=True,
            soft_wrap=True,
            highlight=False,
            markup=False,
            emoji=False,
            quiet=is_quiet(),
        )
        self.bar: Progress | None = None
        self._unit = unit
        self._task: TaskID | None = None
        self._shown = _Shown()
        self._printed = self._begun = time.monotonic()
        self._ended = threading.Event()
        self._beats: threading.Thread | None = None
        self._redirected: list[tuple[logging.StreamHandler[Any], Any]] = []

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
        self._ended.set()
        if self._beats is not None:
            self._beats.join()
        if self.bar is not None:
            self.bar.stop()
            for handler, stream in self._redirected:
                handler.setStream(stream)

    @property
    def is_shown(self) -> bool:
        """Whether there is a bar."""
        return self._task is not None

    def print(self, *lines: str) -> None:
        """Print lines that stay."""
        self._printed = time.monotonic()
        for line in lines:
            self.console.print(as_printable(line))

    def wait(self, description: str) -> None:
        """Show that something takes its time whose end cannot be foreseen."""
        self.show(description, total=None)
        if not self.is_shown:
            self.print(description)

    def show(self, description: str = "", *, total: int | None, completed: int = 0) -> None:
        """Begin the bar, or begin it anew; without a total it only says what is being done."""
        self._shown, self._begun = _Shown(description, completed, total), time.monotonic()
        if is_quiet():
            return
        if not sys.stderr.isatty():
            self._begin_to_beat()
            return
        if self.bar is None:
            self.bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                _Count(self._unit),
                TimeElapsedColumn(),
                TextColumn("{task.fields[beside]}", markup=False),
                console=self.console,
                transient=True,
            )
            self.bar.start()
            self._redirect_log()
        if self._task is not None:
            self.bar.remove_task(self._task)
        self._task = self.bar.add_task(
            as_printable(description), total=total, completed=completed, beside=""
        )

    def move(
        self,
        *,
        description: str | None = None,
        completed: int | None = None,
        total: int | None = None,
        beside: str | None = None,
    ) -> None:
        """Move the bar, or change what stands beside it; None leaves a thing as it is."""
        given: dict[str, Any] = {
            "description": description, "completed": completed, "total": total, "beside": beside,
        }  # fmt: skip
        changes = {name: value for name, value in given.items() if value is not None}
        self._shown = replace(self._shown, **changes)
        if self.bar is not None and self._task is not None:
            texts = {name: as_printable(t) for name, t in changes.items() if isinstance(t, str)}
            self.bar.update(self._task, **{**changes, **texts})

    def _begin_to_beat(self) -> None:
        """Begin to print what is being done whenever nothing else is printed for a while."""
        if self._beats is None:
            self._beats = threading.Thread(target=self._beat, daemon=True)
            self._beats.start()

    def _beat(self) -> None:
        while not self._ended.wait(max(0.01, self._printed + QUIET_SECONDS - time.monotonic())):
            if time.monotonic() - self._printed >= QUIET_SECONDS:
                self.print(self._describe())

    def _describe(self) -> str:
        """Return as a line what the bar would show."""
        shown = self._shown
        count = "" if shown.total is None else f"{shown.completed:,} of {shown.total:,}{self._unit}"
        passed = f"{clock(time.monotonic() - self._begun)} so far"
        return ", ".join(part for part in (shown.description, count, passed, shown.beside) if part)

    def _redirect_log(self) -> None:
        """Let lines of the log go above the bar: rich takes stderr over while there is one."""
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is sys.__stderr__:
                self._redirected.append((handler, handler.stream))
                handler.setStream(sys.stderr)


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the bar shows, or would.

    Attributes:
        description: What is being done.
        completed: How much of it is done.
        total: How much there is; None if that is not known.
        beside: What stands behind the numbers.
    """

    description: str = ""
    completed: int = 0
    total: int | None = None
    beside: str = ""


class _Count(ProgressColumn):
    """How many are done, of how many; nothing where that is not known."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Return the text of the column."""
        if task.total is None:
            return Text("")
        return Text(f"{task.completed:.0f}/{task.total:.0f}{self._unit}")
