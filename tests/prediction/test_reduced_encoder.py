"""A text encoder that was trained as a whole, written as adapters."""

import numpy as np
import pytest
import torch
from helpers import make_config, write_tiny_bert, write_tiny_store

import mien
from mien.cli import main
from mien.errors import CheckpointError, ConfigError
from mien.evaluation.predictions import average_predictions
from mien.evaluation.scoring import predict
from mien.prediction.package import pack_ensemble, pack_reduced
from mien.pretrained.text_encoder import load_backbone
from mien.training.checkpoints.calibrated import calibrate_model
from mien.training.checkpoints.checkpoint import read_header, read_tensors
from mien.training.experiment import train
from mien.training.loading import dataset_of, load_model
from mien.types import Task

RATES = {"text": 0.02, "audio": 1e-3, "video": 1e-3, "rest": 1e-3, "labels": 1e-3}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """An encoder of three layers; do not alter."""
    return write_tiny_bert(tmp_path_factory.mktemp("encoders") / "three", num_layers=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_tiny_store(
        tmp_path_factory.mktemp("stores") / "s", num_clips=(12, 24, 6), missing=0.0
    )


@pytest.fixture(scope="module")
def runs(source, store, tmp_path_factory):
    """Two seeds of each mode, by mode; do not alter."""
    folder = tmp_path_factory.mktemp("runs")

    def make(mode):
        text = {"input": "transcript", "name": str(source), "mode": mode, "rank": 2}
        rest = {"seeds": (1, 2), "epochs": 1, "learning_rate": RATES}
        config = make_config(text_encoder=text, labels={"generator": "copy"}, train=rest)
        return train(config, store, folder / mode)

    return {mode: make(mode) for mode in ("finetune", "last-2", "lora")}


def truncate(change, rank):
    left, values, right = torch.linalg.svd(change, full_matrices=False)
    return (left[:, :rank] * values[:rank]) @ right[:rank]


def expect(run, store, source, rank):
    """Return what a run's first seed predicts of valid with changes of a rank."""
    model, prepared = load_model(run.seeds[0].best, store, splits=("valid",))
    before = {k: t.clone() for k, t in load_backbone(source).state_dict().items()}
    state, stack = model.text_encoder.state_dict(), "encoder.layer."
    whole = "backbone.embeddings.word_embeddings.weight" in state
    num_below = 0 if whole else 1
    for key, tensor in state.items():
        if whole:
            plain = key.removeprefix("backbone.")
        elif key.startswith("layers."):
            number, rest = key.removeprefix("layers.").split(".", 1)
            plain = f"{stack}{int(number) + num_below}.{rest}"
        else:
            continue
        is_linear = tensor.ndim == 2 and plain.startswith(stack)
        change = truncate(tensor - before[plain], rank) if is_linear else 0.0
        state[key] = before[plain] + change
    model.text_encoder.load_state_dict(state)
    return model, dataset_of(prepared, "valid"), prepared.scale


@pytest.mark.parametrize("mode", ["finetune", "last-2"])
def test_it_predicts_as_the_encoder_whose_changes_have_the_rank(
    runs, store, source, tmp_path, mode
):
    run = runs[mode]
    file = pack_reduced(run, tmp_path / "r", rank=3, store=store, half=False).path
    model, dataset, scale = expect(run, store, source, 3)
    wanted, (reduced, prepared) = predict(model, dataset), load_model(file, store)
    found = predict(reduced, dataset_of(prepared, "valid"))
    for task in Task:
        np.testing.assert_allclose(found.scores[task], wanted.scores[task], atol=1e-4)
    whole = run.seeds[0].predictions("valid")
    assert np.abs(found.scores[Task.TEXT] - whole.scores[Task.TEXT]).max() > 1e-3
    header = read_header(file)
    text = header["config"]["text_encoder"]
    assert (text["mode"], text["rank"]) == ({"finetune": "lora", "last-2": "lora-2"}[mode], 3)
    calibrated = calibrate_model(model, dataset, scale).facts["calibration"]
    for name, width in calibrated["fusion"].items():
        assert header["calibration"]["fusion"][name] == pytest.approx(width, abs=1e-4)


def test_a_rank_that_holds_everything_leaves_all_of_the_linear_layers(runs, store, tmp_path):
    packed = pack_reduced(runs["finetune"], tmp_path / "r", rank=99, store=store, half=False)
    assert packed.reduction.share == pytest.approx(1)
    adapters = read_tensors(packed.path)
    assert adapters["model/text_encoder.adapters.0-output-dense.up"].shape == (16, 16)


def test_what_it_costs_on_valid_is_printed(runs, store, tmp_path, capsys):
    out = tmp_path / "model.safetensors"
    where = [str(runs["finetune"].path), str(out), "--store", str(store.path)]
    assert main(["pack", *where, "--rank", "2"]) == 0
    printed = capsys.readouterr().out
    assert "as trained  rank 2" in printed
    assert "% of the squared changes of the encoder's linear layers are left" in printed
    seed = runs["finetune"].seeds[0]
    line = next(line for line in printed.splitlines() if line.startswith("mae"))
    before, after = line.split()[1:]
    assert before == f"{seed.results().splits['valid'][Task.FUSION]['mae']:.3f}"
    assert after == f"{read_header(out)['valid']['mae']:.3f}"
    assert out.stat().st_size < seed.best.stat().st_size / 2
    (answer,) = mien.load(out).predict_text("a very good film").answers
    assert answer.score.low < answer.score.value < answer.score.high


def test_an_ensemble_of_reduced_seeds_predicts_their_mean(runs, store, tmp_path):
    run = runs["last-2"]
    packed = pack_ensemble(run, tmp_path / "e", store=store, rank=2, half=False)
    assert packed.seeds == (1, 2)
    members = []
    for seed in run.seeds:
        file = pack_reduced(seed, tmp_path / f"{seed.seed}", rank=2, store=store, half=False).path
        model, prepared = load_model(file, store)
        members.append(predict(model, dataset_of(prepared, "test")))
    model, prepared = load_model(packed.path, store)
    found = predict(model, dataset_of(prepared, "test"))
    wanted = average_predictions(members)
    np.testing.assert_allclose(found.scores[Task.FUSION], wanted.scores[Task.FUSION], atol=1e-5)
    compared = {each.name: each.made for each in packed.compared}
    assert read_header(packed.path)["valid"]["mae"] == pytest.approx(compared["mae"])


@pytest.mark.parametrize(
    ("mode", "has_store", "error", "message"),
    [
        ("lora", True, ConfigError, "has no text encoder that was trained as a whole or in its l"),
        ("finetune", False, ConfigError, "rank: what a lower rank costs is measured on validation"),
    ],
)
def test_what_cannot_be_reduced_is_a_sentence(
    runs, store, tmp_path, mode, has_store, error, message
):
    with pytest.raises(error, match=message):
        mien.pack(runs[mode], tmp_path / "r", rank=2, store=store if has_store else None)
    assert not list(tmp_path.iterdir())


def test_a_rank_below_one_is_refused(runs, store, tmp_path):
    with pytest.raises(ConfigError, match="rank"):
        mien.pack(runs["finetune"], tmp_path / "r", rank=0, store=store)
    assert not list(tmp_path.iterdir())


def test_another_store_than_that_of_the_training_is_refused(runs, tmp_path):
    other = write_tiny_store(tmp_path / "s", seed=9, num_clips=(12, 24, 6))
    with pytest.raises(CheckpointError, match=r"is not the store on which .* was trained"):
        mien.pack(runs["finetune"], tmp_path / "r", rank=2, store=other)


def test_a_reduction_that_costs_more_than_a_hundredth_is_warned_of(
    runs, store, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr("mien.prediction.packages.reduced_encoder.MOST_LOSS", -1.0)
    with caplog.at_level("WARNING"):
        mien.pack(runs["finetune"], tmp_path / "r", rank=1, store=store)
    assert "on valid the model is worse than before by more than 1 %, by mae" in caplog.text
