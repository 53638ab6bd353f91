import numpy as np
import pytest
from score_pairs import make_sources

from mien.evaluation.bootstrap import clusters_of, draw_units, resample
from mien.evaluation.formulas import corr, mae
from mien.evaluation.label_agreement import AGREEMENT
from mien.evaluation.metrics import METRICS
from mien.evaluation.significance import (
    SourceDifference,
    bootstrap_interval,
    compare_sources,
    paired_difference,
)


@pytest.mark.resampled
@pytest.mark.parametrize("name", ["pearson", "mae", "sign"])
def test_intervals_and_differences_are_those_of_significance(name):
    rows, truth, videos = make_sources(1)
    results = compare_sources(rows, truth, AGREEMENT[name], clusters=videos, against=["bad"])
    interval = bootstrap_interval(rows["good"], truth, AGREEMENT[name], seed=1111, clusters=videos)
    assert results["good"].mean == pytest.approx(interval.value)
    assert [results["good"].low, results["good"].high] == [interval.low, interval.high]
    paired = paired_difference(rows["good"], rows["bad"], truth, AGREEMENT[name], clusters=videos)
    assert results["good"].less == {
        "bad": SourceDifference(
            difference=paired.difference,
            low=paired.low,
            high=paired.high,
            p_value=paired.p_value,
            error_units=paired.error_units,
            error_seeds=paired.error_seeds,
            covers_seeds=True,
        )
    }
    assert results["bad"].less == {}


def test_every_seed_has_its_value_and_the_deviation_is_over_them():
    rows, truth, videos = make_sources(2, num_seeds=3)
    good = compare_sources(rows, truth, METRICS["general"]["mae"], clusters=videos)["good"]
    each = [mae(row, truth) for row in rows["good"]]
    assert good.values == pytest.approx(each)
    assert good.deviation == pytest.approx(np.std(each, ddof=1))


def test_a_single_cluster_gives_values_without_intervals():
    rows, truth, _ = make_sources(3)
    good = compare_sources(
        rows, truth, METRICS["general"]["mae"], clusters=np.full(240, "v"), against=["bad"]
    )["good"]
    assert good.mean > 0
    assert (good.low, good.high) == (None, None)
    less = good.less["bad"]
    assert less.difference < 0
    assert (less.low, less.high, less.p_value) == (None, None, None)


def test_a_source_without_a_training_needs_no_seeds():
    rows, truth, videos = make_sources(7)
    rows["copy"] = truth[None] + 0.1
    mae_of = METRICS["general"]["mae"]
    options = {"clusters": videos, "against": ["copy"]}
    alone = compare_sources(rows, truth, mae_of, **options)["good"].less["copy"]
    fixed = compare_sources(rows, truth, mae_of, fixed={"copy"}, **options)["good"].less["copy"]
    assert (alone.covers_seeds, fixed.covers_seeds) == (False, True)
    assert alone.error_seeds is None
    assert fixed.error_seeds > 0


def test_videos_are_resampled_only_where_several_clips_share_one():
    assert clusters_of(np.array(["a", "a", "b"])).tolist() == ["a", "a", "b"]
    assert len(set(clusters_of(np.array(["a", "b", "c"])).tolist())) == 3
    assert len(set(clusters_of(np.array(["a", "a", "a"])).tolist())) == 3


def test_different_numbers_of_units_cannot_be_paired():
    rows, truth, videos = make_sources(6)
    first = resample(rows["good"], truth, corr, draw_units(240, videos, seed=1))
    second = resample(rows["bad"], truth, corr, draw_units(240, videos == "v0", seed=1))
    with pytest.raises(ValueError, match="40 and 2 units cannot be paired"):
        first.less(second)
