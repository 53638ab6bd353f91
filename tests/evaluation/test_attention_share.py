import math

import hypothesis.extra.numpy as hnp
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from score_pairs import tenths

from mien.errors import MetricError
from mien.evaluation.attention_share import attention_share


def test_attention_share_by_hand():
    weights = np.array([[1.0, -3.0, 0.0, 9.0], [1.0, 1.0, 1.0, 1.0]])
    mask = np.array([[True, True, True, False], [True] * 4])
    result = attention_share(weights, mask, np.array([[1, 3], [0, 1]]))
    np.testing.assert_allclose(result.shares, [3 / 4, 1 / 4])
    np.testing.assert_allclose(result.uniform, [2 / 3, 1 / 4])
    assert result.num_clips == 2
    assert result.mean == pytest.approx(1 / 2)
    assert result.uniform_mean == pytest.approx(11 / 24)
    assert result.ratio == pytest.approx(12 / 11)


@given(data=st.data())
@settings(deadline=None)
def test_attention_share_equals_its_definition(data):
    num_clips, steps = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 8))
    weights = data.draw(hnp.arrays(np.float32, (num_clips, steps), elements=tenths.map(np.float32)))
    lengths = data.draw(st.lists(st.integers(1, steps), min_size=num_clips, max_size=num_clips))
    mask = np.arange(steps) < np.array(lengths)[:, None]
    begins = [data.draw(st.integers(0, length - 1)) for length in lengths]
    span = np.array([[begin, data.draw(st.integers(begin + 1, steps))] for begin in begins])
    result = attention_share(weights, mask, span)
    shares, uniform = oracles.attention_share(weights, mask, span)
    np.testing.assert_allclose(result.shares, shares, rtol=1e-6)
    np.testing.assert_allclose(result.uniform, uniform)
    assert result.num_clips == np.count_nonzero(~np.isnan(shares))


def test_equal_weights_have_ratio_one_whatever_the_padding_holds():
    weights = np.where(np.arange(6) < 4, 0.25, 99.0)[None].repeat(2, axis=0)
    mask = (np.arange(6) < 4)[None].repeat(2, axis=0)
    result = attention_share(weights, mask, np.array([[0, 1], [1, 6]]))
    assert result.ratio == pytest.approx(1)


def test_a_clip_without_attention_or_without_steps_is_left_out_of_both_means():
    weights = np.array([[0.0, 0.0], [5.0, 5.0], [3.0, 1.0]])
    mask = np.array([[True, True], [False, False], [True, True]])
    result = attention_share(weights, mask, np.array([[0, 2], [0, 1], [0, 1]]))
    assert result.num_clips == 1
    assert (result.mean, result.uniform_mean, result.ratio) == (0.75, 0.5, 1.5)


def test_attention_that_is_zero_everywhere_has_no_share():
    result = attention_share(np.zeros((1, 2)), np.ones((1, 2), bool), np.array([[0, 1]]))
    assert result.num_clips == 0
    assert math.isnan(result.mean)
    assert math.isnan(result.ratio)


def test_a_moment_outside_the_clip_is_an_error():
    mask = np.array([[True] * 3, [True, True, False]])
    with pytest.raises(
        MetricError, match=r"moment of row 1 is \[2, 3\], it must have a step among"
    ):
        attention_share(np.ones((2, 3)), mask, np.array([[0, 1], [2, 3]]))


def test_attention_that_is_not_finite_at_a_real_step_is_an_error():
    weights, mask = np.array([[1.0, math.nan, math.nan]]), np.array([[True, True, False]])
    with pytest.raises(MetricError, match=r"1 of 2 weights are not finite"):
        attention_share(weights, mask, np.array([[0, 1]]))
