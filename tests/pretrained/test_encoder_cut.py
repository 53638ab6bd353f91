"""An encoder cut in two computes what it computes in one, whatever stands around its layers."""

import pytest
import torch
from stand_in_encoders import PACKABLE, UNPACKABLE, make_backbone, make_texts
from torch import nn
from transformers import DebertaV2Config

from mien.errors import ConfigError
from mien.pretrained.encoder_cut import cut_encoder, encode_changed
from mien.pretrained.packed.packing import make_packable
from mien.pretrained.text_encoder import StackedEncoder, TokenEncoder, TopLayers
from mien.tensors import PaddedSeries

_ENCODERS = {
    **{name: config for name, config in PACKABLE.items() if name != "albert"},
    **UNPACKABLE,
    "deberta-v2 with a convolution": DebertaV2Config(
        **{**UNPACKABLE["deberta-v2"].to_diff_dict(), "conv_kernel_size": 3, "conv_act": "gelu"}
    ),
}


@pytest.mark.parametrize(
    ("name", "layers"),
    [(name, n) for name in _ENCODERS for n in (0, 1) if n or not name.startswith("deberta")],
)
def test_both_parts_give_the_states_of_the_encoder_in_one(name: str, layers: int) -> None:
    backbone = make_backbone(_ENCODERS[name])
    texts = make_texts()
    with torch.no_grad():
        expected = TokenEncoder(backbone)(texts)
        cut = cut_encoder(backbone, layers)
        below = TokenEncoder(cut.lower)(texts)
        for is_packable in {False, make_packable(backbone)}:
            top = TopLayers(cut, is_packable=is_packable)
            states = top(PaddedSeries(below, texts.mask))
            torch.testing.assert_close(
                states[texts.mask], expected[texts.mask], atol=1e-5, rtol=1e-5
            )


# a convolution beside the first layer reads what goes into that, so it is behind no layer alone
@pytest.mark.parametrize("name", [name for name in _ENCODERS if "convolution" not in name])
def test_states_are_changed_between_the_layers_of_either_part(name: str) -> None:
    """What goes into the upper part is changed, and in the encoder in one, what the layer gives."""
    backbone = make_backbone(_ENCODERS[name])
    texts = make_texts()
    cut = cut_encoder(backbone, 1)
    top, own = TopLayers(cut), TokenEncoder(backbone)

    def turn(states: torch.Tensor) -> torch.Tensor:
        return states.roll(1, dims=-1)

    with torch.no_grad():
        below = TokenEncoder(cut.lower)(texts)
        wanted = top(PaddedSeries(turn(below), texts.mask))[texts.mask]
        for encoder, series, after in (
            (top, PaddedSeries(below, texts.mask), 0),
            (own, texts, 1),
            (StackedEncoder(TokenEncoder(cut.lower), top), texts, 0),
        ):
            states = encode_changed(encoder, series, turn, after=after)[texts.mask]
            torch.testing.assert_close(states, wanted, atol=1e-5, rtol=1e-5)
        plain = encode_changed(own, texts, lambda states: states)[texts.mask]
        torch.testing.assert_close(plain, own(texts)[texts.mask], atol=1e-5, rtol=1e-5)
        assert not torch.allclose(plain, wanted, atol=1e-3)
        with pytest.raises(ConfigError, match="trained layers are fewer"):
            encode_changed(own, texts, turn, after=99)


@pytest.mark.parametrize("name", _ENCODERS)
def test_everything_that_the_upper_part_computes_with_is_trained(name: str) -> None:
    backbone = make_backbone(_ENCODERS[name])
    cut = cut_encoder(backbone, 1)
    top = TopLayers(cut)
    texts = make_texts()
    below = TokenEncoder(cut.lower)(texts).detach()
    top(PaddedSeries(below, texts.mask)).sin().sum().backward()
    assert all(weight.grad is not None for weight in top.parameters())


def test_the_names_of_weights_are_those_of_checkpoints() -> None:
    top = TopLayers(cut_encoder(make_backbone(PACKABLE["bert"]), 1))
    assert {name.split(".")[0] for name in top.state_dict()} == {"layers"}
    assert "layers.0.attention.self.query.weight" in top.state_dict()


def test_an_encoder_in_one_is_left_as_it_was() -> None:
    backbone = make_backbone(PACKABLE["modernbert"]).train()
    names = list(backbone.state_dict())
    cut_encoder(backbone, 1)
    assert list(backbone.state_dict()) == names
    assert all(module.training for module in backbone.modules())


def test_layers_that_share_their_weights_cannot_be_cut() -> None:
    sentence = "layers of AlbertModel cannot be told apart .*share their weights.* use finetune or"
    with pytest.raises(ConfigError, match=sentence):
        cut_encoder(make_backbone(PACKABLE["albert"]), 1)


def test_a_part_that_cannot_do_without_layers_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cannot be told apart \(after 0: UnboundLocalError"):
        cut_encoder(make_backbone(UNPACKABLE["deberta-v2"]), 0)


def test_parts_that_compute_something_else_are_refused() -> None:
    backbone = make_backbone(PACKABLE["bert"])

    def scale(_module: nn.Module, _given: object, output: object) -> object:
        output.last_hidden_state = output.last_hidden_state.roll(1, dims=-1)
        return output

    backbone.register_forward_hook(scale)
    with pytest.raises(ConfigError, match="cut after 1, its states differ by"):
        cut_encoder(backbone, 1)
