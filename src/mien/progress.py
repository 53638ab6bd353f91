"""What a terminal shows while something takes long: one live line, and lines that stay."""

import logging
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from mien.extraction.guard import Outcome
from mien.steps import TrainConfig
from mien.tables import format_epoch, format_epoch_heading
from mien.training import EpochRecord

__all__ = ["ExtractionProgress", "StudyProgress", "TrainingProgress"]

logger = logging.getLogger(__name__)

#: Seconds between two lines where there is no terminal.
_QUIET_SECONDS = 30.0


class TrainingProgress:
    """Listens to a training; shows a bar only where stderr is a terminal."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, soft_wrap=True, highlight=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._seconds: list[float] = []

    def __enter__(self) -> "TrainingProgress":
        """Start the live line."""
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.fields[stage]}epoch {task.fields[epoch]}"),
                BarColumn(),
                TextColumn("{task.completed:.0f}/{task.total:.0f} clips"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}"),
                console=self._console,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=1, stage="", epoch=1, left="")
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

    def on_step(self, epoch: int, done: int, total: int) -> None:
        """Move the bar."""
        self._move("", epoch, done, total)

    def on_evidence(self, epoch: int, done: int, total: int) -> None:
        """Move the bar while evidence is gathered."""
        self._move("evidence, ", epoch, done, total)

    def _move(self, stage: str, epoch: int, done: int, total: int) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total, stage=stage, epoch=epoch)

    def on_epoch(self, record: EpochRecord, config: TrainConfig) -> None:
        """Print the epoch's line, with the time that is left at most."""
        if record.epoch == 1 or not self._seconds:
            self._seconds = []
            self._console.print(format_epoch_heading(record))
        self._seconds.append(record.seconds)
        left = sum(self._seconds[-3:]) / len(self._seconds[-3:]) * (config.epochs - record.epoch)
        text = f"at most {_clock(left)} left"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, left=text)
        self._console.print(f"{format_epoch(record, config)}  {text}")


class StudyProgress:
    """Listens to a study; shows a bar where stderr is a terminal, and a line per run elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, soft_wrap=True, highlight=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._done, self._total, self._start = 0, 0, 0.0

    def __enter__(self) -> "StudyProgress":
        """Start the live line."""
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}"),
                console=self._console,
                transient=True,
            )
            self._bar.start()
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

    def on_stage(self, what: str, total: int) -> None:
        """Begin the bar anew."""
        self._done, self._total, self._start = 0, total, time.perf_counter()
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(what, total=total, left="")

    def on_done(self, what: str) -> None:
        """Move the bar, with the time that is left at the pace so far."""
        self._done += 1
        pace = (time.perf_counter() - self._start) / self._done
        num_left = self._total - self._done
        left = f"about {_clock(pace * num_left)} left" if num_left else ""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, left=left)
        self._console.print(f"{self._done}/{self._total}  {what}  {left}".rstrip())


class ExtractionProgress:
    """Listens to an extraction: a bar where stderr is a terminal, else a line now and then."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._begun = 0.0
        self._told = 0.0
        self._total = 0
        self._done = 0
        self._done_before = 0
        self._seconds = 0.0
        self._num_skipped = 0

    def __enter__(self) -> "ExtractionProgress":
        """Start."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def on_begin(self, total: int, done: int) -> None:
        """Show the bar."""
        self._total, self._done, self._done_before = total, done, done
        self._begun = self._told = time.monotonic()
        if done:
            logger.info("%d of %d clips are done already", done, total)
        if sys.stderr.isatty() and done < total:
            self._bar = Progress(
                TextColumn("extracting"),
                BarColumn(),
                TextColumn("{task.completed:.0f}/{task.total:.0f} clips"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[rate]}"),
                console=Console(stderr=True, soft_wrap=True, highlight=False),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=total, completed=done, rate="")

    def on_clip(self, outcome: Outcome) -> None:
        """Count a clip."""
        self._done += 1
        self._num_skipped += outcome.state != "done" or outcome.is_skipped
        if outcome.state == "done":
            self._seconds += outcome.seconds
        now = time.monotonic()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, rate=self._describe(now))
        elif now - self._told >= _QUIET_SECONDS or self._done == self._total:
            self._told = now
            logger.info("%d of %d clips, %s", self._done, self._total, self._describe(now))

    def _describe(self, now: float) -> str:
        """Return clips and seconds of media per second, and the time that is left."""
        passed = max(now - self._begun, 1e-9)
        new = self._done - self._done_before
        left = (self._total - self._done) * passed / new
        text = (
            f"{new / passed:.2f} clips/s, {self._seconds / passed:.2f} x real time, "
            f"{_clock(left)} left"
        )
        return f"{text}, {self._num_skipped} skipped" if self._num_skipped else text


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
