"""What a further target adds to the objective: its multimodal loss, and those of its modalities."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mien.labels.target_labels import TargetLabels
from mien.models.multitask import MultimodalModel
from mien.tensors import Output, Targets
from mien.training.targets.target_losses import TargetLoss
from mien.types import Task

__all__ = ["TargetObjective", "TermLoss", "start_at_constants"]


class TermLoss(NamedTuple):
    """What one of several things that are predicted adds to the loss of a batch.

    Attributes:
        tasks: By task, as they are added up.
        own_loss: What the label generator is trained by.
    """

    tasks: dict[Task, Float[Tensor, ""]]
    own_loss: Float[Tensor, ""]


class TargetObjective(nn.Module):
    """The weighted loss of a target for all tasks, on annotated and on generated labels.

        weight N / n (1 / B) sum over annotated clips of loss / loss of the constant predictor

    n of N train clips are annotated for the target; a clip that is not adds nothing, and neither
    does one that lacks a modality to that modality's loss. So a step is a mean over its clips,
    whichever of them share a batch, and every target has a loss of about 1 at the start.

    Args:
        loss: The loss of a clip.
        labels: Makes the labels of the unimodal tasks.
    """

    def __init__(self, loss: TargetLoss, labels: TargetLabels) -> None:
        super().__init__()
        self.loss, self.labels, self.target = loss, labels, loss.target
        num_annotated = int((labels.row_of >= 0).sum())
        self.factor = loss.settings.weight * len(labels.row_of) / max(num_annotated, 1)

    @property
    def name(self) -> str:
        """Name of the target."""
        return self.target.name

    def forward(
        self, output: Output, targets: Targets, index: Int[Tensor, "B"], epoch: int
    ) -> TermLoss:
        """Return the loss of a batch of epoch ``epoch``, counted from 1."""
        places, rows, annotated = self.labels.pick(output, index)
        raw = annotated.targets[self.name]
        labels = targets.values[self.name][Task.FUSION][places]
        share = self.factor / len(index)
        tasks = {Task.FUSION: self.loss(raw[Task.FUSION], labels).sum() * share}
        if not len(rows):
            tasks |= {Task(m): tasks[Task.FUSION] for m in self.labels.modalities}
            return TermLoss(tasks, tasks[Task.FUSION])
        generated, own_loss = self.labels.generate(annotated, rows, epoch)
        weights = self.labels.weights(rows)
        for modality, own in generated.items():
            error = weights[modality] * self.loss(raw[Task(modality)], own)
            has = annotated.present[modality]
            tasks[Task(modality)] = torch.where(has, error, 0.0).sum() * share
        return TermLoss(tasks, own_loss)

    def relative(self, values: Float[Tensor, "N K"], labels: Float[Tensor, "N K"]) -> float:
        """Return the mean loss of clips in units of the constant predictor; NaN if none has labels.

        Args:
            values: Probabilities, or values on the scale.
            labels: What is annotated; NaN where nothing is.
        """
        known = ~labels.isnan().any(dim=1)
        return float(self.loss.of_shares(values[known], labels[known]).double().mean())


def start_at_constants(model: MultimodalModel, losses: Sequence[TargetLoss]) -> None:
    """Let a model begin where it says of every clip what the constant predictor does."""
    for loss in losses:
        model.target_heads.start_at(loss.target, loss.constant)
