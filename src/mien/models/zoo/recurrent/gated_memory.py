"""A memory of what the modalities did together, and what the models that have one share."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mien.models.encoders import last_step
from mien.models.multitask import ModelInputs
from mien.models.zoo.recurrent.recurrent_settings import LayersConfig, MemoryConfig
from mien.models.zoo.series_model import SeriesModel, TwoLayers
from mien.models.zoo.step_alignment import align, align_as_published
from mien.tensors import Batch, Output, PaddedSeries
from mien.types import Modality, Task

__all__ = ["GatedMemory", "MemoryModel", "make_layers"]


def make_layers(config: LayersConfig, size: int, output_size: int) -> TwoLayers:
    """Build two layers of the given settings."""
    return TwoLayers(size, config.hidden_size, output_size, config.dropout)


class GatedMemory(nn.Module):
    """A memory that each step keeps in part and writes to in part.

        u <- sigmoid(K [e; u]) * u + sigmoid(W [e; u]) * tanh(C c)

    K, W and C are two layers each. Padding changes nothing.

    Source: zadeh2018a, multi-view gated memory.

    Args:
        config: Sizes of the layers.
        size: Size of what the gates see of a step, e.
        candidate_size: Size of what the candidate is made of, c.
    """

    def __init__(self, config: MemoryConfig, size: int, candidate_size: int) -> None:
        super().__init__()
        self.size = config.memory_size
        self.candidate = make_layers(config.candidate, candidate_size, self.size)
        self.keep_gate = make_layers(config.keep_gate, size + self.size, self.size)
        self.write_gate = make_layers(config.write_gate, size + self.size, self.size)

    def forward(
        self, steps: Float[Tensor, "B T _"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B _"]:
        """Return the memory after the last real step."""
        written = torch.tanh(self.candidate(steps))
        memory = steps.new_zeros(len(steps), self.size)
        for step in range(mask.shape[1]):
            seen = torch.cat([steps[:, step], memory], dim=-1)
            old = torch.sigmoid(self.keep_gate(seen)) * memory
            new = old + torch.sigmoid(self.write_gate(seen)) * written[:, step]
            memory = torch.where(mask[:, step, None], new, memory)
        return memory


class MemoryModel(SeriesModel):
    """Score the last states of the modalities' LSTMs and a memory of all their steps.

    A model adds ``run``. The published program reads the states at the last padded step, and
    brings series of other lengths to the padded steps of the text by averaging their padding.

    Args:
        config: Settings.
        inputs: What the model reads.
        candidate_size: Size of what the memory sees of a step.
    """

    def __init__(self, config: MemoryConfig, inputs: ModelInputs, *, candidate_size: int) -> None:
        super().__init__(config, inputs)
        self.published = config.published
        self.hidden_sizes = {m: getattr(config.hidden_size, m) for m in self.modalities}
        self.memory = GatedMemory(config, candidate_size, candidate_size)
        state_size = sum(self.hidden_sizes.values()) + config.memory_size
        self.output = make_layers(config.output, state_size, 1)
        self.state_sizes = {Task.FUSION: state_size}

    def run(
        self, series: dict[Modality, PaddedSeries], mask: Bool[Tensor, "B T"]
    ) -> tuple[dict[Modality, Float[Tensor, "B T _"]], Float[Tensor, "B T _"]]:
        """Return the states of every modality at every step, and what the memory sees of it."""
        raise NotImplementedError

    def align(
        self,
        series: dict[Modality, PaddedSeries],
        present: dict[Modality, Bool[Tensor, "B"]],
    ) -> dict[Modality, PaddedSeries]:
        """Return the series with the same steps."""
        if not self.published:
            return align(series, present)
        mask = series[self.modalities[0]].mask
        num_steps = mask.shape[1]
        return {
            m: PaddedSeries(align_as_published(s.values, num_steps), mask)
            for m, s in series.items()
        }

    def forward(self, batch: Batch) -> Output:
        """Return score and state of every clip; there are no weights of steps."""
        series, present = self.read(batch, with_padding=self.published)
        aligned = self.align(series, present)
        mask = aligned[self.modalities[0]].mask
        states, seen = self.run(aligned, mask)
        last = [last_step(of_modality, mask) for of_modality in states.values()]
        state = torch.cat([*last, self.memory(seen, mask)], dim=-1)
        return self.answer(state, self.output(state).squeeze(-1), present)
