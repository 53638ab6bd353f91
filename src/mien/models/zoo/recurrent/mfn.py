"""MFN: what changes together between two steps of several LSTMs, remembered."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mien.models.encoders import mean_step
from mien.models.multitask import ModelInputs
from mien.models.zoo.recurrent.gated_memory import MemoryModel, make_layers
from mien.models.zoo.recurrent.packed_steps import PackedSteps, PaddedSteps, run_lstm
from mien.models.zoo.recurrent.recurrent_settings import MfnConfig
from mien.tensors import PaddedSeries
from mien.types import Modality

__all__ = ["Mfn", "MfnConfig"]


class Mfn(MemoryModel):
    """Weigh the cells of all LSTMs at two steps against each other, and remember the result.

        c*_i = [cells of t, a, v at step i - 1; at step i]
        e_i  = softmax(A c*_i) * c*_i             A: two layers
        u    = gated memory of the e_i
        score = two layers over [h_t; h_a; h_v; u]  at the last real step

    Source: zadeh2018a.

    Args:
        config: Settings.
        inputs: What the model reads.
    """

    def __init__(self, config: MfnConfig, inputs: ModelInputs) -> None:
        sizes = {m: getattr(config.hidden_size, m) for m in Modality if m in inputs.sizes}
        window_size = 2 * sum(sizes.values())
        super().__init__(config, inputs, candidate_size=window_size)
        self.repeats_means = config.repeated_means
        self.cells = nn.ModuleDict({m: nn.LSTMCell(inputs.sizes[m], n) for m, n in sizes.items()})
        self.attention = make_layers(config.attention, window_size, window_size)

    def align(
        self,
        series: dict[Modality, PaddedSeries],
        present: dict[Modality, Bool[Tensor, "B"]],
    ) -> dict[Modality, PaddedSeries]:
        """Return the series with the same steps; as means if so set."""
        if self.repeats_means:
            everywhere = {m: torch.ones_like(s.mask) for m, s in series.items()}
            series = {
                m: s
                if m is Modality.TEXT
                else PaddedSeries(mean_step(s.values, everywhere[m])[:, None], s.mask[:, :1])
                for m, s in series.items()
            }
        return super().align(series, present)

    def run(
        self, series: dict[Modality, PaddedSeries], packed: PackedSteps | PaddedSteps
    ) -> tuple[dict[Modality, Float[Tensor, "N _"]], Float[Tensor, "N _"]]:
        """Return the states of every modality at every step, and the weighed cells of two."""
        hidden, cells = {}, []
        for modality, of_modality in series.items():
            values = packed.pack(of_modality.values)
            hidden[modality], of_modality_cells = run_lstm(values, self.cells[modality], packed)
            cells.append(of_modality_cells)
        now = torch.cat(cells, dim=-1)
        windows = torch.cat([packed.before(now), now], dim=-1)
        weights = torch.softmax(self.attention(windows), dim=-1)
        return hidden, weights * windows
