"""How sure a number is: an interval from its standard error, and a difference with its p value.

Units are clips, or clusters of clips such as videos. A difference between two methods has the error
of the units and that of the seeds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

__all__ = [
    "FEW_UNITS",
    "Comparison",
    "Interval",
    "compare_values",
    "jackknife_error",
    "percentile_interval",
    "t_interval",
    "t_p_value",
    "t_quantile",
]

#: Units below which a percentile interval is clearly too narrow.
FEW_UNITS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A metric and how far it depends on which clips or videos are in the split.

    Attributes:
        value: The metric on the clips as they are, the mean over seeds; NaN if it is undefined.
        low: Lower end of the interval; NaN if there is none, as for a single unit.
        high: Upper end.
        level: Confidence level, such as 0.95.
        num_units: Clips or clusters that it rests on. Below ``FEW_UNITS`` it is a t interval, else
            a percentile interval.
        num_resamples: Resamples that were drawn; 0 for a t interval.
        num_undefined: Resamples without a value, such as ``corr`` where one clip was drawn
            throughout; they are left out of the interval.
    """

    value: float
    low: float
    high: float
    level: float
    num_units: int
    num_resamples: int
    num_undefined: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How two methods, or two sets of weights, differ on the same clips.

    Attributes:
        difference: Metric of the first less that of the second; NaN if one is undefined. Which
            sign is the better one depends on the metric's ``higher_is_better``.
        low: Lower end of the interval of the difference; NaN if there is none.
        high: Upper end.
        p_value: Two-sided: how well the data agree with no difference at all. It is below
            1 - level exactly where the interval excludes 0; NaN if there is none.
        level: Confidence level.
        covers_seeds: Whether interval and p value hold for further trainings with other seeds. If
            not, since a side has one seed only, they compare these weights and not the methods.
        num_units: Clips or clusters that it rests on.
        degrees: Degrees of freedom of Student's t; NaN if there is no interval.
        error_units: Standard error over the units.
        error_seeds: Standard error over the seeds; NaN if it is unknown.
    """

    difference: float
    low: float
    high: float
    p_value: float
    level: float
    covers_seeds: bool
    num_units: int
    degrees: float
    error_units: float
    error_seeds: float


def compare_values(
    difference: float,
    error_units: float,
    num_units: int,
    sides: Sequence[Float[np.ndarray, " _"] | None],
    level: float = 0.95,
) -> Comparison:
    """Return a difference with the interval and p value that its two standard errors give.

        error^2 = error_units^2 + s_A^2 / K_A + s_B^2 / K_B

    s is the deviation of a method's K values, one for each seed. Degrees of freedom are
    Satterthwaite's: (sum of v)^2 / sum of (v^2 / d), over the terms v with d = units - 1, K_A - 1
    and K_B - 1. Where clips and seeds act together, that part is in both errors, so that the sum
    is on the safe side.

    Source: satterthwaite1946.

    Args:
        difference: Mean of the first side less that of the second.
        error_units: Its standard error over the units; NaN if there is none.
        num_units: Clips or clusters that this rests on.
        sides: Values of each side, one for each seed; None for a side without a training.
        level: Confidence level.
    """
    trained = [values for values in sides if values is not None]
    covers_seeds = all(len(values) > 1 for values in trained)
    of_seeds = [float(v.var(ddof=1)) / len(v) for v in trained] if covers_seeds else []
    parts = [(error_units**2, num_units - 1)]
    parts += [(v, len(x) - 1) for v, x in zip(of_seeds, trained, strict=bool(of_seeds))]
    degrees = _satterthwaite(parts)
    error = math.sqrt(sum(variance for variance, _ in parts))
    low, high = t_interval(difference, error, degrees, level)
    return Comparison(
        difference=difference,
        low=low,
        high=high,
        p_value=_t_test(difference, error, degrees),
        level=level,
        covers_seeds=covers_seeds,
        num_units=num_units,
        degrees=math.nan if math.isnan(low) else float(degrees),
        error_units=error_units,
        error_seeds=math.sqrt(sum(of_seeds)) if covers_seeds else math.nan,
    )


def t_interval(
    value: float,
    error: float,
    degrees: float | int,
    level: float = 0.95,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> tuple[float, float]:
    """Return a value's t interval, cut to the bounds; NaN where there is none.

    Args:
        value: The middle.
        error: Its standard error.
        degrees: Degrees of freedom; there is no interval without any.
        level: Confidence level.
        bounds: The least and the largest value that it can have.
    """
    if math.isnan(value) or math.isnan(error) or not degrees > 0:
        return math.nan, math.nan
    width = t_quantile(level, degrees) * error
    return max(bounds[0], value - width), min(bounds[1], value + width)


def _t_test(value: float, error: float, degrees: float | int) -> float:
    if math.isnan(value) or math.isnan(error) or not degrees > 0:
        return math.nan
    if value == 0:
        return 1.0
    return t_p_value(value / error if error else math.inf, degrees)


def _satterthwaite(parts: Sequence[tuple[float, int]]) -> float | int:
    """Return the degrees of freedom of a sum of variances; those of the units if all are 0."""
    below = sum(variance**2 / degrees for variance, degrees in parts if degrees > 0)
    return sum(variance for variance, _ in parts) ** 2 / below if below else parts[0][1]


def jackknife_error(left_out: Float[np.ndarray, " G"]) -> float:
    """Return the standard error from values without each unit; NaN for a single unit.

    Source: efron1993, chapter 11.
    """
    num = len(left_out)
    if num < 2:
        return math.nan
    return math.sqrt((num - 1) / num * float(((left_out - left_out.mean()) ** 2).sum()))


def percentile_interval(
    value: float, replicates: Float[np.ndarray, " R"], level: float
) -> tuple[float, float]:
    """Return the ends between which the defined replicates lie; NaN where there are none.

    Source: efron1993, chapter 13.
    """
    defined = replicates[~np.isnan(replicates)]
    if math.isnan(value) or not defined.size:
        return math.nan, math.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def t_p_value(t: float, degrees: float | int) -> float:
    """Return the two-sided p value of a t statistic: the chance of one at least as far from 0.

        p = I_x(degrees / 2, 1 / 2),    x = degrees / (degrees + t^2)

    I is the regularised incomplete beta function.

    Source: nist2010, 8.17 and the relation of Student's t to it.

    Args:
        t: The statistic; may be infinite.
        degrees: Degrees of freedom, any number above 0.

    >>> round(t_p_value(12.706, 1), 4), round(t_p_value(-1.96, 1e6), 4)
    (0.05, 0.05)
    """
    from scipy.special import betainc, betaincc  # takes a moment, and few commands need it

    x = degrees / (degrees + t * t)
    if x < 0.5:
        return float(betainc(degrees / 2, 0.5, x))
    return float(betaincc(0.5, degrees / 2, t * t / (degrees + t * t)))


def t_quantile(level: float, degrees: float | int) -> float:
    """Return how far from 0 the t statistic lies with probability ``1 - level`` at most.

    >>> round(t_quantile(0.95, 2), 3), round(t_quantile(0.95, 30), 3)
    (4.303, 2.042)
    """
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + level) / 2))
