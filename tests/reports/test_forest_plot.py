import pytest
from fake_runs import write_run

from mien.reports.comparison import compare_runs

pytestmark = pytest.mark.drawn


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forest")
    first = write_run(folder / "first", seeds=(1, 2))
    return compare_runs([first, write_run(folder / "b $_$ %", seeds=(1, 2), error=1.5)])


def test_every_metric_has_its_panel_with_the_difference_and_its_interval(comparison):
    figure = comparison.plot()
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        "MAE", "Corr", "Acc-2 (has0)", "Acc-2 (non0)", "F1 (has0)", "F1 (non0)", "Acc-5", "Acc-7",
    ]  # fmt: skip
    for name, axes, factor in (("mae", figure.axes[0], 1), ("acc7", figure.axes[7], 100)):
        less = comparison.metrics[name][1].to_first
        zero, interval, dot = axes.lines
        assert list(zero.get_xdata()) == [0, 0]
        assert list(interval.get_xdata()) == pytest.approx([factor * less.low, factor * less.high])
        assert list(dot.get_xdata()) == pytest.approx([factor * less.difference])
    assert figure.axes[0].get_xlabel() == "difference, lower is better"
    assert figure.axes[7].get_xlabel() == "difference in points, higher is better"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        r"b \$_\$ %"  # as matplotlib escapes what is no formula
    ]
    assert "Differences to first on test of planted (synthetic corpus)" in " ".join(
        figure.get_suptitle().split()
    )


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_the_name_of_the_file_decides_on_its_format(comparison, tmp_path, suffix, start):
    comparison.plot(tmp_path / f"forest.{suffix}")
    assert (tmp_path / f"forest.{suffix}").read_bytes().startswith(start)
