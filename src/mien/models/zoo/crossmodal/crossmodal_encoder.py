"""A transformer in which one series attends to another, or to itself."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mien.models.multitask import ModelInputs
from mien.models.zoo.crossmodal.crossmodal_settings import CrossmodalConfig
from mien.models.zoo.series_model import SeriesModel, lengths_of
from mien.models.zoo.step_alignment import lengthen
from mien.tensors import PaddedSeries, is_traced
from mien.types import Modality

__all__ = ["CrossmodalEncoder", "CrossmodalModel", "StepConvolution", "sinusoids"]


def sinusoids(mask: Bool[Tensor, "B T"], size: int) -> Float[Tensor, "B T _"]:
    """Return a vector for the place of every real step, counted from 1; zero elsewhere.

        place p: [sin(p w_0) ..., cos(p w_0) ...],   w_i = 10000^(-i / (size/2 - 1))

    If the size is odd, the last entry is 0.

    Source: vaswani2017, section 3.5; with the sines first, as in the programs of tsai2019.
    """
    half = size // 2
    rates = 10000.0 ** -(torch.arange(half, device=mask.device) / max(half - 1, 1))
    places = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    angles = places.unsqueeze(1) * rates  # (T, half)
    vectors = F.pad(torch.cat([angles.sin(), angles.cos()], dim=1), (0, size % 2))
    return vectors * mask.unsqueeze(-1)


class StepConvolution(nn.Module):
    """Bring the steps of a series to one size, each from those around it; no bias.

    Beyond the ends of a series there are zeros, so that it keeps its steps, however short.
    Published programs do not pad: a series loses its ends, and one of the size already is left as
    it is.

    Args:
        size: Size of a step, D.
        output_size: Size of a state, H.
        width: Steps that a state is made of.
        published: Whether to do what published programs do.
    """

    def __init__(self, size: int, output_size: int, width: int, *, published: bool) -> None:
        super().__init__()
        self.published = published
        self.conv = nn.Conv1d(size, output_size, width, bias=False)

    def forward(self, series: PaddedSeries) -> PaddedSeries:
        """Return the states."""
        values, mask = series
        width = self.conv.kernel_size[0]
        if self.published:
            values = lengthen(values, width)
        else:
            values = F.pad(values, (0, 0, (width - 1) // 2, width // 2))
        states = self.conv(values.transpose(1, 2)).transpose(1, 2)
        if self.published:
            return PaddedSeries(states, torch.ones_like(states[..., 0], dtype=torch.bool))
        return PaddedSeries(states * mask.unsqueeze(-1), mask)


class _Layer(nn.Module):
    """Attention and two layers for every step, each with a residual and normalised before."""

    def __init__(self, config: CrossmodalConfig, size: int, attention_dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(
            size, config.num_heads, dropout=attention_dropout, batch_first=True
        )
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(2))
        self.enter = nn.Linear(size, 4 * size)
        self.leave = nn.Linear(4 * size, size)
        self.inner_dropout = nn.Dropout(config.feed_forward_dropout)
        self.dropout = nn.Dropout(config.residual_dropout)
        for linear in (self.attention.out_proj, self.enter, self.leave):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(
        self,
        states: Float[Tensor, "B T H"],
        others: Float[Tensor, "B U H"] | None,
        forbidden: Bool[Tensor, "_ T _"],
    ) -> Float[Tensor, "B T H"]:
        normal = self.norms[0](states)
        seen = normal if others is None else self.norms[0](others)
        values = seen.clone() if is_traced() else seen  # else its length would be the example's
        added, _ = self.attention(normal, seen, values, attn_mask=forbidden, need_weights=False)
        states = states + self.dropout(added)
        inner = self.inner_dropout(F.relu(self.enter(self.norms[1](states))))
        result: Tensor = states + self.dropout(self.leave(inner))
        return result


class CrossmodalEncoder(nn.Module):
    """Let the steps of one series attend to those of another, in layers; or to its own.

    The other series is the same in every layer. No step attends to padding. Unless ``looks_ahead``,
    step i of n attends to steps up to i + |m - n| of the other's m.

    Source: tsai2019, crossmodal transformer.

    Args:
        config: Sizes and dropouts.
        size: Size of a state.
        num_layers: Layers.
        attention_dropout: Share of the weights that is dropped.
        has_places: Whether steps know their place in the series.
    """

    def __init__(
        self,
        config: CrossmodalConfig,
        size: int,
        num_layers: int,
        attention_dropout: float,
        *,
        has_places: bool,
    ) -> None:
        super().__init__()
        self.size, self.num_heads = size, config.num_heads
        self.looks_ahead, self.has_places = config.looks_ahead, has_places
        self.skips_zeros = config.published
        self.dropout = nn.Dropout(config.embedding_dropout)
        self.layers = nn.ModuleList(
            _Layer(config, size, attention_dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(size)

    def forward(self, series: PaddedSeries, other: PaddedSeries | None = None) -> PaddedSeries:
        """Return the states of the first series."""
        states = self._embed(series)
        others = None if other is None else self._embed(other)
        forbidden = self._forbid(series, other or series)
        for layer in self.layers:
            states = layer(states, others, forbidden)
        return PaddedSeries(self.norm(states), series.mask)

    def _embed(self, series: PaddedSeries) -> Float[Tensor, "B T H"]:
        states = series.values * self.size**0.5
        if self.has_places:
            is_real = series.mask
            if self.skips_zeros:  # that program takes a step for padding if its first value is 0
                is_real = is_real & (series.values[..., 0] != 0)
            states = states + sinusoids(is_real, self.size)
        embedded: Tensor = self.dropout(states)
        return embedded

    def _forbid(self, series: PaddedSeries, other: PaddedSeries) -> Bool[Tensor, "_ T _"]:
        """Return where a step must not look, for every head of every clip."""
        num_clips, num_steps = series.mask.shape
        forbidden = ~other.mask.unsqueeze(1).expand(-1, num_steps, -1)
        if not self.looks_ahead:
            ahead = (lengths_of(other) - lengths_of(series)).abs()
            steps = torch.arange(num_steps, device=ahead.device)
            places = torch.arange(other.mask.shape[1], device=ahead.device)
            last = steps + ahead.unsqueeze(1)  # (B, T)
            forbidden = forbidden | (places > last.unsqueeze(-1))
        return (
            forbidden.unsqueeze(1)
            .expand(-1, self.num_heads, -1, -1)
            .reshape(num_clips * self.num_heads, num_steps, -1)
        )


class CrossmodalModel(SeriesModel):
    """What the models with crossmodal transformers share: how these are built.

    Args:
        config: Settings.
        inputs: What the model reads.
    """

    def __init__(self, config: CrossmodalConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs)
        self.published = config.published

    def make_encoder(
        self,
        config: CrossmodalConfig,
        source: Modality,
        num_layers: int,
        *,
        num_joined: int = 1,
        has_places: bool | None = None,
    ) -> CrossmodalEncoder:
        """Build a transformer over states, of which several may be joined, that attends to one.

        Published programs leave places out unless said otherwise.
        """
        return CrossmodalEncoder(
            config,
            config.model_size * num_joined,
            num_layers,
            getattr(config.attention_dropout, source),
            has_places=not config.published if has_places is None else has_places,
        )
