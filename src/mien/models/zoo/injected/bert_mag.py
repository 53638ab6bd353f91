"""MAG-BERT: what goes into a text encoder's layers, shifted by what is heard and seen."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mien.models.multitask import ModelInputs
from mien.models.zoo.injected.injected_model import InjectedModel
from mien.models.zoo.injected.injected_settings import BertMagConfig
from mien.models.zoo.series_model import lengths_of
from mien.models.zoo.step_alignment import stretch
from mien.tensors import Batch, Output
from mien.types import Modality

__all__ = ["AdaptationGate", "BertMag", "BertMagConfig"]

#: Below this a length counts as none.
_LEAST = 1e-6


class AdaptationGate(nn.Module):
    """Shift the state of every step of a text by what is heard and seen there.

        h  = sum over m of ReLU(G_m [x_m; z]) * (W_m x_m)          m in video, audio
        z' = dropout(N(min(limit |z| / |h|, 1) h + z))

    Source: rahman2020, multimodal adaptation gate.

    Args:
        size: Size of a state of the text, d.
        sizes: Size of a step of each other modality.
        shift_limit: Longest shift, in units of the state's length.
        dropout: Share dropped.
    """

    def __init__(
        self, size: int, sizes: dict[str, int], shift_limit: float, dropout: float
    ) -> None:
        super().__init__()
        self.shift_limit = shift_limit
        self.gates = nn.ModuleDict({m: nn.Linear(n + size, size) for m, n in sizes.items()})
        self.shifts = nn.ModuleDict({m: nn.Linear(n, size) for m, n in sizes.items()})
        self.norm = nn.LayerNorm(size)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        states: Float[Tensor, "B T d"],
        steps: dict[Modality, Float[Tensor, "B T _"]],
    ) -> Float[Tensor, "B T d"]:
        """Return the shifted states."""
        shift = torch.zeros_like(states)
        for modality, values in steps.items():
            gate = F.relu(self.gates[modality](torch.cat([values, states], dim=-1)))
            shift = shift + gate * self.shifts[modality](values)
        length = shift.norm(dim=-1)
        length = torch.where(length == 0, torch.ones_like(length), length)
        longest = self.shift_limit * states.norm(dim=-1) / (length + _LEAST)
        shifted = longest.clamp(max=1.0).unsqueeze(-1) * shift + states
        result: Tensor = self.dropout(self.norm(shifted))
        return result


class BertMag(InjectedModel):
    """Shift what goes into the text encoder's layers, and score its summary of the text.

        state = tanh(W summary),   score = w·dropout(state)

    What is shifted is what goes into the layers that are trained: embeddings where the encoder is
    trained in full, states of the layer below them where the last layers are, and the states that
    it gives where it is frozen. Audio and video of other lengths are brought to the tokens. The
    summary is the first state, as published, or the mean of all (``text_encoder.summary``).

    Source: rahman2020.

    Args:
        config: Settings.
        inputs: What the model reads.
    """

    def __init__(self, config: BertMagConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs)
        size, sizes = inputs.sizes[Modality.TEXT], self.source_sizes(inputs)
        self.gate = AdaptationGate(size, sizes, config.shift_limit, config.dropout)
        self.add_head(size, config.dropout)

    def forward(self, batch: Batch) -> Output:
        """Return score and state of every clip; there are no weights of steps."""
        present = self.present(batch)
        series = self.read_series(batch, present)
        text = self.complete_text(batch, present)
        lengths = lengths_of(text)
        steps = {}
        for modality in map(Modality, self.gate.gates):
            values, _ = stretch(series[modality], lengths)
            steps[modality] = F.pad(values, (0, 0, 0, text.mask.shape[1] - values.shape[1]))

        def shift(states: Float[Tensor, "B T d"]) -> Float[Tensor, "B T d"]:
            shifted: Tensor = self.gate(states, steps)
            return shifted

        summary = self.encode_injected(text, present[Modality.TEXT], shift)
        state = torch.tanh(self.pool(summary))
        score = self.leave(self.dropout(state)).squeeze(-1)
        return self.answer(state, score, present)
