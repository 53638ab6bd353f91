"""``copy`` and ``human``: labels that do not move, with which generated ones are compared."""

import torch

from mien.errors import ConfigError
from mien.labels.generator import LabelGenerator, LabelInputs
from mien.labels.label_settings import CopyConfig, GeneratorConfig, HumanConfig
from mien.types import Task

__all__ = ["CopyConfig", "CopyLabels", "FixedLabels", "HumanConfig", "HumanLabels"]


class FixedLabels(LabelGenerator):
    """Labels that stay as they are while the model is trained.

    Args:
        config: Settings.
        inputs: Annotations, scale and sizes.

    Raises:
        ConfigError: If clips are weighted by how far their labels have moved.
    """

    def __init__(self, config: GeneratorConfig, inputs: LabelInputs) -> None:
        if config.weight == "difference":
            raise ConfigError(
                f"setting labels.weight is 'difference' with labels.generator "
                f"{config.generator!r}, whose labels do not move away from the annotation; use "
                "labels.weight=one"
            )
        super().__init__(config, inputs)


class CopyLabels(FixedLabels):
    """Give every unimodal task the multimodal label: the control that a generator must beat."""


class HumanLabels(FixedLabels):
    """Give every unimodal task what people annotated; the upper reference.

    A clip that lacks an annotation (NaN) keeps the multimodal label.

    Args:
        config: Settings.
        inputs: Annotations, scale and sizes.

    Raises:
        ConfigError: If clips are weighted by how far their labels have moved.
    """

    needs_unimodal = True

    def __init__(self, config: HumanConfig, inputs: LabelInputs) -> None:
        super().__init__(config, inputs)
        for modality in self.modalities:
            given = inputs.labels[Task(modality)]
            self.bank(modality).copy_(torch.where(given.isnan(), self.annotated, given))
