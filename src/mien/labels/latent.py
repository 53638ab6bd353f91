"""``latent``: out-of-fold scores of each modality, joined with the annotation."""

import torch
from jaxtyping import Float
from torch import Tensor

from mien.labels.before_training import LabelsBeforeTraining
from mien.labels.generator import Evidence, LabelInputs
from mien.labels.label_settings import EvidenceConfig, LatentConfig
from mien.tensors import precise
from mien.types import Modality

__all__ = ["EvidenceConfig", "LatentConfig", "LatentLabels", "latent_labels"]


class LatentLabels(LabelsBeforeTraining):
    """Join the out-of-fold scores of a modality with the annotation, by ``latent_labels``.

    Args:
        config: Settings.
        inputs: Annotations, scale, sizes and evidence.

    Raises:
        ValueError: If there is no evidence.
    """

    config: LatentConfig

    def make(self, evidence: Evidence, inputs: LabelInputs) -> dict[Modality, Float[Tensor, "N"]]:
        """Return the labels before they are cut to the scale."""
        return latent_labels(evidence, inputs.annotated, rest=self.config.rest)


def latent_labels(
    evidence: Evidence, annotated: Float[Tensor, "N"], *, rest: float
) -> dict[Modality, Float[Tensor, "N"]]:
    """Estimate the label of each modality, if the annotation is the weighted mean of these labels.

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
        evidence: Out-of-fold scores of each modality.
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
