"""Seeds that are trained side by side: a line for each epoch, and how many seeds are done."""

import time

from mien.cli.progress.epoch_lines import format_epoch, format_epoch_heading
from mien.cli.progress.live_line import LiveLine
from mien.reports.text import clock
from mien.training.listening import EpochRecord
from mien.training.settings import TrainConfig

__all__ = ["SeedsBoard"]


class SeedsBoard:
    """Shows on a line how seeds go on that are trained at the same time.

    Args:
        line: Prints, and shows the bar.
        num_seeds: Seeds that are to be trained.
    """

    def __init__(self, line: LiveLine, num_seeds: int) -> None:
        self._line, self._num_seeds, self._num_done = line, num_seeds, 0
        self._begun = time.monotonic()
        self._names: dict[str, str] = {}
        self._running: dict[str, int] = {}
        self._best: dict[str, int] = {}
        self._has_heading = False

    def begin(self, seed: str, number: int, total: int) -> None:
        """Print that a seed begins, by what it is called: ``seed 1111``."""
        self._names[seed] = f"{seed} ({number} of {total})"
        self._running[seed] = 0
        self._line.print(f"{self._names[seed]} begins")
        if self._num_done == 0 and len(self._running) == 1:
            self._line.show("seeds", total=self._num_seeds)
        self._move()

    def add_epoch(self, seed: str, record: EpochRecord, config: TrainConfig) -> None:
        """Print the line of an epoch, with its seed before it."""
        name = self._names[seed]
        if not self._has_heading:
            self._has_heading = True
            for text in format_epoch_heading(record).split("\n"):
                self._line.print(f"{'':<{len(name)}}  {text}")
        self._running[seed] = record.epoch
        if record.is_best:
            self._best[seed] = record.epoch
        text = format_epoch(record, config, best=self._best.get(seed, 0))
        seconds = f"{record.seconds:.1f}" if record.seconds < 10 else f"{record.seconds:.0f}"
        self._line.print(f"{name}  {text}  {seconds} s")
        self._move()

    def end(self, seed: str) -> None:
        """Print that a seed has ended, and the time that is left at the pace so far."""
        self._num_done += 1
        self._running.pop(seed)
        passed = time.monotonic() - self._begun
        left = passed / self._num_done * (self._num_seeds - self._num_done)
        parts = [f"{self._names[seed]} has ended", f"{clock(passed)} so far"]
        if self._num_done < self._num_seeds:
            parts.append(f"about {clock(left)} left")
        self._line.print(", ".join(parts))
        self._move()

    def _move(self) -> None:
        running = [f"{seed} after epoch {epoch}" for seed, epoch in self._running.items()]
        beside = f"now: {'; '.join(running)}" if running else ""
        self._line.move(completed=self._num_done, beside=beside)
