"""What every attention promises; whatever is in ATTENTIONS is tested by being there."""

import pytest
import torch
from helpers import make_states, open_up

from mien.models.attention import ATTENTIONS, make_attention
from mien.models.encoders import last_step

SIZE = 3
#: Released forms read the padding on purpose; tests/test_differences.py shows how.
SOUND = [name for name in ATTENTIONS if not name.endswith("released")]

every_attention = pytest.mark.parametrize("name", ATTENTIONS)
every_sound_attention = pytest.mark.parametrize("name", SOUND)
after = pytest.mark.parametrize("recurrent", [True, False], ids=["series", "text"])


def make(name, *, recurrent=True, seed=1):
    return open_up(make_attention(name, SIZE, recurrent=recurrent), seed)


def attend(layer, lengths, seed=1, *, padding=0, filler=0.0):
    """Vectors and weights of clips of these lengths, with so many steps of padding more."""
    states, mask = make_states(seed, lengths, SIZE)
    summary = last_step(states, mask)
    states = torch.nn.functional.pad(states, (0, 0, 0, padding))
    mask = torch.nn.functional.pad(mask, (0, padding))
    return layer(states.masked_fill(~mask.unsqueeze(-1), filler), summary, mask)


@every_attention
@after
def test_vectors_are_of_the_size_that_is_stated_and_weights_of_the_steps(name, recurrent):
    layer = make(name, recurrent=recurrent)
    vectors, weights = attend(layer, [4, 2, 1])
    assert vectors.shape == (3, layer.output_size)
    assert torch.isfinite(vectors).all()
    assert weights is None or weights.shape == (3, 4)


@every_attention
@after
def test_weights_are_zero_at_padding(name, recurrent):
    _, weights = attend(make(name, recurrent=recurrent), [4, 2, 1])
    if weights is not None:
        assert (weights[1, 2:] == 0).all()
        assert (weights[2, 1:] == 0).all()


@every_sound_attention
@after
def test_padding_changes_nothing_whatever_it_holds(name, recurrent):
    layer = make(name, recurrent=recurrent)
    plain, weights = attend(layer, [4, 2])
    padded, longer = attend(layer, [4, 2], padding=3, filler=1e3)
    torch.testing.assert_close(padded, plain)
    if weights is not None:
        torch.testing.assert_close(longer[:, :4], weights)
        assert (longer[:, 4:] == 0).all()


@every_sound_attention
@after
def test_a_clip_does_not_depend_on_its_company(name, recurrent):
    layer = make(name, recurrent=recurrent)
    states, mask = make_states(1, [5, 3], SIZE)
    together, _ = layer(states, last_step(states, mask), mask)
    alone, _ = layer(states[1:, :3], last_step(states, mask)[1:], mask[1:, :3])
    torch.testing.assert_close(alone[0], together[1])


@every_attention
@after
def test_a_clip_without_a_step_gives_numbers_and_no_weight(name, recurrent):
    vectors, weights = attend(make(name, recurrent=recurrent), [3, 0])
    assert torch.isfinite(vectors).all()
    assert weights is None or (weights[1] == 0).all()


@every_attention
@after
def test_the_state_is_restored(name, recurrent):
    layer, twin = make(name, recurrent=recurrent), make(name, recurrent=recurrent, seed=2)
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(attend(twin, [4, 2])[0], attend(layer, [4, 2])[0])


@every_sound_attention
@after
def test_every_parameter_is_moved_by_the_vector(name, recurrent):
    layer = make(name, recurrent=recurrent)
    vectors, _ = attend(layer, [4, 2, 5])
    assert vectors.requires_grad == bool(list(layer.parameters()))
    if vectors.requires_grad:
        vectors.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in layer.parameters())
