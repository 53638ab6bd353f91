"""Predictions and labels to metrics, for one seed and over the seeds of a run.

None stands for a number that is undefined, as JSON holds it. ``run_metrics_to_json`` and
``run_metrics_from_json`` know what a run's ``metrics.json`` looks like.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float, Shaped

from mien.corpora import MetricFamily
from mien.evaluation.attention_share import Tokens, share_attention
from mien.evaluation.bootstrap import Draws, come_from_videos, draw_units, resample
from mien.evaluation.label_agreement import COPY, GENERATED, LabelAgreement, agreement
from mien.evaluation.metrics import METRICS, Metric, evaluate_all
from mien.evaluation.predictions import Predictions
from mien.evaluation.significance import summarise_seeds
from mien.files.json_values import Number, json_number, json_numbers
from mien.types import Clip, Modality, Split, Task, video_of

__all__ = [
    "AttentionMetrics",
    "MetricSummary",
    "RunMetrics",
    "SeedValues",
    "attention_to_json",
    "evaluate_attention",
    "evaluate_labels",
    "evaluate_run",
    "evaluate_scores",
    "evaluate_seeds",
    "evaluated_rows",
    "labels_to_json",
    "merge_seeds",
    "run_metrics_from_json",
    "run_metrics_to_json",
]

#: What is said of labels: per modality, source (generated, copy) and part of the clips, a value
#: for each field of ``Agreement``.
LabelMetrics = Mapping[str, Mapping[str, Mapping[str, Mapping[str, "SeedValues"]]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedValues:
    """A number over the seeds of a run.

    Attributes:
        mean: Mean over the seeds.
        deviation: Standard deviation of a sample; None for a single seed.
        values: The number of each seed.
    """

    mean: Number | None
    deviation: Number | None
    values: tuple[Number | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSummary:
    """A metric over the seeds of a run, with the intervals of its mean.

    Attributes:
        mean: Mean over the seeds.
        deviation: Standard deviation of a sample; None for a single seed.
        values: The metric of each seed.
        low: Lower end of the 95 % interval of the mean over clips; None for a single clip.
        high: Upper end.
        num_clips: Clips that it rests on; None in the file of an earlier version.
        low_videos: The same over videos, where several clips come from one; None for a single one.
        high_videos: Upper end.
        num_videos: Videos that it rests on; None where each clip is a video of its own.
    """

    mean: Number | None
    deviation: Number | None
    values: tuple[Number | None, ...]
    low: Number | None
    high: Number | None
    num_clips: int | None = None
    low_videos: Number | None = None
    high_videos: Number | None = None
    num_videos: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionMetrics:
    """Attention inside the known moments of the clips of a split, of one seed.

    Attributes:
        inside: Mean share of the attention that lies inside.
        uniform: Mean share that equal weights would get.
        ratio: The one over the other.
        num_clips: Clips with a known moment and some attention.
    """

    inside: Number | None
    uniform: Number | None
    ratio: Number | None
    num_clips: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMetrics:
    """What several seeds gave: what a run's ``metrics.json`` holds.

    Attributes:
        corpus: Name of the corpus.
        is_synthetic: Whether its clips were made by a program.
        family: Key of ``METRICS``.
        seeds: The seeds that are in the numbers.
        best_epochs: The epoch of each that validation picked, counted from 1; empty if there was
            no training.
        splits: Per split and task every metric.
        labels: How generated labels of train agree with the truth; empty where none is known.
        attention: Per split and modality the fields of ``AttentionMetrics`` over the seeds.
        failed_seeds: Why seeds diverged, by seed; they are in no number.
    """

    corpus: str
    is_synthetic: bool
    family: str
    seeds: tuple[int, ...]
    best_epochs: tuple[int, ...]
    splits: Mapping[str, Mapping[str, Mapping[str, MetricSummary]]]
    labels: LabelMetrics
    attention: Mapping[str, Mapping[str, Mapping[str, SeedValues]]]
    failed_seeds: Mapping[str, str] = field(default_factory=dict)


def evaluate_scores(
    predictions: Predictions, family: MetricFamily
) -> dict[str, dict[str, Number | None]]:
    """Return every metric of every task that is annotated.

    A unimodal task is evaluated on the clips that are annotated for it and have the modality.
    """
    tasks = {}
    for task, scores in predictions.scores.items():
        rows = evaluated_rows(predictions, task)
        if rows.any():
            values = evaluate_all(scores[rows], predictions.targets[task][rows], family)
            tasks[str(task)] = {name: json_number(value) for name, value in values.items()}
    return tasks


def evaluated_rows(predictions: Predictions, task: Task) -> Bool[np.ndarray, " N"]:
    """Return the clips on which a task is evaluated: annotated for it, and with the modality."""
    if task not in predictions.targets:
        return np.zeros(len(predictions), dtype=bool)
    rows: Bool[np.ndarray, " N"] = ~np.isnan(predictions.targets[task])
    if task is not Task.FUSION:
        rows &= predictions.present[Modality(task)]
    return rows


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
        rows = ~np.isnan(known)
        if rows.any():
            modalities[modality] = {
                name: agreement(given[rows], known[rows], annotated[rows])
                for name, given in {GENERATED: labels, COPY: annotated}.items()
            }
    return modalities


def labels_to_json(labels: Mapping[Modality, Mapping[str, LabelAgreement]]) -> dict[str, Any]:
    """Return what ``evaluate_labels`` gave as a seed's ``metrics.json`` holds it."""
    return {
        str(modality): {
            name: {
                part: {key: json_number(value) for key, value in values.items()}
                for part, values in asdict(agreed).items()
            }
            for name, agreed in sources.items()
        }
        for modality, sources in labels.items()
    }


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


def attention_to_json(attention: Mapping[Modality, AttentionMetrics]) -> dict[str, Any]:
    """Return what ``evaluate_attention`` gave as a seed's ``metrics.json`` holds it."""
    return {str(modality): asdict(metrics) for modality, metrics in attention.items()}


def evaluate_run(
    family: MetricFamily,
    corpus: str,
    *,
    is_synthetic: bool,
    seeds: Sequence[int],
    predictions: Mapping[Split, Sequence[Predictions]],
    attention: Sequence[Mapping[Any, Any]],
    labels: Sequence[Mapping[str, Any]] = (),
    best_epochs: Sequence[int] = (),
    failed_seeds: Mapping[str, str] | None = None,
) -> RunMetrics:
    """Return what several seeds gave.

    Args:
        family: Metrics that are taken.
        corpus: Name of the corpus.
        is_synthetic: Whether its clips were made by a program.
        seeds: The seeds.
        predictions: Per split those of each seed.
        attention: Of each seed, per split and modality, as its ``metrics.json`` holds it.
        labels: Of each seed, as its ``metrics.json`` holds them.
        best_epochs: Of each seed the epoch that validation picked.
        failed_seeds: Why seeds diverged, by seed.
    """
    return RunMetrics(
        corpus=corpus,
        is_synthetic=is_synthetic,
        family=family,
        seeds=tuple(seeds),
        best_epochs=tuple(best_epochs),
        splits={split: evaluate_seeds(p, family) for split, p in predictions.items() if p},
        labels=merge_seeds(labels),
        attention=merge_seeds(attention),
        failed_seeds=failed_seeds or {},
    )


def evaluate_seeds(
    predictions: Sequence[Predictions], family: MetricFamily
) -> dict[str, dict[str, MetricSummary]]:
    """Return, per task and metric, what several seeds gave on one split."""
    first = predictions[0]
    videos = np.array([video_of(name) for name in first.ids])
    tasks = {}
    for task in first.scores:
        rows = evaluated_rows(first, task)
        if not rows.any():
            continue
        scores = np.stack([of_seed.scores[task][rows] for of_seed in predictions])
        targets = first.targets[task][rows]
        draws = _draw(videos[rows])
        tasks[str(task)] = {
            name: _summarise(scores, targets, metric, draws)
            for name, metric in METRICS[family].items()
        }
    return tasks


def _draw(videos: Shaped[np.ndarray, " N"]) -> tuple[Draws, Draws | None]:
    """Return resampled clips and, where several clips come from one video, whole videos."""
    has_videos = come_from_videos(videos)
    return draw_units(len(videos)), draw_units(len(videos), videos) if has_videos else None


def _summarise(
    scores: Float[np.ndarray, "K N"],
    targets: Float[np.ndarray, "N"],
    metric: Metric,
    draws: tuple[Draws, Draws | None],
) -> MetricSummary:
    by_clips = resample(scores, targets, metric, draws[0])
    clips = by_clips.interval()
    by_videos = resample(scores, targets, metric, draws[1]) if draws[1] is not None else None
    videos = by_videos.interval() if by_videos is not None else None
    seeds = summarise_seeds(by_clips.values.tolist())
    return MetricSummary(
        mean=json_number(seeds.mean),
        deviation=json_number(seeds.deviation),
        values=json_numbers(by_clips.values),
        low=json_number(clips.low),
        high=json_number(clips.high),
        num_clips=clips.num_units,
        low_videos=json_number(videos.low) if videos is not None else None,
        high_videos=json_number(videos.high) if videos is not None else None,
        num_videos=videos.num_units if videos is not None else None,
    )


def merge_seeds(trees: Sequence[Any]) -> Any:  # noqa: ANN401  # a tree of mappings and numbers
    """Turn trees of numbers, one per seed, into one tree of ``SeedValues``."""
    if not trees:
        return {}
    if isinstance(trees[0], Mapping):
        return {key: merge_seeds([tree[key] for tree in trees]) for key in trees[0]}
    numbers = [math.nan if value is None else float(value) for value in trees]
    summary = summarise_seeds(numbers)
    return SeedValues(
        mean=json_number(summary.mean),
        deviation=json_number(summary.deviation),
        values=json_numbers(numbers),
    )


#: Fields of a metric that are in the file only where several clips come from one video.
_OF_VIDEOS: Final = ("low_videos", "high_videos", "num_videos")


def run_metrics_to_json(metrics: RunMetrics) -> dict[str, Any]:
    """Return metrics as a run's ``metrics.json`` holds them."""
    values: dict[str, Any] = {
        "corpus": metrics.corpus,
        "is_synthetic": metrics.is_synthetic,
        "family": metrics.family,
        "seeds": list(metrics.seeds),
        "best_epochs": list(metrics.best_epochs),
    }
    for name in ("splits", "labels", "attention"):
        values[name] = _tree_to_json(getattr(metrics, name))
    return {**values, "failed_seeds": dict(metrics.failed_seeds)}


def _tree_to_json(tree: Any) -> Any:  # noqa: ANN401  # mappings down to values over seeds
    if isinstance(tree, Mapping):
        return {str(key): _tree_to_json(branch) for key, branch in tree.items()}
    values: dict[str, Any] = asdict(tree)
    values["values"] = list(tree.values)
    if isinstance(tree, MetricSummary) and tree.num_videos is None:
        values = {key: value for key, value in values.items() if key not in _OF_VIDEOS}
    return values


def run_metrics_from_json(values: Mapping[str, Any]) -> RunMetrics:
    """Return the metrics that a run's ``metrics.json`` holds.

    Raises:
        KeyError: If something is missing, or of another form (also TypeError).
    """
    return RunMetrics(
        corpus=values["corpus"],
        is_synthetic=values["is_synthetic"],
        family=values["family"],
        seeds=tuple(values["seeds"]),
        best_epochs=tuple(values["best_epochs"]),
        splits=_tree_from_json(values["splits"], MetricSummary),
        labels=_tree_from_json(values["labels"], SeedValues),
        attention=_tree_from_json(values["attention"], SeedValues),
        failed_seeds=dict(values.get("failed_seeds", {})),
    )


def _tree_from_json(tree: Mapping[str, Any], leaf: type) -> Any:  # noqa: ANN401  # as above
    if "values" not in tree:
        return {key: _tree_from_json(branch, leaf) for key, branch in tree.items()}
    return leaf(**{**tree, "values": tuple(tree["values"])})
