from mien.evaluation.metrics import METRICS
from mien.evaluation.metrics_file.run_metrics import SeedValues
from mien.evaluation.significance import SourceDifference, SourceResults
from mien.reports.metric_cells import difference_cell, interval_cell, mean_cell, spread_cell

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
    assert difference_cell(below, "a", CORR) == "-0.200 worse [-0.300, -0.100]"
    assert difference_cell(unclear, "a", MAE) == "-0.100 [-0.300, 0.100]"
    weights = make_source(-0.2, -0.3, -0.1, covers_seeds=False)
    assert difference_cell(weights, "a", MAE) == "-0.200 [-0.300, -0.100] (weights)"
    assert difference_cell(make_source(0.1, None, None), "a", MAE) == "+0.100"
    assert difference_cell(below, "b", MAE) == ""


def test_a_mean_has_its_deviation_where_there_are_several_seeds():
    two = SeedValues(mean=0.5, deviation=0.125, values=(0.4, 0.6))
    assert spread_cell(two) == "0.500 ± 0.125"
    assert mean_cell(two, METRICS["mosi"]["acc7"]) == "50.00 ± 12.50"
    assert spread_cell(SeedValues(mean=0.5, deviation=None, values=(0.5,))) == "0.500"
    assert spread_cell(SeedValues(mean=None, deviation=None, values=(0.5, None))) == "-"


def test_an_interval_without_ends_is_a_dash():
    assert interval_cell(make_source(0.1, 0.0, 0.2), MAE) == "[0.400, 0.600]"
    without = SourceResults(mean=0.5, deviation=None, values=(0.5,), low=None, high=None, less={})
    assert interval_cell(without) == "-"
