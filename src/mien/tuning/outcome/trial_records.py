"""What a tuning leaves: its trials, the best of them, and what they have cost."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from optuna.trial import FrozenTrial, TrialState

from mien.config import dump_toml
from mien.errors import TrainingError
from mien.files.atomic import write_text
from mien.reports.text import count_words
from mien.training.settings import ExperimentConfig
from mien.tuning.space import SearchSpace, Value
from mien.tuning.trial_database import ENDED, REASON, SPENT, UNCOUNTED, VALUES
from mien.tuning.trial_training import Goal
from mien.tuning.tune_settings import Budget

__all__ = [
    "FEWEST_WEIGHED",
    "GIVEN",
    "TrialRecord",
    "Tuned",
    "read_record",
    "write_tuned",
    "write_value",
]

#: Number of the trial that has the settings as they were given.
GIVEN = 0
#: Finished trials, besides that, of which importances are measured.
FEWEST_WEIGHED = 4

TrialOutcome = Literal["finished", "pruned", "diverged", "refused", "running"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """A trial.

    Attributes:
        number: Counted from 0, which has the settings as they were given.
        state: ``finished``; ``pruned``, given up as others did better; ``diverged``; ``refused``,
            as its settings do not go together; or ``running``, here or on another machine.
        value: Mean of its trainings; of a trial that has not finished, that of its epochs so far.
        values: The value of each training, in the order of folds and their seeds.
        settings: What was tried; empty for the settings as they were given.
        epochs: How many epochs it has trained.
        cpu_seconds: Time of the processor that it took.
        reason: Why it diverged or was refused.
        course: Value so far after each epoch, by its number in the trial.
        is_counted: Whether it counts in the budget, as all do but those that were refused.
    """

    number: int
    state: TrialOutcome
    value: float | None
    values: tuple[float, ...] = ()
    settings: Mapping[str, Value] = field(default_factory=dict)
    epochs: int = 0
    cpu_seconds: float = 0.0
    reason: str = ""
    course: Mapping[int, float] = field(default_factory=dict)
    is_counted: bool = True


def read_record(trial: FrozenTrial) -> TrialRecord:
    """Return what a database has of a trial."""
    attributes = trial.user_attrs
    epochs, cpu_seconds = attributes.get(SPENT, (0, 0.0))
    is_running = not trial.state.is_finished()
    course = dict(sorted(trial.intermediate_values.items()))
    is_complete = trial.state is TrialState.COMPLETE
    return TrialRecord(
        number=trial.number,
        state="running" if is_running else attributes.get(ENDED, "finished"),
        value=trial.value if is_complete else next(reversed(course.values()), None),
        values=tuple(attributes.get(VALUES, ())),
        settings=dict(trial.params),
        epochs=int(epochs),
        cpu_seconds=float(cpu_seconds),
        reason=str(attributes.get(REASON, "")),
        course=course,
        is_counted=not attributes.get(UNCOUNTED),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """A model that was tuned.

    Attributes:
        name: What it is called: the name of its settings.
        config: The settings as they were given.
        space: What was tried.
        budget: What it was given.
        goal: What trials are compared by.
        records: Its trials, by number.
        importances: How much each setting tells whether a trial is among the best quarter; they
            sum to 1, and are empty where fewer than ``FEWEST_WEIGHED`` trials have finished.
        folder: Where its files are.
    """

    name: str
    config: ExperimentConfig
    space: SearchSpace
    budget: Budget
    goal: Goal
    records: tuple[TrialRecord, ...]
    importances: Mapping[str, float]
    folder: Path

    @property
    def finished(self) -> list[TrialRecord]:
        """The trials that have finished, by number."""
        return [each for each in self.records if each.state == "finished"]

    @property
    def best(self) -> TrialRecord:
        """The best trial that has finished; the earlier of two that are alike.

        Raises:
            TrainingError: If none has.
        """
        if not self.finished:
            reasons = [each.reason for each in self.records if each.reason]
            why = f": {reasons[0]}" if reasons else ""
            raise TrainingError(
                f"{self.folder}: no trial of {self.name} has finished{why}; change the settings "
                "or the space, and give another --out"
            )
        sign = -1 if self.goal.is_maximised else 1
        return min(self.finished, key=lambda each: (sign * (each.value or 0.0), each.number))

    @property
    def given(self) -> TrialRecord | None:
        """The trial with the settings as they were given, if it has finished."""
        return next((each for each in self.finished if each.number == GIVEN), None)

    @property
    def best_config(self) -> ExperimentConfig:
        """The settings of the best trial, with the seeds that were given."""
        settings = self.best.settings
        return self.space.apply(self.config, settings) if settings else self.config

    def count(self, state: TrialOutcome) -> int:
        """Return how many trials are in a state."""
        return sum(each.state == state for each in self.records)

    @property
    def epochs(self) -> int:
        """Epochs of all trials."""
        return sum(each.epochs for each in self.records)

    @property
    def cpu_seconds(self) -> float:
        """Time of the processor that all trials took."""
        return sum(each.cpu_seconds for each in self.records)

    @property
    def num_counted(self) -> int:
        """Trials that count in the budget."""
        return sum(each.is_counted for each in self.records)

    def describe_use(self) -> str:
        """Return what became of the budget, in words."""
        states: Sequence[TrialOutcome] = ("finished", "pruned", "diverged", "refused", "running")
        counted = [each.state for each in self.records if each.is_counted]
        parts = [f"{num} {state}" for state in states if (num := counted.count(state))]
        free = len(self.records) - len(counted)
        others = ""
        if free:
            others = f", and {free} that were refused, which the budget does not count"
        if len(counted) < self.budget.trials and not self.count("running"):
            others += ", after which there were no others to try"
        return (
            f"{count_words(len(counted), 'trial')} ({', '.join(parts)}){others}, {self.epochs:,} "
            f"epoch{'s' * (self.epochs != 1)}, "
            f"{self.cpu_seconds:,.0f} CPU seconds"
        )


def write_tuned(tuned: Tuned) -> Path:
    """Write ``trials.csv`` and ``best.toml`` into the folder of a model that was tuned.

    Returns:
        The path of ``best.toml``, which ``mien train`` takes.

    Raises:
        TrainingError: If no trial has finished.
        OutputError: If they cannot be written.
    """
    tuned.folder.mkdir(parents=True, exist_ok=True)
    write_text(tuned.folder / "trials.csv", _table(tuned))
    best, path = tuned.best, tuned.folder / "best.toml"
    head = (
        f"# {tuned.name}: the best of {count_words(tuned.num_counted, 'trial')}, trial "
        f"{best.number}, by {tuned.goal.metric} on valid: {best.value:.4f}.\n"
        f"# {tuned.budget.describe(tuned.config)}. Test was not read.\n\n"
    )
    write_text(path, head + dump_toml(tuned.best_config))
    return path


def _table(tuned: Tuned) -> str:
    """Return the trials as CSV: whatever is the same when they are made again, so no times."""
    trainings = [
        f"seed {seed}" if not tuned.budget.folds else f"fold {fold + 1} seed {seed}"
        for fold in range(max(1, tuned.budget.folds))
        for seed in tuned.budget.seeds
    ]
    names = [each.name for each in tuned.space.ranges]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["trial", "state", tuned.goal.metric, "epochs", *trainings, *names, "reason"])
    for each in tuned.records:
        values = [*each.values, *[""] * (len(trainings) - len(each.values))]
        settings = [write_value(each.settings.get(name)) for name in names]
        row = [each.number, each.state, write_value(each.value), each.epochs]
        writer.writerow([*row, *values, *settings, each.reason])
    return table.getvalue()


def write_value(value: Value | None) -> str:
    """Return a value with all its digits, as settings files have it; nothing for None."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
