"""Metrics of a score on a scale, and of an intensity of each of K classes.

An intensity says that its class is there where it lies above 0.
"""

import math
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from mien.evaluation.formulas import (
    Scores,
    Values,
    check_scores,
    divide,
)
from mien.evaluation.metrics import METRICS, Metric, Sums
from mien.evaluation.target_metrics.column_metrics import (
    evaluate_columns,
    mean_of_columns,
    of_column,
)
from mien.evaluation.target_metrics.label_metrics import presence_metrics
from mien.evaluation.target_metrics.ranking import SPEARMAN

__all__ = [
    "INTENSITY_METRICS",
    "SCORE_METRICS",
    "ccc",
    "evaluate_each_intensity",
    "metrics_of_one_intensity",
]

#: A spread below this share of the mean square is rounding.
_ROUNDING: Final = 1e-10


def ccc(scores: Scores, targets: Scores) -> float:
    """Concordance correlation coefficient, -1 to 1; NaN if all scores and targets are one value.

        ccc = 2 s_xy / (s_xx + s_yy + (mean x - mean y)^2)

    The s are moments with divisor N. Unlike a correlation it falls where scores are shifted or
    stretched against the targets.

    Source: lin1989.

    Raises:
        MetricError: If there is no clip, or a value is not finite.

    >>> ccc(np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0]))
    0.5714285714285714
    """
    check_scores(scores, targets)
    if scores.min() == scores.max() == targets.min() == targets.max():
        return math.nan
    x, y = scores.astype(np.float64), targets.astype(np.float64)
    shift = x.mean() - y.mean()
    x, y = x - x.mean(), y - y.mean()
    return float(2 * (x @ y) / (x @ x + y @ y + len(x) * shift * shift))


def _ccc_terms(scores: Scores, targets: Scores) -> Float[np.ndarray, "N 6"]:
    """Terms of the moments, both sides moved and scaled alike so that they cancel well."""
    check_scores(scores, targets)
    x, y = scores.astype(np.float64), targets.astype(np.float64)
    middle = np.median(y)
    x, y = x - middle, y - middle
    size = max(np.abs(x).max(), np.abs(y).max()) or 1.0
    x, y = x / size, y / size
    return np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=1)


def _ccc_of_moments(sums: Float[np.ndarray, "*B 6"]) -> Float[np.ndarray, "*B"]:
    count, *rest = np.moveaxis(sums, -1, 0)
    x, y, xx, yy, xy = (divide(moment, count) for moment in rest)
    below = xx + yy - 2 * x * y
    below = np.where(below <= _ROUNDING * (xx + yy), 0.0, below)
    return divide(2 * (xy - x * y), below)


_MAE, _CORR = METRICS["general"]["mae"], METRICS["general"]["corr"]
_CCC: Final = Metric(
    function=ccc,
    higher_is_better=True,
    is_share=False,
    description="concordance correlation coefficient: a correlation that falls where scores are "
    "shifted or stretched; undefined where all values are the same",
    sums=Sums(terms=_ccc_terms, combine=_ccc_of_moments),
    limits=(-1.0, 1.0),
)

#: Of scores and annotated scores, one value of each clip, in the order of tables.
SCORE_METRICS: Final[dict[str, Metric]] = {
    name: of_column(metric, 0)
    for name, metric in {"mae": _MAE, "corr": _CORR, "spearman": SPEARMAN, "ccc": _CCC}.items()
}


def _is_there(values: Values) -> Bool[np.ndarray, "N *K"]:
    there: Bool[np.ndarray, N * K] = values > 0
    return there


_EACH: Final[dict[str, Metric]] = {"mae": _MAE, "corr": _CORR, **presence_metrics(_is_there)}

#: Of predicted and annotated intensities, in the order of tables.
INTENSITY_METRICS: Final[dict[str, Metric]] = {
    "mae": mean_of_columns(
        _MAE, "mean absolute error of the intensities, on their scale", num_terms=2
    ),
    "corr": mean_of_columns(
        _CORR,
        "mean correlation coefficient of Pearson over the classes; classes whose values are all "
        "the same are left out",
        num_terms=6,
    ),
    "weighted_accuracy": mean_of_columns(
        _EACH["weighted_accuracy"],
        "mean over the classes of (TP N / P + TN) / 2 N, with P clips whose intensity is above 0 "
        "and N with none, as papers on CMU-MOSEI report; classes without both are left out",
        num_terms=4,
    ),
    "f1_presence": mean_of_columns(
        _EACH["f1_presence"],
        "mean over the classes of the F1 of intensities above 0 and of others, weighted by "
        "annotated clips, as papers on CMU-MOSEI report",
        num_terms=4,
    ),
    "auroc": mean_of_columns(
        _EACH["auroc"],
        "mean area under the ROC curves that tell intensities above 0 from others; classes "
        "without both are left out",
    ),
}


def evaluate_each_intensity(
    values: Float[np.ndarray, "N K"], truths: Float[np.ndarray, "N K"]
) -> dict[str, Float[np.ndarray, " K"]]:
    """Return what ``metrics_of_one_intensity`` gives class by class; NaN without a clip.

    Raises:
        MetricError: If a value is not finite.
    """
    return evaluate_columns(_EACH, values, truths)


def metrics_of_one_intensity(index: int) -> dict[str, Metric]:
    """Return the metrics of the intensity of one class, of the values of all K.

    Args:
        index: Which class, from 0.
    """
    return {name: of_column(metric, index) for name, metric in _EACH.items()}
