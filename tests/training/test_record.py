import json
import shutil

import numpy as np
import pytest
from helpers import (
    make_config,
    write_tiny_store,
)
from trainings import Stop, assert_same_run

from mien.errors import (
    CheckpointError,
    TrainingError,
)
from mien.training.experiment import train
from mien.training.run_folder import SeedFolder
from mien.training.settings import read_config


def test_a_run_folder_that_is_there_is_not_touched_without_resume(finished, tiny_store):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*")}
    with pytest.raises(TrainingError, match=r"finished: already holds a run; use --resume"):
        train(make_config(), tiny_store, finished)
    assert {p: p.stat().st_mtime_ns for p in finished.rglob("*")} == before


def test_a_folder_with_other_things_is_not_touched(tiny_store, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"exists and is not a run folder; give another --out"):
        train(make_config(), tiny_store, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("change", [
    {"train": {"epochs": 3}},
    {"model": {"fusion": "concat"}},
    {"labels": {"generator": "copy"}},
])  # fmt: skip
def test_a_run_is_not_resumed_with_other_settings(finished, tiny_store, change):
    before = (finished / "config.toml").read_bytes()
    with pytest.raises(CheckpointError, match=r"config\.toml: differs from the settings given now"):
        train(make_config(**change), tiny_store, finished, resume=True)
    assert (finished / "config.toml").read_bytes() == before


def test_a_run_is_not_resumed_on_another_store(tiny_store, tmp_path):
    out = tmp_path / "r"
    with pytest.raises(KeyboardInterrupt):
        train(make_config(), tiny_store, out, listener=Stop(1))
    other = write_tiny_store(tmp_path / "other", seed=2)
    message = r"environment\.json: the run was begun on another store; resume it with the store"
    with pytest.raises(CheckpointError, match=message):
        train(make_config(), other, out, resume=True)


def test_seeds_are_not_added_to_a_run_on_other_data(finished, tiny_store, elsewhere, tmp_path):
    """A finished run took further seeds from any store of the corpus, and mixed their numbers."""
    before = {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()}
    more = make_config(train={"seeds": [2]})
    with pytest.raises(CheckpointError, match=r"the run was begun on another store"):
        train(more, elsewhere, finished, resume=True)
    start = tmp_path / "start"
    train(make_config(train={"epochs": 1}), elsewhere, start)
    with pytest.raises(CheckpointError, match=r"the run was begun with other weights to start"):
        train(more, tiny_store, finished, resume=True, init=start)
    assert {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()} == before


def test_a_run_of_an_earlier_version_is_compared_as_far_as_it_says_what_it_is(
    finished, tiny_store, tmp_path
):
    out = shutil.copytree(finished, tmp_path / "r")
    for text in ("{}", None):
        environment = out / "environment.json"
        environment.unlink() if text is None else environment.write_text(text, encoding="utf-8")
        train(make_config(), tiny_store, out, resume=True)
        assert_same_run(finished, out)


def test_resuming_a_finished_run_trains_nothing(tiny_store, tmp_path):
    out = tmp_path / "r"
    train(make_config(train={"epochs": 1}), tiny_store, out)
    before = {p: p.read_bytes() for p in (out / "seed-1").rglob("*") if p.is_file()}
    train(make_config(train={"epochs": 1}), tiny_store, out, resume=True, listener=Stop(1))
    assert {p: p.read_bytes() for p in (out / "seed-1").rglob("*") if p.is_file()} == before


def test_seeds_can_be_added_to_a_run(tiny_store, tmp_path):
    one, both = {"epochs": 1, "seeds": [1]}, {"epochs": 1, "seeds": [1, 2]}
    train(make_config(train=one), tiny_store, tmp_path / "a")
    train(make_config(train={**one, "seeds": [2]}), tiny_store, tmp_path / "a", resume=True)
    train(make_config(train=both), tiny_store, tmp_path / "b")
    assert_same_run(tmp_path / "a", tmp_path / "b", seeds=(1, 2))
    assert read_config(tmp_path / "a" / "config.toml").train.seeds == (1, 2)
    metrics = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert metrics["seeds"] == [1, 2]
    mae = metrics["splits"]["test"]["fusion"]["mae"]
    own = [json.loads((tmp_path / "a" / f"seed-{s}" / "metrics.json").read_text()) for s in (1, 2)]
    values = [one["splits"]["test"]["fusion"]["mae"] for one in own]
    assert mae["values"] == values
    assert values[0] != values[1]
    assert mae["mean"] == pytest.approx(np.mean(values))


def test_a_second_seed_can_be_interrupted_too(tiny_store, tmp_path):
    config = make_config(train={"seeds": [1, 2]})
    train(config, tiny_store, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(config, tiny_store, tmp_path / "parts", listener=Stop(1, 16, seed_number=2))
    train(config, tiny_store, tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts", seeds=(1, 2))


def test_a_run_keeps_its_settings_with_every_default_and_can_be_given_back(finished):
    text = (finished / "config.toml").read_text(encoding="utf-8")
    for setting in ("warmup_epochs", "accumulate", "encoder_dropout", "max_steps", "summary"):
        assert setting in text
    assert read_config(finished / "config.toml") == make_config()


def test_a_finished_seed_leaves_what_is_promised(finished):
    names = {p.name for p in (finished / "seed-1").iterdir()}
    assert names == {
        "best.safetensors", "epochs.csv", "epochs.jsonl", "examples.json", "labels", "metrics.json",
        "predictions-test.csv", "predictions-valid.csv", "train.json",
    }  # fmt: skip
    environment = json.loads((finished / "environment.json").read_text())
    assert environment["num_clips"] == {"train": 20, "valid": 8, "test": 8}


def test_labels_of_epochs_beyond_999_come_in_their_order(finished, tmp_path):
    """By name, epoch 1000 comes before epoch 999."""
    folder = SeedFolder(shutil.copytree(finished / "seed-1", tmp_path / "seed-1"))
    for file in (folder.path / "labels").iterdir():
        file.unlink()
    for epoch in (998, 999, 1000, 1001):
        np.save(folder.path / "labels" / f"epoch-{epoch:03d}.npy", np.full((3, 2), float(epoch)))
    line = (folder.path / "epochs.jsonl").read_text(encoding="utf-8").splitlines()[0]
    (folder.path / "epochs.jsonl").write_text(f"{line}\n" * 4, encoding="utf-8")
    assert folder.label_trajectory()[:, 0, 0].tolist() == [998, 999, 1000, 1001]
