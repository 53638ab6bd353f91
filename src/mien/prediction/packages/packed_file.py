"""A file for prediction alone: networks and their header, in 16 bits where that loses nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mien.training.checkpoints.checkpoint import write_tensors
from mien.training.checkpoints.header import check_header
from mien.training.checkpoints.videos import shorten_videos

__all__ = ["write_packed"]

#: Sizes of the largest value of a matrix between which float16 keeps three digits of it.
_LOWEST, _HIGHEST = 2.0**-10, 2.0**14


def write_packed(
    out: Path,
    header: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    *,
    half: bool,
    licence: str,
    name: str,
) -> None:
    """Write networks for prediction alone.

    Args:
        out: File to write; its folder is made.
        header: Header of the checkpoint that they come from.
        tensors: Their weights, under the names that the file has.
        half: As in ``pack``; so are the others.
        licence: Empty leaves that of the header.
        name: Empty leaves that of the header.

    Raises:
        CheckpointError: If the licence or the name cannot stand in a header.
        OutputError: If it cannot be written.
    """
    packed = {key: _halve(tensor) if half else tensor for key, tensor in tensors.items()}
    facts: dict[str, Any] = {"packed": {"half": half, "tensors": len(packed)}}
    facts |= {key: text for key, text in (("licence", licence), ("name", name)) if text}
    ready = {**shorten_videos(header), **facts}
    check_header(ready, out)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(out, packed, ready)


def _halve(tensor: Tensor) -> Tensor:
    """Return a matrix in 16 bits, if that keeps its values."""
    if tensor.dtype != torch.float32 or tensor.ndim < 2 or not tensor.numel():
        return tensor
    largest = float(tensor.abs().max())  # NaN and infinite values are outside too
    return tensor.half() if _LOWEST <= largest <= _HIGHEST else tensor
