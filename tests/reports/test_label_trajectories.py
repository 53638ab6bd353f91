import json

import numpy as np
import pytest
from fake_runs import settle_labels, write_run

from mien.evaluation.label_agreement import agreement, flipped_share
from mien.reports.label_trajectories import (
    compare_with_copies,
    evaluate_copies,
    evaluate_moves,
    evaluate_trajectories,
    read_label_rows,
    settled_from,
)
from mien.types import Modality, Task


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr("mien.evaluation.bootstrap.RESAMPLES", 60)


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", num_epochs=3)


@pytest.mark.parametrize(
    ("labels", "epoch"),
    [
        ([[1, 2]] * 4, 1),
        ([[0, 9]] * 4, 1),
        ([[1, 2], [0, 9], [0, 9]], 2),
        ([[1, 2], [1, 2], [0, 9], [0, 9]], 3),
        ([[1, 2], [0, 9]], None),
        ([[5, 5], [0, 9], [0, 9]], None),
        ([[1, 2], [5, 5], [0, 9], [0, 9]], None),
        ([[1, 2]], 1),
    ],
)
def test_labels_are_settled_if_nothing_but_copies_comes_before(labels, epoch):
    assert settled_from(np.array(labels, dtype=float), np.array([1.0, 2.0])) == epoch


def test_labels_of_a_run_are_settled_if_they_are_so_at_the_best_epoch_of_every_seed(run):
    assert not read_label_rows(run.seeds)[Modality.TEXT].are_settled
    settle_labels(run)
    best = [seed.metrics()["best_epoch"] for seed in run.seeds]
    assert read_label_rows(run.seeds)[Modality.TEXT].are_settled == (min(best) > 1)
    path = run.seeds[0].path / "metrics.json"
    for epoch in (1, 2):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"best_epoch": epoch}))
        rows = read_label_rows(run.seeds[:1])[Modality.TEXT]
        assert rows.are_settled == (epoch == 2)


def test_labels_are_compared_with_copies_by_the_metrics_that_are_named(run):
    rows = read_label_rows(run.seeds)[Modality.TEXT]
    part = compare_with_copies(rows, names=("pearson",))["everywhere"]
    assert list(part.metrics) == ["pearson"]
    assert part.metrics["pearson"]["copy"].mean == pytest.approx(
        evaluate_copies(rows)["everywhere"]
    )
    assert list(part.metrics["pearson"]["generated"].less) == ["copy"]
    assert len(compare_with_copies(rows)["everywhere"].metrics) > 1


def test_trajectories_follow_the_labels_from_copies_on(run):
    rows = read_label_rows(run.seeds)[Modality.TEXT]
    followed = evaluate_trajectories(rows)
    assert list(followed) == ["1111", "1112"]
    seed = followed["1111"]
    assert seed.flipped[0] == pytest.approx(
        flipped_share(rows.trajectories[1111][0], rows.annotated)
    )
    assert seed.clipped == pytest.approx([0.05, 0.025, 0.05 / 3])
    assert seed.moved[0] == pytest.approx(0, abs=1e-6)
    assert seed.moved[2] > seed.moved[1] > 0
    assert seed.conflicting[2] > seed.conflicting[0]


def test_trajectories_agree_with_the_truth_as_the_labels_of_each_epoch_do(run):
    rows = read_label_rows(run.seeds)[Modality.AUDIO]
    seed = evaluate_trajectories(rows)["1112"]
    expected = agreement(rows.trajectories[1112][2], rows.truth, rows.annotated)
    assert seed.everywhere[2] == pytest.approx(expected.everywhere.pearson)
    assert seed.conflicting[2] == pytest.approx(expected.conflicting.pearson)
    copied = run.metrics()["labels"]["audio"]["copy"]
    assert evaluate_copies(rows) == pytest.approx(
        {part: copied[part]["pearson"]["mean"] for part in ("everywhere", "conflicting")}
    )


def test_a_truth_that_is_partly_known_is_followed_where_it_is(run):
    for seed in run.seeds:
        path = seed.path / "train.json"
        clips = json.loads(path.read_text())
        clips["truth"]["text"][:20] = [None] * 20
        path.write_text(json.dumps(clips))
    rows = read_label_rows(run.seeds)[Modality.TEXT]
    labels = rows.trajectories[1111][0, 20:]
    expected = agreement(labels, rows.truth[20:], rows.annotated[20:])
    followed = evaluate_trajectories(rows)["1111"]
    assert followed.everywhere[0] == pytest.approx(expected.everywhere.pearson)
    assert followed.conflicting[0] == pytest.approx(expected.conflicting.pearson)


def test_moves_of_a_single_modality_have_nobody_to_compare_with(tmp_path):
    run = write_run(tmp_path / "run", modalities=(Modality.AUDIO,))
    moves = evaluate_moves(read_label_rows(run.seeds))
    assert list(moves) == ["audio"]
    assert moves["audio"].with_others == {}


def test_the_truth_of_fusion_is_no_unimodal_truth(run):
    assert Task.FUSION not in read_label_rows(run.seeds)
