"""Labels of ``sugrm``: as far from the annotation as states are apart, to the nearer class."""

import pytest
import torch
from helpers import AUDIO, SCALE, TEXT, VIDEO, live, make_annotation, make_generator, make_output

from mien.labels.sugrm import propose_by_reach
from mien.types import Task


def by_hand(points, positive, negative, farthest, annotated):
    """The rule of the released program, clip by clip, on a scale from -3 to 3."""
    rows = []
    for own in points[1:]:
        row = []
        for clip, y in enumerate(annotated.tolist()):
            fused, state = points[0, clip], own[clip]
            shift = 6 * min(float(torch.dist(fused, state)), farthest) / farthest
            mine = torch.dist(state, positive) / torch.dist(state, negative)
            theirs = torch.dist(fused, positive) / torch.dist(fused, negative)
            row.append(max(-3.0, min(3.0, y - shift if mine > theirs else y + shift)))
        rows.append(row)
    return torch.tensor(rows)


def test_the_rule_is_that_of_the_released_program():
    torch.manual_seed(4)
    points, positive, negative = torch.randn(4, 40, 5), torch.randn(5), torch.randn(5)
    annotated = make_annotation(2, 40)
    moved = propose_by_reach(points, positive, negative, torch.tensor(4.0))
    found = SCALE.clip(annotated + 6 * moved)
    torch.testing.assert_close(found, by_hand(points, positive, negative, 4.0, annotated))


def test_labels_follow_the_rule_and_its_average_over_the_epochs():
    annotated = make_annotation(1, 24)
    labels = make_generator("sugrm", annotated)
    live(labels, [1, 2])
    before = {m: labels.bank(m).clone() for m in (TEXT, AUDIO, VIDEO)}
    positive, negative = labels.centres.positive(Task.FUSION), labels.centres.negative(Task.FUSION)
    output, tasks = make_output(3, 6), (Task.FUSION, Task.TEXT, Task.AUDIO, Task.VIDEO)
    points = torch.stack([labels.projections[t](output.states[t]) for t in tasks]).detach()
    proposals = by_hand(points, positive, negative, float(labels.farthest), annotated[:6])
    labels.observe(output, torch.arange(6), 3)
    for proposed, (modality, old) in zip(proposals, before.items(), strict=True):
        expected = 0.5 * old[:6] + 0.5 * proposed
        torch.testing.assert_close(labels.bank(modality)[:6], expected, rtol=1e-4, atol=1e-4)
        assert torch.equal(labels.bank(modality)[6:], old[6:])


def test_the_farthest_are_the_clips_with_the_highest_and_the_lowest_annotation():
    annotated = torch.tensor([2.0, 2.0, -3.0, 0.5, -1.0, 1.0])
    labels = make_generator("sugrm", annotated)
    live(labels, [1])
    states, _ = labels.centres.states_of(Task.FUSION)
    expected = torch.dist(states[:2].mean(dim=0), states[2])
    assert float(labels.farthest) == pytest.approx(float(expected))


def test_where_all_annotations_are_equal_labels_stay():
    labels = make_generator("sugrm", torch.ones(12))
    live(labels, range(1, 5))
    assert torch.equal(labels.bank(TEXT), torch.ones(12))
