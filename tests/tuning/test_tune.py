"""Tuning: what it reads of a store, which trials it makes, and what it leaves."""

import csv
import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
from helpers import die, killed

from mien.data.store import open_store
from mien.errors import ConfigError, TrainingError
from mien.training.listening import RunListener
from mien.training.preparation import prepare
from mien.training.run_folder import SeedFolder
from mien.training.seeds.seed_training import train_seed
from mien.training.settings import read_config
from mien.training.trainer import Trainer
from mien.tuning.development import DevelopmentStore, make_views
from mien.tuning.space import SearchRange, SearchSpace
from mien.tuning.tune import tune
from mien.tuning.tune_settings import Budget
from mien.types import Clip

pytestmark = pytest.mark.drawn
SPLIT = {"train": 0, "valid": 1, "test": 2}


def poison(store, path):
    """Copy a store, and spoil all that there is of test: labels, texts, features."""
    shutil.copytree(store.path, path)
    lines, rows = [], []
    for row, line in enumerate((path / "clips.jsonl").read_text(encoding="utf-8").splitlines()):
        clip = json.loads(line)
        if clip["split"] == "test":
            rows.append(row)
            clip["labels"] = dict.fromkeys(clip["labels"], [float("nan"), 1e9][row % 2])
            clip["transcript"] = "poison " * 99
        lines.append(json.dumps(clip))
    (path / "clips.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in store.meta.series:
        series = store.series(name)
        values = np.array(series.values)
        for row in rows:
            values[series.offsets[row] : series.offsets[row + 1]] = np.nan
        np.save(path / name / "values.npy", values)
    return path


def lines_of(tuned):
    return (tuned.folder / "trials.csv").read_text(encoding="utf-8").splitlines()


@pytest.mark.usefixtures("unpictured")
def test_a_poisoned_test_split_gives_the_same_trials_and_so_does_a_second_start(
    tiny_store, model, tuned, budget, tmp_path
):
    """Byte for byte: nothing of test reaches a trial, and one process draws the same settings."""
    store = poison(tiny_store, tmp_path / "poisoned")
    assert np.isnan(open_store(store).series("text").values).any()
    few = dataclasses.replace(budget, trials=3)
    report = tune({"tiny": model}, store, tmp_path / "out", budget=few)
    (own,), (other,) = tuned.models, report.models
    assert lines_of(own)[:4] == lines_of(other)
    assert [e.course for e in own.records[:3]] == [e.course for e in other.records]


def test_a_trial_sees_no_clip_of_test(tiny_store):
    (view,) = make_views(tiny_store)
    tests = tiny_store.rows("test")
    assert len(tests)
    assert view.meta.num_clips == {**tiny_store.meta.num_clips, "test": 0}
    assert not len(view.rows("test"))
    for split in ("train", "valid"):
        assert view.rows(split).tolist() == tiny_store.rows(split).tolist()
        assert view[int(view.rows(split)[0])] == tiny_store[int(tiny_store.rows(split)[0])]
    for task in tiny_store.meta.labels:
        assert np.isnan(view.clips.labels(task)[tests]).all()
    assert {view.clips.transcripts[int(row)] for row in tests} == {""}
    for row in tests.tolist():
        assert view[row] == Clip(id="", split="test", transcript="", labels={})


def test_folds_share_out_train_and_valid_by_video_and_leave_test_out(tiny_store):
    views = make_views(tiny_store, 3)
    known = sorted([*tiny_store.rows("train"), *tiny_store.rows("valid")])
    assert sorted(row for view in views for row in view.rows("valid")) == known
    for view in views:
        valid, train = (view.clips.take(view.rows(split)).videos for split in ("valid", "train"))
        assert not set(valid) & set(train)
        assert sorted([*view.rows("valid"), *view.rows("train")]) == known
        assert view[int(view.rows("valid")[0])].split == "valid"


def test_a_view_takes_no_clip_of_test_back(tiny_store):
    everything = np.full(len(tiny_store), SPLIT["train"], dtype=np.uint8)
    view = DevelopmentStore(tiny_store, everything)
    assert set(view.rows("train")).isdisjoint(tiny_store.rows("test"))


def test_the_best_settings_are_a_file_that_training_takes(tuned, model):
    (own,) = tuned.models
    config, space = model
    best = read_config(own.folder / "best.toml")
    assert best == space.apply(config, own.best.settings)
    assert best.train.learning_rate.rest == best.train.learning_rate.audio
    assert own.best.value == min(each.value for each in own.finished) < own.given.value
    assert read_config(own.folder / "best.toml") == own.best_config


def test_every_trial_is_in_the_table_and_the_budget_is_kept(tuned, budget):
    (own,) = tuned.models
    rows = list(csv.DictReader(lines_of(own)))
    assert [row["trial"] for row in rows] == [str(number) for number in range(budget.trials)]
    assert all(each.epochs in (1, 2) and each.cpu_seconds > 0 for each in own.records)
    assert own.epochs <= budget.trials * 2
    assert own.count("pruned")
    assert own.count("pruned") + own.count("finished") == budget.trials
    for row in rows:
        if row["state"] == "finished":
            assert float(row["mae"]) == np.mean([float(row["seed 1"]), float(row["seed 2"])])
    assert {row["model.fusion_size"] for row in rows} <= {"", "4", "6", "8"}
    assert rows[0]["model.fusion_size"] == ""
    assert f"{budget.trials} trials of 2 seeds, each at most 1 epoch" in own.budget.describe(
        own.config
    )
    assert not list(own.folder.rglob("*.safetensors"))


def test_the_page_needs_no_other_file_and_states_the_budget(tuned):
    (own,) = tuned.models
    page = tuned.page.read_text(encoding="utf-8")
    assert "http:" not in page
    assert "https:" not in page
    assert not re.search(r"<(script|link|iframe)", page)
    assert set(re.findall(r' src="([^,]*),', page)) == {"data:image/svg+xml;base64"}
    for title in ("History", "Importances", "Parallel coordinates", "Setting by setting"):
        assert f'<img alt="{title}' in page
    assert own.budget.describe(own.config) in page
    assert own.describe_use() in page
    assert page.count("<tr>") + page.count('<tr class="best">') > len(own.records)


def test_values_are_those_of_a_training_with_the_settings_of_the_trial(tuned, tiny_store, tmp_path):
    (own,) = tuned.models
    config = own.best_config
    folder = SeedFolder(tmp_path / "seed-2")
    trainer = train_seed(folder, config, prepare(tiny_store, config), None, RunListener())
    assert own.best.values[1] == trainer.history[0].valid["mae"]


@pytest.mark.usefixtures("unpictured")
def test_a_tuning_that_was_killed_goes_on_as_if_it_had_not_been(
    tuned, tiny_store, model, budget, tmp_path, monkeypatch
):
    """Killed in the second seed of a trial: the seed that has ended is not trained again."""
    out, validate, trained = tmp_path / "out", Trainer.validate, []

    def note(trainer, epoch):
        trained.append(trainer.seed)
        if len(trained) == 4 and not out.with_name("killed").exists():
            out.with_name("killed").touch()
            die()
        return validate(trainer, epoch)

    monkeypatch.setattr(Trainer, "validate", note)
    few = dataclasses.replace(budget, trials=3)
    assert killed(lambda: tune({"tiny": model}, tiny_store.path, out, budget=few))
    assert not (out / "trials.csv").exists()
    (own,) = tune({"tiny": model}, tiny_store.path, out, budget=few).models
    assert trained == [2, 1, 2]
    assert lines_of(own) == lines_of(tuned.models[0])[:4]


def test_another_tuning_in_the_same_folder_is_refused(tuned, tiny_store, model, budget):
    out, store = tuned.page.parent, tiny_store.path
    other = dataclasses.replace(budget, seeds=(1,))
    with pytest.raises(ConfigError, match="was begun with another list of seeds"):
        tune({"tiny": model}, store, out, budget=other)
    with pytest.raises(TrainingError, match="is not the folder of a tuning"):
        tune({"tiny": model}, store, store, budget=budget)


@pytest.mark.usefixtures("unpictured")
def test_the_best_of_one_model_is_not_written_over_by_another(tiny_store, model, tmp_path):
    """``mien tune b --out X`` replaced best.toml and trials.csv of the tuning of a in X."""
    out, small = tmp_path / "out", Budget(trials=1, seeds=(1,))
    tune({"tiny": model}, tiny_store.path, out, budget=small)
    best = (out / "best.toml").read_bytes()
    for models, study in (({"other": model}, None), ({"tiny": model, "b": model}, None)):
        with pytest.raises(TrainingError, match=r"out: holds the tuning of tiny on tiny; give ano"):
            tune(models, tiny_store.path, out, budget=small, study=study)
    with pytest.raises(TrainingError, match="holds the tuning of tiny on tiny"):
        tune({"tiny": model}, tiny_store.path, out, budget=small, study="second")
    marker = json.loads((out / "tuning.json").read_text())
    earlier = {key: marker[key] for key in ("format", "place")}  # as earlier versions wrote it
    (out / "tuning.json").write_text(json.dumps(earlier))
    tune({"tiny": model}, tiny_store.path, out, budget=small)
    assert json.loads((out / "tuning.json").read_text()) == marker
    assert (out / "best.toml").read_bytes() == best


def test_a_budget_below_what_was_spent_is_refused(tuned, tiny_store, model, budget):
    """The page said that a model with 8 trials had the same budget, 3 trials, as the others."""
    few = dataclasses.replace(budget, trials=3)
    with pytest.raises(ConfigError, match=r"--trials is 3, but 8 trials of tiny have been begun"):
        tune({"tiny": model}, tiny_store.path, tuned.page.parent, budget=few)


@pytest.mark.usefixtures("unpictured")
def test_refused_settings_are_none_of_the_budget_and_are_not_tried_again(
    tiny_store, model, tmp_path
):
    config, out = model[0], tmp_path / "out"
    space = SearchSpace(
        (
            SearchRange(name="text_encoder.input", choices=("embeddings", "none")),
            SearchRange(name="train.loss.error", choices=("absolute", "squared")),
            SearchRange(name="model.fusion_size", choices=(4, 6)),
        )
    )
    budget = Budget(trials=4, seeds=(1,), sampler="random")
    (own,) = tune({"tiny": (config, space)}, tiny_store.path, out, budget=budget).models
    states = [each.state for each in own.records]
    assert own.count("finished") + own.count("pruned") == own.num_counted == 4
    assert own.count("refused") == len(states) - 4 > 0
    settings = [tuple(each.settings.values()) for each in own.records]
    assert len(set(settings)) == len(settings)
    assert f"and {own.count('refused')} that were refused" in own.describe_use()
    assert f"the best of 4 trials, trial {own.best.number}" in (out / "best.toml").read_text()
    more = dataclasses.replace(budget, trials=50)
    (own,) = tune({"tiny": (config, space)}, tiny_store.path, out, budget=more).models
    assert len(own.records) == 8 + (space.find(config) is None)
    assert "after which there were no others to try" in own.describe_use()
    assert [each.state for each in own.records][: len(states)] == states
