"""Masks from bits: the mathematics of dropout, and PyTorch's own where there is little to draw."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from mien.pretrained.direct.bit_dropout import MANY_VALUES, BitDropout, draw_masks_by_bits

SHAPE = (40, 1000)
COUNT = math.prod(SHAPE)


def make(p=0.1, **options):
    layer = nn.Sequential(nn.Dropout(p, **options))
    draw_masks_by_bits(layer)
    assert type(layer[0]) is BitDropout
    return layer.train()


def draw(layer, seed=1, shape=SHAPE, dtype=torch.float32):
    torch.manual_seed(seed)
    return layer(torch.ones(shape, dtype=dtype))


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_stated_share_is_dropped_and_the_rest_is_scaled(p, dtype):
    drawn = draw(make(p), dtype=dtype)
    share = (drawn == 0).double().mean().item()
    assert share == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / COUNT))
    assert drawn.dtype is dtype
    (scale,) = drawn[drawn != 0].unique().tolist()
    assert scale == pytest.approx(1 / (1 - p), rel=1e-4 if dtype is torch.float32 else 1e-2)


def test_values_are_dropped_independently_of_each_other():
    stays = (draw(make(0.5)) != 0).double().flatten().numpy()
    for lag in (1, 2, 3, 4, 5, 8, 1000):
        assert abs(np.corrcoef(stays[lag:], stays[:-lag])[0, 1]) < 5 / math.sqrt(COUNT), lag
    by_place = stays[: COUNT // 4 * 4].reshape(-1, 4).mean(axis=0)  # in an integer of 64 bits
    assert np.abs(by_place - 0.5).max() < 5 * math.sqrt(0.25 / (COUNT // 4))


def test_backwards_the_same_mask_counts():
    layer, values = make(0.3), torch.randn(SHAPE, requires_grad=True)
    torch.manual_seed(3)
    dropped = layer(values)
    weights = torch.randn(SHAPE)
    (dropped * weights).sum().backward()
    torch.testing.assert_close(values.grad, weights * (dropped / values).detach())


def test_masks_follow_from_the_seed_and_differ_between_calls_and_layers():
    layer = make()
    first = draw(layer)
    assert torch.equal(first, draw(layer))
    assert not torch.equal(first, layer(torch.ones(SHAPE)))
    state = torch.get_rng_state()
    later = layer(torch.ones(SHAPE))
    torch.set_rng_state(state)
    assert torch.equal(later, layer(torch.ones(SHAPE)))


def test_numbers_of_values_that_are_no_multiple_of_four():
    for more in range(4):
        drawn = draw(make(0.5), shape=(MANY_VALUES + more,))
        assert 0.4 < (drawn[-400:] == 0).double().mean().item() < 0.6


def test_nothing_is_dropped_in_evaluation_or_at_zero_and_everything_at_one():
    assert torch.equal(draw(make().eval()), torch.ones(SHAPE))
    assert torch.equal(draw(make(0.0)), torch.ones(SHAPE))
    assert not draw(make(1.0)).any()


@pytest.mark.parametrize(
    ("options", "shape"), [({}, (MANY_VALUES - 1,)), ({"inplace": True}, SHAPE)]
)
def test_few_values_and_dropout_in_place_are_those_of_torch(options, shape):
    torch.manual_seed(1)
    expected = nn.functional.dropout(torch.ones(shape), 0.1)
    assert torch.equal(draw(make(**options), shape=shape), expected)


def test_other_kinds_of_dropout_stay_as_they_are():
    layers = nn.ModuleList([nn.Dropout1d(0.1), nn.AlphaDropout(0.1)])
    draw_masks_by_bits(layers)
    assert [type(layer) for layer in layers] == [nn.Dropout1d, nn.AlphaDropout]
