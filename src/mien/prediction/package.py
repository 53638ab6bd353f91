"""A checkpoint for prediction alone: the network and its header, small enough to send to others."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mien.errors import CheckpointError
from mien.files.atomic import refuse_existing
from mien.training.checkpoints.checkpoint import (
    check_finite,
    read_header,
    read_tensors,
    split_states,
    write_tensors,
)
from mien.training.checkpoints.header import check_header
from mien.training.checkpoints.videos import shorten_videos
from mien.training.loading import find_checkpoint
from mien.training.run_folder import RunFolder, SeedFolder

if TYPE_CHECKING:
    from mien.prediction.network import Network

__all__ = ["pack", "require_plain"]

#: Sizes of the largest value of a matrix between which float16 keeps three digits of it.
_LOWEST, _HIGHEST = 2.0**-10, 2.0**14


def pack(
    path: RunFolder | SeedFolder | str | Path,
    out: str | Path,
    *,
    half: bool = True,
    licence: str = "",
    name: str = "",
    replace: bool = False,
) -> Path:
    """Write what prediction needs of a trained model as one file.

    Label banks, class centres and all else that only training needs are left out. The header
    stays, so that the file is loaded, checked and refused as the checkpoint is.

    Args:
        path: A checkpoint, a seed's folder, or a run or its folder (its first seed).
        out: File to write; its folder is made.
        half: Whether matrices are written in 16 bits. Vectors stay in 32 bits, for they are small
            and hold the units of the features; so does a matrix whose values float16 would cut or
            round to nothing. A loaded network computes in 32 bits in any case.
        licence: Under which licence the weights are; shown with every prediction.
        name: What the model is called; empty stands for the name of the file.
        replace: Whether a file that is already there is replaced.

    Returns:
        The file.

    Raises:
        CheckpointError: If there is no sound checkpoint, or it holds no network.
        OutputError: If ``out`` exists, or cannot be written.
    """
    source, out = find_checkpoint(path), Path(out)
    refuse_existing(out, replace=replace)
    header = read_header(source)
    state = split_states(read_tensors(source), "model")
    if not state:
        raise CheckpointError(f"{source}: holds no network; give a run that was trained")
    check_header(header, source).read_config(source)
    check_finite(state, str(source))
    packed = {f"model/{key}": _halve(tensor) if half else tensor for key, tensor in state.items()}
    facts: dict[str, Any] = {"packed": {"half": half, "tensors": len(packed)}}
    facts |= {key: text for key, text in (("licence", licence), ("name", name)) if text}
    ready = {**shorten_videos(header), **facts}
    check_header(ready, out)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(out, packed, ready)
    return out


def _halve(tensor: Tensor) -> Tensor:
    """Return a matrix in 16 bits, if that keeps its values."""
    if tensor.dtype != torch.float32 or tensor.ndim < 2 or not tensor.numel():
        return tensor
    largest = float(tensor.abs().max())  # NaN and infinite values are outside too
    return tensor.half() if _LOWEST <= largest <= _HIGHEST else tensor


def require_plain(network: "Network") -> "Network":
    """Return a network that reads every clip by itself.

    Raises:
        CheckpointError: If it was trained to read clips against a baseline of their speaker.
    """
    if network.config.features.standardise == "speaker":
        raise CheckpointError(
            f"{network.checkpoint}: reads voice and face against a baseline of the speaker, which "
            "a file of ONNX cannot make; use mien predict, or train with features.standardise=train"
        )
    return network
