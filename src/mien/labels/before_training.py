"""Labels that are made from evidence before a model is trained: what such generators share."""

from abc import abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mien.labels.generator import Evidence, Generated, LabelGenerator, LabelInputs
from mien.labels.label_settings import EvidenceLabelsConfig
from mien.tensors import Output
from mien.types import Modality

__all__ = ["LabelsBeforeTraining"]


class LabelsBeforeTraining(LabelGenerator):
    """Go over, after the warm-up, to labels that were made from evidence before the training.

    In the warm-up the labels are the annotation; afterwards they are what ``make`` returned, cut to
    the scale, and stay. The evidence comes from models that are trained beforehand
    (``mien.training.out_of_fold``), so that nothing here depends on the states of the model that
    learns from the labels: it cannot move its own target, and a step costs no upkeep.

    Args:
        config: Settings.
        inputs: Annotations, scale, sizes and evidence.

    Raises:
        ValueError: If there is no evidence.
    """

    needs_evidence = True

    def __init__(self, config: EvidenceLabelsConfig, inputs: LabelInputs) -> None:
        super().__init__(config, inputs)
        if inputs.evidence is None:
            raise ValueError(
                f"generator {config.generator!r} needs evidence; "
                "mien.training.out_of_fold.cross_fit makes it"
            )
        self.config = config
        self.warmup_epochs = config.warmup_epochs
        labels = self.make(inputs.evidence, inputs)
        self.register_rows("found", self.modalities, inputs.annotated)
        for modality in self.modalities:
            self.estimate(modality).copy_(labels[modality])

    @abstractmethod
    def make(self, evidence: Evidence, inputs: LabelInputs) -> dict[Modality, Float[Tensor, "N"]]:
        """Return the labels of each modality before they are cut to the scale."""

    def estimate(self, modality: Modality) -> Float[Tensor, "N"]:
        """Return the labels to which the task goes over, before they are cut to the scale."""
        estimate: Tensor = getattr(self, f"found_{modality}")
        return estimate

    def generate(self, output: Output, index: Int[Tensor, "B"], epoch: int) -> Generated:
        """Return the targets; after the warm-up, the estimates go into the bank as clips come."""
        if epoch > self.warmup_epochs:
            cut, banks = self.cut_to_scale(self.rows("found")[:, index]), self.banks
            banks[:, index] = torch.where(self.present(output), cut, banks[:, index])
        return super().generate(output, index, epoch)
