"""What every label generator promises; whatever is in GENERATORS is tested by being there."""

from itertools import combinations

import pytest
import torch
from helpers import (
    AUDIO,
    SCALE,
    STATE_SIZES,
    TEXT,
    TINY,
    live,
    make_annotation,
    make_batch,
    make_clip,
    make_generator,
    make_model,
    make_output,
    make_targets,
)

from mien.labels import GENERATORS
from mien.labels.reference import FixedLabels
from mien.training.objective import MultitaskObjective
from mien.training.optimizer import parameter_groups
from mien.training.settings import TrainConfig
from mien.types import Modality, Task

#: Released forms break some promises on purpose; tests/test_differences.py shows how.
SOUND = [name for name in GENERATORS if not name.endswith("released")]
#: Those whose labels move away from the annotation.
MOVING = [name for name, (_, kind) in GENERATORS.items() if not issubclass(kind, FixedLabels)]
#: Those of the package whose proposals leave the scale on the clips of these tests.
BEYOND_THE_SCALE = ("distance", "ulag", "ulag_released", "sugrm")
#: Those that propose labels from a certain epoch on.
PROPOSING = [
    name for name, (config, _) in GENERATORS.items() if "warmup_epochs" in config.model_fields
]
SUBSETS = [subset for num in (1, 2, 3) for subset in combinations(Modality, num)]

every_generator = pytest.mark.parametrize("name", GENERATORS)
every_sound_generator = pytest.mark.parametrize("name", SOUND)


def make_lived(name, *, num_clips=24, epochs=3, annotated=None, **options):
    annotated = make_annotation(1, num_clips) if annotated is None else annotated
    labels = make_generator(name, annotated, **options)
    live(labels, range(1, epochs + 1))
    labels.pop_clipped_share()
    return labels


def trained(labels):
    return {n: p for n, p in labels.named_parameters() if p.requires_grad}


@every_generator
def test_every_unimodal_task_gets_a_finite_target_for_every_clip(name):
    labels = make_generator(name, make_annotation(1, 24))
    for epoch in range(1, 5):
        for index, _, generated in live(labels, [epoch]):
            assert list(generated.targets) == list(Modality)
            for target in generated.targets.values():
                assert target.shape == index.shape
                assert torch.isfinite(target).all()
            assert torch.isfinite(generated.own_loss)


@every_generator
@pytest.mark.parametrize("epoch", [1, 2, 4])
def test_labels_and_targets_never_leave_the_scale(name, epoch):
    labels = make_generator(name, make_annotation(2, 24))
    for _, _, generated in live(labels, range(1, epoch + 1)):
        for target in generated.targets.values():
            assert target.abs().max() <= SCALE.high
    for modality in Modality:
        assert labels.bank(modality).abs().max() <= SCALE.high
        assert labels.latest(modality).abs().max() <= SCALE.high


@every_sound_generator
def test_targets_carry_no_gradient(name):
    labels = make_lived(name)
    output = make_output(5, 6, requires_grad=True)
    generated = labels.generate(output, torch.arange(6), 4)
    assert not any(target.requires_grad for target in generated.targets.values())


@every_sound_generator
def test_what_the_generator_learns_from_does_not_reach_the_model(name):
    model = make_model()
    batch = make_batch(*(make_clip(seed, 1 + seed % 3) for seed in range(6)))
    sizes = {Task(t): n for t, n in TINY["state_size"].items()}
    labels = make_generator(name, make_annotation(1, 24), sizes=sizes)
    live(labels, [1, 2], sizes=sizes)
    generated = labels.generate(model(batch), batch.index, 3)
    assert generated.own_loss.requires_grad == bool(trained(labels))
    if generated.own_loss.requires_grad:
        generated.own_loss.backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


@every_sound_generator
def test_the_loss_of_the_model_does_not_reach_the_generator(name):
    labels = make_lived(name)
    objective = MultitaskObjective(labels)
    index = torch.arange(6)
    output = make_output(5, 6, requires_grad=True)
    loss = objective(output, make_targets(labels.annotated[index]), index, 4)
    own = labels.generate(output, index, 4).own_loss
    scores = list(output.scores.values())
    assert all(g.any() for g in torch.autograd.grad(loss.total, scores, retain_graph=True))
    parameters = list(trained(labels).values())
    if not parameters:
        return
    whole = torch.autograd.grad(loss.total, parameters, allow_unused=True)
    alone = torch.autograd.grad(own, parameters, allow_unused=True)
    for first, second in zip(whole, alone, strict=True):
        assert (first is None) == (second is None)
        if first is not None:
            torch.testing.assert_close(first, second)


@every_generator
def test_every_parameter_is_trained_by_the_objective(name):
    labels = make_lived(name)
    objective = MultitaskObjective(labels)
    index = torch.arange(24)
    loss = objective(make_output(5, 24), make_targets(labels.annotated), index, 4)
    if trained(labels):
        loss.total.backward()
    idle = [n for n, p in trained(labels).items() if p.grad is None or not p.grad.any()]
    assert idle == []


@every_sound_generator
def test_no_parameter_is_left_out_of_training(name):
    labels = make_generator(name, make_annotation(1, 24))
    assert list(trained(labels)) == [n for n, _ in labels.named_parameters()]


@every_generator
def test_every_trained_parameter_is_in_exactly_one_group(name):
    objective = MultitaskObjective(make_generator(name, make_annotation(1, 24)))
    model = make_model()
    named = objective.parameter_groups()
    assert list(named) == ["labels"]
    groups = parameter_groups({**model.parameter_groups(), **named}, TrainConfig())
    grouped = [id(p) for group in groups for p in group["params"]]
    wanted = [*model.parameters(), *(p for p in objective.parameters() if p.requires_grad)]
    assert sorted(grouped) == sorted(id(p) for p in wanted)


@every_generator
def test_the_state_dict_is_the_whole_generator(name):
    labels = make_lived(name, seed=1)
    twin = make_generator(name, torch.zeros(24), seed=2)
    twin.load_state_dict(labels.state_dict())
    for epoch in (4, 5):
        ours, theirs = (live(one, [epoch]) for one in (labels, twin))
        for (_, _, first), (_, _, second) in zip(ours, theirs, strict=True):
            assert all(torch.equal(first.targets[m], second.targets[m]) for m in Modality)
            assert torch.equal(first.own_loss, second.own_loss)
        for modality in Modality:
            assert torch.equal(labels.bank(modality), twin.bank(modality))
            assert torch.equal(labels.latest(modality), twin.latest(modality))
        assert labels.pop_clipped_share() == twin.pop_clipped_share()


@every_generator
@pytest.mark.parametrize("batch_size", [1, 5, 24])
def test_any_batch_size_works(name, batch_size):
    labels = make_generator(name, make_annotation(1, 24))
    live(labels, [1, 2, 3], batch_size=batch_size)
    assert all(torch.isfinite(labels.latest(m)).all() for m in Modality)


@every_generator
@pytest.mark.parametrize("subset", SUBSETS, ids="-".join)
def test_a_corpus_may_have_any_of_the_modalities(name, subset):
    sizes = {t: n for t, n in STATE_SIZES.items() if t is Task.FUSION or Modality(t) in subset}
    labels = make_generator(name, make_annotation(1, 24), sizes=sizes)
    for _, _, generated in live(labels, [1, 2, 3], sizes=sizes):
        assert tuple(generated.targets) == subset


ANNOTATIONS = {
    "all zero": torch.zeros(24),
    "all positive": torch.linspace(0.5, 3, 24),
    "all negative": torch.linspace(-3, -0.5, 24),
    "all equal": torch.full((24,), 1.5),
    "one negative": torch.cat([torch.full((23,), 2.0), torch.tensor([-1.0])]),
}


@every_generator
@pytest.mark.parametrize("kind", ANNOTATIONS)
@pytest.mark.parametrize("zeros", ["positive", "excluded"])
def test_a_class_may_be_empty(name, kind, zeros):
    labels = make_generator(name, ANNOTATIONS[kind], zeros=zeros)
    for epoch in range(1, 5):
        for _, _, generated in live(labels, [epoch]):
            assert torch.isfinite(generated.own_loss)
            assert all(torch.isfinite(t).all() for t in generated.targets.values())
            assert all(t.abs().max() <= SCALE.high for t in generated.targets.values())
        assert all(torch.isfinite(labels.bank(m)).all() for m in Modality)


@every_generator
def test_a_modality_may_be_missing_from_some_clips_or_from_all(name):
    labels = make_generator(name, make_annotation(1, 24))
    present = {TEXT: torch.zeros(24, dtype=torch.bool), AUDIO: torch.arange(24) % 2 == 0}
    for _, _, generated in live(labels, [1, 2, 3], present=present):
        assert all(torch.isfinite(t).all() for t in generated.targets.values())


@pytest.mark.parametrize("name", MOVING)
def test_a_clip_without_a_modality_keeps_its_label_of_it(name):
    annotated = make_annotation(1, 24)
    labels = make_generator(name, annotated)
    present = {AUDIO: torch.arange(24) % 2 == 0}
    live(labels, [1, 2, 3], present=present)
    moved = labels.bank(AUDIO) != annotated
    assert not moved[1::2].any()
    assert moved[::2].any()


@pytest.mark.parametrize("name", MOVING)
def test_states_of_a_missing_modality_do_not_count(name):
    """The learned stand-in for a modality says nothing of the clip."""
    present = {AUDIO: torch.arange(24) % 3 > 0}

    def run(shift):
        labels = make_generator(name, make_annotation(1, 24))
        for epoch in (1, 2, 3):
            for number, index in enumerate(torch.arange(24).split(6)):
                has = {AUDIO: present[AUDIO][index]}
                output = make_output(100 * epoch + number, 6, present=has)
                output.states[Task.AUDIO][~has[AUDIO]] += shift
                labels.observe(output, index, epoch)
            labels.finish_epoch(epoch)
        return labels.bank(AUDIO)

    assert torch.equal(run(0.0), run(5.0))


def test_whoever_has_a_warm_up_moves_labels():
    assert set(PROPOSING) <= set(MOVING)


@pytest.mark.parametrize("name", PROPOSING)
def test_labels_move_after_the_warm_up_and_not_before(name):
    annotated = make_annotation(1, 24)
    labels = make_generator(name, annotated, warmup_epochs=2)
    live(labels, [1, 2])
    assert all(torch.equal(labels.bank(m), annotated) for m in Modality)
    live(labels, [3])
    assert all(not torch.equal(labels.bank(m), annotated) for m in Modality)


@pytest.mark.parametrize(
    "name", [name for name in SOUND if name in PROPOSING or name not in MOVING]
)
def test_in_the_warm_up_targets_are_the_annotation(name):
    """Unless people annotated the modality."""
    annotated = make_annotation(1, 24)
    labels = make_generator(name, annotated, warmup_epochs=2)
    wanted = -annotated if GENERATORS[name].labels.needs_unimodal else annotated
    for index, _, generated in live(labels, [1, 2]):
        assert all(torch.equal(t, wanted[index]) for t in generated.targets.values())


@every_generator
def test_latest_is_what_the_tasks_were_last_trained_on(name):
    labels = make_generator(name, make_annotation(1, 24))
    live(labels, [1, 2])
    index, output = torch.arange(6), make_output(1, 6)
    generated = labels.generate(output, index, 3)
    for modality in Modality:
        assert torch.equal(labels.latest(modality)[index], generated.targets[modality].detach())
        assert not labels.latest(modality).requires_grad


@every_generator
def test_the_fusion_task_keeps_its_annotation(name):
    annotated = make_annotation(1, 24)
    labels = make_generator(name, annotated)
    live(labels, [1, 2, 3])
    assert torch.equal(labels.bank(Task.FUSION), annotated)
    assert torch.equal(labels.annotated, annotated)


@every_generator
def test_the_caller_keeps_its_own_annotation(name):
    annotated = make_annotation(1, 24)
    before = annotated.clone()
    live(make_generator(name, annotated), [1, 2, 3])
    assert torch.equal(annotated, before)


@every_generator
def test_the_share_of_clipped_proposals_is_a_share_and_starts_anew(name):
    labels = make_generator(name, make_annotation(1, 24))
    live(labels, [1])
    first = labels.pop_clipped_share()
    assert first == 0 or (name in MOVING and name not in PROPOSING)
    live(labels, [2])
    share = labels.pop_clipped_share()
    assert 0 <= share <= 1 if name in MOVING else share == 0
    if name in BEYOND_THE_SCALE:
        assert 0 < share < 1
    assert labels.pop_clipped_share() == 0


@every_generator
def test_how_much_a_clip_counts_follows_the_setting(name):
    labels = make_generator(name, make_annotation(1, 24), weight="one")
    live(labels, [1, 2])
    index = torch.tensor([3, 0, 7])
    assert all((w == 1).all() for w in labels.weights(index).values())
    if name not in MOVING:
        return
    labels = make_generator(name, make_annotation(1, 24), weight="difference")
    live(labels, [1, 2])
    for modality, weights in labels.weights(index).items():
        apart = (labels.bank(modality) - labels.annotated)[index].abs()
        torch.testing.assert_close(weights, torch.tanh(apart))
        assert not weights.requires_grad


@every_generator
def test_settings_are_of_the_name_in_the_table(name):
    config, labels = GENERATORS[name]
    assert config().generator == name
    assert isinstance(make_generator(name, make_annotation(1, 24)), labels)
