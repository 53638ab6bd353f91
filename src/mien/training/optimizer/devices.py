"""Where a training computes, in which precision, and with which other processes."""

import atexit
from datetime import timedelta
from functools import cache

import torch
import torch.distributed
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.state import AcceleratorState
from torch import nn

from mien.errors import TrainingError
from mien.tensors import find_device
from mien.training.data_parallel.ranks import Ranks, launched_count
from mien.training.settings import TrainConfig

__all__ = ["find_ranks", "has_bf16", "make_accelerator"]

#: How long a process waits for what another computes alone, such as evidence; one that has died is
#: no reason to wait: who started them ends the others.
_LONGEST_WAIT = timedelta(days=7)


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
    if launched_count() > 1:
        _leave_at_exit()
    mixed = config.precision if config.precision == "bf16" else "no"
    # accelerate keeps the first device and precision of a process for all later ones
    AcceleratorState._reset_state(reset_partial_state=True)  # noqa: SLF001  # its only way
    return Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=mixed,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_LONGEST_WAIT)],
    )


@cache
def _leave_at_exit() -> None:
    """Let the process leave the others before it ends.

    Threads that wait for others end a process with an error (``terminate called``) if they are
    there when it does, as happens where the processor has other work.
    """

    def leave() -> None:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()

    atexit.register(leave)


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
