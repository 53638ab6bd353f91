"""Logs of trainings for MLflow, on the server that the user names or in the run folder."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from mien.errors import require
from mien.evaluation.metrics_file.run_metrics import MetricSummary, RunMetrics
from mien.evaluation.metrics_file.seed_metrics import SeedMetrics
from mien.training.listening import EpochRecord, RunPlan
from mien.training.run_folder import RunFolder, SeedFolder
from mien.training.run_logs.epoch_table import epoch_values
from mien.training.run_logs.mlflow_tracking import LoggedNumber, MlflowTracking
from mien.training.run_logs.run_log import RunLog, SeedLog, final_values, flat_settings

__all__ = ["MlflowLog"]


class MlflowLog(RunLog):
    """Logs a run for MLflow: a run with a child for each seed; of folds, a run for each.

    They go to the tracking server that ``MLFLOW_TRACKING_URI`` or the calling program names; where
    none is named, into a database in the run folder, ``mlflow/mlflow.db``. The experiment is that
    of ``MLFLOW_EXPERIMENT_NAME``, or ``mien``. MLflow's reports about its own use are switched
    off, unless ``MLFLOW_DISABLE_TELEMETRY`` says otherwise. A server that fails while a training
    goes on does not end it: a warning says so, and resuming the run logs what is missing.

    Raises:
        ConfigError: If MLflow is not installed.
    """

    def __init__(self) -> None:
        require("mlflow", "sqlalchemy", "alembic", extra="mlflow")
        super().__init__()
        self._tracking: MlflowTracking | None = None
        self._above: Path | None = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Mark what was stopped as such."""
        super().__exit__(kind, error, trace)
        if self._tracking is not None:
            self._tracking.stop()

    def open_run(self, folder: Path, plan: RunPlan) -> None:
        """Find the tracking server, and the experiment there.

        Raises:
            TrainingError: If the server cannot be used.
        """
        if folder != plan.folder:
            self._above = folder
        if self._tracking is None:
            self._tracking = MlflowTracking(folder)

    def open_seed(self, plan: RunPlan, seed: SeedFolder) -> SeedLog:
        """Begin or go on with the run of a seed in MLflow."""
        tracking = self._opened()
        parent = self._open_group(tracking, plan.folder, plan)
        name = f"{self._name(plan.folder)}/{seed.path.name}"
        return _SeedRun(tracking, tracking.open(seed.path, name, _describe(plan), parent))

    def on_end(self, folder: Path) -> None:
        """Log the means over the seeds, and mark the run as ended."""
        super().on_end(folder)
        if self._plan is None:
            return
        tracking, results = self._opened(), RunFolder(folder).results()
        run = self._open_group(tracking, folder, self._plan)
        step = len(results.seeds)
        numbers = [(name, value, None, step) for name, value in _means(results)]
        tracking.log_new(run, numbers)
        tracking.end(run, "FINISHED")

    def _open_group(self, tracking: MlflowTracking, folder: Path, plan: RunPlan) -> str | None:
        """Return the run in MLflow that holds those of the seeds, or of the folds."""
        parent = None
        if self._above not in (None, folder):
            parent = self._open_group(tracking, Path(str(self._above)), plan)
        return tracking.open(folder, self._name(folder), _describe(plan), parent)

    def _name(self, folder: Path) -> str:
        """Return what the run of a folder is called."""
        is_fold = self._above not in (None, folder)
        return f"{folder.parent.name}/{folder.name}" if is_fold else folder.name

    def _opened(self) -> MlflowTracking:
        if self._tracking is None:
            raise ValueError("a seed was notified of before its run began")
        return self._tracking


class _SeedRun:
    """The run of one seed in MLflow.

    Args:
        tracking: Where it is.
        run: Its id; None where the server fails.
    """

    def __init__(self, tracking: MlflowTracking, run: str | None) -> None:
        self._tracking, self._run = tracking, run

    def add(self, records: Sequence[EpochRecord], times: Sequence[float]) -> None:
        """Log the numbers of epochs that the server does not have yet."""
        numbers: list[LoggedNumber] = [
            (name, value, time, record.epoch)
            for record, time in zip(records, times, strict=True)
            for name, value in epoch_values(record).items()
        ]
        self._tracking.log_new(self._run, numbers)

    def end(self, results: SeedMetrics | None, failure: str | None) -> None:
        """Log final metrics, and how the run ended."""
        if results is not None:
            step = results.best_epoch
            numbers = [(name, value, None, step) for name, value in final_values(results).items()]
            self._tracking.log_new(self._run, numbers)
            self._tracking.end(self._run, "FINISHED")
            return
        if failure is not None:
            self._tracking.tag(self._run, "mien.failure", failure)
        self._tracking.end(self._run, "KILLED" if failure is None else "FAILED")


def _describe(plan: RunPlan) -> dict[str, str]:
    """Return settings as MLflow's parameters."""
    return {name: str(value) for name, value in flat_settings(plan.config).items()}


def _means(results: RunMetrics) -> Iterator[tuple[str, float]]:
    """Yield means over the seeds by name, as ``final_values`` names them, and deviations."""
    tables: list[tuple[str, Mapping[str, Mapping[str, MetricSummary]]]] = [
        *results.splits.items(),
        *(
            (split, {target: tasks.get("fusion", {}) for target, tasks in own.items()})
            for split, own in results.targets.items()
        ),
    ]
    for split, groups in tables:
        for group, summaries in groups.items():
            for metric, summary in summaries.items():
                name = f"final/{split}/{group}/{metric}"
                if summary.mean is not None:
                    yield name, float(summary.mean)
                if summary.deviation is not None:
                    yield f"{name}/deviation", float(summary.deviation)
