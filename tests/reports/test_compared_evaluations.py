"""Evaluations that ``mien evaluate --out`` wrote, compared with runs and with each other."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
from fake_runs import write_run

from mien.errors import CheckpointError
from mien.evaluation.evaluate import evaluate_run
from mien.evaluation.metrics_file.evaluated_model import EvaluatedModel
from mien.evaluation.metrics_file.evaluation_folder import Evaluation, write_evaluation
from mien.reports.comparison import compare_runs
from mien.training.experiment import evaluate
from mien.training.run_folder import open_run
from mien.types import Task


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run, the evaluation of another one on its clips, and that of a model of one file."""
    path = tmp_path_factory.mktemp("compared")
    write_run(path / "run", clips_per_video=4)
    other = write_run(path / "other", clips_per_video=4, error=1.2, seeds=(5, 6, 7))
    evaluate(other, out=path / "evaluation")
    predictions = other.seeds[0].predictions("test")
    metrics = evaluate_run(
        other.results().family,
        "planted",
        is_synthetic=False,
        seeds=(),
        predictions={"test": [predictions]},
        attention=[{}],
        model="small_model",
    )
    model = EvaluatedModel(settings={"model": {"name": "tam_ulag"}}, environment={})
    write_evaluation(path / "model", "test", Evaluation(metrics, [predictions], model))
    return path


def scores(run):
    return np.stack([seed.predictions("test").scores[Task.FUSION] for seed in run.seeds])


def test_an_evaluation_is_compared_as_the_run_that_it_is_of(folder):
    names = [folder / "run", folder / "evaluation"]
    result = compare_runs(names)
    expected = compare_runs([folder / "run", folder / "other"])
    assert result.runs == ("run", "evaluation")
    assert result.num_seeds == expected.num_seeds == (2, 3)
    for metric, (_, own) in result.metrics.items():
        assert own.numbers() == expected.metrics[metric][1].numbers()
    assert compare_runs(names[::-1]).metrics["mae"][1].to_first.difference == pytest.approx(
        -result.metrics["mae"][1].to_first.difference
    )


def test_a_model_of_one_file_is_compared_by_itself_and_called_by_its_name(folder):
    result = compare_runs([folder / "run", folder / "model"])
    run, other = open_run(folder / "run"), open_run(folder / "other")
    truths = run.seeds[0].predictions("test").targets[Task.FUSION]
    model, trained = (np.abs(scores(each) - truths).mean(axis=1) for each in (other, run))
    mae = result.metrics["mae"][1]
    assert mae.to_first.difference == pytest.approx(model[0] - trained.mean())
    assert not mae.to_first.covers_seeds
    assert result.models == {"model": "small_model"}
    assert "model is one model: small\\_model." in result.to_markdown()
    assert "| model | - |" in result.to_markdown()
    assert "over the seeds (2 of each run)" in result.to_latex()
    assert result.to_dict()["runs"][1]["model"] == "small_model"
    rows = list(csv.DictReader(io.StringIO(result.to_csv())))
    assert {row["run"]: row["model"] for row in rows} == {"run": "", "model": "small_model"}


def test_other_clips_annotations_splits_and_files_are_refused_in_a_sentence(folder, tmp_path):
    copy = tmp_path / "evaluation"
    shutil.copytree(folder / "evaluation", copy)
    with pytest.raises(CheckpointError, match=r"is an evaluation on test, not on valid.*--split"):
        compare_runs([folder / "run", copy], "valid")
    file = copy / "predictions-test-6.csv"
    text = file.read_text(encoding="utf-8")
    file.unlink()
    with pytest.raises(CheckpointError, match=r"predictions-test-6.csv: is not there"):
        compare_runs([folder / "run", copy])
    for seed in (5, 6, 7):
        lines = text.splitlines(keepends=True)
        (copy / f"predictions-test-{seed}.csv").write_text("".join(lines[:-1]), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"test of evaluation lacks clip .*which run has"):
        compare_runs([folder / "run", copy])
    metrics = json.loads((copy / "metrics.json").read_text(encoding="utf-8"))
    (copy / "metrics.json").write_text(json.dumps(metrics | {"corpus": "sims"}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="corpus is 'sims', must be 'planted'"):
        compare_runs([folder / "run", copy])
    del metrics["splits"]
    (copy / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"is damaged \(KeyError\('splits'\)\)"):
        compare_runs([folder / "run", copy])


def test_seeds_of_an_earlier_evaluation_in_the_folder_are_not_read(folder, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(folder / "model", copy)
    shutil.copy(folder / "evaluation" / "predictions-test-5.csv", copy / "predictions-test-9.csv")
    result = compare_runs([folder / "run", copy])
    assert result.num_seeds == (2, 1)
    assert result.metrics["mae"][1].numbers() == pytest.approx(
        compare_runs([folder / "run", folder / "model"]).metrics["mae"][1].numbers(), nan_ok=True
    )


def test_where_a_run_is_needed_an_evaluation_is_said_to_be_one(folder):
    with pytest.raises(
        CheckpointError, match="is an evaluation, which mien compare and mien report --out"
    ):
        open_run(folder / "model")
    with pytest.raises(CheckpointError, match=r"mien evaluate default --store STORE --out FOLDER"):
        compare_runs([folder / "run", "default"])
    with pytest.raises(CheckpointError, match="is the folder of one seed"):
        compare_runs([folder / "run", folder / "other" / "seed-5"])
