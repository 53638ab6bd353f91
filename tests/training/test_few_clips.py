"""A split, or a unimodal task, with one annotated clip: all works, without intervals."""

import dataclasses
import json
import logging

import pytest
from helpers import make_config, make_material

from mien.data.store_writer import write_store
from mien.errors import TrainingError
from mien.reports.comparison import compare_runs
from mien.reports.labels import format_label_report, report_labels
from mien.reports.page import write_report
from mien.reports.run_text import format_comparison, format_run
from mien.training.experiment import evaluate, train
from mien.types import Task

ENDS = ("low", "high")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run on a store with one clip in valid and in test; and what was warned of."""
    folder = tmp_path_factory.mktemp("few")
    store = write_store(make_material(num_clips=(12, 1, 1), missing=0.0), folder / "store")
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    logger = logging.getLogger("mien")
    logger.addHandler(handler)
    config = make_config(train={"seeds": [1, 2], "epochs": 1})
    run = train(config, store, folder / "run")
    logger.removeHandler(handler)
    return run, records


def test_one_clip_in_valid_and_test_is_evaluated_without_intervals(runs):
    run, _ = runs
    for split in ("valid", "test"):
        mae = run.metrics()["splits"][split]["fusion"]["mae"]
        assert mae["mean"] == pytest.approx(sum(mae["values"]) / 2)
        assert [mae[end] for end in ENDS] == [None, None]
        assert mae["num_clips"] == 1
    assert evaluate(run)["splits"]["test"]["fusion"]["mae"]["low"] is None
    text = " ".join(format_run(run.metrics()).split())
    assert "multimodal task, 1 clip (no interval can be given)" in text


def test_one_clip_in_valid_and_test_is_reported_with_figures(runs):
    run, _ = runs
    report = write_report(run).read_text()
    assert "**test of tiny (synthetic corpus), 1 clip (no interval can be given)**" in report
    assert "figures/scores.png" in report
    assert (run.path / "figures" / "scores.png").is_file()


def test_one_clip_in_test_is_compared_without_intervals(runs):
    run, _ = runs
    result = compare_runs([run, run])
    second = result.metrics["mae"][1].to_first
    assert (result.num_units, second.difference) == (1, 0)
    text = " ".join(format_comparison(result).split())
    assert "paired over 1 clip, too few for an interval" in text


def test_labels_of_such_a_run_are_reported(runs):
    run, _ = runs
    text = format_label_report(report_labels(run))
    assert "(few: t intervals with 3 degrees of freedom)" in " ".join(text.split())


def test_what_a_store_lacks_is_said_before_training(runs):
    run, records = runs
    store = run.path.parent / "store"
    for split in ("valid", "test"):
        assert f"{store}: {split} has 1 clip: no interval can be given, and no correlation" in (
            records
        )


@pytest.mark.parametrize("generator", ["latent", "oof"])
def test_one_clip_of_train_holds_nothing_out_to_make_evidence_of(tmp_path, generator):
    store = write_store(make_material(num_clips=(1, 1, 1), missing=0.0), tmp_path / "store")
    with pytest.raises(TrainingError, match=rf"train has 1 clip, .* than '{generator}' \(labels"):
        train(make_config(labels={"generator": generator}), store, tmp_path / "run")
    run = train(make_config(labels={"generator": "copy"}), store, tmp_path / "copy")
    assert run.metrics()["splits"]["test"]["fusion"]["mae"]["mean"] is not None


def test_a_modality_annotated_in_one_clip_has_no_interval(tmp_path, caplog):
    material = make_material(num_clips=(12, 6, 6), missing=0.0)
    audio = Task.AUDIO
    kept = next(clip.id for clip in material.corpus.clips if clip.split == "test")
    clips = tuple(
        clip
        if clip.split == "train" or clip.id == kept
        else dataclasses.replace(
            clip, labels={t: v for t, v in clip.labels.items() if t is not audio}
        )
        for clip in material.corpus.clips
    )
    corpus = dataclasses.replace(material.corpus, clips=clips)
    store = write_store(dataclasses.replace(material, corpus=corpus), tmp_path / "store")
    run = train(make_config(train={"epochs": 1}), store, tmp_path / "run")
    metrics = run.metrics()["splits"]["test"]
    assert metrics["audio"]["mae"]["low"] is None
    assert metrics["audio"]["mae"]["num_clips"] == 1
    assert metrics["fusion"]["mae"]["low"] is not None
    assert "test has 1 clip annotated for audio: no interval" in caplog.text
    assert json.dumps(run.metrics(), allow_nan=False)
