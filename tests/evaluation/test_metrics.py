import json
import math
import subprocess
import sys
from pathlib import Path

import hypothesis.extra.numpy as hnp
import jaxtyping
import numpy as np
import oracles
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import f1_score

from mien.errors import MetricError
from mien.evaluation.label_agreement import agreement, attention_share, fit_monotone, rank
from mien.evaluation.metrics import (
    METRICS,
    class_accuracy,
    clip_metric,
    corr,
    evaluate_all,
    interval_accuracy,
    mae,
    polarity_accuracy,
    polarity_f1,
)

GOLDENS = Path(__file__).parents[3] / "shared" / "goldens"
NEUTRALS = ("positive", "negative", "excluded")
ENTRIES = [(family, name) for family in METRICS for name in METRICS[family]]

#: Values as they occur: tenths, halves and cuts among them, so that ties and borders are common.
tenths = st.integers(-40, 40).map(lambda tenth: tenth / 10)
values = tenths | st.floats(-4, 4, width=32)


@st.composite
def pairs(draw, smallest=1, largest=30, elements=values):
    size = draw(st.integers(smallest, largest))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    column = st.lists(elements, min_size=size, max_size=size)
    return np.array(draw(column), dtype), np.array(draw(column), dtype)


def array(*numbers):
    return np.array(numbers, np.float64)


# By hand


def test_mae_by_hand():
    assert mae(array(0.5, -1, 2), array(1, 1, 2)) == pytest.approx(2.5 / 3)


def test_mae_sums_in_float64_what_came_in_float32():
    scores, targets = np.full(100_001, 0.1, np.float32), np.zeros(100_001, np.float32)
    assert mae(scores, targets) == pytest.approx(float(np.float32(0.1)), abs=1e-12)


def test_corr_by_hand():
    """Deviations -1 0 1 and -1 1 0: their product is 1, both squares are 2."""
    assert corr(array(1, 2, 3), array(0, 2, 1)) == pytest.approx(0.5)


def test_corr_is_nan_if_one_side_is_constant_though_its_mean_is_not_exact():
    """The mean of 80 times 0.3 in float64 is not 0.3: a deviation of rounding is no deviation."""
    constant, varied = np.full(80, 0.3), np.arange(80.0)
    assert math.isnan(corr(constant, varied))
    assert math.isnan(corr(varied, constant))


def test_corr_survives_a_large_offset_and_a_tiny_spread():
    x, y = array(1, 2, 3, 5), array(2, 1, 3, 4)
    assert corr(1e6 + x, 1e-200 * y) == pytest.approx(corr(x, y), abs=1e-9)


# Scores 0 and -0.1, targets 0, 0, 1, -1: only the two last have a polarity of their own.
ZERO_SCORES, ZERO_TARGETS = array(0, -0.1, 0, -0.1), array(0, 0, 1, -1)


@pytest.mark.parametrize(
    ("neutral", "accuracy"), [("positive", 3 / 4), ("negative", 3 / 4), ("excluded", 1 / 2)]
)
def test_polarity_accuracy_by_hand(neutral, accuracy):
    """As positive: ++, -+, ++, --. As negative: --, --, -+, --. Left out: -+, --."""
    assert polarity_accuracy(ZERO_SCORES, ZERO_TARGETS, neutral=neutral) == accuracy


def test_polarity_f1_by_hand():
    """Three positive clips, of which two are found, and one negative that is found with one more.

    F1 of the positive class is 2*2/(2*2+0+1) = 0.8, of the negative 2*1/(2*1+1+0) = 2/3.
    """
    expected = 3 / 4 * 0.8 + 1 / 4 * 2 / 3
    assert polarity_f1(ZERO_SCORES, ZERO_TARGETS, neutral="positive") == pytest.approx(expected)


def test_polarity_f1_is_weighted_by_the_annotation_not_by_the_prediction():
    """Swapping the arguments is a known error in the field."""
    right = polarity_f1(ZERO_SCORES, ZERO_TARGETS, neutral="positive")
    swapped = polarity_f1(ZERO_TARGETS, ZERO_SCORES, neutral="positive")
    assert swapped == pytest.approx(1 / 2 * 0.8 + 1 / 2 * 2 / 3)
    assert right != pytest.approx(swapped)


def test_classes_round_halves_to_even_and_clip():
    """0.5 is class 0, 1.5 and 2.5 are class 2, -0.5 is class 0, 9 is class 3."""
    scores, targets = array(0.5, 1.5, 2.5, -0.5, 9), array(0, 2, 2, 0, 3)
    assert class_accuracy(scores, targets, bound=3) == 1
    assert class_accuracy(array(2.6, 1.4), array(2.0, 2.0), bound=2) == 0.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_cut_belongs_to_the_class_below_in_either_precision(dtype):
    cuts = (-0.7, -0.1, 0.1, 0.7)
    at_cuts = np.array(cuts, dtype)
    below, above = np.array([-1, -0.4, 0, 0.4], dtype), np.array([-0.4, 0, 0.4, 1], dtype)
    assert interval_accuracy(at_cuts, below, cuts=cuts) == 1
    assert interval_accuracy(at_cuts, above, cuts=cuts) == 0


def test_sims_by_hand():
    """Clipped: 1 -0.2 0.1 0 against 0.8 -1 0 0.2; a zero counts as negative."""
    result = evaluate_all(array(3, -0.2, 0.1, 0), array(0.8, -2, 0, 0.2), "sims")
    assert result["mae"] == pytest.approx((0.2 + 0.8 + 0.1 + 0.2) / 4)
    assert result["acc2"] == 2 / 4  # + -, + against -, - against +
    assert result["acc3"] == 3 / 4  # only the last leaves its class
    assert result["acc5"] == 2 / 4  # -0.2 and -1 are apart, 0 and 0.2 too
    assert result["f1"] == pytest.approx(0.5)


def test_general_reads_both_kinds_of_two_classes_and_no_fixed_classes():
    assert list(METRICS["general"]) == [
        "mae", "corr", "acc2_has0", "acc2_non0", "f1_has0", "f1_non0",
    ]  # fmt: skip


# Oracles


@pytest.mark.parametrize("family", METRICS)
@given(pair=pairs())
@settings(max_examples=100, deadline=None)
def test_every_metric_equals_its_definition(family, pair):
    expected = oracles.evaluate_all(*pair, family)
    assert evaluate_all(*pair, family) == pytest.approx(expected, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("neutral", NEUTRALS)
@given(pair=pairs(elements=tenths))
@settings(max_examples=50, deadline=None)
def test_f1_equals_scikit_learn(neutral, pair):
    labels = oracles.polarity_pairs(*pair, neutral)
    if labels:
        predicted, annotated = zip(*labels, strict=True)
        expected = f1_score(annotated, predicted, average="weighted", zero_division=0.0)
        assert polarity_f1(*pair, neutral=neutral) == pytest.approx(expected)


@pytest.mark.parametrize(("family", "name"), ENTRIES)
@given(pair=pairs(smallest=2), data=st.data())
@settings(max_examples=40, deadline=None)
def test_sums_over_resampled_clips_give_the_metric_of_those_clips(family, name, pair, data):
    scores, targets = pair
    metric, size = METRICS[family][name], len(scores)
    if name.endswith("non0") and not targets.any():
        return
    drawn = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=size, max_size=size)))
    sums = metric.sums.terms(scores, targets)[drawn].sum(axis=0, keepdims=True)
    expected = metric(scores[drawn], targets[drawn])
    if name == "corr" and 0 < min(np.ptp(scores[drawn]), np.ptp(targets[drawn])) < 4e-3:
        return  # a spread that is a thousandth of the scale: sums of squares cannot resolve it
    assert metric.sums.combine(sums)[0] == pytest.approx(expected, abs=1e-6, nan_ok=True)


@given(score=values, times=st.lists(st.integers(1, 50), min_size=4, max_size=4))
@settings(deadline=None)
def test_sums_of_clips_with_one_score_have_no_correlation(score, times):
    """Their variance is 0 but for rounding, which must not be taken for a spread."""
    scores = array(score, score, score, score, 1, 2, 3, 4, 5)
    sums = METRICS["mosi"]["corr"].sums
    terms = sums.terms(scores, np.sin(np.arange(9.0)))
    assert math.isnan(sums.combine(np.array([times], float) @ terms[:4])[0])


def test_sums_keep_the_correlation_of_scores_far_from_zero():
    x, y = array(1, 2, 3, 5), array(2, 1, 3, 4)
    sums = METRICS["general"]["corr"].sums
    total = sums.terms(1e8 + x, y - 1e8).sum(axis=0, keepdims=True)
    assert sums.combine(total)[0] == pytest.approx(corr(x, y), abs=1e-6)


# Properties


@pytest.mark.parametrize(("family", "name"), ENTRIES)
@given(pair=pairs(), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_the_order_of_clips_does_not_matter(family, name, pair, seed):
    order = np.random.default_rng(seed).permutation(len(pair[0]))
    metric = METRICS[family][name]
    shuffled = metric(pair[0][order], pair[1][order])
    assert shuffled == pytest.approx(metric(*pair), abs=1e-6, nan_ok=True)


@pytest.mark.parametrize(("family", "name"), ENTRIES)
@given(pair=pairs())
@settings(max_examples=25, deadline=None)
def test_metrics_stay_in_their_range(family, name, pair):
    value = METRICS[family][name](*pair)
    if not math.isnan(value):
        low = -1 if name == "corr" else 0
        assert low <= value <= (8 if name == "mae" else 1)


@pytest.mark.parametrize(("family", "name"), ENTRIES)
@given(targets=pairs(smallest=2).map(lambda pair: pair[0]))
@settings(max_examples=25, deadline=None)
def test_the_annotation_itself_is_the_best_prediction(family, name, targets):
    metric = METRICS[family][name]
    value = metric(targets.copy(), targets)
    assert math.isnan(value) or value == pytest.approx(1 if metric.higher_is_better else 0)


@given(pair=pairs())
@settings(deadline=None)
def test_mae_corr_and_accuracy_are_symmetric(pair):
    scores, targets = pair
    for name in ("mae", "corr", "acc2_has0", "acc5", "acc7"):
        metric = METRICS["mosi"][name]
        assert metric(scores, targets) == pytest.approx(metric(targets, scores), nan_ok=True)


@given(pair=pairs())
@settings(deadline=None)
def test_the_two_ways_to_count_a_zero_mirror_each_other(pair):
    scores, targets = pair
    for function in (polarity_accuracy, polarity_f1):
        mirrored = function(-scores, -targets, neutral="negative")
        assert function(scores, targets, neutral="positive") == pytest.approx(mirrored)


@given(pair=pairs())
@settings(deadline=None)
def test_without_a_zero_all_readings_agree(pair):
    scores, targets = (np.where(v == 0, 0.5, v) for v in pair)
    readings = {polarity_accuracy(scores, targets, neutral=neutral) for neutral in NEUTRALS}
    assert len(readings) == 1


# The table


@pytest.mark.parametrize(("family", "name"), ENTRIES)
def test_a_description_says_how_zeros_are_counted(family, name):
    words = {
        "acc2_has0": "a 0 counts as positive", "f1_has0": "a 0 counts as positive",
        "acc2_non0": "clips annotated 0 are left out", "f1_non0": "clips annotated 0 are left out",
        "acc2": "a 0 counts as negative", "f1": "a 0 counts as negative",
    }  # fmt: skip
    metric = METRICS[family][name]
    assert words.get(name, "") in metric.description
    assert metric.is_share == (name not in ("mae", "corr"))
    assert metric.higher_is_better == (name != "mae")


def test_evaluate_all_keeps_the_order_of_the_table():
    result = evaluate_all(array(1, 2), array(2, 1), "mosi")
    assert list(result) == list(METRICS["mosi"])


def test_a_metric_without_sums_can_be_clipped():
    metric = clip_metric(METRICS["mosi"]["mae"], 1.0)
    assert metric(array(3, 0), array(1, 0)) == 0


def test_importing_metrics_does_not_import_torch():
    modules = "mien.evaluation.metrics, mien.evaluation.significance"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Undefined


def test_a_constant_model_has_no_correlation_and_other_metrics_go_on():
    result = evaluate_all(array(0.3, 0.3), array(1, -1), "mosi")
    assert math.isnan(result.pop("corr"))
    assert all(math.isfinite(value) for value in result.values())


def test_all_targets_zero_leaves_non0_undefined_in_evaluate_all():
    result = evaluate_all(array(0.3, -0.3), array(0, 0), "mosi")
    assert {name for name in result if math.isnan(result[name])} == {"corr", "acc2_non0", "f1_non0"}


@pytest.mark.parametrize("function", [polarity_accuracy, polarity_f1])
def test_all_targets_zero_is_an_error_when_non0_is_called_directly(function):
    with pytest.raises(MetricError, match=r"all 2 targets are 0, a polarity is wanted; use a read"):
        function(array(0.3, -0.3), array(0, 0), neutral="excluded")


@pytest.mark.parametrize("function", [mae, corr])
def test_no_clip_is_an_error(function):
    with pytest.raises(MetricError, match=r"there is no clip, at least 1 is wanted"):
        function(array(), array())


def test_no_clip_is_an_error_for_a_whole_family():
    with pytest.raises(MetricError, match=r"there is no clip"):
        evaluate_all(array(), array(), "mosi")


@pytest.mark.parametrize(("family", "name"), ENTRIES)
def test_scores_that_are_not_finite_are_counted_in_the_error(family, name):
    scores = array(math.nan, 1, math.inf)
    for call in (METRICS[family][name], METRICS[family][name].sums.terms):
        with pytest.raises(MetricError, match=r"2 of 3 scores are not finite, all must be numbers"):
            call(scores, array(1, -1, 1))


def test_targets_that_are_not_finite_are_an_error():
    with pytest.raises(MetricError, match=r"1 of 2 targets are not finite"):
        evaluate_all(array(1, 2), array(1, math.nan), "sims")


def test_an_unknown_family_is_an_error():
    with pytest.raises(MetricError, match=r"no family is called 'mosie', must be one of mosi, sim"):
        evaluate_all(array(1), array(1), "mosie")


@pytest.fixture
def unchecked_shapes():
    """Switch off the checks that the tests alone have."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("unchecked_shapes")
def test_a_column_of_scores_is_an_error_and_not_a_table_of_all_differences():
    """A network gives (N, 1); less targets of (N,) that is (N, N), and its mean a wrong number."""
    with pytest.raises(MetricError, match=r"shape \(3, 1\) and targets \(3,\), both must be \(cli"):
        mae(np.zeros((3, 1)), np.zeros(3))


@pytest.mark.usefixtures("unchecked_shapes")
def test_a_misspelt_reading_is_an_error():
    with pytest.raises(ValueError, match=r"neutral is 'postive', must be one of positive, negati"):
        polarity_accuracy(array(1), array(1), neutral="postive")


# Goldens of the field's programs

FIELD_NAMES = {
    "mosi": {
        "mae": "MAE", "corr": "Corr", "acc5": "Mult_acc_5", "acc7": "Mult_acc_7",
        "acc2_has0": "Has0_acc_2", "acc2_non0": "Non0_acc_2",
        "f1_has0": "Has0_F1_score", "f1_non0": "Non0_F1_score",
    },
    "sims": {
        "mae": "MAE", "corr": "Corr", "acc2": "Mult_acc_2", "acc3": "Mult_acc_3",
        "acc5": "Mult_acc_5", "f1": "F1_score",
    },
}  # fmt: skip


@pytest.mark.parametrize(
    "case",
    ["random", "constant_pred", "all_zero_pred", "out_of_range", "negzero_pred", "all_positive",
     "single"],
)  # fmt: skip
@pytest.mark.parametrize("corpus", ["MOSI", "MOSEI", "SIMS"])
def test_metrics_agree_with_the_field(case, corpus):
    """The field rounds on MOSI and MOSEI to 4 decimals, and not at all on CH-SIMS.

    Where its program throws, ours gives NaN or raises MetricError; no present case does that.
    """
    if not GOLDENS.is_dir():
        pytest.skip(f"no goldens at {GOLDENS}: put metrics_inputs.npz and metrics_expected.json in")
    expected = json.loads((GOLDENS / "metrics_expected.json").read_text())[case][corpus]
    assert "raises" not in expected
    family = "sims" if corpus == "SIMS" else "mosi"
    with np.load(GOLDENS / "metrics_inputs.npz", allow_pickle=False) as arrays:
        result = evaluate_all(arrays[f"{case}/pred"], arrays[f"{case}/true"], family)
    assert result.keys() == FIELD_NAMES[family].keys()
    assert expected.keys() == set(FIELD_NAMES[family].values())
    for name, value in result.items():
        wanted = expected[FIELD_NAMES[family][name]]
        rounded = round(value, 4) if family == "mosi" else value
        assert rounded == pytest.approx(
            math.nan if wanted is None else wanted, abs=1e-6, rel=0, nan_ok=True
        ), name


# Agreement of generated labels


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
def test_spearman_and_ranks_equal_scipy(pair):
    generated, truth = pair
    np.testing.assert_allclose(rank(generated), scipy.stats.rankdata(generated))
    np.testing.assert_allclose(rank(generated), oracles.ranks(generated))
    if np.ptp(generated) and np.ptp(truth):
        expected = scipy.stats.spearmanr(generated, truth).statistic
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


# Attention


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
