"""Trained models on a split of a store to which everything imaginable is done, to one page.

OUT/
    index.md             tables and figures
    results.json         every number, unrounded
    results.csv          the same as a table: a row for each run, curve, point and metric
    *.png                the figures
    state.json           what was tested on what; a test that was stopped goes on if it is the same
    predictions/RUN/N/   what checkpoint N of a run predicts under each condition
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mien.corpora import metric_family
from mien.data.store import Store, open_store
from mien.errors import CheckpointError, ConfigError
from mien.evaluation.evaluate import evaluated_rows
from mien.evaluation.predictions import write_predictions
from mien.evaluation.scoring import SplitScorer
from mien.files.json_values import write_json
from mien.files.temporaries import sweep_folder
from mien.reports.target_results.compared_scores import units_of
from mien.studies.robustness.stress_curves import RunScores, curves_of
from mien.studies.robustness.stress_page import write_results
from mien.studies.robustness.stress_values import RobustnessResults
from mien.studies.robustness.stressed_split import StressedSplit, score_changed
from mien.studies.robustness.tested_run import TestedRun, open_tested
from mien.studies.study_listener import StudyListener
from mien.training.checkpoints.absent_series import read_without
from mien.training.checkpoints.baseline_use import BaselineUse, reads_speakers
from mien.training.loading import ModelOnStore, dataset_of, load_trained
from mien.training.preparation import require_labels
from mien.training.run_folder import read_json
from mien.types import Split, Task

__all__ = ["RobustnessReport", "evaluate_robustness"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustnessReport:
    """What a test of robustness left.

    Attributes:
        page: The page, ``index.md``.
        results: What was found, as ``results.json`` holds it.
    """

    page: Path
    results: RobustnessResults


def evaluate_robustness(
    runs: Sequence[str | Path],
    store: Store | str | Path,
    out: str | Path,
    *,
    split: Split = "test",
    protocol: str = "full",
    kinds: Sequence[str] = (),
    levels: Sequence[float] = (),
    seed: int = 1111,
    baseline: BaselineUse | None = None,
    without: Collection[str] = (),
    figures: Literal["png", "pdf", "svg"] = "png",
    command: str = "mien robustness",
    listener: StudyListener | None = None,
) -> RobustnessReport:
    """Test trained models on clips from which something is lost, or in which something is wrong.

    A test that was stopped goes on where it stopped.

    Args:
        runs: Run folders, all seeds of which are tested, or checkpoints. Others are compared with
            the first.
        store: Annotated data with the series that the models were trained on.
        out: Folder for the page.
        split: Which clips.
        protocol: What is tested: key of ``PROTOCOLS``.
        kinds: Keys of ``KINDS`` to keep; all of the protocol if empty.
        levels: Levels in the place of those of every kind.
        seed: Seed of what is drawn: the same clips lose the same, whatever model is tested.
        baseline: Whether models that were trained with baselines read clips against the other
            clips of their speakers, which lose nothing; None for what they do as a rule.
        without: Modalities that are left out of every model that reads them, as if no clip had
            them: nothing of them is read, and nothing is done to them.
        figures: Format in which figures are written too; PNG always.
        command: The command that repeats it, for the page.
        listener: Follows how it goes on.

    Raises:
        ConfigError: If a name is not known, or nothing can be tested.
        CheckpointError: If a run has no sound checkpoint, or does not fit the store, or ``out``
            holds another test.
    """
    store, out, left_out = open_store(store), Path(out), read_without(without)
    require_labels(store)
    tested = [
        open_tested(Path(run), out, store, split, protocol, kinds, levels, baseline, left_out)
        for run in runs
    ]
    unread = [m for m in left_out if not any(m in run.without for run in tested)]
    if unread:
        raise ConfigError(f"--without {unread[0]}: no run reads it; name something that one reads")
    if all(run.baseline is None for run in tested):
        reads_speakers(tested[0].config, tested[0].checkpoints[0], baseline)
    _check_names(tested)
    if not any(run.stresses for run in tested):
        reasons = [r for run in tested for r in run.facts.left_out.values()]
        raise ConfigError(f"robustness: nothing can be tested: {reasons[0] if reasons else kinds}")
    _begin(out, tested, store, split, seed)
    for run in tested:
        _score(run, store, split, seed, listener)
    if listener is not None:
        listener.on_stage("computing intervals", 1)
    results = _evaluate(tested, store, split, protocol, seed, command)
    page = write_results(results, out, figures)
    if listener is not None:
        listener.on_done("intervals")
    return RobustnessReport(page=page, results=results)


def _check_names(tested: Sequence[TestedRun]) -> None:
    names = [run.name for run in tested]
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice:
        raise ConfigError(
            f"robustness: two runs are called {twice[0]!r}; rename a folder, or test them apart"
        )


def _begin(out: Path, tested: Sequence[TestedRun], store: Store, split: Split, seed: int) -> None:
    """Refuse a folder that holds another test; write down what is tested."""
    state: dict[str, Any] = {
        "format": 1,
        "store": store.meta.fingerprint,
        "split": split,
        "seed": seed,
        "version": metadata.version("mien"),
    }
    checkpoints = {run.name: list(run.facts.checkpoints) for run in tested}
    path = out / "state.json"
    before: dict[str, Any] = read_json(path) if path.is_file() else {}
    known, uses = dict(before.get("runs", {})), dict(before.get("baselines", {}))
    chosen = {run.name: run.baseline for run in tested if run.baseline is not None}
    left_out = {run.name: list(run.without) for run in tested if run.without}
    earlier = before.get("without", {})
    is_other = any(before.get(key, value) != value for key, value in state.items())
    is_other |= any(known.get(name, own) != own for name, own in checkpoints.items())
    is_other |= any(uses.get(name, own) != own for name, own in chosen.items())
    is_other |= any(earlier.get(n) != left_out.get(n) for n in checkpoints.keys() & known.keys())
    if is_other:
        raise CheckpointError(
            f"{path}: belongs to a test of other weights, clips, baselines, --without, seed or "
            "version; give another --out, or remove the folder"
        )
    if not before and out.exists() and any(out.iterdir()):
        raise CheckpointError(f"{out}: holds something else than such a test; give another --out")
    out.mkdir(parents=True, exist_ok=True)
    sweep_folder(out)
    uses |= chosen
    others: dict[str, Any] = {"baselines": uses, "without": {**earlier, **left_out}}
    others = {key: value for key, value in others.items() if value}
    write_json(path, {**state, "runs": {**known, **checkpoints}, **others}, indent=1)


def _score(
    run: TestedRun, store: Store, split: Split, seed: int, listener: StudyListener | None
) -> None:
    """Predict under every condition that is not done yet, with every checkpoint of a run."""
    waiting = [condition for condition in run.conditions if not run.is_done(condition)]
    if listener is not None:
        listener.on_stage(f"{run.name}: conditions", len(waiting))
    if not waiting:
        return
    trained = [
        load_trained(checkpoint, store, baseline=run.baseline, without=run.without)
        for checkpoint in run.checkpoints
    ]
    _warn(trained, split)
    scorers = [SplitScorer(each.model, dataset_of(each.prepared, split)) for each in trained]
    stressed = StressedSplit(trained[0].prepared, split, run.config, seed)
    for number in range(len(scorers)):
        folder = run.folder / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        sweep_folder(folder)
    for condition in waiting:
        changes = stressed.apply(condition)
        for number, scorer in enumerate(scorers):
            path = run.file(number, condition)
            if not path.is_file():
                write_predictions(score_changed(scorer, changes), path)
        if listener is not None:
            listener.on_done(f"{run.name}: {condition.name}")


def _warn(trained: Sequence[ModelOnStore], split: Split) -> None:
    warnings = [warning for each in trained for warning in each.warnings]
    warnings += trained[0].warn_of_seen(dataset_of(trained[0].prepared, split))
    for warning in dict.fromkeys(warnings):
        logger.warning("%s", warning)


def _evaluate(
    tested: Sequence[TestedRun],
    store: Store,
    split: Split,
    protocol: str,
    seed: int,
    command: str,
) -> RobustnessResults:
    scores = [
        RunScores(
            name=run.name,
            stresses=run.stresses,
            predictions={condition: run.read(condition) for condition in run.conditions},
            calibrations=run.calibrations,
            target_calibrations=run.target_calibrations,
        )
        for run in tested
    ]
    family = metric_family(store.meta.name, store.scale)
    first = next(iter(scores[0].predictions.values()))[0]
    shared = [
        target
        for target in tested[0].headers[0].targets
        if all(target in run.headers[0].targets for run in tested)
        and evaluated_rows(first, Task.FUSION, target.name).any()
    ]
    has_sentiment = (
        all(run.headers[0].has_sentiment for run in tested)
        and evaluated_rows(first, Task.FUSION).any()
    )
    if not has_sentiment and not shared:
        raise CheckpointError(
            f"robustness: there is nothing that all of {', '.join(run.name for run in tested)} "
            f"predict and that is annotated in {split} of {store.path}"
        )
    stresses, num_without = curves_of(
        scores, family, store.scale, split, has_sentiment=bool(has_sentiment), targets=shared
    )
    calibrations = scores[0].calibrations if has_sentiment else None
    with_sets = {t.name for t in shared if t.has_shares}
    levels = {n: c[0].level for n, c in scores[0].target_calibrations.items() if n in with_sets}
    unit, units = units_of(first, np.arange(len(first)))
    return RobustnessResults(
        corpus=store.meta.name,
        is_synthetic=store.meta.is_synthetic,
        fingerprint=store.meta.fingerprint,
        family=family,
        targets={target.name: str(target.kind) for target in shared},
        split=split,
        num_clips=len(first),
        num_units=len(np.unique(units)),
        unit=unit,
        coverage_level=calibrations[0].level if calibrations else None,
        set_levels=levels,
        num_without_width=num_without,
        protocol=protocol,
        seed=seed,
        runs={run.name: run.facts for run in tested},
        stresses=stresses,
        versions={name: metadata.version(name) for name in ("mien", "torch", "numpy")},
        command=command,
    )
