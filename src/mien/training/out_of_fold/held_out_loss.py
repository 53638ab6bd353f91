"""How well models do on the clips that were held out from them."""

import torch

from mien.data.dataset import ClipDataset
from mien.training.objective import balance_sentiment
from mien.training.out_of_fold.folds import HeldOut
from mien.training.targets.aims import Aims
from mien.training.targets.target_losses import make_loss
from mien.training.targets.target_settings import TargetsConfig
from mien.training.targets.validation import mean_relative_loss
from mien.types import Scale, Task

__all__ = ["HeldOutLoss"]


class HeldOutLoss:
    """Measures the multimodal predictions of train clips.

    Of sentiment alone it is the mean absolute error. With further targets it is the weighted mean
    of all losses, each in units of the predictor that says the same of every clip.

    Args:
        train: The train split.
        scale: Range of sentiment.
        config: Settings of the targets.
        aims: What is predicted.
    """

    def __init__(self, train: ClipDataset, scale: Scale, config: TargetsConfig, aims: Aims) -> None:
        self._aims, self._train = aims, train
        self._annotated = train.labels[Task.FUSION]
        self._known = ~self._annotated.isnan()
        if aims.targets and aims.has_sentiment:
            self._balance = balance_sentiment(self._annotated, scale, config.sentiment_weight)
        self._terms = []
        for target in aims.targets:
            values = train.values[target.name][Task.FUSION]
            known = ~values.isnan().any(dim=1)
            loss = make_loss(target, config.of(target), values[known])
            self._terms.append((loss, known, values[known]))

    def measure(self, held_out: HeldOut) -> float:
        """Return the loss of what was predicted; not finite if the models diverged."""
        if not all(torch.isfinite(values).all() for values in held_out.values()):
            return float("nan")
        error = float("nan")
        if self._aims.has_sentiment:
            fused, known = held_out[Task.FUSION], self._known
            errors = fused - self._annotated if known.all() else (fused - self._annotated)[known]
            error = float(errors.abs().mean())
        if not self._terms:
            return error
        parts = [
            (
                float(loss.of_shares(held_out[loss.target.name, Task.FUSION][known], own).mean()),
                loss.settings.weight,
            )
            for loss, known, own in self._terms
        ]
        if self._aims.has_sentiment:
            parts.append((error / self._balance.constant, self._balance.weight))
        return mean_relative_loss(parts)
