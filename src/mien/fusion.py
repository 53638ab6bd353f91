"""How the vectors of the modalities become one."""

from collections.abc import Mapping
from itertools import permutations
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mien.types import Modality

__all__ = [
    "FUSIONS",
    "ConcatFusion",
    "DimensionFusion",
    "FusionName",
    "RankOneFusion",
]

FusionName = Literal["dimension", "rank_one", "concat"]


class ConcatFusion(nn.Module):
    """Join the vectors of the modalities: [t; a; v].

    Source: yu2021, eq. 3.

    Args:
        sizes: Size of each modality's vector.
        size: Size of the shared space; not used.
    """

    def __init__(self, sizes: Mapping[Modality, int], size: int) -> None:  # noqa: ARG002
        super().__init__()
        self.output_size = sum(sizes.values())

    def forward(self, vectors: Mapping[Modality, Float[Tensor, "B _"]]) -> Float[Tensor, "B _"]:
        """Return the joined vectors."""
        return torch.cat(list(vectors.values()), dim=-1)


class RankOneFusion(nn.Module):
    """Join the vectors, and each vector times the sum of the entries of each other one.

        [t; a; v; S(a)t; S(t)a; S(v)t; S(t)v; S(v)a; S(a)v],   S(x) = sum of the entries of x

    The released program of sun2024 forms d x d products; they reduce to exactly this.

    Source: the released program of sun2024, with its fusion on.

    Args:
        sizes: Size of each modality's vector.
        size: Size of the shared space; not used.
    """

    def __init__(self, sizes: Mapping[Modality, int], size: int) -> None:  # noqa: ARG002
        super().__init__()
        self.output_size = sum(sizes.values()) * len(sizes)

    def forward(self, vectors: Mapping[Modality, Float[Tensor, "B _"]]) -> Float[Tensor, "B _"]:
        """Return the joined vectors and products."""
        sums = {m: x.sum(dim=-1, keepdim=True) for m, x in vectors.items()}
        products = [sums[n] * vectors[m] for m, n in _pairs_both_ways(list(vectors))]
        return torch.cat([*vectors.values(), *products], dim=-1)


def _pairs_both_ways(modalities: list[Modality]) -> list[tuple[Modality, Modality]]:
    """Return (t,a), (a,t), (t,v), (v,t), (a,v), (v,a): the order of the released program."""
    order = {m: i for i, m in enumerate(modalities)}
    return sorted(permutations(modalities, 2), key=lambda pair: sorted(order[m] for m in pair))


class DimensionFusion(nn.Module):
    """Let the modalities weigh against each other, and interact, in every semantic dimension.

        p_m = tanh(P_m x_m)                          each modality, in one semantic space of size H
        g   = softmax over m of G_m [x_t; x_a; x_v]  one weight per modality and dimension
        f   = [sum over m of g_m * p_m; p_t * p_a; p_t * p_v; p_a * p_v; p_t; p_a; p_v]

    ``*`` is element by element: dimension i of one modality meets dimension i of another and no
    other. The weight of a modality is decided with all modalities in sight, so that a modality
    can be discounted where the others contradict it.

    Source: sun2024, fine-grained fusion per semantic dimension, from its abstract; the form of the
    weights and of the products is ours, see docs/decisions.md.

    Args:
        sizes: Size of each modality's vector.
        size: Size of the shared space, H.
    """

    def __init__(self, sizes: Mapping[Modality, int], size: int) -> None:
        super().__init__()
        total = sum(sizes.values())
        self.project = nn.ModuleDict({m: nn.Linear(n, size) for m, n in sizes.items()})
        self.weigh = (
            nn.ModuleDict({m: nn.Linear(total, size) for m in sizes})
            if len(sizes) > 1
            else nn.ModuleDict()
        )
        num_pairs = len(sizes) * (len(sizes) - 1) // 2
        self.output_size = size * (1 + num_pairs + len(sizes)) if len(sizes) > 1 else size

    def forward(self, vectors: Mapping[Modality, Float[Tensor, "B _"]]) -> Float[Tensor, "B _"]:
        """Return the weighted sum, the products of pairs and the projections, joined."""
        projected = {m: torch.tanh(self.project[m](x)) for m, x in vectors.items()}
        if len(projected) == 1:
            return next(iter(projected.values()))
        joined = torch.cat(list(vectors.values()), dim=-1)
        weights = torch.stack([self.weigh[m](joined) for m in vectors]).softmax(dim=0)  # (M, B, H)
        parts = list(projected.values())
        fused = torch.einsum("mbh,mbh->bh", weights, torch.stack(parts))
        products = [
            parts[i] * parts[j] for i in range(len(parts)) for j in range(i + 1, len(parts))
        ]
        return torch.cat([fused, *products, *parts], dim=-1)


FUSIONS: dict[FusionName, type[ConcatFusion] | type[RankOneFusion] | type[DimensionFusion]] = {
    "dimension": DimensionFusion,
    "rank_one": RankOneFusion,
    "concat": ConcatFusion,
}
