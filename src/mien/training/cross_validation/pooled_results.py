"""What the runs of the folds predict of the clips that they have not seen, as one run has it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mien.corpora import MetricFamily
from mien.errors import TrainingError
from mien.evaluation.evaluate import (
    evaluate_run,
    evaluate_scores,
    evaluate_targets,
    merge_seeds,
)
from mien.evaluation.metrics_file.evaluation_folder import Evaluation
from mien.evaluation.metrics_file.run_metrics import (
    FoldMetrics,
    MetricSummary,
    RunMetrics,
    SeedValues,
    run_metrics_to_json,
)
from mien.evaluation.metrics_file.seed_metrics import (
    Coverage,
    SeedCoverage,
    SeedMetrics,
    TargetCoverage,
    TaskCoverage,
    seed_metrics_to_json,
)
from mien.evaluation.predictions import Predictions, TargetPredictions, write_predictions
from mien.files.json_values import Number, write_json
from mien.training.cross_validation.fold_data import FoldStore, describe_stores
from mien.training.run_folder import RunFolder, SeedFolder

__all__ = ["pool_evaluations", "pool_folds", "pool_predictions"]


def pool_folds(out: Path, folds: Sequence[FoldStore]) -> RunFolder:
    """Write what the runs of the folds gave together into the folder above them.

    Args:
        out: The folder, with ``config.toml`` and ``environment.json``.
        folds: The folds, whose runs have ended.

    Raises:
        TrainingError: If every seed diverged in some fold.
    """
    run = RunFolder(out)
    runs = [RunFolder(out / fold.name) for fold in folds]
    results = [each.results() for each in runs]
    family: MetricFamily = results[0].family  # type: ignore[assignment]  # as a run writes it
    order = {clip.id: row for row, clip in enumerate(folds[0].store.clips)}
    pooled: dict[int, Predictions] = {}
    for seed in sorted({folder.seed for each in runs for folder in each.seeds}):
        of_folds = [each.seed(seed) for each in runs]
        predictions = _pool_seed(run.seed(seed), of_folds, order)
        if predictions is not None:
            measured = [each.results() for each in of_folds]
            _write_seed(run.seed(seed), predictions, family, measured)
            pooled[seed] = predictions
    if not pooled:
        raise TrainingError(
            f"{out}: each seed diverged in some fold: "
            f"{'; '.join(f'seed {seed}: {why}' for seed, why in run.failed_seeds.items())}; train "
            "with other settings or seeds"
        )
    metrics = _measure(folds, results, pooled, run.failed_seeds)
    environment = {**runs[0].environment(), **run.environment()}
    environment["num_clips"] = {"test": len(next(iter(pooled.values())))}
    write_json(out / "environment.json", environment, indent=1)
    write_json(out / "metrics.json", run_metrics_to_json(metrics), indent=1)
    return run


def pool_evaluations(
    folds: Sequence[FoldStore],
    evaluated: Sequence[Evaluation],
    failed_seeds: Mapping[str, str],
) -> Evaluation:
    """Return what the models of all folds give together, evaluated on the clips of each.

    Args:
        folds: The folds.
        evaluated: That of each; the seeds are the same.
        failed_seeds: Why the other seeds diverged.
    """
    order = {clip.id: row for row, clip in enumerate(folds[0].store.clips)}
    results = [own.metrics for own in evaluated]
    pooled = {
        seed: pool_predictions([own.predictions[number] for own in evaluated], order)
        for number, seed in enumerate(results[0].seeds)
    }
    predictions = list(pooled.values())
    first = evaluated[0].model
    environment = {
        **first.environment,
        **describe_stores(folds),
        "num_clips": {"test": len(predictions[0])},
    }
    covered = zip(*(own.model.coverage for own in evaluated), strict=True)
    model = replace(first, environment=environment, coverage=tuple(map(_pool_coverage, covered)))
    return Evaluation(_measure(folds, results, pooled, failed_seeds), predictions, model)


def _measure(
    folds: Sequence[FoldStore],
    results: Sequence[RunMetrics],
    pooled: Mapping[int, Predictions],
    failed_seeds: Mapping[str, str],
) -> RunMetrics:
    """Return the metrics of all folds together, with those of each fold."""
    first = results[0]
    metrics = evaluate_run(
        first.family,  # type: ignore[arg-type]  # as a run writes it
        first.corpus,
        is_synthetic=first.is_synthetic,
        seeds=list(pooled),
        predictions={"test": list(pooled.values())},
        attention=(),
        failed_seeds=failed_seeds,
        baseline=first.baseline,
        without=first.without,
    )
    predicted = set(next(iter(pooled.values())).ids)
    num_clips = [len(predicted & set(fold.tested)) for fold in folds]
    return replace(metrics, folds=_summarise_folds(folds, num_clips, results, pooled))


def _pool_seed(
    pooled: SeedFolder, seeds: Sequence[SeedFolder], order: Mapping[str, int]
) -> Predictions | None:
    """Return what a seed predicts in all folds; None if it diverged in one, which is written."""
    failed = {seed.path.parent.name: seed.failure for seed in seeds if seed.failure is not None}
    pooled.path.mkdir(exist_ok=True)
    if failed:
        (pooled.path / "metrics.json").unlink(missing_ok=True)
        reasons = "; ".join(f"{fold}: {why}" for fold, why in failed.items())
        write_json(pooled.path / "failed.json", {"reason": reasons})
        return None
    (pooled.path / "failed.json").unlink(missing_ok=True)
    parts = []
    for seed in seeds:
        predictions = seed.predictions("test")
        if predictions is None:
            raise TrainingError(
                f"{seed.path}: has no predictions on test, none of its clips is annotated for what "
                "is predicted; share the clips out to other folds"
            )
        parts.append(predictions)
    return pool_predictions(parts, order)


def _write_seed(
    folder: SeedFolder,
    predictions: Predictions,
    family: MetricFamily,
    folds: Sequence[SeedMetrics],
) -> None:
    write_predictions(predictions, folder.path / "predictions-test.csv")
    covered = _pool_coverage([each.covered for each in folds])
    metrics = SeedMetrics(
        seed=folder.seed,
        best_epoch=0,
        num_epochs=0,
        splits={"test": evaluate_scores(predictions, family)},
        labels={},
        attention={},
        described=tuple(own.target for own in predictions.values.values()),
        targets={"test": evaluate_targets(predictions)},
        coverage=covered.sentiment,
        target_coverage=covered.targets,
    )
    write_json(folder.path / "metrics.json", seed_metrics_to_json(metrics), indent=1)


def _pool_coverage(folds: Sequence[SeedCoverage]) -> SeedCoverage:
    """Return how often what a seed promises in each fold holds, over the clips of all folds."""
    return SeedCoverage(
        sentiment=_pool_intervals([each.sentiment for each in folds]),
        targets={"test": _pool_sets([each.targets.get("test", {}) for each in folds])},
    )


def _pool_intervals(folds: Sequence[Coverage | None]) -> Coverage | None:
    """Return how often the intervals of folds hold the annotation, over the clips of all folds."""
    known = [each for each in folds if each is not None]
    if not known:
        return None
    tasks = [each.splits.get("test", {}) for each in known]
    joined = {}
    for task in dict.fromkeys(task for own in tasks for task in own):
        parts = [own[task] for own in tasks if task in own]
        counts = [part.num_clips for part in parts]
        joined[task] = TaskCoverage(
            share=_average([part.share for part in parts], counts),
            num_clips=sum(counts),
            num_without_width=sum(part.num_without_width for part in parts),
        )
    return Coverage(level=known[0].level, splits={"test": joined})


def _pool_sets(targets: Sequence[Mapping[str, TargetCoverage]]) -> dict[str, TargetCoverage]:
    """Return, per target, how often the sets of folds hold what is annotated in their clips.

    Every fold has sets of its own, from its own validation clips.
    """
    joined = {}
    for name in dict.fromkeys(name for own in targets for name in own):
        parts = [own[name] for own in targets if name in own]
        counts = [part.num_clips for part in parts]
        sizes = [part.size for part in parts if part.size is not None]  # of all folds, or of none
        joined[name] = TargetCoverage(
            level=parts[0].level,
            share=_average([part.share for part in parts], counts),
            num_clips=sum(counts),
            num_without_set=sum(part.num_without_set for part in parts),
            size=_average(sizes, counts) if sizes else None,
        )
    return joined


def _average(values: Sequence[Number], counts: Sequence[int]) -> float:
    return float(np.average(np.array(values, float), weights=counts))


def pool_predictions(parts: Sequence[Predictions], order: Mapping[str, int]) -> Predictions:
    """Join what several models predict of clips of their own.

    Args:
        parts: The predictions, of the same tasks and targets.
        order: The place of each clip in what is returned.
    """
    ids = [name for part in parts for name in part.ids]
    rows = np.argsort([order[name] for name in ids], kind="stable")
    sizes = [len(part) for part in parts]

    def join(tables: Sequence[Mapping[Any, Any]], *, lacking: object = np.nan) -> dict[Any, Any]:
        """Join arrays of the same key; of clips of a part that has no such key all is lacking."""
        joined = {}
        for key in dict.fromkeys(key for table in tables for key in table):
            there = next(table[key] for table in tables if key in table)
            own = [
                table.get(key, np.full((size, *there.shape[1:]), lacking, dtype=there.dtype))
                for table, size in zip(tables, sizes, strict=True)
            ]
            joined[key] = np.concatenate(own)[rows]
        return joined

    first = parts[0]
    who = [part.speakers or ("",) * len(part) for part in parts]
    speakers = [name for names in who for name in names]
    return Predictions(
        ids=tuple(ids[row] for row in rows),
        scores=join([part.scores for part in parts]),
        targets=join([part.targets for part in parts]),
        present=join([part.present for part in parts], lacking=False),
        values={
            name: TargetPredictions(
                target=own.target,
                values=join([part.values[name].values for part in parts]),
                truths=join([part.values[name].truths for part in parts]),
            )
            for name, own in first.values.items()
        },
        speakers=tuple(speakers[row] for row in rows) if any(speakers) else (),
    )


def _summarise_folds(
    folds: Sequence[FoldStore],
    num_clips: Sequence[int],
    results: Sequence[RunMetrics],
    seeds: Collection[int],
) -> FoldMetrics:
    """Return the metrics of each fold on its own clips, the mean over ``seeds``, and over folds."""
    places = [[at for at, seed in enumerate(each.seeds) if seed in seeds] for each in results]
    tasks = [each.splits.get("test", {}) for each in results]
    targets = [each.targets.get("test", {}) for each in results]
    names = dict.fromkeys(name for own in targets for name in own)
    return FoldMetrics(
        names=tuple(fold.name for fold in folds),
        num_clips=tuple(num_clips),
        tasks=_over_folds(tasks, places),
        targets={
            name: _over_folds([own.get(name, {}) for own in targets], places) for name in names
        },
        task_clips=_count_annotated(tasks),
        target_clips={
            name: _count_annotated([own.get(name, {}) for own in targets]) for name in names
        },
    )


def _count_annotated(
    tasks: Sequence[Mapping[str, Mapping[str, MetricSummary]]],
) -> dict[str, tuple[int, ...]]:
    """Return, per task, on how many clips of each fold its metrics rest."""
    names = dict.fromkeys(task for own in tasks for task in own)
    return {
        task: tuple(
            max((each.num_clips or 0 for each in own.get(task, {}).values()), default=0)
            for own in tasks
        )
        for task in names
    }


def _over_folds(
    tasks: Sequence[Mapping[str, Mapping[str, MetricSummary]]], places: Sequence[Sequence[int]]
) -> dict[str, dict[str, SeedValues]]:
    """Return, per task and metric, the values of the folds; undefined where a fold has none."""
    names = {task: list(own) for each in tasks for task, own in each.items()}
    return {
        task: {
            name: _merge(
                [
                    [own[task][name].values[at] for at in some] if task in own else []
                    for own, some in zip(tasks, places, strict=True)
                ]
            )
            for name in metrics
        }
        for task, metrics in names.items()
    }


def _merge(values: Sequence[Sequence[Number | None]]) -> SeedValues:
    """Return the values of folds, each the mean over its seeds."""
    numbers = [[np.nan if value is None else float(value) for value in own] for own in values]
    merged: SeedValues = merge_seeds([np.mean(own) if own else np.nan for own in numbers])
    return merged
