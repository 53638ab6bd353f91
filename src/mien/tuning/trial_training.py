"""One trial: a training for each fold and seed, of which only its epochs are kept.

FOLDER/
    trial.json                  what the trial is; files of another one are removed
    fold-1/seed-1111/           seed-1111/ where there are no folds
        epochs.jsonl            a line per epoch, as in a run folder
        ended.json              its value, when it has ended; its weights are removed then
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.errors import CheckpointError, DivergenceError
from mien.files.json_values import write_json
from mien.files.temporaries import sweep_folder
from mien.training.listening import EpochRecord, RunListener
from mien.training.preparation import Prepared, prepare, require_labels
from mien.training.run_folder import SeedFolder, read_json
from mien.training.seeds.seed_training import train_seed
from mien.training.settings import ExperimentConfig, TrainConfig
from mien.training.targets.validation import choose_monitor
from mien.tuning.development import DevelopmentStore

__all__ = ["Goal", "TrialTrainer", "find_goal", "remove_weights"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What trials are compared by: a metric on valid, in the best epoch.

    Attributes:
        metric: Its name among those of an epoch.
        is_maximised: Whether more of it is better.
    """

    metric: str
    is_maximised: bool


def find_goal(prepared: Prepared, config: ExperimentConfig) -> Goal:
    """Return what picks the best epoch of a training; trials are compared by the same."""
    has_targets = bool(prepared.aims.targets)
    metric, is_maximised = choose_monitor(prepared.family, config.train, has_targets=has_targets)
    return Goal(metric=metric, is_maximised=is_maximised)


#: Called after every epoch with its number in the trial, from 1, and the value of the trial so far;
#: None before the first that is defined.
OnEpoch = Callable[[int, float | None], None]


class TrialTrainer:
    """Trains the trials of a tuning, on what it is given of the store.

    Args:
        views: What is learned from and compared on: one, or one for each fold. Nothing in them is
            test.
        seeds: Seeds of the trainings of each trial.
        goal: What trials are compared by.
    """

    def __init__(self, views: Sequence[DevelopmentStore], seeds: Sequence[int], goal: Goal) -> None:
        self._views, self._seeds, self._goal = views, seeds, goal
        self._prepared: dict[tuple[int, str], Prepared] = {}

    def train(
        self,
        config: ExperimentConfig,
        folder: Path,
        described: Mapping[str, Any],
        on_epoch: OnEpoch,
    ) -> list[float]:
        """Train a trial, or what is missing of it.

        Args:
            config: Its settings.
            folder: Where its files are.
            described: What tells it from every other trial.
            on_epoch: Is told how it goes on; what it raises ends the trial.

        Returns:
            The value of each training, in the order of folds and their seeds.

        Raises:
            DivergenceError: If one diverges, or its value is not defined.
            MienError: If the settings do not fit the data.
        """
        _open(folder, described)
        values: list[float] = []
        for number, view in enumerate(self._views):
            for seed in self._seeds:
                above = folder if len(self._views) == 1 else folder / f"fold-{number + 1}"
                seed_folder = SeedFolder(above / f"seed-{seed}")
                progress = _Progress(self._goal, values, config.train, on_epoch)
                values.append(self._train_one(config, number, view, seed_folder, progress))
        return values

    def _train_one(
        self,
        config: ExperimentConfig,
        number: int,
        view: DevelopmentStore,
        folder: SeedFolder,
        progress: "_Progress",
    ) -> float:
        ended = folder.path / "ended.json"
        if ended.is_file():
            progress.on_resume([EpochRecord(**line) for line in folder.epochs()])
            return float(read_json(ended)["value"])
        folder.path.mkdir(parents=True, exist_ok=True)
        sweep_folder(folder.path)
        train_config = config.train.model_copy(update={"seeds": (folder.seed,)})
        config = config.model_copy(update={"train": train_config})
        train_seed(folder, config, self._prepare(number, view, config), None, progress)
        value = progress.best
        if value is None:
            raise DivergenceError(
                f"{self._goal.metric} on valid is not defined in any epoch, as all scores are alike"
            )
        write_json(ended, {"value": value})
        remove_weights(folder.path)
        return value

    def _prepare(self, number: int, view: DevelopmentStore, config: ExperimentConfig) -> Prepared:
        """Return the data as the settings have them; the last of each view are kept."""
        parts = config.text_encoder, config.features, config.targets, config.model.standardise
        key = number, repr(parts)
        if key not in self._prepared:
            for old in [each for each in self._prepared if each[0] == number]:
                del self._prepared[old]
            require_labels(view)
            self._prepared[key] = prepare(view, config)
        return self._prepared[key]


class _Progress(RunListener):
    """Follows one training of a trial.

    Args:
        goal: What trials are compared by.
        before: Values of the trainings before it.
        config: How it is trained.
        on_epoch: Is told after every epoch.

    Attributes:
        best: The value of its best epoch so far; None before the first that is defined.
    """

    def __init__(
        self, goal: Goal, before: Sequence[float], config: TrainConfig, on_epoch: OnEpoch
    ) -> None:
        self._goal, self._before, self._on_epoch = goal, tuple(before), on_epoch
        self._first = len(self._before) * config.epochs
        self.best: float | None = None

    def on_resume(self, records: Sequence[EpochRecord]) -> None:
        """Take in the epochs of an earlier start."""
        for record in records:
            self._take(record)

    def on_epoch(self, record: EpochRecord, config: TrainConfig) -> None:  # noqa: ARG002
        """Take in an epoch."""
        self._take(record)

    def _take(self, record: EpochRecord) -> None:
        value = record.valid[self._goal.metric]
        if record.is_best and value == value:  # NaN where it is not defined
            self.best = value
        values = (*self._before, self.best) if self.best is not None else self._before
        self._on_epoch(self._first + record.epoch, sum(values) / len(values) if values else None)


def _open(folder: Path, described: Mapping[str, Any]) -> None:
    """Make the folder of a trial, or clear that of another one."""
    path = folder / "trial.json"
    if folder.is_dir():
        try:
            is_same = read_json(path) == described
        except CheckpointError:
            is_same = False
        if is_same:
            return
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    write_json(path, dict(described))


def remove_weights(folder: Path) -> None:
    """Keep the epochs of a trial alone: trials are many, and their weights are large."""
    for path in [*folder.rglob("*.safetensors")]:
        path.unlink()
    for path in [*folder.rglob("labels")]:
        shutil.rmtree(path)
