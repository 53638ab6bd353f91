"""A memory of what the modalities did together, and what the models that have one share."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mien.models.multitask import ModelInputs
from mien.models.zoo.recurrent.packed_steps import PackedSteps, PaddedSteps, order_steps
from mien.models.zoo.recurrent.recurrent_settings import LayersConfig, MemoryConfig
from mien.models.zoo.recurrent.traced_loops import loop_memory
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

    K, W and C are two layers each. What K and W see of the steps is computed for all steps at once.

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
        self, seen: Float[Tensor, "N _"], packed: PackedSteps | PaddedSteps
    ) -> Float[Tensor, "B _"]:
        """Return the memory after each clip's last step.

        Args:
            seen: What the gates see of each step.
            packed: Which rows are which steps.
        """
        written = torch.tanh(self.candidate(seen))
        gates = (self.keep_gate, self.write_gate)
        enters = [gate.enter for gate in gates]
        size = seen.shape[1]
        of_steps = torch.cat([F.linear(seen, e.weight[:, :size], e.bias) for e in enters], dim=1)
        of_memory = torch.cat([enter.weight[:, size:] for enter in enters]).T
        if isinstance(packed, PaddedSteps):
            steps = packed.by_step(of_steps), packed.by_step(written), packed.mask
            leaves = [p for gate in gates for p in (gate.leave.weight, gate.leave.bias)]
            return loop_memory(*steps, of_memory, *leaves)
        widths = [enter.out_features for enter in enters]
        memory = seen.new_zeros(packed.counts[0], self.size)
        memories = []
        for entered, new in zip(packed.steps(of_steps), packed.steps(written), strict=True):
            memory = memory[: len(new)]
            parts = torch.split(torch.addmm(entered, memory, of_memory), widths, dim=1)
            keep, write = (
                torch.sigmoid(gate.finish(part)) for gate, part in zip(gates, parts, strict=True)
            )
            memory = keep * memory + write * new
            memories.append(memory)
        return packed.last(torch.cat(memories))


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
        self, series: dict[Modality, PaddedSeries], packed: PackedSteps | PaddedSteps
    ) -> tuple[dict[Modality, Float[Tensor, "N _"]], Float[Tensor, "N _"]]:
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
        packed = order_steps(aligned[self.modalities[0]].mask)
        states, seen = self.run(aligned, packed)
        last = [packed.last(of_modality) for of_modality in states.values()]
        state = torch.cat([*last, self.memory(seen, packed)], dim=-1)
        return self.answer(state, self.output(state).squeeze(-1), present)
