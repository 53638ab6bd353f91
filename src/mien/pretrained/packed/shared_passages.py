"""Clips that are read together: each passage of a batch through the encoder once."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mien.tensors import PaddedSeries, is_traced

__all__ = ["Passages", "are_passages", "drop_context", "share_passages"]

_WIDTH = 3  # values of a step: a token, its place in the passage, and if it is context


class Passages(NamedTuple):
    """The different passages of a batch of clips.

    Attributes:
        series: Their tokens, ``(P, L, 1)``.
        of_clip: Which passage each clip is in, ``(B,)``.
        places: Place in its passage of each of a clip's own steps, ``(B, O)``.
        num_steps: Steps of the clips with those of their passages, T.
    """

    series: PaddedSeries
    of_clip: Int[Tensor, "B"]
    places: Int[Tensor, "B O"]
    num_steps: int

    def pick(self, states: Float[Tensor, "P L d"]) -> Float[Tensor, "B T d"]:
        """Return the states of every clip's own steps, zero behind them, of all of the passages."""
        own = states[self.of_clip.unsqueeze(1), self.places]
        return F.pad(own, (0, 0, 0, self.num_steps - own.shape[1]))


def are_passages(series: PaddedSeries) -> bool:
    """Return whether the token ids of clips are those of the passages in which they are read.

    Never while a graph is traced: what is exported reads each text by itself.
    """
    return not is_traced() and series.values.shape[2] == _WIDTH


def share_passages(series: PaddedSeries) -> Passages:
    """Find the passages of a batch; those of several clips are one and the same.

    Args:
        series: Token ids of clips with those of their passages, ``(B, T, 3)``.
    """
    ids, places, is_context = series.values.long().unbind(dim=2)
    is_token = series.mask | (is_context > 0)
    # a token's id counts from 1 here, so that no token is 0; where steps are lost, there are gaps
    laid = ids.new_zeros(len(ids), int(places.max()) + 1)
    laid = laid.scatter_add(1, places, (ids + 1) * is_token)
    different, of_clip = torch.unique(laid, dim=0, return_inverse=True)
    mask = different > 0
    passages = PaddedSeries((different - 1).clamp(min=0).unsqueeze(2), mask)
    own = (places * series.mask)[:, : _count_own(series.mask)]
    return Passages(passages, of_clip, own, places.shape[1])


def drop_context(series: PaddedSeries, states: Float[Tensor, "B T d"]) -> PaddedSeries:
    """Return the states of clips up to the last step that is a clip's own.

    Args:
        series: What the encoder has read.
        states: What it has made of that.
    """
    if not are_passages(series):
        return PaddedSeries(states, series.mask)
    most = _count_own(series.mask)
    return PaddedSeries(states[:, :most], series.mask[:, :most])


def _count_own(mask: Bool[Tensor, "B T"]) -> int:
    """Return the most own steps of a clip, and at least one; they come first."""
    return max(1, int(mask.sum(dim=1).max()))
