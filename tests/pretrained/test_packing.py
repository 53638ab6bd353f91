"""Packed texts: the same states and gradients as of the padded form, whatever the encoder."""

import pytest
import torch
from stand_in_encoders import PACKABLE, UNPACKABLE, make_backbone, make_texts
from torch import Tensor, nn

from mien.models import build_model
from mien.models.multitask import ModelInputs
from mien.models.tam_ulag import TamUlagConfig
from mien.pretrained.encoder_cut import cut_encoder
from mien.pretrained.packed.packing import (
    attend_by_length,
    attend_padded,
    cut_by_length,
    pack,
    unpack,
)
from mien.pretrained.text_encoder import TokenEncoder, TopLayers
from mien.tensors import Batch, PaddedSeries
from mien.types import Modality


def _padded(backbone: nn.Module, series: PaddedSeries) -> Tensor:
    mask = series.mask.clone()
    mask[2, 0] = True
    states: Tensor = backbone(
        input_ids=series.values.squeeze(-1), attention_mask=mask.long()
    ).last_hidden_state
    return states


@pytest.mark.parametrize("name", [*PACKABLE, *UNPACKABLE])
def test_states_and_gradients_are_those_of_the_padded_form(name: str) -> None:
    config = (PACKABLE | UNPACKABLE)[name]
    series = make_texts()
    weight = torch.randn(17, 24, generator=torch.Generator().manual_seed(2))
    results = []
    for is_padded in (True, False):
        backbone = make_backbone(config)
        if is_padded:
            states = _padded(backbone, series)
        else:
            encoder = TokenEncoder(backbone)
            assert encoder.is_packable == (name in PACKABLE)
            states = encoder(series)
        states = states * series.mask.unsqueeze(-1)
        (states * weight).sin().sum().backward()
        results.append((states, [p.grad for p in backbone.parameters()]))
    (padded, expected), (packed, gradients) = results
    torch.testing.assert_close(packed, padded, atol=1e-5, rtol=1e-5)
    for gradient, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("window", [None, 3])
def test_attention_by_length_and_padded_agree(window: int | None) -> None:
    mask = make_texts().mask
    packing = pack(mask)
    drawn = torch.Generator().manual_seed(0)
    shape = (1, 2, len(packing.places), 5)
    results = []
    parts = [torch.randn(shape, generator=drawn) for _ in range(3)]
    for attend in (attend_by_length, attend_padded):
        q, k, v = (part.clone().requires_grad_() for part in parts)
        attended = attend(q, k, v, packing, scaling=0.7, window=window)
        attended.sin().sum().backward()
        results.append((attended, q.grad, k.grad, v.grad))
    for by_length, padded in zip(*results, strict=True):
        torch.testing.assert_close(by_length, padded, atol=1e-6, rtol=1e-5)


def test_a_packed_batch_comes_back_in_its_place() -> None:
    series = make_texts()
    packing = pack(series.mask)
    assert packing.groups == ((1, 1), (2, 4), (1, 8), (1, 17))
    numbers = series.values.flatten(0, 1)[packing.places].float()
    torch.testing.assert_close(
        unpack(numbers, packing), series.values.float() * series.mask.unsqueeze(-1)
    )


def test_nothing_is_computed_at_padding() -> None:
    backbone = make_backbone(PACKABLE["bert"])
    seen: list[int] = []
    for layer in backbone.encoder.layer:
        layer.intermediate.register_forward_hook(lambda _m, given, _o: seen.append(given[0].shape))
    encoder = TokenEncoder(backbone)
    seen.clear()
    encoder(make_texts())
    assert seen == [torch.Size([1, 34, 24])] * 2


def test_dropout_is_drawn_for_every_token_and_weight() -> None:
    encoder = TokenEncoder(make_backbone(PACKABLE["bert"])).train()
    torch.manual_seed(0)
    first, second = encoder(make_texts()), encoder(make_texts())
    mask = make_texts().mask
    assert (first[mask] != second[mask]).any(dim=1).all()


def test_texts_are_cut_where_it_is_cheapest() -> None:
    assert cut_by_length([10] * 32) == [32]
    assert cut_by_length([5, 5, 5, 200]) == [3, 1]
    assert cut_by_length([]) == []
    assert sum(cut_by_length(list(range(1, 65)))) == 64


def test_a_batch_without_any_text_is_not_nan() -> None:
    encoder = TokenEncoder(make_backbone(PACKABLE["roberta"]))
    series = PaddedSeries(torch.zeros(2, 1, 1).int(), torch.zeros(2, 1, dtype=torch.bool))
    assert encoder(series).isfinite().all()


@pytest.mark.parametrize("name", ["bert", "electra", "roberta", "distilbert", "mpnet"])
def test_first_states_and_their_gradients_are_those_of_the_padded_form(name: str) -> None:
    series = make_texts()
    has_text = series.mask.any(dim=1)
    results = []
    for is_padded in (True, False):
        backbone = make_backbone((PACKABLE | UNPACKABLE)[name])
        first = (
            _padded(backbone, series)[:, 0] if is_padded else TokenEncoder(backbone).first(series)
        )
        first[has_text].sin().sum().backward()
        results.append((first[has_text], [p.grad for p in backbone.parameters()]))
    (padded, expected), (packed, gradients) = results
    torch.testing.assert_close(packed, padded, atol=1e-5, rtol=1e-5)
    for gradient, wanted in zip(gradients, expected, strict=True):
        found = torch.zeros_like(wanted) if gradient is None else gradient
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("of_top", [False, True])
def test_the_last_layer_computes_one_token_where_one_is_read(*, of_top: bool) -> None:
    backbone = make_backbone(PACKABLE["bert"])
    encoder: TokenEncoder | TopLayers = TokenEncoder(backbone)
    series = make_texts()
    if of_top:
        encoder = TopLayers(cut_encoder(backbone, 0), is_packable=True)
        states = torch.randn(6, 17, 24, generator=torch.Generator().manual_seed(0))
        series = PaddedSeries(states, series.mask)
    expected = encoder(series)[:, 0]
    encoder.first(series)  # tries out whether it can
    seen: list[int] = []
    for layer in backbone.encoder.layer:
        layer.intermediate.register_forward_hook(
            lambda _m, given, _o: seen.append(given[0].numel() // 24)
        )
    first = encoder.first(series)
    assert seen == [34, 5]
    for attention, read in (("none", 5), ("softmax", 34)):
        seen.clear()
        config = TamUlagConfig(attention=attention)
        inputs = ModelInputs(sizes={Modality.TEXT: 24}, text_encoder=encoder)
        build_model(config, inputs)(Batch(index=torch.arange(6), sequences={Modality.TEXT: series}))
        assert seen == [34, read]
    kept = series.mask.any(dim=1)
    torch.testing.assert_close(first[kept], expected[kept], atol=1e-5, rtol=1e-5)
