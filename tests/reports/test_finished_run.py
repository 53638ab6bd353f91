import json
import shutil

import numpy as np
import pytest
from fake_runs import write_run

from mien.errors import CheckpointError
from mien.reports.finished_run import read_labels, read_run
from mien.training.run_folder import open_run
from mien.types import Modality, Scale


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("written") / "run", seeds=(2, 1), num_epochs=2)


@pytest.fixture
def run(written, tmp_path):
    """A run of which a test may change the files."""
    shutil.copytree(written.path, tmp_path / "run")
    return open_run(tmp_path / "run")


def test_seeds_are_those_of_the_metrics_each_with_its_best_epoch(run):
    metrics = {**run.metrics(), "seeds": [2, 1], "best_epochs": [5, 3]}
    (run.path / "metrics.json").write_text(json.dumps(metrics))
    finished = read_run(run)
    assert [seed.seed for seed in finished.seeds] == [2, 1]
    assert [finished.best_epoch(seed) for seed in finished.seeds] == [5, 3]


@pytest.mark.parametrize(
    ("corpus", "given", "scale"),
    [
        ("sims", Scale(-1, 1), Scale(-1, 1)),
        ("mosei", Scale(-3, 3), Scale(-3, 3)),
        ("interviews", Scale(-3, 3), Scale(-3, 3)),
        ("interviews", Scale(-2, 2), Scale(-2, 2)),
    ],
)
def test_the_scale_is_that_of_the_corpus_or_of_its_labels(tmp_path, corpus, given, scale):
    run = write_run(
        tmp_path / "run", corpus=corpus, scale=given, seeds=(1,), num_epochs=1,
        num_clips=(500, 30, 30),
    )  # fmt: skip
    assert read_run(run).scale == scale


def test_a_label_that_is_not_known_is_nan_and_a_modality_without_any_is_absent(run):
    seed = read_run(run).seeds[0]
    path = seed.path / "train.json"
    clips = json.loads(path.read_text())
    clips["truth"]["audio"] = [None] * len(clips["ids"])
    clips["truth"]["text"][3] = None
    path.write_text(json.dumps(clips))
    labels = read_labels(seed)
    assert set(labels.truth) == {Modality.TEXT, Modality.VIDEO}
    assert np.flatnonzero(np.isnan(labels.truth[Modality.TEXT])).tolist() == [3]
    assert labels.modalities == tuple(Modality)


def test_only_clips_with_attention_are_shown(tmp_path):
    with_attention = write_run(tmp_path / "a", seeds=(1,), num_epochs=1)
    without = write_run(tmp_path / "b", seeds=(1,), num_epochs=1, has_attention=False)
    assert len(read_run(with_attention).examples()) == 3
    assert read_run(without).examples() == []


@pytest.mark.parametrize("name", ["epochs.jsonl", "train.json", "metrics.json"])
def test_a_missing_file_of_a_counted_seed_is_named(run, name):
    (run.seeds[1].path / name).unlink()
    with pytest.raises(CheckpointError, match=rf"seed-2/{name}: is not there, but .* counts"):
        read_run(run)


def test_a_run_that_has_not_ended_is_refused(run):
    (run.path / "metrics.json").unlink()
    with pytest.raises(CheckpointError, match="is not there; has the training finished"):
        read_run(run)


def test_a_run_without_a_finished_seed_is_refused(run):
    (run.path / "metrics.json").write_text(json.dumps({**run.metrics(), "seeds": []}))
    with pytest.raises(CheckpointError, match="has no finished seed; train it first"):
        read_run(run)
