"""What a terminal shows while a model trains, features are extracted, and recordings predicted."""

import logging
import math
import sys
import time
from types import TracebackType
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from mien.extraction.processes.supervisor import ClipOutcome
from mien.reports.text import UNDEFINED, clock
from mien.training.settings import TrainConfig
from mien.training.trainer import EpochRecord

__all__ = [
    "ExtractionProgress",
    "LiveLine",
    "PredictionProgress",
    "StudyProgress",
    "TrainingProgress",
    "format_epoch",
    "format_epoch_heading",
]

logger = logging.getLogger(__name__)

#: Seconds between two lines where there is no terminal.
_QUIET_SECONDS = 30.0

LineT = TypeVar("LineT", bound="LiveLine")


class LiveLine:
    """A bar on stderr where that is a terminal, and lines that stay above it.

    Args:
        what: What stands before the bar; a template of rich, such as ``{task.description}``.
        unit: What is counted, such as `` clips``.

    Attributes:
        console: Where lines go that stay.
        bar: The bar; None where there is no terminal, and before it is first shown.
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
        self.bar: Progress | None = None
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
        if self.bar is not None:
            self.bar.stop()

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
        if self.bar is None:
            self.bar = Progress(*self._columns, console=self.console, transient=True)
            self.bar.start()
        if self._task is not None:
            self.bar.remove_task(self._task)
        self._task = self.bar.add_task(
            description, total=total, completed=completed, beside="", **facts
        )

    def move(self, **facts: Any) -> None:  # noqa: ANN401  # numbers of the bar, and free fields
        """Move the bar, and change what stands beside it, where there is one."""
        if self.bar is not None and self._task is not None:
            self.bar.update(self._task, **facts)


class TrainingProgress(LiveLine):
    """Listens to a training; shows a bar only where stderr is a terminal."""

    def __init__(self) -> None:
        super().__init__("{task.fields[stage]}epoch {task.fields[epoch]}", " clips")
        self._seconds: list[float] = []

    def __enter__(self) -> "TrainingProgress":
        """Start the live line."""
        self.show(total=1, stage="", epoch=1)
        return self

    def on_step(self, epoch: int, done: int, total: int) -> None:
        """Move the bar."""
        self.move(stage="", epoch=epoch, completed=done, total=total)

    def on_evidence(self, epoch: int, done: int, total: int) -> None:
        """Move the bar while evidence is gathered."""
        self.move(stage="evidence, ", epoch=epoch, completed=done, total=total)

    def on_epoch(self, record: EpochRecord, config: TrainConfig) -> None:
        """Print the epoch's line, with the time that is left at most."""
        if record.epoch == 1 or not self._seconds:
            self._seconds = []
            self.console.print(format_epoch_heading(record))
        self._seconds.append(record.seconds)
        left = sum(self._seconds[-3:]) / len(self._seconds[-3:]) * (config.epochs - record.epoch)
        text = f"at most {clock(left)} left"
        self.move(beside=text)
        self.console.print(f"{format_epoch(record, config)}  {text}")


def format_epoch_heading(record: EpochRecord) -> str:
    """Return the two lines that stand above the lines of ``format_epoch``."""
    names = [*record.losses, *_live_metrics(record)]
    losses = "loss on train".center(8 * len(record.losses))
    has_shares = any(name.startswith("acc2") for name in names)
    valid = "valid, multimodal" + (", acc2 in %" if has_shares else "")
    line = f"{'epoch':<7}" + "".join(name.rjust(_column(name)) for name in names) + " best"
    return f"{'':<7}{losses}  {valid}".rstrip() + f"\n{line}"


def format_epoch(record: EpochRecord, config: TrainConfig) -> str:
    """Return an epoch in one line: losses per task, validation metrics, and whether it is best.

    Every reading of two-class accuracy is shown under its own name, in percent.

    Args:
        record: What the epoch gave.
        config: Says how many epochs there are at most.
    """
    cells = [f"{loss:.3f}".rjust(_column(name)) for name, loss in record.losses.items()]
    for name in _live_metrics(record):
        value = record.valid[name]
        text = f"{100 * value:.2f}" if name.startswith("acc2") else f"{value:.3f}"
        cells.append((UNDEFINED if math.isnan(value) else text).rjust(_column(name)))
    mark = "    *" if record.is_best else ""
    return f"{f'{record.epoch}/{config.epochs}':<7}" + "".join(cells) + mark


def _live_metrics(record: EpochRecord) -> list[str]:
    return [name for name in record.valid if name in ("mae", "corr") or name.startswith("acc2")]


def _column(name: str) -> int:
    return 10 if name.startswith("acc2") else 7 if name in ("mae", "corr") else 8


class ExtractionProgress(LiveLine):
    """Listens to an extraction: a bar where stderr is a terminal, else a line now and then."""

    def __init__(self) -> None:
        super().__init__("extracting", " clips")
        self._begun = 0.0
        self._reported = 0.0
        self._total = 0
        self._done = 0
        self._done_before = 0
        self._seconds = 0.0
        self._num_skipped = 0

    def on_begin(self, total: int, done: int) -> None:
        """Show the bar."""
        self._total, self._done, self._done_before = total, done, done
        self._begun = self._reported = time.monotonic()
        if done:
            logger.info("%d of %d clips are done already", done, total)
        if done < total:
            self.show(total=total, completed=done)

    def on_clip(self, outcome: ClipOutcome) -> None:
        """Count a clip."""
        self._done += 1
        self._num_skipped += outcome.state != "done" or outcome.is_skipped
        if outcome.state == "done":
            self._seconds += outcome.seconds
        now = time.monotonic()
        if self.is_shown:
            self.move(completed=self._done, beside=self._describe(now))
        elif now - self._reported >= _QUIET_SECONDS or self._done == self._total:
            self._reported = now
            logger.info("%d of %d clips, %s", self._done, self._total, self._describe(now))

    def _describe(self, now: float) -> str:
        """Return clips and seconds of media per second, and the time that is left."""
        passed = max(now - self._begun, 1e-9)
        new = self._done - self._done_before
        left = (self._total - self._done) * passed / new
        text = (
            f"{new / passed:.2f} clips/s, {self._seconds / passed:.2f} x real time, "
            f"{clock(left)} left"
        )
        return f"{text}, {self._num_skipped} skipped" if self._num_skipped else text


class PredictionProgress(LiveLine):
    """Listens to a prediction: a bar where stderr is a terminal, else a line now and then.

    Args:
        name: Name of the recording.
    """

    def __init__(self, name: str) -> None:
        super().__init__("{task.description}", " utterances")
        self._name = name
        self._reported = self._begun = time.monotonic()
        self._total, self._seconds = 0, 0.0

    def on_audio(self, seconds: float) -> None:
        """Show how much has been heard."""
        if not self.is_shown:
            self.show(f"listening to {self._name}", total=0)
        self.move(beside=f"{clock(seconds)} heard")
        self._report(f"{self._name}: {clock(seconds)} heard")

    def on_cut(self, num_utterances: int, seconds: float) -> None:
        """Begin to count utterances."""
        self._total, self._seconds = num_utterances, seconds
        self._begun = time.monotonic()
        self.show(f"predicting {self._name}", total=num_utterances)

    def on_answer(self, number: int, seconds: float) -> None:
        """Count an utterance."""
        passed = time.monotonic() - self._begun
        left = max(0.0, passed * (self._seconds / seconds - 1)) if seconds else 0.0
        text = f"{clock(seconds)} of {clock(self._seconds)}, about {clock(left)} left"
        self.move(completed=number, beside=text)
        self._report(f"{self._name}: {number} of {self._total} utterances, {text}")

    def _report(self, text: str) -> None:
        """Say it where there is no bar, now and then."""
        now = time.monotonic()
        if not self.is_shown and now - self._reported >= _QUIET_SECONDS:
            self._reported = now
            logger.info("%s", text)


class StudyProgress(LiveLine):
    """Listens to a study; shows a bar where stderr is a terminal, and a line per run everywhere."""

    def __init__(self) -> None:
        super().__init__("{task.description}")
        self._done, self._total, self._start = 0, 0, 0.0

    def on_stage(self, what: str, total: int) -> None:
        """Begin the bar anew."""
        self._done, self._total, self._start = 0, total, time.perf_counter()
        self.show(what, total=total)

    def on_done(self, what: str) -> None:
        """Move the bar, with the time that is left at the pace so far."""
        self._done += 1
        pace = (time.perf_counter() - self._start) / self._done
        num_left = self._total - self._done
        left = f"about {clock(pace * num_left)} left" if num_left else ""
        self.move(completed=self._done, beside=left)
        self.console.print(f"{self._done}/{self._total}  {what}  {left}".rstrip())
