"""Predictions under every condition to curves: points and areas with intervals, and differences."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float

from mien.evaluation.bootstrap import Draws, Resampled, resample
from mien.evaluation.conformal import Calibration, interval_hits
from mien.evaluation.formulas import Values, mean_of_sums
from mien.evaluation.metrics import METRICS, Metric, Sums
from mien.evaluation.predictions import Predictions
from mien.evaluation.probabilities.covered_targets import set_hits
from mien.evaluation.probabilities.target_calibration import TargetCalibration
from mien.evaluation.scoring import as_reported
from mien.evaluation.significance import (
    SourceResults,
    describe_difference,
    holm,
    summarise_seeds,
)
from mien.evaluation.target_metrics.target_values import annotated_rows
from mien.files.json_values import json_number, json_numbers
from mien.reports.target_results.compared_scores import (
    SeedScores,
    draw_shared,
    stack_seeds,
    take_annotated,
)
from mien.reports.target_results.shown_metrics import shown_metrics
from mien.studies.robustness.conditions import Condition, Stress
from mien.studies.robustness.stress_values import CurveResults, StressResults
from mien.types import Scale, Split, Target, TargetKind, Task

__all__ = ["COVERAGE", "HALF_WIDTH", "SET_SIZE", "RunScores", "curves_of", "metric_of"]

#: Names of the metrics of prediction intervals, and of sets of classes: ``emotion/coverage``.
COVERAGE: Final = "coverage"
HALF_WIDTH: Final = "half_width"
SET_SIZE: Final = "set_size"


def _count_known(values: Values, known: Values) -> Float[np.ndarray, "N 2"]:
    return np.stack([values * known, known], axis=1)


def _mean_of_known(values: Values, known: Values) -> float:
    return float(mean_of_sums(_count_known(values, known).sum(axis=0)))


_INTERVALS: Final[Mapping[str, Metric]] = {
    COVERAGE: Metric(
        function=_mean_of_known,
        higher_is_better=True,
        is_share=True,
        description="share of clips whose annotation lies in the prediction interval",
        sums=Sums(terms=_count_known, combine=mean_of_sums),
    ),
    HALF_WIDTH: Metric(
        function=_mean_of_known,
        higher_is_better=False,
        is_share=False,
        description="mean half width of the prediction intervals, on the scale of the annotations",
        sums=Sums(terms=_count_known, combine=mean_of_sums),
        limits=(0.0, math.inf),
    ),
}
_SETS: Final[Mapping[str, Metric]] = {
    COVERAGE: replace(
        _INTERVALS[COVERAGE],
        description="share of clips whose annotated class is in the set of those that cannot be "
        "ruled out; of labels, the share of labels that are right",
    ),
    SET_SIZE: replace(
        _INTERVALS[HALF_WIDTH],
        description="mean number of classes in a set; of each label, of being absent and present",
    ),
}


def metric_of(name: str, family: str, targets: Mapping[str, str]) -> Metric:
    """Return the metric of a name: of intervals, of sentiment, of sets or ``TARGET/METRIC``.

    Args:
        name: Its name in results.
        family: Key of ``METRICS``.
        targets: Kind of each target, by its name.
    """
    if name in _INTERVALS:
        return _INTERVALS[name]
    target, _, own = name.rpartition("/")
    if target and own in _SETS:
        return _SETS[own]
    return shown_metrics(TargetKind(targets[target]))[own] if target else METRICS[family][own]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScores:
    """What a run predicts under every condition.

    Attributes:
        name: The run.
        stresses: How it was tested.
        predictions: Of each condition, those of every seed.
        calibrations: Widths of intervals of every seed; None if one has none.
        target_calibrations: By target, what validation said of its sets in every seed; only of
            those of which every seed has some.
    """

    name: str
    stresses: Sequence[Stress]
    predictions: Mapping[Condition, Sequence[Predictions]]
    calibrations: Sequence[Calibration] | None
    target_calibrations: Mapping[str, Sequence[TargetCalibration]] = field(default_factory=dict)


def curves_of(
    runs: Sequence[RunScores],
    family: str,
    scale: Scale,
    split: Split,
    *,
    has_sentiment: bool,
    targets: Sequence[Target],
) -> tuple[dict[str, StressResults], dict[str, int]]:
    """Return the results of every stress, and how many clips have no interval or set, by run.

    Args:
        runs: What was predicted; the first run is the one with which others are compared.
        family: Key of ``METRICS``.
        scale: Range of the annotations.
        split: Part of the corpus.
        has_sentiment: Whether sentiment is evaluated.
        targets: Which further targets are evaluated.
    """
    reported = [
        replace(run, predictions={c: [as_reported(p) for p in each]
                                  for c, each in run.predictions.items()})
        for run in runs
    ]  # fmt: skip
    measures: dict[str, tuple[Metric, dict[str, dict[Condition, Resampled]]]] = {}
    if has_sentiment:
        resampled = _resample_all(reported, split, "", METRICS[family])
        measures |= {n: (METRICS[family][n], own) for n, own in resampled.items()}
    for target in targets:
        known = shown_metrics(target.kind)
        resampled = _resample_all(reported, split, target.name, known)
        measures |= {f"{target.name}/{n}": (known[n], own) for n, own in resampled.items()}
    num_without: dict[str, int] = {}
    if has_sentiment:
        hits = {run.name: _hit_intervals(run, scale) for run in reported if run.calibrations}
        resampled = _resample_hits(reported, split, hits, _INTERVALS, num_without)
        measures |= {n: (_INTERVALS[n], own) for n, own in resampled.items()}
    for target in targets:
        of_sets = {
            run.name: _hit_sets(run, target.name)
            for run in reported
            if target.has_shares and target.name in run.target_calibrations
        }
        resampled = _resample_hits(reported, split, of_sets, _SETS, num_without)
        measures |= {f"{target.name}/{n}": (_SETS[n], own) for n, own in resampled.items()}
    every = {stress.name: stress for run in runs for stress in run.stresses}
    results: dict[str, dict[str, dict[str, CurveResults]]] = {name: {} for name in every}
    for metric, (_, of_runs) in measures.items():
        for name, stress in every.items():
            own = [run for run in runs if stress in run.stresses and run.name in of_runs]
            curves = _draw_curves(stress, [run.name for run in own], of_runs)
            if curves:
                results[name][metric] = curves
        _correct(metric, results)
    return {
        name: StressResults(
            kind=stress.kind,
            modalities=tuple(map(str, stress.modalities)),
            levels=stress.levels or None,
            points=stress.points,
            metrics=results[name],
        )
        for name, stress in every.items()
    }, num_without


_OfRuns = dict[str, dict[Condition, Resampled]]


def _resample_all(
    runs: Sequence[RunScores], split: Split, key: str, metrics: Mapping[str, Metric]
) -> dict[str, _OfRuns]:
    """Resample every metric of sentiment, or of a target, under every condition of every run."""
    conditions = [(run, c) for run in runs for c in run.predictions]
    stacked = [stack_seeds(run.name, run.predictions[c], key) for run, c in conditions]
    aligned = take_annotated(stacked, split)
    _, draws = draw_shared(aligned)
    return {
        name: _by_run(
            [
                (run.name, c, resample(scores.scores, scores.targets, metric, draws))
                for (run, c), scores in zip(conditions, aligned, strict=True)
            ]
        )
        for name, metric in metrics.items()
    }


def _by_run(resampled: Sequence[tuple[str, Condition, Resampled]]) -> _OfRuns:
    by_run: _OfRuns = {}
    for run, condition, each in resampled:
        by_run.setdefault(run, {})[condition] = each
    return by_run


class _Hits(NamedTuple):
    """Of every seed and clip, whether what is annotated is covered, and how wide that is."""

    inside: Float[np.ndarray, "S N"]
    sizes: Float[np.ndarray, "S N"]
    targets: Float[np.ndarray, " N"]
    num_without: int


def _hit_intervals(run: RunScores, scale: Scale) -> dict[Condition, _Hits]:
    """Return what lies in the intervals of a run that has some."""
    result = {}
    for condition, seeds in run.predictions.items():
        hits = [
            interval_hits(calibration, predictions, scale, [Task.FUSION])[Task.FUSION]
            for calibration, predictions in zip(run.calibrations or (), seeds, strict=True)
        ]
        result[condition] = _Hits(
            inside=np.stack([each.inside for each in hits]),
            sizes=np.stack([each.widths for each in hits]),
            targets=seeds[0].targets[Task.FUSION],
            num_without=max(each.num_without_width for each in hits),
        )
    return result


def _hit_sets(run: RunScores, name: str) -> dict[Condition, _Hits]:
    """Return what is in the sets of a target of a run that has some."""
    result = {}
    for condition, seeds in run.predictions.items():
        calibrations = run.target_calibrations[name]
        hits = [
            set_hits(calibration, predictions, name)
            for calibration, predictions in zip(calibrations, seeds, strict=True)
        ]
        truths = seeds[0].values[name].truths[Task.FUSION]
        result[condition] = _Hits(
            inside=np.stack([each.inside for each in hits]),
            sizes=np.stack([each.sizes for each in hits]),
            targets=np.where(annotated_rows(truths), 1.0, math.nan),
            num_without=max(each.num_without_set for each in hits),
        )
    return result


def _resample_hits(
    runs: Sequence[RunScores],
    split: Split,
    hits: Mapping[str, Mapping[Condition, _Hits]],
    metrics: Mapping[str, Metric],
    num_without: dict[str, int],
) -> dict[str, _OfRuns]:
    """Resample coverage and width or size, and count clips without, the most of any condition.

    Args:
        runs: The runs.
        split: Part of the corpus.
        hits: Of the runs that have intervals or sets, by their names.
        metrics: Coverage first, then width or size.
        num_without: The counts by run, which are raised.
    """
    parts: list[tuple[str, Condition, tuple[SeedScores, SeedScores]]] = []
    for run in (run for run in runs if run.name in hits):
        first = next(iter(run.predictions.values()))[0]
        for condition, own in hits[run.name].items():
            num_without[run.name] = max(num_without.get(run.name, 0), own.num_without)
            inside, sizes = (
                SeedScores(
                    name=run.name,
                    ids=first.ids,
                    scores=scores,
                    targets=own.targets,
                    speakers=first.speakers,
                )
                for scores in (own.inside, own.sizes)
            )
            parts.append((run.name, condition, (inside, sizes)))
    if not parts:
        return {}
    aligned = [
        take_annotated([scores[place] for _, _, scores in parts], split)
        for place in range(len(metrics))
    ]
    _, draws = draw_shared(aligned[0])  # all are of the same clips
    return {
        name: _by_run(
            [
                (run, condition, _resample_known(own, metric, draws))
                for (run, condition, _), own in zip(parts, scores, strict=True)
            ]
        )
        for (name, metric), scores in zip(metrics.items(), aligned, strict=True)
    }


def _resample_known(scores: SeedScores, metric: Metric, draws: Draws) -> Resampled:
    """Resample a mean over the clips that have an interval with every seed."""
    known = ~np.isnan(scores.scores).any(axis=0)
    return resample(np.where(known, scores.scores, 0.0), known.astype(float), metric, draws)


def _draw_curves(
    stress: Stress, names: Sequence[str], of_runs: Mapping[str, Mapping[Condition, Resampled]]
) -> dict[str, CurveResults]:
    """Return the curve of each run, with its differences to the first one."""
    if not names:
        return {}
    points = {name: [of_runs[name][c] for c in stress.conditions] for name in names}
    even = np.full(len(stress.conditions), 1 / len(stress.conditions))
    weights = [even] if not stress.levels else [even, _trapezoids(stress.levels)]
    curves = {}
    for name in names:
        average, *area = (_combine(points[name], w) for w in weights)
        firsts = [_combine(points[names[0]], w) for w in weights]
        less = [None if name == names[0] else first for first in firsts]
        curves[name] = CurveResults(
            points=tuple(_describe(each) for each in points[name]),
            area=_describe(area[0], names[0], less[1]) if area else None,
            average=_describe(average, names[0], less[0]),
        )
    return curves


def _trapezoids(levels: Sequence[float]) -> Float[np.ndarray, " L"]:
    """Return the weight of each level in the mean height of a curve.

    >>> _trapezoids([0.0, 0.5, 1.0]).tolist()
    [0.25, 0.5, 0.25]
    """
    places = np.asarray(levels)
    gaps = np.diff(places) / 2
    weights: Float[np.ndarray, " L"] = np.append(gaps, 0) + np.insert(gaps, 0, 0)
    return np.asarray(weights / (places[-1] - places[0]))


def _combine(parts: Sequence[Resampled], weights: Float[np.ndarray, " L"]) -> Resampled:
    """Return a weighted sum of a metric under several conditions, on the same draws."""

    def add(rows: Sequence[np.ndarray]) -> np.ndarray:
        return np.asarray(np.einsum("l,l...->...", weights, np.stack(rows)))

    left_out = [part.left_out for part in parts if part.left_out is not None]
    return Resampled(
        values=add([part.values for part in parts]),
        num_units=parts[0].num_units,
        left_out=add(left_out) if len(left_out) == len(parts) else None,
        replicates=add([part.replicates for part in parts]),
        bounds=parts[0].bounds,
    )


def _describe(
    resampled: Resampled, other: str = "", first: Resampled | None = None
) -> SourceResults:
    interval, summary = resampled.interval(), summarise_seeds(resampled.values.tolist())
    return SourceResults(
        mean=json_number(summary.mean),
        deviation=json_number(summary.deviation),
        values=json_numbers(resampled.values),
        low=json_number(interval.low),
        high=json_number(interval.high),
        less={} if first is None else {other: describe_difference(resampled.less(first))},
    )


def _correct(metric: str, results: dict[str, dict[str, dict[str, CurveResults]]]) -> None:
    """Correct the p values of a metric across all curves and runs, by Holm."""
    places, p_values = [], []
    for stress, metrics in results.items():
        for run, curve in metrics.get(metric, {}).items():
            for less in curve.overall.less.values():
                if less.p_value is not None:
                    places.append((stress, run))
                    p_values.append(float(less.p_value))
    for (stress, run), corrected in zip(places, holm(p_values), strict=True):
        curve = results[stress][metric][run]
        results[stress][metric][run] = replace(curve, p_corrected=corrected)
