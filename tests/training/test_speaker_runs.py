import json

import pytest
from helpers import make_config

from mien.errors import ConfigError
from mien.reports.run_text import format_run
from mien.training.checkpoints.header import open_header
from mien.training.experiment import evaluate, train
from mien.training.run_folder import find_checkpoint


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
