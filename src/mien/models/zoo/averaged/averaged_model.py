"""What the models that read means share: a vector of each modality, and unimodal heads."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mien.models.encoders import Head, last_step, mean_step
from mien.models.multitask import ModelInputs
from mien.models.zoo.averaged.averaged_settings import AveragedConfig
from mien.models.zoo.series_model import SeriesModel
from mien.models.zoo.zoo_settings import HeadSettings
from mien.tensors import Batch, Output, PaddedSeries
from mien.types import Modality, Task

__all__ = ["AveragedModel", "MeanNetwork", "TextLstm", "with_one"]

#: The order in which these models join their vectors.
_ORDER = (Modality.AUDIO, Modality.VIDEO, Modality.TEXT)


class MeanNetwork(nn.Module):
    """Three layers over the mean of a series.

        y = ReLU(W3 ReLU(W2 ReLU(W1 dropout(mean over real steps of x))))

    The published program brings the mean to the units of the batch (batch normalisation), so that
    a clip alone cannot be trained on and others move its features; here features are in the units
    of all of train instead.

    Args:
        size: Size of a feature, D.
        hidden_size: Size of every layer.
        dropout: Share of the mean that is dropped.
        has_norm: Whether to normalise by batch, as published.
    """

    def __init__(self, size: int, hidden_size: int, dropout: float, *, has_norm: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(size) if has_norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        sizes = (size, hidden_size, hidden_size)
        self.layers = nn.ModuleList(nn.Linear(n, hidden_size) for n in sizes)

    def forward(self, series: PaddedSeries) -> Float[Tensor, "B H"]:
        """Return one vector per clip."""
        vectors: Tensor = self.dropout(self.norm(mean_step(*series)))
        for layer in self.layers:
            vectors = F.relu(layer(vectors))
        return vectors


class TextLstm(nn.Module):
    """The last state of an LSTM over the states of a text, and a linear layer.

    Args:
        size: Size of a state of the text, D.
        hidden_size: Size of the LSTM's state.
        output_size: Size of the vector, H.
    """

    def __init__(self, size: int, hidden_size: int, output_size: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(size, hidden_size, batch_first=True)
        self.linear = nn.Linear(hidden_size, output_size)

    def forward(self, series: PaddedSeries) -> Float[Tensor, "B H"]:
        """Return one vector per clip."""
        states, _ = self.rnn(series.values)
        vectors: Tensor = self.linear(last_step(states, series.mask))
        return vectors


class AveragedModel(SeriesModel):
    """One vector of each modality: layers over the mean of a series, an LSTM over the text.

    A model adds ``join``, the multimodal state and score of these vectors. With ``published``,
    padding counts: means are divided by the padded steps, and the text's state is that of the last
    padded step.

    Args:
        config: Settings; with those of heads, every modality has a task of its own.
        inputs: What the model reads.
        text_output_size: Vector that the text becomes.
    """

    def __init__(
        self, config: AveragedConfig, inputs: ModelInputs, *, text_output_size: int
    ) -> None:
        super().__init__(config, inputs)
        self.published = config.published
        self.order = tuple(m for m in _ORDER if m in self.modalities)
        self.vector_sizes = {}
        for modality in self.order:
            if modality is Modality.TEXT:
                sizes = inputs.sizes[modality], config.hidden_size.text
                self.text_network = TextLstm(*sizes, text_output_size)
                self.vector_sizes[modality] = text_output_size
                continue
            hidden_size = getattr(config.hidden_size, modality)
            self.encoders[modality].network = MeanNetwork(
                inputs.sizes[modality],
                hidden_size,
                getattr(config, f"{modality}_dropout"),
                has_norm=config.published,
            )
            self.vector_sizes[modality] = hidden_size
        if config.published and self.series:
            self.least_batch = 2
        self.state_sizes = {}
        settings: object = config  # settings of heads are mixed in
        if isinstance(settings, HeadSettings):
            self.add_heads(settings)

    def add_heads(self, config: HeadSettings) -> None:
        """Give every modality a task of its own."""
        self.tasks = (Task.FUSION, *(Task(m) for m in self.modalities))
        self.state_sizes = {Task(m): getattr(config.head_size, m) for m in self.modalities}
        self.heads = nn.ModuleDict(
            {
                m: Head(
                    self.vector_sizes[m],
                    getattr(config.head_size, m),
                    getattr(config.head_dropout, m),
                )
                for m in self.modalities
            }
        )

    def join(
        self, vectors: Mapping[Modality, Float[Tensor, "B _"]]
    ) -> tuple[Float[Tensor, "B _"], Float[Tensor, "B"]]:
        """Return the multimodal state and score of each clip."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> Output:
        """Return scores and states of every clip; there are no weights of steps."""
        series, present = self.read(batch, with_padding=self.published)
        vectors: dict[Modality, Tensor] = {}
        for modality in self.order:
            network = (
                self.text_network if modality is Modality.TEXT else self.encoders[modality].network
            )
            vectors[modality] = network(series[modality])  # type: ignore[operator]
        state, score = self.join(vectors)
        states, scores = {Task.FUSION: state}, {Task.FUSION: score}
        for task in self.tasks[1:]:
            states[task], scores[task] = self.heads[task](vectors[Modality(task)])
        return Output(scores=scores, states=states, attention={}, present=present)


def with_one(vectors: Float[Tensor, "B H"]) -> Float[Tensor, "B _"]:
    """Return the vectors with a 1 before them."""
    return torch.cat([torch.ones_like(vectors[:, :1]), vectors], dim=1)
