"""What variants predict besides sentiment, and which clips all of them predict."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from jaxtyping import Int

from mien.evaluation.predictions import Predictions
from mien.evaluation.significance import MetricResults, compare_sources
from mien.evaluation.target_metrics.target_values import annotated_rows
from mien.reports.target_results.compared_scores import units_of
from mien.reports.target_results.shown_metrics import shown_metrics
from mien.studies.results.values import TargetResults
from mien.types import Split, Target, Task

__all__ = ["PredictionsOfVariants", "evaluate_study_targets", "shared_rows"]

#: What the seeds of each variant predict of a split.
PredictionsOfVariants = Mapping[str, Sequence[Predictions]]
#: Splits of which targets are measured: valid, on which settings are chosen, and test.
_MEASURED: Final[tuple[Split, ...]] = ("valid", "test")


def shared_rows(predictions: PredictionsOfVariants) -> dict[str, Int[np.ndarray, " _"]]:
    """Return where each variant has the clips that all of them predict, in the first one's order.

    Variants that learn other things may predict other clips: those that are annotated for them.
    """
    rows_of = {
        name: {clip: row for row, clip in enumerate(seeds[0].ids)}
        for name, seeds in predictions.items()
    }
    first = next(iter(predictions.values()))[0]
    shared = [clip for clip in first.ids if all(clip in rows for rows in rows_of.values())]
    return {
        name: np.array([rows[clip] for clip in shared], dtype=np.int64)
        for name, rows in rows_of.items()
    }


def evaluate_study_targets(
    splits: Mapping[Split, PredictionsOfVariants], against: Sequence[str]
) -> dict[str, TargetResults]:
    """Return, per target, the metrics that tables show of each variant that learns it.

    Args:
        splits: What each variant predicts, by split.
        against: Variants that are subtracted from every other one.
    """
    targets: dict[str, Target] = {}
    for predictions in splits.values():
        for seeds in predictions.values():
            for name, values in seeds[0].values.items():
                targets.setdefault(name, values.target)
    results = {}
    for name, target in targets.items():
        measured = {
            split: _evaluate(target, splits[split], against)
            for split in _MEASURED
            if split in splits
        }
        results[name] = TargetResults(
            kind=target.kind,
            splits={split: own for split, own in measured.items() if own is not None},
        )
    return results


def _evaluate(
    target: Target, predictions: PredictionsOfVariants, against: Sequence[str]
) -> MetricResults | None:
    """Evaluate a target in the multimodal task; None if no clip of the split is annotated."""
    having = {name: each for name, each in predictions.items() if target.name in each[0].values}
    if not having:
        return None
    rows = shared_rows(having)
    name, first = next((name, each[0]) for name, each in having.items())
    truths = first.values[target.name].truths[Task.FUSION][rows[name]]
    known = annotated_rows(truths)
    if not known.any():
        return None
    values = {
        name: np.stack([p.values[target.name].values[Task.FUSION][rows[name]][known] for p in each])
        for name, each in having.items()
    }
    unit, clusters = units_of(first, rows[name][known])
    return MetricResults(
        num_clips=int(known.sum()),
        num_clusters=len(np.unique(clusters)),
        unit=unit,
        metrics={
            metric: compare_sources(
                values, truths[known], formula, clusters=clusters, against=against
            )
            for metric, formula in shown_metrics(target.kind).items()
        },
    )
