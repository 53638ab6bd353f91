"""Parts of models: standard units, encoders of series and text, heads."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mien.models.attention import Attention, AttentionName, NoAttention, make_attention
from mien.models.model_settings import EncoderName
from mien.models.standardise import Standardise
from mien.tensors import PaddedSeries
from mien.types import Target, TargetKind, Task

__all__ = [
    "AbsentState",
    "EncodedSteps",
    "EncoderName",
    "FeatureEncoder",
    "Head",
    "SeriesEncoder",
    "Standardise",
    "StepEncoder",
    "Summarise",
    "TargetHeads",
    "last_step",
    "mean_step",
    "summarise_steps",
]


#: Standard units beyond which a value means no more; rare features have long tails.
_FARTHEST = 5.0


def last_step(states: Float[Tensor, "B T H"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B H"]:
    """Return the state of each clip's last real step; zero for a clip without one.

    >>> last_step(torch.tensor([[[1.0], [2.0], [0.0]]]), torch.tensor([[True, True, False]]))
    tensor([[2.]])
    """
    steps = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    last = (mask * steps).argmax(dim=1)  # (B,)
    picked = states.gather(1, last[:, None, None].expand(-1, 1, states.shape[2])).squeeze(1)
    return picked * mask.any(dim=1, keepdim=True)


def mean_step(states: Float[Tensor, "B T H"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B H"]:
    """Return the mean of each clip's real states; zero for a clip without one.

    >>> mean_step(torch.tensor([[[1.0], [2.0], [9.0]]]), torch.tensor([[True, True, False]]))
    tensor([[1.5000]])
    """
    count = mask.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.einsum("bt,bth->bh", mask.to(states.dtype) / count, states)


def summarise_steps(
    states: Float[Tensor, "B T H"], mask: Bool[Tensor, "B T"], summary: Literal["cls", "mean"]
) -> Float[Tensor, "B H"]:
    """Return a text encoder's own summary of each clip: its first state, or the mean of all."""
    return states[:, 0] if summary == "cls" else mean_step(states, mask)


class EncodedSteps(NamedTuple):
    """The states of a series, of which an attention makes one vector per clip.

    Attributes:
        states: State of every step.
        summary: The encoder's own summary of each clip.
        mask: True at real steps.
        num_clips: If all clips have the same series, of which there is then only the first: B.
    """

    states: Float[Tensor, "B T H"]
    summary: Float[Tensor, "B H"]
    mask: Bool[Tensor, "B T"]
    num_clips: int | None = None


class AbsentState(nn.Module):
    """Stand in, with a learned vector, for the vector of a clip that does not have the modality.

    Args:
        size: Size of the vector, H.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.zeros(size))

    def forward(
        self, vectors: Float[Tensor, "B H"], is_present: Bool[Tensor, "B"]
    ) -> Float[Tensor, "B H"]:
        """Return ``vectors``, with the learned one in the rows where ``is_present`` is False."""
        return torch.where(is_present.unsqueeze(-1), vectors, self.vector)


class FeatureEncoder(nn.Module):
    """What the encoders of features share: an attention makes one vector of the encoded steps.

    An encoder adds ``encode``.
    """

    standardise: Standardise
    attention: Attention
    dropout: nn.Dropout
    linear: nn.Linear

    def encode(self, series: PaddedSeries) -> EncodedSteps:
        """Return the state of every step, and a summary of them."""
        raise NotImplementedError

    def attend(
        self, steps: EncodedSteps
    ) -> tuple[Float[Tensor, "B _"], Float[Tensor, "B T"] | None]:
        """Return one vector per clip, and the weight of each step if the attention has weights."""
        vectors, weights = self.attention(steps.states, steps.summary, steps.mask)
        return self.linear(self.dropout(vectors)), weights

    def forward(
        self, series: PaddedSeries
    ) -> tuple[Float[Tensor, "B _"], Float[Tensor, "B T"] | None]:
        """Return one vector per clip, and the weight of each step if the attention has weights."""
        return self.attend(self.encode(series))


class SeriesEncoder(FeatureEncoder):
    """Turn a series of features into one vector: standardise, LSTM, temporal attention, linear.

    The LSTM runs over the padded batch and its states are masked: being causal, a real step never
    sees the padding behind it, and on a CPU the padded kernel is many times faster than the packed
    one (``benchmarks/recurrent.py``).

    Source: yu2021, eq. 2 (LSTM, last state, linear); sun2024 for the attention between.

    Args:
        size: Size of an input feature, D.
        state_size: Size of the LSTM's state, H.
        output_size: Size of the vector.
        num_layers: LSTM layers.
        dropout: Share dropped between LSTM layers and before the linear layer.
        attention: How the states become one vector.
        has_log_odds: Whether the features are shares, which are read as their log odds.
    """

    def __init__(
        self,
        size: int,
        *,
        state_size: int,
        output_size: int,
        num_layers: int,
        dropout: float,
        attention: AttentionName,
        has_log_odds: bool = False,
    ) -> None:
        super().__init__()
        self.standardise = Standardise(size, has_log_odds=has_log_odds)
        between = dropout if num_layers > 1 else 0.0
        self.rnn = nn.LSTM(size, state_size, num_layers, batch_first=True, dropout=between)
        self.attention = make_attention(attention, state_size, recurrent=True)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(self.attention.output_size, output_size)
        self.output_size = output_size

    def encode(self, series: PaddedSeries) -> EncodedSteps:
        """Return the state of every step, and the last real one as their summary."""
        values, mask = self.standardise(series)
        states, _ = self.rnn(values)  # (B, T, H)
        return EncodedSteps(states, last_step(states, mask), mask)


class StepEncoder(FeatureEncoder):
    """Turn a series of features into one vector, step by step: no step sees another.

        h_t = tanh(W dropout(x_t) + b),   x_t in standard units, cut at 5 of them
        z   = attention over the h_t, beside their mean

    A recurrent state learns how the series of its corpus begin, go on and end. Where training has
    other series than use will have, such as stills made into series, or clips of one length, steps
    that know nothing of each other carry over better, and the order and number of steps change
    nothing but the weights.

    Source: ours; see docs/decisions.md.

    Args:
        size: Size of an input feature, D.
        state_size: Size of a state, H.
        output_size: Size of the vector.
        dropout: Share dropped of the features and before the linear layer.
        attention: How the states become one vector.
        has_log_odds: Whether the features are shares, which are read as their log odds.
    """

    def __init__(
        self,
        size: int,
        *,
        state_size: int,
        output_size: int,
        dropout: float,
        attention: AttentionName,
        has_log_odds: bool = False,
    ) -> None:
        super().__init__()
        self.standardise = Standardise(size, has_log_odds=has_log_odds)
        self.step = nn.Linear(size, state_size)
        self.attention = make_attention(attention, state_size, recurrent=True)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(self.attention.output_size, output_size)
        self.output_size = output_size

    def encode(self, series: PaddedSeries) -> EncodedSteps:
        """Return the state of every step, and their mean as their summary."""
        values, mask = self.standardise(series)
        values = values.clamp(-_FARTHEST, _FARTHEST)
        states = torch.tanh(self.step(self.dropout(values)))  # (B, T, H)
        return EncodedSteps(states, mean_step(states, mask), mask)


class Summarise(nn.Module):
    """Turn the states of a text encoder into one vector: its summary and temporal attention.

    Args:
        size: Size of a state, d.
        attention: How the states become one vector.
        summary: What the encoder's own summary is: the first state (``cls``) or the mean of the
            real ones (``mean``).
    """

    def __init__(
        self, size: int, *, attention: AttentionName, summary: Literal["cls", "mean"]
    ) -> None:
        super().__init__()
        self.attention = make_attention(attention, size, recurrent=False)
        self.summary = summary
        self.reads_first_alone = summary == "cls" and isinstance(self.attention, NoAttention)
        self.output_size = self.attention.output_size

    def encode(self, states: Float[Tensor, "B T H"], mask: Bool[Tensor, "B T"]) -> EncodedSteps:
        """Return the states beside the encoder's own summary of them."""
        return EncodedSteps(states, summarise_steps(states, mask, self.summary), mask)

    def attend(
        self, steps: EncodedSteps
    ) -> tuple[Float[Tensor, "B _"], Float[Tensor, "B T"] | None]:
        """Return one vector per clip, and the weight of each step if the attention has weights."""
        vectors, weights = self.attention(steps.states, steps.summary, steps.mask)
        return vectors, weights

    def forward(
        self, states: Float[Tensor, "B T H"], mask: Bool[Tensor, "B T"]
    ) -> tuple[Float[Tensor, "B _"], Float[Tensor, "B T"] | None]:
        """Return one vector per clip, and the weight of each step if the attention has weights."""
        return self.attend(self.encode(states, mask))


class Head(nn.Module):
    """Read a state and a score from a vector.

        state = ReLU(W1 dropout(x)),   score = w3·ReLU(W2 state) + b3

    Source: yu2021, eqs. 4 to 7.

    Args:
        size: Size of the vector.
        state_size: Size of the state, H.
        dropout: Share of the vector that is dropped.
        has_score: Whether there is a score to be read; without sentiment there is none.
    """

    def __init__(
        self, size: int, state_size: int, dropout: float, *, has_score: bool = True
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.enter = nn.Linear(size, state_size)
        self.has_score = has_score
        if has_score:
            self.middle = nn.Linear(state_size, state_size)
            self.leave = nn.Linear(state_size, 1)

    def forward(
        self, vectors: Float[Tensor, "B _"]
    ) -> tuple[Float[Tensor, "B H"], Float[Tensor, "B"]]:
        """Return the states and the scores; without a score, NaN in its place."""
        states = F.relu(self.enter(self.dropout(vectors)))
        if not self.has_score:
            return states, states.new_full((len(states),), torch.nan)
        scores = self.leave(F.relu(self.middle(states))).squeeze(-1)
        return states, scores


class TargetHeads(nn.Module):
    """Read the values of further targets from the states of the tasks, with a layer for each.

        raw = W state + b
        value = raw                            logits of classes and labels
                middle + raw (high - low) / 2  a score on a scale
                low + raw (high - low)         intensities, most of which are the low end

    Whatever the scale is, raw values are of the size for which layers are initialised.

    Args:
        targets: What is read.
        state_sizes: Size of each task's state.
    """

    def __init__(self, targets: Sequence[Target], state_sizes: Mapping[Task, int]) -> None:
        super().__init__()
        self.targets, self.tasks = tuple(targets), tuple(state_sizes)
        self.layers = nn.ModuleDict(
            {
                _name_layer(target, task): nn.Linear(size, target.size)
                for target in targets
                for task, size in state_sizes.items()
            }
        )

    def layer(self, target: Target, task: Task) -> nn.Linear:
        """Return the layer that reads the values of a target for a task."""
        layer: nn.Linear = self.layers[_name_layer(target, task)]  # type: ignore[assignment]
        return layer

    def names_of(self, target: Target) -> list[str]:
        """Return the names of the parameters that read a target, each with a row for a class."""
        layers = [f"layers.{_name_layer(target, task)}" for task in self.tasks]
        return [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]

    def forward(
        self, states: Mapping[Task, Float[Tensor, "B _"]]
    ) -> dict[str, dict[Task, Float[Tensor, "B _"]]]:
        """Return the values of every target and task."""
        return {
            target.name: {
                task: _on_scale(target, self.layer(target, task)(states[task]))
                for task in self.tasks
            }
            for target in self.targets
        }

    @torch.no_grad()
    def start_at(self, target: Target, values: Float[Tensor, "K"]) -> None:
        """Let every task begin at the same values, whatever its state: logits, or on the scale."""
        low, high = target.bounds
        if target.kind is TargetKind.SCORE:
            values = (values - (low + high) / 2) / ((high - low) / 2)
        elif target.kind is TargetKind.INTENSITIES:
            values = (values - low) / (high - low)
        for task in self.tasks:
            self.layer(target, task).bias.copy_(values)


def _name_layer(target: Target, task: Task) -> str:
    """Return a name that a module may have: with no dot in it."""
    return f"{task}/{target.name}".replace("%", "%25").replace(".", "%2E")


def _on_scale(target: Target, raw: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
    low, high = target.bounds
    if target.kind is TargetKind.SCORE:
        return (low + high) / 2 + raw * (high - low) / 2
    return low + raw * (high - low) if target.kind is TargetKind.INTENSITIES else raw
