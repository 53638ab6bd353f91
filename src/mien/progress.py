"""What a terminal shows while a model trains."""

from mien.live import LiveLine, clock
from mien.steps import TrainConfig
from mien.tables import format_epoch, format_epoch_heading
from mien.training import EpochRecord

__all__ = ["TrainingProgress"]


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
