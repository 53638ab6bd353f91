"""Whether what is made of trained models is better than they are, by the validation clips."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float

from mien.corpora import MetricFamily
from mien.evaluation.evaluate import evaluated_rows
from mien.evaluation.metrics import METRICS, Metric
from mien.evaluation.predictions import Predictions, average_predictions
from mien.files.json_values import json_number, json_numbers
from mien.reports.target_results.shown_metrics import shown_metrics
from mien.types import Target, TargetKind, Task

__all__ = ["ComparedMetric", "compare_made", "compare_members", "describe_compared"]

#: The metric of a target that stands for its loss.
_LOSSES: Final = {
    TargetKind.CLASS: "log_loss",
    TargetKind.LABELS: "log_loss",
    TargetKind.SCORE: "mae",
    TargetKind.INTENSITIES: "mae",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedMetric:
    """A metric of the multimodal task on the validation clips.

    Attributes:
        name: Its name; that of a target has the target before it, as in ``emotion/uar``.
        metric: The metric.
        single: Of each model; NaN where it is undefined.
        made: Of what is made of them: the mean of their scores and probabilities, or a model that
            is written in another form.
        picks_epoch: Whether the training picked its best epoch by it; with targets, by the sum of
            all that are marked so, each relative to the best constant.
    """

    name: str
    metric: Metric
    single: tuple[float, ...]
    made: float
    picks_epoch: bool

    @property
    def mean(self) -> float:
        """Mean over the single models; NaN if it is undefined of one."""
        return math.fsum(self.single) / len(self.single)

    @property
    def is_better(self) -> bool:
        """Whether what is made is better than a single model on average."""
        gain = self.made - self.mean
        return gain > 0 if self.metric.higher_is_better else gain < 0


def compare_members(
    predictions: Sequence[Predictions], family: MetricFamily, monitor: str
) -> tuple[ComparedMetric, ...]:
    """Compare the mean of what several seeds predict of validation clips with single seeds.

    Args:
        predictions: Those of each seed.
        family: The metrics of sentiment.
        monitor: The setting ``train.monitor``.
    """
    return compare_made(predictions, average_predictions(predictions), family, monitor)


def compare_made(
    predictions: Sequence[Predictions], made: Predictions, family: MetricFamily, monitor: str
) -> tuple[ComparedMetric, ...]:
    """Compare what is made of models with them, by their predictions of the same clips.

    Args:
        predictions: Those of each model.
        made: Those of what is made.
        family: As in ``compare_members``; so is the next.
        monitor: As there.
    """
    first, compared = predictions[0], []
    if first.scores:
        scores = [each.scores[Task.FUSION] for each in (*predictions, made)]
        rows = evaluated_rows(first, Task.FUSION)
        truths = first.targets[Task.FUSION]
        picks = {name: name == monitor for name in METRICS[family]}
        compared += list(_compare(scores, truths, rows, METRICS[family], picks))
    for name, own in first.values.items():
        values = [each.values[name].values[Task.FUSION] for each in (*predictions, made)]
        rows = evaluated_rows(first, Task.FUSION, name)
        truths = own.truths.get(Task.FUSION, np.full_like(values[0], np.nan))
        compared += list(_compare_target(own.target, values, truths, rows))
    return tuple(compared)


def describe_compared(compared: Sequence[ComparedMetric]) -> dict[str, Any]:
    """Return what a header says of a comparison: of what is made, and of each model."""
    return {
        "valid": {each.name: json_number(each.made) for each in compared},
        "valid_of_members": {each.name: json_numbers(each.single) for each in compared},
    }


def _compare_target(
    target: Target,
    values: Sequence[Float[np.ndarray, "N K"]],
    truths: Float[np.ndarray, "N K"],
    rows: Bool[np.ndarray, " N"],
) -> Iterator[ComparedMetric]:
    shown = shown_metrics(target.kind)
    metrics = {f"{target.name}/{name}": metric for name, metric in shown.items()}
    picks = {f"{target.name}/{name}": name == _LOSSES[target.kind] for name in shown}
    yield from _compare(values, truths, rows, metrics, picks)


def _compare(
    values: Sequence[Float[np.ndarray, "N *K"]],
    truths: Float[np.ndarray, "N *K"],
    rows: Bool[np.ndarray, " N"],
    metrics: Mapping[str, Metric],
    picks: Mapping[str, bool],
) -> Iterator[ComparedMetric]:
    """Yield every metric; none where no clip is annotated. The last values are of what is made."""
    if not rows.any():
        return
    for name, metric in metrics.items():
        *single, made = (metric(own[rows], truths[rows]) for own in values)
        yield ComparedMetric(
            name=name,
            metric=metric,
            single=tuple(single),
            made=made,
            picks_epoch=picks[name],
        )
