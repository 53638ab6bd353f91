"""The units in which encoders read features: those of train, of shares by their log odds."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.tensors import PaddedSeries
from mien.types import Modality

__all__ = ["Standardise", "log_odds", "measure_log_odds"]

#: Shares closer to 0 or 1 are read as this far from it. Some blendshapes hardly ever exceed 0.0001
#: (``noseSneerLeft``, ``cheekSquintLeft``), and tell something all the same.
_NEAREST = 1e-7


def log_odds(shares: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
    """Return the logarithm of the odds of shares, which tells the small ones apart.

        log(p / (1 - p)),   p cut to 1e-7 .. 1 - 1e-7

    >>> log_odds(torch.tensor([0.5, 0.25, 0.75]))
    tensor([ 0.0000, -1.0986,  1.0986])
    """
    cut = shares.clamp(_NEAREST, 1 - _NEAREST)
    return torch.log(cut) - torch.log(1 - cut)


def measure_log_odds(
    shares: Float[np.ndarray, "S D"], modality: Modality
) -> Float[np.ndarray, "S D"]:
    """Return the log odds of the features of a modality in train.

    Raises:
        ConfigError: If they are no shares within 0 to 1.
    """
    if shares.size and not (shares.min() >= 0 and shares.max() <= 1):
        raise ConfigError(
            f"setting model.log_odds: {modality} has values from {shares.min():g} to "
            f"{shares.max():g}, which are no shares within 0 to 1; leave {modality} out of it"
        )
    return log_odds(torch.from_numpy(np.array(shares))).numpy()


class Standardise(nn.Module):
    """Bring every feature to mean 0 and standard deviation 1 over the real steps of train.

    Mean and scale are buffers: they travel with the checkpoint, so that a clip seen later is
    treated as the clips of the training were. A feature that is constant in train becomes 0.

    Args:
        size: Number of features, D.
        has_log_odds: Whether the features are shares, 0 to 1, and it is their log odds that mean
            and scale are of.
    """

    mean: Float[Tensor, "D"]
    scale: Float[Tensor, "D"]

    def __init__(self, size: int, *, has_log_odds: bool = False) -> None:
        super().__init__()
        self.has_log_odds = has_log_odds
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    @torch.no_grad()
    def fit(self, mean: Float[Tensor, "D"], deviation: Float[Tensor, "D"]) -> None:
        """Take over the mean and standard deviation of each feature in train."""
        self.mean.copy_(mean)
        is_constant = deviation <= 1e-6 * mean.abs().clamp(min=1e-6)
        self.scale.copy_(torch.where(is_constant, torch.zeros_like(deviation), 1 / deviation))

    @torch.no_grad()
    def take(self, mean: Float[Tensor, "D"], scale: Float[Tensor, "D"]) -> None:
        """Take over what another has been fitted to."""
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def forward(self, series: PaddedSeries) -> PaddedSeries:
        """Return the series in standard units, still zero at padding."""
        given = log_odds(series.values) if self.has_log_odds else series.values
        values = (given - self.mean) * self.scale
        return PaddedSeries(values * series.mask.unsqueeze(-1), series.mask)
