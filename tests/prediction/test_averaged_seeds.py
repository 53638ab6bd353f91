"""The mean of the weights of all seeds of a run, as one model."""

import shutil

import numpy as np
import pytest
import torch
from helpers import make_config, write_tiny_store

from mien.cli import main
from mien.errors import CheckpointError, ConfigError, OutputError
from mien.evaluation.scoring import predict
from mien.prediction.package import pack, pack_average
from mien.training.checkpoints.calibrated import calibrate_model
from mien.training.checkpoints.checkpoint import read_header, read_tensors, write_tensors
from mien.training.experiment import evaluate, train
from mien.training.loading import dataset_of, load_model
from mien.training.run_folder import open_run
from mien.types import Task


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_tiny_store(
        tmp_path_factory.mktemp("stores") / "s", num_clips=(12, 24, 6), missing=0.0
    )


@pytest.fixture(scope="module")
def runs(store, tiny_bert, tmp_path_factory):
    """Two seeds that train all of the encoder, and two that start from the first; do not alter."""
    folder = tmp_path_factory.mktemp("runs")
    text = {"input": "transcript", "name": str(tiny_bert), "mode": "finetune"}

    def make(name, init=None):
        config = make_config(
            text_encoder=text,
            labels={"generator": "copy"},
            train={"seeds": (1, 2), "epochs": 1},
        )
        return train(config, store, folder / name, init=init)

    first = make("first")
    return {"first": first, "tuned": make("tuned", first)}


@pytest.fixture
def copied(runs, tmp_path):
    """A copy of the run that starts from another, to be altered."""
    shutil.copytree(runs["tuned"].path, tmp_path / "copy")
    return open_run(tmp_path / "copy")


def test_it_has_the_mean_of_the_weights_and_widths_of_its_own(runs, store, tmp_path):
    made = pack_average(runs["tuned"], tmp_path / "mean.safetensors", store=store, half=False)
    assert made.seeds == (1, 2)
    members = [read_tensors(seed.best) for seed in runs["tuned"].seeds]
    tensors = read_tensors(made.path)
    for name, own in tensors.items():
        mean = torch.stack([each[name].double() for each in members]).mean(0)
        torch.testing.assert_close(own.double(), mean, rtol=1e-6, atol=1e-7)
    words = "model/text_encoder.backbone.embeddings.word_embeddings.weight"
    assert not tensors[words].equal(members[0][words])
    model, prepared = load_model(made.path, store, splits=("valid",))
    valid = dataset_of(prepared, "valid")
    errors = predict(model, valid)
    mae = np.abs(errors.scores[Task.FUSION] - errors.targets[Task.FUSION]).mean()
    by_name = {each.name: each for each in made.compared}
    assert by_name["mae"].made == pytest.approx(mae)
    single = [seed.results().splits["valid"]["fusion"]["mae"] for seed in runs["tuned"].seeds]
    assert by_name["mae"].single == pytest.approx(single)
    header = read_header(made.path)
    assert header["averaged"] == [1, 2]
    assert header["valid"]["mae"] == pytest.approx(mae)
    assert header["valid_of_members"]["mae"] == pytest.approx(single)
    assert header["format"] == 1
    evaluated = evaluate(made.path, store=store, split="valid")
    assert evaluated["model"] == f"{made.path}, the mean of the weights of 2 seeds"
    assert evaluated["splits"]["valid"]["fusion"]["mae"]["mean"] == pytest.approx(mae)
    wanted = calibrate_model(model, valid, prepared.scale).facts["calibration"]
    assert header["calibration"] == wanted


def test_the_command_prints_what_valid_says_of_the_mean_and_of_a_lower_rank(
    runs, store, tmp_path, capsys
):
    file = tmp_path / "mean.safetensors"
    options = ["--average", "--rank", "1", "--store", str(store.path)]
    assert main(["pack", str(runs["tuned"].path), str(file), *options]) == 0
    printed = capsys.readouterr().out
    assert "single seed, mean" in printed
    assert "mean of weights" in printed
    assert "as trained" in printed
    assert "rank 1" in printed
    assert "seeds 1, 2" in printed
    header = read_header(file)
    assert header["config"]["text_encoder"]["mode"] == "lora"
    assert header["averaged"] == [1, 2]


def test_a_mean_that_is_no_better_is_written_and_a_warning_says_so(copied, store, tmp_path, caplog):
    seed = copied.seeds[1]
    tensors = {name: own + 3.0 for name, own in read_tensors(seed.best).items()}
    write_tensors(seed.best, tensors, read_header(seed.best))
    with caplog.at_level("WARNING"):
        made = pack(copied, tmp_path / "mean.safetensors", average=True, store=store)
    assert "the mean of the weights of all seeds is no better than a single seed" in caplog.text
    assert made.exists()


def test_seeds_from_different_random_weights_have_no_mean(runs, store, tmp_path):
    with pytest.raises(ConfigError, match=r"different random weights.*--init RUN.*--ensemble"):
        pack_average(runs["first"], tmp_path / "m.safetensors", store=store)
    assert not (tmp_path / "m.safetensors").exists()


def test_a_rank_that_nothing_can_be_reduced_to_is_refused_by_the_name_of_the_run(
    copied, store, tmp_path
):
    for seed in copied.seeds:
        header = read_header(seed.best)
        header["config"]["text_encoder"]["mode"] = "frozen"
        write_tensors(seed.best, read_tensors(seed.best), header)
    with pytest.raises(ConfigError, match=f"rank: {copied.seeds[0].best} has no text encoder"):
        pack_average(copied, tmp_path / "m.safetensors", store=store, rank=1)


def test_equal_seeds_of_any_start_are_not_told_to_start_elsewhere(runs, store, tmp_path):
    shutil.copytree(runs["first"].path, tmp_path / "copy")
    copied = open_run(tmp_path / "copy")
    shutil.copy(copied.seeds[0].best, copied.seeds[1].best)
    with pytest.raises(CheckpointError, match="all seeds have the same weights"):
        pack_average(copied, tmp_path / "m.safetensors", store=store)


def test_seeds_with_the_same_weights_are_refused(copied, store, tmp_path):
    for seed in copied.seeds[1:]:
        shutil.copy(copied.seeds[0].best, seed.best)
    with pytest.raises(CheckpointError, match=r"all seeds have the same weights.*--average"):
        pack_average(copied, tmp_path / "m.safetensors", store=store)


def test_what_does_not_go_together_is_a_sentence(runs, store, tmp_path, capsys):
    file = tmp_path / "m.safetensors"
    with pytest.raises(ConfigError, match=r"average: .*--store STORE"):
        pack(runs["tuned"], file, average=True)
    with pytest.raises(ConfigError, match="choose one"):
        pack(runs["tuned"], file, average=True, ensemble=True, store=store)
    command = ["pack", str(runs["tuned"].path), str(file), "--average", "--ensemble"]
    assert main(command) == 2
    assert "--ensemble and --average exclude each other" in capsys.readouterr().err
    file.write_text("there")
    with pytest.raises(OutputError):
        pack(runs["tuned"], file, average=True, store=store)
    assert file.read_text() == "there"
