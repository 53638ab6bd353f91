import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import ConfigError
from mien.extraction.alignment import Pooling, align_to_words, pool, read_pooling
from mien.extraction.extractors import Features
from mien.types import Word


def make(values, times):
    values = np.array(values, np.float32)
    values = values[:, None] if values.ndim == 1 else values
    return Features(values=values, times=np.array(times, np.float64), notes={"share": 0.5})


def test_every_k_steps_become_their_mean_and_the_last_group_may_be_smaller():
    features = make([[1, 10], [3, 20], [5, 30], [7, 40], [9, 60]], [0.0, 0.1, 0.2, 0.3, 0.4])
    pooled = pool(features, Pooling(kind="steps", amount=2))
    assert pooled.values.tolist() == [[2, 15], [6, 35], [9, 60]]
    np.testing.assert_allclose(pooled.times, [0.05, 0.25, 0.4])
    assert pooled.notes == {"share": 0.5}


def test_a_rate_joins_the_steps_of_each_part_of_a_second_and_leaves_out_empty_parts():
    features = make([1, 3, 5, 7], [0.0, 0.4, 0.6, 1.7])
    pooled = pool(features, Pooling(kind="rate", amount=2))
    assert pooled.values.ravel().tolist() == [2, 5, 7]
    np.testing.assert_allclose(pooled.times, [0.25, 0.75, 1.75])


def test_a_step_at_the_end_of_a_part_belongs_to_the_next_whatever_rounding_says():
    times = np.arange(30) / 30
    pooled = pool(make(np.arange(30), times), Pooling(kind="rate", amount=10))
    assert pooled.values.ravel().tolist() == [3 * k + 1 for k in range(10)]


@pytest.mark.parametrize(
    "pooling", [Pooling(kind="steps", amount=3), Pooling(kind="rate", amount=5)]
)
def test_what_has_no_steps_stays_without(pooling):
    assert pool(make(np.zeros((0, 2)), []), pooling).times.size == 0


@given(st.integers(1, 40), st.integers(1, 7))
def test_pooling_keeps_the_mean_of_all_where_groups_are_full(num_groups, size):
    values = np.random.default_rng(num_groups).normal(size=(num_groups * size, 3))
    features = make(values, np.arange(len(values)) * 0.04)
    pooled = pool(features, Pooling(kind="steps", amount=size))
    np.testing.assert_allclose(pooled.values.mean(axis=0), values.mean(axis=0), atol=1e-5)


def test_the_time_from_step_to_step_follows():
    assert Pooling(kind="steps", amount=5).step_seconds(0.04) == 0.2
    assert Pooling(kind="steps", amount=5).step_seconds(None) is None
    assert Pooling(kind="rate", amount=10).step_seconds(None) == 0.1


@pytest.mark.parametrize(
    ("kind", "text"),
    [("steps", "0"), ("steps", "2.5"), ("steps", "x"), ("steps", "nan"), ("rate", "0"),
     ("rate", "-1"), ("rate", "inf"), ("rate", "")],
)  # fmt: skip
def test_an_amount_that_makes_no_sense_is_refused(kind, text):
    option = "--pool" if kind == "steps" else "--rate"
    with pytest.raises(ConfigError, match=f"{option} '{text}': must be"):
        read_pooling(kind, text)


def test_a_word_is_the_mean_of_the_steps_in_its_span():
    features = make([1, 2, 3, 4, 5], [0.1, 0.2, 0.3, 0.4, 0.5])
    words = [Word("so", 0.0, 0.25), Word("good", 0.25, 0.6)]
    aligned = align_to_words(features, words)
    assert aligned.values.ravel().tolist() == [1.5, 4.0]
    np.testing.assert_allclose(aligned.times, [0.125, 0.425])
    assert aligned.notes == {"share": 0.5, "words_without_steps": 0}


def test_a_word_without_a_step_takes_the_nearest_and_is_counted():
    features = make([1, 2], [0.1, 1.0])
    words = [Word("a", 0.3, 0.4), Word("b", 0.7, 0.9), Word("c", 5.0, 5.0)]
    aligned = align_to_words(features, words)
    assert aligned.values.ravel().tolist() == [1, 2, 2]
    assert aligned.notes["words_without_steps"] == 3


def test_a_step_on_the_border_of_two_words_belongs_to_the_later():
    features = make([1, 2, 3], [0.0, 0.5, 1.0])
    aligned = align_to_words(features, [Word("a", 0.0, 0.5), Word("b", 0.5, 1.5)])
    assert aligned.values.ravel().tolist() == [1, 2.5]


def test_a_clip_without_steps_or_words_has_no_aligned_steps():
    words = [Word("a", 0.0, 1.0)]
    assert align_to_words(make(np.zeros((0, 2)), []), words).values.shape == (0, 2)
    assert align_to_words(make([1], [0.0]), []).values.shape == (0, 1)


def test_times_of_words_that_overlap_do_not_go_back():
    words = [Word("a", 0.0, 4.0), Word("b", 0.5, 1.0)]
    times = align_to_words(make([1, 2], [0.6, 3.0]), words).times
    assert (np.diff(times) >= 0).all()
