"""What is minimised: the multimodal loss and the unimodal ones, on generated labels."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mien.labels.generator import LabelGenerator
from mien.tensors import Output, Targets
from mien.training.settings import LossConfig
from mien.types import Task

__all__ = ["Loss", "MultitaskObjective"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The loss of a batch.

    Attributes:
        total: What is minimised.
        tasks: Its part per task, detached.
    """

    total: Float[Tensor, ""]
    tasks: dict[Task, Float[Tensor, ""]]


class MultitaskObjective(nn.Module):
    """Sum, over the tasks, of the weighted mean absolute error.

        loss = sum over m in f t a v of c_m mean over clips of w_m |score_m - target_m|,   w_f = 1

    plus the generator's own loss, which moves nothing but the generator, and the terms that the
    model adds, which it has weighted. A clip that does not have
    a modality adds 0 to that modality's loss.

    Source: yu2021, eq. 12.

    Args:
        labels: Makes the targets of the unimodal tasks; a part of this module, so that it is
            trained, saved and moved with it.
        config: How much each task counts, c, and whether errors are squared.
    """

    def __init__(self, labels: LabelGenerator, config: LossConfig | None = None) -> None:
        super().__init__()
        self.labels = labels
        self.config = config or LossConfig()

    def forward(
        self, output: Output, targets: Targets, index: Int[Tensor, "B"], epoch: int
    ) -> Loss:
        """Return the loss of a batch of epoch ``epoch``, counted from 1."""
        fused = self._errors(Task.FUSION, output, targets.labels[Task.FUSION]).mean()
        tasks = {Task.FUSION: fused}
        generated = self.labels.generate(output, index, epoch)
        weights = self.labels.weights(index)
        for modality, target in generated.targets.items():
            error = weights[modality] * self._errors(Task(modality), output, target)
            tasks[Task(modality)] = torch.where(output.present[modality], error, 0.0).mean()
        total = torch.stack([*tasks.values(), generated.own_loss, *output.terms.values()]).sum()
        return Loss(total=total, tasks={task: loss.detach() for task, loss in tasks.items()})

    def _errors(self, task: Task, output: Output, labels: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
        """Return how much the difference of each clip's score to its label counts."""
        apart = output.scores[task] - labels
        error = apart.abs() if self.config.error == "absolute" else apart.square()
        weighted: Tensor = getattr(self.config, task) * error
        return weighted

    def observe(self, output: Output, index: Int[Tensor, "B"], epoch: int) -> None:
        """Let the generator learn from a batch; called after its loss was taken."""
        detached = Output(
            scores={t: s.detach() for t, s in output.scores.items()},
            states={t: s.detach() for t, s in output.states.items()},
            attention={},
            present=output.present,
        )
        self.labels.observe(detached, index, epoch)

    def finish_epoch(self, epoch: int) -> None:
        """Let the generator do what it does once an epoch."""
        self.labels.finish_epoch(epoch)

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """Return the generator's trained parameters, as the group ``labels``."""
        named = [(n, p) for n, p in self.named_parameters() if p.requires_grad]
        return {"labels": named}
