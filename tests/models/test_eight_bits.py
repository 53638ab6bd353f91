"""Text encoders in 8 bits: near to 32 bits, and refused where there is nothing to compute."""

import pytest
import torch
from helpers import TEXT, make_model
from torch import nn
from transformers import AutoModel, BertConfig

import mien
from mien.errors import ConfigError
from mien.models.eight_bits import round_linear_layers, round_text_encoder
from mien.pretrained.text_encoder import TokenEncoder
from mien.tensors import Batch, PaddedSeries
from mien.types import Task


def test_a_linear_layer_in_8_bits_is_within_its_rounding():
    """Each output has a scale of its own: a large one does not coarsen a small one."""
    torch.manual_seed(1)
    linear = nn.Linear(32, 4)
    with torch.no_grad():
        linear.weight[0] *= 1000
    values = torch.randn(5, 7, 32)
    rounded = nn.Sequential(linear)
    expected = rounded(values)
    assert round_linear_layers(rounded) == 1
    worst = (rounded(values) - expected).abs().amax(dim=(0, 1))
    size = linear.weight.detach().abs().amax(dim=1)
    step = values.abs().max() / 64  # values have 7 bits, of both signs
    assert (worst <= size * 32 * (step + values.abs().max() / 254)).all()
    assert (worst[1:] < 0.2).all()
    assert (worst > 0).all()


def test_a_feature_that_is_far_larger_than_others_does_not_coarsen_them():
    torch.manual_seed(1)
    linear = nn.Linear(32, 4)
    values = torch.randn(5, 7, 32)
    values[2, 3, 9] = 5000.0
    rounded = nn.Sequential(linear)
    expected = rounded(values)
    round_linear_layers(rounded)
    differences = (rounded(values) - expected).abs()
    assert differences[2, 3].max() / 5000 < 1e-3  # a rounded weight
    differences[2, 3] = 0
    assert differences.max() < 0.2
    assert rounded(values[:0]).shape == (0, 7, 4)


@pytest.mark.parametrize("attention", ["softmax", "none"])
def test_scores_in_8_bits_are_near_and_nothing_else_is_rounded(attention):
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=90, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=40, max_position_embeddings=60,
    )  # fmt: skip
    encoder = TokenEncoder(AutoModel.from_config(config))
    model = make_model(sizes={TEXT: 24}, text_encoder=encoder, attention=attention).eval()
    mask = torch.arange(9) < torch.tensor([[9], [4], [0]])
    series = PaddedSeries(torch.randint(5, 90, (3, 9, 1)) * mask.unsqueeze(-1), mask)
    batch = Batch(index=torch.arange(3), sequences={TEXT: series})
    num_linear = sum(type(part) is nn.Linear for part in model.heads.modules())
    with torch.no_grad():
        exact = model(batch).scores[Task.FUSION]
        round_text_encoder(model)
        rounded = model(batch).scores[Task.FUSION]
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, atol=0.02, rtol=0)
    assert not any(type(part) is nn.Linear for part in model.text_encoder.modules())
    assert sum(type(part) is nn.Linear for part in model.heads.modules()) == num_linear


def test_a_model_whose_text_comes_as_states_is_refused():
    with pytest.raises(ConfigError, match="no text encoder of its own to compute in 8 bits"):
        round_text_encoder(make_model())


def test_predictions_in_8_bits_are_made_anew_from_clips_that_must_be_given():
    with pytest.raises(ConfigError, match=r"give the store of their clips \(--store\)"):
        mien.evaluate("nowhere", int8=True)


def test_8_bits_are_for_the_cpu():
    with pytest.raises(ConfigError, match="is for the CPU, and the model is on meta"):
        round_text_encoder(make_model().to("meta"))
