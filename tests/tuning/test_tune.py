"""Tuning: what it reads of a store, which trials it makes, and what it leaves."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
from helpers import die, killed

from mien.data.store import open_store
from mien.errors import ConfigError, TrainingError
from mien.training.settings import read_config
from mien.tuning.development import DevelopmentStore, make_views
from mien.tuning.tune import tune
from mien.tuning.tune_settings import Budget
from mien.types import Clip

SPLIT = {"train": 0, "valid": 1, "test": 2}
BUDGET = Budget(trials=11, seeds=(1, 2))


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


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_poisoned_test_split_gives_the_same_trials_and_so_does_a_second_start(
    tiny_store, model, tuned, tmp_path
):
    """Byte for byte: nothing of test reaches a trial, and one process draws the same settings."""
    store = poison(tiny_store, tmp_path / "poisoned")
    assert np.isnan(open_store(store).series("audio").values).any()
    report = tune({"tiny": model}, store, tmp_path / "out", budget=BUDGET)
    (own,), (other,) = tuned.models, report.models
    for name in ("trials.csv", "best.toml"):
        assert (own.folder / name).read_bytes() == (other.folder / name).read_bytes()
    assert [each.course for each in own.records] == [each.course for each in other.records]


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


def test_the_best_settings_are_a_file_that_training_takes_and_the_budget_is_kept(tuned, model):
    (own,) = tuned.models
    config, space = model
    best = read_config(own.folder / "best.toml")
    assert best == space.apply(config, own.best.settings)
    assert best.train.learning_rate.rest == best.train.learning_rate.audio
    assert own.best.value == min(each.value for each in own.finished)
    assert own.given is not None
    assert own.best.value < own.given.value
    assert len(own.records) == BUDGET.trials
    assert own.count("pruned")
    assert own.count("finished") + own.count("pruned") == BUDGET.trials
    assert all(0 < each.epochs <= 4 for each in own.records)
    assert all(each.epochs < 4 for each in own.records if each.state == "pruned")
    table = rows_of(own.folder / "trials.csv")
    assert [row["trial"] for row in table] == [str(number) for number in range(BUDGET.trials)]
    done = [row for row in table if row["state"] == "finished"]
    for row in done:
        assert float(row["mae"]) == np.mean([float(row["seed 1"]), float(row["seed 2"])])
    assert {row["model.fusion_size"] for row in table} <= {"", "4", "6", "8"}
    assert not list(own.folder.rglob("*.safetensors"))


@pytest.mark.usefixtures("quick_intervals")
def test_a_value_is_that_of_the_best_epoch_of_a_training_on_the_same_settings(
    tuned, tiny_store, tmp_path
):
    from mien.training.experiment import train

    (own,) = tuned.models
    config = own.best_config
    config = config.model_copy(update={"train": config.train.model_copy(update={"seeds": (1, 2)})})
    run = train(config, tiny_store, tmp_path / "run")
    values = [
        min(epoch["valid"]["mae"] for epoch in run.seed(seed).epochs()) for seed in BUDGET.seeds
    ]
    assert list(own.best.values) == values


@pytest.mark.parametrize("where", [1, 5])
def test_a_tuning_that_was_killed_goes_on_as_if_it_had_not_been(
    where, tuned, tiny_store, model, tmp_path, monkeypatch
):
    """Killed in the second seed of a trial: seeds that have ended are not trained again."""
    out = tmp_path / "out"

    def start(trials):
        return tune(
            {"tiny": model}, tiny_store.path, out, budget=dataclasses.replace(BUDGET, trials=trials)
        )

    def begin():
        from mien.training.trainer import Trainer

        validate = Trainer.validate
        seen = []

        def counted(trainer, epoch):
            seen.append(epoch)
            if trainer.seed == 2 and len(seen) > 4 * where:
                die()
            return validate(trainer, epoch)

        monkeypatch.setattr(Trainer, "validate", counted)
        start(BUDGET.trials)

    assert killed(begin)
    trained = []
    from mien.training.seeds import seed_training

    build = seed_training.build
    monkeypatch.setattr(
        seed_training, "build", lambda *given: trained.append(given[1].train.seeds) or build(*given)
    )
    start(BUDGET.trials - 2)
    assert trained[0] == (2,)
    (own,) = start(BUDGET.trials).models
    (other,) = tuned.models
    assert (own.folder / "trials.csv").read_bytes() == (other.folder / "trials.csv").read_bytes()


def test_another_tuning_in_the_same_folder_is_refused(tuned, tiny_store, model):
    out, store = tuned.page.parent, tiny_store.path
    other = dataclasses.replace(BUDGET, seeds=(1,))
    with pytest.raises(ConfigError, match="was begun with another list of seeds"):
        tune({"tiny": model}, store, out, budget=other)
    with pytest.raises(TrainingError, match="is not the folder of a tuning"):
        tune({"tiny": model}, store, store, budget=BUDGET)
