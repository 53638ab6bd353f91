"""Trees as plain arrays: a checkpoint holds numbers alone.

All are of the same depth, so that no walk through one can go astray.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = ["FlatTree", "TreeSum"]


class TreeSum(nn.Module):
    """A constant and a sum of trees, for each of K values.

        value_k = base_k + sum over trees of the leaf that x reaches
        at node i of a tree:  to node 2i + 1 if x[feature_i] <= threshold_i, else to 2i + 2

    All trees have 2^depth leaves; one that is less deep has the same value in several. The arrays
    are flat, tree after tree, and round after round.

    Args:
        size: Size of x.
        num_values: K.
        rounds: Trees of each value.
        depth: Splits from the root to a leaf.
    """

    feature: Int[Tensor, "_"]
    threshold: Float[Tensor, "_"]

    def __init__(self, size: int, num_values: int, rounds: int, depth: int) -> None:
        super().__init__()
        self.shape, self.depth = (rounds, num_values), depth
        num_trees, num_leaves = rounds * num_values, 2**depth
        self.register_buffer("feature", torch.randint(size, (num_trees * (num_leaves - 1),)))
        self.register_buffer("threshold", torch.randn(num_trees * (num_leaves - 1)))
        self.leaves = nn.Parameter(0.1 * torch.randn(num_trees * num_leaves))
        self.base = nn.Parameter(torch.zeros(num_values))

    def forward(self, vectors: Float[Tensor, "B V"]) -> Float[Tensor, "B K"]:
        """Return the values of each clip."""
        num_leaves = 2**self.depth
        tree = torch.arange(len(self.leaves) // num_leaves, device=vectors.device)  # (R K,)
        node = torch.zeros_like(vectors[:, :1]).long() + torch.zeros_like(tree)  # (B, R K)
        for _ in range(self.depth):
            place = tree * (num_leaves - 1) + node
            goes_right = vectors.gather(1, self.feature[place]) > self.threshold[place]
            node = 2 * node + 1 + goes_right.long()
        reached = self.leaves[tree * num_leaves + node - (num_leaves - 1)]
        total: Tensor = reached.reshape(-1, *self.shape).sum(dim=1)
        return self.base + total

    @torch.no_grad()
    def take(
        self, base: Float[np.ndarray, "K"], trees: Sequence[Sequence["FlatTree | None"]]
    ) -> None:
        """Consist of these trees from now on, round by round; what is left adds nothing."""
        for part in (self.feature, self.threshold, self.leaves):
            part.zero_()
        self.base.copy_(torch.from_numpy(base))
        for number, of_round in enumerate(trees):
            for value, tree in enumerate(of_round):
                if tree is not None:
                    place = number * self.shape[1] + value
                    self._put(self.feature, place, tree.feature)
                    self._put(self.threshold, place, tree.threshold)
                    self._put(self.leaves, place, tree.leaves)

    @staticmethod
    def _put(part: Tensor, place: int, values: np.ndarray) -> None:
        part[place * len(values) : (place + 1) * len(values)] = torch.from_numpy(values)


class FlatTree:
    """A tree of scikit-learn with all of its leaves at the same depth.

    Args:
        tree: The tree, with the arrays that scikit-learn documents.
        depth: Splits from the root to a leaf.
        rate: By what its values are multiplied.
    """

    def __init__(self, tree: Any, depth: int, rate: float) -> None:  # noqa: ANN401  # untyped
        self.feature = np.zeros(2**depth - 1, np.int64)
        self.threshold = np.zeros(2**depth - 1, np.float32)
        self.leaves = np.zeros(2**depth)
        for place, node in _lay_out(tree, depth):
            if place >= len(self.feature):
                self.leaves[place - len(self.feature)] = rate * tree.value[node].item()
            elif tree.children_left[node] >= 0:
                self.feature[place] = tree.feature[node]
                self.threshold[place] = _round_down(tree.threshold[node])


def _lay_out(tree: Any, depth: int) -> Iterator[tuple[int, int]]:  # noqa: ANN401
    """Yield the node that stands at each place; below a leaf it is the leaf itself."""
    nodes = [0]
    for place in range(2 ** (depth + 1) - 1):
        node = nodes[place]
        yield place, node
        is_leaf = tree.children_left[node] < 0
        nodes += [node, node] if is_leaf else [tree.children_left[node], tree.children_right[node]]


def _round_down(threshold: float) -> np.float32:
    """Return the largest float32 that is no larger, so that what is below it stays so."""
    nearest = np.float32(threshold)
    return np.nextafter(nearest, np.float32(-np.inf)) if nearest > threshold else nearest
