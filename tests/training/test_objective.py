from dataclasses import replace

import pytest
import torch
from helpers import (
    AUDIO,
    STATE_SIZES,
    TEXT,
    VIDEO,
    live,
    make_annotation,
    make_generator,
    make_output,
    make_targets,
)

from mien.errors import ConfigError
from mien.tensors import Output
from mien.training.objective import MultitaskObjective
from mien.training.settings import LossConfig
from mien.types import Modality, Task


def make_flat_output(scores, present=None):
    """A model's output with the given scores, one list per task."""
    num = len(next(iter(scores.values())))
    return Output(
        scores={t: torch.tensor(s) for t, s in scores.items()},
        states={t: torch.zeros(num, STATE_SIZES[t]) for t in scores},
        attention={},
        present={
            Modality(t): torch.ones(num, dtype=torch.bool) for t in scores if t is not Task.FUSION
        }
        | (present or {}),
    )


def test_the_loss_is_the_weighted_mean_absolute_error_by_hand():
    annotated = torch.tensor([1.0, -2.0])
    labels = make_generator("distance", annotated, weight="difference")
    labels.bank(TEXT).copy_(torch.tensor([2.0, -2.0]))
    labels.bank(AUDIO).copy_(torch.tensor([-1.0, 0.0]))
    scores = {Task.FUSION: [0.0, 0.0], Task.TEXT: [1.0, 1.0], Task.AUDIO: [0.0, 0.0],
              Task.VIDEO: [9.0, 9.0]}  # fmt: skip
    loss = MultitaskObjective(labels)(
        make_flat_output(scores), make_targets(annotated), torch.arange(2), 2
    )
    tanh = torch.tanh(torch.tensor([1.0, 2.0]))
    assert loss.tasks[Task.FUSION] == pytest.approx(1.5)
    assert loss.tasks[Task.TEXT] == pytest.approx(tanh[0].item() * 1 / 2)
    assert loss.tasks[Task.AUDIO] == pytest.approx(tanh[1].item() * 1 / 2)
    assert loss.tasks[Task.VIDEO] == 0  # its labels are copies, which weigh nothing
    assert loss.total.item() == pytest.approx(sum(x.item() for x in loss.tasks.values()))


def test_errors_may_be_squared_and_tasks_weighed():
    annotated = torch.tensor([1.0, -2.0])
    labels = make_generator("copy", annotated)
    scores = {key: [0.0, 0.0] for key in Task}
    config = LossConfig(error="squared", fusion=0.5, audio=0.0, video=2.0)
    loss = MultitaskObjective(labels, config=config)(
        make_flat_output(scores), make_targets(annotated), torch.arange(2), 1
    )
    assert {task: value.item() for task, value in loss.tasks.items()} == {
        Task.FUSION: 1.25,
        Task.TEXT: 2.5,
        Task.AUDIO: 0.0,
        Task.VIDEO: 5.0,
    }


def test_the_terms_of_a_model_are_minimised_with_its_errors():
    annotated = torch.tensor([1.0, -2.0])
    term = torch.tensor(0.25, requires_grad=True)
    output = replace(make_flat_output({key: [0.0, 0.0] for key in Task}), terms={"shape": term})
    loss = MultitaskObjective(make_generator("copy", annotated))(
        output, make_targets(annotated), torch.arange(2), 1
    )
    assert loss.total.item() == pytest.approx(0.25 + sum(x.item() for x in loss.tasks.values()))
    loss.total.backward()
    assert term.grad == 1


def test_a_model_without_unimodal_tasks_needs_no_labels_and_takes_none():
    annotated = torch.tensor([1.0, -2.0])
    only = {Task.FUSION: 3}
    labels = make_generator("copy", annotated, sizes=only)
    output = make_output(1, 2, sizes=only)
    loss = MultitaskObjective(labels)(output, make_targets(annotated), torch.arange(2), 1)
    assert list(loss.tasks) == [Task.FUSION]
    assert labels.banks.shape == (0, 2)
    with pytest.raises(ConfigError, match=r"no unimodal task.*use labels\.generator=copy"):
        make_generator("distance", annotated, sizes=only)


def test_a_clip_without_a_modality_adds_nothing_to_the_loss_of_that_modality():
    annotated = torch.tensor([1.0, 1.0, 1.0, 1.0])
    labels = make_generator("copy", annotated)
    scores = {task: [0.0, 0.0, 0.0, 0.0] for task in Task}
    present = {VIDEO: torch.tensor([True, False, False, True])}
    output = make_flat_output(scores, present)
    output.scores[Task.VIDEO].requires_grad_(requires_grad=True)
    loss = MultitaskObjective(labels)(output, make_targets(annotated), torch.arange(4), 1)
    assert loss.tasks[Task.AUDIO] == 1
    assert loss.tasks[Task.VIDEO] == 0.5  # a mean over the clips, so that batches can be joined
    loss.total.backward()
    assert (output.scores[Task.VIDEO].grad != 0).tolist() == [True, False, False, True]


def test_losses_of_two_halves_of_a_batch_have_the_mean_of_the_whole():
    annotated = make_annotation(1, 8)
    labels = make_generator("distance", annotated)
    live(labels, [1, 2])
    objective, output = MultitaskObjective(labels), make_output(1, 8)

    def loss_of(rows):
        chosen = Output(
            scores={t: s[rows] for t, s in output.scores.items()},
            states={t: s[rows] for t, s in output.states.items()},
            attention={},
            present={m: p[rows] for m, p in output.present.items()},
        )
        return objective(chosen, make_targets(annotated[rows]), rows, 3).total

    whole = loss_of(torch.arange(8))
    halves = (3 * loss_of(torch.arange(3)) + 5 * loss_of(torch.arange(3, 8))) / 8
    torch.testing.assert_close(whole, halves)


def test_the_loss_of_the_generator_is_added_as_it_is():
    labels = make_generator("ulag", make_annotation(1, 12))
    live(labels, [1, 2])
    output, index = make_output(1, 12), torch.arange(12)
    loss = MultitaskObjective(labels)(output, make_targets(labels.annotated), index, 3)
    own = labels.generate(output, index, 3).own_loss
    assert own > 0
    torch.testing.assert_close(loss.total, sum(loss.tasks.values()) + own)


def test_parts_of_the_loss_are_for_reading_alone():
    labels = make_generator("copy", make_annotation(1, 4))
    output = make_output(1, 4, requires_grad=True)
    loss = MultitaskObjective(labels)(output, make_targets(labels.annotated), torch.arange(4), 1)
    assert loss.total.requires_grad
    assert not any(part.requires_grad for part in loss.tasks.values())


def test_observing_keeps_no_graph():
    labels = make_generator("distance", make_annotation(1, 4))
    objective = MultitaskObjective(labels)
    objective.observe(make_output(1, 4, requires_grad=True), torch.arange(4), 1)
    assert not any(buffer.requires_grad for buffer in objective.buffers())


def test_the_generator_is_part_of_the_objective():
    labels = make_generator("ulag", make_annotation(1, 4))
    objective = MultitaskObjective(labels)
    assert {id(p) for p in labels.parameters()} == {id(p) for p in objective.parameters()}
    assert all(key.startswith("labels.") for key in objective.state_dict())
    assert len(objective.state_dict()) == len(labels.state_dict())
