"""A pretrained encoder in two: what ends after some of its layers, and what goes on from there.

Both stay models of transformers, so that whatever a model does around its layers (masks, position
biases, rotary positions, a last normalisation) is done as its makers wrote it. The upper part is
the model without its embeddings: states are given in their place. A model that changes states on
their way through the layers does so here as well.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

from jaxtyping import Float
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.pretrained.packed.packing import CLOSE, differ_by, draw_short_texts
from mien.tensors import PaddedSeries, inferring

__all__ = [
    "CutEncoder",
    "StatesChange",
    "changing",
    "cut_encoder",
    "encode_changed",
    "find_layers",
    "split_parameters",
]


class _StatesAsEmbeddings(nn.Module):
    """What stands in place of an encoder's embeddings: the states that are given as such."""

    def forward(self, *given: object, **named: object) -> Float[Tensor, "B T d"]:
        """Return ``inputs_embeds``, which some encoders hand on without its name."""
        values = (*given, named.get("inputs_embeds"))
        (states,) = (value for value in values if isinstance(value, Tensor) and value.ndim == 3)
        return states


class CutEncoder(NamedTuple):
    """An encoder in two parts.

    Attributes:
        lower: Token ids to states.
        upper: States, given as ``inputs_embeds``, to states.
        place: Name of the list of layers in each.
    """

    lower: nn.Module
    upper: nn.Module
    place: str


def find_layers(backbone: nn.Module) -> str:
    """Return where the layers of an encoder are, as the name of its list of them.

    Raises:
        ConfigError: If that cannot be told, or layers share their weights.
    """
    config: Any = backbone.config
    if getattr(config, "num_hidden_groups", None) is not None:
        raise _cannot_cut(backbone, "they share their weights")
    names = [
        name
        for name, module in backbone.named_modules()
        if isinstance(module, nn.ModuleList)
        and len(module) == config.num_hidden_layers
        and len({type(layer) for layer in module}) == 1
    ]
    outer: list[str] = [
        name for name in names if not any(name.startswith(f"{other}.") for other in names)
    ]
    if len(outer) != 1:
        raise _cannot_cut(backbone, "there is no list of them")
    return outer[0]


def split_parameters(encoder: nn.Module, layers: nn.ModuleList) -> list[list[nn.Parameter]]:
    """Return the parameters of an encoder that are in none of its layers, then those of each."""
    of_layers = [list(layer.parameters()) for layer in layers]
    known = {id(parameter) for own in of_layers for parameter in own}
    return [[p for p in encoder.parameters() if id(p) not in known], *of_layers]


def cut_encoder(backbone: nn.Module, layers: int) -> CutEncoder:
    """Cut an encoder after so many layers; the parts share its modules.

    The parts of an encoder of transformers are compared with it on three short texts; those of
    this package's own need no trial.

    Args:
        backbone: The encoder.
        layers: How many of its layers the lower part has.

    Raises:
        ConfigError: If its layers cannot be told apart, or the parts compute something else.
    """
    place = find_layers(backbone)
    stack = list(cast("nn.ModuleList", backbone.get_submodule(place)))
    lower = _replace(backbone, place, nn.ModuleList(stack[:layers]))
    if hasattr(backbone, "final_norm"):
        lower = _replace(lower, "final_norm", nn.Identity())
    upper = _replace(backbone, place, nn.ModuleList(stack[layers:]))
    upper = _replace(upper, "embeddings", _StatesAsEmbeddings())
    if hasattr(backbone, "embeddings_project"):
        upper = _replace(upper, "embeddings_project", nn.Identity())
    if layers and getattr(getattr(backbone, "encoder", None), "conv", None) is not None:
        upper = _replace(upper, "encoder.conv", None)  # DeBERTa's: part of its first layer
    if not getattr(backbone, "takes_packing", False):
        _require_same(backbone, lower, upper, layers)
    return CutEncoder(lower, upper, place)


def _require_same(backbone: nn.Module, lower: nn.Module, upper: nn.Module, layers: int) -> None:
    """Refuse parts that compute something else than the encoder."""
    try:
        difference = _compare(backbone, lower, upper)
    except (
        AttributeError,
        IndexError,
        RuntimeError,
        TypeError,
        UnboundLocalError,
        ValueError,
    ) as error:
        raise _cannot_cut(backbone, f"after {layers}: {type(error).__name__}: {error}") from error
    if difference > CLOSE:
        raise _cannot_cut(backbone, f"cut after {layers}, its states differ by {difference:.1g}")


def _compare(backbone: nn.Module, lower: nn.Module, upper: nn.Module) -> float:
    """Return by how much the parts differ from the encoder in one, in units of its states."""
    ids, mask = draw_short_texts(backbone)
    with inferring(backbone, lower, upper):
        expected = _states(backbone(input_ids=ids, attention_mask=mask.long()))
        below = _states(lower(input_ids=ids, attention_mask=mask.long()))
        joined = _states(upper(inputs_embeds=below, attention_mask=mask.long()))
    return differ_by(joined[mask], expected[mask])


def _states(output: Any) -> Float[Tensor, "B T d"]:  # noqa: ANN401  # of transformers, without types
    states: Tensor = output.last_hidden_state
    return states


def _replace(module: nn.Module, place: str, part: nn.Module | None) -> nn.Module:
    """Return a module with another one in a place; all else is shared with the module given."""
    name, _, inner = place.partition(".")
    changed = copy.copy(module)
    parts = changed.__dict__["_modules"] = dict(module.__dict__["_modules"])
    parts[name] = _replace(parts[name], inner, part) if inner else part
    return changed


def _cannot_cut(backbone: nn.Module, reason: str) -> ConfigError:
    return ConfigError(
        f"setting text_encoder.mode: the layers of {type(backbone).__name__} cannot be told apart "
        f"({reason}); use finetune or frozen"
    )


#: Returns other states in the place of given ones, ``(B, T, d)``.
StatesChange = Callable[[Tensor], Tensor]


def encode_changed(
    encoder: nn.Module, series: PaddedSeries, change: StatesChange, *, after: int = 0
) -> Float[Tensor, "B T d"]:
    """Return the states of a text encoder inside which states are changed.

    Args:
        encoder: The encoder. One whose layers are not known, or that has none because its states
            were computed ahead, has the states changed that it gives.
        series: What it reads.
        change: What happens to the states; padding is among them.
        after: Layers that come before, of those that the encoder has here; 0 for what goes into
            the first of them.
    """
    run = getattr(encoder, "run_changed", None)
    if run is None:
        return change(encoder(series))
    states: Tensor = run(series, change, after=after)
    return states


@contextmanager
def changing(stack: nn.ModuleList, change: StatesChange, after: int) -> Iterator[None]:
    """Let what goes into a stack of layers, or what one of them gives, be changed in the block.

    Raises:
        ConfigError: If there are not so many layers.
    """
    if after > len(stack):
        raise ConfigError(
            f"setting text_encoder.mode: {len(stack)} trained layers are fewer than the {after} "
            "behind which the model changes their states; train more layers, or none"
        )

    def change_input(
        _: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (change(args[0]), *args[1:]), dict(kwargs)
        return args, {**kwargs, "hidden_states": change(kwargs["hidden_states"])}

    def change_output(_: nn.Module, __: object, output: Any) -> Any:  # noqa: ANN401  # a layer's
        if isinstance(output, tuple):
            return (change(output[0]), *output[1:])
        return change(output)

    if after:
        handle = stack[after - 1].register_forward_hook(change_output)
    else:
        handle = stack[0].register_forward_pre_hook(change_input, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
