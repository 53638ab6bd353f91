"""One multimodal and up to three unimodal tasks: the network that the models have in common."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from mien.config import Settings
from mien.models.attention import AttentionName
from mien.models.encoders import (
    AbsentState,
    EncoderName,
    Head,
    SeriesEncoder,
    StepEncoder,
    Summarise,
)
from mien.models.fusion import FUSIONS, FusionName
from mien.pretrained.text_encoder import GivenStates
from mien.tensors import Batch, Output, Sequence
from mien.types import Modality, Task

__all__ = [
    "Dropouts",
    "LstmSizes",
    "MultimodalModel",
    "Multitask",
    "MultitaskConfig",
    "OutputSizes",
    "PartsConfig",
    "StateSizes",
]


class LstmSizes(Settings):
    """Size of the state of each series' encoder, the LSTM or the step's layer.

    Attributes:
        audio: For audio.
        video: For video.
    """

    audio: int = Field(32, ge=1, le=4096)
    video: int = Field(64, ge=1, le=4096)


class OutputSizes(Settings):
    """Size of the vector that each series becomes.

    Attributes:
        audio: For audio.
        video: For video.
    """

    audio: int = Field(16, ge=1, le=4096)
    video: int = Field(32, ge=1, le=4096)


class StateSizes(Settings):
    """Size of the state from which each task's score is read.

    Attributes:
        fusion: For the multimodal task.
        text: For the text task.
        audio: For the audio task.
        video: For the video task.
    """

    fusion: int = Field(128, ge=1, le=4096)
    text: int = Field(64, ge=1, le=4096)
    audio: int = Field(16, ge=1, le=4096)
    video: int = Field(32, ge=1, le=4096)


class Dropouts(Settings):
    """One share, from 0 to below 1, for each task.

    Attributes:
        fusion: For the multimodal task.
        text: For the text task.
        audio: For the audio task.
        video: For the video task.
    """

    fusion: float = Field(0.0, ge=0, lt=1)
    text: float = Field(0.0, ge=0, lt=1)
    audio: float = Field(0.0, ge=0, lt=1)
    video: float = Field(0.0, ge=0, lt=1)


class PartsConfig(Settings):
    """Sizes of the parts; the data decides the rest.

    Attributes:
        encoder: What reads a series: an ``lstm``, or ``steps``, where every step is read by
            itself, so that series of other lengths than in training are read alike.
        lstm_size: State of the encoder of each series.
        num_layers: LSTM layers.
        output_size: Vector that each series becomes.
        state_size: State of each task, from which its score is read.
        fusion_size: Shared semantic space, where the fusion has one.
        dropout: Share of each task's input that is dropped in training.
        encoder_dropout: Share dropped inside the encoders of the series.
        modality_dropout: Chance that, in training, a modality of a clip is taken away; one always
            stays.
        standardise: Whether features are brought to mean 0 and standard deviation 1 over train.
    """

    encoder: EncoderName = "lstm"
    lstm_size: LstmSizes = LstmSizes()
    num_layers: int = Field(1, ge=1, le=16)
    output_size: OutputSizes = OutputSizes()
    state_size: StateSizes = StateSizes()
    fusion_size: int = Field(64, ge=1, le=4096)
    dropout: Dropouts = Dropouts()
    encoder_dropout: float = Field(0.0, ge=0, lt=1)
    modality_dropout: float = Field(0.0, ge=0, lt=1)
    standardise: bool = True


class MultitaskConfig(PartsConfig):
    """What the settings of every model have; each adds its own.

    Attributes:
        name: Name of the model.
    """

    name: str


class MultimodalModel(nn.Module):
    """One vector per modality that the corpus has: what every model begins with.

    A model adds ``forward``, and ``state_sizes``, the size of the state of each of its tasks.

    Args:
        config: Sizes of the parts.
        attention: How the states of a series become one vector.
        sizes: Size of an input feature of each modality that the corpus has; for text, size of a
            state of the text encoder.
        text_encoder: Gives the states of the text; by default the text comes as states already.
        summary: What the text encoder's own summary of a clip is.
    """

    state_sizes: dict[Task, int]

    def __init__(
        self,
        config: PartsConfig,
        *,
        attention: AttentionName,
        sizes: Mapping[Modality, int],
        text_encoder: nn.Module | None = None,
        summary: Literal["cls", "mean"] = "cls",
    ) -> None:
        super().__init__()
        self.modality_dropout = config.modality_dropout
        self.modalities = tuple(m for m in Modality if m in sizes)
        self.tasks = (Task.FUSION, *(Task(m) for m in self.modalities))
        series = [m for m in self.modalities if m is not Modality.TEXT]
        self.encoders = nn.ModuleDict(
            {
                m: _make_encoder(
                    config,
                    sizes[m],
                    state_size=getattr(config.lstm_size, m),
                    output_size=getattr(config.output_size, m),
                    attention=attention,
                )
                for m in series
            }
        )
        self.vector_sizes: dict[Modality, int] = {m: getattr(config.output_size, m) for m in series}
        if Modality.TEXT in sizes:
            self.text_encoder = text_encoder or GivenStates()
            self.summarise = Summarise(sizes[Modality.TEXT], attention=attention, summary=summary)
            self.vector_sizes = {Modality.TEXT: self.summarise.output_size, **self.vector_sizes}

    def encode(
        self, batch: Batch
    ) -> tuple[dict[Modality, Float[Tensor, "B _"]], dict[Modality, Float[Tensor, "B _"]]]:
        """Return the vectors of every modality, and the weights of its steps if it has weights.

        A modality that is the same in all clips is encoded once (``Sequence.repeat``).
        """
        vectors, attention = {}, {}
        for modality in self.modalities:
            vectors[modality], weights = self._encode(modality, batch.sequences[modality])
            if weights is not None:
                attention[modality] = weights
        return vectors, attention

    def _encode(
        self, modality: Modality, sequence: Sequence
    ) -> tuple[Float[Tensor, "B _"], Float[Tensor, "B T"] | None]:
        if sequence.is_repeated:
            num_rows = len(sequence.mask)
            vector, once = self._encode(modality, sequence.repeat(1))
            repeated = None if once is None else once.expand(num_rows, -1)
            return vector.expand(num_rows, -1), repeated
        if modality is Modality.TEXT:
            states = self.text_encoder(sequence)
            vectors, weights = self.summarise(states, sequence.mask)
        else:
            vectors, weights = self.encoders[modality](sequence)
        return vectors, weights

    def present(self, batch: Batch) -> dict[Modality, Bool[Tensor, "B"]]:
        """Return which clips have which modality, less those that dropout takes away."""
        has = torch.stack([batch.sequences[m].mask.any(dim=1) for m in self.modalities])  # (M, B)
        if self.training and self.modality_dropout > 0:
            noise = torch.rand(has.shape, device=has.device)
            kept = has & (noise >= self.modality_dropout)
            best = noise.masked_fill(~has, -1.0).argmax(dim=0)  # stays if all would go
            one = torch.zeros_like(has).scatter(0, best.unsqueeze(0), value=True) & has
            has = torch.where(kept.any(dim=0), kept, one)
        return dict(zip(self.modalities, has.unbind(), strict=True))

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """Return every parameter, with its name, in exactly one group.

        ``text`` is the pretrained encoder, ``audio`` and ``video`` the encoders of the series with
        their attention, ``rest`` everything else.
        """
        groups: dict[str, list[tuple[str, nn.Parameter]]] = {
            name: [] for name in ("text", "audio", "video", "rest")
        }
        for name, parameter in self.named_parameters():
            groups[_group_of(name)].append((name, parameter))
        return groups


class Multitask(MultimodalModel):
    """Encode each modality, fuse, and read one score per task.

    The modalities are those of ``sizes``: a corpus without video gives a model without a video
    task. A clip without a modality gets a learned vector in its place.

    Args:
        config: Sizes of the parts.
        attention: How the states of a series become one vector.
        fusion: How the vectors of the modalities meet.
        sizes: Size of an input feature of each modality that the corpus has; for text, size of a
            state of the text encoder.
        text_encoder: Gives the states of the text; by default the text comes as states already.
        summary: What the text encoder's own summary of a clip is.
    """

    def __init__(
        self,
        config: PartsConfig,
        *,
        attention: AttentionName,
        fusion: FusionName,
        sizes: Mapping[Modality, int],
        text_encoder: nn.Module | None = None,
        summary: Literal["cls", "mean"] = "cls",
    ) -> None:
        super().__init__(
            config, attention=attention, sizes=sizes, text_encoder=text_encoder, summary=summary
        )
        self.absent = nn.ModuleDict({m: AbsentState(n) for m, n in self.vector_sizes.items()})
        self.fusion = FUSIONS[fusion](self.vector_sizes, config.fusion_size)
        head_sizes = {Task.FUSION: self.fusion.output_size}
        head_sizes |= {Task(m): size for m, size in self.vector_sizes.items()}
        self.state_sizes = {t: getattr(config.state_size, t) for t in self.tasks}
        self.heads = nn.ModuleDict(
            {
                task: Head(size, self.state_sizes[task], getattr(config.dropout, task))
                for task, size in head_sizes.items()
            }
        )

    def forward(self, batch: Batch) -> Output:
        """Return scores, states and attention of every clip."""
        present = self.present(batch)
        encoded, attention = self.encode(batch)
        vectors = {m: self.absent[m](v, present[m]) for m, v in encoded.items()}
        inputs = {Task.FUSION: self.fusion(vectors), **{Task(m): v for m, v in vectors.items()}}
        read = {task: self.heads[task](one) for task, one in inputs.items()}
        return Output(
            scores={task: scores for task, (_, scores) in read.items()},
            states={task: states for task, (states, _) in read.items()},
            attention=attention,
            present=present,
        )


def _make_encoder(
    config: PartsConfig,
    size: int,
    *,
    state_size: int,
    output_size: int,
    attention: AttentionName,
) -> SeriesEncoder | StepEncoder:
    if config.encoder == "steps":
        return StepEncoder(
            size,
            state_size=state_size,
            output_size=output_size,
            dropout=config.encoder_dropout,
            attention=attention,
        )
    return SeriesEncoder(
        size,
        state_size=state_size,
        output_size=output_size,
        num_layers=config.num_layers,
        dropout=config.encoder_dropout,
        attention=attention,
    )


def _group_of(name: str) -> str:
    part, _, rest = name.partition(".")
    if part == "text_encoder":
        return "text"
    return rest.partition(".")[0] if part == "encoders" else "rest"
