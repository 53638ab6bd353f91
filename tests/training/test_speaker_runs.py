import json
from dataclasses import replace

import numpy as np
import pytest
from helpers import make_config, make_material

from mien.data.store_writer import write_store
from mien.errors import ConfigError
from mien.evaluation.scoring import predict
from mien.reports.run_text import format_run
from mien.training.checkpoints.header import open_header
from mien.training.experiment import evaluate, train
from mien.training.loading import load_model
from mien.training.run_folder import find_checkpoint
from mien.types import Modality, Task


@pytest.fixture(scope="module")
def relative(tiny_store, tmp_path_factory):
    """A run whose model reads clips against their speakers; do not alter."""
    out = tmp_path_factory.mktemp("runs") / "relative"
    config = make_config(
        features={"standardise": "speaker", "baseline_seconds": 4.0},
        labels={"generator": "copy"},
        model={"encoder": "steps"},
    )
    train(config, tiny_store, out)
    return out


def test_a_run_against_speakers_says_so_and_is_evaluated_with_and_without(relative, tiny_store):
    own = json.loads((relative / "metrics.json").read_text())
    assert own["baseline"] == "speaker"
    again = evaluate(relative, store=tiny_store)
    assert again["baseline"] == "speaker"
    assert again["splits"]["test"] == own["splits"]["test"]
    assert evaluate(relative, baseline="speaker")["splits"]["test"] == own["splits"]["test"]
    alone = evaluate(relative, store=tiny_store, baseline="none")
    assert alone["baseline"] == "none"
    assert alone["splits"]["test"] != own["splits"]["test"]
    assert "transductive" in format_run(own).replace("\n", " ")
    assert "transductive" not in format_run(alone)
    with pytest.raises(ConfigError, match="--store"):
        evaluate(relative, baseline="none")


def test_a_model_of_train_takes_no_baseline(finished, tiny_store):
    for options in ({}, {"store": tiny_store}):
        with pytest.raises(ConfigError, match=r"features\.standardise=train.*--baseline"):
            evaluate(finished, baseline="speaker", **options)
    assert "baseline" not in json.loads((finished / "metrics.json").read_text())
    assert open_header(find_checkpoint(finished)).calibration_alone is None


def test_both_ways_of_reading_have_widths_of_their_own(relative):
    header = open_header(find_checkpoint(relative))
    assert header.calibration is not None
    assert header.calibration_alone is not None
    assert header.config["features"]["standardise"] == "speaker"


def test_a_store_without_voice_and_face_is_read_without_baselines(relative, tmp_path, caplog):
    material = make_material()
    words = tuple(each for each in material.series if each.name == "text")
    store = write_store(replace(material, series=words), tmp_path / "s")
    with pytest.raises(ConfigError, match=r"has no audio and no video.*--baseline none"):
        load_model(relative, store)
    with caplog.at_level("WARNING"):
        model, prepared = load_model(relative, store, baseline="none")
    assert f"{store.path}: has no audio and no video; its clips are read without" in caplog.text
    scores = predict(model, prepared.datasets["test"])
    assert not scores.present[Modality.VIDEO].any()
    silent = tuple(
        each
        if each.name == "text"
        else replace(each, read=lambda each=each: (steps[:0] for steps in each.read()))
        for each in material.series
    )
    empty = write_store(replace(material, series=silent), tmp_path / "e")
    model, prepared = load_model(relative, empty, baseline="none")
    expected = predict(model, prepared.datasets["test"])
    np.testing.assert_array_equal(scores.scores[Task.FUSION], expected.scores[Task.FUSION])


def test_what_a_store_has_of_voice_and_face_is_read_against_speakers(relative, tmp_path):
    material = make_material(missing=0.0)
    heard = tuple(each for each in material.series if each.name != "video")
    store = write_store(replace(material, series=heard), tmp_path / "s")
    model, prepared = load_model(relative, store, baseline="speaker")
    scores = predict(model, prepared.datasets["test"])
    assert list(prepared.datasets["test"].baselines) == [Modality.AUDIO]
    assert not scores.present[Modality.VIDEO].any()
    _, complete = load_model(relative, write_store(material, tmp_path / "c"), baseline="speaker")
    np.testing.assert_array_equal(
        prepared.datasets["test"].read(Modality.AUDIO, 0),
        complete.datasets["test"].read(Modality.AUDIO, 0),
    )
