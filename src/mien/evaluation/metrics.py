"""The metrics of each family of corpora, by name: what tables show, and how each is resampled.

An entry of ``METRICS`` calls a function of ``formulas``; where that has no clip to count, the entry
gives NaN.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal, TypeVar

import numpy as np
from jaxtyping import Float, Int

from mien.errors import MetricError
from mien.evaluation.formulas import (
    Neutral,
    NothingToCountError,
    Scores,
    Values,
    check_scores,
    class_accuracy,
    class_hits,
    confusion_terms,
    corr,
    corr_of_moments,
    error_terms,
    interval_accuracy,
    interval_hits,
    mae,
    mean_of_sums,
    moment_terms,
    polarity_accuracy,
    polarity_f1,
    polarity_hits,
    weighted_f1,
)

__all__ = ["METRICS", "RELATIVE_LOSS", "Metric", "Sums", "clip_metric", "evaluate_all"]

#: What validation calls the mean over all that is predicted of its loss, each over that of the best
#: constant. It stands among the metrics of an epoch where targets are learned.
RELATIVE_LOSS: Final = "relative_loss"

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """How a metric follows from sums over clips.

    Attributes:
        terms: What each clip adds to each sum.
        combine: Turns the sums, the last axis, into the metric; NaN where that is undefined.
    """

    terms: Callable[[Values, Values], Float[np.ndarray, "N _"]]
    combine: Callable[[Float[np.ndarray, "*B _"]], Float[np.ndarray, "*B"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """An entry of the table of metrics; calling it gives NaN where the metric is undefined.

    Attributes:
        function: The metric, of scores and targets; those of classes have K values of each clip.
        higher_is_better: Whether more of it is better.
        is_share: Whether it is a share of clips, 0 to 1, which tables show in percent.
        description: What it says, in a line, and how it counts zeros; printed with every table.
        sums: How it follows from sums over clips; without it, resampling works, but slowly.
        weighted: The metric of every resample at once, from how often each clip is in it, for a
            metric that does not follow from sums; NaN where it is undefined.
        limits: The least and the largest value that it can have; None for those of its kind: 0
            and 1 for a share, none for others.
    """

    function: Callable[[Values, Values], float]
    higher_is_better: bool
    is_share: bool
    description: str
    sums: Sums | None = None
    weighted: Callable[[Values, Values, Int[np.ndarray, "_ N"]], Float[np.ndarray, " _"]] | None = (
        None
    )
    limits: tuple[float, float] | None = None

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the largest value that it can have; infinite where there is none."""
        if self.limits is not None:
            return self.limits
        return (0.0, 1.0) if self.is_share else (-math.inf, math.inf)

    def __call__(self, scores: Values, targets: Values) -> float:
        """Return the metric; NaN if no clip is left to count.

        Raises:
            MetricError: If a value is not finite.
        """
        try:
            return self.function(scores, targets)
        except NothingToCountError:
            return math.nan


def clip_metric(metric: Metric, bound: float) -> Metric:
    """Return the metric of scores and targets that are first clipped to -bound..bound."""
    sums = metric.sums and replace(metric.sums, terms=_clip_first(metric.sums.terms, bound))
    clipped = _clip_first(metric.function, bound)
    return replace(metric, function=clipped, sums=sums, weighted=None)


def _clip_first(
    function: Callable[[Scores, Scores], _Result], bound: float
) -> Callable[[Scores, Scores], _Result]:
    def clipped(scores: Scores, targets: Scores) -> _Result:
        check_scores(scores, targets)  # before an infinite score is made a finite one
        return function(np.clip(scores, -bound, bound), np.clip(targets, -bound, bound))

    return clipped


_MAE: Final = Metric(
    function=mae,
    higher_is_better=False,
    is_share=False,
    description="mean absolute error, on the scale of the annotations",
    sums=Sums(terms=error_terms, combine=mean_of_sums),
    limits=(0.0, math.inf),
)

_CORR: Final = Metric(
    function=corr,
    higher_is_better=True,
    is_share=False,
    description="correlation coefficient of Pearson; undefined where all values are the same",
    sums=Sums(terms=moment_terms, combine=corr_of_moments),
    limits=(-1.0, 1.0),
)

_ZEROS: Final[dict[Neutral, str]] = {
    "positive": "a 0 counts as positive",
    "negative": "a 0 counts as negative",
    "excluded": "clips annotated 0 are left out",
}


def _polarity(kind: Literal["accuracy", "f1"], neutral: Neutral) -> Metric:
    if kind == "accuracy":
        function, name = polarity_accuracy, "share of clips with the annotated polarity"
        sums = Sums(terms=partial(polarity_hits, neutral=neutral), combine=mean_of_sums)
    else:
        function, name = polarity_f1, "F1 of the two polarities, weighted by their annotated clips"
        sums = Sums(terms=partial(confusion_terms, neutral=neutral), combine=weighted_f1)
    return Metric(
        function=partial(function, neutral=neutral),
        higher_is_better=True,
        is_share=True,
        description=f"{name}; {_ZEROS[neutral]}",
        sums=sums,
    )


def _rounded(bound: int) -> Metric:
    return Metric(
        function=partial(class_accuracy, bound=bound),
        higher_is_better=True,
        is_share=True,
        description=f"share of clips with the annotated class: clipped to -{bound}..{bound} and "
        "rounded, halves to even; 0 is a class of its own",
        sums=Sums(terms=partial(class_hits, bound=bound), combine=mean_of_sums),
    )


def _between(*cuts: float) -> Metric:
    return Metric(
        function=partial(interval_accuracy, cuts=cuts),
        higher_is_better=True,
        is_share=True,
        description="share of clips with the annotated class: cut at "
        f"{', '.join(f'{cut:g}' for cut in cuts)}, a cut belongs to the class below; "
        "0 is in the middle class",
        sums=Sums(terms=partial(interval_hits, cuts=cuts), combine=mean_of_sums),
    )


_GENERAL: Final[dict[str, Metric]] = {
    "mae": _MAE,
    "corr": _CORR,
    "acc2_has0": _polarity("accuracy", "positive"),
    "acc2_non0": _polarity("accuracy", "excluded"),
    "f1_has0": _polarity("f1", "positive"),
    "f1_non0": _polarity("f1", "excluded"),
}

_SIMS: Final[dict[str, Metric]] = {
    "mae": _MAE,
    "corr": _CORR,
    "acc2": _polarity("accuracy", "negative"),
    "acc3": _between(-0.1, 0.1),
    "acc5": _between(-0.7, -0.1, 0.1, 0.7),
    "f1": _polarity("f1", "negative"),
}

#: The metrics of each family, in the order of tables. ``mosi`` is for MOSI and MOSEI; ``sims``
#: clips scores and targets to -1..1 first, for every metric; ``general`` is for any other scale
#: on which 0 is neutral.
METRICS: Final[dict[str, dict[str, Metric]]] = {
    "mosi": {**_GENERAL, "acc5": _rounded(2), "acc7": _rounded(3)},
    "sims": {name: clip_metric(metric, 1.0) for name, metric in _SIMS.items()},
    "general": _GENERAL,
}


def evaluate_all(scores: Scores, targets: Scores, family: str) -> dict[str, float]:
    """Return every metric of a family, unrounded.

    NaN stands for a metric that is undefined: ``corr`` if the scores or the targets are all the
    same, ``acc2_non0`` and ``f1_non0`` if every target is 0.

    Args:
        scores: Predicted scores.
        targets: Annotated scores.
        family: Key of ``METRICS``.

    Raises:
        MetricError: If there is no such family, no clip, or a value that is not finite.
    """
    if family not in METRICS:
        raise MetricError(
            f"metrics: no family is called {family!r}, must be one of {', '.join(METRICS)}"
        )
    check_scores(scores, targets)
    return {name: metric(scores, targets) for name, metric in METRICS[family].items()}
