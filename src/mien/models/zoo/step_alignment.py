"""Series of different lengths, brought to the same steps."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mien.models.zoo.series_model import lengths_of
from mien.tensors import PaddedSeries, is_traced
from mien.types import Modality

if TYPE_CHECKING:
    Count = int
else:  # while a graph is traced, a length is a number that the graph computes
    Count = int | Tensor

__all__ = ["align", "align_as_published", "lengthen", "stretch"]


def align(
    series: dict[Modality, PaddedSeries], present: Mapping[Modality, Bool[Tensor, "B"]]
) -> dict[Modality, PaddedSeries]:
    """Bring every clip's series to the steps of the first modality that the clip has.

    Series that have these steps already stay as they are; others are stretched, on the assumption
    that the steps of each are spread evenly over the clip. Words and states of tokens are not:
    series that were extracted for each word are aligned better.
    """
    lengths = torch.ones_like(lengths_of(next(iter(series.values()))))
    for modality in reversed(series):
        lengths = torch.where(present[modality], lengths_of(series[modality]), lengths)
    return {modality: stretch(of_modality, lengths) for modality, of_modality in series.items()}


def stretch(series: PaddedSeries, lengths: Int[Tensor, "B"]) -> PaddedSeries:
    """Bring each clip's series to a number of steps.

        step i of L is the mean of the steps from floor(i n / L) to ceil((i + 1) n / L)

    Each new step is the mean of those that it overlaps; where there were fewer, they are repeated.

    Args:
        series: The series; every clip has a real step.
        lengths: Real steps that each clip is to have, L.
    """
    had = lengths_of(series)
    num_steps = cast("Count", lengths.max())
    steps = torch.arange(num_steps, device=lengths.device)  # (L,)
    if not is_traced() and torch.equal(had, lengths) and series.mask.shape[1] == len(steps):
        return series
    ends = lengths.unsqueeze(1)
    first = steps * had.unsqueeze(1) // ends  # (B, L)
    last = ((steps + 1) * had.unsqueeze(1) + ends - 1) // ends
    places = torch.arange(series.mask.shape[1], device=lengths.device)
    is_seen = (places >= first.unsqueeze(-1)) & (places < last.unsqueeze(-1))  # (B, L, T)
    mask = steps < lengths.unsqueeze(1)
    is_seen = is_seen & mask.unsqueeze(-1)
    weights = is_seen.to(series.values.dtype) / is_seen.sum(dim=-1, keepdim=True).clamp(min=1)
    return PaddedSeries(weights @ series.values, mask)


def lengthen(values: Float[Tensor, "B T D"], num_steps: Count) -> Float[Tensor, "B _ D"]:
    """Return series with at least so many steps; those that they did not have are zeros."""
    num_clips, had, size = values.shape
    return torch.cat([values, values.new_zeros(num_clips, num_steps, size)[:, had:]], dim=1)


def align_as_published(values: Float[Tensor, "B T D"], num_steps: Count) -> Float[Tensor, "B L D"]:
    """Bring padded series to the padded steps of the text, as the published framework does.

    Of T steps, windows of T/L are averaged; where L does not divide T, the last step is repeated
    until it does, always at least once. Padding takes part.

    Source: the program behind the published numbers, its average pooling.

    Args:
        values: The series with their padding.
        num_steps: Padded steps of the text, L.
    """
    num_clips, had, size = values.shape
    width = (had + num_steps - 1) // num_steps
    missing = num_steps * width - had
    values = torch.cat([values, values[:, -1:].expand(-1, missing, -1)], dim=1)
    return values.reshape(num_clips, num_steps, width, size).mean(dim=2)
