"""Labels from what modalities say of unseen clips: the properties that the method promises."""

import numpy as np
import pytest
import torch
from helpers import AUDIO, TEXT, VIDEO
from hypothesis import given
from hypothesis import strategies as st

from mien.labels.generator import Evidence
from mien.labels.latent import latent_labels


def make_world(seed=1, num=4000, *, noise=(0.4, 0.6, 0.8), weights=(0.5, 0.3, 0.2), apart=0.5):
    """Unimodal truths, an annotation that is their weighted mean, and noisy evidence of each."""
    random = np.random.default_rng(seed)
    common = random.normal(size=num)
    own = random.normal(size=(3, num))
    truth = np.sqrt(1 - apart) * common + np.sqrt(apart) * own
    annotated = np.array(weights) @ truth
    said = truth + np.array(noise)[:, None] * random.normal(size=(3, num))
    evidence = Evidence(
        scores={
            m: torch.tensor(one).float() for m, one in zip((TEXT, AUDIO, VIDEO), said, strict=True)
        },
        weights=dict(zip((TEXT, AUDIO, VIDEO), weights, strict=True)),
    )
    return truth, torch.tensor(annotated).float(), evidence


def corr(first, second):
    return float(np.corrcoef(np.asarray(first), np.asarray(second))[0, 1])


def test_labels_are_nearer_to_the_truth_than_evidence_and_than_copies():
    truth, annotated, evidence = make_world()
    labels = latent_labels(evidence, annotated, rest=1.0)
    for row, modality in enumerate((TEXT, AUDIO, VIDEO)):
        found = corr(labels[modality], truth[row])
        assert found > corr(evidence.scores[modality], truth[row]) + 0.01
        assert found > corr(annotated, truth[row]) + 0.05


def test_where_a_modality_contradicts_the_whole_its_label_does_too():
    truth, annotated, evidence = make_world()
    labels = latent_labels(evidence, annotated, rest=1.0)
    for row, modality in enumerate((TEXT, AUDIO, VIDEO)):
        against = truth[row] * annotated.numpy() < 0
        copied = corr(annotated[against], truth[row][against])
        assert corr(labels[modality][against], truth[row][against]) > copied + 0.5


def test_by_hand_on_two_clips():
    """Shares .75 and .25 explain 1.5 and -1; .5 and 0 are left, two thirds of it for the labels."""
    evidence = Evidence(
        scores={TEXT: torch.tensor([2.0, -1.0]), AUDIO: torch.tensor([0.0, -1.0])},
        weights={TEXT: 0.75, AUDIO: 0.25},
    )
    annotated = torch.tensor([2.0, -1.0])
    # text: 2 + 1/3 and -1, spread 1 + 2/3; audio: 0 + 1/3 and -1, spread 2/3
    common = 0.75 * 5 / 3 + 0.25 * 2 / 3
    labels = latent_labels(evidence, annotated, rest=1.0)
    for modality in (TEXT, AUDIO):
        torch.testing.assert_close(labels[modality], torch.tensor([0.5 + common, 0.5 - common]))


@pytest.mark.parametrize("rest", [0.5, 1.0, 3.0])
def test_labels_are_the_posterior_mean_where_errors_go_with_the_inverse_of_the_weights(rest):
    """Against the general formula, u + V w (w' V w + noise)^-1 (y - w' u)."""
    _, annotated, evidence = make_world(num=200)
    weights = np.array(list(evidence.weights.values()))
    said = torch.stack(list(evidence.scores.values())).double().numpy()
    errors = np.diag(0.3 / weights)
    noise = 0.3 * rest / len(weights)
    gain = errors @ weights / (weights @ errors @ weights + noise)
    posterior = said + np.outer(gain, annotated.numpy() - weights @ said)
    labels = latent_labels(evidence, annotated, rest=rest)
    for wanted, found in zip(posterior, labels.values(), strict=True):
        assert corr(found, wanted) == pytest.approx(1, abs=1e-6)


@given(seed=st.integers(0, 50), rest=st.sampled_from([0.0, 1.0, 3.0]))
def test_a_corpus_turned_upside_down_gives_labels_upside_down(seed, rest):
    _, annotated, evidence = make_world(seed, 60)
    flipped = Evidence(scores={m: -s for m, s in evidence.scores.items()}, weights=evidence.weights)
    labels = latent_labels(evidence, annotated, rest=rest)
    for modality, values in latent_labels(flipped, -annotated, rest=rest).items():
        torch.testing.assert_close(values, -labels[modality])


def test_without_disagreement_labels_are_unbiased():
    """The truth of every modality is the annotation: no class or end of the scale is pushed.

    The evidence is as the method takes it: variance of its errors times weight is the same for all.
    """
    _, annotated, evidence = make_world(apart=0.0, noise=(0.4, 0.516, 0.632))
    for modality, values in latent_labels(evidence, annotated, rest=1.0).items():
        off = values - annotated
        assert abs(float(off.mean())) < 1e-5
        for part in (annotated > 0.5, annotated < -0.5):
            size = (values[part].mean() / annotated[part].mean()).item()
            assert size == pytest.approx(1, abs=0.1), modality


def test_where_evidence_is_noisier_than_taken_both_ends_shrink_alike():
    _, annotated, evidence = make_world(apart=0.0)
    for modality, values in latent_labels(evidence, annotated, rest=1.0).items():
        assert abs(float((values - annotated).mean())) < 1e-5
        upper, lower = (
            (values[part].mean() / annotated[part].mean()).item()
            for part in (annotated > 0.5, annotated < -0.5)
        )
        assert upper == pytest.approx(lower, abs=0.02), modality
        assert upper == pytest.approx(1, abs=0.12), modality


def test_with_perfect_evidence_the_truth_comes_out():
    truth, annotated, evidence = make_world(noise=(0.0, 0.0, 0.0))
    labels = latent_labels(evidence, annotated, rest=1.0)
    for row, modality in enumerate((TEXT, AUDIO, VIDEO)):
        wanted = torch.tensor(truth[row] - truth[row].mean()).float()
        found = labels[modality] - labels[modality].mean()
        torch.testing.assert_close(found, wanted, atol=0.05, rtol=0.05)


def test_a_clip_without_a_modality_keeps_the_annotation_for_it():
    _, annotated, evidence = make_world(num=50)
    evidence.scores[AUDIO][::2] = torch.nan
    labels = latent_labels(evidence, annotated, rest=1.0)
    assert torch.equal(labels[AUDIO][::2], annotated[::2])
    assert all(values.isfinite().all() for values in labels.values())


@pytest.mark.parametrize("case", ["silent", "absent", "constant", "one clip"])
def test_evidence_that_says_nothing_gives_finite_labels(case):
    _, annotated, evidence = make_world(num=1 if case == "one clip" else 40)
    if case == "silent":
        evidence.scores[VIDEO].zero_()
        evidence = Evidence(scores=evidence.scores, weights={TEXT: 0.6, AUDIO: 0.4, VIDEO: 0.0})
    if case == "absent":
        evidence.scores[VIDEO].fill_(torch.nan)
    if case == "constant":
        annotated = torch.zeros(40)
        for scores in evidence.scores.values():
            scores.fill_(0.5)
    labels = latent_labels(evidence, annotated, rest=1.0)
    assert all(values.isfinite().all() for values in labels.values())
    assert all(values.abs().max() < 20 for values in labels.values())


def test_more_left_to_none_trusts_the_evidence_more():
    _, annotated, evidence = make_world()
    trusting, doubting = (latent_labels(evidence, annotated, rest=r) for r in (9.0, 0.0))
    for modality, scores in evidence.scores.items():
        assert corr(trusting[modality], scores) > corr(doubting[modality], scores)
