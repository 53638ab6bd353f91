import math

import numpy as np
import oracles
import pytest
from cases import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from score_pairs import array, make_sources, pairs, tenths
from sklearn.isotonic import IsotonicRegression

from mien.errors import MetricError
from mien.evaluation.bootstrap import draw_units, resample
from mien.evaluation.formulas import mae
from mien.evaluation.label_agreement import (
    AGREEMENT,
    agreement,
    evaluate_agreement,
    fit_monotone,
    flipped_share,
)
from mien.evaluation.metrics import METRICS
from mien.evaluation.significance import MetricResults


def test_agreement_by_hand():
    """The fourth clip is annotated against its modality; the truth of the last is 0."""
    generated, truth = array(1, 2, -1, 0.5, 0), array(1, 1, -2, -1, 0)
    annotated = array(2, 1, -1, 1, 1)
    result = agreement(generated, truth, annotated)
    assert result.everywhere.num_clips == 5
    assert result.everywhere.num_signed == 4
    assert result.everywhere.sign == 3 / 4
    assert result.everywhere.mae == pytest.approx((0 + 1 + 1 + 1.5 + 0) / 5)
    # In order of the labels the truth is -2 0 -1 1 1, whose second and third are pooled: -0.5.
    assert result.everywhere.mae_monotone == pytest.approx((0 + 0.5 + 0.5 + 0 + 0) / 5)
    assert result.conflicting.num_clips == result.conflicting.num_signed == 1
    assert result.conflicting.sign == 0
    assert result.conflicting.mae == 1.5
    assert math.isnan(result.conflicting.pearson)


def test_copies_of_the_annotation_never_have_the_sign_of_a_conflicting_modality():
    truth, annotated = array(1, -1, 0, 2, 1), array(1, 1, 1, -3, 0)
    result = agreement(annotated, truth, annotated)
    assert result.conflicting.num_clips == 2
    assert result.conflicting.sign == 0


def test_agreement_without_conflicts_is_undefined_there():
    result = agreement(array(1, 2), array(1, 2), array(1, 1))
    assert result.everywhere.pearson == pytest.approx(1)
    assert result.conflicting.num_clips == result.conflicting.num_signed == 0
    for name in ("pearson", "spearman", "mae", "mae_monotone", "sign"):
        assert math.isnan(getattr(result.conflicting, name))


def test_a_label_of_zero_has_neither_sign():
    assert agreement(array(0, 0), array(1, -1), array(1, -1)).everywhere.sign == 0


def test_labels_that_are_right_but_for_their_scale_have_no_error_after_the_monotone_map():
    truth = np.linspace(-3, 3, 13)
    result = agreement(np.tanh(truth) + 5, truth, truth).everywhere
    assert result.mae > 1
    assert result.mae_monotone == pytest.approx(0)
    assert result.spearman == pytest.approx(1)
    assert result.pearson < 0.99


def test_agreement_of_labels_that_are_not_finite_is_an_error():
    with pytest.raises(MetricError, match=r"1 of 2 scores are not finite"):
        agreement(array(1, math.nan), array(1, 1), array(1, 1))


@given(pair=pairs(smallest=2))
@settings(deadline=None)
def test_spearman_is_the_correlation_of_ranks(pair):
    generated, truth = pair
    if np.ptp(generated) and np.ptp(truth):
        expected = np.corrcoef(oracles.ranks(generated), oracles.ranks(truth))[0, 1]
        result = agreement(generated, truth, truth).everywhere
        assert result.spearman == pytest.approx(expected, abs=1e-9)


@given(pair=pairs(largest=10, elements=tenths))
@settings(deadline=None)
def test_the_monotone_map_equals_its_closed_form_and_scikit_learn(pair):
    inputs, targets = (v.astype(np.float64) for v in pair)
    fitted = fit_monotone(inputs, targets)
    np.testing.assert_allclose(fitted, oracles.monotone(list(inputs), list(targets)), atol=1e-9)
    theirs = IsotonicRegression().fit_transform(inputs, targets)
    np.testing.assert_allclose(fitted, theirs, atol=1e-9)


def test_the_monotone_map_is_quick_on_the_largest_split():
    generator = np.random.default_rng(0)
    inputs, targets = generator.normal(size=(2, 16_326))
    theirs = IsotonicRegression().fit_transform(inputs, targets)
    np.testing.assert_allclose(fit_monotone(inputs, targets), theirs, atol=1e-9)


@given(seed=st.integers(0, 200), num=st.integers(3, 30))
@examples(40)
def test_the_rank_correlation_of_a_resample_ranks_its_clips_anew(seed, num):
    random = np.random.default_rng(seed)
    generated, truth = random.integers(-3, 4, size=(2, num)) / 2
    counts = random.multinomial(num, np.full(num, 1 / num), size=5)
    found = AGREEMENT["spearman"].weighted(generated, truth, counts)
    for one, times in zip(found, counts, strict=True):
        drawn = np.repeat(np.arange(num), times)
        expected = AGREEMENT["spearman"](generated[drawn], truth[drawn])
        assert one == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_a_resampled_rank_correlation_is_that_of_a_loop():
    rows, truth, videos = make_sources(4)
    spearman = AGREEMENT["spearman"]
    draws = draw_units(len(truth), videos, seed=3, resamples=50)
    fast = resample(rows["good"], truth, spearman, draws)
    slow = resample(rows["good"], truth, spearman.function, draws)
    assert fast.value == pytest.approx(slow.value)
    assert fast.replicates == pytest.approx(slow.replicates)


def test_the_monotone_map_is_held_while_clips_are_resampled():
    rows, truth, videos = make_sources(5, num_seeds=1)
    mapped = fit_monotone(rows["good"][0], truth)
    draws = draw_units(len(truth), videos, seed=3, resamples=50)
    found = resample(rows["good"], truth, AGREEMENT["mae_monotone"], draws)
    assert found.value == pytest.approx(mae(mapped, truth))
    held = resample(mapped[None], truth, METRICS["general"]["mae"], draws)
    assert found.replicates == pytest.approx(held.replicates)


def test_a_zero_annotation_is_neither_kept_nor_flipped():
    assert flipped_share(np.array([1.0, -1.0]), np.array([0.0, 1.0])) == 1.0
    assert np.isnan(flipped_share(np.array([1.0]), np.array([0.0])))


def test_a_part_without_a_clip_has_no_metrics():
    labels, annotated = np.array([[0.1, 0.5, -0.2]]), np.array([1.0, 2.0, -1.0])
    videos = np.array(["a", "b", "c"])
    parts = evaluate_agreement({"generated": labels}, annotated, annotated, videos)
    assert parts["conflicting"] == MetricResults(num_clips=0, num_clusters=0, metrics={})
    assert parts["everywhere"].metrics["sign"]["generated"].mean == 1.0
