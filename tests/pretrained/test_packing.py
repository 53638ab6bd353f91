"""Packed texts: the same states and gradients as of the padded form, whatever the encoder."""

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AlbertConfig,
    AutoModel,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    NomicBertConfig,
    PreTrainedConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from mien.pretrained.packing import (
    attend_by_length,
    attend_padded,
    cut_by_length,
    make_packable,
    pack,
    unpack,
)
from mien.pretrained.text_encoder import TokenEncoder, TopLayers
from mien.tensors import PaddedSeries

_SIZES = {
    "vocab_size": 90,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 60,
}
_PACKABLE: dict[str, PreTrainedConfig] = {
    "albert": AlbertConfig(**_SIZES, embedding_size=16),
    "bert": BertConfig(**_SIZES),
    "distilbert": DistilBertConfig(
        vocab_size=90, dim=24, n_layers=2, n_heads=3, hidden_dim=40, max_position_embeddings=60
    ),
    "electra": ElectraConfig(**_SIZES, embedding_size=16),
    "modernbert": ModernBertConfig(
        **_SIZES, local_attention=8, global_attn_every_n_layers=2, pad_token_id=0
    ),
    "nomic_bert": NomicBertConfig(**_SIZES),
    "roberta": RobertaConfig(**_SIZES),
    "xlm-roberta": XLMRobertaConfig(**_SIZES),
}
_OTHERS: dict[str, PreTrainedConfig] = {
    "deberta-v2": DebertaV2Config(**_SIZES, relative_attention=True, pos_att_type=["p2c", "c2p"]),
    "mpnet": MPNetConfig(**_SIZES),
}


def _backbone(config: PreTrainedConfig) -> nn.Module:
    torch.manual_seed(3)
    model: nn.Module = AutoModel.from_config(config)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model.eval()


def _series() -> PaddedSeries:
    """Texts of 4, 1, 0, 17, 4 tokens, and one of 9 whose third is taken away."""
    lengths = torch.tensor([4, 1, 0, 17, 4, 9])
    mask = torch.arange(17) < lengths.unsqueeze(1)
    mask[5, 2] = False
    ids = torch.randint(5, 90, (6, 17, 1), generator=torch.Generator().manual_seed(1))
    return PaddedSeries(ids * (torch.arange(17) < lengths.unsqueeze(1)).unsqueeze(-1), mask)


def _padded(backbone: nn.Module, series: PaddedSeries) -> Tensor:
    mask = series.mask.clone()
    mask[2, 0] = True
    states: Tensor = backbone(
        input_ids=series.values.squeeze(-1), attention_mask=mask.long()
    ).last_hidden_state
    return states


@pytest.mark.parametrize("name", [*_PACKABLE, *_OTHERS])
def test_states_and_gradients_are_those_of_the_padded_form(name: str) -> None:
    config = (_PACKABLE | _OTHERS)[name]
    series = _series()
    weight = torch.randn(17, 24, generator=torch.Generator().manual_seed(2))
    results = []
    for is_padded in (True, False):
        backbone = _backbone(config)
        if is_padded:
            states = _padded(backbone, series)
        else:
            encoder = TokenEncoder(backbone)
            assert encoder.is_packable == (name in _PACKABLE)
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
    mask = _series().mask
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
    series = _series()
    packing = pack(series.mask)
    assert packing.groups == ((1, 1), (2, 4), (1, 8), (1, 17))
    numbers = series.values.flatten(0, 1)[packing.places].float()
    torch.testing.assert_close(
        unpack(numbers, packing), series.values.float() * series.mask.unsqueeze(-1)
    )


def test_the_last_layers_alone_compute_the_same() -> None:
    backbone = _backbone(_PACKABLE["bert"])
    is_packable = make_packable(backbone)
    assert is_packable
    states = torch.randn(6, 17, 24, generator=torch.Generator().manual_seed(0))
    series = PaddedSeries(states * _series().mask.unsqueeze(-1), _series().mask)
    made = [
        TopLayers(backbone.encoder.layer, backbone.config, is_packable=given)(series)
        for given in (False, True)
    ]
    torch.testing.assert_close(*(part[series.mask] for part in made), atol=1e-5, rtol=1e-5)


def test_nothing_is_computed_at_padding() -> None:
    backbone = _backbone(_PACKABLE["bert"])
    seen: list[int] = []
    for layer in backbone.encoder.layer:
        layer.intermediate.register_forward_hook(lambda _m, given, _o: seen.append(given[0].shape))
    encoder = TokenEncoder(backbone)
    seen.clear()
    encoder(_series())
    assert seen == [torch.Size([1, 34, 24])] * 2


def test_dropout_is_drawn_for_every_token_and_weight() -> None:
    encoder = TokenEncoder(_backbone(_PACKABLE["bert"])).train()
    torch.manual_seed(0)
    first, second = encoder(_series()), encoder(_series())
    mask = _series().mask
    assert (first[mask] != second[mask]).any(dim=1).all()


def test_texts_are_cut_where_it_is_cheapest() -> None:
    assert cut_by_length([10] * 32) == [32]
    assert cut_by_length([5, 5, 5, 200]) == [3, 1]
    assert cut_by_length([]) == []
    assert sum(cut_by_length(list(range(1, 65)))) == 64


def test_a_batch_without_any_text_is_not_nan() -> None:
    encoder = TokenEncoder(_backbone(_PACKABLE["roberta"]))
    series = PaddedSeries(torch.zeros(2, 1, 1).int(), torch.zeros(2, 1, dtype=torch.bool))
    assert encoder(series).isfinite().all()
