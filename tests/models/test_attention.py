import pytest
import torch
from cases import examples
from helpers import generator, make_states, open_up
from hypothesis import given
from hypothesis import strategies as st

from mien.models.attention import (
    ATTENTIONS,
    GatedAttention,
    MaxPooling,
    MeanPooling,
    ReleasedAttention,
    SelfAttention,
    SignedAttention,
    SoftmaxAttention,
    make_attention,
)
from mien.models.encoders import last_step


def slow_gates(layer, state):
    a = (layer.direction.weight[0] * state).sum() + layer.direction.bias[0]
    b = (layer.strength.weight[0] * state).sum() + layer.strength.bias[0]
    return torch.tanh(a) * (b - torch.tanh(b))


def slow_softmax(logits):
    total = sum(torch.exp(x) for x in logits)
    return torch.stack([torch.exp(x) / total for x in logits])


def slow_strengths(layer, states):
    hidden = [torch.tanh(layer.project.weight @ h + layer.project.bias) for h in states]
    return slow_softmax([(layer.weigh.weight[0] * x).sum() for x in hidden])


def slow_sum(weights, states):
    return sum(w * h for w, h in zip(weights, states, strict=True))


def slow_gated(layer, states):
    weights = torch.stack([slow_gates(layer, h) for h in states])
    return slow_sum(weights, states), weights


def slow_softmax_attention(layer, states):
    weights = slow_strengths(layer, states)
    return slow_sum(weights, states), weights


def slow_signed(layer, states):
    a, bias = layer.direction.weight[0], layer.direction.bias[0]
    directions = torch.stack([torch.tanh((a * h).sum() + bias) for h in states])
    weights = directions * slow_strengths(layer.strength, states)
    return slow_sum(weights, states), weights


def slow_mean(_layer, states):
    weights = torch.full((len(states),), 1 / len(states))
    return slow_sum(weights, states), weights


def slow_max(_layer, states):
    best = [max(range(len(states)), key=lambda t: states[t, i].item()) for i in range(3)]
    vector = torch.stack([states[t, i] for i, t in enumerate(best)])
    return vector, torch.tensor([best.count(t) / 3 for t in range(len(states))])


def slow_self(layer, states):
    """Every step looks at every step; then the mean: the first form of the docstring."""
    normal = [(h - h.mean()) / (h.var(unbiased=False) + 1e-5).sqrt() for h in states]
    rows = []
    for n in normal:
        query = layer.query.weight @ n + layer.query.bias
        rows.append(slow_softmax([query @ (layer.key.weight @ k) / 3**0.5 for k in normal]))
    values = [layer.value.weight @ n for n in normal]
    mixed = [h + slow_sum(row, values) for h, row in zip(states, rows, strict=True)]
    return sum(mixed) / len(states), sum(rows) / len(states)


SLOW = {
    SoftmaxAttention: slow_softmax_attention,
    SignedAttention: slow_signed,
    GatedAttention: slow_gated,
    MeanPooling: slow_mean,
    MaxPooling: slow_max,
    SelfAttention: slow_self,
}
#: Those that weigh every real step; the released form breaks what is promised of them.
WEIGHING = [name for name in ATTENTIONS if name not in ("none", "released")]


def test_every_attention_that_weighs_has_a_second_implementation():
    assert {ATTENTIONS[name] for name in WEIGHING} == set(SLOW)


@pytest.mark.parametrize("kind", SLOW)
@given(seed=st.integers(0, 99), lengths=st.lists(st.integers(1, 5), min_size=1, max_size=3))
@examples(15)
def test_attention_follows_its_formula(kind, seed, lengths):
    layer = open_up(kind(3), seed)
    states, mask = make_states(seed, lengths)
    summary = torch.randn(len(lengths), 3, generator=generator(seed + 1))
    vectors, weights = layer(states, summary, mask)
    for row, length in enumerate(lengths):
        wanted, wanted_weights = SLOW[kind](layer, states[row, :length])
        torch.testing.assert_close(vectors[row], torch.cat([summary[row], wanted]))
        torch.testing.assert_close(weights[row, :length], wanted_weights)
        assert (weights[row, length:] == 0).all()


@pytest.mark.parametrize("name", WEIGHING)
def test_a_clip_without_steps_has_no_weights_and_a_finite_vector(name):
    layer = make_attention(name, 3, recurrent=True)
    states, mask = make_states(1, [2, 0])
    vectors, weights = layer(states, torch.zeros(2, 3), mask)
    assert (weights[1] == 0).all()
    assert (vectors[1] == 0).all()
    if list(layer.parameters()):
        vectors.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters() if p.grad is not None)


def test_softmax_attention_starts_near_the_mean_of_the_states():
    torch.manual_seed(1)
    layer = SoftmaxAttention(8)
    states, mask = make_states(1, [6, 3], size=8)
    _, weights = layer(states, torch.zeros(2, 8), mask)
    assert (weights[0] - 1 / 6).abs().max() < 0.05
    assert (weights[1, :3] - 1 / 3).abs().max() < 0.05


def test_gates_may_be_negative_and_need_not_sum_to_one():
    layer = open_up(GatedAttention(3))
    states, mask = make_states(1, [50])
    _, weights = layer(states, torch.zeros(1, 3), mask)
    assert weights.min() < 0 < weights.max()
    assert (weights.sum() - 1).abs() > 1e-3


@pytest.mark.parametrize("name", ["softmax", "mean", "max", "self"])
@given(seed=st.integers(0, 99), lengths=st.lists(st.integers(1, 6), min_size=1, max_size=3))
@examples(10)
def test_weights_that_are_shares_sum_to_one(name, seed, lengths):
    layer = open_up(make_attention(name, 3, recurrent=True), seed)
    states, mask = make_states(seed, lengths)
    _, weights = layer(states, last_step(states, mask), mask)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(lengths)))


@given(seed=st.integers(0, 99), size=st.sampled_from([1.0, 10.0, 1e3]))
@examples(20)
def test_signed_weights_are_bounded_however_large_states_and_parameters_grow(seed, size):
    layer = open_up(SignedAttention(3), seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(size)
    states, mask = make_states(seed, [30, 7])
    _, weights = layer(size * states, torch.zeros(2, 3), mask)
    assert weights.abs().sum(dim=1).max() <= 1 + 1e-6


def test_the_published_gate_is_not_bounded():
    """Why there is a replacement: its weights grow with the states, those of ours cannot."""
    layer = open_up(GatedAttention(3))
    states, mask = make_states(1, [30])
    _, weights = layer(1e3 * states, torch.zeros(1, 3), mask)
    assert weights.abs().max() > 100


def test_signed_weights_can_be_negative_and_positive():
    layer = open_up(SignedAttention(3))
    states, mask = make_states(1, [50])
    _, weights = layer(states, torch.zeros(1, 3), mask)
    assert weights.min() < 0 < weights.max()


def at_the_start(name, size=32, num_steps=40):
    """Sum of the weights' sizes, and how hard the weights' own parameters are pulled at first.

    States are as small as those of an LSTM that has not been trained.
    """
    torch.manual_seed(1)
    layer = make_attention(name, size, recurrent=True)
    states, mask = make_states(1, [num_steps] * 4, size=size)
    vectors, weights = layer(0.15 * states, torch.zeros(4, size), mask)
    (vectors * torch.randn(vectors.shape, generator=generator(2))).sum().backward()
    pulls = {n: p.grad.norm().item() for n, p in layer.named_parameters()}
    return weights.detach().abs().sum(dim=1).mean().item(), pulls


def test_the_published_gate_is_dead_at_the_start_and_the_signed_one_is_alive():
    gated, gated_pulls = at_the_start("gated")
    signed, signed_pulls = at_the_start("signed")
    assert gated / 40 < 1e-3
    assert 0.6 < signed < 0.9  # tanh(1) = .76: three quarters of the mean
    assert signed_pulls["direction.weight"] > 10 * gated_pulls["direction.weight"]
    assert signed_pulls["strength.weigh.weight"] > 10 * gated_pulls["direction.weight"]
    assert min(signed_pulls.values()) > 0


@pytest.mark.parametrize("name", ATTENTIONS)
@pytest.mark.parametrize("recurrent", [True, False])
def test_every_attention_states_the_size_of_its_vector(name, recurrent):
    layer = make_attention(name, 3, recurrent=recurrent)
    states, mask = make_states(1, [4, 2])
    vectors, weights = layer(states, last_step(states, mask), mask)
    assert vectors.shape == (2, layer.output_size)
    assert (weights is None) == (name == "none")


def test_the_released_attention_on_text_is_the_summary_times_its_gates():
    layer = open_up(ReleasedAttention(3, detach=False))
    states, mask = make_states(1, [4, 2])
    summary = states[:, 0]
    vectors, _ = layer(states, summary, mask)
    for row in range(2):
        torch.testing.assert_close(
            vectors[row], summary[row] * slow_gates(layer.gated, summary[row])
        )
