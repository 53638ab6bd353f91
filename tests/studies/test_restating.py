import copy
import json
import math
import shutil
from pathlib import Path

import pytest
import scipy.stats

from mien.errors import CheckpointError
from mien.studies.results.restating import restate_results
from mien.studies.results.results_file import read_results, write_results
from mien.studies.study import rewrite_study

STUDIES = Path(__file__).parents[2] / "docs" / "studies"


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
    less = entries_of(after)["b"]["less"]["a"]
    units = 0.02 / (2 * 1.959964) * math.sqrt(40 / 39)
    seeds = math.sqrt(2 * 0.01**2 / 3)
    assert less["error_units"] == pytest.approx(units)
    assert less["error_seeds"] == pytest.approx(seeds)
    total = units**2 + seeds**2
    degrees = total**2 / (units**4 / 39 + 2 * (0.01**2 / 3) ** 2 / 2)
    width = scipy.stats.t.ppf(0.975, degrees) * math.sqrt(total)
    assert (less["low"], less["high"]) == pytest.approx((-0.03 - width, -0.03 + width))
    assert less["covers_seeds"]
    assert after["is_restated"]
    assert entries_of(after)["b"]["low"] == 0.18  # over many videos it stays
    assert "covers_seeds" not in entries_of(before)["b"]["less"]["a"]


def test_an_interval_over_three_videos_becomes_a_t_interval():
    entry = entries_of(restate_results(make_results(3)))["b"]
    width = 0.2 / (2 * 1.959964) * math.sqrt(3 / 2) * scipy.stats.t.ppf(0.975, 2)
    assert entry["low"] == pytest.approx(max(0, 0.28 - width))
    assert entry["high"] == pytest.approx(0.28 + width)


def test_present_results_stay_as_they_are():
    once = restate_results(make_results(3))
    assert restate_results(copy.deepcopy(once)) == once


def test_a_source_without_a_training_is_known_by_its_name():
    results = make_results(40)
    del results["corpora"]["x"]["variants"]["a"]
    less = entries_of(restate_results(results))["b"]["less"]["a"]
    assert less["error_seeds"] == pytest.approx(0.01 / math.sqrt(3))


@pytest.mark.parametrize("folder", sorted(STUDIES.glob("*/")), ids=lambda folder: folder.name)
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


def test_results_with_a_key_that_is_not_known_are_refused(tmp_path):
    results = json.loads((STUDIES / "fusion-ravdess" / "results.json").read_text(encoding="utf-8"))
    results["corpora"]["ravdess"]["variants"]["concat"]["colour"] = "red"
    (tmp_path / "results.json").write_text(json.dumps(results))
    with pytest.raises(CheckpointError, match=r"corpora\.ravdess\.variants\.concat\.colour: "):
        rewrite_study(tmp_path)


@pytest.mark.parametrize("folder", sorted(STUDIES.glob("*/")), ids=lambda folder: folder.name)
def test_results_that_are_read_are_written_as_they_were(folder, tmp_path):
    write_results(read_results(folder), tmp_path)
    assert (tmp_path / "results.json").read_bytes() == (folder / "results.json").read_bytes()
