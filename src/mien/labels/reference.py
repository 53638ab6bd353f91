"""Labels with which generated ones are compared: ``copy``, ``human``, ``oof`` and ``mean``."""

import torch
from jaxtyping import Float
from torch import Tensor

from mien.labels.before_training import LabelsBeforeTraining
from mien.labels.generator import Evidence, LabelGenerator, LabelInputs
from mien.labels.label_settings import (
    CopyConfig,
    FixedConfig,
    HumanConfig,
    MeanConfig,
    OutOfFoldConfig,
)
from mien.types import Modality, Task

__all__ = [
    "CopyConfig",
    "CopyLabels",
    "FixedConfig",
    "FixedLabels",
    "HumanConfig",
    "HumanLabels",
    "MeanConfig",
    "MeanLabels",
    "OutOfFoldConfig",
    "OutOfFoldLabels",
]


class FixedLabels(LabelGenerator):
    """Labels that stay as they are while the model is trained; settings are a ``FixedConfig``."""


class CopyLabels(FixedLabels):
    """Give every unimodal task the multimodal label: the control that a generator must beat."""


class HumanLabels(FixedLabels):
    """Give every unimodal task what people annotated; the upper reference.

    A clip that lacks an annotation (NaN) keeps the multimodal label.

    Args:
        config: Settings.
        inputs: Annotations, scale and sizes.
    """

    needs_unimodal = True

    def __init__(self, config: HumanConfig, inputs: LabelInputs) -> None:
        super().__init__(config, inputs)
        for modality in self.modalities:
            given = inputs.labels[Task(modality)]
            self.bank(modality).copy_(torch.where(given.isnan(), self.annotated, given))


class OutOfFoldLabels(LabelsBeforeTraining):
    """Give every unimodal task its evidence, the annotation as each modality alone predicts it."""

    def make(self, evidence: Evidence, inputs: LabelInputs) -> dict[Modality, Float[Tensor, "N"]]:
        """Return the scores; the annotation where a clip does not have the modality."""
        return {
            modality: torch.where(scores.isnan(), inputs.annotated, scores)
            for modality, scores in evidence.scores.items()
        }


class MeanLabels(OutOfFoldLabels):
    """Give every unimodal task the mean of its evidence and the annotation."""

    def make(self, evidence: Evidence, inputs: LabelInputs) -> dict[Modality, Float[Tensor, "N"]]:
        """Return the means; the annotation where a clip does not have the modality."""
        labels = super().make(evidence, inputs)
        return {modality: (own + inputs.annotated) / 2 for modality, own in labels.items()}
