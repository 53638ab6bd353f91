"""How the vectors of the modalities become one."""

from collections.abc import Mapping, Sequence
from itertools import combinations, permutations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mien.models.model_settings import FusionName
from mien.types import Modality

__all__ = [
    "FUSIONS",
    "ConcatFusion",
    "ConflictFusion",
    "DimensionFusion",
    "Fusion",
    "FusionName",
    "RankOneFusion",
]


class ConcatFusion(nn.Module):
    """Join the vectors of the modalities: [t; a; v].

    Source: yu2021, eq. 3.

    Args:
        sizes: Size of each modality's vector.
        size: Size of the shared space; not used.
    """

    def __init__(self, sizes: Mapping[Modality, int], size: int) -> None:  # noqa: ARG002
        super().__init__()
        self.sizes = dict(sizes)
        self.output_size = sum(sizes.values())

    def forward(self, vectors: Mapping[Modality, Float[Tensor, "B _"]]) -> Float[Tensor, "B _"]:
        """Return the joined vectors."""
        return torch.cat(list(vectors.values()), dim=-1)

    def columns_of(self, modality: Modality) -> slice:
        """Return where in the fused vector that is which a fusion of this modality alone gives."""
        return _place_of(self.sizes, modality)


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
        self.sizes = dict(sizes)
        self.output_size = sum(sizes.values()) * len(sizes)

    def forward(self, vectors: Mapping[Modality, Float[Tensor, "B _"]]) -> Float[Tensor, "B _"]:
        """Return the joined vectors and products."""
        sums = {m: x.sum(dim=-1, keepdim=True) for m, x in vectors.items()}
        products = [sums[n] * vectors[m] for m, n in _pairs_both_ways(list(vectors))]
        return torch.cat([*vectors.values(), *products], dim=-1)

    def columns_of(self, modality: Modality) -> slice:
        """Return where in the fused vector that is which a fusion of this modality alone gives."""
        return _place_of(self.sizes, modality)


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
        self.sizes = dict.fromkeys(sizes, size)
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
        return torch.cat([fused, *_products(parts), *parts], dim=-1)

    def columns_of(self, modality: Modality) -> slice:
        """Return where in the fused vector that is which a fusion of this modality alone gives."""
        place = _place_of(self.sizes, modality)
        before = self.output_size - sum(self.sizes.values())
        return slice(before + place.start, before + place.stop)


class ConflictFusion(nn.Module):
    """Fuse per dimension, with weights that see where the modalities contradict each other.

        p_m  = tanh(P_m x_m)                       each modality, in one semantic space of size H
        c_mn = p_m * p_n                           above 0 where two agree, below 0 where not
        g    = softmax over m of G_m ReLU(W [all c_mn; all p_m])
        f    = [sum over m of g_m * p_m; all c_mn; all p_m]

    The weights of ``dimension`` are linear in the joined vectors before the softmax. Whether two
    signs agree, or which modality is the stronger whatever its sign, is no linear function of
    them. Here the weights read the products, which hold the one, through a hidden layer, which can
    show the other.

    Source: ours, after sun2024's fusion per dimension; see docs/decisions.md.

    Args:
        sizes: Size of each modality's vector.
        size: Size of the shared space, H.
    """

    def __init__(self, sizes: Mapping[Modality, int], size: int) -> None:
        super().__init__()
        self.sizes = dict.fromkeys(sizes, size)
        num_parts = len(sizes) * (len(sizes) + 1) // 2  # the modalities and their pairs
        self.project = nn.ModuleDict({m: nn.Linear(n, size) for m, n in sizes.items()})
        self.output_size = size
        if len(sizes) > 1:
            self.look = nn.Linear(num_parts * size, size)
            self.weigh = nn.ModuleDict({m: nn.Linear(size, size) for m in sizes})
            self.output_size = size * (1 + num_parts)

    def forward(self, vectors: Mapping[Modality, Float[Tensor, "B _"]]) -> Float[Tensor, "B _"]:
        """Return the weighted sum, the products of pairs and the projections, joined."""
        parts = [torch.tanh(self.project[m](x)) for m, x in vectors.items()]
        if len(parts) == 1:
            return parts[0]
        seen = torch.cat([*_products(parts), *parts], dim=-1)
        looked = F.relu(self.look(seen))
        weights = torch.stack([self.weigh[m](looked) for m in vectors]).softmax(dim=0)  # (M, B, H)
        fused = torch.einsum("mbh,mbh->bh", weights, torch.stack(parts))
        return torch.cat([fused, seen], dim=-1)

    def columns_of(self, modality: Modality) -> slice:
        """Return where in the fused vector that is which a fusion of this modality alone gives."""
        place = _place_of(self.sizes, modality)
        before = self.output_size - sum(self.sizes.values())
        return slice(before + place.start, before + place.stop)


def _place_of(sizes: Mapping[Modality, int], modality: Modality) -> slice:
    """Return where a modality's vector is in the joined ones."""
    before = list(sizes)[: list(sizes).index(modality)]
    start = sum(sizes[other] for other in before)
    return slice(start, start + sizes[modality])


def _products(parts: Sequence[Float[Tensor, "B H"]]) -> list[Float[Tensor, "B H"]]:
    """Return the product, element by element, of each pair: t*a, t*v, a*v."""
    return [first * second for first, second in combinations(parts, 2)]


Fusion = ConcatFusion | RankOneFusion | DimensionFusion | ConflictFusion

FUSIONS: dict[FusionName, type[Fusion]] = {
    "dimension": DimensionFusion,
    "conflict": ConflictFusion,
    "rank_one": RankOneFusion,
    "concat": ConcatFusion,
}
