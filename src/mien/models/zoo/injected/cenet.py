"""CENET: what the first layer of a text encoder gives, enhanced by what is heard and seen."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mien.models.multitask import ModelInputs
from mien.models.zoo.injected.injected_model import InjectedModel
from mien.models.zoo.injected.injected_settings import CenetConfig
from mien.tensors import Batch, Output, PaddedSeries
from mien.types import Modality

__all__ = ["Cenet", "CenetConfig", "CrossmodalEnhancement"]

#: By what the published program multiplies the products of queries and keys.
_PUBLISHED_SCALE = 8.0


class _Source(nn.Module):
    """Let the states of a text attend to a series, with one head."""

    def __init__(self, size: int, input_size: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.enter = nn.Sequential(nn.Linear(input_size, size), nn.ReLU(), nn.Linear(size, size))
        self.query, self.key, self.value = (nn.Linear(size, size) for _ in range(3))

    def forward(
        self, states: Float[Tensor, "B T d"], series: PaddedSeries
    ) -> Float[Tensor, "B T d"]:
        entered = self.enter(series.values)
        return F.scaled_dot_product_attention(
            self.query(states),
            self.key(entered),
            self.value(entered),
            attn_mask=series.mask.unsqueeze(1),
            scale=self.scale,
        )


class CrossmodalEnhancement(nn.Module):
    """Add to the states of a text what they find in video and audio.

        h + W [attention to video; attention to audio]

    Source: wang2022, cross-modal enhancement.

    Args:
        size: Size of a state of the text, d.
        sizes: Size of a step of each other modality.
        scale: By what products of queries and keys are multiplied before the softmax.
    """

    def __init__(self, size: int, sizes: dict[str, int], scale: float) -> None:
        super().__init__()
        self.sources = nn.ModuleDict({m: _Source(size, n, scale) for m, n in sizes.items()})
        self.join = nn.Linear(size * len(sizes), size) if sizes else None

    def forward(
        self, states: Float[Tensor, "B T d"], series: dict[Modality, PaddedSeries]
    ) -> Float[Tensor, "B T d"]:
        """Return the enhanced states."""
        if self.join is None:
            return states
        taken = [source(states, series[Modality(m)]) for m, source in self.sources.items()]
        enhanced: Tensor = states + self.join(torch.cat(taken, dim=-1))
        return enhanced


class Cenet(InjectedModel):
    """Enhance what the first layer of the text encoder gives, and score its summary of the text.

        state = tanh(W dropout(summary)),   score = w·dropout(state)

    Where the last layers alone are trained, it is the first of those; where the encoder is frozen,
    what it gives. The summary is the first state, as published, or the mean of all
    (``text_encoder.summary``). The published program reads the padding of audio and video as
    frames, and multiplies products of queries and keys by 8 where others divide by the root of
    their size. The authors' own puts frames into words by k-means and knows the polarity of words;
    neither is in the published program, nor here.

    Source: wang2022.

    Args:
        config: Settings.
        inputs: What the model reads.
    """

    def __init__(self, config: CenetConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs)
        self.published = config.published
        size, sizes = inputs.sizes[Modality.TEXT], self.source_sizes(inputs)
        scale = _PUBLISHED_SCALE if config.published else size**-0.5
        self.enhance = CrossmodalEnhancement(size, sizes, scale)
        self.add_head(size, config.dropout)

    def forward(self, batch: Batch) -> Output:
        """Return score and state of every clip; there are no weights of steps."""
        present = self.present(batch)
        series = self.read_series(batch, present, with_padding=self.published)

        def enhance(states: Float[Tensor, "B T d"]) -> Float[Tensor, "B T d"]:
            enhanced: Tensor = self.enhance(states, series)
            return enhanced

        text = self.complete_text(batch, present)
        summary = self.encode_injected(text, present[Modality.TEXT], enhance, after=1)
        state = torch.tanh(self.pool(self.dropout(summary)))
        score = self.leave(self.dropout(state)).squeeze(-1)
        return self.answer(state, score, present)
