"""The optimizer, and the groups of parameters that share a rate and a weight decay."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from mien.errors import ConfigError
from mien.models.multitask import MultimodalModel
from mien.pretrained.adapters import AdaptedEncoder
from mien.pretrained.text_encoder import TokenEncoder, TopLayers
from mien.training.objective import MultitaskObjective
from mien.training.optimizer.eager import EagerAdam, EagerAdamW
from mien.training.settings import TrainConfig

__all__ = ["layer_factors", "make_optimizer", "norms_of", "parameter_groups"]


def parameter_groups(
    groups: Mapping[str, list[tuple[str, nn.Parameter]]],
    config: TrainConfig,
    *,
    norms: Collection[int] = (),
    factors: Mapping[int, float] | None = None,
) -> list[dict[str, Any]]:
    """Make optimizer groups from named parameters; those without decay are a group of their own.

    Args:
        groups: Names and parameters by group, of the model and of the objective.
        config: Gives each group its learning rate and weight decay.
        norms: ``id`` of the parameters of norms, as ``norms_of`` gives them.
        factors: By which the rates of some parameters are multiplied, by their ``id``.

    Raises:
        ValueError: If a parameter is in two groups.
    """
    seen: set[int] = set()
    result = []
    for name, named in groups.items():
        for key, parameter in named:
            if id(parameter) in seen:
                raise ValueError(f"parameter {key!r} is in more than one group")
            seen.add(id(parameter))
        rate, decay = getattr(config.learning_rate, name), getattr(config.weight_decay, name)
        for factor, part in _split_by_factor(named, factors or {}):
            bare = [p for key, p in part if name == "text" and _is_bare(key, p, norms)]
            bare_ids = {id(p) for p in bare}
            full = [p for _, p in part if id(p) not in bare_ids]
            common = {"lr": rate * factor}
            if full:
                result.append({"params": full, **common, "weight_decay": decay, "name": name})
            if bare:
                result.append(
                    {"params": bare, **common, "weight_decay": 0.0, "name": f"{name}-bare"}
                )
    return result


def _split_by_factor(
    named: Sequence[tuple[str, nn.Parameter]], factors: Mapping[int, float]
) -> Iterator[tuple[float, list[tuple[str, nn.Parameter]]]]:
    """Yield each factor, the largest first, with the parameters that have it, in their order."""
    by_factor: dict[float, list[tuple[str, nn.Parameter]]] = {}
    for key, parameter in named:
        by_factor.setdefault(factors.get(id(parameter), 1.0), []).append((key, parameter))
    yield from sorted(by_factor.items(), reverse=True)


def _is_bare(key: str, parameter: nn.Parameter, norms: Collection[int]) -> bool:
    return key.endswith("bias") or id(parameter) in norms


def layer_factors(encoder: nn.Module, layer_decay: float) -> dict[int, float]:
    """Return by what the rate of each parameter of a text encoder is multiplied, by its ``id``.

        factor of layer l of L = layer_decay^(L - l)

    What is in no layer, such as the embeddings, counts as layer 0.

    Source: howard2018, discriminative fine-tuning.

    Raises:
        ConfigError: If the layers of the encoder are not known.
    """
    if layer_decay == 1 or not any(p.requires_grad for p in encoder.parameters()):
        return {}
    if not isinstance(encoder, TokenEncoder | TopLayers | AdaptedEncoder):
        raise ConfigError(
            f"setting train.layer_decay: the layers of {type(encoder).__name__} are not known; "
            "use train.layer_decay=1"
        )
    stages = encoder.layer_parameters()
    return {
        id(parameter): layer_decay ** (len(stages) - 1 - number)
        for number, parameters in enumerate(stages)
        for parameter in parameters
    }


def norms_of(model: nn.Module) -> frozenset[int]:
    """Return the ``id`` of every parameter of a norm: LayerNorm, RMSNorm, and all that end so.

    The type of a module tells, for encoders name theirs differently (``attn_norm``, ``ln_1``).
    """
    return frozenset(
        id(parameter)
        for module in model.modules()
        if any(kind.__name__.lower().endswith("norm") for kind in type(module).mro())
        for parameter in module.parameters(recurse=False)
    )


def make_optimizer(
    model: MultimodalModel, objective: MultitaskObjective, config: TrainConfig
) -> torch.optim.Optimizer:
    """Build the optimizer over the model's groups and the label generator's.

    Raises:
        ConfigError: If rates differ by layer, and the layers of the text encoder are not known.
    """
    encoder = getattr(model, "text_encoder", None)
    groups = parameter_groups(
        {**model.parameter_groups(), **objective.parameter_groups()},
        config,
        norms=norms_of(model),
        factors={} if encoder is None else layer_factors(encoder, config.layer_decay),
    )
    kind = EagerAdam if config.optimizer == "adam" else EagerAdamW
    return kind(groups, lr=1e-3, fused=True)
