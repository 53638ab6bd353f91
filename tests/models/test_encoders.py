import numpy as np
import pytest
import torch
from cases import examples
from helpers import generator, make_states, open_up
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mien.models.attention import ATTENTIONS
from mien.models.encoders import (
    AbsentState,
    Head,
    SeriesEncoder,
    Standardise,
    StepEncoder,
    Summarise,
    last_step,
    mean_step,
)
from mien.tensors import PaddedSeries, pad

# --- steps ----------------------------------------------------------------------------------------


@given(seed=st.integers(0, 99), lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4))
@examples(30)
def test_the_last_step_is_the_last_real_one_and_zero_where_there_is_none(seed, lengths):
    states, mask = make_states(seed, lengths)
    found = last_step(states, mask)
    for row, length in enumerate(lengths):
        wanted = states[row, length - 1] if length else torch.zeros(3)
        assert torch.equal(found[row], wanted)


@given(seed=st.integers(0, 99), lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4))
@examples(30)
def test_the_mean_step_is_of_the_real_ones_and_zero_where_there_is_none(seed, lengths):
    states, mask = make_states(seed, lengths)
    found = mean_step(states, mask)
    for row, length in enumerate(lengths):
        wanted = states[row, :length].mean(dim=0) if length else torch.zeros(3)
        torch.testing.assert_close(found[row], wanted)


# --- standard units -------------------------------------------------------------------------------


@given(seed=st.integers(0, 999), offset=st.sampled_from([0.0, -5.0, 1e4]))
@examples(20)
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


@pytest.mark.parametrize("Encoder", [SeriesEncoder, StepEncoder])
def test_shares_are_read_by_their_log_odds(Encoder):  # noqa: N803  # a class
    sizes = {"state_size": 4, "output_size": 3, "dropout": 0.0, "attention": "softmax"}
    sizes |= {"num_layers": 1} if Encoder is SeriesEncoder else {}
    encoder, twin = (Encoder(3, has_log_odds=has, **sizes) for has in (True, False))
    mean, deviation = torch.tensor([-4.0, 0.0, 2.0]), torch.tensor([2.0, 1.0, 0.5])
    for each in (encoder, twin):
        each.standardise.fit(mean, deviation)
    twin.load_state_dict(encoder.state_dict())
    shares = [torch.rand(n, 3, generator=generator(n)) for n in (5, 2)]
    shares[0][0] = torch.tensor([0.0, 1.0, 5e-6])  # as far as 1e-7 and 1 - 1e-7
    odds = [torch.logit(values, eps=1e-7) for values in shares]
    found, wanted = encoder(pad(shares))[0], twin(pad(odds))[0]
    torch.testing.assert_close(found, wanted)
    assert torch.isfinite(found).all()


# --- encoders -------------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 99),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    num_layers=st.integers(1, 3),
)
@examples(20)
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
    vectors, _ = encoder(PaddedSeries(values, torch.zeros(1, 1, dtype=torch.bool)))
    vectors.sum().backward()
    assert isinstance(encoder.linear, nn.Linear)
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)


def make_step_encoder(**options):
    torch.manual_seed(1)
    options = {"state_size": 4, "output_size": 2, "dropout": 0.0, "attention": "softmax"} | options
    return open_up(StepEncoder(3, **options)).eval()


def test_steps_alone_do_not_know_their_order_nor_how_often_they_come():
    encoder = make_step_encoder()
    series = torch.randn(5, 3, generator=generator(1))
    vectors, _ = encoder(pad([series, series.flip(0), series.repeat(4, 1)]))
    torch.testing.assert_close(vectors[1], vectors[0])
    torch.testing.assert_close(vectors[2], vectors[0])


def test_a_step_far_beyond_train_says_no_more_than_five_deviations():
    encoder = make_step_encoder()
    encoder.standardise.fit(torch.zeros(3), torch.ones(3))
    near, _ = encoder(pad([torch.tensor([[5.0, 0.0, -5.0]])]))
    far, _ = encoder(pad([torch.tensor([[900.0, 0.0, -7.0]])]))
    assert torch.equal(near, far)


def test_dropout_of_steps_is_on_features_and_on_the_vector():
    encoder = make_step_encoder(dropout=0.5, state_size=200).train()
    seen = {}
    for name in ("step", "linear"):
        layer = getattr(encoder, name)
        layer.register_forward_pre_hook(lambda _m, args, name=name: seen.update({name: args[0]}))
    encoder(pad([torch.ones(100, 3)]))
    for values in seen.values():
        assert 0.3 < (values == 0).float().mean() < 0.7
