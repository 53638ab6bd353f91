"""Labels of ``mug``: annotations that a network, taught to restore noisy ones, corrects."""

import copy

import pytest
import torch
from helpers import (
    AUDIO,
    SCALE,
    STATE_SIZES,
    TEXT,
    VIDEO,
    generator,
    live,
    make_annotation,
    make_generator,
    make_output,
)

from mien.labels import build_labels
from mien.labels.generator import LabelInputs
from mien.labels.label_settings import MugConfig
from mien.labels.mug.label_correction import VirtualPredictors, contrast, masked_mean
from mien.tensors import Output
from mien.types import Modality, Scale, Task

TASKS = (Task.FUSION, Task.TEXT, Task.AUDIO, Task.VIDEO)


def make_informed_output(annotated, *, seed=3, noise=0.3):
    """States that show the annotation in a direction of their own, beside noise."""
    drawn, made = generator(seed), make_output(seed, len(annotated))
    states = {}
    for task, size in STATE_SIZES.items():
        direction = torch.randn(size, generator=drawn)
        spread = noise * torch.randn(len(annotated), size, generator=drawn)
        states[task] = annotated.unsqueeze(1) / SCALE.high * direction + spread
    return Output(scores=made.scores, states=states, attention={}, present=made.present)


def train(labels, output, epochs, *, rate=1e-2):
    """Train the generator alone on batches of a fixed output, as the objective does."""
    optimizer = torch.optim.Adam(labels.parameters(), lr=rate)
    num_clips = len(labels.annotated)
    for epoch in epochs:
        order = torch.randperm(num_clips, generator=generator(epoch))
        for index in order.split(32):
            batch = output.take(index)
            optimizer.zero_grad()
            labels.generate(batch, index, epoch).own_loss.backward()
            optimizer.step()
            labels.observe(batch, index, epoch)
        labels.finish_epoch(epoch)
    return labels


def corrected(labels, output, given):
    """What the network makes of labels on the scale, for all tasks."""
    with torch.no_grad():
        points = torch.stack([labels.projections[t](output.states[t]) for t in TASKS])
        return SCALE.high * labels.corrector(points, given / SCALE.high)


def test_the_network_restores_annotations_of_clips_it_was_not_trained_on():
    annotated = make_annotation(1, 400)
    output = make_informed_output(annotated)
    seen, unseen = torch.arange(200), torch.arange(200, 400)
    labels = train(make_generator("mug", annotated[:200]), output.take(seen), range(1, 31))
    noise = SCALE.high * torch.randn(4, 200, generator=generator(8))
    noisy = SCALE.clip(annotated[unseen] + noise)
    restored = corrected(labels, output.take(unseen), noisy)
    before, after = ((x - annotated[unseen]).abs().mean(dim=1) for x in (noisy, restored))
    assert (after < 0.7 * before).all()


def test_labels_are_nearer_to_what_a_contradicting_modality_shows_than_copies_are():
    """In a tenth of the clips the voice shows the opposite of the annotation."""
    annotated = make_annotation(2, 300)
    output, shown = make_informed_output(annotated), annotated.clone()
    contradicts = torch.arange(300) % 10 == 0
    shown[contradicts] *= -1
    output.states[Task.AUDIO][contradicts] *= -1
    labels = train(make_generator("mug", annotated), output, range(1, 21))
    apart = (labels.bank(AUDIO) - shown)[contradicts].abs().mean()
    assert apart < 0.8 * (annotated - shown)[contradicts].abs().mean()
    agrees = ~contradicts
    assert (labels.bank(AUDIO) - shown)[agrees].abs().mean() < 0.5


def test_labels_follow_the_rule_and_its_average_over_the_epochs():
    annotated = make_annotation(1, 24)
    labels = make_generator("mug", annotated, warmup_epochs=1)
    live(labels, [1, 2])
    before = {m: labels.bank(m).clone() for m in (TEXT, AUDIO, VIDEO)}
    output, index = make_output(3, 6), torch.arange(6)
    proposals = SCALE.clip(corrected(labels, output, annotated[:6].expand(4, -1)))[1:]
    labels.observe(output, index, 3)
    for proposed, (modality, old) in zip(proposals, before.items(), strict=True):
        torch.testing.assert_close(labels.bank(modality)[:6], 0.5 * old[:6] + 0.5 * proposed)
        assert torch.equal(labels.bank(modality)[6:], old[6:])


def test_a_virtual_step_is_one_of_gradient_descent_through_which_labels_learn():
    torch.manual_seed(2)
    predictors = VirtualPredictors(3, 5)
    torch.nn.init.normal_(predictors.weight)
    points = torch.randn(3, 7, 5)
    labels = torch.randn(3, 7, requires_grad=True)
    counted = torch.rand(3, 7) > 0.3
    counted[2] = False
    stepped = predictors.after_step(points, labels, counted, 0.4)

    parameters = dict(predictors.named_parameters())
    errors = torch.func.functional_call(predictors, parameters, (points,)) - labels
    loss = masked_mean(errors.square(), counted).sum()
    grads = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
    length = masked_mean(points.square().sum(dim=-1), counted)
    moved = {
        n: p - (0.4 / (1 + length)).view(3, *[1] * (p.ndim - 1)) * g
        for (n, p), g in zip(parameters.items(), grads, strict=True)
    }
    expected = torch.func.functional_call(predictors, moved, (points,))
    torch.testing.assert_close(stepped, expected)

    ours, theirs = (torch.autograd.grad(x.square().sum(), labels)[0] for x in (stepped, expected))
    torch.testing.assert_close(ours, theirs)
    assert ours[counted].all()
    assert not ours[~counted].any()


@pytest.mark.parametrize("size", [0.1, 1.0, 100.0])
def test_no_step_is_so_long_that_the_error_grows(size):
    torch.manual_seed(4)
    predictors = VirtualPredictors(2, 3)
    points = size * torch.randn(2, 8, 3).abs()
    labels, counted = torch.randn(2, 8), torch.ones(2, 8, dtype=torch.bool)
    before = (predictors(points) - labels).square().mean(dim=1)
    after = (predictors.after_step(points, labels, counted, 1.0) - labels).square().mean(dim=1)
    assert (after <= before).all()


def test_the_step_leaves_the_predictors_as_they_are():
    predictors = VirtualPredictors(2, 4)
    stepped = predictors.after_step(
        torch.randn(2, 3, 4), torch.ones(2, 3), torch.ones(2, 3, dtype=torch.bool), 1.0
    )
    assert not stepped.requires_grad
    assert not any(p.any() for p in predictors.parameters())


def grads_of_the_network(inner_rate, **options):
    labels = make_generator("mug", make_annotation(1, 24), inner_rate=inner_rate, **options)
    output = make_output(5, 24)
    labels.generate(output, torch.arange(24), 1).own_loss.backward()
    return [p.grad.clone() for p in labels.corrector.parameters()]


def test_the_network_learns_through_the_virtual_step():
    with_step, without, again = (grads_of_the_network(rate) for rate in (0.5, 0.0, 0.5))
    for ours, theirs, same in zip(with_step, without, again, strict=True):
        assert torch.equal(ours, same)
        assert not torch.allclose(ours, theirs)


def test_the_noise_is_of_the_size_that_the_settings_say_and_new_in_every_epoch():
    labels = make_generator("mug", torch.zeros(2000))
    drawn = [labels.rows("noise").clone()]
    for epoch in (1, 2):
        labels.finish_epoch(epoch)
        drawn.append(labels.rows("noise").clone())
    for values in drawn:
        assert float(values.std()) == pytest.approx(1, abs=0.05)
    joined = torch.stack([values.flatten() for values in drawn])
    assert (torch.corrcoef(joined) - torch.eye(3)).abs().max() < 0.05
    small, large = (grads_of_the_network(0.5, noise=size) for size in (0.1, 1.0))
    assert not any(torch.allclose(a, b) for a, b in zip(small, large, strict=True))


def test_another_seed_draws_other_noise_whatever_was_drawn_in_between():
    first, other = (make_generator("mug", torch.zeros(24), seed=seed) for seed in (1, 2))
    assert not torch.equal(first.rows("noise"), other.rows("noise"))
    twin = make_generator("mug", torch.zeros(24), seed=1)
    torch.manual_seed(77)
    for labels in (first, twin):
        torch.rand(3)
        labels.finish_epoch(1)
    assert torch.equal(first.rows("noise"), twin.rows("noise"))


def test_a_training_that_is_resumed_goes_on_as_if_it_had_not_stopped():
    annotated = make_annotation(1, 96)
    output = make_informed_output(annotated)
    labels = train(make_generator("mug", annotated), output, range(1, 6))
    twin = make_generator("mug", torch.zeros(96), seed=9)
    twin.load_state_dict(copy.deepcopy(labels.state_dict()))
    for each in (labels, twin):
        train(each, output, range(6, 9))
    ours, theirs = labels.state_dict(), twin.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_noise_is_kept_to_resume_and_not_with_the_best_epoch():
    labels = make_generator("mug", make_annotation(1, 24))
    passing = [n for n in labels.state_dict() if n.startswith(labels.only_to_resume)]
    assert sorted(passing) == [
        "noise_audio", "noise_fusion", "noise_seed", "noise_text", "noise_video",
    ]  # fmt: skip


def test_what_a_clip_lacks_is_never_read():
    annotated = make_annotation(1, 24)
    present = {AUDIO: torch.arange(24) % 3 > 0, VIDEO: torch.zeros(24, dtype=torch.bool)}
    index, grads = torch.arange(24), []
    for stand_in in (0.0, float("nan")):
        labels = make_generator("mug", annotated)
        output = make_output(5, 24, present=present)
        for modality, has in present.items():
            output.states[Task(modality)][~has] = stand_in
        labels.generate(output, index, 4).own_loss.backward()
        labels.observe(output, index, 4)
        grads.append([p.grad for p in labels.parameters()])
        assert all(torch.isfinite(labels.bank(m)).all() for m in Modality)
        assert torch.equal(labels.bank(VIDEO), annotated)
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))
    assert all(torch.isfinite(grad).all() for grad in grads[0])


def test_the_contrast_is_that_of_clips_that_have_the_modality():
    torch.manual_seed(3)
    points = torch.randn(2, 5, 4)
    present = torch.tensor([[True, True, False, True, False]])
    own = points[:, present[0]]
    alike = torch.nn.functional.cosine_similarity(own[1].unsqueeze(1), own[0], dim=-1) / 0.1
    wanted = torch.arange(3)
    expected = sum(torch.nn.functional.cross_entropy(x, wanted) for x in (alike, alike.T)) / 2
    torch.testing.assert_close(contrast(points, present), expected)


def test_points_of_a_clip_that_lie_together_have_a_smaller_contrast():
    points = torch.eye(6).expand(2, -1, -1)
    present = torch.ones(1, 6, dtype=torch.bool)
    apart = torch.stack([points[0], points[0].roll(1, dims=0)])
    assert contrast(points, present) < 0.01 < 5 < contrast(apart, present)


@pytest.mark.parametrize("num_present", [0, 1])
def test_there_is_no_contrast_without_another_clip(num_present):
    points = torch.randn(2, 4, 3, requires_grad=True)
    present = (torch.arange(4) < num_present).unsqueeze(0)
    value = contrast(points, present)
    value.backward()
    assert float(value.detach()) == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(points.grad).all()


def test_a_scale_need_not_be_centred():
    """Labels on a moved scale are the labels, moved."""
    annotated = make_annotation(1, 24)
    banks = []
    for shift in (0.0, 1.0):
        torch.manual_seed(1)
        inputs = LabelInputs(
            labels={Task.FUSION: annotated + shift},
            scale=Scale(SCALE.low + shift, SCALE.high + shift),
            state_sizes=STATE_SIZES,
        )
        labels = build_labels(MugConfig(warmup_epochs=1), inputs)
        live(labels, [1, 2, 3])
        banks.append(labels.banks - shift)
    assert not torch.equal(banks[0], annotated.expand(3, -1))
    torch.testing.assert_close(banks[0], banks[1], rtol=1e-4, atol=1e-4)
