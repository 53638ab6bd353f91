"""Shows how a run goes on, and keeps the lines in the run folder."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from mien.cli.progress.epoch_lines import format_epoch, format_epoch_heading
from mien.cli.progress.live_line import LiveLine
from mien.cli.progress.pace import EpochPace
from mien.cli.progress.plan_lines import format_bound, format_plan
from mien.cli.progress.seeds_board import SeedsBoard
from mien.files.atomic import output_error
from mien.files.reading import as_printable
from mien.reports.text import clock
from mien.training.listening import EpochRecord, RunPlan
from mien.training.settings import PublishedRecipe, TrainConfig

__all__ = ["TrainingProgress"]


class TrainingProgress(LiveLine):
    """Listens to a run: says what it does, how far it is, and how long it takes at most.

    The lines, and those of the log, are added to ``train.log`` in the run folder once that is
    there.

    Args:
        name: What the settings are called.
        published: What the published results had, if the settings are published ones.
    """

    def __init__(self, name: str, published: PublishedRecipe | None = None) -> None:
        super().__init__(" clips")
        self._name, self._published = name, published
        self._plan: RunPlan | None = None
        self._log: _RunLog | None = None
        self._clock = _SeedClock()
        self._board: SeedsBoard | None = None
        self._seed = self._fold = ""
        self._is_over_folds = False
        self._best = 0
        self._has_heading = self._has_bound = False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the live line away, and end the log."""
        super().__exit__(kind, error, trace)
        if self._log is not None:
            logging.getLogger("mien").removeHandler(self._log)

    def print(self, *lines: str) -> None:
        """Print lines that stay, and keep them in the run folder."""
        super().print(*lines)
        if self._log is not None:
            self._log.add(*lines)

    def on_folds(self, folder: Path, plans: Sequence[RunPlan]) -> None:
        """Print how many folds there are; what they do is printed as each of them begins."""
        self._is_over_folds = True
        self._begin(folder, plans)
        self.print(f"{self._name}: {len(plans)} folds; to {folder}")

    def on_fold(self, fold: str) -> None:
        """Name the fold before its seeds."""
        self._fold = f"{fold}, "

    def on_begin(self, plan: RunPlan) -> None:
        """Print what the run is going to do."""
        self._plan = plan
        if not self._is_over_folds:
            self._begin(plan.folder, [plan])
        self.print(*format_plan(self._name, plan, self._published))

    def _begin(self, folder: Path, plans: Sequence[RunPlan]) -> None:
        """Begin the log, the clock and, where seeds are trained side by side, their board."""
        self._log = _RunLog(folder / "train.log")
        logging.getLogger("mien").addHandler(self._log)
        num_left = sum(len(plan.seeds) - len(plan.ended) for plan in plans)
        self._clock.begin(num_left)
        self._board = SeedsBoard(self, num_left) if plans[0].jobs else None

    def on_stage(self, what: str) -> None:
        """Show what takes its time now."""
        self.wait(what)

    def on_seed(self, seed: int, number: int, total: int) -> None:
        """Print the heading of a seed, with the time so far and that left."""
        if self._log is not None:
            self._log.open()
        if self._board is not None:
            self._board.begin(self._call(seed), number, total)
            return
        self._seed = f"{self._call(seed)} ({number} of {total})"
        self.print(", ".join([self._seed, *self._clock.begin_seed()]))
        self._best, self._has_heading = 0, False
        self.show(self._seed, total=None)

    def on_resume(self, records: Sequence[EpochRecord]) -> None:
        """Print where the seed goes on."""
        self._best = max((record.epoch for record in records if record.is_best), default=0)
        self.print(f"goes on after epoch {records[-1].epoch}; the best so far is {self._best}")

    def on_evidence(self, epoch: int, done: int, total: int) -> None:
        """Move the bar while evidence is gathered."""
        most = getattr(self._plan.config.labels, "evidence_epochs", 0) if self._plan else 0
        text = f"{self._seed}, evidence for labels, {_number_epoch(epoch, most)}"
        self.move(description=text, completed=done, total=total)

    def on_step(self, epoch: int, done: int, total: int) -> None:
        """Move the bar; say how long it takes once that is known."""
        self._clock.begin_epochs()
        self._clock.pace.note_step(time.monotonic(), done, total)
        most = self._plan.config.train.epochs if self._plan else 0
        text = f"{self._seed}, {_number_epoch(epoch, most)}"
        self.move(description=text, completed=done, total=total)
        if self._plan is not None:
            self._print_bound(self._plan.config.train, epoch - 1)

    def on_epoch(self, record: EpochRecord, config: TrainConfig) -> None:
        """Print the epoch's line, with its time and the time that is left at most."""
        self._clock.pace.note_epoch(record.seconds)
        self._print_bound(config, record.epoch)
        if not self._has_heading:
            self._has_heading = True
            self.print(*format_epoch_heading(record).split("\n"))
        self._best = record.epoch if record.is_best else self._best
        seed_left, run_left = self._clock.bound(config.epochs, record.epoch)
        is_last = self._clock.num_left == 1
        text = f"at most {clock(seed_left)} left{'' if is_last else ' of this seed'}"
        seconds = f"{record.seconds:.1f}" if record.seconds < 10 else f"{record.seconds:.0f}"
        self.print(f"{format_epoch(record, config, best=self._best)}  {seconds} s, {text}")
        self.move(beside=text if is_last else f"{text}, {clock(run_left)} of all")

    def on_seed_epoch(self, seed: int, record: EpochRecord, config: TrainConfig) -> None:
        """Print the line of an epoch of one of several seeds."""
        if self._board is not None:
            self._board.add_epoch(self._call(seed), record, config)

    def on_seed_end(self, seed: int, number: int, total: int) -> None:
        """Print that one of several seeds has ended."""
        del number, total
        if self._board is not None:
            self._board.end(self._call(seed))

    def _call(self, seed: int) -> str:
        """Return what a seed is called in lines."""
        return f"{self._fold}seed {seed}"

    def _print_bound(self, config: TrainConfig, num_done: int) -> None:
        """Print once how long the training takes at most, as soon as that is known."""
        seconds = self._clock.pace.epoch_seconds
        if self._has_bound or seconds is None or num_done >= config.epochs:
            return
        self._has_bound = True
        self.print(
            format_bound(
                config,
                epoch_seconds=seconds,
                num_left=config.epochs - num_done,
                run_seconds=self._clock.bound(config.epochs, num_done)[1],
                num_seeds=self._clock.num_left,
            )
        )


def _number_epoch(epoch: int, most: int) -> str:
    return f"epoch {epoch} of at most {most}" if most else f"epoch {epoch}"


class _SeedClock:
    """Times of a run: of its seeds, of what comes before their epochs, and of the epochs."""

    def __init__(self) -> None:
        self.pace = EpochPace()
        self.num_left = 0
        self._begun = self._seed_begun = time.monotonic()
        self._seeds: list[float] = []
        self._before_epochs: float | None = None
        self._is_in_seed = False

    def begin(self, num_seeds: int) -> None:
        """Begin the run, which has so many seeds to train."""
        self._begun, self.num_left = time.monotonic(), num_seeds

    def begin_seed(self) -> list[str]:
        """Begin a seed, and return what is known of the time of the run."""
        now = time.monotonic()
        if self._is_in_seed:
            self._seeds.append(now - self._seed_begun)
            self.num_left -= 1
        self._seed_begun, self._is_in_seed, self._before_epochs = now, True, None
        if not self._seeds:
            return []
        left = sum(self._seeds) / len(self._seeds) * self.num_left
        return [f"{clock(now - self._begun)} so far", f"about {clock(left)} left"]

    def begin_epochs(self) -> None:
        """Take note that the epochs of the seed have begun."""
        if self._before_epochs is None:
            self._before_epochs = time.monotonic() - self._seed_begun

    def bound(self, num_epochs: int, num_done: int) -> tuple[float, float]:
        """Return the seconds that the seed and the run have left at most."""
        epoch = self.pace.epoch_seconds or 0.0
        of_seed = epoch * (num_epochs - num_done)
        further = (self._before_epochs or 0.0) + epoch * num_epochs
        return of_seed, of_seed + max(0, self.num_left - 1) * further


class _RunLog(logging.Handler):
    """Adds lines to a file, once its folder is there; until then they are kept."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.INFO)
        self._path = path
        self._waiting: list[str] | None = [time.strftime("started %Y-%m-%d %H:%M:%S")]

    def open(self) -> None:
        """Write what was kept, and everything that comes at once."""
        lines, self._waiting = self._waiting, None
        if lines:
            self.add(*lines)

    def add(self, *lines: str) -> None:
        """Add lines.

        Raises:
            OutputError: If they cannot be written.
        """
        if self._waiting is not None:
            self._waiting += lines
            return
        text = "".join(f"{as_printable(line)}\n" for line in lines)
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise output_error(self._path, error) from error

    def emit(self, record: logging.LogRecord) -> None:
        """Add a line of the log."""
        self.add(record.getMessage())
