"""The processes that train one model together, and what they give each other."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Int, Shaped
from torch import Tensor, nn

__all__ = ["ALONE", "Ranks", "launched_count", "launched_number"]

Value = TypeVar("Value")


def launched_count() -> int:
    """Return how many processes torchrun or accelerate has started, this one included."""
    return _read("WORLD_SIZE", 1)


def launched_number() -> int:
    """Return the number of this process among those that torchrun or accelerate has started."""
    return _read("RANK", 0)


def _read(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else default


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """The processes that train together, seen from one of them.

    Every method is called by all of them in the same order.

    Attributes:
        number: Of this process, from 0.
        count: How many there are.
        device: Where tensors are exchanged.
    """

    number: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes files."""
        return self.number == 0

    @property
    def is_alone(self) -> bool:
        """Whether there is no other."""
        return self.count == 1

    def share(self, total: int) -> Int[np.ndarray, " _"]:
        """Return which of so many rows are this one's: every ``count``-th."""
        return np.arange(self.number, total, self.count)

    def gather(self, rows: Shaped[Tensor, "_ *D"], total: int) -> Shaped[Tensor, "N *D"]:
        """Join rows that each has of its ``share``, in the order of all ``total`` rows."""
        if self.is_alone:
            return rows
        most = -(-total // self.count)
        padded = rows.new_zeros((most, *rows.shape[1:]), device=self.device)
        padded[: len(rows)] = rows.to(self.device)
        parts = [torch.empty_like(padded) for _ in range(self.count)]
        dist.all_gather(parts, padded)
        joined = torch.stack(parts, dim=1).flatten(0, 1)[:total]  # row i is of rank i % count
        return joined.to(rows.device)

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace every gradient by the sum over the processes; none where none of them has one."""
        if self.is_alone or not parameters:
            return
        has = [float(p.grad is not None) for p in parameters]
        parts = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
        joined = torch.cat([*(part.float() for part in parts), parts[0].new_tensor(has).float()])
        dist.all_reduce(joined)
        *sums, counts = torch.split(joined, [*(part.numel() for part in parts), len(parts)])
        for parameter, total, count in zip(parameters, sums, counts.tolist(), strict=True):
            grad = total.view_as(parameter).to(parameter.dtype)
            parameter.grad = grad if count else None

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by those of the first process."""
        if self.is_alone:
            return
        for tensor in tensors:
            dist.broadcast(tensor.detach(), 0)

    def decide(self, make: Callable[[], Value]) -> Value:
        """Return what ``make`` gives in the first process, where alone it is called; so its error.

        Raises:
            Exception: In all processes, what ``make`` raises in the first.
        """
        if self.is_alone:
            return make()
        answer: list[Any] = [None]
        if self.is_first:
            try:
                answer = [(True, make())]
            except Exception as error:  # noqa: BLE001  # whatever it is, it is raised again below
                answer = [(False, error)]
        dist.broadcast_object_list(answer, 0)
        is_made, value = answer[0]
        if not is_made:
            raise value
        made: Value = value
        return made

    def wait(self) -> None:
        """Wait until all have come here."""
        if not self.is_alone:
            dist.barrier()


#: A process that trains by itself.
ALONE = Ranks()
