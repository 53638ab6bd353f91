"""What regressions on clip means share: the means, what stands in for one, and what a fit is given.

Text is read as the states of its encoder, as by every other model, and not as counts of words: so a
row of theirs differs from one of a network in what is made of the states alone, a model reads any
language that its encoder does, and predicts on new texts without a vocabulary of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mien.models.encoders import EncodedSteps, Summarise, mean_step
from mien.models.model_settings import NetworkConfig
from mien.models.multitask import ModelInputs, MultimodalModel
from mien.models.zoo.series_model import SeriesInput
from mien.tensors import Encoded, Output, PaddedSeries
from mien.types import Modality, Target, TargetKind, Task

__all__ = ["ClipMeansModel", "FitGoal", "Tried"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitGoal:
    """One thing that is to be predicted, and the clips that are annotated for it.

    Attributes:
        target: What it is; None stands for sentiment.
        vectors: Of the train clips, as ``ClipMeansModel.join`` returns them.
        values: What is annotated of them.
        weights: How much a clip of each class counts.
        others: How much one counts that does not have a label.
        constant: What the constant predictor gives: logits, or values on the scale.
        is_squared: Whether squared errors are minimised, where that can be chosen.
        valid: Vectors of the valid clips.
        error: Returns how bad values of the valid clips are: logits, or values on the scale.
        seed: Of whatever is drawn.
    """

    target: Target | None
    vectors: Float[np.ndarray, "N V"]
    values: Float[np.ndarray, "N K"]
    weights: Float[np.ndarray, "K"]
    others: Float[np.ndarray, "K"]
    constant: Float[np.ndarray, "K"]
    is_squared: bool
    valid: Float[np.ndarray, "M V"]
    error: Callable[[Float[np.ndarray, "M K"]], float]
    seed: int

    @property
    def kind(self) -> TargetKind:
        """What its values are; sentiment is a score."""
        return TargetKind.SCORE if self.target is None else self.target.kind


class Tried(NamedTuple):
    """One of the fits among which valid chose.

    Attributes:
        settings: How it was made.
        error: On valid.
    """

    settings: dict[str, float | int]
    error: float


class _MeanInput(SeriesInput):
    """Give the mean of a series over its steps, in standard units."""

    def encode(self, series: PaddedSeries) -> EncodedSteps:
        """Return the mean as the only step."""
        mean = mean_step(self.standardise(series).values, series.mask)
        return EncodedSteps(mean.unsqueeze(1), mean, series.mask[:, :1])

    def attend(self, steps: EncodedSteps) -> tuple[Float[Tensor, "B D"], None]:
        """Return the mean; no step has a weight."""
        return steps.summary, None


class _MeanOfTrain(nn.Module):
    """Stand in, with the mean of the train clips, for the vector of a clip that has none.

    Args:
        size: Size of the vector, D.
    """

    vector: Float[Tensor, "D"]

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("vector", torch.zeros(size))

    def forward(
        self, vectors: Float[Tensor, "B D"], is_present: Bool[Tensor, "B"]
    ) -> Float[Tensor, "B D"]:
        """Return ``vectors``, with that mean in the rows where ``is_present`` is False."""
        return torch.where(is_present.unsqueeze(-1), vectors, self.vector)


class ClipMeansModel(MultimodalModel):
    """Predict from the mean of each modality over a clip, by what is fitted at once.

    A clip that does not have a modality is read as if it had the mean of the train clips. A model
    adds ``fit``, and ``score``.

    Args:
        config: Settings.
        inputs: What the model reads.
    """

    #: Whether squared errors of values are all that it can minimise.
    fits_squares: ClassVar[bool] = False

    @classmethod
    def needs_scikit_learn(cls, targets: Sequence[Target]) -> bool:
        """Return whether fitting it, with these further targets, takes scikit-learn."""
        raise NotImplementedError

    def __init__(self, config: NetworkConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs, attention=None)
        self.tasks = (Task.FUSION,)
        series = [m for m in self.modalities if m is not Modality.TEXT]
        self.encoders = nn.ModuleDict({m: _MeanInput(inputs.sizes[m]) for m in series})
        if Modality.TEXT in inputs.sizes:
            self.summarise = Summarise(
                inputs.sizes[Modality.TEXT], attention="none", summary="mean"
            )
        self.absent = nn.ModuleDict({m: _MeanOfTrain(inputs.sizes[m]) for m in self.modalities})
        self.state_sizes = {Task.FUSION: sum(inputs.sizes[m] for m in self.modalities)}

    def fuse(self, encoded: Encoded) -> Output:
        """Return scores and states of clips whose modalities are encoded."""
        joined = self.join(encoded.vectors, encoded.present)
        return Output(
            scores={Task.FUSION: self.score(joined)},
            states={Task.FUSION: joined},
            attention={},
            present=dict(encoded.present),
        )

    def join(
        self,
        vectors: Mapping[Modality, Float[Tensor, "B _"]],
        present: Mapping[Modality, Bool[Tensor, "B"]],
    ) -> Float[Tensor, "B V"]:
        """Return the means of all modalities in a row."""
        return torch.cat([self.absent[m](vectors[m], present[m]) for m in self.modalities], dim=1)

    def score(self, joined: Float[Tensor, "B V"]) -> Float[Tensor, "B"]:
        """Return the score of each clip; NaN where the model predicts no sentiment."""
        raise NotImplementedError

    def fit(self, goal: FitGoal) -> list[Tried]:
        """Fit what predicts one thing, and keep of several fits the one that is best on valid.

        Returns:
            All fits in the order in which they were tried; the first of the best is kept.

        Raises:
            ConfigError: If a package is not installed that it needs.
        """
        raise NotImplementedError
