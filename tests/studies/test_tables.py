from mien.evaluation.metrics import METRICS
from mien.studies.results.sources import MetricResults, SourceDifference, SourceResults
from mien.studies.tables import count_clips, difference_cell

MAE, CORR = METRICS["mosi"]["mae"], METRICS["mosi"]["corr"]


def make_source(difference, low, high, *, covers_seeds=True):
    """A source with a difference to ``a``."""
    less = SourceDifference(
        difference=difference, low=low, high=high, p_value=0.5, error_units=0.1, error_seeds=None,
        covers_seeds=covers_seeds,
    )  # fmt: skip
    return SourceResults(
        mean=0.5, deviation=None, values=(0.5,), low=0.4, high=0.6, less={"a": less}
    )


def test_a_difference_is_marked_as_better_or_worse_only_where_it_is_clear():
    below, unclear = make_source(-0.2, -0.3, -0.1), make_source(-0.1, -0.3, 0.1)
    assert difference_cell(below, "a", MAE) == "**-0.200 better** [-0.300, -0.100]"
    assert difference_cell(below, "a", CORR) == "**-0.200 worse** [-0.300, -0.100]"
    assert difference_cell(unclear, "a", MAE) == "-0.100 [-0.300, 0.100]"
    weights = make_source(-0.2, -0.3, -0.1, covers_seeds=False)
    assert difference_cell(weights, "a", MAE) == "-0.200 [-0.300, -0.100] (weights)"
    assert difference_cell(make_source(0.1, None, None), "a", MAE) == "+0.100"
    assert difference_cell(below, "b", MAE) == ""


def test_a_table_names_on_how_many_videos_it_rests():
    few, single, many = (
        MetricResults(num_clips=clips, num_clusters=videos, metrics={})
        for clips, videos in ((180, 3), (80, 80), (90, 31))
    )
    assert count_clips(few, "test") == (
        "180 clips of test in 3 videos (few: t intervals with 2 degrees of freedom)"
    )
    assert count_clips(single, "test") == "80 clips of test"
    assert count_clips(many, "valid").endswith("videos")
