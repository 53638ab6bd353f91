import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import (
    AUDIO,
    SCALE,
    TEXT,
    TINY,
    VIDEO,
    make_config,
    make_material,
    make_split,
    write_tiny_bert,
    write_tiny_store,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.cli.options import read_seeds
from mien.config import apply_overrides, read_settings
from mien.data.store_writer import write_store
from mien.errors import (
    CheckpointError,
    ConfigError,
    DivergenceError,
    MienError,
    StoreError,
    TrainingError,
)
from mien.evaluation.predictions import read_predictions
from mien.evaluation.scoring import predict
from mien.reports.comparison import compare_runs
from mien.reports.page import write_report
from mien.reports.text import format_comparison, format_run
from mien.training.checkpoints.checkpoint import read_header, read_tensors
from mien.training.experiment import evaluate, train
from mien.training.loading import find_checkpoint, load_model
from mien.training.loop import check_steps
from mien.training.preparation import _moments, prepare
from mien.training.run_folder import SeedFolder, open_run
from mien.training.settings import ExperimentConfig, read_config
from mien.types import Corpus, Material, Modality, Task

pytestmark = pytest.mark.usefixtures("quick_intervals")


class Stop:
    """Interrupt a training after an epoch, or inside one after some clips."""

    def __init__(self, epoch, done=None, *, seed_number=1):
        self.epoch, self.done, self.left = epoch, done, seed_number

    def on_step(self, epoch, done, total):
        assert done <= total
        if self.done is not None and (epoch, done) == (self.epoch, self.done):
            self.count()

    def on_evidence(self, epoch, done, total):
        pass

    def on_epoch(self, record, config):
        assert config.epochs
        if self.done is None and record.epoch == self.epoch:
            self.count()

    def count(self):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def assert_same_run(first, second, seeds=(1,)):
    """Whatever does not hold a time or a path is the same, byte for byte."""
    assert (first / "metrics.json").read_bytes() == (second / "metrics.json").read_bytes()
    for seed in seeds:
        one, two = (run / f"seed-{seed}" for run in (first, second))
        names = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
        assert names == sorted(p.relative_to(two) for p in two.rglob("*") if p.is_file())
        for name in names:
            if name.name != "epochs.jsonl":
                assert (one / name).read_bytes() == (two / name).read_bytes(), name


@pytest.fixture(scope="module")
def finished(tiny_store, tmp_path_factory):
    """A run with one seed that was not interrupted; do not alter."""
    patch = pytest.MonkeyPatch()
    patch.setattr("mien.evaluation.evaluate._RESAMPLES", 40)
    out = tmp_path_factory.mktemp("runs") / "finished"
    train(make_config(), tiny_store, out)
    patch.undo()
    return out


# --- the same again -------------------------------------------------------------------------------


def test_the_same_settings_and_seed_give_the_same_files_byte_for_byte(
    finished, tiny_store, tmp_path
):
    torch.rand(5)
    np.random.default_rng().random()
    train(make_config(), tiny_store, tmp_path / "again")
    assert_same_run(finished, tmp_path / "again")


def test_another_seed_gives_other_weights(finished, tiny_store, tmp_path):
    train(make_config(train={"seeds": [2], "epochs": 1}), tiny_store, tmp_path / "r")
    first = read_tensors(finished / "seed-1" / "best.safetensors")
    second = read_tensors(tmp_path / "r" / "seed-2" / "best.safetensors")
    key = "model/heads.fusion.enter.weight"
    assert not torch.equal(first[key], second[key])


@pytest.mark.parametrize("stop", [(1,), (2,), (1, 8), (2, 16)], ids=str)
def test_a_run_that_was_interrupted_and_resumed_is_the_run_that_was_not(
    finished, tiny_store, tmp_path, stop
):
    out = tmp_path / "parts"
    with pytest.raises(KeyboardInterrupt):
        train(make_config(), tiny_store, out, listener=Stop(*stop))
    assert not (out / "metrics.json").exists()
    assert not (out / "seed-1" / "metrics.json").exists()
    train(make_config(), tiny_store, out, resume=True)
    assert_same_run(finished, out)


def test_a_run_that_was_stopped_while_it_was_judged_goes_on(
    finished, tiny_store, tmp_path, monkeypatch
):
    def interrupt(*_):
        raise KeyboardInterrupt

    out = tmp_path / "parts"
    with monkeypatch.context() as patched:
        patched.setattr("mien.training.record.judge_labels", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(make_config(), tiny_store, out)
    train(make_config(), tiny_store, out, resume=True)
    assert_same_run(finished, out)


CHILD = """
import sys, torch
sys.path.insert(0, sys.argv[3])
torch.set_num_threads(1)
import mien.evaluation.evaluate
mien.evaluation.evaluate._RESAMPLES = 40
from helpers import make_config
from mien.training.experiment import evaluate, train
train(make_config(train={"epochs": 16, "patience": 16}), sys.argv[1], sys.argv[2], resume=True)
"""


@pytest.mark.slow
def test_a_run_that_was_killed_again_and_again_is_the_run_that_was_not(tiny_store, tmp_path):
    config = make_config(train={"epochs": 16, "patience": 16})
    train(config, tiny_store, tmp_path / "whole")
    out = tmp_path / "parts"
    command = [sys.executable, "-c", CHILD, tiny_store.path, out, Path(__file__).parents[1]]
    killed = 0
    for wanted in (1, 8):  # kill it when it has come so far
        with subprocess.Popen(command, env={**os.environ}) as process:
            while process.poll() is None:
                lines = out / "seed-1" / "epochs.jsonl"
                if lines.exists() and len(lines.read_text().splitlines()) >= wanted:
                    process.send_signal(signal.SIGKILL)
                    killed += 1
                    break
                time.sleep(0.002)
    assert killed == 2
    assert not (out / "metrics.json").exists()
    train(config, tiny_store, out, resume=True)
    leftover = [p for p in (out / "seed-1").iterdir() if p.name.startswith(".")]
    for path in leftover:  # half-written files of a killed process, under names that nothing reads
        path.unlink()
    assert_same_run(tmp_path / "whole", out)


# --- folders --------------------------------------------------------------------------------------


def test_a_run_folder_that_is_there_is_not_touched_without_resume(finished, tiny_store):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*")}
    with pytest.raises(TrainingError, match=r"finished: already holds a run; say --resume"):
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
        "best.safetensors", "epochs.jsonl", "examples.json", "labels", "metrics.json",
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


# --- honest evaluation ----------------------------------------------------------------------------


def test_predictions_come_in_the_order_of_the_split(finished, tiny_store):
    for split in ("valid", "test"):
        predictions = read_predictions(finished / "seed-1" / f"predictions-{split}.csv")
        clips = [clip for clip in tiny_store.clips if clip.split == split]
        assert predictions.ids == tuple(clip.id for clip in clips)
        labels = [np.float32(clip.labels[Task.FUSION]) for clip in clips]
        assert predictions.targets[Task.FUSION].tolist() == labels


def test_a_metric_is_over_the_whole_split(finished):
    metrics = json.loads((finished / "seed-1" / "metrics.json").read_text())
    for split in ("valid", "test"):
        predictions = read_predictions(finished / "seed-1" / f"predictions-{split}.csv")
        errors = np.abs(predictions.scores[Task.FUSION] - predictions.targets[Task.FUSION])
        assert metrics["splits"][split]["fusion"]["mae"] == pytest.approx(errors.mean())


def with_other_test(material, seed):
    """The same train and valid clips; labels and features of test are noise."""
    random = np.random.default_rng(seed)
    clips, is_test = [], []
    for clip in material.corpus.clips:
        labels = dict(clip.labels)
        if clip.split == "test":
            labels = {task: float(random.integers(-9, 10) / 3) for task in labels}
        is_test.append(clip.split == "test")
        clips.append(type(clip)(id=clip.id, split=clip.split, transcript="", labels=labels))
    series = []
    for source in material.series:
        arrays = [
            random.normal(size=(len(a), source.size)).astype(np.float32) * 50 if hidden else a
            for a, hidden in zip(source.read(), is_test, strict=True)
        ]
        series.append(
            type(source)(name=source.name, size=source.size, dtype="float32", extractor="made/1",
                         read=lambda arrays=arrays: iter(arrays))
        )  # fmt: skip
    corpus = Corpus(name="tiny", language="en", scale=SCALE, clips=tuple(clips), is_synthetic=True)
    return Material(corpus=corpus, series=tuple(series), origin={})


def test_what_is_in_test_changes_nothing_that_is_learned_or_chosen(tmp_path):
    material = make_material()
    for seed in (1, 2):
        store = write_store(with_other_test(material, seed), tmp_path / f"s{seed}")
        train(make_config(train={"epochs": 3}), store, tmp_path / f"r{seed}")
    seeds = [tmp_path / f"r{n}" / "seed-1" for n in (1, 2)]
    first, second = (read_tensors(seed / "best.safetensors") for seed in seeds)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[k], second[k]) for k in first)
    lines = [
        [json.loads(x) | {"seconds": 0} for x in (seed / "epochs.jsonl").read_text().splitlines()]
        for seed in seeds
    ]
    assert lines[0] == lines[1]
    valid, test = (
        [(s / f"predictions-{x}.csv").read_bytes() for s in seeds] for x in ("valid", "test")
    )
    assert valid[0] == valid[1]
    assert test[0] != test[1]


def test_the_reported_numbers_are_those_of_the_best_epoch_on_validation(finished):
    seed = finished / "seed-1"
    epochs = [json.loads(line) for line in (seed / "epochs.jsonl").read_text().splitlines()]
    best = min(epochs, key=lambda one: one["valid"]["mae"])
    metrics = json.loads((seed / "metrics.json").read_text())
    assert metrics["best_epoch"] == best["epoch"]
    assert metrics["num_epochs"] == len(epochs) == 2
    assert metrics["splits"]["valid"]["fusion"]["mae"] == pytest.approx(best["valid"]["mae"])
    assert read_header(seed / "best.safetensors")["valid"] == best["valid"]


def test_a_loaded_model_predicts_what_the_run_predicted(finished, tiny_store):
    model, prepared = load_model(finished, tiny_store)
    wanted = read_predictions(finished / "seed-1" / "predictions-test.csv")
    found = predict(model, prepared.datasets["test"])
    for task in Task:
        np.testing.assert_array_equal(found.scores[task], wanted.scores[task])
    assert not model.training


def test_every_row_of_the_predictions_is_the_score_of_its_own_clip(finished, tiny_store):
    model, prepared = load_model(finished, tiny_store)
    predictions = read_predictions(finished / "seed-1" / "predictions-test.csv")
    dataset = prepared.datasets["test"]
    for row, clip in enumerate(dataset.clips):
        batch, _ = dataset.batch(np.array([row]))
        output = model(batch)
        assert predictions.ids[row] == clip.id
        for task in Task:
            alone = output.scores[task].item()
            assert predictions.scores[task][row] == pytest.approx(alone, abs=1e-5)
        for modality in Modality:
            assert predictions.present[modality][row] == output.present[modality].item()


# --- divergence -----------------------------------------------------------------------------------


def test_a_run_that_diverges_says_so_and_reports_no_number(tiny_store, tmp_path):
    wild = dict.fromkeys(("text", "audio", "video", "rest", "labels"), 1e30)
    config, out = make_config(train={"learning_rate": wild}), tmp_path / "r"
    with pytest.raises(TrainingError, match=r"training diverged in epoch 1"):
        train(config, tiny_store, out)
    reason = json.loads((out / "seed-1" / "failed.json").read_text())["reason"]
    assert reason.startswith("training diverged in epoch 1")
    assert not list(out.rglob("metrics.json"))
    for path in (out, out / "seed-1"):
        with pytest.raises(CheckpointError, match=r"seed-1: training diverged in epoch 1"):
            find_checkpoint(path)
    with pytest.raises(CheckpointError, match=r"training diverged"):
        load_model(out, tiny_store)
    with pytest.raises(TrainingError, match=r"remove the folder to try again"):
        train(config, tiny_store, out, resume=True)


def test_a_run_that_diverges_late_offers_no_older_checkpoint(tiny_store, tmp_path):
    """The released program reports the best epoch before, as if nothing were wrong."""

    class Diverge:
        def on_step(self, epoch, done, total):
            if epoch == 2 and done == total:
                raise DivergenceError("training diverged in epoch 2: made so by a test")

        def on_evidence(self, epoch, done, total):
            pass

        def on_epoch(self, record, config):
            assert record.epoch <= config.epochs

    out = tmp_path / "r"
    with pytest.raises(TrainingError, match=r"made so by a test"):
        train(make_config(), tiny_store, out, listener=Diverge())
    assert (out / "seed-1" / "best.safetensors").exists()
    assert not list(out.rglob("metrics.json"))
    with pytest.raises(CheckpointError, match=r"training diverged in epoch 2"):
        find_checkpoint(out)


class DivergeOnce:
    """Let the training of one seed diverge; seeds are told apart by their order."""

    def __init__(self, place):
        self.place, self.begun = place, 0

    def on_step(self, epoch, done, total):
        assert done <= total
        self.begun += (epoch, done) == (1, 4)
        if self.begun == self.place and epoch == 2:
            raise DivergenceError("training diverged in epoch 2: made so by a test")

    def on_evidence(self, epoch, done, total):
        pass

    def on_epoch(self, record, config):
        assert record.epoch <= config.epochs


@pytest.fixture(scope="module")
def partly_failed(tiny_store, tmp_path_factory):
    """A run of seeds 1, 2, 3, of which 2 diverged; do not alter."""
    patch = pytest.MonkeyPatch()
    patch.setattr("mien.evaluation.evaluate._RESAMPLES", 40)
    out = tmp_path_factory.mktemp("runs") / "failed"
    train(make_config(train={"seeds": [1, 2, 3]}), tiny_store, out, listener=DivergeOnce(2))
    patch.undo()
    return out


def test_a_seed_that_diverges_does_not_stop_the_others_and_is_named(
    partly_failed, finished, tiny_store, caplog
):
    """The first one that diverged ended the run, and the numbers of the others named none."""
    run = open_run(partly_failed)
    reason = "training diverged in epoch 2: made so by a test"
    metrics = run.metrics()
    assert metrics["seeds"] == [1, 3]
    assert metrics["failed_seeds"] == run.failed_seeds == {"2": reason}
    one = (finished / "seed-1" / "best.safetensors").read_bytes()
    assert (partly_failed / "seed-1" / "best.safetensors").read_bytes() == one
    assert "seed 2 is in no number: training diverged in epoch 2" in " ".join(
        format_run(metrics).split()
    )
    with caplog.at_level("WARNING"):
        train(make_config(train={"seeds": [1, 2, 3]}), tiny_store, partly_failed, resume=True)
    assert "seed 2 is in no number" in caplog.text
    assert f"remove {run.seed(2).path} to train it again" in caplog.text
    assert run.metrics() == metrics
    assert evaluate(run, split="valid", store=tiny_store)["failed_seeds"] == {"2": reason}
    assert json.loads((finished / "metrics.json").read_text())["failed_seeds"] == {}


@pytest.mark.usefixtures("undrawn")
def test_the_report_and_a_comparison_name_the_seed_that_diverged(partly_failed, finished):
    runs = [open_run(finished), open_run(partly_failed)]
    assert "**Seed 2 is not in the numbers:** training diverged in epoch 2" in write_report(
        runs[1]
    ).read_text(encoding="utf-8")
    comparison = compare_runs(runs)
    assert comparison.failed_seeds == {"failed": ("2",)}
    assert "seed 2 diverged and is in no number" in format_comparison(comparison)


def test_seeds_that_had_not_begun_go_on_after_one_that_diverged(tiny_store, tmp_path):
    out, config = tmp_path / "r", make_config(train={"seeds": [1, 2]})
    with pytest.raises(KeyboardInterrupt):
        train(config, tiny_store, out, listener=StopSecond())
    assert [seed.seed for seed in open_run(out).seeds] == [1, 2]
    run = train(config, tiny_store, out, resume=True)
    assert (run.metrics()["seeds"], list(run.failed_seeds)) == ([2], ["1"])
    assert find_checkpoint(out) == out / "seed-2" / "best.safetensors"


class StopSecond(DivergeOnce):
    """Let the first seed diverge, and interrupt the second."""

    def __init__(self):
        super().__init__(1)

    def on_step(self, epoch, done, total):
        super().on_step(epoch, done, total)
        if self.begun == 2:
            raise KeyboardInterrupt


def test_evidence_that_diverges_is_a_seed_that_diverged(tiny_store, tmp_path, monkeypatch):
    def diverge(*_, **__):
        raise DivergenceError("evidence of the modalities diverged in epoch 1")

    monkeypatch.setattr("mien.training.experiment.cross_fit", diverge)
    config = make_config(labels={"generator": "latent"}, train={"seeds": [1, 2]})
    with pytest.raises(
        TrainingError,
        match=r"seed-1: evidence of the modalities diverged in epoch 1, as 1 other seed did; "
        r"remove the folder to try again",
    ):
        train(config, tiny_store, tmp_path / "r")
    assert list(open_run(tmp_path / "r").failed_seeds) == ["1", "2"]


def test_a_device_that_is_not_here_is_refused_before_a_folder_is_made(tiny_store, tmp_path):
    missing = "cuda" if not torch.cuda.is_available() else "mps"
    with pytest.raises(TrainingError, match=r"train\.device is .*, which is not here"):
        train(make_config(train={"device": missing}), tiny_store, tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_steps_that_no_epoch_fills_are_refused_before_a_folder_is_made(tiny_store, tmp_path):
    """Such a training ended without having learned anything, and did not say so."""
    config = make_config(train={"leftover": "drop", "batch_size": 4, "accumulate": 6})
    with pytest.raises(
        ConfigError,
        match=r"train\.leftover is 'drop', but 20 clips of train make 5 batches and a step takes 6",
    ):
        train(config, tiny_store, tmp_path / "r")
    assert not (tmp_path / "r").exists()
    check_steps(make_config(train={"leftover": "drop", "accumulate": 5}).train, 20)
    check_steps(make_config(train={"accumulate": 6}).train, 20)


# --- starting from other weights ------------------------------------------------------------------


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A store of other videos than those of the tiny store."""
    return write_tiny_store(tmp_path_factory.mktemp("stores") / "w", seed=5, video_prefix="w")


def test_training_can_start_from_the_weights_of_another_run(finished, elsewhere, tmp_path, caplog):
    still = dict.fromkeys(("text", "audio", "video", "rest", "labels"), 0.0)
    config = make_config(train={"epochs": 1, "learning_rate": still, "weight_decay": still})
    with caplog.at_level("INFO"):
        train(config, elsewhere, tmp_path / "r", init=finished)
    started = read_tensors(tmp_path / "r" / "seed-1" / "best.safetensors")
    source = read_tensors(finished / "seed-1" / "best.safetensors")
    weights = [k for k in source if k.startswith("model/") and "standardise" not in k]
    assert len(weights) > 20
    assert all(torch.equal(started[k], source[k]) for k in weights)
    num = len([k for k in source if k.startswith("model/")])
    assert f"took over {num} of {num} tensors" in caplog.text
    # features are standardised as the new train split says, labels start from its annotation
    key = "model/encoders.audio.standardise.mean"
    assert not torch.equal(started[key], source[key])
    environment = json.loads((tmp_path / "r" / "environment.json").read_text())
    assert len(environment["init"]) == 64


def test_weights_that_do_not_fit_are_left_and_what_fits_is_taken(finished, elsewhere, tmp_path):
    state = {**TINY["state_size"], "fusion": 13}
    still = dict.fromkeys(("text", "audio", "video", "rest", "labels"), 0.0)
    config = make_config(
        model={"state_size": state},
        train={"epochs": 1, "learning_rate": still, "weight_decay": still},
    )
    train(config, elsewhere, tmp_path / "r", init=finished)
    started = read_tensors(tmp_path / "r" / "seed-1" / "best.safetensors")
    source = read_tensors(finished / "seed-1" / "best.safetensors")
    key = "model/heads.text.enter.weight"
    assert torch.equal(started[key], source[key])
    assert started["model/heads.fusion.enter.weight"].shape[0] == 13


def test_weights_that_have_seen_valid_or_test_are_refused(tiny_store, tmp_path):
    """A store of the same videos, split another way, would judge what it has learned by heart."""
    material = make_material()
    turned = {"train": "test", "test": "train", "valid": "valid"}
    clips = tuple(
        type(c)(id=c.id, split=turned[c.split], transcript="", labels=c.labels)
        for c in material.corpus.clips
    )
    corpus = Corpus(name="tiny", language="en", scale=SCALE, clips=clips)
    other = write_store(Material(corpus=corpus, series=material.series, origin={}), tmp_path / "t")
    train(make_config(train={"epochs": 1}), other, tmp_path / "first")
    with pytest.raises(
        TrainingError,
        match=r"best\.safetensors: was trained on 3 of the 6 videos in valid and test of .*; "
        r"train it again with --exclude",
    ):
        train(make_config(), tiny_store, tmp_path / "second", init=tmp_path / "first")
    assert not (tmp_path / "second").exists()


def test_videos_on_which_weights_will_be_judged_can_be_excluded(tiny_store, tmp_path):
    with pytest.raises(TrainingError, match=r"has no clips in train"):
        train(make_config(), tiny_store, tmp_path / "none", exclude=[tiny_store.path])
    half = make_material()
    clips = tuple(c for c in half.corpus.clips if c.video_id in ("v-train-0", "v-valid-0"))
    rows = [half.corpus.clips.index(c) for c in clips]
    series = tuple(
        type(s)(name=s.name, size=s.size, dtype="float32", extractor="made/1",
                read=lambda s=s: iter([a for i, a in enumerate(s.read()) if i in rows]))
        for s in half.series
    )  # fmt: skip
    corpus = Corpus(name="tiny", language="en", scale=SCALE, clips=clips)
    judge = write_store(Material(corpus=corpus, series=series, origin={}), tmp_path / "judge")
    out = tmp_path / "r"
    train(make_config(train={"epochs": 1}), tiny_store, out, exclude=[judge.path])
    environment = json.loads((out / "environment.json").read_text())
    assert environment["num_clips"] == {"train": 17, "valid": 5, "test": 8}
    assert environment["num_left_out"] == 6
    header = read_header(out / "seed-1" / "best.safetensors")
    assert "v-train-0" not in header["videos"]
    assert "v-train-1" in header["videos"]
    ids = json.loads((out / "seed-1" / "train.json").read_text())["ids"]
    assert len(ids) == 17
    assert not any(i.startswith("v-train-0$") for i in ids)


# --- data -----------------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 999),
    offset=st.sampled_from([0.0, 1e3, -1e6]),
    lengths=st.lists(st.integers(0, 5), min_size=2, max_size=8),
)
@settings(max_examples=25)
def test_moments_are_those_of_all_real_steps_in_one_pass(seed, offset, lengths):
    random = np.random.default_rng(seed)
    arrays = [(random.normal(size=(n, 3)) + offset).astype(np.float32) for n in lengths]
    dataset = make_split([0.0] * len(lengths), {AUDIO: arrays})
    mean, deviation = _moments(dataset, AUDIO)
    steps = np.concatenate(arrays).astype(np.float64)
    if len(steps):
        np.testing.assert_allclose(mean, steps.mean(axis=0), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(deviation, steps.std(axis=0), rtol=1e-5, atol=1e-6)


def test_features_are_standardised_by_train_alone(finished, tiny_store):
    tensors = read_tensors(finished / "seed-1" / "best.safetensors")
    series, rows = tiny_store.series("audio"), tiny_store.rows("train").tolist()
    steps = np.concatenate([np.array(series[row]) for row in rows])
    mean = tensors["model/encoders.audio.standardise.mean"].numpy()
    scale = tensors["model/encoders.audio.standardise.scale"].numpy()
    np.testing.assert_allclose(mean, steps.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scale, 1 / steps.std(axis=0), rtol=1e-4)


def test_features_can_be_taken_as_they_are(tiny_store, tmp_path):
    config = make_config(model={"standardise": False}, train={"epochs": 1})
    train(config, tiny_store, tmp_path / "r")
    tensors = read_tensors(tmp_path / "r" / "seed-1" / "best.safetensors")
    assert (tensors["model/encoders.audio.standardise.scale"] == 1).all()
    assert (tensors["model/encoders.audio.standardise.mean"] == 0).all()


@pytest.mark.parametrize(
    ("sections", "modalities"),
    [
        ({"features": {"audio": "none"}}, (TEXT, VIDEO)),
        ({"features": {"video": "none"}, "text_encoder": {"input": "none"}}, (AUDIO,)),
        ({"features": {"audio": "none", "video": "none"}}, (TEXT,)),
    ],
)
@pytest.mark.parametrize("generator", ["latent", "ulag", "human"])
def test_a_run_may_leave_modalities_out(tiny_store, tmp_path, sections, modalities, generator):
    config = make_config(**sections, labels={"generator": generator}, train={"epochs": 1})
    run = train(config, tiny_store, tmp_path / "r")
    predictions = run.seeds[0].predictions("test")
    assert set(predictions.scores) == {Task.FUSION, *(Task(m) for m in modalities)}
    assert set(run.seeds[0].metrics()["splits"]["test"]) == set(predictions.scores)
    model, _ = load_model(run.path, tiny_store)
    assert model.modalities == modalities


def test_leaving_everything_out_is_an_error(tiny_store):
    config = make_config(
        features={"audio": "none", "video": "none"}, text_encoder={"input": "none"}
    )
    with pytest.raises(
        ConfigError, match=r"nothing is left to learn from: no text, audio or video"
    ):
        prepare(tiny_store, config)


def test_a_series_that_the_store_does_not_have_is_an_error_if_it_is_asked_for(tiny_store):
    with pytest.raises(StoreError, match=r"has no series 'egemaps'; there are: text, audio, video"):
        prepare(tiny_store, make_config(features={"audio": "egemaps"}))


def test_long_series_can_be_cut(tiny_store):
    prepared = prepare(tiny_store, make_config(features={"max_steps": 2}))
    plain = tiny_store.series("audio")
    for dataset in prepared.datasets.values():
        series = dataset.series[AUDIO]
        for row in dataset.rows.tolist():
            assert np.array_equal(series[row], plain[row][:2])
    longest = int(plain.lengths.max())
    whole = prepare(tiny_store, make_config(features={"max_steps": longest}))
    assert whole.datasets["train"].series[AUDIO].values is not None
    assert np.array_equal(whole.datasets["train"].series[AUDIO].lengths, plain.lengths)


def test_a_store_of_another_corpus_is_refused(tiny_store):
    with pytest.raises(
        ConfigError,
        match=r"the settings are for corpus 'mosi', .* holds 'tiny'; .* set corpus=tiny",
    ):
        prepare(tiny_store, make_config(corpus="mosi"))


@pytest.mark.parametrize("num_clips", [(6, 0, 3), (0, 4, 3)], ids=["no valid", "no train"])
def test_training_needs_clips_to_learn_from_and_to_choose_by(tmp_path, num_clips):
    store = write_tiny_store(tmp_path / "s", num_clips=num_clips)
    empty = "valid" if num_clips[0] else "train"
    with pytest.raises(TrainingError, match=rf"has no clips in {empty}; training needs both"):
        train(make_config(), store, tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_corpus_without_test_is_judged_on_valid(tmp_path):
    store = write_tiny_store(tmp_path / "s", num_clips=(8, 5, 0))
    run = train(make_config(train={"epochs": 1}), store, tmp_path / "r")
    assert set(run.metrics()["splits"]) == {"valid"}
    assert run.seeds[0].examples()


def test_human_labels_need_a_corpus_that_has_them(tmp_path):
    store = write_tiny_store(tmp_path / "s", unimodal=False)
    with pytest.raises(ConfigError, match=r"labels\.generator is 'human', but no clip has a label"):
        train(make_config(labels={"generator": "human"}), store, tmp_path / "r")


def test_a_checkpoint_is_not_used_on_features_of_other_sizes(finished, tmp_path):
    material = make_material()
    narrow = tuple(
        type(s)(name=s.name, size=2, dtype="float32", extractor="made/1",
                read=lambda s=s: (a[:, :2] for a in s.read()))
        for s in material.series
    )  # fmt: skip
    store = write_store(Material(corpus=material.corpus, series=narrow, origin={}), tmp_path / "s")
    with pytest.raises(CheckpointError, match=r"was trained on features of sizes \{.*'audio': 4"):
        load_model(finished, store)


def test_a_checkpoint_needs_the_text_encoder_that_it_was_trained_with(
    tiny_store, tiny_bert, tmp_path
):
    encoder = shutil.copytree(tiny_bert, tmp_path / "encoder")
    text = {"input": "transcript", "name": str(encoder), "mode": "last-1"}
    config = make_config(text_encoder=text, train={"epochs": 1})
    run = train(config, tiny_store, tmp_path / "r")
    model, _ = load_model(run.path, tiny_store)
    trained = [n for n, _ in model.parameter_groups()["text"]]
    assert trained
    tokens = run.seeds[0].examples()[0]["attention"]["text"]["tokens"]
    assert tokens[0] == "[CLS]"
    write_tiny_bert(encoder, seed=9)
    with pytest.raises(CheckpointError, match=r"was trained with other weights of text encoder"):
        load_model(run.path, tiny_store)


def test_finetuning_changes_the_encoder_and_keeps_it_in_the_checkpoint(
    tiny_store, tiny_bert, tmp_path
):
    text = {"input": "transcript", "name": str(tiny_bert), "mode": "finetune"}
    run = train(make_config(text_encoder=text, train={"epochs": 1}), tiny_store, tmp_path / "r")
    prepared = prepare(tiny_store, make_config(text_encoder=text))
    fresh = prepared.text.build().state_dict()
    kept = read_tensors(run.seeds[0].best)
    moved = [k for k in fresh if not torch.equal(kept[f"model/text_encoder.{k}"], fresh[k])]
    assert len(moved) > 20


# --- settings -------------------------------------------------------------------------------------


def read_overridden(*overrides):
    return read_settings(ExperimentConfig, apply_overrides({}, overrides))


MISSPELT = [
    ("train.sede=1", r"there is no setting train\.sede; did you mean train\.seeds\?"),
    ("train.patiense=3", r"did you mean train\.patience\?"),
    ("model.atention=gated", r"did you mean model\.attention\?"),
    ("model.state_size.fusoin=3", r"did you mean model\.state_size\.fusion\?"),
    ("labels.generater=copy", r"did you mean labels\.generator\?"),
    ("train.learning_rate.adio=1", r"did you mean train\.learning_rate\.audio\?"),
    ("trian.epochs=3", r"there is no setting trian; did you mean train\?"),
    ("text_encoder.mod=frozen", r"did you mean text_encoder\.mode\?"),
]


@pytest.mark.parametrize(("override", "message"), MISSPELT)
def test_a_misspelt_setting_is_an_error_that_says_the_likely_one(override, message):
    with pytest.raises(ConfigError, match=message):
        read_overridden(override)


@pytest.mark.parametrize("word", ["false", "False"])
def test_false_is_false(word):
    assert read_overridden(f"model.standardise={word}").model.standardise is False
    assert read_overridden(f"train.group_lengths={word}").train.group_lengths is False


@pytest.mark.parametrize("override", [
    "train.epochs=0", "train.epochs=True", "train.batch_size=-1", "model.fusion=nonsense",
    "model.dropout.fusion=1", "train.seeds=[]", "labels.temperature=0", "labels.folds=1",
    "model.name=tam-ulag", "train.monitor=acc2", "text_encoder.mode=last-0",
    "model.standardise=perhaps", "train.learning_rate.rest=-1",
    "train.seeds=[-1]", "train.seeds=[100000000000000000000]", "train.seeds=1111,abc",
    "train.seeds=[1.5]", "train.seeds=[true]", "train.threads=100000000000000000000",
])  # fmt: skip
def test_a_value_out_of_its_range_is_an_error(override):
    path = override.partition("=")[0].rpartition(".")[0]
    with pytest.raises(ConfigError, match=rf"setting(s of)? {path}"):
        read_overridden(override)


def test_seeds_that_no_generator_takes_are_said_to_be_wrong():
    """They ended in a traceback of numpy or torch."""
    for seeds in ("[-1]", "[9223372036854775808]", "[a]", "1111,abc"):
        with pytest.raises(
            ConfigError,
            match=r"setting train\.seeds is .*, must be whole numbers from 0 to 2\*\*63",
        ):
            read_overridden(f"train.seeds={seeds}")
    assert read_overridden("train.seeds=[9223372036854775807]").train.seeds == (2**63 - 1,)


def test_a_seed_that_is_given_twice_is_an_error():
    """It was one training, of which the numbers said that there were two."""
    with pytest.raises(ConfigError, match=r"is \[7, 8, 7\], names 7 twice; give every seed once"):
        read_overridden("train.seeds=[7, 8, 7]")


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("1111", (1111,)),
        ("1, 2", (1, 2)),
        ("1111-1115", tuple(range(1111, 1116))),
        ("3-4,1", (3, 4, 1)),
    ],
)
def test_seeds_are_read_from_lists_and_ranges(text, seeds):
    assert read_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "-1", "1-2-3", "5-3", "1,,2", "0-99999999", "1" * 20])
def test_seeds_that_cannot_be_read_get_one_sentence(text):
    with pytest.raises(
        ConfigError, match=r"^--seeds .*must be whole numbers from 0 to .*1111-1115"
    ):
        read_seeds(text)


def test_settings_that_are_not_there_are_an_error_that_lists_what_is():
    with pytest.raises(
        ConfigError, match=r"'nonsense' is neither a file nor a known configuration"
    ):
        read_config("nonsense")


def test_every_default_model_has_its_own_settings():
    assert read_overridden("model.name=self_mm").model.name == "self_mm"
    with pytest.raises(ConfigError, match=r"there is no setting model\.attention"):
        read_overridden("model.name=self_mm", "model.attention=gated")


@pytest.mark.parametrize("what", ["empty", "no seed", "no folder"])
def test_where_there_is_no_checkpoint_an_error_says_so(tmp_path, what):
    folder = tmp_path / "run"
    if what != "no folder":
        folder.mkdir()
    if what == "no seed":
        (folder / "config.toml").write_text("", encoding="utf-8")
    message = "has no seed that was trained" if what == "no seed" else "is not a run folder"
    with pytest.raises(CheckpointError, match=message):
        find_checkpoint(folder)


def test_errors_of_a_run_can_all_be_caught_as_one(tiny_store, tmp_path):
    with pytest.raises(MienError):
        train(make_config(corpus="mosi"), tiny_store, tmp_path / "r")
