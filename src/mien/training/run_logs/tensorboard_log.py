"""Logs of trainings for TensorBoard, as files in the run folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mien.errors import require
from mien.evaluation.metrics_file.seed_metrics import SeedMetrics
from mien.files.atomic import output_error
from mien.training.listening import EpochRecord, RunPlan
from mien.training.run_folder import SeedFolder
from mien.training.run_logs.epoch_table import epoch_values
from mien.training.run_logs.run_log import RunLog, SeedLog, final_values, flat_settings

__all__ = ["TensorBoardLog"]


class TensorBoardLog(RunLog):
    """Logs a run for TensorBoard, each seed in ``tensorboard/seed-1111`` of the run folder.

    Scalars by epoch: losses per task, validation metrics, learning rates, clipped, seconds. When
    the seed has ended: its final metrics, at the best epoch, with the settings as hyperparameters.

    Raises:
        ConfigError: If TensorBoard is not installed.
    """

    def __init__(self) -> None:
        require("tensorboard", extra="tensorboard")
        super().__init__()

    def open_run(self, folder: Path, plan: RunPlan) -> None:
        """Do nothing: the files of every seed are made when it begins."""

    def open_seed(self, plan: RunPlan, seed: SeedFolder) -> SeedLog:
        """Begin the log of a seed anew; its epochs so far are logged again."""
        return _EventFile(plan.folder / "tensorboard" / seed.path.name, plan)


class _EventFile:
    """The log of one seed, which replaces that of an earlier start.

    Args:
        folder: Where it is.
        plan: What the run does.
    """

    def __init__(self, folder: Path, plan: RunPlan) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder, self._plan = folder, plan
        try:
            for file in folder.glob("events.out.tfevents.*"):
                file.unlink()
            # a TensorBoard that reads along forgets what it has of the log from this step on
            self._writer = SummaryWriter(str(folder), purge_step=0)
        except OSError as error:
            raise output_error(folder, error) from error

    def add(self, records: Sequence[EpochRecord], times: Sequence[float]) -> None:
        """Log epochs; they are on disk when this returns."""
        for record, time in zip(records, times, strict=True):
            for name, value in epoch_values(record).items():
                self._writer.add_scalar(name, value, record.epoch, walltime=time)
        self._flush()

    def end(self, results: SeedMetrics | None, failure: str | None) -> None:
        """Log final metrics and settings, or why the seed diverged."""
        if results is not None:
            values = final_values(results)
            for name, value in values.items():
                self._writer.add_scalar(name, value, results.best_epoch)
            self._add_settings(values)
        if failure is not None:
            self._writer.add_text("failure", failure)
        self._flush()
        self._writer.close()

    def _add_settings(self, values: dict[str, float]) -> None:
        """Log settings as hyperparameters, beside which TensorBoard shows final metrics."""
        from torch.utils.tensorboard import summary

        make: Any = summary.hparams  # PyTorch gives neither of these two a type
        events: Any = self._writer.file_writer
        for made in make(flat_settings(self._plan.config), values):
            events.add_summary(made)

    def _flush(self) -> None:
        try:
            self._writer.flush()
        except OSError as error:
            raise output_error(self._folder, error) from error
