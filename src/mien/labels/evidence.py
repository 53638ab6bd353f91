"""What a modality itself says of the annotation, and how far to trust that it goes along."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mien.tensors import precise
from mien.types import Modality, Task

__all__ = ["Confidence", "Evidence", "held_out_prediction", "latent_labels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What late-fusion models say of train clips that they have not seen.

    They may have learned from labels that the clips' annotations moved: see
    ``mien.training.out_of_fold``.

    Attributes:
        scores: Score of each modality alone; NaN where a clip does not have the modality.
        weights: How much each modality counts in the multimodal label; they sum to 1.
    """

    scores: dict[Modality, Float[Tensor, "N"]]
    weights: dict[Modality, float]


def latent_labels(
    evidence: Evidence, annotated: Float[Tensor, "N"], *, rest: float
) -> dict[Modality, Float[Tensor, "N"]]:
    """Estimate what each modality says, if the annotation is the weighted mean of just that.

        r   = y - sum of w_s p_s               what the evidence leaves unexplained
        u_s = p_s + r M / (M + rest)
        y_s = mean(y) + S (u_s - mean(u_s)) / sd(u_s),   S = sum of w_s sd(u_s)

    M is the number of modalities that the clip has; their weights sum to 1. p_s comes from a model
    that has not seen the clip, so that nearly all that is known of the clip's own annotation is in
    r. Not all: a little of it returns to p_s by way of the labels of other clips
    (``mien.training.out_of_fold``). ``rest`` is the share that stays with none of them: noise of
    the annotation, and what no feature shows. The last line gives every modality one spread, that
    at which the annotation is their weighted mean again; evidence shrinks towards the mean where a
    modality is hard to read.

    What is unexplained moves all modalities of a clip alike. That is the posterior mean (a Kalman
    step) if the errors of the evidence are independent, each with a variance in inverse proportion
    to its weight: the more a modality counts, the better it is read. docs/decisions.md measures
    both.

    Args:
        evidence: What each modality says.
        annotated: Multimodal labels.
        rest: Share of what is unexplained that no modality takes, in units of the share of one.

    Returns:
        Labels, not cut to the scale; the annotation where a clip does not have the modality.
    """
    scores = precise(torch.stack(list(evidence.scores.values())))  # (M, N)
    has, y = ~scores.isnan(), precise(annotated)
    weights = torch.tensor(list(evidence.weights.values()), dtype=torch.float64, device=y.device)
    counted = torch.where(has, weights.unsqueeze(-1), 0.0)
    shares = counted / counted.sum(dim=0).clamp(min=1e-12)
    explained = (shares * scores.nan_to_num()).sum(dim=0)
    number = has.sum(dim=0)
    moved = scores + (y - explained) * number / (number + rest)
    spreads = torch.stack([_spread(u[h]) for u, h in zip(moved, has, strict=True)])
    common = (weights * spreads).sum()
    labels = {}
    for modality, u, h, spread in zip(evidence.scores, moved, has, spreads, strict=True):
        middle = y[h].mean() + common * (u - u[h].mean()) / spread.clamp(min=1e-12)
        labels[modality] = torch.where(h, middle, y).to(annotated)
    return labels


def _spread(values: Float[Tensor, "_"]) -> Float[Tensor, ""]:
    return values.std(correction=0) if len(values) else values.new_zeros(())


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
