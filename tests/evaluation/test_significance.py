import dataclasses
import math
import time
import tracemalloc

import jaxtyping
import numpy as np
import oracles
import pytest
import scipy.stats
from cases import examples, with_extended
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import MetricError
from mien.evaluation.bootstrap import draw_units, resample
from mien.evaluation.formulas import mae, polarity_accuracy
from mien.evaluation.metrics import METRICS, Metric
from mien.evaluation.significance import (
    bootstrap_interval,
    holm,
    paired_bootstrap,
    paired_difference,
    summarise_seeds,
)

MAE, CORR = METRICS["mosi"]["mae"], METRICS["mosi"]["corr"]
ENTRIES = [(family, name) for family in METRICS for name in METRICS[family]]


def array(*numbers):
    return np.array(numbers, np.float64)


def make_scores(seed, size, *, noise=1.0, seeds=None):
    """Targets in tenths, zeros among them, and scores that miss them by normal noise."""
    generator = np.random.default_rng(seed)
    targets = np.round(generator.normal(size=size), 1)
    shape = (size,) if seeds is None else (seeds, size)
    return targets + noise * generator.normal(size=shape), targets


def without_sums(metric):
    return dataclasses.replace(metric, sums=None)


@pytest.fixture
def unchecked_shapes():
    """Switch off the checks that the tests alone have."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


# Intervals


def test_the_interval_of_two_clips_by_hand():
    """Errors 1 and 2: standard error 1/2; half of Student's t with 1 degree lies within 1."""
    result = bootstrap_interval(array(1, 2), array(0, 0), MAE, seed=1, level=0.5)
    assert (result.value, result.low, result.high) == pytest.approx((1.5, 1, 2))
    assert (result.num_units, result.num_resamples) == (2, 0)


def test_the_interval_of_few_equal_videos_is_the_t_interval_of_their_means():
    scores, targets = make_scores(30, 60)
    result = bootstrap_interval(scores, targets, MAE, seed=1, clusters=np.arange(60) % 6)
    means = np.abs(scores - targets).reshape(10, 6).mean(axis=0)
    expected = scipy.stats.ttest_1samp(means, 0).confidence_interval()
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high))


def test_percentiles_begin_at_twenty_units():
    scores, targets = make_scores(31, 20)
    many = bootstrap_interval(scores, targets, MAE, seed=1)
    few = bootstrap_interval(scores[:19], targets[:19], MAE, seed=1)
    assert (many.num_units, many.num_resamples) == (20, 2000)
    assert (few.num_units, few.num_resamples) == (19, 0)


def test_the_interval_of_few_clips_stays_in_the_range_of_the_metric():
    result = bootstrap_interval(
        array(1, 2, 3, 5), array(1, 2, 3, -1), METRICS["mosi"]["acc2_has0"], seed=1
    )
    assert (result.value, result.high) == (0.75, 1)
    scores, targets = make_scores(32, 4)
    result = bootstrap_interval(scores, targets, CORR, seed=1)
    assert -1 <= result.low <= result.value <= result.high <= 1


@pytest.mark.parametrize(("size", "clusters"), [(1, None), (3, np.zeros(3))])
def test_one_clip_or_one_video_has_a_value_and_no_interval(size, clusters):
    result = bootstrap_interval(np.ones(size), np.zeros(size), MAE, seed=1, clusters=clusters)
    assert (result.value, result.num_units) == (1, 1)
    assert math.isnan(result.low)
    assert math.isnan(result.high)
    compared = paired_difference(
        np.ones((2, size)), np.zeros((2, size)), np.zeros(size), MAE, clusters=clusters
    )
    assert (compared.difference, compared.num_units) == (1, 1)
    assert all(map(math.isnan, (compared.low, compared.high, compared.p_value, compared.degrees)))


@pytest.mark.parametrize(("family", "name"), ENTRIES)
@pytest.mark.parametrize("seeds", [None, 3])
@pytest.mark.parametrize("clustered", ["clips", "videos"])
def test_sums_give_the_same_interval_as_evaluating_every_resample(family, name, seeds, clustered):
    scores, targets = make_scores(3, 36, seeds=seeds)
    clusters = None if clustered == "clips" else np.arange(36) % 7
    metric = METRICS[family][name]
    quick, slow = (
        bootstrap_interval(scores, targets, m, seed=4, resamples=80, clusters=clusters)
        for m in (metric, without_sums(metric))
    )
    for field, value in dataclasses.asdict(quick).items():
        assert value == pytest.approx(getattr(slow, field), abs=1e-9), field


def test_resamples_are_clips_drawn_as_often_as_there_are_clips():
    """Against the oracle, from the numbers of times that each clip was drawn."""
    scores, targets = make_scores(5, 32)
    drawn = np.concatenate(draw_units(32, seed=6, resamples=50).counts)
    result = bootstrap_interval(scores, targets, MAE, seed=6, resamples=50, level=0.9)
    assert {int(counts.sum()) for counts in drawn} == {32}
    values = [oracles.resampled(scores, targets, oracles.mae, counts) for counts in drawn]
    assert len(values) == 50
    np.testing.assert_allclose([result.low, result.high], np.quantile(values, [0.05, 0.95]))


def test_each_clip_is_drawn_once_on_average_with_the_spread_of_a_binomial():
    counts = np.concatenate(draw_units(50, seed=1, resamples=4000).counts)
    assert counts.shape == (4000, 50)
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.1)
    assert counts.var() == pytest.approx(1 - 1 / 50, rel=0.02)


def test_the_size_of_chunks_does_not_change_the_clips(monkeypatch):
    (at_once,) = draw_units(21, seed=1, resamples=100).counts
    monkeypatch.setattr("mien.evaluation.bootstrap.CHUNK", 21 * 6 + 5)
    parts = draw_units(21, seed=1, resamples=100).counts
    assert [len(part) for part in parts] == [6] * 16 + [4]
    np.testing.assert_array_equal(np.concatenate(parts), at_once)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    scores, targets = make_scores(7, 40)
    first, again, other = (bootstrap_interval(scores, targets, MAE, seed=s) for s in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize(("size", "points"), [(686, 2.7), (4659, 1.1), (457, 3.6)])
def test_the_interval_of_acc2_has_the_width_that_the_size_of_the_split_gives(size, points):
    """MOSI, MOSEI and CH-SIMS at their published accuracy, near 85, 84 and 81 percent."""
    share = {686: 0.85, 4659: 0.84, 457: 0.81}[size]
    targets = np.ones(size)
    scores = np.where(np.arange(size) < round(share * size), 1.0, -1.0)
    result = bootstrap_interval(scores, targets, METRICS["mosi"]["acc2_non0"], seed=1)
    assert 100 * (result.high - result.low) / 2 == pytest.approx(points, abs=0.15)


def test_seeds_share_the_resampled_clips():
    """Copies of one run say nothing new; runs with other errors narrow the interval of the mean."""
    runs, targets = make_scores(8, 100, seeds=5)
    one = bootstrap_interval(runs[0], targets, MAE, seed=1)
    copies = bootstrap_interval(np.stack([runs[0]] * 5), targets, MAE, seed=1)
    assert dataclasses.astuple(copies) == pytest.approx(dataclasses.astuple(one))
    several = bootstrap_interval(runs, targets, MAE, seed=1)
    assert several.value == pytest.approx(np.mean([mae(run, targets) for run in runs]))
    assert several.high - several.low < 0.7 * (one.high - one.low)


def test_clips_of_one_video_that_err_alike_widen_the_interval():
    generator = np.random.default_rng(9)
    videos = np.repeat([f"video {n}" for n in range(30)], 10)
    scores, targets = np.repeat(generator.normal(size=30), 10), np.zeros(300)
    clips = bootstrap_interval(scores, targets, MAE, seed=1)
    clustered = bootstrap_interval(scores, targets, MAE, seed=1, clusters=videos)
    assert clustered.value == clips.value
    ratio = (clustered.high - clustered.low) / (clips.high - clips.low)
    assert ratio == pytest.approx(math.sqrt(10), rel=0.15)


def test_clusters_of_one_clip_each_are_clips():
    scores, targets = make_scores(10, 30)
    clips = bootstrap_interval(scores, targets, CORR, seed=1)
    alone = bootstrap_interval(scores, targets, CORR, seed=1, clusters=np.arange(30))
    assert alone == clips


def test_a_plain_function_is_a_metric_too():
    scores, targets = make_scores(11, 20)
    plain = bootstrap_interval(scores, targets, mae, seed=1, resamples=60)
    table = bootstrap_interval(scores, targets, MAE, seed=1, resamples=60)
    assert dataclasses.astuple(plain) == pytest.approx(dataclasses.astuple(table))


@given(seed=st.integers(0, 999), size=st.integers(2, 40), entry=st.sampled_from(ENTRIES))
@examples(60)
def test_intervals_are_in_order_and_in_the_range_of_the_metric(seed, size, entry):
    scores, targets = make_scores(seed, size)
    metric = METRICS[entry[0]][entry[1]]
    wide, narrow = (
        bootstrap_interval(scores, targets, metric, seed=1, resamples=200, level=level)
        for level in (0.95, 0.5)
    )
    if not math.isnan(wide.low):
        assert -1 <= wide.low <= narrow.low <= narrow.high <= wide.high
        assert wide.high <= (math.inf if entry[1] == "mae" else 1)


def test_the_interval_of_a_correlation_is_close_to_that_of_bca():
    """The claim of the module's docstring, on one split of the size of CH-SIMS."""

    def statistic(x, y):
        return np.corrcoef(x, y)[0, 1]

    scores, targets = make_scores(12, 457, noise=0.9)
    ours = bootstrap_interval(scores, targets, CORR, seed=1)
    theirs = scipy.stats.bootstrap(
        (scores, targets), statistic, paired=True, vectorized=False, method="BCa", rng=1,
        n_resamples=2000,
    ).confidence_interval  # fmt: skip
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.006)


@pytest.mark.parametrize("name", with_extended(["corr"], ["mae", "acc2_has0"]))
def test_the_interval_covers_the_truth_about_as_often_as_it_says(name):
    """400 splits of 150 clips; 95 % of 400 has a standard deviation of 1.1 points."""
    rho = 0.75
    truth = {
        "mae": math.sqrt(2 * (1 - rho)) * math.sqrt(2 / math.pi),
        "corr": rho,
        "acc2_has0": 1 - math.acos(rho) / math.pi,
    }[name]
    generator, covered = np.random.default_rng(13), 0
    for split in range(400):
        targets, other = generator.normal(size=(2, 150))
        scores = rho * targets + math.sqrt(1 - rho**2) * other
        result = bootstrap_interval(
            scores, targets, METRICS["mosi"][name], seed=split, resamples=400
        )
        covered += result.low <= truth <= result.high
    assert 0.91 <= covered / 400 <= 0.98


def test_whole_videos_cover_the_truth_where_single_clips_do_not():
    generator, covered = np.random.default_rng(14), {"clips": 0, "videos": 0}
    videos, targets = np.repeat(np.arange(40), 10), np.zeros(400)
    for split in range(200):
        scores = generator.normal(size=40)[videos] + generator.normal(size=400)
        for unit, clusters in (("clips", None), ("videos", videos)):
            result = bootstrap_interval(
                scores, targets, MAE, seed=split, resamples=200, clusters=clusters
            )
            covered[unit] += result.low <= 2 / math.sqrt(math.pi) <= result.high
    assert covered["videos"] / 200 > 0.88
    assert covered["clips"] / 200 < 0.75


def test_all_metrics_of_the_largest_test_split_take_seconds_and_little_memory():
    """Measured at 1.1 s for MOSEI's test split; the bound leaves room for a busy machine."""
    scores, targets = make_scores(15, 4659)
    started = time.process_time()
    for metric in METRICS["mosi"].values():
        bootstrap_interval(scores, targets, metric, seed=1)
    assert time.process_time() - started < 6
    tracemalloc.start()
    bootstrap_interval(scores, targets, CORR, seed=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


# Undefined and wrong


def test_resamples_without_a_value_are_counted_and_left_out():
    """Of 30 clips one counts; it is not drawn in (29/30)^30 of the resamples."""
    targets = np.zeros(30)
    targets[7] = 1
    result = bootstrap_interval(np.ones(30), targets, METRICS["mosi"]["acc2_non0"], seed=1)
    assert result.num_undefined == pytest.approx(2000 * (29 / 30) ** 30, rel=0.08)
    assert (result.value, result.low, result.high) == (1, 1, 1)


def test_a_metric_that_rests_on_one_of_few_clips_has_no_interval():
    """Without that clip it is undefined, so that nothing says how far it depends on it."""
    result = bootstrap_interval(array(1, -1), array(1, 0), METRICS["mosi"]["acc2_non0"], seed=1)
    assert result.value == 1
    assert math.isnan(result.low)


@pytest.mark.parametrize("metric", [CORR, without_sums(CORR)])
def test_the_interval_of_an_undefined_metric_is_undefined(metric):
    scores = np.array([np.ones(30), np.arange(30)])
    result = bootstrap_interval(scores, np.arange(30.0), metric, seed=1)
    assert math.isnan(result.value)
    assert math.isnan(result.low)
    assert math.isnan(result.high)
    assert result.num_undefined == 2000


def test_all_targets_zero_has_no_interval_of_non0():
    metric = METRICS["mosi"]["acc2_non0"]
    result = bootstrap_interval(array(1, -1), array(0, 0), metric, seed=1)
    assert math.isnan(result.value)
    assert math.isnan(result.low)


def test_a_value_without_any_defined_resample_has_no_interval():
    def only_in_order(scores, _):
        return 1.0 if np.array_equal(scores, np.arange(30)) else math.nan

    result = bootstrap_interval(np.arange(30.0), np.arange(30.0), only_in_order, seed=1)
    assert result.value == 1
    assert math.isnan(result.low)


def test_no_clip_is_an_error():
    with pytest.raises(MetricError, match=r"intervals: there is no clip, at least 1 is needed"):
        bootstrap_interval(np.zeros(0), np.zeros(0), MAE, seed=1)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_in_percent_is_an_error(level):
    with pytest.raises(MetricError, match=rf"level is {level!r}, must be between 0 and 1, such as"):
        bootstrap_interval(array(1, 2), array(1, 2), MAE, seed=1, level=level)


def test_too_few_resamples_for_the_level_are_an_error():
    with pytest.raises(MetricError, match=r"resamples is 39, must be at least 40 at level 0\.95"):
        bootstrap_interval(array(1, 2), array(1, 2), MAE, seed=1, resamples=39)
    assert bootstrap_interval(array(1, 2), array(1, 2), MAE, seed=1, resamples=40).value == 0


def test_scores_that_are_not_finite_are_an_error():
    with pytest.raises(MetricError, match=r"1 of 2 scores are not finite"):
        paired_difference(array(1, 2), array(1, math.nan), array(1, 2), MAE)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("shape", [(3, 1), (2, 2, 3), (4,), (0, 3)])
def test_scores_of_another_shape_are_an_error(shape):
    with pytest.raises(MetricError, match=r"targets \(3,\), must be \(clips,\) or \(seeds, clips"):
        bootstrap_interval(np.zeros(shape), np.zeros(3), MAE, seed=1)


@pytest.mark.usefixtures("unchecked_shapes")
def test_clusters_of_another_number_are_an_error():
    with pytest.raises(MetricError, match=r"shape is \(2,\), must be \(3,\): one name per clip"):
        bootstrap_interval(np.zeros(3), np.zeros(3), MAE, seed=1, clusters=np.zeros(2))


# Comparisons


def test_a_difference_by_hand():
    """Errors 1 1 1 1 against 0 0 0 0: the difference is 1 in every resample."""
    result = paired_difference(np.ones(4), np.zeros(4), np.zeros(4), MAE)
    assert (result.difference, result.low, result.high) == (1, 1, 1)
    assert (result.p_value, result.error_units) == (0, 0)


def test_a_model_does_not_differ_from_itself():
    scores, targets = make_scores(16, 50)
    result = paired_difference(scores, scores, targets, METRICS["mosi"]["f1_non0"])
    assert (result.difference, result.low, result.high, result.p_value) == (0, 0, 0, 1)


@pytest.mark.parametrize("name", METRICS["mosi"])
def test_swapping_the_models_turns_the_sign_and_nothing_else(name):
    scores, targets = make_scores(17, 60)
    other, metric = scores + 0.3, METRICS["mosi"][name]
    one = paired_difference(scores, other, targets, metric)
    two = paired_difference(other, scores, targets, metric)
    assert one.difference == pytest.approx(-two.difference)
    assert (one.low, one.high) == pytest.approx((-two.high, -two.low))
    assert one.p_value == two.p_value


def test_clips_are_resampled_in_pairs():
    """Both models err where the clip is hard; only a paired comparison sees that one is better."""
    generator = np.random.default_rng(18)
    difficulty, targets = np.abs(generator.normal(size=100)), np.zeros(100)
    better, worse = difficulty, difficulty + 0.02 + 0.01 * generator.normal(size=100)
    result = paired_difference(worse, better, targets, MAE)
    assert result.low > 0
    assert result.p_value < 0.01
    alone = bootstrap_interval(better, targets, MAE, seed=1)
    assert alone.low < mae(worse, targets) < alone.high


def test_models_with_several_and_different_numbers_of_seeds_are_compared_by_their_means():
    runs, targets = make_scores(19, 80, seeds=5)
    runs[0] *= 4  # one run that is far off: the resamples must hold all the others too
    result = paired_difference(runs, 0.9 * runs[:3], targets, MAE)
    expected = np.mean([mae(run, targets) for run in runs])
    expected -= np.mean([mae(0.9 * run, targets) for run in runs[:3]])
    assert result.difference == pytest.approx(expected)
    assert result.low < result.difference < result.high
    slow = paired_difference(runs, 0.9 * runs[:3], targets, without_sums(MAE))
    assert dataclasses.astuple(slow) == pytest.approx(dataclasses.astuple(result))


def test_the_p_value_is_below_five_percent_where_the_interval_leaves_zero_out():
    for seed in range(40):
        scores, targets = make_scores(seed, 60)
        other = scores + 0.3 * np.random.default_rng(seed + 99).normal(size=60)
        result = paired_difference(scores, other, targets, MAE)
        if result.low > 0 or result.high < 0:
            assert result.p_value < 0.05
        else:
            assert result.p_value >= 0.05


@pytest.mark.parametrize("name", with_extended(["mae"], ["corr", "acc2_has0"]))
def test_p_values_of_equally_good_models_are_about_uniform(name):
    """400 pairs of models with the same kind of error; 5 % of 400 has a deviation of 1.1 points."""
    generator, p_values = np.random.default_rng(20), []
    for _ in range(400):
        targets, *noises = generator.normal(size=(3, 150))
        one, two = (targets + 0.7 * noise for noise in noises)
        metric = METRICS["mosi"][name]
        p_values.append(paired_difference(one, two, targets, metric).p_value)
    below = {level: np.mean(np.array(p_values) <= level) for level in (0.05, 0.2, 0.5)}
    assert 0.02 <= below[0.05] <= 0.09
    assert 0.13 <= below[0.2] <= 0.27
    assert 0.40 <= below[0.5] <= 0.60


def test_the_p_value_of_one_seed_and_equal_videos_is_that_of_a_paired_t_test_of_their_means():
    scores, targets = make_scores(33, 60)
    other, videos = scores + np.random.default_rng(34).normal(size=60), np.arange(60) % 5
    result = paired_difference(scores, other, targets, MAE, clusters=videos)
    one, two = (np.abs(s - targets).reshape(12, 5).mean(axis=0) for s in (scores, other))
    expected = scipy.stats.ttest_rel(one, two)
    assert result.p_value == pytest.approx(expected.pvalue)
    ends = expected.confidence_interval()
    assert (result.low, result.high) == pytest.approx((ends.low, ends.high))
    assert (result.covers_seeds, result.degrees, result.num_units) == (False, 4, 5)
    assert math.isnan(result.error_seeds)


def test_where_clips_say_nothing_the_p_value_is_that_of_welchs_test_over_the_seeds():
    """Every clip of a run has the same error, so that all that varies is the seed."""
    one, two = array(0.5, 0.7, 0.4), array(0.8, 0.9, 1.3, 0.9)
    rows = [np.repeat(errors[:, None], 40, axis=1) for errors in (one, two)]
    result = paired_difference(*rows, np.zeros(40), MAE)
    expected = scipy.stats.ttest_ind(one, two, equal_var=False)
    assert result.p_value == pytest.approx(expected.pvalue)
    assert result.degrees == pytest.approx(expected.df)
    assert result.covers_seeds
    ends = expected.confidence_interval()
    assert (result.low, result.high) == pytest.approx((ends.low, ends.high))


def test_errors_over_videos_and_seeds_are_added_as_variances():
    generator = np.random.default_rng(35)
    rows = np.abs(generator.normal(size=(2, 4, 60)))
    rows += np.abs(generator.normal(scale=0.1, size=(2, 4, 1)))
    videos, targets = np.arange(60) % 6, np.zeros(60)
    result = paired_difference(rows[0], rows[1], targets, MAE, clusters=videos)
    means = (rows[0] - rows[1]).mean(axis=0).reshape(10, 6).mean(axis=0)
    units = means.var(ddof=1) / 6
    seeds = [one.mean(axis=1).var(ddof=1) / 4 for one in rows]
    assert result.error_units**2 == pytest.approx(units)
    assert result.error_seeds**2 == pytest.approx(sum(seeds))
    total = units + sum(seeds)
    degrees = total**2 / (units**2 / 5 + sum(one**2 for one in seeds) / 3)
    assert result.degrees == pytest.approx(degrees)
    p = 2 * scipy.stats.t.sf(abs(result.difference) / math.sqrt(total), degrees)
    assert result.p_value == pytest.approx(p)


def test_one_seed_on_either_side_compares_weights():
    runs, targets = make_scores(36, 50, seeds=3)
    several = paired_difference(runs, 0.9 * runs, targets, MAE)
    alone = paired_difference(runs, 0.9 * runs[0], targets, MAE)
    assert (several.covers_seeds, alone.covers_seeds) == (True, False)
    assert alone.degrees == 49


@pytest.mark.parametrize("num", [5, 40])
def test_an_interval_alone_is_the_same_and_takes_no_difference(num):
    generator = np.random.default_rng(num)
    targets = generator.normal(size=num)
    scores = targets + generator.normal(size=(2, num))
    draws = draw_units(num, resamples=50)
    full, alone = (resample(scores, targets, MAE, draws, for_differences=d) for d in (True, False))
    assert alone.interval() == full.interval()
    assert (alone.left_out is None) == (num == 40)
    if num == 40:
        with pytest.raises(ValueError, match="resampled for an interval alone"):
            full.less(alone)
    fewer = resample(scores[:, 1:], targets[1:], MAE, draw_units(num - 1, resamples=50))
    with pytest.raises(ValueError, match="units cannot be paired"):
        full.less(fewer)


def test_scores_without_a_training_need_no_seeds():
    runs, targets = make_scores(37, 50, seeds=3)
    draws = draw_units(50, seed=1)
    trained = resample(runs, targets, MAE, draws)
    copied = resample(0.9 * runs[0], targets, MAE, draws, is_fixed=True)
    result = trained.less(copied)
    assert result.covers_seeds
    values = [mae(run, targets) for run in runs]
    assert result.error_seeds == pytest.approx(np.std(values, ddof=1) / math.sqrt(3))


@pytest.mark.usefixtures("unchecked_shapes")  # checks would take most of the time
@pytest.mark.parametrize(("num_videos", "num_seeds"), [(3, 3), (6, 3), (31, 3), (31, 5)])
def test_equal_methods_differ_about_as_often_as_the_level_says(num_videos, num_seeds):
    """Errors share an effect of the video and of the seed: 600 pairs, 5 % of them +- 0.9."""
    generator = np.random.default_rng([38, num_videos, num_seeds])
    shape = (600, 2, num_seeds, num_videos)
    cells = generator.normal(size=(600, 2, 1, num_videos)) * 0.05  # of method and video
    cells = cells + generator.normal(size=(600, 2, num_seeds, 1)) * 0.02  # of the seed
    cells = np.abs(1 + cells + generator.normal(size=shape) * 0.05)
    targets = np.zeros(num_videos)
    found = [paired_difference(*pair, targets, MAE).p_value < 0.05 for pair in cells]
    assert np.mean(found) < 0.08


def test_the_earlier_name_compares_in_the_same_way():
    scores, targets = make_scores(39, 40, seeds=2)
    with pytest.warns(DeprecationWarning, match="is now paired_difference, which covers the seeds"):
        earlier = paired_bootstrap(scores, 0.5 * scores, targets, MAE, seed=3, resamples=50)
    assert earlier == paired_difference(scores, 0.5 * scores, targets, MAE)


def test_clusters_make_a_comparison_more_careful():
    generator = np.random.default_rng(21)
    videos, targets = np.repeat(np.arange(12), 20), np.zeros(240)
    better = np.abs(generator.normal(size=240))
    worse = better + 0.3 * generator.normal(size=12)[videos] + 0.1
    clips = paired_difference(worse, better, targets, MAE)
    clustered = paired_difference(worse, better, targets, MAE, clusters=videos)
    assert clustered.difference == clips.difference
    assert clustered.high - clustered.low > 2 * (clips.high - clips.low)
    assert clustered.p_value > clips.p_value


def test_a_comparison_with_an_undefined_metric_is_undefined():
    scores, targets = make_scores(22, 20)
    result = paired_difference(scores, np.ones(20), targets, CORR)
    assert math.isnan(result.difference)
    assert math.isnan(result.low)
    assert math.isnan(result.p_value)


def test_a_metric_of_ones_own_is_compared():
    own = Metric(
        function=lambda s, t: polarity_accuracy(s - 0.1, t, neutral="excluded"),
        higher_is_better=True,
        is_share=True,
        description="polarity of scores that are 0.1 too high",
    )
    scores, targets = make_scores(23, 40)
    result = paired_difference(scores + 0.1, scores, targets, own)
    assert result.difference == pytest.approx(own(scores + 0.1, targets) - own(scores, targets))


# Several comparisons and several seeds


def test_holm_by_hand():
    """Sorted 0.01 0.02 0.03 times 3 2 1 are 0.03 0.04 0.03; the last may not fall below 0.04."""
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])


@given(p_values=st.lists(st.floats(0, 1), max_size=8))
def test_holm_equals_its_definition_and_lies_between_no_correction_and_bonferroni(p_values):
    corrected = holm(p_values)
    assert corrected == pytest.approx(oracles.holm(p_values))
    for before, after in zip(p_values, corrected, strict=True):
        assert before <= after <= min(1.0, len(p_values) * before + 1e-12)


@pytest.mark.parametrize("wrong", [math.nan, 1.2, -0.1])
def test_holm_of_something_that_is_no_p_value_is_an_error(wrong):
    with pytest.raises(MetricError, match=rf"position 1 is {wrong!r}, must be a number from 0 to"):
        holm([0.5, wrong])


def test_seeds_by_hand():
    """Deviations -2 0 2 of 4 6 8: squares 8, over n - 1 = 2, root 2."""
    result = summarise_seeds([4.0, 8.0, 6.0])
    assert dataclasses.astuple(result) == (6.0, 2.0, 3)


def test_one_seed_has_no_deviation():
    result = summarise_seeds([0.8])
    assert (result.mean, result.num_seeds) == (0.8, 1)
    assert math.isnan(result.deviation)


def test_a_seed_whose_metric_is_undefined_shows_in_the_mean():
    assert math.isnan(summarise_seeds([0.8, math.nan]).mean)


def test_no_seed_is_an_error():
    with pytest.raises(MetricError, match=r"seeds: there is no value, at least 1 is needed"):
        summarise_seeds([])
