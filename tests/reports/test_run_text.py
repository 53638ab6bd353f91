import json

import numpy as np
import pytest
from fake_runs import EMOTION, write_run

from mien.evaluation.metrics import METRICS
from mien.reports.comparison import compare_runs
from mien.reports.run_text import format_comparison, format_rounding, format_run
from mien.reports.text import format_p
from mien.training.run_folder import open_run
from mien.types import Modality, Scale


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


@pytest.mark.parametrize("name", ["planted", "worse", "sims"])
def test_what_a_run_gave_fits_80_columns(runs, name):
    assert max(map(len, format_run(runs[name].metrics()).splitlines())) <= 80


def test_the_table_of_a_run_holds_the_numbers_of_its_metrics(runs):
    metrics = runs["planted"].metrics()
    acc2 = metrics["splits"]["test"]["fusion"]["acc2_non0"]
    line = next(x for x in format_run(metrics).splitlines() if x.startswith("acc2_non0 %"))
    keys = ("mean", "deviation", "ensemble", "low", "high", "low_videos")
    wanted = [acc2[key] for key in keys]
    numbers = line.replace("[", " ").replace("]", " ").replace(",", " ").split()[2:]
    assert numbers[:6] == [f"{100 * value:.2f}" for value in wanted]


@pytest.mark.parametrize("name", ["planted", "sims"])
def test_every_reading_of_two_class_accuracy_is_named_with_what_becomes_of_zeros(runs, name):
    text = " ".join(format_run(runs[name].metrics()).split())
    family = runs[name].metrics()["family"]
    readings = [name for name in METRICS[family] if name.startswith("acc2")]
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
    assert "ensemble" not in text


def test_a_table_without_videos_has_no_interval_over_videos(runs):
    assert "interval, videos" not in format_run(runs["sims"].metrics())
    assert "interval, videos" in format_run(runs["planted"].metrics())


def test_a_comparison_says_which_run_reads_clips_against_their_speakers(tmp_path):
    """Such numbers know more of a clip than those of a run beside them."""
    alone, against = (write_run(tmp_path / name) for name in ("alone", "against"))
    metrics = json.loads((against.path / "metrics.json").read_text(encoding="utf-8"))
    (against.path / "metrics.json").write_text(json.dumps({**metrics, "baseline": "speaker"}))
    comparison = compare_runs([alone, open_run(against.path)])
    lines = format_comparison(comparison).splitlines()
    below = lines[lines.index("B: against (2 seeds)") + 1]
    assert below.strip() == "every clip is read against the other clips of its speaker"
    assert sum("of its speaker" in line for line in lines) == 1
    assert "against reads every clip against the other clips" in comparison.to_markdown()
    assert [run["baseline"] for run in comparison.to_dict()["runs"]] == [None, "speaker"]


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
    assert line.split()[-1] == format_p(run.p_corrected)
    assert run.to_first.difference > 0.3
    assert "lower is better for mae, higher for the others" in " ".join(
        format_comparison(comparison).split()
    )


def test_a_comparison_over_few_videos_warns_and_one_over_many_clips_does_not(runs):
    def note(name):
        return " ".join(format_comparison(compare_runs([runs[name]] * 2)).split())

    assert "paired over 8 videos (few) and over the seeds" in note("planted")
    assert "(few)" not in note("sims")


def test_a_comparison_says_once_how_it_compares_and_how_each_metric_counts(runs, tmp_path):
    both = write_run(tmp_path / "both", target=EMOTION)
    only = write_run(tmp_path / "only", target=EMOTION, unlabelled=("test",))
    for run in (runs["planted"], both, only):
        comparison = compare_runs([run] * 2)
        text = " ".join(format_comparison(comparison).split())
        assert text.count("deviation: standard deviation over the seeds") == 1
        assert text.count("mae: mean absolute error") == comparison.has_sentiment
        assert text.count("uar: unweighted average recall") == len(comparison.targets)
        assert text.index("p value by Student's t") > text.rindex(" B ")


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


def test_what_8_bits_cost_is_the_difference_of_every_metric(runs):
    before, after = (runs[name].metrics() for name in ("planted", "worse"))
    lines = format_rounding(before, after).splitlines()
    assert lines[0].split() == ["multimodal", "task", "32", "bits", "8", "bits", "difference"]
    names = [line.split()[0] for line in lines[2:]]
    splits = len(before["splits"])
    assert names == list(METRICS[before["family"]]) * splits
    line = next(line for line in lines if line.startswith("acc2_non0"))
    split = next(iter(before["splits"]))
    exact, rounded = (m["splits"][split]["fusion"]["acc2_non0"]["mean"] for m in (before, after))
    numbers = [f"{100 * value:.2f}" for value in (exact, rounded, rounded - exact)]
    assert line.split()[2:] == numbers
