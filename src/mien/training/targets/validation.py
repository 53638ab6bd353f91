"""How an epoch is told from a better one where more than sentiment is predicted.

Each thing that is predicted has a relative loss on valid: its loss in the multimodal task over that
of the predictor that gives every clip the same. So 1 is as good as not looking at the clips, and 0
is perfect. The mean over sentiment and all targets, by their weights, picks the best epoch.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float

from mien.corpora import MetricFamily
from mien.data.dataset import ClipDataset
from mien.evaluation.metrics import METRICS, RELATIVE_LOSS
from mien.evaluation.predictions import Predictions
from mien.training.objective import MultitaskObjective
from mien.training.settings import TrainConfig
from mien.types import Task

__all__ = [
    "choose_monitor",
    "join_columns",
    "mean_relative_loss",
    "measure_sentiment",
    "measure_targets",
]


def choose_monitor(
    family: MetricFamily, config: TrainConfig, *, has_targets: bool
) -> tuple[str, bool]:
    """Return by which metric of valid an epoch is better than others, and whether more is better.

    It is ``train.monitor``; with further targets, the relative loss of all that is predicted.

    Args:
        family: The metrics of the corpus.
        config: The settings.
        has_targets: Whether more than sentiment is predicted.
    """
    name = RELATIVE_LOSS if has_targets else config.monitor
    metric = METRICS[family].get(name)
    return name, metric is not None and metric.higher_is_better


def join_columns(predictions: Predictions) -> Float[np.ndarray, "N C"]:
    """Return what is predicted of the multimodal task, column by column.

    The score of sentiment comes first, where that is predicted, and the values of each target next.
    """
    scores = [predictions.scores[Task.FUSION][:, None]] if predictions.scores else []
    values = [each.values[Task.FUSION] for each in predictions.values.values()]
    return np.concatenate([*scores, *values], axis=1)


def measure_targets(
    objective: MultitaskObjective, columns: Float[np.ndarray, "N C"], valid: ClipDataset
) -> list[tuple[float, float]]:
    """Return the relative loss of each target with its weight; NaN where no clip is annotated.

    Args:
        objective: What is minimised.
        columns: What is predicted of valid, as ``join_columns`` returns it.
        valid: The clips.
    """
    parts, start = [], int(objective.labels is not None)
    for term in objective.terms:
        values = torch.from_numpy(columns[:, start : start + term.target.size])
        start += term.target.size
        relative = term.relative(values, valid.values[term.name][Task.FUSION].to(values))
        parts.append((relative, term.loss.settings.weight))
    return parts


def measure_sentiment(
    objective: MultitaskObjective, metrics: Mapping[str, float], config: TrainConfig
) -> list[tuple[float, float]]:
    """Return the relative loss of sentiment with its weight: of the metric that is the ``monitor``.

    Args:
        objective: What is minimised.
        metrics: Of sentiment on valid; empty where no clip has a label.
        config: Names the monitor.
    """
    balance = objective.balance
    if balance is None:
        return []
    value = metrics.get(config.monitor, math.nan)
    return [(1 - value if config.monitor == "corr" else value / balance.constant, balance.weight)]


def mean_relative_loss(parts: Sequence[tuple[float, float]]) -> float:
    """Return the mean of relative losses, each with its weight, that are known; NaN if none is."""
    known = [(value, weight) for value, weight in parts if not math.isnan(value)]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if known else math.nan
