"""ALMT: the text takes from audio and video what suits it, in a hyper-modality."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mien.models.multitask import ModelInputs
from mien.models.zoo.crossmodal.crossmodal_settings import AlmtConfig, AttendingConfig
from mien.models.zoo.series_model import SeriesModel
from mien.tensors import Batch, Output, PaddedSeries
from mien.types import Modality, Task

__all__ = ["Almt", "AlmtConfig", "AttendingLayers", "GuidedLayer", "TokenEmbedding"]


def _split(states: Float[Tensor, "B T _"], num_heads: int) -> Float[Tensor, "B heads T _"]:
    return states.unflatten(-1, (num_heads, -1)).transpose(1, 2)  # type: ignore[no-untyped-call, no-any-return]


def _join(states: Float[Tensor, "B heads T _"]) -> Float[Tensor, "B T _"]:
    return states.transpose(1, 2).flatten(2)


class _AttendingLayer(nn.Module):
    """Attention and two layers for every step, each with a residual and normalised before."""

    def __init__(self, config: AttendingConfig, size: int, dropout: float) -> None:
        super().__init__()
        inner = config.num_heads * config.head_size
        self.num_heads = config.num_heads
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(3))
        self.query, self.key, self.value = (nn.Linear(size, inner, bias=False) for _ in range(3))
        self.out = nn.Sequential(nn.Linear(inner, size), nn.Dropout(dropout))
        self.step_norm = nn.LayerNorm(size)
        self.enter = nn.Linear(size, config.feed_forward_size)
        self.leave = nn.Linear(config.feed_forward_size, size)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        states: Float[Tensor, "B T H"],
        others: Float[Tensor, "B U H"],
        mask: Bool[Tensor, "B U"] | None,
    ) -> Float[Tensor, "B T H"]:
        queries, keys, values = (
            _split(linear(norm(given)), self.num_heads)
            for linear, norm, given in zip(
                (self.query, self.key, self.value),
                self.norms,
                (states, others, others),
                strict=True,
            )
        )
        allowed = None if mask is None else mask[:, None, None]
        seen = F.scaled_dot_product_attention(queries, keys, values, attn_mask=allowed)
        states = states + self.out(_join(seen))
        inner = self.dropout(F.gelu(self.enter(self.step_norm(states))))
        result: Tensor = states + self.dropout(self.leave(inner))
        return result


class AttendingLayers(nn.Module):
    """Layers in which states attend to others, or to themselves; nothing is normalised at the end.

    Args:
        config: Sizes.
        size: Size of a state.
        dropout: Share dropped.
    """

    def __init__(self, config: AttendingConfig, size: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _AttendingLayer(config, size, dropout) for _ in range(config.num_layers)
        )

    def forward(
        self,
        states: Float[Tensor, "B T H"],
        others: Float[Tensor, "B U H"] | None = None,
        mask: Bool[Tensor, "B U"] | None = None,
    ) -> list[Float[Tensor, "B T H"]]:
        """Return what goes into the first layer, and what each layer gives."""
        made = [states]
        for layer in self.layers:
            made.append(layer(made[-1], made[-1] if others is None else others, mask))
        return made


class TokenEmbedding(nn.Module):
    """Let learned tokens attend to the steps of a series, and keep the tokens.

    Args:
        config: Sizes of the layers.
        input_size: Size of a step, D.
        size: Size of a state, H.
        num_tokens: Tokens.
        longest: Steps that have a learned place of their own; later ones share the last.
        dropout: Share dropped.
    """

    def __init__(
        self,
        config: AttendingConfig,
        input_size: int,
        size: int,
        *,
        num_tokens: int,
        longest: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.num_tokens = num_tokens
        self.enter = nn.Linear(input_size, size)
        self.tokens = nn.Parameter(torch.zeros(1, num_tokens, size))
        self.places = nn.Parameter(torch.randn(1, longest + num_tokens, size))
        self.attend = AttendingLayers(config, size, dropout)

    def forward(self, series: PaddedSeries) -> Float[Tensor, "B N H"]:
        """Return the tokens of each clip."""
        num_clips = series.mask.shape[0]
        tokens = self.tokens.expand(num_clips, -1, -1)
        states = torch.cat([tokens, self.enter(series.values)], dim=1)
        steps = torch.arange(states.shape[1], device=states.device)
        states = states + self.places[:, steps.clamp(max=self.places.shape[1] - 1)]
        mask = F.pad(series.mask, (self.num_tokens, 0), value=True)
        made: Tensor = self.attend(states, mask=mask)[-1]
        return made[:, : self.num_tokens]


class GuidedLayer(nn.Module):
    """Add to a hyper-modality what the text finds in audio and in video.

        h <- N(h) + W (attention of the text to audio + to video)

    Args:
        config: Heads and their size.
        size: Size of a state.
        sources: Modalities that are attended to.
        dropout: Share dropped.
    """

    def __init__(
        self, config: AttendingConfig, size: int, sources: Sequence[Modality], dropout: float
    ) -> None:
        super().__init__()
        inner = config.num_heads * config.head_size
        self.num_heads = config.num_heads
        self.text_norm, self.norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.source_norms = nn.ModuleDict({m: nn.LayerNorm(size) for m in sources})
        self.query = nn.Linear(size, inner, bias=False)
        self.keys = nn.ModuleDict({m: nn.Linear(size, inner, bias=False) for m in sources})
        self.values = nn.ModuleDict({m: nn.Linear(size, inner, bias=False) for m in sources})
        self.out = nn.Sequential(nn.Linear(inner, size), nn.Dropout(dropout))

    def forward(
        self,
        hyper: Float[Tensor, "B N H"],
        text: Float[Tensor, "B N H"],
        sources: dict[Modality, Float[Tensor, "B N H"]],
    ) -> Float[Tensor, "B N H"]:
        """Return the hyper-modality with what was found."""
        queries = _split(self.query(self.text_norm(text)), self.num_heads)
        taken = []
        for modality, states in sources.items():
            normal = self.source_norms[modality](states)
            keys = _split(self.keys[modality](normal), self.num_heads)
            values = _split(self.values[modality](normal), self.num_heads)
            taken.append(F.scaled_dot_product_attention(queries, keys, values))
        added: Tensor = self.out(_join(torch.stack(taken).sum(dim=0)))
        normal_hyper: Tensor = self.norm(hyper)
        return normal_hyper + added


class Almt(SeriesModel):
    """Let the text, layer by layer, guide what is taken from audio and video, and join both.

        h_t^0, h_t^1, ... = layers over the tokens of the text
        h     <- guided layer i (h; h_t^i, tokens of audio and of video)
        score = w·(first token of the text attending to h)

    The published program masks no padding outside its text encoder, starts h at ones, which are
    normalised to zeros, and reports its best values on test.

    Source: zhang2023; the normalised residual of the guided layers is that of its program.

    Args:
        config: Settings.
        inputs: What the model reads.
    """

    needs_text = True

    def __init__(self, config: AlmtConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs)
        self.published = config.published
        size, num_tokens = config.model_size, config.num_tokens
        embeddings = {
            m: TokenEmbedding(
                config.embedding,
                inputs.sizes[m],
                size,
                num_tokens=num_tokens,
                longest=getattr(config, f"longest_{m}"),
                dropout=config.dropout,
            )
            for m in self.modalities
        }
        self.embed_text = embeddings[Modality.TEXT]
        for m in self.series:
            self.encoders[m].embed = embeddings[m]
        self.text_places = nn.Parameter(torch.randn(1, num_tokens, size))
        self.text_layers = AttendingLayers(config.text_layers, size, config.dropout)
        start = torch.ones if config.published else torch.randn
        self.hyper = nn.Parameter(start(1, num_tokens, size))
        num_guided = config.text_layers.num_layers + 1 if self.series else 0
        self.guided = nn.ModuleList(
            GuidedLayer(config.guided, size, self.series, config.dropout) for _ in range(num_guided)
        )
        self.token = nn.Parameter(torch.zeros(1, 1, size))
        self.hyper_places = nn.Parameter(torch.randn(1, num_tokens + 1, size))
        self.joined_places = nn.Parameter(torch.randn(1, num_tokens + 1, size))
        self.fusion = AttendingLayers(config.fusion, size, config.dropout)
        self.leave = nn.Linear(size, 1)
        self.state_sizes = {Task.FUSION: size}

    def forward(self, batch: Batch) -> Output:
        """Return score and state of every clip; there are no weights of steps."""
        series, present = self.read(batch, with_padding=self.published)
        tokens = {m: self.encoders[m].embed(series[m]) for m in self.series}  # type: ignore[operator]
        text = self.embed_text(series[Modality.TEXT]) + self.text_places
        layers = self.text_layers(text)
        hyper = self.hyper.expand(text.shape[0], -1, -1)
        for layer, of_text in zip(self.guided, layers, strict=False):
            hyper = layer(hyper, of_text, tokens)
        token = self.token.expand(text.shape[0], -1, -1)
        source = torch.cat([token, hyper], dim=1) + self.hyper_places
        target = torch.cat([token, layers[-1]], dim=1) + self.joined_places
        state = self.fusion(target, source)[-1][:, 0]
        return self.answer(state, self.leave(state).squeeze(-1), present)
