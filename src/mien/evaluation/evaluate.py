"""Predictions and labels to metrics, for one seed and over the seeds of a run.

None stands for a number that is undefined, as JSON holds it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float

from mien.corpora import MetricFamily
from mien.evaluation.attention_share import Tokens, share_attention
from mien.evaluation.bootstrap import Draws, Unit, draw_units, group_clips, resample
from mien.evaluation.intervals import Interval
from mien.evaluation.label_agreement import COPY, GENERATED, LabelAgreement, agreement
from mien.evaluation.metrics import METRICS, Metric, evaluate_all
from mien.evaluation.metrics_file.run_metrics import MetricSummary, RunMetrics, SeedValues
from mien.evaluation.metrics_file.seed_metrics import AttentionMetrics, TaskMetrics
from mien.evaluation.predictions import Predictions
from mien.evaluation.significance import summarise_seeds
from mien.evaluation.target_metrics.target_table import (
    TARGET_METRICS,
    evaluate_classes,
    evaluate_target,
)
from mien.evaluation.target_metrics.target_values import annotated_rows
from mien.files.json_values import Number, json_number, json_numbers
from mien.types import Clip, Modality, Split, Target, Task

__all__ = [
    "evaluate_attention",
    "evaluate_labels",
    "evaluate_run",
    "evaluate_scores",
    "evaluate_seeds",
    "evaluate_targets",
    "evaluated_rows",
    "merge_seeds",
]


def evaluate_scores(predictions: Predictions, family: MetricFamily) -> dict[Task, TaskMetrics]:
    """Return every metric of every task that is annotated.

    A unimodal task is evaluated on the clips that are annotated for it and have the modality.
    """
    tasks: dict[Task, TaskMetrics] = {}
    for task, scores in predictions.scores.items():
        rows = evaluated_rows(predictions, task)
        if rows.any():
            values = evaluate_all(scores[rows], predictions.targets[task][rows], family)
            tasks[task] = {name: json_number(value) for name, value in values.items()}
    return tasks


def evaluated_rows(
    predictions: Predictions, task: Task, target: str | None = None
) -> Bool[np.ndarray, " N"]:
    """Return the clips on which a task is evaluated: annotated for it, and with the modality.

    Args:
        predictions: What is predicted, and annotated.
        task: The task.
        target: Of which target; None stands for sentiment.
    """
    truths = predictions.targets if target is None else predictions.values[target].truths
    if task not in truths:
        return np.zeros(len(predictions), dtype=bool)
    rows = annotated_rows(truths[task])
    return rows if task is Task.FUSION else rows & predictions.present[Modality(task)]


def evaluate_targets(predictions: Predictions) -> dict[str, dict[Task, TaskMetrics]]:
    """Return, per target and task that is annotated, every metric of ``TARGET_METRICS``.

    A unimodal task is evaluated on the clips that are annotated for it and have the modality.
    """
    targets: dict[str, dict[Task, TaskMetrics]] = {}
    for name, own in predictions.values.items():
        for task, values in own.values.items():
            rows = evaluated_rows(predictions, task, name)
            if rows.any():
                metrics = evaluate_target(own.target, values[rows], own.truths[task][rows])
                numbers = {key: json_number(value) for key, value in metrics.items()}
                targets.setdefault(name, {})[task] = numbers
    return targets


def evaluate_labels(
    latest: Mapping[Modality, Float[np.ndarray, "N"]],
    truth: Mapping[Task, Float[np.ndarray, "N"]],
) -> dict[Modality, dict[str, LabelAgreement]]:
    """Compare generated unimodal labels of train with the truth, beside the copied annotation.

    Args:
        latest: What each unimodal task was last trained on.
        truth: What is annotated, or known, per task; NaN where it is not.

    Returns:
        Per modality with a known truth the agreement of ``generated`` labels and of the ``copy``.
    """
    modalities = {}
    annotated = truth[Task.FUSION]
    for modality, labels in latest.items():
        known = truth.get(Task(modality), np.full(len(annotated), np.nan))
        rows = ~np.isnan(known) & ~np.isnan(annotated)
        if rows.any():
            modalities[modality] = {
                name: agreement(given[rows], known[rows], annotated[rows])
                for name, given in {GENERATED: labels, COPY: annotated}.items()
            }
    return modalities


def evaluate_attention(
    predictions: Predictions, clips: Sequence[Clip], tokens: Tokens
) -> dict[Modality, AttentionMetrics]:
    """Return the share of attention inside the known moments, beside what equal weights get."""
    return {
        modality: AttentionMetrics(
            inside=json_number(share.mean),
            uniform=json_number(share.uniform_mean),
            ratio=json_number(share.ratio),
            num_clips=share.num_clips,
        )
        for modality, (_, share) in share_attention(predictions, clips, tokens).items()
    }


def evaluate_run(
    family: MetricFamily,
    corpus: str,
    *,
    is_synthetic: bool,
    seeds: Sequence[int],
    predictions: Mapping[Split, Sequence[Predictions]],
    attention: Sequence[Mapping[Split, Mapping[Modality, AttentionMetrics]]],
    labels: Sequence[Mapping[Modality, Mapping[str, LabelAgreement]]] = (),
    best_epochs: Sequence[int] = (),
    failed_seeds: Mapping[str, str] | None = None,
    baseline: str | None = None,
    model: str | None = None,
    without: Sequence[Modality] = (),
) -> RunMetrics:
    """Return what several seeds gave, or a model of one file.

    Args:
        family: Metrics that are taken.
        corpus: Name of the corpus.
        is_synthetic: Whether its clips were made by a program.
        seeds: The seeds; none of a model of one file.
        predictions: Per split those of each seed.
        attention: Of each seed, per split and modality.
        labels: Of each seed, per modality and source of the labels.
        best_epochs: Of each seed the epoch that validation picked.
        failed_seeds: Why seeds diverged, by seed.
        baseline: Against whom clips were read, as in ``RunMetrics``.
        model: What a model of one file is called.
        without: What was left out of the clips.
    """
    there = {split: each for split, each in predictions.items() if each}
    return RunMetrics(
        corpus=corpus,
        is_synthetic=is_synthetic,
        family=family,
        seeds=tuple(seeds),
        best_epochs=tuple(best_epochs),
        splits={split: evaluate_seeds(each, family) for split, each in there.items()},
        labels=merge_seeds(labels),
        attention=merge_seeds(attention),
        failed_seeds=failed_seeds or {},
        baseline=baseline,
        without=tuple(without),
        model=model,
        described=_targets_of(there),
        targets={split: _summarise_targets(each) for split, each in there.items()},
        classes={split: _summarise_classes(each) for split, each in there.items()},
    )


def _targets_of(predictions: Mapping[Split, Sequence[Predictions]]) -> tuple[Target, ...]:
    first = next(iter(predictions.values()), None)
    return tuple(own.target for own in first[0].values.values()) if first else ()


def evaluate_seeds(
    predictions: Sequence[Predictions], family: MetricFamily
) -> dict[str, dict[str, MetricSummary]]:
    """Return, per task and metric, what several seeds gave on one split."""
    first, tasks = predictions[0], {}
    for task in first.scores:
        rows = evaluated_rows(first, task)
        if not rows.any():
            continue
        scores = np.stack([of_seed.scores[task][rows] for of_seed in predictions])
        targets = first.targets[task][rows]
        draws = _draw(first, rows)
        tasks[str(task)] = {
            name: _summarise(scores, targets, metric, draws)
            for name, metric in METRICS[family].items()
        }
    return tasks


def _summarise_targets(
    predictions: Sequence[Predictions],
) -> dict[str, dict[str, dict[str, MetricSummary]]]:
    """Return, per target, task and metric, what several seeds gave on one split."""
    first = predictions[0]
    targets: dict[str, dict[str, dict[str, MetricSummary]]] = {}
    for name, own in first.values.items():
        for task in own.values:
            rows = evaluated_rows(first, task, name)
            if not rows.any():
                continue
            values = np.stack([each.values[name].values[task][rows] for each in predictions])
            truths = own.truths[task][rows]
            # intervals take long for K values a clip
            draws = _draw(first, rows) if task is Task.FUSION else {}
            targets.setdefault(name, {})[str(task)] = {
                key: _summarise(values, truths, metric, draws)
                for key, metric in TARGET_METRICS[own.target.kind].items()
            }
    return targets


def _summarise_classes(
    predictions: Sequence[Predictions],
) -> dict[str, dict[str, dict[str, SeedValues]]]:
    """Return, per target and class, how well several seeds recognise the class."""
    first, targets = predictions[0], {}
    for name, own in first.values.items():
        rows = evaluated_rows(first, Task.FUSION, name)
        if own.target.classes and rows.any():
            truths = own.truths[Task.FUSION][rows]
            values = [each.values[name].values[Task.FUSION][rows] for each in predictions]
            results = [evaluate_classes(own.target, of_seed, truths) for of_seed in values]
            targets[name] = {
                key: merge_seeds(
                    [
                        {
                            "num_annotated": each[key].num_annotated,
                            "num_predicted": each[key].num_predicted,
                            **each[key].metrics,
                        }
                        for each in results
                    ]
                )
                for key in own.target.classes
            }
    return targets


def _draw(predictions: Predictions, rows: Bool[np.ndarray, " N"]) -> dict[Unit, Draws]:
    """Return resampled clips and, where several clips come from one, videos and speakers."""
    places = np.flatnonzero(rows).tolist()
    speakers = [predictions.speakers[row] for row in places] if predictions.speakers else []
    groups = group_clips([predictions.ids[row] for row in places], speakers)
    return {unit: draw_units(len(places), names) for unit, names in groups.items()}


def _summarise(
    scores: Float[np.ndarray, "S N *K"],
    targets: Float[np.ndarray, "N *K"],
    metric: Metric,
    draws: Mapping[Unit, Draws],
) -> MetricSummary:
    """Return a metric over seeds, with an interval for each of the draws that ``_draw`` gives."""
    drawn = {
        unit: resample(scores, targets, metric, each, for_differences=False)
        for unit, each in draws.items()
    }
    values = drawn["clip"].values.tolist() if drawn else [metric(row, targets) for row in scores]
    intervals = {unit: each.interval() for unit, each in drawn.items()}
    clips, videos, speakers = (intervals.get(unit) for unit in get_args(Unit))
    seeds = summarise_seeds(values)
    return MetricSummary(
        mean=json_number(seeds.mean),
        deviation=json_number(seeds.deviation),
        values=json_numbers(values),
        low=_end(clips, "low"),
        high=_end(clips, "high"),
        num_clips=len(targets),
        low_videos=_end(videos, "low"),
        high_videos=_end(videos, "high"),
        num_videos=videos.num_units if videos is not None else None,
        low_speakers=_end(speakers, "low"),
        high_speakers=_end(speakers, "high"),
        num_speakers=speakers.num_units if speakers is not None else None,
        ensemble=json_number(metric(scores.mean(axis=0), targets)) if len(scores) > 1 else None,
    )


def _end(interval: Interval | None, which: Literal["low", "high"]) -> Number | None:
    return None if interval is None else json_number(getattr(interval, which))


def merge_seeds(trees: Sequence[Any]) -> Any:  # noqa: ANN401  # mappings, values and numbers
    """Turn trees of numbers, one per seed, into one tree of ``SeedValues``.

    Fields of a value become keys.
    """
    if not trees:
        return {}
    if is_dataclass(trees[0]):
        trees = [asdict(tree) for tree in trees]
    if isinstance(trees[0], Mapping):
        return {key: merge_seeds([tree[key] for tree in trees]) for key in trees[0]}
    numbers = [math.nan if value is None else float(value) for value in trees]
    summary = summarise_seeds(numbers)
    return SeedValues(
        mean=json_number(summary.mean),
        deviation=json_number(summary.deviation),
        values=json_numbers(numbers),
    )
