"""How far two sets of vectors are apart, by their moments."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["moments_apart"]


def moments_apart(
    first: Float[Tensor, "N H"], second: Float[Tensor, "M H"], *, highest: int
) -> Float[Tensor, ""]:
    """Return the distances of the means and of the central moments of two sets, summed.

        |mean_1 - mean_2| + sum over k = 2 ... highest of |k-th moment_1 - k-th moment_2|

    Source: zellinger2017, central moment discrepancy, without its division by the range.

    Args:
        first: One set.
        second: The other.
        highest: The highest moment.
    """
    means = first.mean(dim=0), second.mean(dim=0)
    apart = [torch.linalg.vector_norm(means[0] - means[1])]
    centred = first - means[0], second - means[1]
    for moment in range(2, highest + 1):
        ours, theirs = (part.pow(moment).mean(dim=0) for part in centred)
        apart.append(torch.linalg.vector_norm(ours - theirs))
    return torch.stack(apart).sum()
