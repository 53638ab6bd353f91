"""How the states of a series become one vector: temporal attention, and the poolings beside it."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mien.models.model_settings import AttentionName

__all__ = [
    "ATTENTIONS",
    "Attention",
    "AttentionName",
    "GatedAttention",
    "MaxPooling",
    "MeanPooling",
    "NoAttention",
    "ReleasedAttention",
    "SelfAttention",
    "SignedAttention",
    "SoftmaxAttention",
    "make_attention",
]


class Attention(nn.Module):
    """How the states of a series become one vector, and how much each step counted.

    Called with states ``(B, T, H)``, the encoder's own summary ``(B, H)`` and the mask ``(B, T)``;
    returns the vectors, of size ``output_size``, and the weights of the steps, which are zero at
    padding, or None if there are none. ``output_size`` is twice the size of a state, for the
    summary beside what is attended to, unless an attention says otherwise.

    Args:
        size: Size of a state, H.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.output_size = 2 * size


class NoAttention(Attention):
    """Take the encoder's own summary alone: the last real state, or the text encoder's vector.

    Source: yu2021, section 3.3 (the encoders of Self-MM).

    Args:
        size: Size of a state, H.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.output_size = size

    def forward(
        self,
        states: Float[Tensor, "B T H"],  # noqa: ARG002  # every attention takes the same three
        summary: Float[Tensor, "B H"],
        mask: Bool[Tensor, "B T"],  # noqa: ARG002
    ) -> tuple[Float[Tensor, "B H"], None]:
        """Return the summary; there are no weights."""
        return summary, None


class MeanPooling(Attention):
    """Take the mean of the real states beside the summary: every step counts alike.

        z = [summary; mean of the real h_t]

    Args:
        size: Size of a state, H.
    """

    def forward(
        self,
        states: Float[Tensor, "B T H"],
        summary: Float[Tensor, "B H"],
        mask: Bool[Tensor, "B T"],
    ) -> tuple[Float[Tensor, "B _"], Float[Tensor, "B T"]]:
        """Return ``[summary; mean]`` and equal weights, which are zero at padding."""
        weights = _equal_weights(mask, states)
        return torch.cat([summary, _weigh(weights, states)], dim=-1), weights


class MaxPooling(Attention):
    """Take the largest value of each dimension over the real steps, beside the summary.

        z_i = max over real steps of h_t,i,   beside the summary
        w_t = share of the dimensions whose largest value is at step t

    The weights are not trained. They say of which steps the vector is made; of equal values the
    first counts.

    Args:
        size: Size of a state, H.
    """

    def forward(
        self,
        states: Float[Tensor, "B T H"],
        summary: Float[Tensor, "B H"],
        mask: Bool[Tensor, "B T"],
    ) -> tuple[Float[Tensor, "B _"], Float[Tensor, "B T"]]:
        """Return ``[summary; maximum]`` and the weights, which are zero at padding."""
        lowest = torch.finfo(states.dtype).min
        largest, step = states.masked_fill(~mask.unsqueeze(-1), lowest).max(dim=1)  # (B, H)
        largest = largest.masked_fill(~mask.any(dim=1, keepdim=True), 0.0)
        share = torch.full_like(largest, 1 / largest.shape[1])
        weights = torch.zeros_like(states[..., 0]).scatter_add(1, step, share)
        return torch.cat([summary, largest], dim=-1), weights.masked_fill(~mask, 0.0)


class SelfAttention(Attention):
    """Let every real step look at every other one, once, and take the mean beside the summary.

        n_t  = h_t in standard units over its dimensions (layer normalisation)
        A_qt = softmax over real steps t of (Q n_q + c)·(K n_t) / sqrt(H)
        w_t  = mean over real steps q of A_qt
        z    = [summary; mean over real steps q of (h_q + sum over t of A_qt V n_t)]
             = [summary; mean of h_t + V (sum of w_t n_t)]

    One head, normalised before it, with a residual. The second form of z is the same number and
    spares the product of ``A`` with the states; ``A`` itself costs O(T^2) per clip. The weights are
    those of the attended part; the residual counts every step alike.

    Source: vaswani2017, eq. 1. Of one head, the output matrix is part of V, and a bias of K would
    cancel in the softmax.

    Args:
        size: Size of a state, H.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size, bias=False)
        self.value = nn.Linear(size, size, bias=False)

    def forward(
        self,
        states: Float[Tensor, "B T H"],
        summary: Float[Tensor, "B H"],
        mask: Bool[Tensor, "B T"],
    ) -> tuple[Float[Tensor, "B _"], Float[Tensor, "B T"]]:
        """Return ``[summary; mean]`` and the weights, which are zero at padding."""
        size = self.query.in_features
        normal = F.layer_norm(states, (size,))
        queries = self.query(normal) * size**-0.5
        logits = torch.einsum("bqh,bth->bqt", queries, self.key(normal))
        attention = _masked_softmax(logits, mask.unsqueeze(1))  # (B, T, T)
        equal = _equal_weights(mask, states)
        weights = torch.einsum("bq,bqt->bt", equal, attention)
        mixed = _weigh(equal, states) + self.value(_weigh(weights, normal))
        return torch.cat([summary, mixed], dim=-1), weights


class GatedAttention(Attention):
    """Weigh each time step by two learned gates, and sum the real steps beside the summary.

        w_t = tanh(a·h_t + a0) · tanhshrink(b·h_t + b0)
        z   = [summary; sum of w_t h_t over the real steps]

    The weights can be negative and do not sum to one: a step may speak against the others. At the
    start of training their product is of the order 1e-4; the summary beside the sum keeps the
    modality audible until the gates open. ``signed`` is bounded and starts open.

    Source: sun2024, temporal attention mechanism; the gates are those of the released program,
    which reads the last padded step instead of the sum.

    Args:
        size: Size of a state, H.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
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
        return torch.cat([summary, _weigh(weights, states)], dim=-1), weights


class SoftmaxAttention(Attention):
    """Weigh each time step by a softmax over the real steps, and sum beside the summary.

        w = softmax over real steps of u·tanh(W h_t + c)
        z = [summary; sum of w_t h_t]

    ``u`` starts small, so training starts from the mean of the states. A clip without a real step
    has weights of zero.

    Source: sun2024, temporal attention mechanism; bahdanau2015 for the softmax form.

    Args:
        size: Size of a state, H.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.project = nn.Linear(size, size)
        self.weigh = nn.Linear(size, 1, bias=False)
        nn.init.normal_(self.weigh.weight, std=0.1 * size**-0.5)

    def weights(
        self, states: Float[Tensor, "B T H"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B T"]:
        """Return the weight of every step, which is zero at padding."""
        logits = self.weigh(torch.tanh(self.project(states))).squeeze(-1)  # (B, T)
        return _masked_softmax(logits, mask)

    def forward(
        self,
        states: Float[Tensor, "B T H"],
        summary: Float[Tensor, "B H"],
        mask: Bool[Tensor, "B T"],
    ) -> tuple[Float[Tensor, "B _"], Float[Tensor, "B T"]]:
        """Return ``[summary; weighted mean]`` and the weights, which are zero at padding."""
        weights = self.weights(states, mask)
        return torch.cat([summary, _weigh(weights, states)], dim=-1), weights


class SignedAttention(Attention):
    """Weigh each time step by a direction and a strength, both bounded, and sum beside the summary.

        d_t = tanh(a·h_t + a0)
        s   = softmax over real steps of u·tanh(W h_t + c)
        w_t = d_t s_t
        z   = [summary; sum of w_t h_t]

    What stays of the published gate is its form: a signed direction, by which a step may speak
    against the others, times a strength. Its strength, tanhshrink, is dead near zero, where its
    slope is zero too, and grows without bound far from it. This one is neither: no weight is
    outside -1 to 1, nor is the sum of their sizes above 1, and as ``a0`` starts at 1 and ``u``
    small, training starts from about three quarters of the mean of the states.

    Source: ours, after sun2024's gate; see docs/decisions.md.

    Args:
        size: Size of a state, H.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.direction = nn.Linear(size, 1)
        nn.init.ones_(self.direction.bias)
        self.strength = SoftmaxAttention(size)

    def forward(
        self,
        states: Float[Tensor, "B T H"],
        summary: Float[Tensor, "B H"],
        mask: Bool[Tensor, "B T"],
    ) -> tuple[Float[Tensor, "B _"], Float[Tensor, "B T"]]:
        """Return ``[summary; weighted sum]`` and the weights, which are zero at padding."""
        directions = torch.tanh(self.direction(states)).squeeze(-1)  # (B, T)
        weights = directions * self.strength.weights(states, mask)
        return torch.cat([summary, _weigh(weights, states)], dim=-1), weights


class ReleasedAttention(Attention):
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

    def __init__(self, size: int, *, detach: bool = False) -> None:
        super().__init__(size)
        self.output_size = size
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


ATTENTIONS: dict[AttentionName, Callable[[int], Attention]] = {
    "softmax": SoftmaxAttention,
    "signed": SignedAttention,
    "gated": GatedAttention,
    "mean": MeanPooling,
    "max": MaxPooling,
    "self": SelfAttention,
    "none": NoAttention,
    "released": ReleasedAttention,
}


def make_attention(name: AttentionName, size: int, *, recurrent: bool) -> Attention:
    """Build the attention ``name``.

    Args:
        name: Of ``ATTENTIONS``.
        size: Size of a state, H.
        recurrent: Whether the states are those of the encoder of a series, not of text; the
            released form differs there.
    """
    if name == "released":
        return ReleasedAttention(size, detach=recurrent)
    return ATTENTIONS[name](size)


def _masked_softmax(
    logits: Float[Tensor, "*B T"], mask: Bool[Tensor, "*#B T"]
) -> Float[Tensor, "*B T"]:
    """Return a softmax over the real steps, zero at padding and where there is no real step."""
    lowest = torch.finfo(logits.dtype).min
    return logits.masked_fill(~mask, lowest).softmax(dim=-1).masked_fill(~mask, 0.0)


def _equal_weights(
    mask: Bool[Tensor, "B T"], states: Float[Tensor, "B T H"]
) -> Float[Tensor, "B T"]:
    """Return one over the number of real steps at each of them, in the type of the states."""
    return mask.to(states.dtype) / mask.sum(dim=1, keepdim=True).clamp(min=1)


def _weigh(weights: Float[Tensor, "B T"], states: Float[Tensor, "B T H"]) -> Float[Tensor, "B H"]:
    return torch.einsum("bt,bth->bh", weights, states)
