"""What the models of the zoo share: series in, a state and a score per task out."""

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.models.model_settings import NetworkConfig
from mien.models.multitask import ModelInputs, MultimodalModel
from mien.models.standardise import Standardise
from mien.pretrained.encoder_cut import encode_changed
from mien.tensors import Batch, Output, PaddedSeries
from mien.types import Modality, Task

__all__ = ["AbsentStep", "SeriesInput", "SeriesModel", "TwoLayers", "lengths_of"]


def lengths_of(series: PaddedSeries) -> Tensor:
    """Return how many real steps each clip has, ``(B,)``."""
    return series.mask.sum(dim=1)


class SeriesInput(nn.Module):
    """What reads a series of features: its standard units, and the parts that a model adds.

    Parts that a model registers here are trained at the rate of the modality.

    Args:
        size: Number of features, D.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.standardise = Standardise(size)


class AbsentStep(nn.Module):
    """Stand in, with one learned step, for the series of a clip that does not have the modality.

    So every series that a model reads has a real step.

    Args:
        size: Size of a step, D.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.zeros(size))

    def forward(self, series: PaddedSeries, is_present: Bool[Tensor, "B"]) -> PaddedSeries:
        """Return the series, with one learned step in the rows where ``is_present`` is False."""
        stand_in = _first_steps(series.mask).unsqueeze(-1) * self.vector
        return PaddedSeries(
            torch.where(is_present[:, None, None], series.values, stand_in),
            self.keep_step(series.mask, is_present),
        )

    def keep_step(
        self, mask: Bool[Tensor, "B T"], is_present: Bool[Tensor, "B"]
    ) -> Bool[Tensor, "B T"]:
        """Return the mask, with one real step in the rows where ``is_present`` is False."""
        has = is_present.unsqueeze(1)
        return (mask & has) | (_first_steps(mask) & ~has)


def _first_steps(mask: Bool[Tensor, "B T"]) -> Bool[Tensor, "B T"]:
    is_first = torch.zeros_like(mask)
    is_first[:, 0] = True
    return is_first


class TwoLayers(nn.Module):
    """Two linear layers with a ReLU and dropout between them.

        y = W2 dropout(ReLU(W1 x))

    Args:
        size: Size of the vector.
        hidden_size: Size between the layers.
        output_size: Size of the result.
        dropout: Share dropped between the layers.
    """

    def __init__(self, size: int, hidden_size: int, output_size: int, dropout: float) -> None:
        super().__init__()
        self.enter = nn.Linear(size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.leave = nn.Linear(hidden_size, output_size)

    def forward(self, vectors: Float[Tensor, "*B _"]) -> Float[Tensor, "*B _"]:
        """Return the result."""
        return self.finish(self.enter(vectors))

    def finish(self, entered: Float[Tensor, "*B _"]) -> Float[Tensor, "*B _"]:
        """Return the result of what the first layer made."""
        made: Tensor = self.leave(self.dropout(F.relu(entered)))
        return made


class SeriesModel(MultimodalModel):
    """Read the series of every modality, with a learned step for one that a clip does not have.

    A model adds its parts, ``state_sizes`` and ``forward``, which begins with ``read``. It scores
    the multimodal task alone unless it says otherwise in ``tasks``.

    Args:
        config: Settings.
        inputs: What the model reads.

    Raises:
        ConfigError: If the corpus has no text, and the model is nothing without.
    """

    needs_text: ClassVar[bool] = False

    def __init__(self, config: NetworkConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs, attention=None)
        if self.needs_text and Modality.TEXT not in inputs.sizes:
            raise ConfigError(
                f"setting model.name is {config.name!r}, a model that is led by the text, and the "
                "corpus has none; choose another model"
            )
        self.tasks = (Task.FUSION,)
        self.series = tuple(m for m in self.modalities if m is not Modality.TEXT)
        self.encoders = nn.ModuleDict({m: SeriesInput(inputs.sizes[m]) for m in self.series})
        self.absent = nn.ModuleDict({m: AbsentStep(inputs.sizes[m]) for m in self.modalities})

    def read(
        self, batch: Batch, *, with_padding: bool = False
    ) -> tuple[dict[Modality, PaddedSeries], dict[Modality, Bool[Tensor, "B"]]]:
        """Return states of the text and features in standard units, and which clips have which.

        Every series has a real step in every clip.

        Args:
            batch: The clips.
            with_padding: Whether padding counts as real, as in programs that know no mask.
        """
        present = self.present(batch)
        series = {}
        if Modality.TEXT in self.modalities:
            text = batch.sequences[Modality.TEXT]
            read = text.repeat(1) if text.is_repeated else text  # the same in all clips: read once
            if with_padding:  # so it computes the states of padding, too
                states = encode_changed(self.text_encoder, read, lambda given: given)
            else:
                states = self.text_encoder(read)
            if text.is_repeated:
                states = states.expand(len(text.mask), -1, -1)
            read_text = PaddedSeries(states, text.mask)
            series[Modality.TEXT] = self._complete(Modality.TEXT, read_text, present, with_padding)
        return series | self.read_series(batch, present, with_padding=with_padding), present

    def read_series(
        self,
        batch: Batch,
        present: Mapping[Modality, Bool[Tensor, "B"]],
        *,
        with_padding: bool = False,
    ) -> dict[Modality, PaddedSeries]:
        """Return what ``read`` returns, of audio and video alone."""
        return {
            m: self._complete(m, batch.sequences[m], present, with_padding) for m in self.series
        }

    def _complete(
        self,
        modality: Modality,
        series: PaddedSeries,
        present: Mapping[Modality, Bool[Tensor, "B"]],
        with_padding: bool,  # noqa: FBT001  # passed on
    ) -> PaddedSeries:
        mask = torch.ones_like(series.mask) if with_padding else series.mask
        series = PaddedSeries(series.values.masked_fill(~mask.unsqueeze(-1), 0.0), mask)
        if modality is not Modality.TEXT:
            series = self.encoders[modality].standardise(series)  # type: ignore[operator]
        series = self.absent[modality](series, present[modality])
        return PaddedSeries(series.values, mask) if with_padding else series

    def answer(
        self,
        state: Float[Tensor, "B _"],
        score: Float[Tensor, "B"],
        present: Mapping[Modality, Bool[Tensor, "B"]],
        terms: Mapping[str, Float[Tensor, ""]] | None = None,
    ) -> Output:
        """Return the output of a model that scores the multimodal task alone."""
        return Output(
            scores={Task.FUSION: score},
            states={Task.FUSION: state},
            attention={},
            present=dict(present),
            terms=dict(terms or {}),
        )
