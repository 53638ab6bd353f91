"""What logs of other programs share: they are brought up to what the run folder has."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, runtime_checkable

from mien.config import flatten_settings
from mien.errors import CheckpointError
from mien.evaluation.metrics_file.seed_metrics import SeedMetrics
from mien.training.listening import EpochRecord, RunListener, RunPlan
from mien.training.run_folder import RunFolder, SeedFolder
from mien.training.settings import ExperimentConfig, TrainConfig
from mien.types import Task

__all__ = ["RunLog", "SeedLog", "final_values", "flat_settings", "take_times"]


@runtime_checkable
class SeedLog(Protocol):
    """The log of one seed, in another program."""

    def add(self, records: Sequence[EpochRecord], times: Sequence[float]) -> None:
        """Log epochs.

        Args:
            records: What they gave.
            times: When each ended, in seconds since 1970.
        """

    def end(self, results: SeedMetrics | None, failure: str | None) -> None:
        """Log what the seed gave: its evaluation, or why it diverged; both None if it stopped."""


class RunLog(RunListener, ABC):
    """Listens to a run, and logs each seed with its epochs, settings and final metrics.

    What is logged is read from the run folder whenever an epoch has ended. So a run that goes on
    logs what an earlier start did not, and nothing twice; one that has ended is logged by resuming
    it. Seeds that were trained before are logged when the run ends.
    """

    def __init__(self) -> None:
        self._plans: dict[str, RunPlan] = {}
        self._plan: RunPlan | None = None
        self._seed = 0
        self._logs: dict[Path, SeedLog] = {}
        self._num_logged: dict[Path, int] = {}

    def __enter__(self) -> "RunLog":
        """Return the log, which ends with the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the logs of seeds that were stopped."""
        while self._logs:
            self._logs.popitem()[1].end(None, None)

    @abstractmethod
    def open_run(self, folder: Path, plan: RunPlan) -> None:
        """Get ready for a run, before its data are loaded.

        Args:
            folder: The folder of the run, or of the run over folds to which it belongs.
            plan: What it does.
        """

    @abstractmethod
    def open_seed(self, plan: RunPlan, seed: SeedFolder) -> SeedLog:
        """Begin or go on with the log of a seed."""

    def on_folds(self, folder: Path, plans: Sequence[RunPlan]) -> None:
        """Get ready for the runs of all folds."""
        self._plans = {plan.folder.name: plan for plan in plans}
        for plan in plans:
            self.open_run(folder, plan)

    def on_fold(self, fold: str) -> None:
        """Log what follows as that of a fold."""
        self._plan = self._plans[fold]

    def on_begin(self, plan: RunPlan) -> None:
        """Get ready for the run."""
        self._plan = plan
        if not self._plans:
            self.open_run(plan.folder, plan)

    def on_seed(self, seed: int, number: int, total: int) -> None:  # noqa: ARG002  # of all
        """Log the epochs of an earlier start."""
        self._seed = seed
        self._update(seed)

    def on_epoch(self, record: EpochRecord, config: TrainConfig) -> None:  # noqa: ARG002
        """Log the epoch."""
        self._update(self._seed)

    def on_seed_epoch(self, seed: int, record: EpochRecord, config: TrainConfig) -> None:  # noqa: ARG002
        """Log the epoch."""
        self._update(seed)

    def on_seed_end(self, seed: int, number: int, total: int) -> None:  # noqa: ARG002
        """Log what the seed gave."""
        self._end(seed)

    def on_end(self, folder: Path) -> None:
        """Log seeds that an earlier start has trained."""
        if self._plan is not None and folder == self._plan.folder:
            for seed in self._plan.ended:
                self._end(seed)

    def _update(self, seed: int) -> None:
        """Log the epochs in the folder of a seed that are not logged yet."""
        folder = self._folder(seed)
        if not (folder.path / "epochs.jsonl").is_file():
            return
        log, records = self._opened_log(folder), [EpochRecord(**line) for line in folder.epochs()]
        num = self._num_logged[folder.path]
        if records[num:]:
            log.add(records[num:], take_times(folder, records)[num:])
            self._num_logged[folder.path] = len(records)

    def _end(self, seed: int) -> None:
        self._update(seed)
        folder = self._folder(seed)
        results = folder.results() if folder.is_finished else None
        self._opened_log(folder).end(results, folder.failure)
        del self._logs[folder.path]

    def _folder(self, seed: int) -> SeedFolder:
        return RunFolder(self._present_plan().folder).seed(seed)

    def _opened_log(self, folder: SeedFolder) -> SeedLog:
        if folder.path not in self._logs:
            self._logs[folder.path] = self.open_seed(self._present_plan(), folder)
            self._num_logged[folder.path] = 0
        return self._logs[folder.path]

    def _present_plan(self) -> RunPlan:
        if self._plan is None:
            raise ValueError("a seed was notified of before its run began")
        return self._plan


def take_times(seed: SeedFolder, records: Sequence[EpochRecord]) -> list[float]:
    """Return when each epoch ended, in seconds since 1970, as if training had never paused.

    The file of the epochs was last written after the last of them; before it, each epoch took as
    long as is recorded.
    """
    path = seed.path / "epochs.jsonl"
    try:
        end = path.stat().st_mtime
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    times = []
    for record in reversed(records):
        times.append(end)
        end -= record.seconds
    return times[::-1]


def final_values(results: SeedMetrics) -> dict[str, float]:
    """Return the metrics of the best epoch by name: ``final/test/fusion/mae``, ...

    Those of a target are ``final/test/emotion/ua`` for the multimodal task; the share of clips
    whose interval holds the annotation is ``final/test/fusion/coverage``. Undefined metrics are
    left out.
    """
    values: dict[str, float | None] = {}
    for split, tasks in results.splits.items():
        for task, metrics in tasks.items():
            values |= {f"{split}/{task}/{name}": value for name, value in metrics.items()}
    for split, targets in results.targets.items():
        for target, own in targets.items():
            for name, value in own.get(Task.FUSION, {}).items():
                values[f"{split}/{target}/{name}"] = value
    if results.coverage is not None:
        for split, covered in results.coverage.splits.items():
            values |= {f"{split}/{task}/coverage": each.share for task, each in covered.items()}
    return {f"final/{name}": float(v) for name, v in values.items() if v is not None}


def flat_settings(config: ExperimentConfig) -> dict[str, str | int | float | bool]:
    """Return settings by their full name, as ``--set`` takes it; lists as text.

    >>> flat_settings(ExperimentConfig())["train.learning_rate.text"]
    5e-05
    """
    flat = flatten_settings(config.model_dump(mode="json", exclude_none=True))
    return {
        name: value if isinstance(value, str | int | float | bool) else str(value)
        for name, value in flat
    }
