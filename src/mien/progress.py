"""What a terminal shows while a model trains."""

import math

from mien.live import LiveLine, clock
from mien.steps import TrainConfig
from mien.tables import UNDEFINED
from mien.training import EpochRecord

__all__ = ["TrainingProgress", "format_epoch", "format_epoch_heading"]


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
