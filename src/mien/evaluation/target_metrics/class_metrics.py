"""Metrics of one class of K: how often it is the annotated one, and how good the probabilities are.

The annotated class of a clip is the one with the largest share of its votes. A clip on which the
votes tie has none: it counts where probabilities are compared with shares (``log_loss`` and
``brier``), and nowhere else. The predicted class is the likeliest, the first of equal ones.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from mien.evaluation.formulas import Values, divide, mean_of_sums
from mien.evaluation.metrics import Metric
from mien.evaluation.target_metrics.column_metrics import mean_of_defined, metric_of_sums
from mien.evaluation.target_metrics.target_values import (
    annotated_classes,
    check_shares,
    predicted_classes,
)

__all__ = ["CLASS_METRICS", "LEAST_PROBABILITY", "evaluate_each_class", "metrics_of_one_class"]

#: Smaller probabilities count as this one, so that a single clip does not make a loss infinite.
LEAST_PROBABILITY: Final = float(np.finfo(np.float64).eps)


def _class_terms(values: Values, truths: Values) -> Float[np.ndarray, "N _"]:
    """Per class: is it the annotated and the predicted one, the predicted one, the annotated one.

    The three stand side by side, K of each.
    """
    check_shares(values, truths)
    annotated, is_clear = annotated_classes(truths)
    classes = np.arange(values.shape[1])
    is_annotated = (annotated[:, None] == classes) & is_clear[:, None]
    is_predicted = (predicted_classes(values)[:, None] == classes) & is_clear[:, None]
    parts = [is_annotated & is_predicted, is_predicted, is_annotated]
    return np.concatenate(parts, axis=1).astype(np.float64)


def _counts(sums: Float[np.ndarray, "*B _"]) -> Float[np.ndarray, "3 *B _"]:
    """Hits, predicted and annotated clips of every class."""
    return np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, 0)


def _f1(sums: Float[np.ndarray, "*B _"]) -> Float[np.ndarray, "*B _"]:
    hits, predicted, annotated = _counts(sums)
    return divide(2 * hits, predicted + annotated)


def _precision(sums: Float[np.ndarray, "*B _"]) -> Float[np.ndarray, "*B _"]:
    hits, predicted, _ = _counts(sums)
    return divide(hits, predicted)


def _recall(sums: Float[np.ndarray, "*B _"]) -> Float[np.ndarray, "*B _"]:
    hits, _, annotated = _counts(sums)
    return divide(hits, annotated)


def _mean_recall(sums: Float[np.ndarray, "*B _"]) -> Float[np.ndarray, "*B"]:
    return mean_of_defined(_recall(sums))


def _macro_f1(sums: Float[np.ndarray, "*B _"]) -> Float[np.ndarray, "*B"]:
    return mean_of_defined(_f1(sums))


def _weighted_f1(sums: Float[np.ndarray, "*B _"]) -> Float[np.ndarray, "*B"]:
    annotated = _counts(sums)[2]
    total = np.where(annotated > 0, annotated * np.nan_to_num(_f1(sums)), 0.0).sum(axis=-1)
    return divide(total, annotated.sum(axis=-1))


def _hits(values: Values, truths: Values, among: int) -> Float[np.ndarray, "N 2"]:
    """Whether the annotated class is among the likeliest ones; whether there is one."""
    check_shares(values, truths)
    annotated, is_clear = annotated_classes(truths)
    rows = np.arange(len(values))
    own = values[rows, annotated][:, None]
    is_before = np.arange(values.shape[1]) < annotated[:, None]
    rank = ((values > own) | ((values == own) & is_before)).sum(axis=1)
    return np.stack([(rank < among) & is_clear, is_clear], axis=1).astype(np.float64)


def _log_losses(values: Values, truths: Values) -> Float[np.ndarray, "N 2"]:
    check_shares(values, truths)
    logs = np.log(values.astype(np.float64).clip(LEAST_PROBABILITY, 1.0))
    return _with_ones(-(truths * logs).sum(axis=1))


def _brier_losses(values: Values, truths: Values) -> Float[np.ndarray, "N 2"]:
    check_shares(values, truths)
    return _with_ones((np.subtract(values, truths, dtype=np.float64) ** 2).sum(axis=1))


def _with_ones(losses: Float[np.ndarray, " N"]) -> Float[np.ndarray, "N 2"]:
    return np.stack([losses, np.ones(len(losses))], axis=1)


#: Of probabilities and of the shares of votes, in the order of tables.
CLASS_METRICS: Final[dict[str, Metric]] = {
    "accuracy": metric_of_sums(
        partial(_hits, among=1),
        mean_of_sums,
        "share of clips with the annotated class, the field's WA (weighted accuracy)",
    ),
    "uar": metric_of_sums(
        _class_terms,
        _mean_recall,
        "unweighted average recall, the field's UA: mean over the annotated classes of the share "
        "of their clips that are recognised; balanced accuracy",
    ),
    "f1_weighted": metric_of_sums(
        _class_terms, _weighted_f1, "F1 of the classes, weighted by their annotated clips"
    ),
    "f1_macro": metric_of_sums(
        _class_terms, _macro_f1, "mean F1 of the classes that are annotated or predicted"
    ),
    "accuracy_top2": metric_of_sums(
        partial(_hits, among=2),
        mean_of_sums,
        "share of clips whose annotated class is one of the two likeliest",
    ),
    "log_loss": metric_of_sums(
        _log_losses,
        mean_of_sums,
        "mean cross-entropy of the probabilities, in nats, against the shares of votes",
        higher_is_better=False,
        is_share=False,
        limits=(0.0, math.inf),
    ),
    "brier": metric_of_sums(
        _brier_losses,
        mean_of_sums,
        "mean squared distance of the probabilities from the shares of votes, 0 to 2",
        higher_is_better=False,
        is_share=False,
        limits=(0.0, 2.0),
    ),
}


_Combine = Callable[[Float[np.ndarray, "*B _"]], Float[np.ndarray, "*B _"]]

#: Metrics of every class by itself, from the sums of ``_class_terms``, and what they say.
_EACH: Final[dict[str, tuple[_Combine, str]]] = {
    "f1": (_f1, "F1 of the class; undefined if it is neither annotated nor predicted"),
    "precision": (_precision, "share of the clips predicted to be of the class that are"),
    "recall": (_recall, "share of the clips of the class that are predicted to be of it"),
}


def evaluate_each_class(
    values: Float[np.ndarray, "N K"], truths: Float[np.ndarray, "N K"]
) -> tuple[Int[np.ndarray, " K"], Int[np.ndarray, " K"], dict[str, Float[np.ndarray, " K"]]]:
    """Return how many clips are annotated and predicted to be of each class, and its metrics.

    These are what ``metrics_of_one_class`` gives class by class; without a clip they are NaN.

    Raises:
        MetricError: If a clip's values are not shares.
    """
    if len(values):
        sums = _class_terms(values, truths).sum(axis=0)
    else:
        sums = np.zeros(3 * truths.shape[1])
    _, predicted, annotated = _counts(sums).astype(np.int64)
    return annotated, predicted, {name: combine(sums) for name, (combine, _) in _EACH.items()}


def metrics_of_one_class(index: int) -> dict[str, Metric]:
    """Return precision, recall and F1 of one class, of probabilities and shares of all K.

    Args:
        index: Which class, from 0.
    """

    def pick(combine: _Combine) -> Callable[[Float[np.ndarray, "*B _"]], Float[np.ndarray, "*B"]]:
        return lambda sums: combine(sums)[..., 0]

    def terms(values: Values, truths: Values) -> Float[np.ndarray, "N 3"]:
        return _class_terms(values, truths)[:, index :: values.shape[1]]

    return {
        name: metric_of_sums(terms, pick(combine), description)
        for name, (combine, description) in _EACH.items()
    }
