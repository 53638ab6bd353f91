import contextlib
import json
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import with_extended
from helpers import (
    SCALE,
    make_config,
    make_material,
    write_tiny_store,
)
from trainings import Stop, assert_same_run

from mien.data.store_writer import write_store
from mien.errors import (
    CheckpointError,
    ConfigError,
    DivergenceError,
    MienError,
    TrainingError,
)
from mien.evaluation.predictions import read_predictions
from mien.reports.comparison import compare_runs
from mien.reports.page import write_report
from mien.reports.run_text import format_comparison, format_run
from mien.training.checkpoints.checkpoint import read_header, read_tensors
from mien.training.experiment import evaluate, train
from mien.training.loading import find_checkpoint, load_model
from mien.training.run_folder import open_run
from mien.types import Corpus, Material, Task


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


@pytest.mark.parametrize("stop", with_extended([(1,), (2, 16)], [((2,),), ((1, 8),)]), ids=str)
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


def test_a_run_that_was_stopped_while_it_was_evaluated_goes_on(
    finished, tiny_store, tmp_path, monkeypatch
):
    def interrupt(*_):
        raise KeyboardInterrupt

    out = tmp_path / "parts"
    with monkeypatch.context() as patched:
        patched.setattr("mien.training.record.evaluate_labels", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(make_config(), tiny_store, out)
    train(make_config(), tiny_store, out, resume=True)
    assert_same_run(finished, out)


def kill_when(come_so_far, action):
    """Do something in a process of its own, and kill it from here; say whether it was."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            action()
        os._exit(1)
    while not (ended := os.waitpid(child, os.WNOHANG)[0]):
        if come_so_far():
            os.kill(child, signal.SIGKILL)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        time.sleep(0.002)
    return not ended


@pytest.mark.slow
def test_a_run_that_was_killed_again_and_again_is_the_run_that_was_not(tiny_store, tmp_path):
    config = make_config(train={"epochs": 9, "patience": 9})
    train(config, tiny_store, tmp_path / "whole")
    out = tmp_path / "parts"
    lines = out / "seed-1" / "epochs.jsonl"
    for wanted in (1, 5):  # kill it when it has come so far

        def has_come_so_far(wanted=wanted):
            return lines.exists() and len(lines.read_text().splitlines()) >= wanted

        assert kill_when(has_come_so_far, lambda: train(config, tiny_store, out, resume=True))
    assert not (out / "metrics.json").exists()
    train(config, tiny_store, out, resume=True)
    leftover = [p for p in (out / "seed-1").iterdir() if p.name.startswith(".")]
    for path in leftover:  # half-written files of a killed process, under names that nothing reads
        path.unlink()
    assert_same_run(tmp_path / "whole", out)


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


def test_a_seed_that_is_not_there_is_not_called_a_folder_of_one(finished):
    """A user mistyped the number of a seed and was told to give its run."""
    with pytest.raises(CheckpointError, match=r"seed-7: is not there; .*finished has seed-1$"):
        find_checkpoint(finished / "seed-7")


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
    """Let the training of one seed diverge; seeds are known by their order."""

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
    out = tmp_path_factory.mktemp("runs") / "failed"
    train(make_config(train={"seeds": [1, 2, 3]}), tiny_store, out, listener=DivergeOnce(2))
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
    assert "seed 2 is left out of all numbers: training diverged in epoch 2" in " ".join(
        format_run(metrics).split()
    )
    with caplog.at_level("WARNING"):
        train(make_config(train={"seeds": [1, 2, 3]}), tiny_store, partly_failed, resume=True)
    assert "seed 2 is left out of all numbers" in caplog.text
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
    assert "seed 2 diverged and is left out of all numbers" in format_comparison(comparison)


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

    monkeypatch.setattr("mien.training.seeds.seed_training.cross_fit", diverge)
    config = make_config(labels={"generator": "latent"}, train={"seeds": [1, 2]})
    with pytest.raises(
        TrainingError,
        match=r"seed-1: evidence of the modalities diverged in epoch 1, as 1 other seed did; "
        r"remove the folder to try again",
    ):
        train(config, tiny_store, tmp_path / "r")
    assert list(open_run(tmp_path / "r").failed_seeds) == ["1", "2"]


def test_a_split_without_an_annotation_is_told_from_one_without_clips(tmp_path):
    material = make_material()
    clips = tuple(replace(c, labels={} if c.split == "valid" else c.labels)
                  for c in material.corpus.clips)  # fmt: skip
    store = write_store(
        replace(material, corpus=replace(material.corpus, clips=clips)), tmp_path / "s"
    )
    with pytest.raises(TrainingError, match=r"no clip in valid is annotated for what is learned;"):
        train(make_config(), store, tmp_path / "r")
    store = write_store(make_material(num_clips=(20, 0, 8)), tmp_path / "t")
    with pytest.raises(TrainingError, match=r"has no clips in valid; training needs some"):
        train(make_config(), store, tmp_path / "r")


def test_videos_on_which_weights_will_be_evaluated_can_be_excluded(tiny_store, tmp_path):
    with pytest.raises(
        TrainingError, match=r"no clip in train is .* in no video that is left out \(--exclude\)"
    ):
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
    other = write_store(Material(corpus=corpus, series=series, origin={}), tmp_path / "other")
    out = tmp_path / "r"
    train(make_config(train={"epochs": 1}), tiny_store, out, exclude=[other.path])
    environment = json.loads((out / "environment.json").read_text())
    assert environment["num_clips"] == {"train": 17, "valid": 5, "test": 8}
    assert environment["num_left_out"] == 6
    header = read_header(out / "seed-1" / "best.safetensors")
    assert "v-train-0" not in header["videos"]
    assert "v-train-1" in header["videos"]
    ids = json.loads((out / "seed-1" / "train.json").read_text())["ids"]
    assert len(ids) == 17
    assert not any(i.startswith("v-train-0$") for i in ids)


@pytest.mark.parametrize("num_clips", [(6, 0, 3), (0, 4, 3)], ids=["no valid", "no train"])
def test_training_needs_clips_to_learn_from_and_to_choose_by(tmp_path, num_clips):
    store = write_tiny_store(tmp_path / "s", num_clips=num_clips)
    empty = "valid" if num_clips[0] else "train"
    with pytest.raises(TrainingError, match=rf"has no clips in {empty}; training needs some"):
        train(make_config(), store, tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_corpus_without_test_is_evaluated_on_valid(tmp_path):
    store = write_tiny_store(tmp_path / "s", num_clips=(8, 5, 0))
    run = train(make_config(train={"epochs": 1}), store, tmp_path / "r")
    assert set(run.metrics()["splits"]) == {"valid"}
    assert run.seeds[0].examples()


def test_human_labels_need_a_corpus_that_has_them(tmp_path):
    store = write_tiny_store(tmp_path / "s", unimodal=False)
    with pytest.raises(ConfigError, match=r"labels\.generator is 'human', but no clip has a label"):
        train(make_config(labels={"generator": "human"}), store, tmp_path / "r")


def test_errors_of_a_run_can_all_be_caught_as_one(tiny_store, tmp_path):
    with pytest.raises(MienError):
        train(make_config(corpus="mosi"), tiny_store, tmp_path / "r")
