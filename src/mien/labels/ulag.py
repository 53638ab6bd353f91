"""``ulag``: distance labels, averaged with proposals from the likeness of the modalities."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from mien.labels.distance import AveragedLabels
from mien.labels.generator import Generated, LabelInputs
from mien.labels.label_settings import UlagConfig
from mien.tensors import Output, precise
from mien.types import Modality, Task

__all__ = ["Confidence", "UlagConfig", "UlagLabels", "held_out_prediction"]


class UlagLabels(AveragedLabels):
    """Average a distance label with a proposal from the likeness of the modalities.

        distance label  p_s = clip(y + rho L (b_s - b_f))
                        y_s <- (e - 1)/(e + 1) y_s + 2/(e + 1) p_s
        proposal        q_s = k_s y + (1 - k_s) v_s
        target          (y_s + q_s) / 2

    rho is the setting ``reach``, L the end of the scale, b the bounded balance between the
    centroids. v_s is the modality's own evidence: what a ridge regression from its states, fitted
    on *other* clips, predicts for the annotation, averaged over the epochs. k_s is the confidence,
    from inter-modal similarity, that the modality agrees with the fusion. It is trained to predict
    where evidence and annotation have the same sign, over the clips in which neither is 0:

        own loss = sum over modalities of BCE(k_s, [v_s y > 0])

    A modality that is alone is the fusion: its label stays the annotation.

    The evidence is from held-out clips because a network that knows the train labels by heart would
    answer with the annotation, and the label would be the copy again. A clip annotated 0 gets the
    proposal (1 - k_s) v_s.

    Source: sun2024, ULAG, whose proposal is y (2 k_s - 1) = k_s y + (1 - k_s)(-y): where it puts
    the opposite of the annotation we put the evidence. The objective of the confidence and the
    bounded balance are ours as well; docs/decisions.md gives the reasons.
    """

    def __init__(self, config: UlagConfig, inputs: LabelInputs) -> None:
        super().__init__(config, inputs)
        self.reach = config.reach
        self.folds = config.folds
        self.confidence = Confidence(inputs.state_sizes, config.expert_size, config.temperature)
        self.register_rows("evidence", self.modalities, inputs.annotated)
        self._is_ready = False
        self.num_judgements: Tensor
        self.register_buffer("num_judgements", torch.zeros((), dtype=torch.int64))

    def evidence(self, modality: Modality) -> Float[Tensor, "N"]:
        """Return what the modality predicts for the annotation of clips held out."""
        evidence: Tensor = getattr(self, f"evidence_{modality}")
        return evidence

    @property
    def moves_labels(self) -> bool:
        """Whether there is another modality from which this one could differ."""
        return len(self.modalities) > 1

    def generate(self, output: Output, index: Int[Tensor, "B"], epoch: int) -> Generated:
        """Return the targets, and the loss of the confidence against the evidence."""
        if not self.moves_labels:
            return super().generate(output, index, epoch)
        if epoch <= self.warmup_epochs or not self._has_evidence():
            return super().generate(output, index, epoch)
        y, seen = self.annotated[index], self.present(output)
        evidence = self.rows("evidence")[:, index]
        confidences = self.confidence(output.states)
        confidence = torch.stack([confidences[modality] for modality in self.modalities])
        agreement = evidence * y
        agrees = (agreement > 0).to(y.dtype)
        error = F.binary_cross_entropy(confidence, agrees, reduction="none")
        own_loss = torch.where(seen & (agreement != 0), error, 0.0).mean(dim=1).sum()
        trust = confidence.detach()
        proposals = trust * y + (1 - trust) * evidence
        targets = torch.where(seen, (self.banks[:, index] + proposals) / 2, y)
        self.remember(index, targets, seen)
        return Generated(self.by_modality(targets), own_loss)

    def _has_evidence(self) -> bool:
        """Whether there is evidence; the device is not waited for again once there is."""
        self._is_ready = self._is_ready or bool(self.num_judgements > 0)
        return self._is_ready

    def propose_from_centroids(
        self, output: Output, annotated: Float[Tensor, "B"]
    ) -> Float[Tensor, "M B"]:
        """Return the proposals by bounded balance, before they are cut to the scale."""
        balances = self.centres.balances(output.states)
        return annotated + self.reach * self.scale.high * (balances[1:] - balances[0])

    def finish_epoch(self, epoch: int) -> None:
        """Compute the centroids again, and predict clips held out from every modality."""
        super().finish_epoch(epoch)
        for modality in self.modalities:
            states, seen = self.centres.states_of(Task(modality))
            if int(seen.sum()) < 2 * self.folds:
                continue
            predicted = held_out_prediction(
                precise(states[seen]), precise(self.annotated[seen]), folds=self.folds
            )
            old = self.evidence(modality)
            step = 2 / (int(self.num_judgements) + 2)
            old[seen] = torch.lerp(old[seen], self.scale.clip(predicted).to(old), step)
        self.num_judgements += 1


class Confidence(nn.Module):
    """Predict, from how alike the modalities are, how far each agrees with the fusion: 0 to 1.

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
        likeness = unit @ unit.mT  # (B, M + 1, M + 1)
        shares = (likeness / self.temperature).softmax(dim=-1)
        seen = torch.cat([shares @ experts, likeness], dim=-1).unbind(dim=1)
        seen_by = {str(task): part for task, part in zip(self.tasks, seen, strict=True)}
        logits = torch.cat([judge(seen_by[name]) for name, judge in self.judge.items()], dim=1)
        confidence = torch.sigmoid(logits).unbind(dim=1)
        return {Modality(name): part for name, part in zip(self.judge, confidence, strict=True)}


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
