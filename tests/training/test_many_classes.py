"""Two hundred classes, most of them in a clip or two: all that is done with classes is done."""

import numpy as np
import pytest
from helpers import make_config
from targeted import make_targeted

import mien
from mien.data.store_writer import write_store
from mien.prediction.network import load_network
from mien.prediction.target_answers.answer_targets import answer_targets
from mien.reports.page import write_report
from mien.reports.run_text import format_comparison, format_run
from mien.types import Target, TargetKind

NAMES = tuple(f"class {number}" for number in range(200))
TOPIC = Target(name="topic", kind=TargetKind.CLASS, classes=NAMES)


def class_of(label):
    """A class by the label: of 200 places on the scale that which is nearest."""
    own = round((label + 3) / 6 * 199)
    return {"topic": tuple(float(own == k) for k in range(200))}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    made = make_targeted((TOPIC,), values=class_of, num_clips=(60, 20, 20), annotated=1.0)
    store = write_store(made, folder / "store")
    config = make_config(train={"epochs": 1, "seeds": [1]}, labels={"generator": "copy"})
    return mien.train(config, store, folder / "run"), store


def test_metrics_are_of_the_classes_that_occur(run):
    metrics = run[0].metrics()["targets"]["splits"]["test"]["topic"]["fusion"]
    assert metrics["accuracy"]["num_clips"] == 20
    assert 0 <= metrics["uar"]["low"] <= metrics["uar"]["mean"] <= metrics["uar"]["high"] <= 1


def test_report_text_and_comparison_name_the_target(run):
    report = write_report(run[0]).read_text(encoding="utf-8")
    assert "topic" in report
    assert max(len(line.split(" | ")) for line in report.splitlines()) < 40
    assert "topic" in format_run(run[0].metrics())
    compared = mien.compare([run[0], run[0]])
    assert "topic" in format_comparison(compared)


def test_a_clip_is_answered_with_a_set_of_classes(run):
    network = load_network(run[0].seeds[0].best)
    series = {m: np.zeros((3, size), np.float32) for m, size in network.sizes.items()}
    (scores,) = network.score_clips([series])
    targets, calibration = network.model.targets, network.target_calibration
    answer = answer_targets(targets, calibration, scores.targets, scores.present)["topic"]
    assert sum(answer.overall.probabilities.values()) == pytest.approx(1)
    assert 0 < len(answer.overall.possible or ()) <= len(NAMES)
