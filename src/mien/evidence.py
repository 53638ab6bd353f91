"""What a modality itself says of the annotation, and how far to trust that it goes along."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mien.types import Modality, Task

__all__ = ["Confidence", "held_out_prediction"]


class Confidence(nn.Module):
    """Say, from how alike the modalities are, how far each goes along with the whole: 0 to 1.

        e_m  = ReLU(W_m norm(x_m))                     experts
        s_mj = cos(e_m, e_j)                           bounded, whatever the size of the experts
        g_m  = sum over j of softmax_j(s_mj / tau) e_j
        k_m  = sigmoid(MLP_m([g_m; s_m]))

    States are cut from the graph: the confidence has parameters of its own and moves nothing else.

    Source: sun2024, inter-modal similarity. Scaling, softmax and the similarities as a second input
    are ours: the released program multiplies unscaled products, so that doubling the experts
    multiplies its result by eight (docs/decisions.md).

    Args:
        sizes: Size of each task's state.
        expert_size: Size of an expert.
        temperature: tau.
    """

    def __init__(self, sizes: Mapping[Task, int], expert_size: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.tasks = tuple(sizes)
        self.experts = nn.ModuleDict(
            {t: nn.Sequential(nn.LayerNorm(n), nn.Linear(n, expert_size)) for t, n in sizes.items()}
        )
        self.judge = nn.ModuleDict(
            {
                t: nn.Sequential(
                    nn.Linear(expert_size + len(sizes), expert_size),
                    nn.ReLU(),
                    nn.Linear(expert_size, 1),
                )
                for t in sizes
                if t is not Task.FUSION
            }
        )

    def forward(
        self, states: Mapping[Task, Float[Tensor, "B _"]]
    ) -> dict[Modality, Float[Tensor, "B"]]:
        """Return the confidence in each modality."""
        experts = torch.stack(
            [F.relu(self.experts[t](states[t].detach())) for t in self.tasks], dim=1
        )  # (B, M + 1, E)
        unit = F.normalize(experts, dim=-1)
        likeness = torch.einsum("bme,bje->bmj", unit, unit)
        shares = (likeness / self.temperature).softmax(dim=-1)
        merged = torch.einsum("bmj,bje->bme", shares, experts)
        seen = torch.cat([merged, likeness], dim=-1)
        return {
            Modality(t): torch.sigmoid(self.judge[t](seen[:, i]).squeeze(-1))
            for i, t in enumerate(self.tasks)
            if t is not Task.FUSION
        }


def held_out_prediction(
    states: Float[Tensor, "N H"], targets: Float[Tensor, "N"], *, folds: int
) -> Float[Tensor, "N"]:
    """Predict each target by ridge regression from states, fitted on the other folds.

    Folds are runs of neighbouring clips, so that clips of one video, which stand together in every
    published corpus, mostly stay together. The penalty is the one of five that predicts the
    held-out clips best. Costs O(N H^2 + folds H^3).

    Args:
        states: One state per clip.
        targets: What is to be predicted.
        folds: Parts into which the clips are cut.
    """
    width = states.std(dim=0)
    x = (states - states.mean(dim=0)) / torch.where(width > 1e-12, width, 1.0)
    middle = targets.mean()
    y = targets - middle
    fold = torch.arange(len(y), device=y.device) * folds // len(y)
    penalties = len(y) * torch.tensor([1e-3, 1e-2, 1e-1, 1.0, 10.0], dtype=x.dtype, device=x.device)
    predicted = x.new_zeros(len(penalties), len(y))
    gram, moment = x.T @ x, x.T @ y
    eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    for k in range(folds):
        part = x[fold == k]
        rest = gram - part.T @ part
        side = moment - part.T @ y[fold == k]
        solved = torch.linalg.solve(rest + penalties[:, None, None] * eye, side)  # (K, H)
        predicted[:, fold == k] = solved @ part.T
    best = (predicted - y).square().mean(dim=1).argmin()
    return predicted[best] + middle
