"""Steps of series that are lost in training, so that a model learns to do without them."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool
from torch import Tensor

from mien.tensors import Batch, PaddedSeries
from mien.types import Modality

__all__ = ["lose_steps"]


def lose_steps(batch: Batch, shares: Mapping[Modality, float]) -> Batch:
    """Return the same clips with steps cut out of their series, by chance.

    Of a text the first and the last step stay, which are marks. Every series keeps a step. Context
    around a text stays.

    Args:
        batch: The clips.
        shares: Chance of a step of each modality that it is lost; 0 draws nothing.
    """
    changed = {
        m: _cut(series, _draw(m, series.mask, shares[m]))
        for m, series in batch.sequences.items()
        if shares.get(m, 0.0) > 0
    }
    return Batch(index=batch.index, sequences={**batch.sequences, **changed}) if changed else batch


def _draw(modality: Modality, real: Bool[Tensor, "B T"], share: float) -> Bool[Tensor, "B T"]:
    """Return which real steps stay."""
    noise = torch.rand(real.shape, device=real.device).masked_fill(~real, -1.0)
    stays = real & (noise >= share)
    if modality is Modality.TEXT:
        places = torch.arange(real.shape[1], device=real.device)
        last = real.sum(dim=1, keepdim=True) - 1
        return stays | (real & ((places == 0) | (places == last)))
    luckiest = torch.zeros_like(real).scatter(1, noise.argmax(dim=1, keepdim=True), value=True)
    return torch.where(stays.any(dim=1, keepdim=True), stays, luckiest & real)


def _cut(series: PaddedSeries, stays: Bool[Tensor, "B T"]) -> PaddedSeries:
    """Move the steps that stay to the front, and the context of a text behind them."""
    values, mask = series
    is_context = ~mask & (values != 0).any(dim=2)  # padding is zero, and nothing else is
    order = torch.where(stays, 0, torch.where(is_context, 1, 2)).argsort(dim=1, stable=True)
    num_own, num_all = stays.sum(dim=1), (stays | is_context).sum(dim=1)
    length = max(int(num_all.max()), 1)
    places = torch.arange(length, device=mask.device)
    moved = values.gather(1, order[:, :length, None].expand(-1, -1, values.shape[2]))
    return PaddedSeries(
        moved * (places < num_all.unsqueeze(1)).unsqueeze(-1), places < num_own.unsqueeze(1)
    )
