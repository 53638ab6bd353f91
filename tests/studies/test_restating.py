import copy
import json
import math
import shutil
from pathlib import Path

import pytest
import scipy.stats

from mien.errors import CheckpointError
from mien.evaluation.metrics import METRICS
from mien.studies.restating import restate_results
from mien.studies.study import rewrite_study
from mien.studies.tables import count_clips, difference_cell

STUDIES = Path(__file__).parents[2] / "docs" / "studies"
MAE, CORR = METRICS["mosi"]["mae"], METRICS["mosi"]["corr"]


def make_results(num_videos):
    """Results as an earlier version stored them, of two variants with three seeds each."""
    a, b = [0.30, 0.32, 0.31], [0.28, 0.27, 0.29]
    ends = {"low": -0.03, "high": -0.01, "p_value": 0.001}
    entries = {
        "a": {"mean": 0.31, "deviation": 0.01, "values": a, "low": 0.2, "high": 0.4, "less": {}},
        "b": {
            "mean": 0.28, "deviation": 0.01, "values": b, "low": 0.18, "high": 0.38,
            "less": {"a": {"difference": -0.03, **ends}},
        },
    }  # fmt: skip
    part = {"num_clips": 60, "num_clusters": num_videos, "metrics": {"mae": entries}}
    corpus = {
        "family": "mosi",
        "variants": {"a": {}, "b": {}},
        "scores": {"test": {"fusion": part}},
    }
    return {"corpora": {"x": corpus}}


def entries_of(results):
    return results["corpora"]["x"]["scores"]["test"]["fusion"]["metrics"]["mae"]


def test_a_stored_difference_gets_the_error_of_the_seeds():
    before = make_results(40)
    after = restate_results(before)
    found = entries_of(after)["b"]["less"]["a"]
    units = 0.02 / (2 * 1.959964) * math.sqrt(40 / 39)
    seeds = math.sqrt(2 * 0.01**2 / 3)
    assert found["error_units"] == pytest.approx(units)
    assert found["error_seeds"] == pytest.approx(seeds)
    total = units**2 + seeds**2
    degrees = total**2 / (units**4 / 39 + 2 * (0.01**2 / 3) ** 2 / 2)
    width = scipy.stats.t.ppf(0.975, degrees) * math.sqrt(total)
    assert (found["low"], found["high"]) == pytest.approx((-0.03 - width, -0.03 + width))
    assert found["covers_seeds"]
    assert after["is_restated"]
    assert entries_of(after)["b"]["low"] == 0.18  # over many videos it stays
    assert "covers_seeds" not in entries_of(before)["b"]["less"]["a"]


def test_an_interval_over_three_videos_becomes_a_t_interval():
    found = entries_of(restate_results(make_results(3)))["b"]
    width = 0.2 / (2 * 1.959964) * math.sqrt(3 / 2) * scipy.stats.t.ppf(0.975, 2)
    assert found["low"] == pytest.approx(max(0, 0.28 - width))
    assert found["high"] == pytest.approx(0.28 + width)


def test_present_results_stay_as_they_are():
    once = restate_results(make_results(3))
    assert restate_results(copy.deepcopy(once)) == once


def test_a_source_without_a_training_is_told_by_its_name():
    results = make_results(40)
    del results["corpora"]["x"]["variants"]["a"]
    found = entries_of(restate_results(results))["b"]["less"]["a"]
    assert found["error_seeds"] == pytest.approx(0.01 / math.sqrt(3))


@pytest.mark.parametrize("folder", sorted(STUDIES.glob("*/")), ids=lambda one: one.name)
def test_the_pages_of_studies_rest_on_present_intervals(folder):
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert restate_results(results) == results
    page = (folder / "index.md").read_text(encoding="utf-8")
    assert "cover both the videos, which are paired, and the seeds" in page


def test_a_page_is_written_again_from_its_results(tmp_path, capsys):
    from mien.cli import main

    folder = STUDIES / "fusion-ravdess"
    shutil.copy(folder / "results.json", tmp_path)
    assert main(["study", "--rewrite", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "index.md")
    assert (tmp_path / "index.md").read_text() == (folder / "index.md").read_text()
    assert (tmp_path / "results.json").read_text() == (folder / "results.json").read_text()
    assert (tmp_path / "ravdess-scores.png").is_file()


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"results\.json: is not there"):
        rewrite_study(tmp_path)
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(CheckpointError, match="does not hold the results of a study; give the fol"):
        rewrite_study(tmp_path)


def make_entry(low, high, *, covers_seeds=True):
    found = {"difference": (low + high) / 2, "low": low, "high": high, "covers_seeds": covers_seeds}
    return {"less": {"a": found}}


def test_a_difference_is_marked_as_better_or_worse_only_where_it_is_clear():
    assert difference_cell(make_entry(-0.3, -0.1), "a", MAE) == "**-0.200 better** [-0.300, -0.100]"
    assert difference_cell(make_entry(-0.3, -0.1), "a", CORR) == "**-0.200 worse** [-0.300, -0.100]"
    assert difference_cell(make_entry(-0.3, 0.1), "a", MAE) == "-0.100 [-0.300, 0.100]"
    weights = make_entry(-0.3, -0.1, covers_seeds=False)
    assert difference_cell(weights, "a", MAE) == "-0.200 [-0.300, -0.100] (weights)"
    single = {"less": {"a": {"difference": 0.1, "low": None, "high": None, "covers_seeds": True}}}
    assert difference_cell(single, "a", MAE) == "+0.100"


def test_a_part_says_on_how_many_videos_it_rests():
    few = {"num_clips": 180, "num_clusters": 3}
    assert count_clips(few, "test") == (
        "180 clips of test in 3 videos (few: t intervals with 2 degrees of freedom)"
    )
    assert count_clips({"num_clips": 80, "num_clusters": 80}, "test") == "80 clips of test"
    assert count_clips({"num_clips": 90, "num_clusters": 31}, "valid").endswith("videos")
