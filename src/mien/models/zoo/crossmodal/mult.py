"""MulT: every modality attends to every other."""

import torch
import torch.nn.functional as F
from torch import nn

from mien.models.encoders import last_step
from mien.models.multitask import ModelInputs
from mien.models.zoo.crossmodal.crossmodal_encoder import CrossmodalModel, StepConvolution
from mien.models.zoo.crossmodal.crossmodal_settings import MultConfig
from mien.tensors import Batch, Output, PaddedSeries
from mien.types import Modality, Task

__all__ = ["Mult", "MultConfig"]

#: Fewest layers of the transformers over joined states.
_FEWEST = 3


class Mult(CrossmodalModel):
    """Let every modality attend to every other, join what it saw, and score the last states.

        x_m   = convolution over the steps of m
        y_m   = transformer over [x_m attending to n, for every other n]
        h     = [last real states of y_t, y_a, y_v]
        state = h + W2 ReLU(W1 h),   score = w·state

    The published program has no places in its transformers, though the authors' own has them; it
    reads padding, and the state of the last padded step.

    Source: tsai2019.

    Args:
        config: Settings.
        inputs: What the model reads.
    """

    def __init__(self, config: MultConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs)
        size = config.model_size
        self.text_dropout = nn.Dropout(config.text_dropout)
        self.enter = nn.ModuleDict(
            {
                m: StepConvolution(
                    inputs.sizes[m], size, getattr(config.width, m), published=config.published
                )
                for m in self.modalities
                if not (config.published and inputs.sizes[m] == size)
            }
        )
        self.crossmodal = nn.ModuleDict(
            {
                f"{m}_{n}": self.make_encoder(config, n, config.num_layers)
                for m in self.modalities
                for n in self.modalities
                if n != m
            }
        )
        num_joined = max(len(self.modalities) - 1, 1)
        num_layers = max(config.num_layers, _FEWEST)
        self.memories = nn.ModuleDict(
            {
                m: self.make_encoder(config, Modality.TEXT, num_layers, num_joined=num_joined)
                for m in self.modalities
            }
        )
        total = size * num_joined * len(self.modalities)
        self.first, self.second = nn.Linear(total, total), nn.Linear(total, total)
        self.dropout = nn.Dropout(config.output_dropout)
        self.leave = nn.Linear(total, 1)
        self.state_sizes = {Task.FUSION: total}

    def forward(self, batch: Batch) -> Output:
        """Return score and state of every clip; there are no weights of steps."""
        series, present = self.read(batch, with_padding=self.published)
        if Modality.TEXT in series:
            values, mask = series[Modality.TEXT]
            series[Modality.TEXT] = PaddedSeries(self.text_dropout(values), mask)
        entered = {m: self.enter[m](s) if m in self.enter else s for m, s in series.items()}
        last = []
        for modality, own in entered.items():
            seen = [
                self.crossmodal[f"{modality}_{other}"](own, theirs).values
                for other, theirs in entered.items()
                if other != modality
            ]
            joined = PaddedSeries(torch.cat(seen or [own.values], dim=-1), own.mask)
            last.append(last_step(*self.memories[modality](joined)))
        joined_states = torch.cat(last, dim=-1)
        added = self.second(self.dropout(F.relu(self.first(joined_states))))
        state = joined_states + added
        return self.answer(state, self.leave(state).squeeze(-1), present)
