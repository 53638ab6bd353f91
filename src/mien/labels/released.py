"""``ulag_released``: labels as the released program of TAM-ULAG makes them."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from mien.labels.distance import AveragedLabels
from mien.labels.generator import Generated, LabelInputs
from mien.labels.label_settings import ReleasedUlagConfig
from mien.tensors import Output
from mien.types import Modality, Task

__all__ = ["ReleasedUlagConfig", "ReleasedUlagLabels"]


class ReleasedUlagLabels(AveragedLabels):
    """Do what the released program of sun2024 does, defects and all, so that it can be measured.

        merged = sum over j of <e_m, e_j> e_j,   proposal = y tanh(score(merged) / 2)

    The predictors of the score are random and never trained; the experts belong to the model and
    are moved by the gradient that flows through the target. Proposals enter the targets from the
    first epoch on; there the weight ``difference`` is 0, so that weight decay alone moves experts.

    Source: the released program of sun2024. docs/coming-from-the-released-program.md lists this.
    """

    def __init__(self, config: ReleasedUlagConfig, inputs: LabelInputs) -> None:
        super().__init__(config, inputs)
        size = config.expert_size
        self.experts = nn.ModuleDict({t: nn.Linear(n, size) for t, n in inputs.state_sizes.items()})
        self.predictors = nn.ModuleDict(
            {m: nn.Sequential(nn.Linear(size, size), nn.Linear(size, 1)) for m in self.modalities}
        ).requires_grad_(requires_grad=False)

    def generate(self, output: Output, index: Int[Tensor, "B"], epoch: int) -> Generated:  # noqa: ARG002
        """Return the targets, through which, as released, a gradient flows."""
        experts = {t: F.relu(self.experts[t](states)) for t, states in output.states.items()}
        proposals = self.propose(experts, self.annotated[index])
        targets = {m: (self.bank(m)[index] + proposals[m]) / 2 for m in self.modalities}
        self.remember(index, torch.stack(list(targets.values())), self.present(output))
        return Generated(targets, self.annotated.new_zeros(()))

    def propose(
        self, experts: Mapping[Task, Float[Tensor, "B E"]], annotated: Float[Tensor, "B"]
    ) -> dict[Modality, Float[Tensor, "B"]]:
        """Return the proposals, from unscaled similarities and untrained predictors."""
        stacked = torch.stack(list(experts.values()), dim=1)  # (B, M + 1, E)
        proposals = {}
        for modality in self.modalities:
            likeness = torch.einsum("bme,be->bm", stacked, experts[Task(modality)])
            merged = torch.einsum("bm,bme->be", likeness, stacked)
            score = self.predictors[modality](merged).squeeze(-1)
            proposals[modality] = annotated * torch.tanh(score / 2)
        return proposals
