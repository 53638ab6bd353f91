"""A process that makes one trial after the other, until there are as many as there are to be."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from optuna.trial import Trial, TrialState

from mien.errors import DivergenceError, MienError, OutputError
from mien.training.settings import ExperimentConfig
from mien.tuning.development import make_views
from mien.tuning.outcome.trial_records import GIVEN, TrialOutcome
from mien.tuning.sampling import TrialSampler, draw, make_pruner
from mien.tuning.space import SearchSpace, Value
from mien.tuning.trial_database import (
    ENDED,
    REASON,
    SPENT,
    UNCOUNTED,
    VALUES,
    Claim,
    TrialDatabase,
    tell_of_database,
)
from mien.tuning.trial_training import Goal, TrialTrainer, remove_weights
from mien.tuning.tune_settings import Budget

__all__ = ["TrialWork", "make_trials"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialWork:
    """What a process must know to make trials.

    Attributes:
        number: Of the process, from 1.
        name: The tuning in the database.
        url: Address of the database.
        place: Names ``folder`` among those of other machines.
        is_own: Whether the database is written from this folder alone.
        folder: The folder of the trials.
        config: The settings as they were given.
        space: What is tried.
        budget: How many trials, and what each is.
        goal: What trials are compared by.
        store: Path of the store.
    """

    number: int
    name: str
    url: str
    place: str
    is_own: bool
    folder: Path
    config: ExperimentConfig
    space: SearchSpace
    budget: Budget
    goal: Goal
    store: Path

    def draw(self, trial: Trial) -> dict[str, Value]:
        """Return what a trial tries; nothing where the settings are those that were given."""
        return {} if trial.number == GIVEN else draw(trial, self.space)


def make_trials(work: TrialWork, on_change: Callable[[], None] | None = None) -> int:
    """Make trials, and return how many.

    Args:
        work: What to do.
        on_change: Is called when a trial has begun, and when one has ended.

    Raises:
        MienError: If the store or the database cannot be read, or files cannot be written.
    """
    torch.set_num_threads(work.config.train.threads or 1)
    database = TrialDatabase(work.url, work.name)
    sampler = TrialSampler(work.space, work.budget, work.space.find(work.config))
    study = database.study(sampler, make_pruner(work.budget, work.config))
    count = 0
    with (
        _hushed(),
        tell_of_database(work.url),
    ):  # whoever began this has logged the same of the settings as they were given
        views = make_views(work.store, work.budget.folds)
        trainer = TrialTrainer(views, work.budget.seeds, work.goal)
        while True:
            claim = database.take(
                study,
                work.budget.trials,
                work.folder,
                work.place,
                is_own=work.is_own,
                draw=work.draw,
                has_others=sampler.has_others,
            )
            if claim is None:
                return count
            if on_change is not None:
                on_change()
            outcome = _make(claim, work, trainer)
            if outcome == "finished":
                study.tell(claim.trial, _mean(claim.trial.user_attrs[VALUES]))
            else:
                study.tell(claim.trial, state=TrialState.PRUNED)
            claim.release()
            count += 1
            if on_change is not None:
                on_change()


class _Pruned(Exception):  # noqa: N818  # no fault
    """A trial is given up."""


def _make(claim: Claim, work: TrialWork, trainer: TrialTrainer) -> TrialOutcome:
    """Make a trial, or what is missing of it, and note what came of it."""
    trial, number = claim.trial, claim.trial.number
    folder = work.folder / f"trial-{number:04d}"
    course = _Course(claim)
    outcome: TrialOutcome = "finished"
    try:
        config, values = work.config, work.draw(trial)
        if values:
            config = work.space.apply(config, values)
        described = {"tuning": work.name, "place": work.place, "number": number, **values}
        trial.set_user_attr(VALUES, trainer.train(config, folder, described, course.on_epoch))
    except _Pruned:
        outcome = "pruned"
    except OutputError:  # no fault of the trial
        raise
    except DivergenceError as error:
        outcome = "diverged"
        trial.set_user_attr(REASON, str(error))
    except MienError as error:
        outcome = "refused"
        trial.set_user_attr(REASON, str(error))
        trial.set_user_attr(UNCOUNTED, value=True)
    remove_weights(folder)
    course.note()
    trial.set_user_attr(ENDED, outcome)
    return outcome


class _Course:
    """Tells the database how a trial goes on, and gives it up where others did better."""

    def __init__(self, claim: Claim) -> None:
        self._trial = claim.trial
        self._last = max(claim.before.intermediate_values, default=0)
        self._epochs, self._before = 0, float(claim.before.user_attrs.get(SPENT, (0, 0.0))[1])
        self._started = time.process_time()

    def on_epoch(self, step: int, value: float | None) -> None:
        """Note an epoch; those that the database knows from an earlier start are counted alone."""
        self._epochs += 1
        if value is None or step < self._last:
            return
        if step > self._last:
            self._trial.report(value, step)
            self.note()
        if self._trial.number != GIVEN and self._trial.should_prune():
            raise _Pruned

    def note(self) -> None:
        """Note what the trial has cost so far."""
        seconds = self._before + time.process_time() - self._started
        self._trial.set_user_attr(SPENT, [self._epochs, round(seconds, 3)])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


@contextmanager
def _hushed() -> Iterator[None]:
    """Log errors alone."""
    logger = logging.getLogger("mien")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
