"""A tuning carried out: trials of one or several models, each with the same budget.

OUT/
    index.html        what came of it, for people; it needs no other file
    trials.db         every trial, unless a database of another place was given
    tuning.json       what the folder is
    best.toml         the best settings, as mien train takes them
    trials.csv        every trial
    trials/           the epochs of each

With several models the last three are in a folder of each, OUT/NAME.
"""

import logging
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from mien.config import dump_toml
from mien.errors import ConfigError
from mien.files.hashing import hash_json
from mien.files.source_code import code_fingerprint
from mien.files.temporaries import temporary
from mien.models import foreign_code
from mien.processes.clusters import Backend, Cluster, distribute, read_cluster
from mien.training.data_parallel.ranks import launched_count
from mien.training.loop import check_steps
from mien.training.preparation import build, prepare, require_labels
from mien.training.seeds.fitting import check_fitted
from mien.training.seeds.registered import with_registered
from mien.training.settings import ExperimentConfig, describe_doubts
from mien.training.targets.aims import check_aims
from mien.tuning.development import DevelopmentStore, make_views
from mien.tuning.outcome.trial_records import (
    FEWEST_WEIGHED,
    GIVEN,
    TrialRecord,
    Tuned,
    read_record,
    write_tuned,
)
from mien.tuning.space import SearchSpace
from mien.tuning.trial_database import (
    TrialDatabase,
    count_spent,
    default_url,
    tell_of_database,
)
from mien.tuning.trial_training import Goal, find_goal
from mien.tuning.trial_worker import TrialWork, make_trials
from mien.tuning.tune_settings import Budget, check_budget
from mien.tuning.tuning_folder import check_folder, check_holder, open_folder

__all__ = ["TuneListener", "TuneReport", "tune"]

logger = logging.getLogger(__name__)

#: The module on whose code the value of a trial depends.
_CODE = "mien.tuning.trial_training"
_LOOK_SECONDS = 1.0  # between two looks into the database
#: Share of the finished trials that is to be reached, where importances are measured.
_BETTER = 0.25


@runtime_checkable
class TuneListener(Protocol):
    """Follows a tuning."""

    def on_stage(self, what: str, total: int) -> None:
        """Note that so many trials of something begin."""

    def on_start(self, what: str) -> None:
        """Note that a trial begins."""

    def on_done(self, what: str) -> None:
        """Note that a trial has ended; what it is called stands before what came of it."""


class _SilentTuning:
    """Follows a tuning and shows nothing."""

    def on_stage(self, what: str, total: int) -> None:
        """Ignore it."""

    def on_start(self, what: str) -> None:
        """Ignore it."""

    def on_done(self, what: str) -> None:
        """Ignore it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneReport:
    """What a tuning left.

    Attributes:
        models: Every model that was tuned, in the order in which they were given.
        page: The page, ``index.html``.
    """

    models: tuple[Tuned, ...]
    page: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """A model that is to be tuned, after all that can be checked was checked."""

    name: str
    config: ExperimentConfig
    space: SearchSpace
    goal: Goal
    folder: Path
    described: Mapping[str, Any]


def tune(
    models: Mapping[str, tuple[ExperimentConfig, SearchSpace]],
    store: str | Path,
    out: str | Path,
    *,
    budget: Budget,
    jobs: int = 1,
    storage: str | None = None,
    study: str | None = None,
    backend: Backend = "local",
    address: str | None = None,
    listener: TuneListener | None = None,
) -> TuneReport:
    """Try settings on validation, and write the best of them.

    Trials are given the store without its test clips. A tuning that was stopped goes on when it is
    called again, with as many trials or more; so do several machines that call it with one
    ``storage``. With ``jobs`` 1 the same call gives the same trials.

    Args:
        models: Settings and the space of each model, by name; all get the same budget.
        store: Path of the store.
        out: Folder of what comes of it.
        budget: How many trials, and what each is.
        jobs: How many trials are made at the same time, each in a process of its own.
        storage: Address of the database; None for a file in ``out``.
        study: Name of the tuning in the database, before that of the model; None for that of the
            corpus.
        backend: Where trials are made: in processes of this machine, or on a Dask or Ray cluster
            whose machines see the store, ``out``, the cache and ``storage`` under the same names.
        address: Of the Dask scheduler or the head of the Ray cluster.
        listener: Follows how it goes on.

    Raises:
        ConfigError: If settings, space, budget or database do not fit, or the tuning that is there
            was begun with others.
        StoreError: If the store is not what it should be.
        TrainingError: If no trial of a model finished.
    """
    from mien.tuning.outcome.tuning_page import write_page  # matplotlib takes a while

    check_budget(budget)
    cluster = _read_cluster(backend, address, storage)
    if jobs < 1:
        raise ConfigError(f"jobs is {jobs}, must be at least 1")
    if launched_count() > 1:
        raise ConfigError(
            "trials are made side by side in processes of their own; start mien tune once, with "
            "--jobs, and not by torchrun or accelerate"
        )
    out, store = Path(out), Path(store)
    check_folder(out)
    views = make_views(store, budget.folds)
    prefix = study or views[0].meta.name
    check_holder(out, prefix, list(models))
    plans = [
        _plan(name, *pair, views, budget, out if len(models) == 1 else out / name)
        for name, pair in models.items()
    ]
    place = open_folder(out, prefix, list(models))
    url = storage or default_url(out)
    databases = {plan.name: TrialDatabase(url, f"{prefix}-{plan.name}") for plan in plans}
    for plan in plans:
        maximised = plan.goal.is_maximised
        databases[plan.name].begin(plan.described, is_maximised=maximised)
        _check_extent(plan, databases[plan.name], budget)
    tuned = []
    for plan in plans:
        database = databases[plan.name]
        work = [
            TrialWork(
                number=number,
                name=database.name,
                url=url,
                place=place,
                is_own=storage is None,
                folder=plan.folder.resolve() / "trials",
                config=plan.config,
                space=plan.space,
                budget=budget,
                goal=plan.goal,
                store=store.resolve(),
            )
            for number in range(1, jobs + 1)
        ]
        with tell_of_database(url):
            _make(plan, database, work, budget, cluster, out, listener or _SilentTuning())
            tuned.append(_collect(plan, database, budget))
        write_tuned(tuned[-1])
    page = write_page(tuned, out / "index.html", views[0].meta)
    return TuneReport(models=tuple(tuned), page=page)


def _read_cluster(backend: Backend, address: str | None, storage: str | None) -> Cluster | None:
    cluster = read_cluster(backend, address)
    if cluster is not None and (storage is None or storage.startswith("sqlite")):
        raise ConfigError(
            f"--backend {backend}: its machines need a database that they all reach, and a file of "
            "SQLite is none; give one with --storage postgresql://USER:PASSWORD@HOST/NAME"
        )
    return cluster


def _plan(
    name: str,
    config: ExperimentConfig,
    space: SearchSpace,
    views: list[DevelopmentStore],
    budget: Budget,
    folder: Path,
) -> _Plan:
    """Check a model: prepare the data, and build it with the settings as they were given."""
    for view in views:
        require_labels(view)
        prepared = prepare(view, config)
        check_fitted(config, prepared.aims, is_begun=False)
        check_aims(view, prepared.datasets["train"].rows, prepared.aims)
        check_steps(config.train, len(prepared.datasets["train"]))
    for sentence in describe_doubts(config, prepared.sizes):
        logger.warning("%s", sentence)
    for each in space.find_idle(views[0].meta.series):
        logger.warning(
            "%s: has none of the choices of %s; trials that differ in it alone are alike",
            *(views[0].path, each),
        )
    build(prepared, config)
    goal = find_goal(prepared, config)
    text = prepared.text.fingerprint if prepared.text else None
    described = {
        "space": hash_json(space.to_plain()),
        "set of settings": hash_json([dump_toml(config)]),
        **budget.to_plain(),
        "store": views[0].meta.fingerprint,
        "text encoder": text,
        "metric": goal.metric,
        "code": hash_json([code_fingerprint(_CODE), foreign_code(config.model.name)]),
    }
    return _Plan(
        name=name, config=config, space=space, goal=goal, folder=folder, described=described
    )


def _check_extent(plan: _Plan, database: TrialDatabase, budget: Budget) -> None:
    """Refuse a budget that has been exceeded: what was spent would not be what the page says."""
    counted = sum(read_record(trial).is_counted for trial in database.trials())
    if counted > budget.trials:
        raise ConfigError(
            f"--trials is {budget.trials}, but {counted} trials of {plan.name} have been begun; "
            f"give {counted} or more, or another --out or --study"
        )


def _make(
    plan: _Plan,
    database: TrialDatabase,
    work: list[TrialWork],
    budget: Budget,
    cluster: Cluster | None,
    out: Path,
    listener: TuneListener,
) -> None:
    """Make the trials that are missing, in this process or in several."""
    follower = _Follower(plan, database, budget, listener)
    if not follower.num_left:
        return
    if cluster is None and len(work) == 1:  # in this process, which tells of each trial itself
        make_trials(work[0], follower.look_now)
    else:
        with temporary(out / "trials", "file") as presence:
            made = distribute(
                with_registered(make_trials, [plan.config], jobs=len(work), cluster=cluster),
                work,
                len(work),
                cluster=cluster,
                presence=presence,
                on_tick=follower.look,
            )
            for _ in made:
                pass
    follower.look_now()


class _Follower:
    """Tells a listener of the trials in a database that have begun or ended since the last look."""

    def __init__(
        self, plan: _Plan, database: TrialDatabase, budget: Budget, listener: TuneListener
    ) -> None:
        self._plan, self._database, self._listener = plan, database, listener
        trials = database.trials()
        records = [read_record(trial) for trial in trials]
        self._ended = {each.number for each in records if each.state != "running"}
        self._begun = set(self._ended)
        self._best = self._better(None, records)
        ended = [trial for trial in trials if trial.number in self._ended]
        self.num_left = max(0, budget.trials - count_spent(ended, budget.trials))
        self._looked = 0.0
        before = f", {len(self._ended)} are done already" if self._ended else ""
        listener.on_stage(f"{plan.name}: trials{before}", self.num_left)

    def look(self) -> None:
        """Look, unless that was only just done."""
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self.look_now()

    def look_now(self) -> None:
        """Look into the database."""
        self._looked = time.monotonic()
        records = [read_record(trial) for trial in self._database.trials()]
        for each in records:
            if each.number not in self._begun:
                self._begun.add(each.number)
                self._listener.on_start(f"trial {each.number}")
        for each in records:
            if each.state != "running" and each.number not in self._ended:
                self._ended.add(each.number)
                self._best = self._better(self._best, [each])
                self._listener.on_done(f"trial {each.number}: {self._describe(each)}")

    def _better(self, best: TrialRecord | None, records: list[TrialRecord]) -> TrialRecord | None:
        for each in records:
            if each.state == "finished" and each.value is not None:
                sign = 1 if self._plan.goal.is_maximised else -1
                if best is None or sign * (each.value - (best.value or 0.0)) > 0:
                    best = each
        return best

    def _describe(self, each: TrialRecord) -> str:
        metric, value = self._plan.goal.metric, "-" if each.value is None else f"{each.value:.4f}"
        what = f"{metric} {value}" if each.state == "finished" else each.state
        if self._best is None or self._best is each:
            return what
        return f"{what}, best {self._best.value:.4f} of trial {self._best.number}"


def _collect(plan: _Plan, database: TrialDatabase, budget: Budget) -> Tuned:
    records = [read_record(trial) for trial in database.trials()]
    return Tuned(
        name=plan.name,
        config=plan.config,
        space=plan.space,
        budget=budget,
        goal=plan.goal,
        records=tuple(records),
        importances=_weigh(plan, database, records),
        folder=plan.folder,
    )


def _weigh(plan: _Plan, database: TrialDatabase, records: list[TrialRecord]) -> dict[str, float]:
    """Return how much each setting counts in whether a trial is among the better ones.

    Source: watanabe2023.
    """
    drawn = [each for each in records if each.state == "finished" and each.number != GIVEN]
    if len(drawn) < FEWEST_WEIGHED:
        return {}
    evaluator = PedAnovaImportanceEvaluator(target_quantile=_BETTER)
    names = [each.name for each in plan.space.ranges]
    with warnings.catch_warnings():  # that of few trials they are rough, which the page says
        warnings.simplefilter("ignore", UserWarning)
        return dict(get_param_importances(database.study(), evaluator=evaluator, params=names))
