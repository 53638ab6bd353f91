"""Models that are fitted at once: runs like all others."""

import json
from dataclasses import replace

import pytest
from targeted import EMOTION, VALENCE, make_targeted, values_of
from trainings import assert_same_run

from mien.data.store_writer import write_store
from mien.errors import CheckpointError, ConfigError, TrainingError
from mien.evaluation.metrics_file.run_metrics import run_metrics_from_json
from mien.prediction.package import pack
from mien.reports.label_trajectories import read_label_rows
from mien.training.checkpoints.checkpoint import read_header, read_tensors, write_tensors
from mien.training.experiment import evaluate, train
from mien.training.loading import load_model
from mien.training.run_folder import open_run
from mien.training.settings import read_config

LEARNED = (EMOTION, VALENCE)
TREES = ("model.rounds=6", "model.depths=[2]")


def settings(name, *more):
    return read_config(
        name, ["text_encoder.input=embeddings", *(TREES if name == "trees" else ()), *more]
    )


@pytest.fixture(scope="module")
def targeted(tmp_path_factory):
    """A store of clips with sentiment, one of three classes and a score; do not alter."""
    return write_store(
        make_targeted(LEARNED, sentiment=0.8), tmp_path_factory.mktemp("stores") / "many"
    )


@pytest.mark.parametrize("name", ["ridge", "trees"])
def test_a_run_has_what_every_run_has_and_its_model_predicts_the_same(name, targeted, tmp_path):
    run = train(settings(name, "train.seeds=[1]"), targeted, tmp_path / "r")
    (seed,) = run.seeds
    assert [record["epoch"] for record in seed.epochs()] == [1]
    tried = json.loads((seed.path / "tried.json").read_text(encoding="utf-8"))
    assert list(tried) == ["sentiment", *(target.name for target in LEARNED)]
    assert len(tried["emotion"]) == (13 if name == "ridge" else 1)
    results = run.results()
    assert set(results.targets["test"]) == {target.name for target in LEARNED}
    assert results.splits["test"]["fusion"]["mae"].mean < 3
    assert seed.results().coverage is not None
    assert seed.label_trajectory().shape == (1, 0, len(seed.train_clips()["ids"]))
    assert read_label_rows(run.seeds) == {}  # as the report reads them, of whatever is annotated
    on_store = evaluate(run, store=targeted)
    again = run_metrics_from_json(on_store)
    assert again.splits["test"] == results.splits["test"]
    assert again.targets["test"] == results.targets["test"]


def test_the_same_run_is_made_twice_and_chance_is_in_trees_alone(tiny_store, tmp_path):
    for name in ("ridge", "trees"):
        config = settings(name, "train.seeds=[1, 2]")
        runs = [train(config, tiny_store, tmp_path / f"{name}{number}") for number in (1, 2)]
        assert_same_run(*(run.path for run in runs), seeds=(1, 2))
        values = runs[0].results().splits["test"]["fusion"]["mae"].values
        assert (values[0] == values[1]) == (name == "ridge")


def test_classes_that_are_called_sentiment_are_tried_beside_scores_of_it(tmp_path):
    named = replace(EMOTION, name="sentiment")
    material = make_targeted(
        (named,), values=lambda label: {"sentiment": values_of(label)["emotion"]}
    )
    store = write_store(material, tmp_path / "s")
    run = train(settings("ridge", "train.seeds=[1]"), store, tmp_path / "r")
    tried = json.loads((run.seeds[0].path / "tried.json").read_text(encoding="utf-8"))
    assert list(tried) == ["sentiment", "target sentiment"]


def test_a_run_that_was_stopped_goes_on(tiny_store, tmp_path):
    run = train(settings("ridge"), tiny_store, tmp_path / "r")
    before = run.metrics()
    (run.seeds[0].path / "metrics.json").unlink()
    (run.path / "metrics.json").unlink()
    train(settings("ridge"), tiny_store, run.path, resume=True)
    assert open_run(run.path).metrics() == before


def test_the_penalty_is_the_one_that_is_best_on_valid(tiny_store, tmp_path):
    run = train(settings("ridge", "train.monitor=corr"), tiny_store, tmp_path / "r")
    seed = run.seeds[0]
    tried = json.loads((seed.path / "tried.json").read_text(encoding="utf-8"))["sentiment"]
    best = min(each["error"] for each in tried)
    assert seed.epochs()[0]["valid"]["corr"] == pytest.approx(-best, abs=1e-4)
    assert len({each["error"] for each in tried}) > 3


def test_a_file_whose_trees_go_astray_is_a_sentence(tiny_store, tmp_path):
    run = train(settings("trees"), tiny_store, tmp_path / "r")
    packed = pack(run, tmp_path / "m.safetensors")
    load_model(packed, tiny_store)
    tensors, header = read_tensors(packed), read_header(packed)
    tensors["model/trees.feature"][0] = 15
    write_tensors(packed, tensors, header)
    with pytest.raises(CheckpointError, match=r"m\.safetensors: .*not among the 15 of the model"):
        load_model(packed, tiny_store)


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("ridge", ["train.loss.error=absolute"], "minimises squared errors; set train.loss"),
        ("ridge", ["model.modality_dropout=.3"], "takes no modality away; set model.modality"),
        (
            "trees",
            ["text_encoder.input=transcript", "text_encoder.mode=last-2"],
            "trains no text encoder, and text_encoder.mode is 'last-2'",
        ),
        (
            "trees",
            ["labels.generator=latent"],
            "no unimodal task that labels are generated",
        ),
    ],
)
def test_what_a_fit_has_no_use_for_is_refused(name, overrides, message, tiny_store, tmp_path):
    with pytest.raises(ConfigError, match=message):
        train(settings(name, *overrides), tiny_store, tmp_path / "r")


def test_focal_losses_are_refused(targeted, tmp_path):
    config = settings("ridge", "targets.kinds.class.focusing=2")
    with pytest.raises(ConfigError, match="has no focal loss; leave out the focusing of targets"):
        train(config, targeted, tmp_path / "r")


def test_weights_to_start_from_are_refused(tiny_store, tmp_path):
    run = train(settings("ridge"), tiny_store, tmp_path / "r")
    with pytest.raises(ConfigError, match="'ridge' is fitted at once and starts from no weights"):
        train(settings("ridge"), tiny_store, tmp_path / "s", init=run)


def test_what_is_not_annotated_in_valid_is_refused(tmp_path):
    material = make_targeted([EMOTION], annotated=1.0)
    clips = tuple(
        clip if clip.split == "train" else replace(clip, targets={})
        for clip in material.corpus.clips
    )
    material = replace(material, corpus=replace(material.corpus, clips=clips))
    store = write_store(material, tmp_path / "s")
    with pytest.raises(TrainingError, match="no clip of valid is annotated for the target 'emo"):
        train(settings("ridge"), store, tmp_path / "r")


@pytest.mark.parametrize("name", ["ridge", "trees"])
def test_without_scikit_learn_there_is_a_sentence(name, targeted, tmp_path, monkeypatch):
    monkeypatch.setattr("mien.errors.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"'sklearn' is not installed; .*\[baselines\]"):
        train(settings(name), targeted, tmp_path / "r")
