import math

import pytest
import scipy.stats

from mien.evaluation.intervals import t_p_value, t_quantile


@pytest.mark.parametrize("degrees", [0.3, 1, 2.7, 30, 4653.3])
def test_students_t_is_that_of_scipy(degrees):
    for t in (0.0, 1e-9, 0.1, -1.0, 2.0, 40.0):
        expected = 2 * scipy.stats.t.sf(abs(t), degrees)
        assert t_p_value(t, degrees) == pytest.approx(expected, rel=1e-8)
    assert t_p_value(math.inf, degrees) == 0
    quantile = scipy.stats.t.ppf(0.975, degrees)
    assert t_quantile(0.95, degrees) == pytest.approx(quantile, rel=1e-9)


@pytest.mark.parametrize("t", [1e-8, 0.1, 1.0, 12.706, 1e4])
def test_students_t_has_its_closed_forms(t):
    assert t_p_value(t, 1) == pytest.approx(1 - 2 / math.pi * math.atan(t), rel=1e-9, abs=1e-15)
    assert t_p_value(-t, 2) == pytest.approx(1 - t / math.sqrt(2 + t * t), rel=1e-7, abs=1e-15)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
def test_quantiles_have_their_closed_forms(level):
    assert t_quantile(level, 1) == pytest.approx(math.tan(math.pi * level / 2), rel=1e-12)
    expected = level * math.sqrt(2 / (1 - level**2))
    assert t_quantile(level, 2) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("degrees", [0.7, 5, 40.5])
def test_the_p_value_of_a_quantile_is_the_rest_of_the_level(degrees):
    assert t_p_value(t_quantile(0.95, degrees), degrees) == pytest.approx(0.05)
