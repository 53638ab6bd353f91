"""Generated labels of targets against what is known of a modality alone."""

import numpy as np
import pytest
from targeted import EMOTION, MOODS, TAGS, VALENCE

from mien.evaluation.target_metrics.target_agreement import (
    contradicts_target,
    evaluate_target_agreement,
)

NAN = [np.nan] * 3


def test_what_contradicts_the_clip_depends_on_the_kind_of_target():
    truth = np.array([[1.0, 0, 0], [0, 1, 0], NAN, [0, 0, 1]])
    annotated = np.array([[0.6, 0.4, 0], [0.6, 0.4, 0], [0, 0, 1], NAN])
    assert contradicts_target(EMOTION, truth, annotated).tolist() == [False, True, False, False]
    strengths = contradicts_target(MOODS, 3 * truth[:, :2], annotated[:, :2])
    assert strengths.tolist() == [False, True, False, False]
    there, of_clip = np.array([[1.0, 0], [1, 0], [0, 0]]), np.array([[1.0, 0], [1, 0.6], [0, 0.4]])
    assert contradicts_target(TAGS, there, of_clip).tolist() == [False, True, False]
    scores, of_clips = np.array([[5.0], [1.5], [4.0]]), np.array([[4.0], [4.0], [1.0]])  # mean 3
    assert contradicts_target(VALENCE, scores, of_clips).tolist() == [False, True, True]


@pytest.mark.parametrize("target", [EMOTION, MOODS], ids=lambda target: str(target.kind))
def test_a_class_that_ties_for_the_first_place_does_not_contradict(target):
    annotated = np.array([[0.4, 0.4, 0.2], [0.4, 0.4, 0.2], [0.0, 0.6, 0.4], [1 / 3] * 3])
    truth = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    wanted = [False, True, False, False]
    assert contradicts_target(target, truth, annotated).tolist() == wanted
    assert contradicts_target(target, annotated, truth).tolist() == wanted


def test_labels_are_compared_with_the_truth_over_all_and_over_contradicting_clips():
    random = np.random.default_rng(1)
    truth = np.eye(3)[random.integers(3, size=40)]
    annotated = 0.6 * np.eye(3)[random.integers(3, size=40)] + 0.4 * truth
    generated = np.stack([0.5 * truth + 0.5 * annotated, truth])
    truth[0], annotated[1] = NAN, NAN
    parts = evaluate_target_agreement(
        EMOTION, {"generated": generated, "copy": annotated[None]}, truth, annotated,
        np.arange(40) // 4, against=("copy",), fixed=("copy",),
    )  # fmt: skip
    known = np.arange(40) > 1
    differs = known & (truth.argmax(axis=1) != annotated.argmax(axis=1))
    for part, rows in (("everywhere", known), ("conflicting", differs)):
        apart = [np.abs(own - truth)[rows].sum(axis=1).mean() / 2 for own in generated]
        of_copies = np.abs(annotated - truth)[rows].sum(axis=1).mean() / 2
        misplaced = parts[part].metrics["misplaced"]
        assert parts[part].num_clips == rows.sum()
        assert misplaced["generated"].values == pytest.approx(apart)
        less = misplaced["generated"].less["copy"]
        assert less.difference == pytest.approx(np.mean(apart) - of_copies)
        hits = [(own[rows].argmax(1) == truth[rows].argmax(1)).mean() for own in generated]
        assert parts[part].metrics["accuracy"]["generated"].values == pytest.approx(hits)
    assert parts["conflicting"].metrics["accuracy"]["copy"].mean == 0
