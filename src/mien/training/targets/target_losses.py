"""The loss of each kind of target, and the predictor that knows nothing but train's classes."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mien.training.targets.target_settings import TermSettings
from mien.types import Target, TargetKind

__all__ = ["LEAST_DIVISOR", "TargetLoss", "make_loss"]

#: The least loss of the constant predictor by which a loss is divided.
LEAST_DIVISOR = 0.01
#: Probabilities nearer to 0 or 1 than this lose no more.
_NEAREST = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetLoss:
    """The loss of a target, in units of that of a predictor that says the same of every clip.

        class        - sum over k of w_k y_k (1 - p_k)^g log p_k,      p = softmax of the logits
        labels       - mean over k of w_k y_k (1 - p_k)^g log p_k
                         + v_k (1 - y_k) p_k^g log(1 - p_k),           p = sigmoid of the logits
        score, intensities   mean over k of |p_k - y_k| / (high - low)

    g is the setting ``focusing``. Weights w and v are 1; balanced, of n clips with n_k (shares) of
    class k, w_k is n / (K n_k) with K the classes that are there, of labels n / (2 n_k), and v_k is
    n / (2 (n - n_k)). The predictor gives every clip the shares p_k = (n_k + 1/2) / (n + K/2) of
    train (weighted by w if balanced), of labels (n_k + 1/2) / (n + 1), of scales the median.

    Source: lin2017 for the exponent.

    Attributes:
        target: What is predicted.
        settings: Its settings.
        constant: What the constant predictor gives: logits, or values on the scale.
        weights: w.
        others: v.
        divisor: Loss of the constant predictor on train, at least ``LEAST_DIVISOR``.
    """

    target: Target
    settings: TermSettings
    constant: Float[Tensor, "K"]
    weights: Float[Tensor, "K"]
    others: Float[Tensor, "K"]
    divisor: float = 1.0

    def __call__(
        self, raw: Float[Tensor, "B K"], labels: Float[Tensor, "B K"]
    ) -> Float[Tensor, "B"]:
        """Return the loss of each clip, of logits or values on the scale."""
        return self._measure(raw, labels) / self.divisor

    def of_shares(
        self, values: Float[Tensor, "B K"], labels: Float[Tensor, "B K"]
    ) -> Float[Tensor, "B"]:
        """Return the loss of each clip, of probabilities or values on the scale."""
        if self.target.kind is TargetKind.CLASS:
            values = values.clamp(min=_NEAREST).log()
        elif self.target.kind is TargetKind.LABELS:
            values = values.logit(eps=_NEAREST)
        return self(values, labels)

    def _measure(
        self, raw: Float[Tensor, "B K"], labels: Float[Tensor, "B K"]
    ) -> Float[Tensor, "B"]:
        weights, others = self.weights.to(raw), self.others.to(raw)
        power = self.settings.focusing
        if self.target.kind is TargetKind.CLASS:
            logs = raw.log_softmax(dim=-1)
            return -(weights * labels * _focus(1 - logs.exp(), power) * logs).sum(dim=-1)
        if self.target.kind is TargetKind.LABELS:
            chances = raw.sigmoid()
            there = weights * labels * _focus(1 - chances, power) * F.logsigmoid(raw)
            not_there = others * (1 - labels) * _focus(chances, power) * F.logsigmoid(-raw)
            return -(there + not_there).mean(dim=-1)
        low, high = self.target.bounds
        return (raw - labels).abs().mean(dim=-1) / (high - low)


def _focus(chances: Float[Tensor, "B K"], power: float) -> Float[Tensor, "B K"] | float:
    """Return how much a clip counts that is predicted wrongly with these chances."""
    return chances.clamp(min=_NEAREST) ** power if power else 1.0


def make_loss(target: Target, settings: TermSettings, labels: Float[Tensor, "n K"]) -> TargetLoss:
    """Return the loss of a target for what is annotated in train.

    Args:
        target: What is predicted.
        settings: Its settings.
        labels: The values of all train clips that are annotated for it. Without any, as in a part
            of train, the predictor knows nothing, and the loss is measured as it is.
    """
    num, counts = len(labels), labels.double().sum(dim=0)
    ones = torch.ones_like(counts)
    weights, others = ones, ones
    if settings.balance and target.kind is TargetKind.CLASS:
        num_there = int((counts > 0).sum())
        weights = torch.where(counts > 0, num / (num_there * counts), 1.0)
    elif settings.balance:
        weights = torch.where(counts > 0, num / (2 * counts), 1.0)
        others = torch.where(counts < num, num / (2 * (num - counts)), 1.0)
    weights, others = weights**settings.balance, others**settings.balance
    loss = TargetLoss(
        target=target,
        settings=settings,
        constant=_find_constant(target, labels, counts, weights, others).float(),
        weights=weights.float(),
        others=others.float(),
    )
    everywhere = loss.constant.expand_as(labels)
    divisor = max(LEAST_DIVISOR, float(loss(everywhere, labels).double().mean())) if num else 1.0
    return replace(loss, divisor=divisor)


def _find_constant(
    target: Target,
    labels: Float[Tensor, "n K"],
    counts: Float[Tensor, "K"],
    weights: Float[Tensor, "K"],
    others: Float[Tensor, "K"],
) -> Float[Tensor, "K"]:
    """Return what the constant predictor gives: logits, or values on the scale."""
    if target.kind is TargetKind.CLASS:
        return (weights * (counts + 0.5)).log().log_softmax(dim=0)
    if target.kind is TargetKind.LABELS:
        return (weights * (counts + 0.5)).log() - (others * (len(labels) - counts + 0.5)).log()
    if not len(labels):
        return counts + sum(target.bounds) / 2
    return labels.median(dim=0).values
