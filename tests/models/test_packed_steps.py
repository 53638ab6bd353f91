"""Recurrences over the real steps of a batch say of each clip what they say of it alone."""

import pytest
import torch
from torch import Tensor, nn

from mien.models.zoo.recurrent.gated_memory import GatedMemory
from mien.models.zoo.recurrent.packed_steps import PackedSteps, PaddedSteps, run_hidden, run_lstm
from mien.models.zoo.recurrent.recurrent_settings import LayersConfig, MfnConfig
from mien.models.zoo.two_ways import run_two_ways

LENGTHS = (2, 5, 1, 5)


@pytest.fixture
def mask() -> Tensor:
    return torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]


@pytest.fixture
def values() -> Tensor:
    return torch.randn(len(LENGTHS), max(LENGTHS), 3, generator=torch.Generator().manual_seed(2))


def test_real_steps_are_packed_step_by_step_and_the_longest_clips_come_first(
    mask: Tensor, values: Tensor
) -> None:
    packed = PackedSteps(mask)
    rows = packed.pack(values)
    order = [(1, 0), (3, 0), (0, 0), (2, 0), (1, 1), (3, 1), (0, 1)]
    order += [(clip, step) for step in (2, 3, 4) for clip in (1, 3)]
    assert packed.counts == [4, 3, 2, 2, 2]
    assert torch.equal(rows, torch.stack([values[place] for place in order]))
    assert torch.equal(
        packed.last(rows), torch.stack([values[i, n - 1] for i, n in enumerate(LENGTHS)])
    )
    before = [torch.zeros(3) if step == 0 else values[clip, step - 1] for clip, step in order]
    assert torch.equal(packed.before(rows), torch.stack(before))


def test_an_lstm_has_the_states_and_cells_of_torch_s_for_each_clip_alone(
    mask: Tensor, values: Tensor
) -> None:
    torch.manual_seed(1)
    rnn = nn.LSTM(3, 4, batch_first=True)
    packed = PackedSteps(mask)
    hidden, cells = run_lstm(packed.pack(values), rnn, packed)
    (hidden.square().sum() + cells.sum()).backward()
    gradients = [parameter.grad.clone() for parameter in rnn.parameters()]
    rnn.zero_grad()
    total = torch.zeros(())
    for clip, length in enumerate(LENGTHS):
        for step in range(1, length + 1):  # torch gives the last cells alone
            states, (_, last_cells) = rnn(values[clip : clip + 1, :step])
            total = total + states[0, -1].square().sum() + last_cells.sum()
            if step == length:
                assert torch.allclose(packed.last(hidden)[clip], states[0, -1], atol=1e-6)
                assert torch.allclose(packed.last(cells)[clip], last_cells[0, 0], atol=1e-6)
    total.backward()
    for given, parameter in zip(gradients, rnn.parameters(), strict=True):
        assert torch.allclose(given, parameter.grad, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.torch.jit.script.:DeprecationWarning")
def test_the_form_for_graphs_has_the_numbers_of_the_packed_one(
    mask: Tensor, values: Tensor
) -> None:
    torch.manual_seed(1)
    rnn, memory = nn.LSTM(3, 4, batch_first=True), make_memory()
    packed, padded = PackedSteps(mask), PaddedSteps(mask)
    found = []
    for steps in (packed, padded):
        rows = steps.pack(values)
        hidden, cells = run_lstm(rows, rnn, steps)
        made = hidden, run_hidden(rows, rnn, steps), cells, steps.before(cells), rows
        found.append([*(steps.last(each) for each in made), memory(rows, steps)])
    for ours, expected in zip(*found, strict=True):
        assert torch.allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_both_ways_in_a_graph_have_the_numbers_of_packed_steps(
    kind: type[nn.LSTM | nn.GRU],
    num_layers: int,
    values: Tensor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(1)
    rnn = kind(3, 4, num_layers, batch_first=True, bidirectional=True)
    expected = run_two_ways(rnn, values, torch.tensor(LENGTHS))
    monkeypatch.setattr("mien.models.zoo.two_ways.is_traced", lambda: True)
    for ours, theirs in zip(
        run_two_ways(rnn, values, torch.tensor(LENGTHS)), expected, strict=True
    ):
        assert ours.shape == theirs.shape
        assert torch.allclose(ours, theirs, atol=1e-6)


def make_memory() -> GatedMemory:
    layers = LayersConfig(hidden_size=6, dropout=0.0)
    config = MfnConfig(memory_size=2, candidate=layers, keep_gate=layers, write_gate=layers)
    return GatedMemory(config, 3, 3)


def test_a_gated_memory_follows_its_formula_for_each_clip_alone(
    mask: Tensor, values: Tensor
) -> None:
    torch.manual_seed(1)
    memory = make_memory()
    packed = PackedSteps(mask)
    found = memory(packed.pack(values), packed)
    for clip, length in enumerate(LENGTHS):
        expected = torch.zeros(2)
        for step in values[clip, :length]:
            seen = torch.cat([step, expected])
            written = torch.sigmoid(memory.write_gate(seen)) * torch.tanh(memory.candidate(step))
            expected = torch.sigmoid(memory.keep_gate(seen)) * expected + written
        assert torch.allclose(found[clip], expected, atol=1e-6)
