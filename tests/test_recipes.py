"""The recipes that write pages: what they keep, and what they refuse."""

import csv
import importlib.util
import json
import math
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_runs import write_run

from mien.errors import ConfigError
from mien.evaluation.predictions import Predictions, TargetPredictions
from mien.evaluation.significance import SeedSummary
from mien.training.run_folder import open_run
from mien.training.settings import read_config
from mien.types import Target, TargetKind, Task

SPLITS = ("train", "test")
RECIPES = Path(__file__).parents[1] / "recipes"

PLAN = """
introduction = "Both numbers are made up."

[[section]]
title = "First"
text = "One run."
commands = "mien train first"
runs = [{ name = "TAM-ULAG", run = "first" }]

[[section]]
title = "Second"
text = "A table of another recipe."
commands = "python recipes/clips.py"
tables = ["clips.md"]
"""


def load(name):
    spec = importlib.util.spec_from_file_location(f"recipe_{name}", RECIPES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "results.toml"
    path.write_text(PLAN)
    write_run(tmp_path / "runs" / "first")
    (tmp_path / "runs" / "clips.md").write_text("| speed |\n| ---: |\n| 2.0 |\n")
    return path


def write(plan, *only, runs="runs"):
    out = plan.with_name("results.md")
    load("results").write_results(plan, plan.with_name(runs), out, only)
    return out.read_text()


def test_a_table_of_another_recipe_stands_in_its_section(plan):
    page = write(plan)
    assert "| speed |\n| ---: |\n| 2.0 |" in page.partition("## Second")[2]


def test_a_section_may_show_a_target_in_the_place_of_sentiment(plan):
    path = plan.parent / "runs" / "first" / "metrics.json"
    metrics = json.loads(path.read_text())
    half = {"mean": 0.5, "deviation": None, "values": [0.5], "low": 0.4, "high": 0.6}
    names = ("accuracy", "uar", "f1_weighted", "f1_macro", "log_loss")
    recalls = {"calm": {"recall": {"mean": 0.25}}, "glad": {"recall": {"mean": None}}}
    metrics["targets"] = {
        "described": [{"name": "mood", "kind": "class", "classes": [*recalls], "scale": None}],
        "splits": {"test": {"mood": {"fusion": dict.fromkeys(names, half)}}},
        "classes": {"test": {"mood": recalls}},
    }
    path.write_text(json.dumps(metrics))
    plan.write_text(PLAN.replace("runs = [", 'target = "mood"\nruns = ['))
    page = write(plan).partition("## Second")[0]
    assert "| TAM-ULAG (synthetic) | 2 | 50.00 | 50.00 | 50.00 | 50.00 | 0.500 |" in page
    assert "| [40.00, 60.00] | [40.00, 60.00] |" in page
    assert "|  | calm | glad |\n| :--- | ---: | ---: |\n| TAM-ULAG | 25 |  |" in page
    assert "acc2" not in page


def test_one_section_is_written_without_the_runs_of_the_others(plan):
    before = write(plan)
    (plan.parent / "new").mkdir()
    (plan.parent / "new" / "clips.md").write_text("| speed |\n| ---: |\n| 3.0 |\n")
    assert write(plan, "Second", runs="new") == before.replace("| 2.0 |", "| 3.0 |")


def test_a_new_section_comes_where_the_plan_has_it(plan):
    plan.write_text(PLAN.replace("Second", "Third"))
    before = write(plan)
    section = '[[section]]\ntitle = "{}"'
    new = section.format("Second") + '\ntext = "New."\ncommands = "true"\n\n'
    third = section.format("Third")
    plan.write_text(plan.read_text().replace(third, new + third))
    page = write(plan, "Second", runs="none")
    assert page == before.replace("## Third", "## Second\n\nNew.\n\n```sh\ntrue\n```\n\n## Third")


def test_a_section_that_was_never_written_cannot_be_kept(plan):
    write(plan)
    plan.write_text(PLAN.replace("First", "Anew"))
    with pytest.raises(ValueError, match="has no section 'Anew' yet; write it too"):
        write(plan, "Second")


def test_a_section_that_is_not_planned_is_refused_with_those_that_are(plan):
    with pytest.raises(ValueError, match="has no section 'Thrid'; it has: First, Second"):
        write(plan, "Thrid")


def test_the_share_of_an_annotation_that_comes_back_is_a_slope():
    """By hand: slope 5 / 5, residuals 0, 0, 1, and a clip that lacks the modality."""
    noise = torch.tensor([1.0, 2.0, 0.0, 9.0])
    change = torch.tensor([1.0, 2.0, 1.0, torch.nan])
    assert load("evidence").fit_slope(noise, change) == "1.000 ± 0.258"  # sqrt(1 / 3) / sqrt(5)


def test_a_photograph_of_two_splits_is_left_out_of_the_earlier():
    shapes = np.array([[1], [2], [3], [1], [2], [2]], dtype=np.float32)
    splits = [0, 0, 0, 2, 1, 2]
    twins = load("ferplus").find_twins(shapes, splits)
    assert twins.tolist() == [True, True, False, False, True, False]


def test_photographs_are_told_by_how_near_train_has_them(monkeypatch):
    """By hand, of one feature whose log odds have mean 0 and deviation 1 in train, -1, 0 and 1.

    Of what is asked about, the first is the second of train; the second is 2.6 from the third, of
    whose votes those of the first are 1 / e^4 and the second 1 / e^2; the last is at 5.
    """
    monkeypatch.syspath_prepend(str(RECIPES))
    copies = load("ferplus_copies")
    odds = torch.tensor([-1, 0, 1, 0, 3.6, 9])
    photographs = copies.Photographs(
        videos=list("abcdef"),
        splits=np.array(["train"] * 3 + ["valid"] * 3),
        shapes=odds.sigmoid().unsqueeze(1).numpy(),
        names=np.array(["jawOpen"]),
        votes=np.eye(8, dtype=np.int64)[[1, 5, 1, 5, 5, 1]] * 10,  # happy or disgust
        poses=np.array([[0, 0, 0], [0, 0, 0], [0, 0, 0], [2, -2, 1], [0, 0, 3], [0, 4, 0]]),
    )
    emotion = Target(name="emotion", kind=TargetKind.CLASS, classes=("disgusted", "happy"))
    told = TargetPredictions(
        target=emotion,
        values={Task.FUSION: np.array([[0.4, 0.6], [0.9, 0.1], [0.9, 0.1]])},
        truths={Task.FUSION: np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])},
    )
    predictions = Predictions(
        ids=("d$_$1", "e$_$1", "f$_$1"), scores={}, targets={}, present={}, values={"emotion": told}
    )
    assert copies.measure_copies(photographs, predictions).splitlines()[2:] == [
        "| 0 to 1.5 | 1 | 100.0 | 0.00 | 100.00 | 100.00 |",
        "| 2.5 to 3 | 1 | 0.0 | 100.00 | 0.00 | 100.00 |",
        "| from 3 | 1 | 0.0 | 0.00 | 100.00 | 0.00 |",
        "| any | 3 | 33.3 | 33.33 | 66.67 | 66.67 |",
        "| two at random |  | 33.3 |  |  |  |",
    ]
    near = copies.find_neighbours(photographs.shapes[:3], np.eye(3), photographs.shapes[3:])
    near_shares = np.exp([-4, -2, 0]) / np.exp([-4, -2, 0]).sum()
    np.testing.assert_allclose(near.shares[1:], [near_shares] * 2, rtol=1e-5)
    np.testing.assert_allclose(near.distances, [0, 2.6, 4], atol=1e-5)
    with pytest.raises(ValueError, match="is none of the photographs; make store"):
        copies.measure_copies(copies.Photographs(list("abcxyz"), *photographs[1:]), predictions)


def test_every_recipe_finds_what_it_imports(monkeypatch):
    """Nothing else imports them: a module that moved away was missed by nobody."""
    recipes = sorted(RECIPES.rglob("*.py"))
    assert recipes
    before = set(sys.modules)
    for path in recipes:
        monkeypatch.syspath_prepend(path.parent)
        runpy.run_path(str(path), run_name="recipe")
        for name in set(sys.modules) - before:  # other recipes have modules of the same names
            if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(RECIPES):
                del sys.modules[name]
        sys.path.remove(str(path.parent))


def test_every_model_is_trained_with_the_same_budget_and_ranked(tiny_store, tmp_path):
    zoo, runs = load("zoo"), tmp_path / "runs"
    budget = zoo.Budget([1, 2], 1, 1, ("text_encoder.input=embeddings", "train.device=cpu"))
    models = ("ridge", "lf_dnn")
    zoo.write_tables(runs, tmp_path / "zoo.md", [tiny_store], models, budget)
    page = (tmp_path / "zoo.md").read_text(encoding="utf-8")
    made = {path.name: path for path in runs.iterdir()}
    assert set(made) == {"tiny-ridge", "tiny-lf_dnn"}
    assert "at most 1 epochs, patience 1" in page
    train, test = (tiny_store.clips.labels(Task.FUSION)[tiny_store.rows(s)] for s in SPLITS)
    constant = float(np.abs(test - np.median(train)).mean())
    assert f"the median of train, said of every clip, has a mae of {constant:.3f}:" in page
    rows = [line for line in page.splitlines() if line.startswith(("| ridge", "| lf_dnn"))]
    assert sorted(row.split("|")[-4].strip() for row in rows) == ["1", "2"]
    assert rows[0].split("|")[-5].strip() == ""  # what all are compared with
    assert 0 <= float(rows[1].split("|")[-5]) <= 1
    assert rows[0].split("|")[-3].strip() == "16"  # 15 means of features and a constant
    before = (made["tiny-ridge"] / "metrics.json").stat().st_mtime_ns
    zoo.write_tables(runs, tmp_path / "zoo.md", [tiny_store], models, budget)
    assert (made["tiny-ridge"] / "metrics.json").stat().st_mtime_ns == before


def test_settings_of_the_bench_are_tuned_with_the_same_number_of_trials(
    tiny_store, tmp_path, caplog
):
    zoo, runs = load("zoo"), tmp_path / "runs"
    overrides = ("text_encoder.input=embeddings", "train.device=cpu")
    budget = zoo.Budget([1], 1, 1, overrides, trials=2)
    zoo.write_tables(runs, tmp_path / "zoo.md", [tiny_store], ("lf_dnn", "lmf"), budget)
    with (runs / "tiny-lf_dnn-tuning" / "trials.csv").open(newline="") as file:
        as_given, drawn = csv.DictReader(file)
    assert as_given["model.fusion_size"] == ""
    is_better = float(drawn["mae"]) < float(as_given["mae"])
    expected = drawn["model.fusion_size"] if is_better else read_config("lf_dnn").model.fusion_size
    config = read_config(runs / "tiny-lf_dnn" / "config.toml")
    assert config.model.fusion_size == int(expected)
    page = (tmp_path / "zoo.md").read_text(encoding="utf-8")
    assert "the best of 2 settings on validation (one seed each)" in page
    _, changed = (line for line in page.splitlines() if line.startswith("| lf_dnn |"))
    assert (f"model.fusion_size {expected}" in changed) == is_better
    other = zoo.Budget([1], 1, 1, (*overrides, "train.ema_decay=0.5"), trials=2)
    zoo.train_models(runs, tiny_store, ["lf_dnn"], other)
    assert "lf_dnn was trained with train.ema_decay 0, which is otherwise now" in caplog.text
    caplog.clear()
    run, silent = open_run(runs / "tiny-lf_dnn"), "text_encoder.input=none"
    for summary in ("cls", "mean"):  # no text is read, or all of its states
        for options in ([silent], []):
            given = [*options, f"text_encoder.summary={summary}"]
            zoo.warn_of_others(run, read_config(run.path / "config.toml", given))
    assert caplog.text == ""
    shutil.rmtree(runs / "tiny-lf_dnn")
    with pytest.raises(ConfigError, match="begun with another set of settings"):
        zoo.train_models(runs, tiny_store, ["lf_dnn"], other)


def test_a_model_that_has_no_use_for_a_store_is_left_out_of_the_bench(tiny_store, tmp_path, caplog):
    zoo = load("zoo")
    budget = zoo.Budget([1], 1, 1, ("text_encoder.input=none",), trials=2)
    assert zoo.train_models(tmp_path, tiny_store, ["bert_mag"], budget) == {}
    assert "bert_mag on " in caplog.text
    assert "is left out: setting model.name is 'bert_mag', a model that is led by" in caplog.text


def over_seeds(mean, deviation):
    return SeedSummary(mean=mean, deviation=deviation, num_seeds=5)


def test_the_overview_has_ranks_on_each_corpus_and_among_the_models_of_all():
    zoo = load("zoo")
    first = zoo.Measured(
        "CMU-MOSI",
        {
            "ridge": over_seeds(0.9, 0.0),
            "tfn": over_seeds(0.5, 0.01),
            "almt": over_seeds(0.7, 0.02),
        },
        {"ridge": 1.0, "tfn": 0.04, "almt": 0.06},
    )
    second = zoo.Measured(
        "MMMO",
        {"ridge": over_seeds(1.1, math.nan), "tfn": over_seeds(1.2, math.nan)},
        {"ridge": 1.0, "tfn": 1.0},
    )
    lines = zoo.overview([first, second], zoo.MODELS).splitlines()
    assert "among the 2 models that can be trained on every corpus" in lines[0]
    assert lines[2] == "|  | CMU-MOSI, 3 models | MMMO, 2 models | mean rank |"
    assert lines[4:] == [
        "| ridge | 0.900 ± 0.000 (3) | 1.100 (1) | 1.5 |",
        "| tfn | 0.500 ± 0.010 (1) \\* | 1.200 (2) | 1.5 |",
        "| almt | 0.700 ± 0.020 (2) |  |  |",
    ]


def test_settings_of_the_bench_are_those_of_the_corpus_where_there_are_some():
    zoo = load("zoo")
    budget = zoo.Budget([1], 3, 2)
    assert zoo.choose_settings("tfn", "mosei", budget).train.batch_size == 128
    for model in zoo.MODELS:
        config = zoo.choose_settings(model, "elsewhere", budget)
        assert (config.corpus, config.text_encoder.mode) == ("elsewhere", "frozen")
        assert config.text_encoder.summary == "mean"
        assert config.train.epochs == (1 if model in ("ridge", "trees") else 3)


def test_clips_of_mosei_are_shared_out_by_video():
    recipe = load("mosei")
    rows = [
        {"video_id": f"v{row // 4}", "clip_id": str(row), "mode": "train"} for row in range(200)
    ]
    rows += [{"video_id": "w", "clip_id": "1", "mode": "valid"}]
    shared = recipe.share_out(rows)
    modes = {}
    for row in shared:
        modes.setdefault(row["video_id"], set()).add(row["mode"])
    assert modes["w"] == {"test"}
    assert sorted(mode for (mode,) in modes.values()) == ["test", *["train"] * 45, *["valid"] * 5]
    assert [row["clip_id"] for row in shared] == [row["clip_id"] for row in rows]
    with pytest.raises(SystemExit, match="import it as it is"):
        recipe.share_out([{"video_id": "v", "clip_id": "1", "mode": "test"}])
