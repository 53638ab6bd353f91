import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.evaluation.bootstrap import clusters_of, draw_units, resample
from mien.evaluation.label_agreement import AGREEMENT, _spearman_of_counts, fit_monotone
from mien.evaluation.metrics import METRICS, corr, mae
from mien.evaluation.significance import bootstrap_interval, compare_sources, paired_difference


def make(seed, num=240, num_seeds=2):
    random = np.random.default_rng(seed)
    truth = random.normal(size=num).round(1)
    rows = {
        name: truth + random.normal(scale=scale, size=(num_seeds, num)).round(1)
        for name, scale in (("good", 0.5), ("bad", 2.0))
    }
    return rows, truth, np.array([f"v{i // 6}" for i in range(num)])


@pytest.mark.parametrize("name", ["pearson", "mae", "sign"])
def test_intervals_and_differences_are_those_of_significance(name):
    rows, truth, videos = make(1)
    judged = compare_sources(rows, truth, AGREEMENT[name], clusters=videos, against=["bad"])
    interval = bootstrap_interval(rows["good"], truth, AGREEMENT[name], seed=1111, clusters=videos)
    assert judged["good"]["mean"] == pytest.approx(interval.value)
    assert [judged["good"]["low"], judged["good"]["high"]] == [interval.low, interval.high]
    paired = paired_difference(rows["good"], rows["bad"], truth, AGREEMENT[name], clusters=videos)
    assert judged["good"]["less"] == {
        "bad": {
            "difference": paired.difference,
            "low": paired.low,
            "high": paired.high,
            "p_value": paired.p_value,
            "error_units": paired.error_units,
            "error_seeds": paired.error_seeds,
            "covers_seeds": True,
        }
    }
    assert judged["bad"]["less"] == {}


def test_every_seed_is_kept_and_the_deviation_is_over_them():
    rows, truth, videos = make(2, num_seeds=3)
    judged = compare_sources(rows, truth, METRICS["general"]["mae"], clusters=videos)["good"]
    each = [mae(row, truth) for row in rows["good"]]
    assert judged["values"] == pytest.approx(each)
    assert judged["deviation"] == pytest.approx(np.std(each, ddof=1))


def test_a_single_cluster_gives_values_without_intervals():
    rows, truth, _ = make(3)
    one = compare_sources(
        rows, truth, METRICS["general"]["mae"], clusters=np.full(240, "v"), against=["bad"]
    )["good"]
    assert one["mean"] > 0
    assert (one["low"], one["high"]) == (None, None)
    less = one["less"]["bad"]
    assert less["difference"] < 0
    assert (less["low"], less["high"], less["p_value"]) == (None, None, None)


def test_a_source_without_a_training_needs_no_seeds():
    rows, truth, videos = make(7)
    rows["copy"] = truth[None] + 0.1
    mae_of = METRICS["general"]["mae"]
    options = {"clusters": videos, "against": ["copy"]}
    alone = compare_sources(rows, truth, mae_of, **options)["good"]["less"]["copy"]
    fixed = compare_sources(rows, truth, mae_of, fixed={"copy"}, **options)["good"]["less"]["copy"]
    assert (alone["covers_seeds"], fixed["covers_seeds"]) == (False, True)
    assert alone["error_seeds"] is None
    assert fixed["error_seeds"] > 0


def test_videos_are_resampled_only_where_several_clips_share_one():
    assert clusters_of(np.array(["a", "a", "b"])).tolist() == ["a", "a", "b"]
    assert len(set(clusters_of(np.array(["a", "b", "c"])).tolist())) == 3
    assert len(set(clusters_of(np.array(["a", "a", "a"])).tolist())) == 3


@given(seed=st.integers(0, 200), num=st.integers(3, 30))
@settings(max_examples=40)
def test_the_rank_correlation_of_a_resample_ranks_its_clips_anew(seed, num):
    random = np.random.default_rng(seed)
    generated, truth = random.integers(-3, 4, size=(2, num)) / 2
    counts = random.multinomial(num, np.full(num, 1 / num), size=5)
    found = _spearman_of_counts(generated, truth, counts)
    for one, times in zip(found, counts, strict=True):
        drawn = np.repeat(np.arange(num), times)
        expected = AGREEMENT["spearman"](generated[drawn], truth[drawn])
        assert one == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_a_resampled_rank_correlation_is_that_of_a_loop():
    rows, truth, videos = make(4)
    spearman = AGREEMENT["spearman"]
    draws = draw_units(len(truth), videos, seed=3, resamples=50)
    fast = resample(rows["good"], truth, spearman, draws)
    slow = resample(rows["good"], truth, spearman.function, draws)
    assert fast.value == pytest.approx(slow.value)
    assert fast.replicates == pytest.approx(slow.replicates)


def test_the_monotone_map_is_held_while_clips_are_resampled():
    rows, truth, videos = make(5, num_seeds=1)
    mapped = fit_monotone(rows["good"][0], truth)
    draws = draw_units(len(truth), videos, seed=3, resamples=50)
    found = resample(rows["good"], truth, AGREEMENT["mae_monotone"], draws)
    assert found.value == pytest.approx(mae(mapped, truth))
    held = resample(mapped[None], truth, METRICS["general"]["mae"], draws)
    assert found.replicates == pytest.approx(held.replicates)


def test_different_numbers_of_units_cannot_be_paired():
    rows, truth, videos = make(6)
    first = resample(rows["good"], truth, corr, draw_units(240, videos, seed=1))
    second = resample(rows["bad"], truth, corr, draw_units(240, videos == "v0", seed=1))
    with pytest.raises(ValueError, match="40 and 2 units cannot be paired"):
        first.less(second)
