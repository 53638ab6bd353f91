"""MFN: what changes together between two steps of several LSTMs, remembered."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mien.models.encoders import mean_step
from mien.models.multitask import ModelInputs
from mien.models.zoo.recurrent.gated_memory import MemoryModel, make_layers
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
        self,
        series: dict[Modality, PaddedSeries],
        mask: Bool[Tensor, "B T"],
    ) -> tuple[dict[Modality, Float[Tensor, "B T _"]], Float[Tensor, "B T _"]]:
        """Return the states of every modality at every step, and the weighed cells of two."""
        hidden, cells = {}, []
        for modality, of_modality in series.items():
            states = self._run_cell(modality, of_modality.values)
            hidden[modality] = states[0]
            cells.append(states[1])
        now = torch.cat(cells, dim=-1)  # (B, T, H)
        before = torch.cat([torch.zeros_like(now[:, :1]), now[:, :-1]], dim=1)
        windows = torch.cat([before, now], dim=-1)
        weights = torch.softmax(self.attention(windows), dim=-1)
        return hidden, weights * windows * mask.unsqueeze(-1)

    def _run_cell(
        self, modality: Modality, values: Float[Tensor, "B T _"]
    ) -> tuple[Float[Tensor, "B T _"], Float[Tensor, "B T _"]]:
        """Return the hidden states and the cells of an LSTM; ``nn.LSTM`` gives the former alone."""
        cell = self.cells[modality]
        hidden = memory = values.new_zeros(len(values), self.hidden_sizes[modality])
        steps = []
        for step in values.unbind(dim=1):
            hidden, memory = cell(step, (hidden, memory))
            steps.append((hidden, memory))
        all_hidden, all_cells = zip(*steps, strict=True)
        return torch.stack(all_hidden, dim=1), torch.stack(all_cells, dim=1)
