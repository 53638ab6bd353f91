"""Metrics of any of K labels: what is there and what is not, per label and over all of them.

A label is annotated where at least half of the votes have it, and predicted where its probability
is at least one half. ``presence_metrics`` are shared with intensities, which have other bounds.
"""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from mien.evaluation.formulas import (
    NothingToCountError,
    Scores,
    Values,
    divide,
    mean_of_sums,
    weighted_f1,
)
from mien.evaluation.metrics import Metric
from mien.evaluation.target_metrics.class_metrics import LEAST_PROBABILITY
from mien.evaluation.target_metrics.column_metrics import (
    evaluate_columns,
    mean_of_columns,
    metric_of_sums,
    of_column,
)
from mien.evaluation.target_metrics.ranking import auroc_of_counts, average_precision_of_counts
from mien.evaluation.target_metrics.target_values import PRESENT, check_probabilities

__all__ = ["LABEL_METRICS", "evaluate_each_label", "metrics_of_one_label", "presence_metrics"]

_Is = Callable[[Values], Bool[np.ndarray, "N *K"]]
_OfCounts = Callable[
    [Float[np.ndarray, " N"], Bool[np.ndarray, " N"], Int[np.ndarray, "R N"]],
    Float[np.ndarray, " R"],
]


def _is_there(values: Values) -> Bool[np.ndarray, "N *K"]:
    there: Bool[np.ndarray, N * K] = values >= PRESENT
    return there


def presence_metrics(is_there: _Is) -> dict[str, Metric]:
    """Return metrics of one value of each clip that says whether something is there.

    Source: tong2017 for the weighted accuracy.

    Args:
        is_there: Reads it from predicted or annotated values.
    """

    def cells(values: Scores, truths: Scores) -> Float[np.ndarray, "N 4"]:
        predicted, annotated = is_there(values), is_there(truths)
        parts = [
            predicted & annotated,
            predicted & ~annotated,
            ~predicted & annotated,
            ~predicted & ~annotated,
        ]
        return np.stack(parts, axis=1).astype(np.float64)

    return {
        "accuracy": metric_of_sums(
            cells, _accuracy, "share of clips in which it is rightly there or not there"
        ),
        "weighted_accuracy": metric_of_sums(
            cells,
            _weighted_accuracy,
            "(TP N / P + TN) / 2 N with P clips in which it is there and N in which it is not, as "
            "papers on CMU-MOSEI report; undefined without both",
        ),
        "f1": metric_of_sums(
            cells, _f1, "F1 of its being there; undefined if it is neither annotated nor predicted"
        ),
        "f1_presence": metric_of_sums(
            cells,
            weighted_f1,
            "F1 of its being there and of its not being there, weighted by annotated clips, as "
            "papers on CMU-MOSEI report",
        ),
        "precision": metric_of_sums(
            cells, _precision, "share of the clips predicted to have it that do"
        ),
        "recall": metric_of_sums(
            cells, _recall, "share of the clips with it that are predicted to have it"
        ),
        "auroc": _ranked(
            auroc_of_counts,
            is_there,
            "area under the ROC curve: chance that a clip with it has a larger value than one "
            "without; undefined without both",
        ),
        "average_precision": _ranked(
            average_precision_of_counts,
            is_there,
            "average precision over the clips in the order of their values; undefined if it is "
            "never there",
        ),
    }


def _ranked(of_counts: _OfCounts, is_there: _Is, description: str) -> Metric:
    def weighted(
        values: Scores, truths: Scores, counts: Int[np.ndarray, "R N"]
    ) -> Float[np.ndarray, " R"]:
        return of_counts(values, is_there(truths), counts)

    def function(values: Scores, truths: Scores) -> float:
        if not len(values):
            raise NothingToCountError("metrics: there is no clip, at least 1 is needed")
        return float(weighted(values, truths, np.ones((1, len(values)), np.int64))[0])

    return Metric(
        function=function,
        higher_is_better=True,
        is_share=True,
        description=description,
        weighted=weighted,
    )


def _accuracy(sums: Float[np.ndarray, "*B 4"]) -> Float[np.ndarray, "*B"]:
    return divide(sums[..., 0] + sums[..., 3], sums.sum(axis=-1))


def _weighted_accuracy(sums: Float[np.ndarray, "*B 4"]) -> Float[np.ndarray, "*B"]:
    hits, false_positive, false_negative, rejections = np.moveaxis(sums, -1, 0)
    there, not_there = hits + false_negative, rejections + false_positive
    mean: Float[np.ndarray, "*B"] = (divide(hits, there) + divide(rejections, not_there)) / 2
    return mean


def _f1(sums: Float[np.ndarray, "*B 4"]) -> Float[np.ndarray, "*B"]:
    hits, false_positive, false_negative, _ = np.moveaxis(sums, -1, 0)
    return divide(2 * hits, 2 * hits + false_positive + false_negative)


def _precision(sums: Float[np.ndarray, "*B 4"]) -> Float[np.ndarray, "*B"]:
    return divide(sums[..., 0], sums[..., 0] + sums[..., 1])


def _recall(sums: Float[np.ndarray, "*B 4"]) -> Float[np.ndarray, "*B"]:
    return divide(sums[..., 0], sums[..., 0] + sums[..., 2])


def _all_right(values: Values, truths: Values) -> Float[np.ndarray, "N 2"]:
    check_probabilities(values, truths)
    is_right = (_is_there(values) == _is_there(truths)).all(axis=1)
    return np.stack([is_right, np.ones(len(is_right))], axis=1).astype(np.float64)


def _label_terms(values: Values, truths: Values) -> Float[np.ndarray, "N _"]:
    """Of every label what F1 takes: hits, and predicted and annotated clips together."""
    check_probabilities(values, truths)
    predicted, annotated = _is_there(values), _is_there(truths)
    counts = predicted.astype(np.float64) + annotated
    return np.concatenate([predicted & annotated, counts, annotated], axis=1)


def _f1_of_labels(
    sums: Float[np.ndarray, "*B _"],
) -> tuple[Float[np.ndarray, "*B K"], Float[np.ndarray, "*B K"]]:
    """Return the F1 of every label, 0 for one that is nowhere, and its annotated clips."""
    hits, counts, annotated = np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, 0)
    return np.nan_to_num(divide(2 * hits, counts)), annotated


def _macro_f1(sums: Float[np.ndarray, "*B _"]) -> Float[np.ndarray, "*B"]:
    mean: Float[np.ndarray, "*B"] = _f1_of_labels(sums)[0].mean(axis=-1)
    return mean


def _weighted_f1_of_labels(sums: Float[np.ndarray, "*B _"]) -> Float[np.ndarray, "*B"]:
    f1, annotated = _f1_of_labels(sums)
    return divide((annotated * f1).sum(axis=-1), annotated.sum(axis=-1))


def _micro_f1(sums: Float[np.ndarray, "*B _"]) -> Float[np.ndarray, "*B"]:
    hits, counts, _ = np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, 0)
    return divide(2 * hits.sum(axis=-1), counts.sum(axis=-1))


def _log_losses(values: Scores, truths: Scores) -> Float[np.ndarray, "N 2"]:
    there = values.astype(np.float64)
    logs, others = (np.log(p.clip(LEAST_PROBABILITY, 1.0)) for p in (there, 1.0 - there))
    return np.stack([-(truths * logs + (1.0 - truths) * others), np.ones(len(values))], axis=1)


_EACH: Final[dict[str, Metric]] = {
    **presence_metrics(_is_there),
    "log_loss": metric_of_sums(
        _log_losses,
        mean_of_sums,
        "mean cross-entropy of the probability, in nats, against the share of votes",
        higher_is_better=False,
        is_share=False,
        limits=(0.0, math.inf),
    ),
}


def _mean(name: str, description: str, num_terms: int = 4) -> Metric:
    return mean_of_columns(_EACH[name], description, num_terms, check_probabilities)


#: Of probabilities and of what is annotated, in the order of tables.
LABEL_METRICS: Final[dict[str, Metric]] = {
    "accuracy": _mean("accuracy", "share of labels, over all clips, that are right"),
    "subset_accuracy": metric_of_sums(
        _all_right, mean_of_sums, "share of clips in which every label is right"
    ),
    "weighted_accuracy": _mean(
        "weighted_accuracy",
        "mean over the labels of (TP N / P + TN) / 2 N, with P clips in which a label is there and "
        "N in which it is not, as papers on CMU-MOSEI report; labels without both are left out",
    ),
    "f1_presence": _mean(
        "f1_presence",
        "mean over the labels of the F1 of there and not there, weighted by annotated clips, as "
        "papers on CMU-MOSEI report",
    ),
    "f1_weighted": metric_of_sums(
        _label_terms, _weighted_f1_of_labels, "F1 of the labels, weighted by their annotated clips"
    ),
    "f1_macro": metric_of_sums(
        _label_terms,
        _macro_f1,
        "mean F1 of the labels; one that is neither annotated nor predicted counts 0",
    ),
    "f1_micro": metric_of_sums(
        _label_terms, _micro_f1, "F1 of all labels of all clips, taken together"
    ),
    "auroc": _mean(
        "auroc",
        "mean area under the ROC curves of the labels; those that are always or never there are "
        "left out",
    ),
    "map": _mean(
        "average_precision", "mean average precision of the labels that are somewhere there"
    ),
    "log_loss": _mean(
        "log_loss",
        "mean cross-entropy of the probabilities of the labels, in nats, against shares of votes",
        num_terms=2,
    ),
}


def evaluate_each_label(
    values: Float[np.ndarray, "N K"], truths: Float[np.ndarray, "N K"]
) -> dict[str, Float[np.ndarray, " K"]]:
    """Return what ``metrics_of_one_label`` gives label by label; NaN without a clip.

    Raises:
        MetricError: If values are no probabilities.
    """
    return evaluate_columns(_EACH, values, truths, check_probabilities)


def metrics_of_one_label(index: int) -> dict[str, Metric]:
    """Return the metrics of one label, of probabilities and annotations of all K.

    Args:
        index: Which label, from 0.
    """
    return {name: of_column(metric, index, check_probabilities) for name, metric in _EACH.items()}
