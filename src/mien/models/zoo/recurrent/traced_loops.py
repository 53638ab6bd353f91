"""Recurrences as loops of a graph: tracing would write each step of the example one by one.

They are compiled when they are first needed. What is compiled has the types of TorchScript, so
that shapes are in the docstrings.
"""

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

__all__ = ["loop_cells", "loop_memory"]


def loop_cells(keep: Tensor, added: Tensor) -> Tensor:
    """Return cells of which each step keeps a share and to which it adds something.

    Args:
        keep: The share of each step, ``(T, B, H)``.
        added: What it adds, of the same shape.
    """
    made: Tensor = _compiled(_cells)(keep, added)
    return made


def loop_memory(
    of_steps: Tensor,
    written: Tensor,
    mask: Tensor,
    of_memory: Tensor,
    keep_weight: Tensor,
    keep_bias: Tensor,
    write_weight: Tensor,
    write_bias: Tensor,
) -> Tensor:
    """Return a gated memory after the last real step of each clip, ``(B, M)``.

    Args:
        of_steps: What the first layers of both gates make of each step, ``(T, B, K + W)``.
        written: What can be written at each step, ``(T, B, M)``.
        mask: Which steps are real, ``(B, T)``.
        of_memory: What the first layers of both gates make of the memory, ``(M, K + W)``.
        keep_weight: Of the second layer of the gate that keeps, ``(M, K)``.
        keep_bias: The same, ``(M)``.
        write_weight: Of the second layer of the gate that writes, ``(M, W)``.
        write_bias: The same, ``(M)``.
    """
    made: Tensor = _compiled(_memory)(
        of_steps, written, mask, of_memory, keep_weight, keep_bias, write_weight, write_bias
    )
    return made


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.jit.script(inspect.unwrap(function))  # type: ignore[no-any-return]


def _cells(keep: Tensor, added: Tensor) -> Tensor:
    cells = torch.zeros_like(added[0])
    all_cells: list[Tensor] = []
    for step in range(keep.size(0)):
        cells = keep[step] * cells + added[step]
        all_cells.append(cells)
    return torch.stack(all_cells)


def _memory(
    of_steps: Tensor,
    written: Tensor,
    mask: Tensor,
    of_memory: Tensor,
    keep_weight: Tensor,
    keep_bias: Tensor,
    write_weight: Tensor,
    write_bias: Tensor,
) -> Tensor:
    width = keep_weight.size(1)
    memory = torch.zeros_like(written[0])
    for step in range(of_steps.size(0)):
        entered = torch.relu(of_steps[step] + torch.matmul(memory, of_memory))
        keep = torch.sigmoid(torch.matmul(entered[:, :width], keep_weight.t()) + keep_bias)
        write = torch.sigmoid(torch.matmul(entered[:, width:], write_weight.t()) + write_bias)
        new = keep * memory + write * written[step]
        memory = torch.where(mask[:, step].unsqueeze(1), new, memory)
    return memory
