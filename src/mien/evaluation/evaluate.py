"""Predictions and labels to plain results, for one seed and over the seeds of a run."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from mien.corpora import MetricFamily
from mien.evaluation.bootstrap import Draws, come_from_videos, draw_units, resample
from mien.evaluation.label_agreement import (
    AttentionShare,
    LabelAgreement,
    agreement,
    attention_share,
)
from mien.evaluation.metrics import METRICS, Metric, evaluate_all
from mien.evaluation.predictions import Predictions
from mien.evaluation.significance import summarise_seeds
from mien.files.json_values import json_number
from mien.types import ID_SEPARATOR, Clip, Modality, Split, Task

__all__ = [
    "evaluate_attention",
    "evaluate_labels",
    "evaluate_run",
    "evaluate_scores",
    "evaluate_seeds",
    "evaluated_rows",
    "merge_seeds",
    "moment_in_steps",
    "share_attention",
]

Tokens = Callable[[Clip], list[tuple[str, int, int]] | None]


def evaluate_scores(predictions: Predictions, family: MetricFamily) -> dict[str, dict[str, Any]]:
    """Return every metric of every task that is annotated; None where one is undefined.

    A unimodal task is judged on the clips that are annotated for it and have the modality.
    """
    judged = {}
    for task, scores in predictions.scores.items():
        kept = evaluated_rows(predictions, task)
        if kept.any():
            values = evaluate_all(scores[kept], predictions.targets[task][kept], family)
            judged[str(task)] = {name: json_number(value) for name, value in values.items()}
    return judged


def evaluated_rows(predictions: Predictions, task: Task) -> Bool[np.ndarray, " N"]:
    """Return which clips a task is judged on: annotated for it, and with the modality."""
    if task not in predictions.targets:
        return np.zeros(len(predictions), dtype=bool)
    kept: Bool[np.ndarray, " N"] = ~np.isnan(predictions.targets[task])
    if task is not Task.FUSION:
        kept &= predictions.present[Modality(task)]
    return kept


def evaluate_labels(
    latest: Mapping[Modality, Float[np.ndarray, "N"]],
    truth: Mapping[Task, Float[np.ndarray, "N"]],
) -> dict[str, Any]:
    """Compare generated unimodal labels of train with the truth, beside the copied annotation.

    Args:
        latest: What each unimodal task was last trained on.
        truth: What is annotated, or known, per task; NaN where it is not.

    Returns:
        Per modality with a known truth: ``generated`` and ``copy``, each over ``everywhere`` and
        over the ``conflicting`` clips, in which the modality says the opposite of the whole.
    """
    judged = {}
    annotated = truth[Task.FUSION]
    for modality, labels in latest.items():
        known = truth.get(Task(modality), np.full(len(annotated), np.nan))
        kept = ~np.isnan(known)
        if kept.any():
            given = {"generated": labels, "copy": annotated}
            judged[str(modality)] = {
                name: _agreement(agreement(one[kept], known[kept], annotated[kept]))
                for name, one in given.items()
            }
    return judged


def _agreement(result: LabelAgreement) -> dict[str, Any]:
    return {
        part: {name: json_number(value) for name, value in values.items()}
        for part, values in asdict(result).items()
    }


def evaluate_attention(
    predictions: Predictions, clips: Sequence[Clip], tokens: Tokens
) -> dict[str, Any]:
    """Return the share of attention inside the known moments, beside what equal weights get."""
    return {
        str(modality): {
            "inside": json_number(share.mean),
            "uniform": json_number(share.uniform_mean),
            "ratio": json_number(share.ratio),
            "num_clips": share.num_clips,
        }
        for modality, (_, share) in share_attention(predictions, clips, tokens).items()
    }


def share_attention(
    predictions: Predictions, clips: Sequence[Clip], tokens: Tokens
) -> dict[Modality, tuple[list[int], AttentionShare]]:
    """Return, per modality, the rows of the clips with a known moment, and their shares."""
    shared = {}
    for modality, weights in predictions.attention.items():
        rows, spans = [], []
        for row, clip in enumerate(clips):
            span = moment_in_steps(clip, modality, tokens)
            if span is not None and len(weights[row]) >= span[1] > span[0]:
                rows.append(row)
                spans.append(span)
        if rows:
            lengths = np.array([len(weights[row]) for row in rows])
            mask = np.arange(lengths.max()) < lengths[:, None]
            padded = np.zeros(mask.shape)
            padded[mask] = np.concatenate([weights[row] for row in rows])
            shared[modality] = (rows, attention_share(padded, mask, np.array(spans)))
    return shared


def moment_in_steps(clip: Clip, modality: Modality, tokens: Tokens) -> tuple[int, int] | None:
    """Return a clip's moment in steps of the series; for text, from characters to tokens."""
    if modality not in clip.moments:
        return None
    start, end = clip.moments[modality]
    if modality is not Modality.TEXT:
        return start, end
    found = tokens(clip)
    if found is None:
        return None
    inside = [i for i, (_, a, b) in enumerate(found) if a < end and b > start and b > a]
    return (inside[0], inside[-1] + 1) if inside else None


def evaluate_run(
    family: MetricFamily,
    corpus: str,
    *,
    is_synthetic: bool,
    seeds: Sequence[int],
    predictions: Mapping[Split, Sequence[Predictions]],
    attention: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return what several seeds gave, as a run's ``metrics.json`` holds it."""
    return {
        "corpus": corpus,
        "is_synthetic": is_synthetic,
        "family": family,
        "seeds": list(seeds),
        "best_epochs": [],
        "splits": {split: evaluate_seeds(p, family) for split, p in predictions.items() if p},
        "labels": {},
        "attention": merge_seeds(list(attention)),
    }


def evaluate_seeds(predictions: Sequence[Predictions], family: MetricFamily) -> dict[str, Any]:
    """Return, per task and metric, what several seeds gave on one split.

    Returns:
        ``mean``, ``deviation`` (over seeds), ``values`` (one per seed), ``low`` and ``high`` (95 %
        interval of the mean over clips), ``num_clips`` and, where the clips come from several
        videos, ``low_videos``, ``high_videos`` and ``num_videos`` (the same over videos). None
        stands for what is undefined, such as an interval over a single clip.
    """
    first = predictions[0]
    videos = np.array([name.split(ID_SEPARATOR)[0] for name in first.ids])
    judged: dict[str, Any] = {}
    for task in first.scores:
        kept = evaluated_rows(first, task)
        if not kept.any():
            continue
        scores = np.stack([one.scores[task][kept] for one in predictions])
        targets = first.targets[task][kept]
        draws = _draw(videos[kept])
        judged[str(task)] = {
            name: _over_seeds(scores, targets, metric, draws)
            for name, metric in METRICS[family].items()
        }
    return judged


def _draw(videos: np.ndarray) -> dict[str, Draws]:
    """Return resampled clips and, where several clips come from one video, whole videos."""
    clusters = {"clips": None, "videos": videos if come_from_videos(videos) else None}
    return {
        unit: draw_units(len(videos), one)
        for unit, one in clusters.items()
        if unit == "clips" or one is not None
    }


def _over_seeds(
    scores: Float[np.ndarray, "K N"],
    targets: Float[np.ndarray, "N"],
    metric: Metric,
    draws: Mapping[str, Draws],
) -> dict[str, Any]:
    drawn = {unit: resample(scores, targets, metric, one) for unit, one in draws.items()}
    values = drawn["clips"].values.tolist()
    summary = summarise_seeds(values)
    result: dict[str, Any] = {
        "mean": json_number(summary.mean),
        "deviation": json_number(summary.deviation),
        "values": [json_number(value) for value in values],
    }
    for unit, one in drawn.items():
        interval = one.interval()
        end = "" if unit == "clips" else "_videos"
        result |= {f"low{end}": json_number(interval.low), f"high{end}": json_number(interval.high)}
        result[f"num_{unit}"] = interval.num_units
    return result


def merge_seeds(trees: Sequence[Any]) -> Any:  # noqa: ANN401  # a tree of dicts and numbers
    """Turn trees of numbers, one per seed, into one tree of means, deviations and values."""
    if not trees:
        return {}
    if isinstance(trees[0], Mapping):
        return {key: merge_seeds([tree[key] for tree in trees]) for key in trees[0]}
    numbers = [math.nan if value is None else float(value) for value in trees]
    summary = summarise_seeds(numbers)
    return {
        "mean": json_number(summary.mean),
        "deviation": json_number(summary.deviation),
        "values": [json_number(value) for value in numbers],
    }
