import math

import numpy as np
import pytest
from fake_runs import write_run
from hypothesis import given
from hypothesis import strategies as st

from mien.cli.progress import format_epoch, format_epoch_heading
from mien.evaluation.metrics import METRICS
from mien.reports.comparison import compare_runs
from mien.reports.run_text import format_comparison, format_run
from mien.reports.text import (
    describe_metrics,
    format_interval,
    format_table,
    format_value,
    label_metric,
    markdown_table,
)
from mien.training.settings import TrainConfig
from mien.training.trainer import EpochRecord
from mien.types import Modality, Scale

VALID = {
    "mosi": {"mae": 0.7124, "corr": 0.7811, "acc2_has0": 0.834, "acc2_non0": 0.8519, "acc7": 0.4},
    "sims": {"mae": 0.4124, "corr": -0.5811, "acc2": 0.774, "acc3": 0.6, "f1": 0.77},
}


def make_record(family="mosi", tasks=("fusion", "text", "audio", "video"), **changes):
    values = {
        "epoch": 7,
        "losses": {task: 0.5 + place / 10 for place, task in enumerate(tasks)},
        "valid": VALID[family],
        "clipped": 0.0,
        "is_best": True,
        "seconds": 1.0,
    }
    return EpochRecord(**{**values, **changes})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {
        "planted": write_run(folder / "planted", clips_per_video=5),
        "worse": write_run(folder / "worse", clips_per_video=5, error=1.5, seeds=(1, 2, 3)),
        "sims": write_run(
            folder / "sims", corpus="sims", is_synthetic=False, scale=Scale(-1, 1), seeds=(1111,)
        ),
    }


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


@pytest.mark.parametrize("name", ["planted", "worse", "sims"])
def test_what_a_run_gave_fits_80_columns(runs, name):
    assert max(map(len, format_run(runs[name].metrics()).splitlines())) <= 80


def test_the_table_of_a_run_holds_the_numbers_of_its_metrics(runs):
    metrics = runs["planted"].metrics()
    one = metrics["splits"]["test"]["fusion"]["acc2_non0"]
    line = next(x for x in format_run(metrics).splitlines() if x.startswith("acc2_non0 %"))
    wanted = [one["mean"], one["deviation"], *(one[k] for k in ("low", "high", "low_videos"))]
    numbers = line.replace("[", " ").replace("]", " ").replace(",", " ").split()[2:]
    assert numbers[:5] == [f"{100 * value:.2f}" for value in wanted]


@pytest.mark.parametrize("name", ["planted", "sims"])
def test_every_reading_of_two_class_accuracy_is_named_with_what_becomes_of_zeros(runs, name):
    text = " ".join(format_run(runs[name].metrics()).split())
    family = runs[name].metrics()["family"]
    readings = [one for one in METRICS[family] if one.startswith("acc2")]
    assert readings == (["acc2"] if name == "sims" else ["acc2_has0", "acc2_non0"])
    for reading in readings:
        assert f"{reading}: {METRICS[family][reading].description}" in text
        assert f"{reading} %" in text


def test_synthetic_is_said_beside_every_table_of_a_synthetic_corpus(runs):
    text = format_run(runs["planted"].metrics())
    assert text.count("synthetic corpus") == 1 + text.count("----\n")
    assert "synthetic" not in format_run(runs["sims"].metrics())


def test_a_single_seed_has_no_deviation(runs):
    text = format_run(runs["sims"].metrics())
    line = next(x for x in text.splitlines() if x.startswith("mae "))
    assert line.split()[2] == "-"
    assert "1 seed (1111)" in text


def test_a_table_without_videos_has_no_interval_over_videos(runs):
    assert "interval, videos" not in format_run(runs["sims"].metrics())
    assert "interval, videos" in format_run(runs["planted"].metrics())


def test_every_metric_of_a_family_has_its_sentence():
    assert [line.split(":")[0] for line in describe_metrics("sims")] == list(METRICS["sims"])


@pytest.mark.parametrize("family", ["mosi", "sims"])
@pytest.mark.parametrize("tasks", [("fusion", "text", "audio", "video"), ("fusion", "text")])
def test_an_epoch_stands_under_its_heading_in_80_columns(family, tasks):
    record = make_record(family, tasks)
    head, line = format_epoch_heading(record).splitlines()[1], format_epoch(record, TrainConfig())
    assert max(len(head), len(line)) <= 80
    assert line.split()[0] == "7/100"
    for name, value in [*record.losses.items(), ("mae", VALID[family]["mae"])]:
        end = head.index(f" {name}") + 1 + len(name)
        assert line[:end].endswith(f" {value:.3f}")
    for name in [n for n in record.valid if n.startswith("acc2")]:
        end = head.index(f" {name}") + 1 + len(name)
        assert line[:end].endswith(f" {100 * record.valid[name]:.2f}")


def test_the_best_epoch_is_marked_and_others_are_not():
    config = TrainConfig(epochs=40)
    assert format_epoch(make_record(is_best=True), config).endswith(" *")
    assert "*" not in format_epoch(make_record(is_best=False), config)
    assert format_epoch(make_record(is_best=False), config).startswith("7/40 ")


def test_an_undefined_metric_leaves_the_columns_in_place():
    record = make_record(valid={**VALID["mosi"], "corr": math.nan})
    line = format_epoch(record, TrainConfig())
    assert line.split()[6] == "-"
    assert len(line) == len(format_epoch(make_record(), TrainConfig()))


def test_a_comparison_fits_80_columns_and_names_every_run(runs):
    text = format_comparison(compare_runs([runs["planted"], runs["worse"], runs["planted"]]))
    lines = text.splitlines()
    assert max(len(line) for line in lines if str(runs["planted"].path) not in line) <= 80
    assert "B: " in text
    assert "3 seeds" in text
    assert "test of planted (synthetic corpus): 40 clips" in text
    assert "over 8 videos" in " ".join(text.split())


def test_a_comparison_shows_the_difference_and_its_corrected_p_value(runs):
    comparison = compare_runs([runs["planted"], runs["worse"]])
    line = next(
        x for x in format_comparison(comparison).splitlines() if x.startswith("mae") and " B " in x
    )
    run = comparison.metrics["mae"][1]
    assert run.to_first is not None
    assert f"{run.to_first.difference:.3f}" in line
    assert line.split()[-1] == f"{run.p_corrected:.3f}"
    assert run.to_first.difference > 0.3
    assert "lower is better for mae, higher for the others" in " ".join(
        format_comparison(comparison).split()
    )


def test_a_comparison_over_few_videos_warns_and_one_over_many_clips_does_not(runs):
    def note(name):
        return " ".join(format_comparison(compare_runs([runs[name]] * 2)).split())

    assert "paired over 8 videos (few) and over the seeds" in note("planted")
    assert "(few)" not in note("sims")


def test_one_seed_on_a_side_is_said_to_compare_weights(runs, tmp_path):
    single = write_run(tmp_path / "single", seeds=(1,), clips_per_video=5)
    text = " ".join(format_comparison(compare_runs([single, single])).split())
    assert ": a comparison of these weights, not of the methods, which takes several" in text
    mixed = compare_runs([runs["planted"], single, runs["worse"]])
    text = " ".join(format_comparison(mixed).split())
    assert "with one seed on a side they compare these weights, not the methods" in text


def test_the_table_of_a_run_says_on_how_many_clips_and_videos_it_rests(runs):
    text = " ".join(format_run(runs["planted"].metrics()).split())
    assert "multimodal task, 40 clips, 8 videos (few: t intervals with 7 degrees" in text


def test_the_fake_run_is_not_better_than_it_claims(runs):
    """Guards the fixture: scores are off by what ``error`` says, so tables can show something."""
    assert np.isclose(
        runs["worse"].metrics()["splits"]["test"]["fusion"]["mae"]["mean"], 1.2, atol=0.25
    )
    assert set(runs["planted"].metrics()["labels"]) == {str(m) for m in Modality}
