"""Text encoders whose linear layers multiply in 8 bits, for inference on a CPU.

Weights are rounded once, with a scale for each output; values are rounded at every call, with one
scale for all of them but for features that are far larger than most, which some encoders have: with
these the others would be rounded to nothing, so they are multiplied apart, in float32. Sums are
exact, biases and everything else stay in float32.

Source: jacob2018 has the scheme, dettmers2022 the part of large features; the products are those of
torch's FBGEMM.
"""

import warnings

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.models.multitask import MultimodalModel
from mien.pretrained.adapters import AdaptedEncoder

__all__ = ["Int8Linear", "round_linear_layers", "round_text_encoder"]

_LARGEST = 127  # of a weight in 8 bits
_FAR = 12.0  # times the mean of the largest values of all features: more are multiplied apart


class Int8Linear(nn.Module):
    """A linear layer in 8 bits; it cannot be trained, and its weights are in no state.

    Args:
        linear: The layer in float32 that it stands for.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scales = weight.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / _LARGEST
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        bias = None if linear.bias is None else linear.bias.detach().float()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*quantize", UserWarning)  # of tensors' older kind
            rounded = torch.quantize_per_channel(weight, scales.double(), zeros, 0, torch.qint8)
        self._packed = torch.ops.quantized.linear_prepack(rounded, bias)
        self._integers, self._scales = rounded.int_repr().T.contiguous(), scales

    def forward(self, values: Float[Tensor, "*B i"]) -> Float[Tensor, "*B o"]:
        """Return the products; values have 7 bits, else sums overflow on older processors."""
        large = _find_large(values)
        if not len(large):
            return self._multiply(values)
        apart = values[..., large] @ self._integers[large].float()
        return self._multiply(values.index_fill(-1, large, 0.0)).addcmul_(apart, self._scales)

    def _multiply(self, values: Float[Tensor, "*B i"]) -> Float[Tensor, "*B o"]:
        multiplied: Tensor = torch.ops.quantized.linear_dynamic(
            values.contiguous(), self._packed, reduce_range=True
        )
        return multiplied


def _find_large(values: Float[Tensor, "*B i"]) -> Int[Tensor, " _"]:
    """Return the features whose largest value is far above that of most."""
    if not values.numel():
        return torch.zeros(0, dtype=torch.int64)
    largest = values.flatten(0, -2).abs().amax(dim=0)
    return (largest > _FAR * largest.mean()).nonzero().squeeze(1)


def round_linear_layers(module: nn.Module) -> int:
    """Put layers in 8 bits in the place of the linear ones inside a module; return how many."""
    linear = [(name, part) for name, part in module.named_modules() if type(part) is nn.Linear]
    for name, part in linear:
        module.set_submodule(name, Int8Linear(part))
    return len(linear)


def round_text_encoder(model: MultimodalModel) -> None:
    """Let the linear layers of a model's text encoder multiply in 8 bits from now on.

    Raises:
        ConfigError: If there are none: the text comes as states, or not at all. Or if the model is
            not on the CPU.
    """
    places = {parameter.device.type for parameter in model.parameters()} - {"cpu"}
    if places:
        raise ConfigError(
            f"--int8: is for the CPU, and the model is on {min(places)}; leave it out"
        )
    for network in model.networks:
        encoder = getattr(network, "text_encoder", None)
        if isinstance(encoder, AdaptedEncoder):
            network.text_encoder = encoder = encoder.merge()
        if encoder is None or not round_linear_layers(encoder):
            raise ConfigError(
                "--int8: the model has no text encoder of its own to compute in 8 bits; leave it "
                "out"
            )
