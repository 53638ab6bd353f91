import numpy as np
import pytest
import torch
from helpers import AUDIO, TEXT, VIDEO, generator, open_up
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mien.batch import pad
from mien.layers import (
    ATTENTIONS,
    FUSIONS,
    AbsentState,
    DimensionFusion,
    GatedAttention,
    Head,
    RankOneFusion,
    ReleasedAttention,
    SeriesEncoder,
    SoftmaxAttention,
    Standardise,
    Summarise,
    last_step,
    make_attention,
)
from mien.types import Modality, Sequence

VECTORS = {TEXT: 4, AUDIO: 3, VIDEO: 2}


def make_states(seed, lengths, size=3):
    drawn = generator(seed)
    return pad([torch.randn(length, size, generator=drawn) for length in lengths])


def make_vectors(seed, num_clips=5, sizes=VECTORS):
    drawn = generator(seed)
    return {m: torch.randn(num_clips, n, generator=drawn) for m, n in sizes.items()}


# --- steps ----------------------------------------------------------------------------------------


@given(seed=st.integers(0, 99), lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4))
@settings(max_examples=30)
def test_the_last_step_is_the_last_real_one_and_zero_where_there_is_none(seed, lengths):
    states, mask = make_states(seed, lengths)
    found = last_step(states, mask)
    for row, length in enumerate(lengths):
        wanted = states[row, length - 1] if length else torch.zeros(3)
        assert torch.equal(found[row], wanted)


# --- standard units -------------------------------------------------------------------------------


@given(seed=st.integers(0, 999), offset=st.sampled_from([0.0, -5.0, 1e4]))
@settings(max_examples=20)
def test_features_have_mean_0_and_deviation_1_in_standard_units(seed, offset):
    sequence = make_states(seed, [7, 3, 1])
    real = sequence.values[sequence.mask] * 3 + offset
    sequence.values[sequence.mask] = real
    layer = Standardise(3)
    layer.fit(real.mean(dim=0), real.std(dim=0, unbiased=False))
    values, mask = layer(sequence)
    tolerance = 1e-4 if offset < 1e3 else 2e-2
    assert values[mask].mean(dim=0).abs().max() < tolerance
    assert (values[mask].std(dim=0, unbiased=False) - 1).abs().max() < tolerance
    assert (values[~mask] == 0).all()


@pytest.mark.parametrize("value", [0.0, 1e-12, 7.5, -3e6])
def test_a_feature_that_is_constant_in_train_becomes_0(value):
    layer = Standardise(1)
    layer.fit(torch.tensor([value]), torch.tensor([0.0]))
    sequence = pad([torch.tensor([[value], [value + 1], [1e9]])])
    assert (layer(sequence).values == 0).all()


def test_features_stay_as_they_are_before_standard_units_are_fitted():
    sequence = make_states(1, [4, 2])
    assert torch.equal(Standardise(3)(sequence).values, sequence.values)


def test_standard_units_travel_with_the_state_dict_and_are_not_trained():
    layer, twin = Standardise(2), Standardise(2)
    layer.fit(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
    twin.load_state_dict(layer.state_dict())
    sequence = make_states(1, [3], size=2)
    assert torch.equal(twin(sequence).values, layer(sequence).values)
    assert list(layer.parameters()) == []


# --- attention ------------------------------------------------------------------------------------


def slow_gates(layer, state):
    a = (layer.direction.weight[0] * state).sum() + layer.direction.bias[0]
    b = (layer.strength.weight[0] * state).sum() + layer.strength.bias[0]
    return torch.tanh(a) * (b - torch.tanh(b))


def slow_attention(layer, states, summary):
    """The vector and weights of one clip, step by step from the formulas."""
    if isinstance(layer, GatedAttention):
        weights = [slow_gates(layer, h) for h in states]
    else:
        logits = [
            (
                layer.weigh.weight[0] * torch.tanh(layer.project.weight @ h + layer.project.bias)
            ).sum()
            for h in states
        ]
        total = sum(torch.exp(x) for x in logits)
        weights = [torch.exp(x) / total for x in logits]
    attended = sum(w * h for w, h in zip(weights, states, strict=True))
    return torch.cat([summary, attended]), torch.stack(weights)


@pytest.mark.parametrize("kind", [GatedAttention, SoftmaxAttention])
@given(seed=st.integers(0, 99), lengths=st.lists(st.integers(1, 5), min_size=1, max_size=3))
@settings(max_examples=15)
def test_attention_follows_its_formula(kind, seed, lengths):
    layer = open_up(kind(3), seed)
    states, mask = make_states(seed, lengths)
    summary = torch.randn(len(lengths), 3, generator=generator(seed + 1))
    vectors, weights = layer(states, summary, mask)
    for row, length in enumerate(lengths):
        wanted, wanted_weights = slow_attention(layer, states[row, :length], summary[row])
        torch.testing.assert_close(vectors[row], wanted)
        torch.testing.assert_close(weights[row, :length], wanted_weights)
        assert (weights[row, length:] == 0).all()


@pytest.mark.parametrize("name", ["gated", "softmax"])
def test_a_clip_without_steps_has_no_weights_and_a_finite_vector(name):
    layer = make_attention(name, 3, recurrent=True)
    states, mask = make_states(1, [2, 0])
    vectors, weights = layer(states, torch.zeros(2, 3), mask)
    assert (weights[1] == 0).all()
    assert (vectors[1] == 0).all()
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


@pytest.mark.parametrize("name", ATTENTIONS)
@pytest.mark.parametrize("recurrent", [True, False])
def test_every_attention_says_how_its_vector_grows(name, recurrent):
    layer = make_attention(name, 3, recurrent=recurrent)
    states, mask = make_states(1, [4, 2])
    vectors, weights = layer(states, last_step(states, mask), mask)
    assert vectors.shape == (2, 3 * layer.growth)
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


# --- encoders -------------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 99),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    num_layers=st.integers(1, 3),
)
@settings(max_examples=20)
def test_the_padded_recurrence_is_the_packed_one(seed, lengths, num_layers):
    torch.manual_seed(seed)
    encoder = SeriesEncoder(
        3, state_size=4, output_size=2, num_layers=num_layers, dropout=0.0, attention="none"
    )
    sequence = make_states(seed, lengths)
    found, _ = encoder(sequence)
    packed = pack_padded_sequence(
        sequence.values, torch.tensor(lengths), batch_first=True, enforce_sorted=False
    )
    states, _ = pad_packed_sequence(encoder.rnn(packed)[0], batch_first=True)
    last = states[torch.arange(len(lengths)), torch.tensor(lengths) - 1]
    torch.testing.assert_close(found, encoder.linear(last))


@pytest.mark.parametrize("attention", [name for name in ATTENTIONS if name != "released"])
def test_every_step_can_move_the_vector_and_the_recurrence_learns(attention):
    torch.manual_seed(1)
    encoder = SeriesEncoder(
        3, state_size=4, output_size=2, num_layers=1, dropout=0.0, attention=attention
    )
    sequence = make_states(1, [5, 2])
    sequence.values.requires_grad_(requires_grad=True)
    vectors, _ = encoder(sequence)
    vectors.sum().backward()
    moved = sequence.values.grad.abs().sum(dim=-1) > 0
    assert torch.equal(moved, sequence.mask)
    assert all(p.grad.any() for p in encoder.parameters())


def test_dropout_between_layers_needs_two_of_them():
    """One layer with dropout is no reason for a warning."""
    for num_layers, between in ((1, 0.0), (2, 0.5)):
        encoder = SeriesEncoder(
            3, state_size=4, output_size=2, num_layers=num_layers, dropout=0.5, attention="none"
        )
        assert encoder.rnn.dropout == between
        assert encoder.dropout.p == 0.5


def test_the_summary_of_text_is_its_first_state_or_the_mean_of_the_real_ones():
    states, mask = make_states(1, [4, 2, 0])
    states = torch.where(mask.unsqueeze(-1), states, 9.0)
    first, _ = Summarise(3, attention="none", summary="cls")(states, mask)
    assert torch.equal(first, states[:, 0])
    mean, _ = Summarise(3, attention="none", summary="mean")(states, mask)
    torch.testing.assert_close(mean[0], states[0].mean(dim=0))
    torch.testing.assert_close(mean[1], states[1, :2].mean(dim=0))
    assert (mean[2] == 0).all()


def test_a_learned_vector_stands_in_where_the_modality_is_absent():
    layer = open_up(AbsentState(3))
    vectors = torch.randn(2, 3, generator=generator(1))
    found = layer(vectors, torch.tensor([True, False]))
    assert torch.equal(found[0], vectors[0])
    assert torch.equal(found[1], layer.vector)


# --- fusion ---------------------------------------------------------------------------------------


def test_rank_one_fusion_joins_products_in_the_order_that_is_stated():
    vectors = {TEXT: torch.tensor([[1.0, 2.0]]), AUDIO: torch.tensor([[10.0]]),
               VIDEO: torch.tensor([[100.0, -200.0]])}  # fmt: skip
    fused = RankOneFusion({m: v.shape[1] for m, v in vectors.items()}, 1)(vectors)
    t, a, v = (x[0].tolist() for x in vectors.values())
    wanted = [
        *t, *a, *v,
        *(10 * x for x in t), *(3 * x for x in a),
        *(-100 * x for x in t), *(3 * x for x in v),
        *(-100 * x for x in a), *(10 * x for x in v),
    ]  # fmt: skip
    assert fused[0].tolist() == wanted


def slow_dimension_fusion(layer, vectors):
    joined = torch.cat(list(vectors.values()))
    p = {
        m: torch.tanh(layer.project[m].weight @ x + layer.project[m].bias)
        for m, x in vectors.items()
    }
    raw = {m: torch.exp(layer.weigh[m].weight @ joined + layer.weigh[m].bias) for m in vectors}
    total = sum(raw.values())
    fused = sum(raw[m] / total * p[m] for m in vectors)
    t, a, v = p.values()
    return torch.cat([fused, t * a, t * v, a * v, t, a, v])


@given(seed=st.integers(0, 999))
@settings(max_examples=15)
def test_dimension_fusion_follows_its_formula(seed):
    layer = open_up(DimensionFusion(VECTORS, 5), seed)
    vectors = make_vectors(seed)
    found = layer(vectors)
    assert found.shape == (5, layer.output_size) == (5, 35)
    for row in range(5):
        wanted = slow_dimension_fusion(layer, {m: x[row] for m, x in vectors.items()})
        torch.testing.assert_close(found[row], wanted)


def test_in_dimension_fusion_a_dimension_meets_its_own_dimension_and_no_other():
    """The products of dimension 0 do not change with what a modality says in dimension 1."""
    layer = open_up(DimensionFusion(dict.fromkeys(Modality, 5), 5))
    with torch.no_grad():
        for project in layer.project.values():
            project.weight.copy_(torch.eye(5))
            project.bias.zero_()
    vectors = make_vectors(1, num_clips=1, sizes=dict.fromkeys(Modality, 5))
    before = layer(vectors)[0]
    vectors[AUDIO][:, 1] += 1
    after = layer(vectors)[0]
    products = slice(5, 20)
    changed = torch.nonzero(before[products] != after[products]).flatten().tolist()
    assert changed == [1, 11]  # t * a and a * v, in dimension 1


@pytest.mark.parametrize("name", FUSIONS)
@pytest.mark.parametrize("subset", [(TEXT,), (AUDIO, VIDEO), tuple(Modality)], ids="-".join)
def test_every_fusion_says_how_large_its_state_is(name, subset):
    sizes = {m: VECTORS[m] for m in subset}
    fusion = FUSIONS[name](sizes, 5)
    found = fusion(make_vectors(1, sizes=sizes))
    assert found.shape == (5, fusion.output_size)
    found.sum().backward() if any(True for _ in fusion.parameters()) else None
    assert all(p.grad is not None for p in fusion.parameters())


# --- heads ----------------------------------------------------------------------------------------


def test_a_head_follows_its_formula():
    head = open_up(Head(3, 4, 0.0))
    x = torch.randn(2, 3, generator=generator(1))
    states, scores = head(x)
    wanted = np.maximum(
        x.numpy() @ head.enter.weight.detach().numpy().T + head.enter.bias.detach().numpy(), 0
    )
    np.testing.assert_allclose(states.detach().numpy(), wanted, rtol=1e-5, atol=1e-6)
    middle = np.maximum(
        wanted @ head.middle.weight.detach().numpy().T + head.middle.bias.detach().numpy(), 0
    )
    score = middle @ head.leave.weight.detach().numpy()[0] + head.leave.bias.item()
    np.testing.assert_allclose(scores.detach().numpy(), score, rtol=1e-5, atol=1e-6)


def test_dropout_of_a_head_is_on_its_input_and_off_in_evaluation():
    head = Head(200, 4, 0.5)
    x = torch.ones(1, 200)
    seen = []
    head.enter.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    torch.manual_seed(1)
    head.train()(x)
    head.eval()(x)
    assert 0.3 < (seen[0] == 0).float().mean() < 0.7
    assert torch.equal(seen[1], x)


def test_a_sequence_without_an_attended_step_trains_the_rest():
    encoder = SeriesEncoder(
        3, state_size=4, output_size=2, num_layers=1, dropout=0.0, attention="softmax"
    )
    values = torch.zeros(1, 1, 3)
    vectors, _ = encoder(Sequence(values, torch.zeros(1, 1, dtype=torch.bool)))
    vectors.sum().backward()
    assert isinstance(encoder.linear, nn.Linear)
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)
