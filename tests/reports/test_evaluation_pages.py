"""Pages of evaluations, alone or beside runs: what they hold, and what they leave out."""

import json
import shutil

import pytest
from fake_runs import EMOTION, write_run
from html_sections import read_sections

from mien.cli import main
from mien.reports.html_page.page_runs import read_page_runs
from mien.reports.html_page.runs_page import write_runs_page
from mien.training.experiment import evaluate

OPTIONS = {"num_clips": (6, 8, 20), "num_epochs": 2, "target": EMOTION}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs, and their evaluations on what they predict of their own store."""
    path = tmp_path_factory.mktemp("evaluated")
    for name, error in (("run", 0.5), ("other", 1.2)):
        run = write_run(path / name, error=error, seeds=(1, 2), **OPTIONS)
        evaluate(run, out=path / f"of-{name}")
        evaluate(run, split="valid", out=path / f"valid-{name}")
    return path


def test_a_page_of_evaluations_has_all_but_what_a_training_has(folder, tmp_path, capsys):
    given = [str(folder / name) for name in ("of-run", "of-other")]
    assert main(["report", *given, "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "index.html")
    sections = read_sections(tmp_path / "index.html")
    assert list(sections) == [
        *("", "runs", "results", "differences", "errors", "clips", "figures", "settings"),
        *("environment", "metrics"),
    ]
    assert "2 evaluations on planted (synthetic corpus)" in sections[""]
    assert "Learning curves, generated labels and attention are of the" in sections["runs"]
    assert "Figures of of-run" in sections["figures"]
    for missing in ("curves", "labels", "attention"):
        assert missing not in sections["figures"]
    assert "train.epochs" in sections["settings"]
    assert "versions.torch" in sections["environment"]


def test_an_evaluation_stands_beside_its_run_with_the_same_numbers(folder, tmp_path):
    sections = read_sections(write_runs_page([folder / "run", folder / "of-run"], tmp_path))
    assert "2 runs on planted" in sections[""]
    assert "of-run evaluation" in " ".join(sections["runs"].split())
    assert "curves" in sections
    assert sections["curves"].count("of-run") == 0
    assert "The settings of the runs are the same" in sections["settings"]
    rows = sections["results"].split("of-run")
    first = rows[0].partition("Acc-7")[2].split("run", 1)[1]
    assert rows[1].split()[:20] == first.split()[:20]


def test_figures_are_of_the_split_of_the_page(folder, tmp_path):
    """Figures were those of test, on a page of valid."""
    for name in ("run", "valid-run"):
        path = write_runs_page([folder / name], tmp_path / name, split="valid")
        figures = read_sections(path)["figures"]
        assert "Score against annotated label on valid" in figures
        assert "on test" not in figures


def test_an_evaluation_by_an_earlier_version_is_shown_as_far_as_it_goes(folder, tmp_path):
    earlier = shutil.copytree(folder / "of-other", tmp_path / "earlier")
    (earlier / "evaluated.json").unlink()
    sections = read_sections(write_runs_page([folder / "run", earlier], tmp_path / "page"))
    assert "earlier: written by an earlier version, without settings" in sections["runs"]
    assert "earlier" not in sections["settings"] + sections["environment"]
    alone = read_sections(write_runs_page([earlier], tmp_path / "alone"))
    assert "results" in alone
    assert "settings" not in alone
    assert "environment" not in alone


@pytest.mark.parametrize("corpus", ["planted", "own"])
def test_the_scale_of_an_evaluation_is_that_of_its_run(corpus, tmp_path):
    run = write_run(tmp_path / "run", corpus=corpus, seeds=(1,), **OPTIONS)
    evaluate(run, out=tmp_path / "evaluation")
    own, its = (
        read_page_runs([tmp_path / name], "test", None).finished[0].scale
        for name in ("run", "evaluation")
    )
    assert own == its


def test_what_does_not_go_together_is_refused_in_a_sentence(folder, tmp_path, capsys):
    def refuse(*names, sentence, options=()):
        given = [str(folder / name if isinstance(name, str) else name) for name in names]
        assert main(["report", *given, "--out", str(tmp_path / "page"), *options]) == 2
        printed = capsys.readouterr().err
        assert sentence in printed
        assert len(printed.splitlines()) == 1

    refuse("run", "valid-run", sentence="valid-run: is an evaluation on valid, not on test")
    refuse("of-run", sentence="on test, not on valid", options=("--split", "valid"))
    copy = shutil.copytree(folder / "of-other", tmp_path / "copy")
    text = (copy / "metrics.json").read_text(encoding="utf-8")
    (copy / "metrics.json").write_text(json.dumps(json.loads(text) | {"corpus": "sims"}))
    refuse("of-run", copy, sentence="corpus is 'sims', must be 'planted'")
    (copy / "metrics.json").write_text(text)
    for seed in (1, 2):
        file = copy / f"predictions-test-{seed}.csv"
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        file.write_text("".join(lines[:-seed]), encoding="utf-8")
    refuse("of-run", copy, sentence="its test clips are not those of the run's other seeds")
    (copy / "evaluated.json").write_text("{}")
    refuse(copy, sentence="evaluated.json: is damaged (KeyError('scale'))")
    assert main(["report", str(copy)]) == 2
    assert "is an evaluation, which mien compare and mien report --out take" in (
        capsys.readouterr().err
    )
