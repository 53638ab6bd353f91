"""Word embeddings whose gradient is added up in the rows that occur, on a CPU.

Of tens of thousands of words a batch has some hundreds. PyTorch makes a gradient of all rows for
every batch, fills it with zeros, and adds it to that of the step; here each batch adds its own rows
to the gradient of the step. The memory of that is kept from one step to the next, since memory that
is new to the process takes ten times as long to fill. The numbers are the same bit for bit.
"""

import sys
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = ["MANY_ROWS", "RowwiseEmbedding", "add_rows_alone", "forget_memory"]

#: Rows from which on it is worth it.
MANY_ROWS = 4096
#: Attribute of a weight that holds the memory of its gradient.
_MEMORY = "_gradient_memory"
_OWN_REFERENCES = 3  # of the attribute, of the one who asks, and of the call that counts


class RowwiseEmbedding(nn.Embedding):
    """An embedding that adds to the gradient of its weight itself, row by row.

    Hooks on the gradient of the weight are not called, and ``torch.autograd.grad`` does not know
    it.
    """

    def forward(self, input: Int[Tensor, "*B"]) -> Float[Tensor, "*B d"]:  # noqa: A002  # of torch
        """Return the row of each number."""
        weight = self.weight
        if weight.requires_grad and torch.is_grad_enabled() and weight.device.type == "cpu":
            looked_up: Tensor = _Rows.apply(input, weight, self.padding_idx)  # type: ignore[no-untyped-call]
            return looked_up
        return super().forward(input)


class _Rows(torch.autograd.Function):
    """Looks rows up; backwards, adds to ``weight.grad``."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        numbers: Int[Tensor, "*B"],
        weight: nn.Parameter,
        padding: int | None,
    ) -> Float[Tensor, "*B d"]:
        ctx.save_for_backward(numbers)
        ctx.weight, ctx.padding = weight, padding
        return nn.functional.embedding(numbers, weight)

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401
        gradient: Float[Tensor, "*B d"],
    ) -> tuple[None, None, None]:
        (numbers,) = ctx.saved_tensors
        weight: nn.Parameter = ctx.weight
        rows, places = numbers.unique(return_inverse=True)
        # the sums over a batch first, as PyTorch has them
        sums = torch.ops.aten.embedding_dense_backward(
            gradient.contiguous(), places, len(rows), -1, scale_grad_by_freq=False
        )
        if ctx.padding is not None:
            sums[rows == ctx.padding] = 0
        if weight.grad is None:
            weight.grad = _take_zeros(weight)
        weight.grad.index_add_(0, rows, sums)
        return None, None, None


def _take_zeros(weight: nn.Parameter) -> Tensor:
    """Return zeros for a gradient: in the memory of the last one, if nobody else holds that."""
    memory: Tensor | None = getattr(weight, _MEMORY, None)
    if memory is None or sys.getrefcount(memory) > _OWN_REFERENCES or not _fits(memory, weight):
        memory = torch.zeros_like(weight)
        setattr(weight, _MEMORY, memory)
        return memory
    return memory.zero_()


def forget_memory(weight: nn.Parameter) -> None:
    """Let the next gradient of a weight begin in new memory."""
    if hasattr(weight, _MEMORY):
        delattr(weight, _MEMORY)


def _fits(memory: Tensor, weight: nn.Parameter) -> bool:
    is_same = memory.shape == weight.shape and memory.stride() == weight.stride()
    return is_same and memory.dtype == weight.dtype and memory.device == weight.device


def add_rows_alone(module: nn.Module) -> None:
    """Let large embeddings inside a module add up gradients in the rows that occur."""
    for part in module.modules():
        if type(part) is nn.Embedding and part.num_embeddings >= MANY_ROWS and _is_plain(part):
            part.__class__ = RowwiseEmbedding


def _is_plain(embedding: nn.Embedding) -> bool:
    return not (embedding.sparse or embedding.scale_grad_by_freq or embedding.max_norm)
