"""Where trials are kept: a database that this or many machines write to, by way of Optuna."""

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, StorageInternalError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import Study as TrialStudy
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from mien.errors import ConfigError

__all__ = [
    "DESCRIBED",
    "ENDED",
    "PLACE",
    "REASON",
    "SPENT",
    "SURPLUS",
    "UNCOUNTED",
    "VALUES",
    "Claim",
    "TrialDatabase",
    "count_spent",
    "default_url",
    "tell_of_database",
]

#: What a database keeps of a tuning and of a trial beyond what Optuna does itself.
DESCRIBED: Final = "described"
PLACE: Final = "place"
ENDED: Final = "ended"
REASON: Final = "reason"
SPENT: Final = "spent"
VALUES: Final = "values"
#: Is noted of a trial that was refused, which is none of the budget; earlier versions counted it.
UNCOUNTED: Final = "uncounted"
#: How a trial ended that was begun although others had used up the budget.
SURPLUS: Final = "surplus"

_PATIENCE = 120  # seconds to wait for a database of one file that others write to
#: How often a database is opened whose tables another process makes at the same time, and the
#: seconds between.
_OPENINGS, _BETWEEN = 20, 0.5


def count_spent(trials: Sequence[FrozenTrial], most: int) -> int:
    """Return how many trials count in a budget.

    Those that were refused do not, unless they are more than the budget has trials: then so few
    settings of the space go together that there is an end to it.

    Args:
        trials: Those of the tuning.
        most: How many trials the budget has.
    """
    free = [bool(each.user_attrs.get(UNCOUNTED)) for each in trials]
    return len(free) - min(sum(free), most)


def default_url(out: Path) -> str:
    """Return the address of the database in a folder."""
    return f"sqlite:///{out.resolve() / 'trials.db'}"


class Claim:
    """A trial that this process is at; nobody else is, as long as it holds the lock of it.

    Attributes:
        trial: The trial.
        before: What was known of it when it was taken.
    """

    def __init__(self, trial: Trial, before: FrozenTrial, lock: FileLock) -> None:
        self.trial, self.before, self._lock = trial, before, lock

    def release(self) -> None:
        """Let it go; to be called when it has ended."""
        Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()


class TrialDatabase:
    """The trials of one tuning.

    Args:
        url: Address of the database, as SQLAlchemy has it.
        name: The tuning in it.

    Raises:
        ConfigError: If there is no such database, or it cannot be written.
    """

    def __init__(self, url: str, name: str) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.url, self.name = url, name
        self._storage = _open_storage(url)
        self._reading: TrialStudy | None = None

    def begin(self, described: Mapping[str, Any], *, is_maximised: bool) -> None:
        """Make the tuning, or check that the one that is there is the same.

        Args:
            described: What all trials of it must share.
            is_maximised: Whether larger values are better.

        Raises:
            ConfigError: If another tuning has the name.
        """
        direction = StudyDirection.MAXIMIZE if is_maximised else StudyDirection.MINIMIZE
        with _explained(self.url):
            try:
                number = self._storage.create_new_study([direction], study_name=self.name)
            except DuplicatedStudyError:
                number = self._storage.get_study_id_from_name(self.name)
            before = self._storage.get_study_user_attrs(number).get(DESCRIBED)
            if before is None:  # another process may have begun it at the same time
                self._storage.set_study_user_attr(number, DESCRIBED, dict(described))
                before = self._storage.get_study_user_attrs(number)[DESCRIBED]
            if changed := [k for k in described if before.get(k) != described[k]]:
                raise ConfigError(
                    f"the tuning {self.name!r} in {_shown(self.url)} was begun with another "
                    f"{changed[0]}; go on with what it was begun with, or give another --out or "
                    "--study"
                )

    def study(
        self, sampler: BaseSampler | None = None, pruner: BasePruner | None = None
    ) -> TrialStudy:
        """Return it as Optuna has it; to draw settings it must have a sampler."""
        return TrialStudy(
            study_name=self.name, storage=self._storage, sampler=sampler, pruner=pruner
        )

    def trials(self) -> list[FrozenTrial]:
        """Return every trial that counts, by number."""
        if self._reading is None:  # reads a trial that has ended once
            self._reading = self.study()
        trials = self._reading.get_trials(deepcopy=False)
        return [trial for trial in trials if trial.user_attrs.get(ENDED) != SURPLUS]

    def take(
        self,
        study: TrialStudy,
        most: int,
        folder: Path,
        place: str,
        *,
        is_own: bool,
        draw: Callable[[Trial], object],
        has_others: Callable[[Sequence[FrozenTrial]], bool],
    ) -> Claim | None:
        """Return a trial to make: one that was left half finished here, or a new one.

        Args:
            study: What ``study`` returned.
            most: How many trials there are to be.
            folder: The folder of the trials of this place.
            place: Names this folder among those of other machines.
            is_own: Whether the database is written from here alone.
            draw: Draws the settings of a new trial, before others draw theirs.
            has_others: Whether there are settings that none of some trials has.

        Returns:
            The trial; None if there is no other to be made.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "taking.lock"):
            counted = self.trials()
            for each in counted:
                is_here = is_own or each.user_attrs.get(PLACE) == place
                if each.state is TrialState.RUNNING and is_here:
                    claim = self._claim(study, each.number, folder)
                    if claim is not None:
                        return claim
            if count_spent(counted, most) >= most or not has_others(counted):
                return None
            trial = study.ask()
            trial.set_user_attr(PLACE, place)
            before = [each for each in self.trials() if each.number < trial.number]
            if count_spent(before, most) >= most or not has_others(before):
                trial.set_user_attr(ENDED, SURPLUS)  # other machines were faster
                study.tell(trial, state=TrialState.FAIL)
                return None
            draw(trial)
            return self._claim(study, trial.number, folder)

    def _claim(self, study: TrialStudy, number: int, folder: Path) -> Claim | None:
        """Return a trial that nobody is at; None if somebody is, or it has ended."""
        lock = FileLock(folder / f"trial-{number:04d}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return None
        of_study = self._storage.get_study_id_from_name(self.name)
        row = self._storage.get_trial_id_from_study_id_trial_number(of_study, number)
        now = self._storage.get_trial(row)
        if now.state is not TrialState.RUNNING:
            lock.release()
            return None
        return Claim(Trial(study, row), now, lock)


def _open_storage(url: str) -> BaseStorage:
    try:
        address = make_url(url)
    except SQLAlchemyError as error:
        raise ConfigError(
            f"--storage {url!r}: is no address of a database, such as "
            "postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE"
        ) from error
    is_file = address.get_backend_name() == "sqlite"
    if is_file and address.database in (None, "", ":memory:"):
        raise ConfigError(
            f"--storage {url!r}: is gone when the command ends; name a file: sqlite:///FILE"
        )
    options = {"connect_args": {"timeout": _PATIENCE}} if is_file else {"pool_pre_ping": True}
    with _explained(url), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        for _ in range(_OPENINGS - 1):
            try:
                return RDBStorage(url, engine_kwargs=options)
            except DBAPIError as error:  # what two processes that make its tables do to each other
                if not isinstance(error, IntegrityError) and "already exists" not in str(error):
                    raise
                time.sleep(_BETWEEN)
        return RDBStorage(url, engine_kwargs=options)


@contextmanager
def tell_of_database(url: str) -> Iterator[None]:
    """Raise what a database does not do any more as one sentence.

    Args:
        url: Its address.

    Raises:
        ConfigError: If it cannot be reached, read or written.
    """
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise ConfigError(
            f"--storage {_shown(url)}: cannot be used any more ({reason}); the trials that have "
            "ended are kept, and the same command goes on once it can"
        ) from error


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Raise what a database cannot do as one sentence."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, ImportError, RuntimeError) as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise ConfigError(
            f"--storage {_shown(url)}: cannot be used ({reason}); check the address, and that "
            "its driver is installed"
        ) from error


def _shown(url: str) -> str:
    return make_url(url).render_as_string(hide_password=True)
