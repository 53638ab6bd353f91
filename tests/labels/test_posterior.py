"""Labels of ``posterior``: better than copies and than evidence, whichever deserves trust."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import examples
from helpers import AUDIO, SCALE, STATE_SIZES, TEXT, VIDEO, make_generator
from hypothesis import given
from hypothesis import strategies as st

from mien.labels import build_labels
from mien.labels.generator import Evidence, LabelInputs
from mien.labels.posterior import PosteriorConfig, posterior_labels
from mien.reports.label_tables import describe_estimate
from mien.training.out_of_fold.ridge import count_cuts, ridge_evidence
from mien.types import Task

MODALITIES = (TEXT, AUDIO, VIDEO)


def draw(seed=1, num=480, *, weights=(0.45, 0.3, 0.25), noise=0.2, read=(1.5, 1.2, 0.9), agree=0.5):
    """Draw truths, an annotation that is their weighted mean, and vectors that show each truth."""
    rng = np.random.default_rng(seed)
    truth = np.sqrt(agree) * rng.normal(size=num) + np.sqrt(1 - agree) * rng.normal(size=(3, num))
    annotated = np.array(weights) @ truth + noise * rng.normal(size=num)
    vectors = {}
    for modality, own, gain in zip(MODALITIES, truth, read, strict=True):
        direction = rng.normal(size=12)
        shown = gain * np.outer(own, direction / np.linalg.norm(direction))
        vectors[modality] = shown + rng.normal(size=shown.shape)
    return truth, annotated, vectors


def gather(annotated, vectors, seed=1):
    videos = np.arange(len(annotated)) // 6
    return ridge_evidence(vectors, annotated, videos % 5, videos, seed=seed)


def mae(labels, truth):
    return float(np.abs(np.asarray(labels) - truth).mean())


CASES = {
    "modalities agree": {"agree": 0.85},
    "modalities differ": {"agree": 0.2},
    "video is noise": {"read": (1.5, 1.2, 0.0)},
    "all is noise": {"read": (0.0, 0.0, 0.0)},
    "annotation is noisy": {"noise": 0.8},
    "one modality decides": {"weights": (0.15, 0.15, 0.7)},
    "few clips": {"num": 300, "weights": (0.6, 0.3, 0.1)},
}


@pytest.mark.parametrize("case", CASES)
def test_labels_are_no_worse_than_the_better_of_copies_and_evidence(case):
    truth, annotated, vectors = draw(**CASES[case])
    evidence = gather(annotated, vectors)
    labels = posterior_labels(evidence, torch.from_numpy(annotated)).labels
    for modality, own in zip(MODALITIES, truth, strict=True):
        best = min(mae(annotated, own), mae(evidence.scores[modality], own))
        assert mae(labels[modality], own) < 1.05 * best, modality


def follow(rule, truth):
    """Return annotations that are no weighted mean, with a little noise."""
    noise = 0.15 * np.random.default_rng(2).normal(size=truth.shape[1])
    if rule == "strongest":
        return np.take_along_axis(truth, np.abs(truth).argmax(axis=0)[None], axis=0)[0] + noise
    text, audio, video = truth
    return 0.5 * np.abs(text) * np.sign(audio) + 0.3 * audio + 0.2 * video + noise


@pytest.mark.parametrize("rule", ["strongest", "irony"])
def test_annotations_that_are_no_weighted_mean_are_told_and_labels_follow(rule):
    truth, _, vectors = draw(num=600, agree=0.4)
    annotated = follow(rule, truth)
    vectors[VIDEO][::9] = np.nan
    evidence = gather(annotated, vectors)
    posterior = posterior_labels(evidence, torch.from_numpy(annotated))
    rules = posterior.estimate.rules
    assert max(rules, key=rules.get) == rule
    assert sum(rules.values()) == pytest.approx(1)
    for modality, own in zip((TEXT, AUDIO), truth, strict=False):
        best = min(mae(annotated, own), mae(evidence.scores[modality], own))
        assert mae(posterior.labels[modality], own) < 0.95 * best, modality
        errors = posterior.labels[modality].numpy() - own
        assert float(posterior.deviations[modality].square().mean().sqrt()) == pytest.approx(
            errors.std(), rel=0.3
        )
    assert "weighted mean" in " ".join(describe_estimate(posterior.estimate.to_json()))


def test_what_is_neutral_moves_with_the_scale():
    truth, _, vectors = draw(num=240, agree=0.4)
    annotated = follow("strongest", truth)
    plain = posterior_labels(gather(annotated, vectors), torch.from_numpy(annotated))
    moved = posterior_labels(
        gather(annotated + 5, vectors), torch.from_numpy(annotated + 5), neutral=5.0
    )
    for modality, labels in plain.labels.items():
        torch.testing.assert_close(moved.labels[modality], labels + 5, atol=1e-2, rtol=0)


@pytest.mark.parametrize("noise", [0.0, 0.3, 0.8])
def test_noise_weights_and_reliability_are_found(noise):
    weights = (0.5, 0.3, 0.2)
    truth, annotated, vectors = draw(num=1500, weights=weights, noise=noise)
    evidence = gather(annotated, vectors)
    estimate = posterior_labels(evidence, torch.from_numpy(annotated)).estimate
    assert not estimate.rules
    assert estimate.noise == pytest.approx(noise, abs=0.2)
    assert estimate.spread == pytest.approx(1, abs=0.2)
    for modality, own, weight in zip(MODALITIES, truth, weights, strict=True):
        score = evidence.scores[modality]
        assert estimate.weights[modality] == pytest.approx(weight, abs=0.12)
        expected = np.corrcoef(score, own)[0, 1] ** 2
        assert estimate.reliability[modality] == pytest.approx(expected, abs=0.12)
        assert estimate.agreement[modality] == pytest.approx(
            np.corrcoef(annotated, own)[0, 1], abs=0.1
        )


def add_late(evidence, truth, reliability, seed=4):
    """Return evidence whose scores are of models that read more than the regressions do."""
    rng = np.random.default_rng(seed)
    scores = {}
    for modality, own, share in zip(MODALITIES, truth, reliability, strict=True):
        values = share * own / own.std()
        values = values + np.sqrt(share * (1 - share)) * rng.normal(size=len(own))
        scores[modality] = torch.from_numpy(values)
    return replace(evidence, scores=scores, alone=evidence.scores)


def test_scores_of_late_fusion_show_how_far_modalities_agree():
    reliability = (0.7, 0.5, 0.6)
    truth, annotated, vectors = draw(num=900, agree=0.15, read=(0.6, 0.5, 0.4))
    regressions = gather(annotated, vectors)
    posterior = posterior_labels(
        add_late(regressions, truth, reliability), torch.from_numpy(annotated)
    )
    for modality, own, share in zip(MODALITIES, truth, reliability, strict=True):
        estimate = posterior.estimate
        expected = np.corrcoef(annotated, own)[0, 1]
        assert estimate.agreement[modality] == pytest.approx(expected, abs=0.12)
        assert estimate.reliability[modality] == pytest.approx(share, abs=0.17)
        assert mae(posterior.labels[modality], own) < 0.8 * mae(annotated, own)


def test_what_regressions_read_of_a_modality_counts_beside_late_fusion():
    truth, annotated, vectors = draw(num=600, agree=0.3)
    regressions = gather(annotated, vectors)
    weak = add_late(regressions, truth, (0.1, 0.1, 0.1))
    labels = posterior_labels(weak, torch.from_numpy(annotated)).labels
    alone = posterior_labels(replace(weak, alone={}), torch.from_numpy(annotated)).labels
    for modality, own in zip(MODALITIES, truth, strict=True):
        assert mae(labels[modality], own) < 0.95 * mae(alone[modality], own), modality


def read_halves(truth, shared, bounds, seed=1, cuts=4):
    """Return evidence of late fusion and halves, whose errors share less than their bounds."""
    rng = np.random.default_rng(seed)
    loadings = zip((0.75, 0.65, 0.92), (0.3, 0.35, 0.45), strict=True)
    scores, halves, overlap = {}, {}, {}
    for modality, own, (late, half), common, bound in zip(
        MODALITIES, truth, loadings, shared, bounds, strict=True
    ):
        error = rng.normal(size=len(own))
        scores[modality] = torch.from_numpy(late * own + np.sqrt(1 - late**2) * error)
        errors = np.sqrt(common) * rng.normal(size=(cuts, 1, len(own)))
        errors = errors + np.sqrt(1 - common) * rng.normal(size=(cuts, 2, len(own)))
        halves[modality] = torch.from_numpy(half * own + np.sqrt(1 - half**2) * errors)
        overlap[modality] = (bound / 1.2) ** 2  # the bound is that of ``bound_shared_errors``
    alone = {modality: values.mean(dim=(0, 1)) for modality, values in halves.items()}
    weights = dict.fromkeys(MODALITIES, 1 / 3)
    return Evidence(scores=scores, weights=weights, halves=halves, overlap=overlap, alone=alone)


def test_late_fusion_shows_how_far_errors_of_halves_hang_together():
    """Far less than their overlap allows; labels of the words were worse than copies."""
    truth, annotated, _ = draw(num=2000, weights=(0.15, 0.15, 0.7), agree=0.57)
    evidence = read_halves(truth, shared=(0.1, 0.1, 0.15), bounds=(0.75, 0.6, 0.6))
    posterior = posterior_labels(evidence, torch.from_numpy(annotated))
    for modality, own in zip(MODALITIES, truth, strict=True):
        best = min(mae(annotated, own), mae(evidence.scores[modality], own))
        assert mae(posterior.labels[modality], own) < 0.95 * best, modality
    weights = posterior.estimate.weights
    assert weights[VIDEO] > 0.5 > 0.3 > max(weights[TEXT], weights[AUDIO])


@pytest.mark.parametrize(
    ("case", "noise"), [("no halves", 0.142), ("no regressions", 0.044), ("one modality", 0.2)]
)
def test_where_late_fusion_does_not_tell_how_far_errors_hang_together(case, noise):
    """Noise is as it was before: labels of targets and of one modality went to the annotation."""
    truth, annotated, _ = draw(num=200)
    evidence = read_halves(truth, shared=(0.1, 0.1, 0.15), bounds=(0.75, 0.6, 0.6))
    if case == "no halves":
        evidence = replace(evidence, halves={}, overlap={})
    if case == "no regressions":
        evidence = replace(evidence, alone={})
    if case == "one modality":
        parts = ("scores", "halves", "overlap", "alone")
        one = {name: {TEXT: getattr(evidence, name)[TEXT]} for name in parts}
        evidence = replace(evidence, weights={TEXT: 1.0}, **one)
    estimate = posterior_labels(evidence, torch.from_numpy(annotated)).estimate
    assert estimate.noise == pytest.approx(noise, abs=0.002)


def test_where_evidence_is_empty_labels_are_the_annotation():
    _, annotated, vectors = draw(read=(0.0, 0.0, 0.0))
    posterior = posterior_labels(gather(annotated, vectors), torch.from_numpy(annotated))
    for labels in posterior.labels.values():
        assert np.corrcoef(labels, annotated)[0, 1] > 0.99
        assert np.polyfit(annotated, labels, 1)[0] == pytest.approx(1, abs=0.1)
    assert max(posterior.estimate.reliability.values()) < 0.1


def test_evidence_that_is_too_weak_is_reported_in_words():
    _, annotated, vectors = draw(read=(1.5, 1.2, 0.0))
    estimate = posterior_labels(gather(annotated, vectors), torch.from_numpy(annotated)).estimate
    stored = json.loads(json.dumps(estimate.to_json()))
    sentences = describe_estimate(stored)
    assert sentences[0].startswith("Estimated from 480 clips: the annotation has noise of")
    assert sentences[-1].startswith("Evidence of video is too weak to do better than copies")


def test_deviations_are_those_of_the_errors():
    truth, annotated, vectors = draw(num=1000)
    posterior = posterior_labels(gather(annotated, vectors), torch.from_numpy(annotated))
    for modality, own in zip(MODALITIES, truth, strict=True):
        errors = posterior.labels[modality].numpy() - own
        deviation = float(posterior.deviations[modality].mean())
        assert deviation == pytest.approx(errors.std(), rel=0.2)


def test_clips_count_by_what_their_label_explains():
    _, annotated, vectors = draw(num=150, read=(1.5, 1.2, 0.0))
    evidence = gather(annotated, vectors)
    inputs = LabelInputs(
        labels={Task.FUSION: torch.from_numpy(annotated).float()},
        scale=SCALE,
        state_sizes=STATE_SIZES,
        evidence=evidence,
    )
    posterior = posterior_labels(evidence, inputs.annotated)
    index = torch.tensor([3, 100])
    plain, weighted = (
        build_labels(PosteriorConfig(weight=weight), inputs).weights(index)
        for weight in ("one", "deviation")
    )
    for modality in MODALITIES:
        assert plain[modality].tolist() == [1.0, 1.0]
        expected = 1 - (posterior.deviations[modality][index] / posterior.estimate.spread) ** 2
        torch.testing.assert_close(weighted[modality], expected.float())
    assert (weighted[TEXT] > weighted[VIDEO]).all()


@given(scale=st.sampled_from([-1.0, 0.1, 30.0]), shift=st.sampled_from([0.0, 5.0]))
@examples(3)
def test_labels_follow_the_unit_of_the_annotation(scale, shift):
    _, annotated, vectors = draw(num=120)
    evidence = gather(annotated, vectors)
    moved = gather(scale * annotated + shift, vectors)
    plain = posterior_labels(evidence, torch.from_numpy(annotated)).labels
    labels = posterior_labels(moved, torch.from_numpy(scale * annotated + shift)).labels
    for modality, values in plain.items():
        torch.testing.assert_close(
            labels[modality], scale * values + shift, rtol=1e-2, atol=1e-2 * abs(scale)
        )


def test_a_clip_without_a_modality_keeps_the_annotation_for_it():
    truth, annotated, vectors = draw(num=200)
    vectors[AUDIO][::2] = np.nan
    evidence = gather(annotated, vectors)
    labels = posterior_labels(evidence, torch.from_numpy(annotated)).labels
    np.testing.assert_array_equal(labels[AUDIO][::2], annotated[::2])
    assert mae(labels[TEXT], truth[0]) < mae(annotated, truth[0])


CASES_OF_NOTHING = ("silent", "absent", "constant", "one clip", "one feature", "no", "the same")


@pytest.mark.parametrize("case", CASES_OF_NOTHING)
def test_evidence_that_tells_nothing_gives_finite_labels(case):
    _, annotated, vectors = draw(num=1 if case == "one clip" else 40)
    if case == "silent":
        vectors[VIDEO][:] = 0.0
    if case == "absent":
        vectors[VIDEO][:] = np.nan
    if case == "constant":
        annotated = np.zeros(40)
    if case == "one feature":
        vectors[VIDEO] = vectors[VIDEO][:, :1]
    evidence = gather(annotated, vectors)
    if case == "no":
        evidence = Evidence(scores=evidence.scores, weights=evidence.weights)
    if case == "the same":
        evidence = replace(evidence, alone=evidence.scores)
    posterior = posterior_labels(evidence, torch.from_numpy(annotated))
    for values in (*posterior.labels.values(), *posterior.deviations.values()):
        assert values.isfinite().all()
        assert values.abs().max() < 20


def test_no_score_depends_on_the_annotation_of_its_own_clip():
    _, annotated, vectors = draw(num=60)
    before = gather(annotated, vectors)
    annotated[7] += 2.0  # of the second video, in the second fold
    after = gather(annotated, vectors)
    own = np.arange(60) // 6 % 5 == 1
    for modality in MODALITIES:
        moved = after.scores[modality] - before.scores[modality]
        assert np.allclose(moved[own], 2.0 / 60, atol=1e-5)  # the mean of all annotations
        assert not np.allclose(moved[~own], 2.0 / 60, atol=1e-3)


def test_halves_of_features_that_are_copies_of_each_other_overlap():
    _, annotated, vectors = draw()
    rng = np.random.default_rng(3)
    doubled = np.repeat(rng.normal(size=(len(annotated), 6)), 8, axis=1)
    vectors[VIDEO] = doubled + 0.01 * rng.normal(size=doubled.shape)
    evidence = gather(annotated, vectors)
    assert evidence.overlap[VIDEO] > 0.1 > 0.05 > evidence.overlap[TEXT]


@pytest.mark.parametrize(("name", "share"), [("oof", 1.0), ("mean", 0.5)])
def test_controls_take_evidence_as_it_is(name, share):
    annotated = torch.linspace(-2, 2, 20)
    labels = make_generator(name, annotated)
    scores = labels.estimate(AUDIO) - (1 - share) * annotated
    again = make_generator("oof", annotated).estimate(AUDIO)
    torch.testing.assert_close(scores, share * again)


def test_what_is_estimated_hardly_depends_on_how_features_are_cut():
    cuts = [count_cuts(num, 2) for num in (0, 300, 1_033, 6_000, 16_000)]
    assert cuts == [24, 24, 23, 4, 2]
    assert [count_cuts(num, 1) for num in (300, 16_000)] == [120, 10]  # nothing else tells
    _, annotated, vectors = draw(num=300, noise=0.8)
    noises = []
    for seed in range(6):
        evidence = gather(annotated, {AUDIO: vectors[AUDIO]}, seed=seed)
        assert len(evidence.halves[AUDIO]) == 2 * count_cuts(300, 1)
        estimate = posterior_labels(evidence, torch.from_numpy(annotated)).estimate
        noises.append(estimate.noise / annotated.std())
    assert np.std(noises) < 0.03
