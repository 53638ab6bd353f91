"""The real steps of a batch, end to end, so that a recurrence computes nothing for padding.

A graph that is traced for ONNX has all steps, and loops over them (``traced_loops``).
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mien.models.encoders import last_step
from mien.models.zoo.recurrent.traced_loops import loop_cells
from mien.tensors import is_traced

__all__ = ["PackedSteps", "PaddedSteps", "order_steps", "run_hidden", "run_lstm"]


class PackedSteps:
    """Where the real steps of padded series lie when those of all clips follow one another.

    The first steps of all clips come first, then the second ones, and so on; within a step the
    longest clips come first. So the clips that have a next step are always the first rows of those
    that have this one.

    >>> packed = PackedSteps(torch.tensor([[True, False], [True, True]]))
    >>> packed.pack(torch.tensor([[[1.0], [0.0]], [[2.0], [3.0]]])).flatten()
    tensor([2., 1., 3.])

    Args:
        mask: Which steps are real: in every clip the first ones, and at least one.
    """

    def __init__(self, mask: Bool[Tensor, "B T"]) -> None:
        lengths, counts = mask.sum(dim=1), mask.sum(dim=0)
        order = torch.argsort(lengths, descending=True, stable=True)
        steps, ranks = mask[order].T.nonzero(as_tuple=True)
        self._rows = order[ranks] * mask.shape[1] + steps  # of a series, flattened
        #: Clips that have each step.
        self.counts: list[int] = [count for count in counts.tolist() if count]
        self._before = torch.arange(len(steps), device=mask.device) - counts[steps - 1]
        begins = counts.cumsum(dim=0) - counts
        self._last = begins[lengths - 1] + torch.argsort(order)

    def pack(self, values: Float[Tensor, "B T D"]) -> Float[Tensor, "N D"]:
        """Return the real steps of padded series."""
        return values.flatten(0, 1).index_select(0, self._rows)

    def before(self, rows: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
        """Return for each step the row of the step before, zeros for first ones."""
        first = self.counts[0]
        later = rows.index_select(0, self._before[first:])
        return torch.cat([torch.zeros_like(rows[:first]), later])

    def last(self, rows: Float[Tensor, "N D"]) -> Float[Tensor, "B D"]:
        """Return each clip's last row."""
        return rows.index_select(0, self._last)

    def steps(self, rows: Float[Tensor, "N D"]) -> Iterator[Float[Tensor, "_ D"]]:
        """Yield the rows of one step after the other."""
        yield from torch.split(rows, self.counts)


class PaddedSteps:
    """All steps of padded series, those of padding among them: what a traced graph can hold.

    It is used as ``PackedSteps`` are; the rows are the first steps of all clips, then the second
    ones, and so on. Padding is behind the real steps, so that no row of these depends on it.

    Args:
        mask: Which steps are real: in every clip the first ones, and at least one.
    """

    def __init__(self, mask: Bool[Tensor, "B T"]) -> None:
        self.mask = mask

    def pack(self, values: Float[Tensor, "B T D"]) -> Float[Tensor, "N D"]:
        """Return the steps of padded series."""
        return values.transpose(0, 1).flatten(0, 1)

    def before(self, rows: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
        """Return for each step the row of the step before, zeros for first ones."""
        by_step = self.by_step(rows)
        return torch.cat([torch.zeros_like(by_step[:1]), by_step[:-1]]).flatten(0, 1)

    def last(self, rows: Float[Tensor, "N D"]) -> Float[Tensor, "B D"]:
        """Return each clip's last real row."""
        return last_step(self.by_step(rows).transpose(0, 1), self.mask)

    def by_step(self, rows: Float[Tensor, "N D"]) -> Float[Tensor, "T B D"]:
        """Return the rows of all clips, step by step."""
        num_clips, num_steps = self.mask.shape
        return rows.reshape(num_steps, num_clips, rows.shape[1])


def order_steps(mask: Bool[Tensor, "B T"]) -> PackedSteps | PaddedSteps:
    """Return where the real steps lie; while a graph is traced, all steps."""
    return PaddedSteps(mask) if is_traced() else PackedSteps(mask)


def run_lstm(
    values: Float[Tensor, "N D"], rnn: nn.Module, packed: PackedSteps | PaddedSteps
) -> tuple[Float[Tensor, "N H"], Float[Tensor, "N H"]]:
    """Return the hidden states and the cells of an LSTM at every step.

    ``nn.LSTM`` has no cells but the last ones, and where most clips are much shorter than the
    longest its padded steps take most of the time (``benchmarks/recurrent.py``).

    Args:
        values: What it reads.
        rnn: An ``nn.LSTMCell``, or an ``nn.LSTM`` of one layer in one direction.
        packed: Which rows are which steps.
    """
    of_values, of_hidden, one_bias, other_bias = rnn.parameters()
    entered = F.linear(values, of_values, one_bias + other_bias)
    if isinstance(packed, PaddedSteps):
        states = run_hidden(values, rnn, packed)
        gates = entered + F.linear(packed.before(states), of_hidden)
        write, keep, new, _ = (packed.by_step(gate) for gate in gates.chunk(4, dim=1))
        added = torch.sigmoid(write) * torch.tanh(new)
        return states, loop_cells(torch.sigmoid(keep), added).flatten(0, 1)
    hidden = cells = values.new_zeros(packed.counts[0], of_hidden.shape[1])
    steps = []
    for rows in packed.steps(entered):
        gates = torch.addmm(rows, hidden[: len(rows)], of_hidden.T)
        write, keep, new, show = gates.chunk(4, dim=1)
        keep, write = torch.sigmoid(keep), torch.sigmoid(write)
        cells = keep * cells[: len(rows)] + write * torch.tanh(new)
        hidden = torch.sigmoid(show) * torch.tanh(cells)
        steps.append((hidden, cells))
    all_hidden, all_cells = zip(*steps, strict=True)
    return torch.cat(all_hidden), torch.cat(all_cells)


def run_hidden(
    values: Float[Tensor, "N D"], rnn: nn.Module, packed: PackedSteps | PaddedSteps
) -> Float[Tensor, "N H"]:
    """Return the hidden states of an LSTM at every step; arguments are those of ``run_lstm``."""
    if isinstance(packed, PackedSteps):
        return run_lstm(values, rnn, packed)[0]
    weights: list[Tensor] = list(rnn.parameters())
    start = values.new_zeros(1, packed.mask.shape[0], weights[1].shape[1])
    settings = True, 1, 0.0, False, False, False  # biases, one layer, one way, steps first
    states = torch.lstm(packed.by_step(values), [start, start], weights, *settings)[0]
    return states.flatten(0, 1)
