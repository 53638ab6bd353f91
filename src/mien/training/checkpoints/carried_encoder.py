"""A trained text encoder, carried over to a training that trains another part of the same one.

Which layer a tensor belongs to is not in its name: the first of the last six is ``layers.0``, as is
the first of the last two. What every way to train an encoder has in common is that its layers end
with the last one.
"""

import re
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.pretrained.adapters import AdaptedEncoder
from mien.pretrained.encoder_cut import find_layers
from mien.pretrained.text_encoder import TokenEncoder, TopLayers

__all__ = ["PREFIX", "carry_encoder"]

#: How the names of the tensors of a model's text encoder begin.
PREFIX: Final = "text_encoder."
_ADAPTER: Final = re.compile(r"adapters\.(\d+)-(.+)\.(up|down)")
_LAYER: Final = re.compile(r"layers\.(\d+)\.(.+)")

_Tensors = Mapping[str, Tensor]
_Trainable = AdaptedEncoder | TopLayers | TokenEncoder


def carry_encoder(
    encoder: nn.Module, trained: _Tensors, *, is_same: bool = True
) -> dict[str, Tensor]:
    """Return what a text encoder has learned, as another one that is trained holds it.

    Adapters and layers go to the same layers of the encoder, whatever they are counted from.
    Adapters are merged into layers that are trained as a whole, and filled up with untrained values
    where there is room for a higher rank.

    Args:
        encoder: The text encoder that is to be trained, with its pretrained weights.
        trained: Tensors of the one that was trained, by their names in it.
        is_same: Whether both began with the same pretrained weights.

    Returns:
        Tensors by their names in ``encoder``; what fits as it is comes back unchanged.

    Raises:
        ConfigError: If what was trained has no place in ``encoder``; the message says what that is.
    """
    if not trained:
        return {}
    if not is_same:
        raise ConfigError("it is another encoder, or has other weights")
    if not isinstance(encoder, _Trainable):
        raise ConfigError("none of the encoder is trained here")
    if any(_ADAPTER.fullmatch(name) for name in trained):
        return _carry_adapters(encoder, trained)
    if any(_LAYER.fullmatch(name) for name in trained):
        return _carry_layers(encoder, trained)
    if not isinstance(encoder, TokenEncoder):
        raise ConfigError("all of the encoder was trained, of which a part is trained here")
    return dict(trained)


def _carry_layers(encoder: _Trainable, trained: _Tensors) -> dict[str, Tensor]:
    """Carry over the last layers to an encoder that trains at least as many."""
    if not isinstance(encoder, TopLayers):
        raise ConfigError("the last layers were trained, which are not trained by themselves here")
    named = {name: _LAYER.fullmatch(name) for name in trained}
    shift = _count_below(encoder, [int(match[1]) for match in named.values() if match])
    return {
        f"layers.{int(match[1]) + shift}.{match[2]}" if match else name: trained[name]
        for name, match in named.items()
    }


def _carry_adapters(encoder: _Trainable, trained: _Tensors) -> dict[str, Tensor]:
    """Carry over adapters to an encoder with adapters, or with layers that are trained."""
    pairs: dict[tuple[int, str], dict[str, Tensor]] = {}
    for name, tensor in trained.items():
        if match := _ADAPTER.fullmatch(name):
            pairs.setdefault((int(match[1]), match[2]), {})[match[3]] = tensor
    shift = _count_below(encoder, [layer for layer, _ in pairs])
    own, carried = encoder.state_dict(), dict[str, Tensor]()
    stack = None if isinstance(encoder, AdaptedEncoder) else _find_stack(encoder)
    for (layer, linear), pair in pairs.items():
        place = f"{layer + shift}-{linear}"
        if stack is None:
            carried |= _fill_up(own, f"adapters.{place}", pair)
        else:
            name = f"{stack}{place.replace('-', '.')}.weight"
            if name not in own:
                raise ConfigError(f"adapters were trained of {linear}, which is not here")
            up, down = pair["up"].float(), pair["down"].float()
            carried[name] = own[name] + up @ down
    return carried


def _fill_up(own: _Tensors, name: str, pair: _Tensors) -> dict[str, Tensor]:
    """Return an adapter in the rank that it has here: what is added says nothing at first."""
    names = {part: f"{name}.{part}" for part in ("up", "down")}
    if not all(name_here in own for name_here in names.values()):
        raise ConfigError(f"adapters were trained of {name.partition('-')[2]}, which has none here")
    rank = len(pair["down"])
    up, down = (own[names[part]].clone() for part in ("up", "down"))
    if rank > len(down):
        raise ConfigError(f"adapters of rank {rank} were trained, here they have {len(down)}")
    with torch.no_grad():
        up.zero_()
        up[:, :rank], down[:rank] = pair["up"], pair["down"]
    return {names["up"]: up, names["down"]: down}


def _find_stack(encoder: TopLayers | TokenEncoder) -> str:
    """Return how the names of the layers begin that are trained as a whole."""
    if isinstance(encoder, TopLayers):
        return "layers."
    return f"backbone.{find_layers(encoder.backbone)}."


def _count_below(encoder: _Trainable, layers: list[int]) -> int:
    """Return how many layers are trained here below the lowest that was trained before."""
    here, before = len(encoder.layer_parameters()) - 1, 1 + max(layers)
    if before > here:
        raise ConfigError(f"{before} layers of the encoder were trained, here {here} are")
    return here - before
