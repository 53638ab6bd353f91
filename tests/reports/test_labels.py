import json

import numpy as np
import pytest
from fake_runs import write_run

from mien.cli import main
from mien.errors import CheckpointError
from mien.evaluation.label_agreement import agreement
from mien.reports.label_trajectories import read_label_rows
from mien.reports.labels import format_label_report, report_labels
from mien.training.run_folder import open_run
from mien.types import Modality


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr("mien.evaluation.bootstrap.RESAMPLES", 60)


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", num_epochs=3)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A run and the report of its labels; do not alter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mien.evaluation.bootstrap.RESAMPLES", 60)
        run = write_run(tmp_path_factory.mktemp("labelled") / "run", num_epochs=3)
        return run, report_labels(run)


def expected(run, seed, modality):
    """The agreement of a seed's labels at its best epoch, straight from its files."""
    folder = run.seed(seed)
    clips = folder.train_clips()
    row = clips["modalities"].index(modality)
    labels = folder.label_trajectory()[folder.metrics()["best_epoch"] - 1, row]
    truth, annotated = (np.array(clips["truth"][modality]), np.array(clips["annotated"]))
    return agreement(labels.astype(np.float64), truth, annotated)


def test_agreement_is_that_of_the_best_epoch_of_every_seed(labelled):
    run, report = labelled
    for modality in ("text", "audio", "video"):
        each = [expected(run, seed, modality) for seed in (1111, 1112)]
        for part in ("everywhere", "conflicting"):
            results = report.agreement[modality][part]
            assert results.num_clips == getattr(each[0], part).num_clips
            for name in ("pearson", "spearman", "mae", "mae_monotone", "sign"):
                values = [getattr(getattr(one, part), name) for one in each]
                source = results.metrics[name]["generated"]
                assert source.values == pytest.approx(values)
                assert source.mean == pytest.approx(np.mean(values))


def test_copies_stand_beside_the_generated_labels_and_are_subtracted(labelled):
    sources = labelled[1].agreement["audio"]["conflicting"].metrics["pearson"]
    assert sources["copy"].mean < sources["generated"].mean
    less = sources["generated"].less["copy"]
    difference = sources["generated"].mean - sources["copy"].mean
    assert less.difference == pytest.approx(difference)
    assert less.low < difference < less.high


def test_without_a_truth_it_says_so_and_how_far_labels_moved(tmp_path):
    run = write_run(tmp_path / "run", has_truth=False)
    report = report_labels(run)
    assert report.agreement == {}
    text = format_label_report(report)
    assert "is not known for text, audio, video" in " ".join(text.split())
    assert "contradicting" not in text.split("labels by epoch")[0]
    rows = read_label_rows(run.seeds)[Modality.AUDIO]
    moved = [np.abs(labels - rows.annotated).mean() for labels in rows.best]
    assert report.moves["audio"].moved.values == pytest.approx(moved)
    assert set(report.moves["audio"].with_others) == {"text", "video"}
    assert [path.name for path in report.figures] == ["labels-epochs.png"]


def test_a_truth_that_is_partly_known_is_judged_where_it_is(run):
    for seed in run.seeds:
        path = seed.path / "train.json"
        clips = json.loads(path.read_text())
        clips["truth"]["text"][:20] = [None] * 20
        path.write_text(json.dumps(clips))
    assert report_labels(run).agreement["text"]["everywhere"].num_clips == 40


@pytest.mark.usefixtures("drawing")
def test_figures_are_written_over_older_ones_and_other_files_stay(run):
    (run.path / "figures").mkdir()
    (run.path / "figures" / "labels-epochs.png").write_bytes(b"old")
    (run.path / "figures" / "labels-mine.png").write_bytes(b"a user's own")
    (run.path / "figures" / "scores.png").write_bytes(b"kept")
    report = report_labels(run)
    names = ["labels-agreement.png", "labels-epochs.png"]
    assert [path.name for path in report.figures] == names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in report.figures)
    left = sorted(path.name for path in (run.path / "figures").iterdir())
    assert left == [*names, "labels-mine.png", "scores.png"]


def test_the_text_fits_80_columns_and_calls_a_synthetic_corpus_so(labelled):
    run, report = labelled
    text = format_label_report(report).replace(str(run.path), "RUN")
    assert max(map(len, text.splitlines())) <= 80
    assert "synthetic corpus" in text.splitlines()[0]
    assert "truth" in text


def test_seeds_with_other_clips_are_refused(run):
    path = run.seed(1112).path / "train.json"
    clips = json.loads(path.read_text())
    clips["ids"][0] = "another$_$0"
    path.write_text(json.dumps(clips))
    with pytest.raises(CheckpointError, match=r"its train clips or modalities are not those of"):
        report_labels(open_run(run.path))


def test_the_command_prints_the_report(run, capsys):
    assert main(["labels", str(run.path)]) == 0
    printed = capsys.readouterr().out
    assert "best epoch against the truth, contradicting clips" in printed
    assert "labels-agreement.png" in printed


def test_a_run_that_is_not_there_is_a_sentence(tmp_path, capsys):
    assert main(["labels", str(tmp_path)]) == 2
    assert "is not a run folder" in capsys.readouterr().err
