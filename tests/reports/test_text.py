import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.cli.progress import format_epoch, format_epoch_heading
from mien.evaluation.metrics import METRICS
from mien.reports.text import (
    describe_metrics,
    escape_markdown,
    format_interval,
    format_p,
    format_table,
    format_value,
    label_metric,
    markdown_table,
)
from mien.training.settings import TrainConfig
from mien.training.trainer import EpochRecord

VALID = {
    "mosi": {"mae": 0.7124, "corr": 0.7811, "acc2_has0": 0.834, "acc2_non0": 0.8519, "acc7": 0.4},
    "sims": {"mae": 0.4124, "corr": -0.5811, "acc2": 0.774, "acc3": 0.6, "f1": 0.77},
}


def make_record(family="mosi", tasks=("fusion", "text", "audio", "video"), **changes):
    values = {
        "epoch": 7,
        "losses": {task: 0.5 + number / 10 for number, task in enumerate(tasks)},
        "valid": VALID[family],
        "clipped": 0.0,
        "is_best": True,
        "seconds": 1.0,
    }
    return EpochRecord(**{**values, **changes})


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (0.83444, METRICS["mosi"]["acc2_has0"], "83.44"),
        (0.83444, METRICS["mosi"]["mae"], "0.834"),
        (-0.0012, METRICS["mosi"]["f1_non0"], "-0.12"),
        (-0.0001, None, "0.000"),
        (math.nan, METRICS["mosi"]["corr"], "-"),
        (None, METRICS["mosi"]["corr"], "-"),
    ],
)
def test_shares_are_in_percent_with_two_decimals_and_numbers_have_three(value, metric, text):
    assert format_value(value, metric) == text


def test_an_interval_with_an_undefined_end_is_undefined():
    assert format_interval(None, 0.5) == "-"
    assert format_interval(0.1, 0.5, METRICS["sims"]["acc3"]) == "[10.00, 50.00]"


def test_the_name_of_a_share_says_percent():
    assert label_metric("acc2", "sims") == "acc2 %"
    assert label_metric("mae", "sims") == "mae"


@given(st.lists(st.lists(st.text("abc 0.", max_size=9), min_size=3, max_size=3), max_size=5))
def test_columns_are_aligned_whatever_is_in_the_cells(rows):
    head, rule, *lines = format_table(["one", "two", "three"], rows).split("\n")
    assert all(len(line) <= len(rule) for line in (head, *lines))
    for row, line in zip(rows, lines, strict=True):
        assert line.startswith(row[0].rstrip())
        assert line.ljust(len(rule)).rstrip().endswith(row[2].rstrip())


def test_a_bar_in_a_cell_does_not_end_the_cell():
    line = markdown_table(["a", "b"], [["x|y", "1"]]).splitlines()[-1]
    assert line.count("|") == 3
    assert "x&#124;y" in line
    names = [escape_markdown(name) for name in ("x|y", "\\|")]
    (cells,) = markdown_table(["a", "b"], [names]).splitlines()[2:]
    assert cells == r"| x&#124;y | \\&#124; |"


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0, "<0.001"), (0.00099, "<0.001"), (0.001, "0.001"), (1.0, "1.000"), (math.nan, "-")],
)
def test_no_p_value_is_written_as_0(p, text):
    assert format_p(p) == text


def test_every_metric_of_a_family_has_its_sentence():
    assert [line.split(":")[0] for line in describe_metrics("sims")] == list(METRICS["sims"])


@pytest.mark.parametrize("family", ["mosi", "sims"])
@pytest.mark.parametrize("tasks", [("fusion", "text", "audio", "video"), ("fusion", "text")])
def test_an_epoch_stands_under_its_heading_in_80_columns(family, tasks):
    record = make_record(family, tasks)
    head, line = (
        format_epoch_heading(record).splitlines()[1],
        format_epoch(record, TrainConfig(), best=7),
    )
    assert max(len(head), len(line)) <= 80
    assert line.split()[0] == "7/100"
    for name, value in [*record.losses.items(), ("mae", VALID[family]["mae"])]:
        end = head.index(f" {name}") + 1 + len(name)
        assert line[:end].endswith(f" {value:.3f}")
    for name in [n for n in record.valid if n.startswith("acc2")]:
        end = head.index(f" {name}") + 1 + len(name)
        assert line[:end].endswith(f" {100 * record.valid[name]:.2f}")


def test_the_best_epoch_so_far_stands_in_every_line_and_is_marked_in_its_own():
    config = TrainConfig(epochs=40)
    assert format_epoch(make_record(is_best=True), config, best=7).endswith(" 7*")
    other = format_epoch(make_record(is_best=False), config, best=4)
    assert other.endswith("  4")
    assert "*" not in other
    assert other.startswith("7/40 ")


def test_an_undefined_metric_leaves_the_columns_in_place():
    record = make_record(valid={**VALID["mosi"], "corr": math.nan})
    line = format_epoch(record, TrainConfig(), best=7)
    assert line.split()[6] == "-"
    assert len(line) == len(format_epoch(make_record(), TrainConfig(), best=7))
