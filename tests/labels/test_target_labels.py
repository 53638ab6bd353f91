"""Unimodal labels of targets: each generator, column by column, in the space of their values."""

import pytest
import torch
from helpers import STATE_SIZES, make_labels_config, make_output
from targeted import EMOTION, VALENCE

from mien.errors import ConfigError
from mien.labels.generator import TargetEvidence
from mien.labels.target_labels import TargetLabels, latent_target_labels, onto_simplex
from mien.types import Modality, Target, TargetKind, Task

TEXT, AUDIO, VIDEO = Modality
GENERATORS = ("copy", "human", "distance", "latent", "ulag", "ulag_released")


def shares(seed, num, size=3):
    return torch.rand(num, size, generator=torch.Generator().manual_seed(seed)).softmax(dim=1)


def make_evidence(num, size=3):
    values = {m: shares(seed, num, size) for seed, m in enumerate(Modality)}
    values[AUDIO][:2] = torch.nan
    return TargetEvidence(values=values, weights={TEXT: 0.5, AUDIO: 0.3, VIDEO: 0.2})


def make_labels(name, values, target=EMOTION, **settings):
    torch.manual_seed(1)
    config = make_labels_config(name, **settings)
    evidence = make_evidence(len(values[Task.FUSION]), target.size)
    return TargetLabels(config, target, values, STATE_SIZES, evidence)


def annotate(num=12, *, unimodal=True):
    values = {task: shares(9 + at, num) for at, task in enumerate(Task)}
    values[Task.FUSION][3] = torch.nan
    values[Task.TEXT][5] = torch.nan
    return values if unimodal else {Task.FUSION: values[Task.FUSION]}


def live(labels, num=12, epochs=3):
    index = torch.arange(num)
    for epoch in range(1, epochs + 1):
        output = make_output(epoch, num)
        _, rows, annotated = labels.pick(output, index)
        made, own = labels.generate(annotated, rows, epoch)
        labels.observe(output, index, epoch)
        labels.finish_epoch(epoch)
    return made, own


@pytest.mark.parametrize("name", GENERATORS)
def test_labels_of_classes_are_shares_of_the_clips_that_are_annotated(name):
    labels = make_labels(name, annotate())
    made, own = live(labels)
    assert own.isfinite()
    for modality, each in made.items():
        assert each.shape == (11, 3)
        assert (each >= 0).all()
        torch.testing.assert_close(each.sum(dim=1), torch.ones(11))
        latest = labels.latest(modality)
        assert latest[3].isnan().all()
        assert latest[[0, 1, 2, 4]].isfinite().all()
    assert set(labels.weights(torch.arange(11))) == set(Modality)


def test_copies_are_what_is_annotated_of_the_clip():
    values = annotate()
    made, _ = live(make_labels("copy", values))
    for each in made.values():
        torch.testing.assert_close(each, values[Task.FUSION][values[Task.FUSION][:, 0].isfinite()])


def test_human_labels_are_those_of_the_modality_where_there_are_some():
    values = annotate()
    latest = make_labels("human", values).latest(TEXT)
    torch.testing.assert_close(latest[4], values[Task.TEXT][4])
    torch.testing.assert_close(latest[5], values[Task.FUSION][5])


def test_latent_labels_join_evidence_and_annotation_and_differ_by_modality():
    values = annotate()
    made, _ = live(make_labels("latent", values))
    assert not torch.allclose(made[TEXT], made[VIDEO], atol=0.01)
    torch.testing.assert_close(made[AUDIO][:2], values[Task.FUSION][:2])  # no such modality
    same = latent_target_labels(EMOTION, make_evidence(12), values[Task.FUSION], rest=1.0)
    rows = values[Task.FUSION][:, 0].isfinite()
    torch.testing.assert_close(made[TEXT], same[TEXT][rows])
    assert same[TEXT][3].isnan().all()


def test_distance_labels_follow_the_class_to_whose_states_a_clip_is_nearer():
    """States of the modality are those of the other class than annotated: the label goes there."""
    num = 20
    kinds = torch.arange(num) % 2
    values = {Task.FUSION: torch.nn.functional.one_hot(kinds, 2).float()}
    target = Target(name="two", kind=TargetKind.CLASS, classes=("a", "b"))
    labels = make_labels("distance", values, target)
    index = torch.arange(num)
    for epoch in range(1, 5):
        output = make_output(epoch, num)
        for task, states in output.states.items():
            states.mul_(0.1)
            lies = kinds.clone()
            if task is Task.TEXT:
                lies[0] = 1 - lies[0]
            states[:, 0] += lies
        labels.observe(output, index, epoch)
        labels.finish_epoch(epoch)
    text, audio = labels.latest(TEXT), labels.latest(AUDIO)
    assert text[0, 0] < audio[0, 0] - 0.2
    assert audio[2, 0] > 0.8


def test_one_column_is_to_a_generator_what_sentiment_is():
    values = {Task.FUSION: torch.linspace(1, 5, 12).unsqueeze(1)}
    made, _ = live(make_labels("copy", values, VALENCE))
    torch.testing.assert_close(made[TEXT], values[Task.FUSION])


def test_what_a_generator_cannot_do_is_refused():
    with pytest.raises(ConfigError, match="no clip has values of target 'emotion' for text"):
        make_labels("human", annotate(unimodal=False))
    many = Target(name="many", kind=TargetKind.CLASS, classes=tuple(map(str, range(200))))
    values = {Task.FUSION: torch.eye(200)}
    with pytest.raises(ConfigError, match="target 'many' has 200, at most 64 are possible"):
        make_labels("distance", values, many)
    made, _ = live(make_labels("latent", values, many), 200, epochs=1)
    torch.testing.assert_close(made[TEXT], torch.eye(200))  # in the warm-up


def test_a_point_is_brought_to_the_nearest_shares():
    points = 2 * torch.randn(50, 5, generator=torch.Generator().manual_seed(1))
    nearest = onto_simplex(points)
    assert (nearest >= 0).all()
    torch.testing.assert_close(nearest.sum(dim=1), torch.ones(50))
    apart = (points - nearest).norm(dim=1)
    for other in torch.rand(200, 5, generator=torch.Generator().manual_seed(2)).softmax(dim=1):
        assert (apart <= (points - other).norm(dim=1) + 1e-5).all()
    torch.testing.assert_close(onto_simplex(nearest), nearest)
