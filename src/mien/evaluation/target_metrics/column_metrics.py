"""Metrics of K values of each clip from metrics of a single one: a column, or the mean of all."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Int

from mien.evaluation.formulas import Values, divide
from mien.evaluation.metrics import Metric, Sums
from mien.evaluation.target_metrics.target_values import check_values

__all__ = [
    "evaluate_columns",
    "mean_of_columns",
    "mean_of_defined",
    "metric_of_sums",
    "of_column",
]

_Result = TypeVar("_Result")
_Counts = Int[np.ndarray, "R N"]
_Check = Callable[[Values, Values], None]


def mean_of_defined(values: Float[np.ndarray, "*B K"]) -> Float[np.ndarray, "*B"]:
    """Return the mean over the last axis of what is not NaN; NaN where nothing is."""
    defined = ~np.isnan(values)
    total = np.where(defined, values, 0.0).sum(axis=-1)
    return divide(total, defined.sum(axis=-1).astype(np.float64))


def metric_of_sums(
    terms: Callable[[Values, Values], Float[np.ndarray, "N _"]],
    combine: Callable[[Float[np.ndarray, "*B _"]], Float[np.ndarray, "*B"]],
    description: str,
    *,
    higher_is_better: bool = True,
    is_share: bool = True,
    limits: tuple[float, float] | None = None,
) -> Metric:
    """Return a metric that follows from sums over clips, as ``Sums`` says.

    Args:
        terms: What each clip adds to each sum; refuses what cannot be compared.
        combine: Turns the sums into the metric.
        description: As in ``Metric``.
        higher_is_better: As in ``Metric``.
        is_share: As in ``Metric``.
        limits: As in ``Metric``.
    """

    def total(values: Values, truths: Values) -> float:
        return float(combine(terms(values, truths).sum(axis=0, keepdims=True))[0])

    return Metric(
        function=total,
        higher_is_better=higher_is_better,
        is_share=is_share,
        description=description,
        sums=Sums(terms=terms, combine=combine),
        limits=limits,
    )


def of_column(metric: Metric, column: int, check: _Check = check_values) -> Metric:
    """Return the metric of one of the K values of each clip.

    Args:
        metric: A metric of one value of each clip.
        column: Which value, from 0.
        check: Refuses K values that cannot be compared.
    """

    def of_one(function: Callable[..., _Result]) -> Callable[..., _Result]:
        def of_all(values: Values, truths: Values, *counts: _Counts) -> _Result:
            check(values, truths)
            return function(values[:, column], truths[:, column], *counts)

        return of_all

    return replace(
        metric,
        function=of_one(metric.function),
        sums=metric.sums and replace(metric.sums, terms=of_one(metric.sums.terms)),
        weighted=metric.weighted and of_one(metric.weighted),
    )


def evaluate_columns(
    metrics: Mapping[str, Metric], values: Values, truths: Values, check: _Check = check_values
) -> dict[str, Float[np.ndarray, " K"]]:
    """Return metrics of each of the K values, as ``of_column`` gives them one by one.

    Args:
        metrics: Metrics of one value of each clip.
        values: K values of each clip; without a clip every metric is NaN.
        truths: What is annotated.
        check: Refuses K values that cannot be compared.
    """
    if not len(values):
        return {name: np.full(truths.shape[1], np.nan) for name in metrics}
    check(values, truths)
    columns = list(zip(values.T, truths.T, strict=True))
    return {name: np.array([metric(*each) for each in columns]) for name, metric in metrics.items()}


def mean_of_columns(
    metric: Metric, description: str, num_terms: int = 1, check: _Check = check_values
) -> Metric:
    """Return the mean of a metric over the K values of each clip, of those that are defined.

    Args:
        metric: A metric of one value of each clip.
        description: What the mean says.
        num_terms: How many terms its sums have; of no meaning for one without sums.
        check: Refuses K values that cannot be compared.
    """

    def of_each(function: Callable[..., _Result]) -> Callable[..., list[_Result]]:
        def of_all(values: Values, truths: Values, *counts: _Counts) -> list[_Result]:
            check(values, truths)
            columns = zip(values.T, truths.T, strict=True)
            return [function(of_values, of_truths, *counts) for of_values, of_truths in columns]

        return of_all

    def mean(values: Values, truths: Values) -> float:
        return float(mean_of_defined(np.array([of_each(metric)(values, truths)]))[0])

    return replace(
        metric,
        function=mean,
        description=description,
        sums=metric.sums and _join(metric.sums, of_each(metric.sums.terms), num_terms),
        weighted=metric.weighted and _average(of_each(metric.weighted)),
    )


def _join(sums: Sums, terms: Callable[..., list[Float[np.ndarray, "N _"]]], num_terms: int) -> Sums:
    """Put the sums of all columns beside each other."""
    return Sums(
        terms=lambda values, truths: np.concatenate(terms(values, truths), axis=1),
        combine=lambda added: mean_of_defined(
            sums.combine(added.reshape(*added.shape[:-1], -1, num_terms))
        ),
    )


def _average(
    weighted: Callable[..., list[Float[np.ndarray, " R"]]],
) -> Callable[[Values, Values, _Counts], Float[np.ndarray, " R"]]:
    return lambda values, truths, counts: mean_of_defined(
        np.stack(weighted(values, truths, counts), axis=-1)
    )
