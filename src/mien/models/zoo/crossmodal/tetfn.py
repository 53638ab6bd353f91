"""TETFN: audio and video attend to the text, and to each other through the text."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mien.models.encoders import Head, last_step
from mien.models.multitask import ModelInputs
from mien.models.zoo.crossmodal.crossmodal_encoder import CrossmodalModel, StepConvolution
from mien.models.zoo.crossmodal.crossmodal_settings import CrossmodalConfig, TetfnConfig
from mien.tensors import Batch, Output, PaddedSeries
from mien.types import Modality, Task

__all__ = ["Tetfn", "TetfnConfig", "TextEnhancedEncoder"]

#: Layers of every transformer; the published program has no setting for it.
_LAYERS = 2


class TextEnhancedEncoder(nn.Module):
    """Let one series attend to another that has attended to the text.

        c = transformer of one layer over q, attending to the text
        y = transformer over k, attending to c

    Source: wang2023, text-enhanced transformer.

    Args:
        model: Builds the transformers.
        config: Settings.
        query: The modality that attends to the text.
    """

    def __init__(self, model: CrossmodalModel, config: CrossmodalConfig, query: Modality) -> None:
        super().__init__()
        self.lower = model.make_encoder(config, Modality.TEXT, 1, has_places=True)
        self.upper = model.make_encoder(config, query, _LAYERS, has_places=True)

    def forward(self, query: PaddedSeries, key: PaddedSeries, text: PaddedSeries) -> PaddedSeries:
        """Return the states of ``key``."""
        seen: PaddedSeries = self.upper(key, self.lower(query, text))
        return seen


class Tetfn(CrossmodalModel):
    """Let the text enhance audio and video, and score each modality and all together.

        text:  [attending to audio; to video]
        audio: [attending to text; to video that attended to text],   and video alike
        each through a transformer over its joined states; the last real state of each is joined
        state_m, score_m = head_m(largest value over the steps of the convolution of m)

    The published program ignores the lengths of series, gives the convolution of video the width of
    that of audio, and has places in the text-enhanced transformers alone.

    Source: wang2023.

    Args:
        config: Settings.
        inputs: What the model reads.
    """

    needs_text = True

    def __init__(self, config: TetfnConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs)
        size = config.model_size
        text = Modality.TEXT
        self.tasks = (Task.FUSION, *(Task(m) for m in self.modalities))

        def convolve(width_of: Modality, input_size: int) -> StepConvolution:
            width = getattr(config.width, width_of)
            return StepConvolution(input_size, size, width, published=config.published)

        self.enter = convolve(text, inputs.sizes[text])
        for m in self.series:
            state_size = getattr(config, f"{m}_size")
            self.encoders[m].rnn = nn.LSTM(inputs.sizes[m], state_size, batch_first=True)
            width_of = Modality.AUDIO if config.published else m
            self.encoders[m].convolution = convolve(width_of, state_size)
        self.from_text = nn.ModuleDict(
            {m: self.make_encoder(config, text, _LAYERS) for m in self.series}
        )
        self.to_text = nn.ModuleDict(
            {m: self.make_encoder(config, m, _LAYERS) for m in self.series}
        )
        self.enhanced = nn.ModuleDict(
            {
                f"{m}_{n}": TextEnhancedEncoder(self, config, n)
                for m in self.series
                for n in self.series
                if n != m
            }
        )
        num_joined = max(len(self.series), 1)
        self.memories = nn.ModuleDict(
            {
                m: self.make_encoder(config, text, _LAYERS, num_joined=num_joined)
                for m in self.modalities
            }
        )
        total = size * num_joined * len(self.modalities)
        self.heads = nn.ModuleDict(
            {
                Task.FUSION: Head(total, config.fusion_size, config.fusion_dropout),
                **{
                    m: Head(size, getattr(config.head_size, m), getattr(config.head_dropout, m))
                    for m in self.modalities
                },
            }
        )
        own = {Task(m): getattr(config.head_size, m) for m in self.modalities}
        self.state_sizes = {Task.FUSION: config.fusion_size, **own}

    def forward(self, batch: Batch) -> Output:
        """Return scores and states of every clip; there are no weights of steps."""
        series, present = self.read(batch, with_padding=self.published)
        text: PaddedSeries = self.enter(series[Modality.TEXT])
        entered: dict[Modality, PaddedSeries] = {Modality.TEXT: text}
        for m in self.series:
            encoder = self.encoders[m]
            states, _ = encoder.rnn(series[m].values)  # type: ignore[operator]
            states = states * series[m].mask.unsqueeze(-1)
            entered[m] = encoder.convolution(PaddedSeries(states, series[m].mask))  # type: ignore[operator]
        seen: dict[Modality, list[Tensor]] = {}
        seen[Modality.TEXT] = [self.to_text[m](text, entered[m]).values for m in self.series]
        for m in self.series:
            seen[m] = [self.from_text[m](entered[m], text).values]
            seen[m] += [
                self.enhanced[f"{m}_{n}"](entered[n], entered[m], text).values
                for n in self.series
                if n != m
            ]
        last = []
        for modality, own in entered.items():
            joined = PaddedSeries(torch.cat(seen[modality] or [own.values], dim=-1), own.mask)
            last.append(last_step(*self.memories[modality](joined)))
        vectors = {Task.FUSION: torch.cat(last, dim=-1)}
        vectors |= {Task(name): _largest(own) for name, own in entered.items()}
        scores, states_of = {}, {}
        for task, vector in vectors.items():
            states_of[task], scores[task] = self.heads[task](vector)
        return Output(scores=scores, states=states_of, attention={}, present=present)


def _largest(series: PaddedSeries) -> Float[Tensor, "B H"]:
    """Return the largest value of each dimension over the real steps."""
    lowest = torch.finfo(series.values.dtype).min
    return series.values.masked_fill(~series.mask.unsqueeze(-1), lowest).amax(dim=1)
