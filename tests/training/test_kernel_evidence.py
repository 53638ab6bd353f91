"""Kernel regressions: what they find, and that no clip is told its own annotation."""

import numpy as np
import pytest
import torch

from mien.training.out_of_fold import kernel
from mien.training.out_of_fold.kernel import kernel_scores, take_kernel
from mien.training.out_of_fold.ridge import ridge_evidence, standardise
from mien.types import Modality

AUDIO, VIDEO = Modality.AUDIO, Modality.VIDEO


def draw(num=240, *, curved=True, others=0.0, seed=1):
    """What a voice says, an annotation that something else made in a share of clips, features."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(num, 5))
    said = np.abs(features[:, 0]) + np.abs(features[:, 1]) if curved else features[:, 0]
    annotated = said + 0.1 * rng.normal(size=num)
    made_elsewhere = rng.random(num) < others
    annotated[made_elsewhere] += rng.choice([-6.0, 6.0], made_elsewhere.sum())
    return said, annotated, features, np.arange(num) // 6


def gather(vectors, annotated, videos, **options):
    ridge = ridge_evidence(vectors, annotated, videos % 5, videos, seed=1)
    return ridge, take_kernel(ridge, vectors, annotated, videos % 5, videos, seed=1, **options)


def corr(first, second):
    return float(np.corrcoef(first, second)[0, 1])


def test_a_function_that_is_not_linear_is_found():
    said, annotated, features, videos = draw()
    ridge, evidence = gather({AUDIO: features}, annotated, videos, where_better=True)
    assert corr(ridge.scores[AUDIO], said) < 0.3
    assert corr(evidence.scores[AUDIO], said) > 0.7
    assert evidence.halves is ridge.halves
    assert evidence.overlap is ridge.overlap


def test_a_linear_one_is_left_to_ridge_regressions_unless_kernels_are_named():
    _, annotated, features, videos = draw(curved=False)
    ridge, evidence = gather({AUDIO: features}, annotated, videos, where_better=True)
    assert evidence.scores[AUDIO] is ridge.scores[AUDIO]
    assert evidence.weights == ridge.weights
    _, named = gather({AUDIO: features}, annotated, videos)
    assert not torch.equal(named.scores[AUDIO], ridge.scores[AUDIO])


def test_annotations_that_something_else_made_pull_less_than_at_least_squares():
    said, annotated, features, videos = draw(480, curved=False, others=0.25)
    ridge, evidence = gather({AUDIO: features}, annotated, videos)
    assert corr(evidence.scores[AUDIO], said) > corr(ridge.scores[AUDIO], said) + 0.01


def test_the_median_is_said_and_not_the_mean():
    rng = np.random.default_rng(3)
    annotated = rng.exponential(size=400)  # median .69, mean 1
    _, evidence = gather({AUDIO: rng.normal(size=(400, 4))}, annotated, np.arange(400) // 5)
    assert evidence.scores[AUDIO].median().item() == pytest.approx(np.median(annotated), abs=0.1)


def test_no_score_depends_on_the_annotation_of_its_own_clip():
    _, annotated, features, videos = draw(90)
    _, before = gather({AUDIO: features}, annotated, videos)
    annotated[7] += 2.0  # of the second video, in the second fold
    _, after = gather({AUDIO: features}, annotated, videos)
    own = videos % 5 == 1
    moved = (after.scores[AUDIO] - before.scores[AUDIO]).numpy()
    assert np.ptp(moved[own]) < 1e-6  # by one constant at most
    assert np.ptp(moved[~own]) > 1e-3


def test_no_function_near_the_one_that_is_found_is_better():
    _, annotated, features, _ = draw(60)
    kernels = kernel.gaussian_kernels(standardise(features), standardise(features))
    target = (annotated - annotated.mean()) / annotated.std()

    def loss(amounts, constant):
        errors = np.abs(target - kernels @ amounts - constant)
        smooth = kernel.SMOOTH
        bent = np.where(errors < smooth, errors**2 / (2 * smooth) + smooth / 2, errors)
        return bent.sum() + 0.5 * 3.0 * amounts @ kernels @ amounts

    amounts, constant = kernel.fit_median(kernels, target, 3.0)
    least = loss(amounts, constant)
    rng = np.random.default_rng(0)
    for size in (1e-2, 1e-1, 1.0):
        for _ in range(20):
            near = amounts + size * rng.normal(size=60) / 60, constant + size * rng.normal() / 10
            assert loss(*near) > least - 1e-4


def test_clips_without_the_modality_have_no_score():
    _, annotated, features, videos = draw()
    features[::3] = np.nan
    _, evidence = gather({AUDIO: features, VIDEO: features[:, ::-1]}, annotated, videos)
    for scores in evidence.scores.values():
        assert np.array_equal(scores.isnan().numpy(), np.isnan(features[:, 0]))
    assert sum(evidence.weights.values()) == pytest.approx(1)


@pytest.mark.parametrize("case", ["few", "constant", "no modality", "same annotation", "two folds"])
def test_where_little_is_there_scores_are_finite(case):
    _, annotated, features, videos = draw(8 if case == "few" else 60)
    if case == "constant":
        features[:] = 1.0
    if case == "no modality":
        features[:] = np.nan
    if case == "same annotation":
        annotated[:] = 2.0
    folds = videos % (2 if case == "two folds" else 5)
    ridge = ridge_evidence({AUDIO: features}, annotated, folds, videos, seed=1)
    evidence = take_kernel(ridge, {AUDIO: features}, annotated, folds, videos, seed=1)
    assert np.array_equal(evidence.scores[AUDIO].isfinite(), ~np.isnan(features[:, 0]))
    assert (evidence.scores[AUDIO] is ridge.scores[AUDIO]) == (
        case in ("few", "constant", "no modality")
    )


def test_of_many_clips_some_are_drawn(monkeypatch):
    said, annotated, features, videos = draw(400)
    every = kernel_scores(standardise(features), annotated, videos % 5, videos, rng())
    fitted = []
    monkeypatch.setattr(kernel, "MOST_CLIPS", 100)
    fit = kernel.fit_median
    monkeypatch.setattr(
        kernel,
        "fit_median",
        lambda kernels, *rest: fitted.append(len(kernels)) or fit(kernels, *rest),
    )
    drawn = kernel_scores(standardise(features), annotated, videos % 5, videos, rng())
    assert max(fitted) == 100
    assert corr(drawn, said) > 0.4
    assert not np.array_equal(drawn, every)
    again = kernel_scores(standardise(features), annotated, videos % 5, videos, rng())
    assert np.array_equal(drawn, again)


def rng():
    return np.random.default_rng(5)
