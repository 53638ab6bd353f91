"""One multimodal and up to three unimodal tasks: the network that the models have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mien.models.encoders import (
    AbsentState,
    EncodedSteps,
    Head,
    SeriesEncoder,
    StepEncoder,
    Summarise,
    TargetHeads,
)
from mien.models.fusion import Fusion
from mien.models.model_settings import (
    AttentionName,
    Dropouts,
    LstmSizes,
    MultitaskConfig,
    NetworkConfig,
    OutputSizes,
    PartsConfig,
    StateSizes,
)
from mien.pretrained.packed.first_states import first_state
from mien.pretrained.packed.shared_passages import drop_context
from mien.pretrained.text_encoder import GivenStates
from mien.tensors import Batch, Encoded, Output, PaddedSeries
from mien.types import Modality, Target, Task

__all__ = [
    "Dropouts",
    "LstmSizes",
    "ModelInputs",
    "MultimodalModel",
    "Multitask",
    "MultitaskConfig",
    "NetworkConfig",
    "OutputSizes",
    "PartsConfig",
    "StateSizes",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInputs:
    """What a model reads: decided by the data and the text encoder, never by its settings.

    Attributes:
        sizes: Size of an input feature of each modality that the corpus has; for text, size of a
            state of the text encoder.
        text_encoder: Gives the states of the text; by default the text comes as states already.
        summary: What the text encoder's own summary of a clip is: its first state or the mean.
        targets: What is predicted besides sentiment.
        has_sentiment: Whether sentiment is predicted.
    """

    sizes: Mapping[Modality, int]
    text_encoder: nn.Module | None = None
    summary: Literal["cls", "mean"] = "cls"
    targets: tuple[Target, ...] = ()
    has_sentiment: bool = True


class MultimodalModel(nn.Module):
    """One vector per modality that the corpus has: what every model begins with.

    The modalities are those of the inputs: a corpus without video gives a model without a video
    task. A model adds ``fuse``, and ``state_sizes``, the size of the state of each of its tasks. It
    may have a ``forward`` of its own in the place of ``fuse``; then every set of modalities that is
    tried on a clip costs a pass of its own. One that scores the multimodal task alone says so in
    ``tasks``, one that cannot be trained on a batch of fewer clips in ``least_batch``.

    Further targets, such as emotions, are read from the states of the tasks, by a layer for each:
    whatever ``fuse`` or ``forward`` returns, calling the model adds them (``add_targets``).
    ``build_model`` makes the layers; a model that initialises them at a certain place, or
    reads targets in another way, does so itself with ``read_targets_from``.

    Args:
        config: Sizes of the parts.
        inputs: What the model reads.
        attention: How the states of a series become one vector; None if the model does not make
            one of each and has ``encoders`` and a ``forward`` of its own.
    """

    state_sizes: dict[Task, int]
    least_batch: int = 1

    def __init__(
        self,
        config: PartsConfig | NetworkConfig,
        inputs: ModelInputs,
        *,
        attention: AttentionName | None,
    ) -> None:
        super().__init__()
        self.targets, self.has_sentiment = inputs.targets, inputs.has_sentiment
        self.modality_dropout = config.modality_dropout
        self.modalities = tuple(m for m in Modality if m in inputs.sizes)
        self.tasks: tuple[Task, ...] = (Task.FUSION, *(Task(m) for m in self.modalities))
        if Modality.TEXT in inputs.sizes:
            self.text_encoder = inputs.text_encoder or GivenStates()
        if attention is not None and isinstance(config, PartsConfig):
            self._make_parts(config, inputs, attention)

    def _make_parts(
        self, config: PartsConfig, inputs: ModelInputs, attention: AttentionName
    ) -> None:
        series = [m for m in self.modalities if m is not Modality.TEXT]
        self.encoders = nn.ModuleDict(
            {
                m: _make_encoder(
                    config,
                    inputs.sizes[m],
                    state_size=getattr(config.lstm_size, m),
                    output_size=getattr(config.output_size, m),
                    attention=attention,
                    has_log_odds=m.value in config.log_odds,
                )
                for m in series
            }
        )
        self.vector_sizes: dict[Modality, int] = {m: getattr(config.output_size, m) for m in series}
        if Modality.TEXT in inputs.sizes:
            self.summarise = Summarise(
                inputs.sizes[Modality.TEXT], attention=attention, summary=inputs.summary
            )
            self.vector_sizes = {Modality.TEXT: self.summarise.output_size, **self.vector_sizes}

    @property
    def networks(self) -> tuple["MultimodalModel", ...]:
        """The networks that it is: itself, or the members of an ensemble."""
        return (self,)

    def encode(self, modality: Modality, series: PaddedSeries) -> EncodedSteps:
        """Return the state of every step of a modality, and the encoder's summary of each clip.

        A series that is the same in all clips is encoded once (``PaddedSeries.repeat``).
        """
        if series.is_repeated:
            return self.encode(modality, series.repeat(1))._replace(num_clips=len(series.mask))
        if modality is Modality.TEXT:
            if self.summarise.reads_first_alone:
                first = first_state(self.text_encoder, series)
                return EncodedSteps(first.unsqueeze(1), first, series.mask[:, :1])
            return self.summarise.encode(*drop_context(series, self.text_encoder(series)))
        encoded: EncodedSteps = self.encoders[modality].encode(series)  # type: ignore[operator]
        return encoded

    def attend(
        self, modality: Modality, steps: EncodedSteps
    ) -> tuple[Float[Tensor, "B _"], Float[Tensor, "B T"] | None]:
        """Return one vector per clip, and the weight of each step if the attention has weights."""
        part = self.summarise if modality is Modality.TEXT else self.encoders[modality]
        vectors, weights = part.attend(steps)  # type: ignore[operator]
        if steps.num_clips is not None:
            vectors = vectors.expand(steps.num_clips, -1)
            weights = None if weights is None else weights.expand(steps.num_clips, -1)
        return vectors, weights

    def encode_batch(
        self, batch: Batch
    ) -> tuple[dict[Modality, Float[Tensor, "B _"]], dict[Modality, Float[Tensor, "B _"]]]:
        """Return the vectors of every modality, and the weights of its steps if it has weights."""
        vectors, attention = {}, {}
        for modality in self.modalities:
            steps = self.encode(modality, batch.sequences[modality])
            vectors[modality], weights = self.attend(modality, steps)
            if weights is not None:
                attention[modality] = weights
        return vectors, attention

    def encode_clips(self, batch: Batch) -> Encoded:
        """Return the modalities of a batch, each encoded by itself."""
        present = self.present(batch)
        vectors, attention = self.encode_batch(batch)
        return Encoded(vectors=vectors, attention=attention, present=present)

    def fuse(self, encoded: Encoded) -> Output:
        """Return scores, states and attention of clips whose modalities are encoded."""
        raise NotImplementedError

    def read_targets_from(self, state_sizes: Mapping[Task, int]) -> None:
        """Add what reads further targets from the states of the tasks, where there are some.

        What is there already stays.
        """
        if self.targets and not hasattr(self, "target_heads"):
            self.target_heads = TargetHeads(self.targets, state_sizes)

    def add_targets(self, output: Output) -> Output:
        """Return an output with the values of further targets; without scores if there are none."""
        if not self.targets:
            return output
        targets = output.targets or self.target_heads(output.states)
        scores = output.scores if self.has_sentiment else {}
        return replace(output, scores=scores, targets=targets)

    def __call__(self, batch: Batch) -> Output:
        """Return scores, states, attention and the values of further targets of every clip."""
        return self.add_targets(super().__call__(batch))

    def forward(self, batch: Batch) -> Output:
        """Return scores, states and attention of every clip."""
        return self.fuse(self.encode_clips(batch))

    @property
    def _fuses_apart(self) -> bool:
        """Whether all that it computes is ``fuse`` of what ``encode_clips`` gives."""
        own = type(self)
        return own.forward is MultimodalModel.forward and own.fuse is not MultimodalModel.fuse

    def encode_once(self, batch: Batch) -> Batch | Encoded:
        """Return clips that are finished several times, with other modalities taken away.

        Each modality is encoded, and what remains to be done is the fusion; a model with a
        ``forward`` of its own gets the batch itself, and computes it anew each time.
        """
        return self.encode_clips(batch) if self._fuses_apart else batch

    def finish(self, clips: Batch | Encoded) -> Output:
        """Return scores, states and attention of what ``encode_once`` returned."""
        if isinstance(clips, Encoded):
            return self.add_targets(self.fuse(clips))
        output: Output = self(clips)
        return output

    def vary(
        self, clip: Batch | Encoded, modality: Modality, series: PaddedSeries
    ) -> Batch | Encoded:
        """Return one clip as many times as there are other series of one modality, with these."""
        if isinstance(clip, Encoded):
            vectors, _ = self.attend(modality, self.encode(modality, series))
            return clip.vary(modality, vectors, series.mask.any(dim=1))
        num_rows = len(series.mask)
        sequences = {m: s.repeat(num_rows) for m, s in clip.sequences.items()}
        index = torch.arange(num_rows, device=series.mask.device)
        return Batch(index=index, sequences=sequences | {modality: series})

    def change(
        self, clips: Batch | Encoded, sequences: Mapping[Modality, PaddedSeries]
    ) -> Batch | Encoded:
        """Return what ``encode_once`` returned, with other series of some modalities."""
        if isinstance(clips, Batch):
            return Batch(index=clips.index, sequences={**clips.sequences, **sequences})
        vectors = {m: self.attend(m, self.encode(m, s))[0] for m, s in sequences.items()}
        present = {m: s.mask.any(dim=1) for m, s in sequences.items()}
        return Encoded(
            vectors={**clips.vectors, **vectors},
            attention={m: w for m, w in clips.attention.items() if m not in sequences},
            present={**clips.present, **present},
        )

    def present(self, batch: Batch) -> dict[Modality, Bool[Tensor, "B"]]:
        """Return which clips have which modality, less those that dropout takes away."""
        has = torch.stack([batch.sequences[m].mask.any(dim=1) for m in self.modalities])  # (M, B)
        if self.training and self.modality_dropout > 0:
            noise = torch.rand(has.shape, device=has.device)
            remaining = has & (noise >= self.modality_dropout)
            best = noise.masked_fill(~has, -1.0).argmax(dim=0)  # stays if all would go
            lone = torch.zeros_like(has).scatter(0, best.unsqueeze(0), value=True) & has
            has = torch.where(remaining.any(dim=0), remaining, lone)
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
    """A multimodal task and one of each modality: a vector each, and a score read from it.

    A clip without a modality gets a learned vector in its place. A model adds the fusion of the
    vectors, ``heads`` and ``fuse``.

    Args:
        config: Sizes of the parts.
        inputs: What the model reads.
        attention: How the states of a series become one vector.
    """

    heads: nn.ModuleDict

    def __init__(
        self, config: PartsConfig, inputs: ModelInputs, *, attention: AttentionName
    ) -> None:
        super().__init__(config, inputs, attention=attention)
        self.absent = nn.ModuleDict({m: AbsentState(n) for m, n in self.vector_sizes.items()})
        self.state_sizes = {t: getattr(config.state_size, t) for t in self.tasks}
        self.read_targets_from(self.state_sizes)

    def make_heads(self, config: PartsConfig, fused_size: int) -> nn.ModuleDict:
        """Build a head for every task, the multimodal one for a fused vector of the given size."""
        sizes = {Task.FUSION: fused_size} | {Task(m): n for m, n in self.vector_sizes.items()}
        return nn.ModuleDict(
            {
                task: Head(
                    size,
                    self.state_sizes[task],
                    getattr(config.dropout, task),
                    has_score=self.has_sentiment,
                )
                for task, size in sizes.items()
            }
        )

    def widen(self, state: Mapping[str, Tensor], modality: Modality) -> dict[str, Tensor]:
        """Return weights of a model of one modality, as this one of several takes them over.

        The multimodal head reads from the fused vector what that model's head read, and nothing
        else at first. Only what has to be changed for that is returned; nothing where it does not
        fit, or the model fuses in a way of its own.

        Args:
            state: The weights of the other model.
            modality: What it reads.
        """
        name = f"heads.{Task.FUSION}.enter.weight"
        own, given = self.state_dict().get(name), state.get(name)
        fusion = getattr(self, "fusion", None)
        if own is None or given is None or not isinstance(fusion, Fusion):
            return {}
        columns = fusion.columns_of(modality)
        if given.shape != (len(own), columns.stop - columns.start):
            return {}
        weight = torch.zeros_like(own)
        weight[:, columns] = given.to(own)
        return {name: weight}

    def fill_absent(
        self,
        vectors: Mapping[Modality, Float[Tensor, "B _"]],
        present: Mapping[Modality, Bool[Tensor, "B"]],
    ) -> dict[Modality, Float[Tensor, "B _"]]:
        """Return the vectors, with a learned one where a clip does not have the modality."""
        return {m: self.absent[m](vector, present[m]) for m, vector in vectors.items()}

    def score(
        self, fused: Float[Tensor, "B _"], vectors: Mapping[Modality, Float[Tensor, "B _"]]
    ) -> tuple[dict[Task, Float[Tensor, "B"]], dict[Task, Float[Tensor, "B _"]]]:
        """Return the score of every task, and the state from which it is read."""
        scores, states = {}, {}
        for task, vector in {
            Task.FUSION: fused,
            **{Task(m): v for m, v in vectors.items()},
        }.items():
            states[task], scores[task] = self.heads[task](vector)
        return scores, states


def _make_encoder(
    config: PartsConfig,
    size: int,
    *,
    state_size: int,
    output_size: int,
    attention: AttentionName,
    has_log_odds: bool,
) -> SeriesEncoder | StepEncoder:
    if config.encoder == "steps":
        return StepEncoder(
            size,
            state_size=state_size,
            output_size=output_size,
            dropout=config.encoder_dropout,
            attention=attention,
            has_log_odds=has_log_odds,
        )
    return SeriesEncoder(
        size,
        state_size=state_size,
        output_size=output_size,
        num_layers=config.num_layers,
        dropout=config.encoder_dropout,
        attention=attention,
        has_log_odds=has_log_odds,
    )


def _group_of(name: str) -> str:
    part, _, rest = name.partition(".")
    if part == "text_encoder":
        return "text"
    return rest.partition(".")[0] if part == "encoders" else "rest"
