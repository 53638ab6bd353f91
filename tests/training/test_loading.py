import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import (
    SCALE,
    TINY,
    make_config,
    make_material,
    write_tiny_bert,
)

from mien.data.store_writer import write_store
from mien.errors import (
    CheckpointError,
    ConfigError,
    TrainingError,
)
from mien.evaluation.predictions import read_predictions
from mien.evaluation.scoring import predict
from mien.reports.run_text import format_run
from mien.training.checkpoints.checkpoint import read_tensors
from mien.training.experiment import evaluate, train
from mien.training.loading import find_checkpoint, load_model
from mien.types import Corpus, Material, Modality, Task


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
    """A store of the same videos, split another way, would test what was learned by heart."""
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


def _narrowed(names, rename=None):
    material = make_material()
    series = tuple(s for s in material.series if s.name in names)
    if rename is not None:
        series = tuple(replace(s, name=rename.get(s.name, s.name)) for s in series)
    return replace(material, series=series)


def test_a_model_is_evaluated_on_a_store_without_voice_and_face(finished, tmp_path, caplog):
    store = write_store(_narrowed(("text",)), tmp_path / "s")
    with caplog.at_level("WARNING"):
        model, prepared = load_model(finished, store)
    assert f"{store.path}: has no audio and no video; its clips are read without" in caplog.text
    there = predict(model, prepared.datasets["test"])
    material = make_material()
    silent = tuple(
        s if s.name == "text" else replace(s, read=lambda s=s: (a[:0] for a in s.read()))
        for s in material.series
    )
    empty = write_store(replace(material, series=silent), tmp_path / "e")
    model, prepared = load_model(finished, empty)
    wanted = predict(model, prepared.datasets["test"])
    np.testing.assert_array_equal(there.scores[Task.FUSION], wanted.scores[Task.FUSION])
    assert not there.present[Modality.AUDIO].any()


def test_a_model_is_evaluated_on_a_store_without_transcripts(tiny_bert, tmp_path, caplog):
    text = {"input": "transcript", "name": str(tiny_bert), "mode": "last-1"}
    material = make_material()
    config = make_config(
        text_encoder=text,
        train={"epochs": 1},
        features={"audio": "none"},
        labels={"generator": "copy"},
    )
    run = train(config, write_store(material, tmp_path / "s"), tmp_path / "r")

    def predict_without(number, *, folder, series=("video",)):
        clips = tuple(
            replace(clip, transcript=clip.transcript if row < number else " ")
            for row, clip in enumerate(material.corpus.clips)
        )
        kept = tuple(s for s in material.series if s.name in series)
        corpus = replace(material.corpus, clips=clips, language="fr" if not number else "en")
        store = write_store(Material(corpus=corpus, series=kept, origin={}), tmp_path / folder)
        model, prepared = load_model(run.path, store)
        return store, predict(model, prepared.datasets["test"])

    with caplog.at_level("WARNING"):
        store, without = predict_without(0, folder="none")
    warnings = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert warnings == [f"{store.path}: has no transcripts; its clips are read without"]
    _, silent = predict_without(1, folder="one")  # a train clip has words, so the store has some
    np.testing.assert_array_equal(without.scores[Task.FUSION], silent.scores[Task.FUSION])
    assert not without.present[Modality.TEXT].any()
    spoken, _ = predict_without(len(material.corpus.clips), folder="all")
    left_out = evaluate(run, store=spoken, without=["text"])
    assert left_out["splits"] == evaluate(run, store=store)["splits"]
    assert evaluate(run, store=spoken, without=["video"], int8=True)["without"] == ["video"]
    with pytest.raises(CheckpointError, match=r"reads text and video alone, and .* has no text"):
        predict_without(0, folder="empty", series=("tokens",))


def test_a_voice_under_another_name_is_no_lack_of_one(finished, tmp_path):
    store = write_store(_narrowed(("text", "audio"), {"audio": "voice"}), tmp_path / "s")
    with pytest.raises(CheckpointError, match=r"was trained on features of sizes .*; take a store"):
        load_model(finished, store)


def test_a_model_of_one_file_is_evaluated_on_the_store_that_is_named(
    finished, tiny_store, tmp_path
):
    run = evaluate(finished, store=tiny_store)
    file = finished / "seed-1" / "best.safetensors"
    alone = evaluate(file, store=tiny_store, out=tmp_path / "out")
    assert (alone["model"], alone["seeds"]) == (str(file), [])
    assert alone["splits"] == run["splits"]
    assert str(file) in "".join(format_run(alone).split())
    assert "over the seeds" not in format_run(alone)
    written = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert written == alone
    assert read_predictions(tmp_path / "out" / "predictions-test.csv").ids
    with pytest.raises(ConfigError, match=r"is one file, which holds no predictions; give the st"):
        evaluate(file)


def test_a_checkpoint_needs_the_text_encoder_that_it_was_trained_with(
    tiny_store, tiny_bert, tmp_path
):
    encoder = shutil.copytree(tiny_bert, tmp_path / "encoder")
    text = {"input": "transcript", "name": str(encoder), "mode": "last-1"}
    config = make_config(text_encoder=text, train={"epochs": 1})
    run = train(config, tiny_store, tmp_path / "r")
    model, prepared = load_model(run.path, tiny_store, splits=("test",))
    assert list(prepared.datasets) == ["test"]
    trained = [n for n, _ in model.parameter_groups()["text"]]
    assert trained
    tokens = run.seeds[0].examples()[0]["attention"]["text"]["tokens"]
    assert tokens[0] == "[CLS]"
    write_tiny_bert(encoder, seed=9)
    with pytest.raises(CheckpointError, match=r"was trained with other weights of text encoder"):
        load_model(run.path, tiny_store)


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
