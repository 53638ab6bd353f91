"""What moves the parameters: the optimizer's groups, and the device on which it computes."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.state import AcceleratorState
from torch import nn

from mien.errors import TrainingError
from mien.models.multitask import MultimodalModel
from mien.tensors import find_device
from mien.training.data_parallel.ranks import Ranks, launched_count
from mien.training.objective import MultitaskObjective
from mien.training.settings import TrainConfig

__all__ = [
    "find_ranks",
    "has_bf16",
    "make_accelerator",
    "make_optimizer",
    "norms_of",
    "parameter_groups",
]

#: How long a process waits for what another computes alone, such as evidence; one that has died is
#: no reason to wait: who started them ends the others.
_LONGEST_WAIT = timedelta(days=7)


def parameter_groups(
    groups: dict[str, list[tuple[str, nn.Parameter]]],
    config: TrainConfig,
    *,
    norms: Collection[int] = (),
) -> list[dict[str, Any]]:
    """Make optimizer groups from named parameters; those without decay are a group of their own.

    Args:
        groups: Names and parameters by group, of the model and of the objective.
        config: Gives each group its learning rate and weight decay.
        norms: ``id`` of the parameters of norms, as ``norms_of`` gives them.

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
        is_text = name == "text"
        bare = [p for key, p in named if is_text and (key.endswith("bias") or id(p) in norms)]
        bare_ids = {id(p) for p in bare}
        full = [p for _, p in named if id(p) not in bare_ids]
        rate, decay = getattr(config.learning_rate, name), getattr(config.weight_decay, name)
        if full:
            result.append({"params": full, "lr": rate, "weight_decay": decay, "name": name})
        if bare:
            result.append({"params": bare, "lr": rate, "weight_decay": 0.0, "name": f"{name}-bare"})
    return result


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
    """Build the optimizer over the model's groups and the label generator's."""
    groups = parameter_groups(
        {**model.parameter_groups(), **objective.parameter_groups()}, config, norms=norms_of(model)
    )
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=1e-3, fused=True)


def make_accelerator(config: TrainConfig) -> Accelerator:
    """Choose the device and precision.

    Raises:
        TrainingError: If the device of the settings is not here, or is one for several processes.
    """
    device = find_device(config.device, "setting train.device", TrainingError)
    if device.index is not None:
        if launched_count() > 1:
            raise TrainingError(
                f"setting train.device is {config.device!r}, but {launched_count()} processes "
                "train together, each on a GPU of its own; use train.device=cuda"
            )
        torch.cuda.set_device(device)  # the one that accelerate takes
    if config.precision == "bf16" and not has_bf16(config):
        raise TrainingError(
            "setting train.precision is 'bf16', in which this processor cannot run an LSTM; "
            "use train.precision=float32"
        )
    if config.precision == "tf32" and device.type != "cuda":
        raise TrainingError(
            f"setting train.precision is 'tf32', which CUDA alone has, and this is {device}; use "
            "train.precision=float32, or bf16"
        )
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high" if config.precision == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = config.precision == "tf32"
    mixed = config.precision if config.precision == "bf16" else "no"
    # accelerate keeps the first device and precision of a process for all later ones
    AcceleratorState._reset_state(reset_partial_state=True)  # noqa: SLF001  # its only way
    return Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=mixed,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_LONGEST_WAIT)],
    )


def find_ranks(config: TrainConfig) -> Ranks:
    """Return the processes that train together, as torchrun or accelerate started them.

    Raises:
        TrainingError: If the device of the settings is not here.
    """
    accelerator = make_accelerator(config)
    return Ranks(
        number=accelerator.process_index,
        count=accelerator.num_processes,
        device=accelerator.device,
    )


def has_bf16(config: TrainConfig) -> bool:
    """Return whether the device has kernels of every layer in bf16, by trying the rarest."""
    if find_device(config.device, "setting train.device", TrainingError).type != "cpu":
        return True
    try:
        with torch.random.fork_rng(), torch.autocast("cpu", torch.bfloat16), torch.no_grad():
            nn.LSTM(2, 2, batch_first=True)(torch.zeros(1, 1, 2))
    except RuntimeError:
        return False
    return True
