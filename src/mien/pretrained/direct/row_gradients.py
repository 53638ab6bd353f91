"""Word embeddings whose gradient is added up in the rows that occur, on a CPU.

Of tens of thousands of words a batch has some hundreds. PyTorch makes a gradient of all rows for
every batch, fills it with zeros, and adds it to that of the step; here each batch adds its own rows
to the gradient of the step. A training keeps the memory of that from one step to the next
(``take_back_gradients``), since memory that is new to the process takes ten times as long to fill.
The numbers are the same bit for bit.
"""

from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = [
    "MANY_ROWS",
    "RowwiseEmbedding",
    "add_rows_alone",
    "forget_memory",
    "take_back_gradients",
]

#: Rows from which on it is worth it.
MANY_ROWS = 4096


class RowwiseEmbedding(nn.Embedding):
    """An embedding that adds to the gradient of its weight itself, row by row.

    Hooks on the gradient of the weight are not called, and ``torch.autograd.grad`` does not know
    it.
    """

    def forward(self, input: Int[Tensor, "*B"]) -> Float[Tensor, "*B d"]:  # noqa: A002  # of torch
        """Return the row of each number."""
        weight = self.weight
        if weight.requires_grad and torch.is_grad_enabled() and weight.device.type == "cpu":
            looked_up: Tensor = _Rows.apply(input, weight, self)  # type: ignore[no-untyped-call]
            return looked_up
        return super().forward(input)


#: Memory of gradients that were taken back.
_MEMORY: WeakKeyDictionary[RowwiseEmbedding, Tensor] = WeakKeyDictionary()


class _Rows(torch.autograd.Function):
    """Looks rows up; backwards, adds to ``weight.grad``."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        numbers: Int[Tensor, "*B"],
        weight: nn.Parameter,
        embedding: RowwiseEmbedding,
    ) -> Float[Tensor, "*B d"]:
        ctx.save_for_backward(numbers)
        ctx.weight, ctx.embedding = weight, embedding
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
        if ctx.embedding.padding_idx is not None:
            sums[rows == ctx.embedding.padding_idx] = 0
        if weight.grad is None:
            weight.grad = _take_zeros(ctx.embedding)
        weight.grad.index_add_(0, rows, sums)
        return None, None, None


def take_back_gradients(module: nn.Module) -> None:
    """Take the gradients of word embeddings away, whose memory the next ones begin in.

    It is for the owner of a training, before ``zero_grad``: whoever still holds such a gradient, or
    an array that shares its memory, finds the next one in it.

    Args:
        module: What has the embeddings, ``RowwiseEmbedding``.
    """
    for part in module.modules():
        if isinstance(part, RowwiseEmbedding) and part.weight.grad is not None:
            _MEMORY[part], part.weight.grad = part.weight.grad, None


def forget_memory(module: nn.Module) -> None:
    """Let the next gradients of word embeddings begin in new memory."""
    for part in module.modules():
        if isinstance(part, RowwiseEmbedding):
            _MEMORY.pop(part, None)


def _take_zeros(embedding: RowwiseEmbedding) -> Tensor:
    """Return zeros for a gradient, in memory that was taken back if there is some that fits."""
    weight, memory = embedding.weight, _MEMORY.pop(embedding, None)
    if memory is None or not _fits(memory, weight):
        return torch.zeros_like(weight)
    return memory.zero_()


def _fits(memory: Tensor, weight: Tensor) -> bool:
    is_same = memory.shape == weight.shape and memory.stride() == weight.stride()
    return is_same and memory.dtype == weight.dtype and memory.device == weight.device


def add_rows_alone(module: nn.Module) -> None:
    """Let large embeddings inside a module add up gradients in the rows that occur."""
    for part in module.modules():
        if type(part) is nn.Embedding and part.num_embeddings >= MANY_ROWS and _is_plain(part):
            part.__class__ = RowwiseEmbedding


def _is_plain(embedding: nn.Embedding) -> bool:
    return not (embedding.sparse or embedding.scale_grad_by_freq or embedding.max_norm)
