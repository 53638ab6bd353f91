"""Each place where this project departs on purpose from the released program of sun2024.

Every test shows the released behaviour, which stays available by name so that both can be
measured, and beside it what is done here instead. test_parity.py shows that the released forms are
the released program's, number by number.
"""

import pytest
import torch
from helpers import (
    AUDIO,
    STATE_SIZES,
    TEXT,
    VIDEO,
    live,
    make_annotation,
    make_batch,
    make_clip,
    make_generator,
    make_model,
    make_output,
    make_targets,
    open_up,
)
from test_parity import GOLDENS, NAMES, load

from mien.labels import build_labels
from mien.labels.distance import DistanceConfig
from mien.labels.generator import LabelInputs
from mien.labels.latent import LatentConfig
from mien.labels.ulag import Confidence
from mien.models.fusion import DimensionFusion, RankOneFusion
from mien.tensors import Output
from mien.training.objective import MultitaskObjective
from mien.training.settings import TrainConfig
from mien.types import Modality, Scale, Task

OURS = ("gated", "softmax", "none")


def alone_and_together(attention):
    """What a model and its encoders give for a short clip alone, and beside a longer one."""
    model = open_up(make_model(attention=attention, fusion="concat")).eval()
    if attention == "released":
        with torch.no_grad():  # gates that are open, so that they matter
            for encoder in model.encoders.values():
                encoder.attention.gated.direction.bias.fill_(2.0)
                encoder.attention.gated.strength.bias.fill_(3.0)
    short, longer = make_clip(1, 3), make_clip(2, 6)
    alone, together = make_batch(short), make_batch(longer, short)
    pairs = [(model(alone).scores[t][0], model(together).scores[t][1]) for t in Task]
    for modality in (AUDIO, VIDEO):
        encoder = model.encoders[modality]
        vectors = [encoder(batch.sequences[modality])[0][-1] for batch in (alone, together)]
        pairs.append(tuple(vectors))
    return pairs


def test_released_what_is_heard_of_a_clip_depends_on_its_company():
    *_, audio, video = alone_and_together("released")
    for alone, together in (audio, video):
        assert not torch.allclose(alone, together, atol=1e-4)


@pytest.mark.parametrize("attention", OURS)
def test_ours_nothing_of_a_clip_depends_on_its_company(attention):
    for alone, together in alone_and_together(attention):
        torch.testing.assert_close(alone, together)


def test_released_every_clip_but_the_longest_of_a_batch_sounds_the_same():
    model = open_up(make_model(attention="released", fusion="concat")).eval()
    output = model(make_batch(make_clip(1, 6), make_clip(2, 3), make_clip(3, 2)))
    bias = model.heads[Task.AUDIO](model.encoders[AUDIO].linear.bias.unsqueeze(0))[1]
    assert torch.equal(output.scores[Task.AUDIO][1:], bias.expand(2))
    assert output.scores[Task.AUDIO][0] != bias[0]


def recurrent_gradients(attention):
    model = make_model(attention=attention)
    output = model(make_batch(make_clip(1, 4), make_clip(2, 4)))
    sum(score.sum() for score in output.scores.values()).backward()
    return [p.grad for m in (AUDIO, VIDEO) for p in model.encoders[m].rnn.parameters()]


def test_released_the_encoders_of_audio_and_video_never_learn():
    assert all(grad is None for grad in recurrent_gradients("released"))


@pytest.mark.parametrize("attention", OURS)
def test_ours_the_encoders_of_audio_and_video_receive_gradients(attention):
    assert all(grad is not None and grad.any() for grad in recurrent_gradients(attention))


def merged_of_released(factor):
    labels = make_generator("ulag_released", make_annotation(1, 6))
    merged = []
    for predictor in labels.predictors.values():
        predictor.register_forward_pre_hook(lambda _m, args: merged.append(args[0]))
    experts = {
        t: factor * torch.rand(6, 4, generator=torch.Generator().manual_seed(1)) for t in Task
    }
    labels.propose(experts, labels.annotated)
    return torch.stack(merged)


def test_released_doubling_the_experts_multiplies_the_result_by_eight():
    torch.testing.assert_close(merged_of_released(2.0), 8 * merged_of_released(1.0))


def test_ours_doubling_the_states_leaves_the_similarities_as_they_are():
    confidence = Confidence(STATE_SIZES, 4, 0.5)
    states = {t: 10 * s for t, s in make_output(1, 6).states.items()}
    doubled = confidence({t: 2 * s for t, s in states.items()})
    for modality, plain in confidence(states).items():
        torch.testing.assert_close(doubled[modality], plain, rtol=1e-3, atol=1e-4)


def test_released_the_predictors_of_confidence_are_never_trained():
    labels = make_generator("ulag_released", make_annotation(1, 6))
    assert not any(p.requires_grad for p in labels.predictors.parameters())
    names = [name for name, _ in MultitaskObjective(labels).parameter_groups()["labels"]]
    assert names
    assert all("experts" in name for name in names)


def test_ours_the_confidence_is_trained():
    objective = MultitaskObjective(make_generator("ulag", make_annotation(1, 6)))
    names = [name for name, _ in objective.parameter_groups()["labels"]]
    assert names == [n for n, _ in objective.named_parameters()]
    assert any("judge" in name for name in names)


def gradient_through_the_target(name):
    """Of the loss of a unimodal task, with respect to the states from which its target is made."""
    labels = make_generator(name, make_annotation(1, 24))
    live(labels, [1, 2])
    output = make_output(1, 24, requires_grad=True)
    loss = MultitaskObjective(labels)(output, make_targets(labels.annotated), torch.arange(24), 3)
    states = list(output.states.values())
    return torch.autograd.grad(loss.total, states, allow_unused=True)


def test_released_the_model_moves_its_own_target():
    assert any(
        grad is not None and grad.any() for grad in gradient_through_the_target("ulag_released")
    )


@pytest.mark.parametrize("name", ["ulag", "distance", "copy", "human"])
def test_ours_the_model_cannot_move_its_own_target(name):
    grads = gradient_through_the_target(name)
    assert all(grad is None or not grad.any() for grad in grads)


@pytest.mark.skipif(not GOLDENS.is_dir(), reason="the goldens are not beside the repository")
def test_released_clips_that_were_not_seen_count_as_zeros_in_the_centres():
    """Ours counts the clips that were seen; the two agree as soon as all have been."""
    values = load("label_trajectory_geq0")
    sizes = {t: values[f"ep1/feat_{NAMES[t]}"].shape[1] for t in Task}
    inputs = LabelInputs(
        labels={Task.FUSION: values["labels0"]}, scale=Scale(-3, 3), state_sizes=sizes
    )
    labels = build_labels(DistanceConfig(), inputs)
    index = values["ep1/perm"][:8]
    output = Output(
        scores={},
        states={t: values[f"ep1/feat_{NAMES[t]}"][index] for t in Task},
        attention={},
        present={m: torch.ones(8, dtype=torch.bool) for m in Modality},
    )
    labels.observe(output, index, 1)
    positive, seen = values["labels0"] >= 0, values["labels0"][index] >= 0
    for task in Task:
        states = output.states[task][seen]
        released = states.sum(dim=0) / positive.sum()
        torch.testing.assert_close(values[f"ep1/b0/center_pos_{NAMES[task]}"], released)
        torch.testing.assert_close(labels.centres.positive(task), states.mean(dim=0))


def test_released_an_empty_class_has_a_centre_that_is_not_a_number():
    """A mean over no clip. Ours says that the centre is not there, and labels stay."""
    assert torch.zeros(0, 3).mean(dim=0).isnan().all()
    annotated = torch.linspace(1, 3, 12)
    labels = make_generator("distance", annotated)
    live(labels, [1, 2, 3])
    assert not labels.centres.is_ready(Task.FUSION)
    assert all(torch.equal(labels.bank(m), annotated) for m in Modality)


def test_released_fusion_sees_of_another_modality_its_sum_alone():
    """Moving weight from one dimension to another is invisible to all products with the others."""
    sizes = {TEXT: 4, AUDIO: 4}
    vectors = {m: torch.rand(1, 4, generator=torch.Generator().manual_seed(i))
               for i, m in enumerate(sizes)}  # fmt: skip
    moved = {**vectors, AUDIO: vectors[AUDIO].flip(-1)}
    fusion = RankOneFusion(sizes, 4)
    by_sum = slice(8, 12)  # S(a) t
    torch.testing.assert_close(fusion(vectors)[:, by_sum], fusion(moved)[:, by_sum])


def test_ours_fusion_sees_in_which_dimension_another_modality_speaks():
    sizes = {TEXT: 4, AUDIO: 4}
    vectors = {m: torch.rand(1, 4, generator=torch.Generator().manual_seed(i))
               for i, m in enumerate(sizes)}  # fmt: skip
    moved = {**vectors, AUDIO: vectors[AUDIO].flip(-1)}
    torch.manual_seed(1)
    fusion = open_up(DimensionFusion(sizes, 4))
    products = slice(4, 8)  # p_t * p_a
    assert (fusion(vectors) - fusion(moved))[:, products].abs().min() > 1e-3


def test_released_steps_are_sums_and_the_rest_of_an_epoch_is_dropped():
    """Ours takes means over the clips of a step and a last step on what is left.

    test_parity.py trains with the first, training/test_trainer.py shows the second.
    """
    released = TrainConfig(gradient="sum", leftover="drop", group_lengths=False)
    ours = TrainConfig()
    assert (released.gradient, released.leftover) == ("sum", "drop")
    assert (ours.gradient, ours.leftover) == ("mean", "step")


def unimodal_losses(weight, epoch):
    labels = make_generator("ulag", make_annotation(1, 24), weight=weight)
    live(labels, range(1, epoch))
    output, index = make_output(1, 24), torch.arange(24)
    loss = MultitaskObjective(labels)(output, make_targets(labels.annotated), index, epoch)
    return [float(loss.tasks[Task(m)]) for m in Modality]


def test_released_unimodal_tasks_are_not_trained_in_the_first_epoch():
    assert unimodal_losses("difference", 1) == [0, 0, 0]
    assert min(unimodal_losses("difference", 3)) > 0


def test_ours_unimodal_tasks_warm_up_on_the_annotation():
    assert LatentConfig().weight == "one"
    assert min(unimodal_losses("one", 1)) > 0


def with_zeros():
    annotated = make_annotation(1, 24)
    annotated[:4] = 0
    return annotated


def test_released_the_proposal_for_a_clip_annotated_zero_is_zero():
    annotated = with_zeros()
    released = make_generator("ulag_released", annotated)
    experts = {t: torch.rand(24, 4) for t in Task}
    for proposal in released.propose(experts, annotated).values():
        assert (proposal[:4] == 0).all()
        assert (proposal[annotated != 0] != 0).any()


def test_ours_the_proposal_for_a_clip_annotated_zero_comes_from_its_evidence():
    annotated = with_zeros()
    ours = make_generator("ulag", annotated)
    live(ours, [1, 2])
    index = torch.arange(4)
    generated = ours.generate(make_output(1, 4), index, 3)
    for modality in Modality:
        proposal = 2 * generated.targets[modality] - ours.bank(modality)[index]
        assert (proposal * ours.evidence(modality)[index] > 0).all()


def test_released_sizes_of_the_text_are_fixed_and_ours_come_from_the_encoder():
    for size in (4, 384, 768):
        model = make_model(sizes={TEXT: size})
        assert model.heads[Task.TEXT].enter.in_features % size == 0
