"""Parts of models: encoders, temporal attention, fusion, heads; plain sizes in, tensors out."""

from collections.abc import Mapping
from itertools import permutations
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mien.types import Modality, Sequence

__all__ = [
    "ATTENTIONS",
    "FUSIONS",
    "AbsentState",
    "AttentionName",
    "ConcatFusion",
    "DimensionFusion",
    "FusionName",
    "GatedAttention",
    "Head",
    "NoAttention",
    "RankOneFusion",
    "ReleasedAttention",
    "SeriesEncoder",
    "SoftmaxAttention",
    "Standardise",
    "Summarise",
    "last_step",
]

AttentionName = Literal["gated", "softmax", "none", "released"]
FusionName = Literal["dimension", "rank_one", "concat"]


def last_step(states: Float[Tensor, "B T H"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B H"]:
    """Return the state of each clip's last real step; zero for a clip without one.

    >>> last_step(torch.tensor([[[1.0], [2.0], [0.0]]]), torch.tensor([[True, True, False]]))
    tensor([[2.]])
    """
    steps = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    last = (mask * steps).argmax(dim=1)  # (B,)
    picked = states.gather(1, last[:, None, None].expand(-1, 1, states.shape[2])).squeeze(1)
    return picked * mask.any(dim=1, keepdim=True)


class Standardise(nn.Module):
    """Bring every feature to mean 0 and standard deviation 1 over the real steps of train.

    Mean and scale are buffers: they travel with the checkpoint, so that a clip seen later is
    treated as the clips of the training were. A feature that is constant in train becomes 0.

    Args:
        size: Number of features, D.
    """

    mean: Float[Tensor, "D"]
    scale: Float[Tensor, "D"]

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    @torch.no_grad()
    def fit(self, mean: Float[Tensor, "D"], deviation: Float[Tensor, "D"]) -> None:
        """Take over the mean and standard deviation of each feature in train."""
        self.mean.copy_(mean)
        is_constant = deviation <= 1e-6 * mean.abs().clamp(min=1e-6)
        self.scale.copy_(torch.where(is_constant, torch.zeros_like(deviation), 1 / deviation))

    def forward(self, sequence: Sequence) -> Sequence:
        """Return the sequence in standard units, still zero at padding."""
        values = (sequence.values - self.mean) * self.scale
        return Sequence(values * sequence.mask.unsqueeze(-1), sequence.mask)


class Attention(Protocol):
    """How the states of a series become one vector, and how much each step counted.

    ``growth`` is the size of the vector over the size of a state.
    """

    growth: int

    def __call__(
        self,
        states: Float[Tensor, "B T H"],
        summary: Float[Tensor, "B H"],
        mask: Bool[Tensor, "B T"],
    ) -> tuple[Float[Tensor, "B _"], Float[Tensor, "B T"] | None]:
        """Return the vector and the weights, which are zero at padding."""
        ...


class NoAttention(nn.Module):
    """Take the encoder's own summary alone: the last real state, or the text encoder's vector.

    Source: yu2021, section 3.3 (the encoders of Self-MM).

    Args:
        size: Size of a state, H; not used.
    """

    growth = 1

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(
        self,
        states: Float[Tensor, "B T H"],  # noqa: ARG002  # every attention takes the same three
        summary: Float[Tensor, "B H"],
        mask: Bool[Tensor, "B T"],  # noqa: ARG002
    ) -> tuple[Float[Tensor, "B H"], None]:
        """Return the summary; there are no weights."""
        return summary, None


class GatedAttention(nn.Module):
    """Weigh each time step by two learned gates, and sum the real steps beside the summary.

        w_t = tanh(a·h_t + a0) · tanhshrink(b·h_t + b0)
        z   = [summary; sum of w_t h_t over the real steps]

    The weights can be negative and do not sum to one: a step may speak against the others. At the
    start of training their product is of the order 1e-4; the summary beside the sum keeps the
    modality audible until the gates open.

    Source: sun2024, temporal attention mechanism; the gates are those of the released program,
    which reads the last padded step instead of the sum.

    Args:
        size: Size of a state, H.
    """

    growth = 2

    def __init__(self, size: int) -> None:
        super().__init__()
        self.direction = nn.Linear(size, 1)
        self.strength = nn.Linear(size, 1)

    def gates(self, states: Float[Tensor, "*B H"]) -> Float[Tensor, "*B"]:
        """Return the signed weight of every state."""
        gates = torch.tanh(self.direction(states)) * F.tanhshrink(self.strength(states))
        return gates.squeeze(-1)

    def forward(
        self,
        states: Float[Tensor, "B T H"],
        summary: Float[Tensor, "B H"],
        mask: Bool[Tensor, "B T"],
    ) -> tuple[Float[Tensor, "B _"], Float[Tensor, "B T"]]:
        """Return ``[summary; weighted sum]`` and the weights, which are zero at padding."""
        weights = self.gates(states).masked_fill(~mask, 0.0)
        attended = torch.einsum("bt,bth->bh", weights, states)
        return torch.cat([summary, attended], dim=-1), weights


class SoftmaxAttention(nn.Module):
    """Weigh each time step by a softmax over the real steps, and sum beside the summary.

        w = softmax over real steps of u·tanh(W h_t + c)
        z = [summary; sum of w_t h_t]

    ``u`` starts small, so training starts from the mean of the states. A clip without a real step
    has weights of zero.

    Source: sun2024, temporal attention mechanism; bahdanau2015 for the softmax form.

    Args:
        size: Size of a state, H.
    """

    growth = 2

    def __init__(self, size: int) -> None:
        super().__init__()
        self.project = nn.Linear(size, size)
        self.weigh = nn.Linear(size, 1, bias=False)
        nn.init.normal_(self.weigh.weight, std=0.1 * size**-0.5)

    def forward(
        self,
        states: Float[Tensor, "B T H"],
        summary: Float[Tensor, "B H"],
        mask: Bool[Tensor, "B T"],
    ) -> tuple[Float[Tensor, "B _"], Float[Tensor, "B T"]]:
        """Return ``[summary; weighted mean]`` and the weights, which are zero at padding."""
        logits = self.weigh(torch.tanh(self.project(states))).squeeze(-1)  # (B, T)
        lowest = torch.finfo(logits.dtype).min
        weights = logits.masked_fill(~mask, lowest).softmax(dim=-1).masked_fill(~mask, 0.0)
        attended = torch.einsum("bt,bth->bh", weights, states)
        return torch.cat([summary, attended], dim=-1), weights


class ReleasedAttention(nn.Module):
    """Do what the released program of sun2024 does, defects and all, so that it can be measured.

    Audio and video: the recurrent states are cut from the graph, so the encoder never trains, and
    the gated state is read at the last step of the *padded* batch, which is zero for every clip but
    the longest. Text: the encoder's summary times its gates.

    Source: the released program of sun2024. docs/coming-from-the-released-program.md lists this.

    Args:
        size: Size of a state, H.
        detach: Whether the states are cut from the graph and read at the last padded step
            (audio, video), or the summary is gated (text).
    """

    growth = 1

    def __init__(self, size: int, *, detach: bool = False) -> None:
        super().__init__()
        self.detach = detach
        self.gated = GatedAttention(size)

    def forward(
        self,
        states: Float[Tensor, "B T H"],
        summary: Float[Tensor, "B H"],
        mask: Bool[Tensor, "B T"],
    ) -> tuple[Float[Tensor, "B H"], Float[Tensor, "B T"]]:
        """Return the gated vector and the gates of all steps, which are zero at padding."""
        if self.detach:
            states = (states * mask.unsqueeze(-1)).detach()
            summary = states[:, -1]
        weights = self.gated.gates(states).masked_fill(~mask, 0.0)
        return summary * self.gated.gates(summary).unsqueeze(-1), weights


ATTENTIONS: dict[AttentionName, type[nn.Module]] = {
    "gated": GatedAttention,
    "softmax": SoftmaxAttention,
    "none": NoAttention,
    "released": ReleasedAttention,
}


def _growth(name: AttentionName) -> int:
    growth: int = ATTENTIONS[name].growth  # type: ignore[attr-defined]  # all of the table have it
    return growth


def make_attention(name: AttentionName, size: int, *, recurrent: bool) -> nn.Module:
    """Build the attention ``name``; the released form differs after a recurrent encoder."""
    if name == "released":
        return ReleasedAttention(size, detach=recurrent)
    return ATTENTIONS[name](size)


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


class SeriesEncoder(nn.Module):
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
    ) -> None:
        super().__init__()
        self.standardise = Standardise(size)
        between = dropout if num_layers > 1 else 0.0
        self.rnn = nn.LSTM(size, state_size, num_layers, batch_first=True, dropout=between)
        self.attention = make_attention(attention, state_size, recurrent=True)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(_growth(attention) * state_size, output_size)
        self.output_size = output_size

    def forward(
        self, sequence: Sequence
    ) -> tuple[Float[Tensor, "B _"], Float[Tensor, "B T"] | None]:
        """Return one vector per clip, and the weight of each step if the attention has weights."""
        values, mask = self.standardise(sequence)
        states, _ = self.rnn(values)  # (B, T, H)
        vectors, weights = self.attention(states, last_step(states, mask), mask)
        return self.linear(self.dropout(vectors)), weights


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
        self.output_size = _growth(attention) * size

    def forward(
        self, states: Float[Tensor, "B T H"], mask: Bool[Tensor, "B T"]
    ) -> tuple[Float[Tensor, "B _"], Float[Tensor, "B T"] | None]:
        """Return one vector per clip, and the weight of each step if the attention has weights."""
        if self.summary == "cls":
            summary = states[:, 0]
        else:
            count = mask.sum(dim=1, keepdim=True).clamp(min=1)
            summary = torch.einsum("bt,bth->bh", mask.to(states.dtype) / count, states)
        vectors, weights = self.attention(states, summary, mask)
        return vectors, weights


class ConcatFusion(nn.Module):
    """Join the vectors of the modalities: [t; a; v].

    Source: yu2021, eq. 3.

    Args:
        sizes: Size of each modality's vector.
        size: Size of the shared space; not used.
    """

    def __init__(self, sizes: Mapping[Modality, int], size: int) -> None:  # noqa: ARG002
        super().__init__()
        self.output_size = sum(sizes.values())

    def forward(self, vectors: Mapping[Modality, Float[Tensor, "B _"]]) -> Float[Tensor, "B _"]:
        """Return the joined vectors."""
        return torch.cat(list(vectors.values()), dim=-1)


class RankOneFusion(nn.Module):
    """Join the vectors, and each vector times the sum of the entries of each other one.

        [t; a; v; S(a)t; S(t)a; S(v)t; S(t)v; S(v)a; S(a)v],   S(x) = sum of the entries of x

    The released program of sun2024 forms d x d products; they reduce to exactly this.

    Source: the released program of sun2024, with its fusion on.

    Args:
        sizes: Size of each modality's vector.
        size: Size of the shared space; not used.
    """

    def __init__(self, sizes: Mapping[Modality, int], size: int) -> None:  # noqa: ARG002
        super().__init__()
        self.output_size = sum(sizes.values()) * len(sizes)

    def forward(self, vectors: Mapping[Modality, Float[Tensor, "B _"]]) -> Float[Tensor, "B _"]:
        """Return the joined vectors and products."""
        sums = {m: x.sum(dim=-1, keepdim=True) for m, x in vectors.items()}
        products = [sums[n] * vectors[m] for m, n in _pairs_both_ways(list(vectors))]
        return torch.cat([*vectors.values(), *products], dim=-1)


def _pairs_both_ways(modalities: list[Modality]) -> list[tuple[Modality, Modality]]:
    """Return (t,a), (a,t), (t,v), (v,t), (a,v), (v,a): the order of the released program."""
    order = {m: i for i, m in enumerate(modalities)}
    return sorted(permutations(modalities, 2), key=lambda pair: sorted(order[m] for m in pair))


class DimensionFusion(nn.Module):
    """Let the modalities weigh against each other, and interact, in every semantic dimension.

        p_m = tanh(P_m x_m)                          each modality, in one semantic space of size H
        g   = softmax over m of G_m [x_t; x_a; x_v]  one weight per modality and dimension
        f   = [sum over m of g_m * p_m; p_t * p_a; p_t * p_v; p_a * p_v; p_t; p_a; p_v]

    ``*`` is element by element: dimension i of one modality meets dimension i of another and no
    other. The weight of a modality is decided with all modalities in sight, so that a modality
    can be discounted where the others contradict it.

    Source: sun2024, fine-grained fusion per semantic dimension, from its abstract; the form of the
    weights and of the products is ours, see docs/decisions.md.

    Args:
        sizes: Size of each modality's vector.
        size: Size of the shared space, H.
    """

    def __init__(self, sizes: Mapping[Modality, int], size: int) -> None:
        super().__init__()
        total = sum(sizes.values())
        self.project = nn.ModuleDict({m: nn.Linear(n, size) for m, n in sizes.items()})
        self.weigh = (
            nn.ModuleDict({m: nn.Linear(total, size) for m in sizes})
            if len(sizes) > 1
            else nn.ModuleDict()
        )
        num_pairs = len(sizes) * (len(sizes) - 1) // 2
        self.output_size = size * (1 + num_pairs + len(sizes)) if len(sizes) > 1 else size

    def forward(self, vectors: Mapping[Modality, Float[Tensor, "B _"]]) -> Float[Tensor, "B _"]:
        """Return the weighted sum, the products of pairs and the projections, joined."""
        projected = {m: torch.tanh(self.project[m](x)) for m, x in vectors.items()}
        if len(projected) == 1:
            return next(iter(projected.values()))
        joined = torch.cat(list(vectors.values()), dim=-1)
        weights = torch.stack([self.weigh[m](joined) for m in vectors]).softmax(dim=0)  # (M, B, H)
        parts = list(projected.values())
        fused = torch.einsum("mbh,mbh->bh", weights, torch.stack(parts))
        products = [
            parts[i] * parts[j] for i in range(len(parts)) for j in range(i + 1, len(parts))
        ]
        return torch.cat([fused, *products, *parts], dim=-1)


FUSIONS: dict[FusionName, type[ConcatFusion] | type[RankOneFusion] | type[DimensionFusion]] = {
    "dimension": DimensionFusion,
    "rank_one": RankOneFusion,
    "concat": ConcatFusion,
}


class Head(nn.Module):
    """Read a state and a score from a vector.

        state = ReLU(W1 dropout(x)),   score = w3·ReLU(W2 state) + b3

    Source: yu2021, eqs. 4 to 7.

    Args:
        size: Size of the vector.
        state_size: Size of the state, H.
        dropout: Share of the vector that is dropped.
    """

    def __init__(self, size: int, state_size: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.enter = nn.Linear(size, state_size)
        self.middle = nn.Linear(state_size, state_size)
        self.leave = nn.Linear(state_size, 1)

    def forward(
        self, vectors: Float[Tensor, "B _"]
    ) -> tuple[Float[Tensor, "B H"], Float[Tensor, "B"]]:
        """Return the states and the scores."""
        states = F.relu(self.enter(self.dropout(vectors)))
        scores = self.leave(F.relu(self.middle(states))).squeeze(-1)
        return states, scores
