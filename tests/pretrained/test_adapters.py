"""Low-rank adapters: the encoder as it was at first, and what alone is trained of it."""

import copy

import pytest
import torch
from stand_in_encoders import PACKABLE, UNPACKABLE, make_backbone, make_texts
from torch import nn

from mien.pretrained.adapters import AdaptedEncoder
from mien.pretrained.encoder_cut import find_layers
from mien.pretrained.text_encoder import TokenEncoder

_ENCODERS = {**{n: c for n, c in PACKABLE.items() if n != "albert"}, **UNPACKABLE}


def adapt(backbone: nn.Module, rank: int = 2) -> AdaptedEncoder:
    layers = backbone.get_submodule(find_layers(backbone))
    return AdaptedEncoder(TokenEncoder(backbone), layers, rank)


def disturb(encoder: AdaptedEncoder) -> None:
    drawn = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in encoder.parameters():
            weight += torch.randn(weight.shape, generator=drawn) * 0.3


@pytest.mark.parametrize("name", _ENCODERS)
def test_it_begins_as_the_encoder_and_merged_it_is_one_again(name: str) -> None:
    texts, plain = make_texts(), TokenEncoder(make_backbone(_ENCODERS[name]))
    names = list(plain.state_dict())
    encoder = adapt(make_backbone(_ENCODERS[name])).eval()
    with torch.no_grad():
        torch.testing.assert_close(encoder(texts), plain(texts), atol=1e-6, rtol=1e-5)
        disturb(encoder)
        states = encoder(texts)
        assert not torch.allclose(states, plain(texts), atol=1e-2)
        merged = encoder.merge()
        torch.testing.assert_close(merged(texts), states, atol=1e-5, rtol=1e-5)
    assert list(merged.state_dict()) == names


@pytest.mark.parametrize("name", _ENCODERS)
def test_the_adapters_alone_are_trained_and_kept(name: str) -> None:
    encoder = adapt(make_backbone(_ENCODERS[name]))
    disturb(encoder)
    encoder(make_texts()).sin().sum().backward()
    parameters = dict(encoder.named_parameters())
    assert list(encoder.state_dict()) == list(parameters)
    assert {key.split(".")[0] for key in parameters} == {"adapters"}
    assert all(weight.grad is not None and weight.grad.any() for weight in parameters.values())


def test_weights_that_are_read_give_the_states_they_gave() -> None:
    first, second = (adapt(make_backbone(PACKABLE["bert"])).eval() for _ in range(2))
    disturb(first)
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(second(make_texts()), first(make_texts()))


def test_a_copy_has_adapters_of_its_own() -> None:
    encoder = adapt(make_backbone(PACKABLE["bert"])).eval()
    before = encoder(make_texts())
    disturb(copy.deepcopy(encoder))
    torch.testing.assert_close(encoder(make_texts()), before)


def test_the_encoder_is_moved_and_drops_out_with_the_adapters() -> None:
    encoder = adapt(make_backbone(PACKABLE["bert"]))
    texts = make_texts()
    assert torch.equal(encoder.eval()(texts), encoder(texts))
    assert not torch.equal(encoder.train()(texts), encoder(texts))
    assert encoder.double().eval()(texts).dtype == torch.float64


def test_a_rank_above_the_sizes_of_a_layer_is_no_more_than_they_are() -> None:
    encoder = adapt(make_backbone(PACKABLE["bert"]), rank=1000)
    assert max(weight.shape[0] for n, weight in encoder.named_parameters() if "down" in n) == 24


@pytest.mark.parametrize("rank", [1, 3, 99])
def test_they_hold_the_part_of_a_change_that_is_nearest(rank: int) -> None:
    encoder = adapt(make_backbone(_ENCODERS["bert"]), rank)
    plain = TokenEncoder(make_backbone(_ENCODERS["bert"])).state_dict()
    drawn = torch.Generator().manual_seed(7)
    changed = {
        name: weight + torch.randn(weight.shape, generator=drawn) * 0.01
        for name, weight in plain.items()
        if weight.is_floating_point()
    }
    share, held, everything = encoder.approximate(changed), 0.0, 0.0
    merged = encoder.merge().state_dict()
    for name in encoder.adapters:
        layer = next(key for key in changed if key.endswith(f"{name.replace('-', '.')}.weight"))
        change = (changed[layer] - plain[layer]).double()
        left, values, right = torch.linalg.svd(change, full_matrices=False)
        nearest = (left[:, :rank] * values[:rank]) @ right[:rank]
        torch.testing.assert_close(
            (merged[layer] - plain[layer]).double(), nearest, atol=1e-6, rtol=0
        )
        held += float(nearest.square().sum())
        everything += float(change.square().sum())
    assert share == pytest.approx(held / everything, rel=1e-5)
