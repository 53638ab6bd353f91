"""EF-LSTM: the modalities joined at every step, and one LSTM over them."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mien.models.encoders import last_step
from mien.models.multitask import ModelInputs
from mien.models.zoo.recurrent.recurrent_settings import EfLstmConfig
from mien.models.zoo.series_model import SeriesModel
from mien.models.zoo.step_alignment import align, align_as_published, lengthen
from mien.tensors import Batch, Output
from mien.types import Task

__all__ = ["EfLstm", "EfLstmConfig"]


class EfLstm(SeriesModel):
    """Join the modalities at every step, read them by an LSTM, and score its last real state.

        h     = last state of LSTM over [t_i; a_i; v_i]
        state = ReLU(W1 dropout(h)),   score = w2·dropout(state)

    Series of other lengths than the text's are brought to its steps first. The published program
    normalises each *step* over the clips of a batch, so that a step that is padding in most clips
    is blown up in the others, and reads the state at the last padded step.

    Source: williams2018.

    Args:
        config: Settings.
        inputs: What the model reads.
    """

    def __init__(self, config: EfLstmConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs)
        self.padded_steps = config.padded_steps if config.published else 0
        self.norm = nn.BatchNorm1d(self.padded_steps) if config.published else None
        self.rnn = nn.LSTM(
            sum(inputs.sizes[m] for m in self.modalities),
            config.hidden_size,
            config.num_layers,
            batch_first=True,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.enter = nn.Linear(config.hidden_size, config.hidden_size)
        self.leave = nn.Linear(config.hidden_size, 1)
        self.state_sizes = {Task.FUSION: config.hidden_size}

    def forward(self, batch: Batch) -> Output:
        """Return score and state of every clip; there are no weights of steps."""
        series, present = self.read(batch, with_padding=self.norm is not None)
        if self.norm is None:
            aligned = align(series, present)
            mask = aligned[self.modalities[0]].mask
            last = last_step(self._run([s.values for s in aligned.values()]), mask)
        else:
            first = lengthen(series[self.modalities[0]].values, self.padded_steps)
            parts = [first[:, : self.padded_steps]] + [
                align_as_published(lengthen(series[m].values, self.padded_steps), self.padded_steps)
                for m in self.modalities[1:]
            ]
            last = self._run(parts)[:, -1]
        state = F.relu(self.enter(self.dropout(last)))
        score = self.leave(self.dropout(state)).squeeze(-1)
        return self.answer(state, score, present)

    def _run(self, parts: list[Float[Tensor, "B T _"]]) -> Float[Tensor, "B T H"]:
        joined = torch.cat(parts, dim=-1)
        if self.norm is not None:
            joined = self.norm(joined)
        states, _ = self.rnn(joined)
        made: Tensor = states
        return made
