"""Recurrent networks that read clips of different lengths forward and backward."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mien.models.encoders import last_step
from mien.tensors import is_traced

__all__ = ["run_two_ways"]


def run_two_ways(
    rnn: nn.LSTM | nn.GRU, values: Float[Tensor, "B T _"], lengths: Int[Tensor, "B"]
) -> tuple[Float[Tensor, "B T _"], Float[Tensor, "2 B H"]]:
    """Return the states of every step, zero at padding, and the last of each direction.

    Backward it begins at each clip's own last step. Where there are several layers, the states are
    those of the last.

    Args:
        rnn: A bidirectional network, ``batch_first``.
        values: What it reads, padded at the end.
        lengths: Real steps of each clip, at least one.
    """
    if is_traced():
        return _run_padded(rnn, values, lengths)
    packed = pack_padded_sequence(values, lengths.cpu(), batch_first=True, enforce_sorted=False)
    states, last = rnn(packed)
    padded, _ = pad_packed_sequence(states, batch_first=True, total_length=values.shape[1])
    hidden: Tensor = last[0] if isinstance(rnn, nn.LSTM) else last
    return padded, hidden[-2:]


def _run_padded(
    rnn: nn.LSTM | nn.GRU, values: Float[Tensor, "B T _"], lengths: Int[Tensor, "B"]
) -> tuple[Float[Tensor, "B T _"], Float[Tensor, "2 B H"]]:
    """Return the same, computed of padding too: both ways forward, one on the clips reversed.

    A graph has no packed steps. No state sees padding: it lies behind the real steps either way.
    """
    steps = torch.arange(values.shape[1], device=values.device)
    ends = lengths.unsqueeze(1)
    mask = steps < ends
    backward = torch.where(mask, ends - 1 - steps, steps)  # (B, T)
    last: list[Tensor] = []
    for layer in range(rnn.num_layers):
        forward_weights, backward_weights = rnn.all_weights[2 * layer : 2 * layer + 2]
        ahead = _run_one_way(rnn, values, forward_weights)
        reverse = _run_one_way(rnn, _reorder(values, backward), backward_weights)
        last = [last_step(states, mask) for states in (ahead, reverse)]
        values = torch.cat([ahead, _reorder(reverse, backward)], dim=2) * mask.unsqueeze(-1)
    return values, torch.stack(last)


def _run_one_way(
    rnn: nn.LSTM | nn.GRU, values: Float[Tensor, "B T _"], weights: Sequence[Tensor]
) -> Float[Tensor, "B T H"]:
    """Return the states of one layer in one direction, from zeros on."""
    start = values.new_zeros(1, values.shape[0], rnn.hidden_size)
    settings = (list(weights), rnn.bias, 1, 0.0, False, False, True)
    if isinstance(rnn, nn.LSTM):
        return torch.lstm(values, [start, start], *settings)[0]
    return torch.gru(values, start, *settings)[0]


def _reorder(values: Float[Tensor, "B T D"], places: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
    return values.gather(1, places.unsqueeze(-1).expand(-1, -1, values.shape[2]))
