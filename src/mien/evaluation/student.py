"""Student's t distribution, for any positive number of degrees of freedom."""

import math
from typing import Final

__all__ = ["t_p_value", "t_quantile"]

_TINY: Final = 1e-300
_STEPS: Final = 10_000


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
    if math.isinf(t):
        return 0.0
    a, b = degrees / 2, 0.5
    x, rest = degrees / (degrees + t * t), t * t / (degrees + t * t)
    if x == 0 or rest == 0:
        return float(rest == 0)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(front + a * math.log(x) + b * math.log(rest))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, rest) / b


def t_quantile(level: float, degrees: float | int) -> float:
    """Return how far from 0 the t statistic lies with probability ``1 - level`` at most.

    Newton's method from 0: the p value falls ever more slowly, so that no step goes too far.

    >>> round(t_quantile(0.95, 2), 3), round(t_quantile(0.95, 30), 3)
    (4.303, 2.042)
    """
    peak = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)
    peak -= math.log(math.pi * degrees) / 2
    t = 0.0
    for _ in range(_STEPS):
        density = math.exp(peak - (degrees + 1) / 2 * math.log1p(t * t / degrees))
        step = (t_p_value(t, degrees) - (1 - level)) / (2 * density)
        t += step
        if abs(step) <= 1e-12 * t:
            break
    return t


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function, by Lentz's method."""
    d = 1 / (1 - (a + b) * x / (a + 1) or _TINY)
    c, value = 1.0, d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / (1 + term * d or _TINY)
            c = 1 + term / c or _TINY
            value *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return value
