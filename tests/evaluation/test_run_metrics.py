import copy
import json
import shutil

import numpy as np
import pytest
from fake_runs import write_run

from mien.errors import CheckpointError
from mien.evaluation.metrics import METRICS
from mien.evaluation.metrics_file.run_metrics import run_metrics_from_json, run_metrics_to_json
from mien.training.run_folder import open_run
from mien.types import Modality


@pytest.fixture(scope="module", params=["planted", "sims", "without-truth"])
def written(request, tmp_path_factory):
    options = {
        "planted": {},
        "sims": {"corpus": "sims", "modalities": (Modality.TEXT,), "seeds": (1,)},
        "without-truth": {"has_truth": False, "has_attention": False, "splits": ("valid",)},
    }
    folder = tmp_path_factory.mktemp("written") / "run"
    return write_run(folder, num_epochs=2, **options[request.param])


@pytest.fixture
def run(written, tmp_path):
    """A run of which a test may change the files."""
    shutil.copytree(written.path, tmp_path / "run")
    return open_run(tmp_path / "run")


def test_metrics_are_written_as_they_were_read(run):
    written = (run.path / "metrics.json").read_text()
    metrics = run_metrics_from_json(json.loads(written))
    assert metrics == run.results()
    assert json.dumps(run_metrics_to_json(metrics), indent=1) == written


def test_the_mean_and_deviation_are_over_the_values_of_the_seeds(run):
    for tasks in run.results().splits.values():
        for metric in tasks["fusion"].values():
            assert len(metric.values) == len(run.seeds)
            assert metric.mean == pytest.approx(np.mean(metric.values))
            assert (metric.deviation is None) == (len(metric.values) == 1)


def test_the_ensemble_is_the_mean_of_the_scores_of_the_seeds(run):
    for split, tasks in run.results().splits.items():
        scored = [seed.predictions(split) for seed in run.seeds]
        scores = np.mean([of_seed.scores["fusion"] for of_seed in scored], axis=0)
        targets = scored[0].targets["fusion"]
        for name, metric in tasks["fusion"].items():
            of_all = METRICS[run.results().family][name](scores, targets)
            several = len(run.seeds) > 1
            assert metric.ensemble == (pytest.approx(of_all) if several else None)


def test_the_file_of_an_earlier_version_is_read(run):
    values = copy.deepcopy(run.metrics())
    del values["failed_seeds"]
    for tasks in values["splits"].values():
        for metrics in tasks.values():
            for metric in metrics.values():
                for key in ("num_clips", "low_videos", "high_videos", "num_videos", "ensemble"):
                    metric.pop(key, None)
    metrics = run_metrics_from_json(values)
    assert metrics.failed_seeds == {}
    assert metrics.splits["valid"]["fusion"]["mae"].num_clips is None


@pytest.mark.parametrize("damage", [{"splits": {"test": 3}}, {"seeds": None}, {"labels": []}])
def test_damaged_metrics_are_an_error_that_names_the_file(run, damage):
    path = run.path / "metrics.json"
    path.write_text(json.dumps({**run.metrics(), **damage}))
    with pytest.raises(CheckpointError, match=r"metrics\.json: is damaged"):
        run.results()
