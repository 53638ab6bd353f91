"""Boosted trees: values of a clip, or logits, as a sum of small decision trees over its means.

Source: friedman2001.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from mien.errors import CheckpointError
from mien.models.multitask import ModelInputs
from mien.models.zoo.clip_means.boosting import Boosting, boost_classes, boost_numbers
from mien.models.zoo.clip_means.clip_means_model import ClipMeansModel, FitGoal, Tried
from mien.models.zoo.clip_means.clip_means_settings import TreesConfig
from mien.models.zoo.clip_means.tree_sum import TreeSum
from mien.types import Target, TargetKind, Task

__all__ = ["BoostedTrees"]


class _TreeHeads(nn.Module):
    """Trees for the values of every further target.

    Args:
        targets: What is predicted.
        size: Size of the vectors.
        config: Settings of the trees.
    """

    def __init__(self, targets: Sequence[Target], size: int, config: TreesConfig) -> None:
        super().__init__()
        self.targets = tuple(targets)
        self.sums = nn.ModuleList(_make_sum(size, target.size, config) for target in targets)

    def of(self, target: Target) -> TreeSum:
        """Return the trees of a target."""
        return self.sums[self.targets.index(target)]  # type: ignore[return-value]

    def forward(
        self, states: Mapping[Task, Float[Tensor, "B V"]]
    ) -> dict[str, dict[Task, Float[Tensor, "B _"]]]:
        """Return the values of every target."""
        joined = states[Task.FUSION]
        return {t.name: {Task.FUSION: self.of(t)(joined)} for t in self.targets}

    @torch.no_grad()
    def start_at(self, target: Target, values: Float[Tensor, "K"]) -> None:
        """Let the trees of a target begin around these values: logits, or on the scale."""
        self.of(target).base.copy_(values)


def _make_sum(size: int, num_values: int, config: TreesConfig) -> TreeSum:
    return TreeSum(size, num_values, config.rounds, max(config.depths))


class BoostedTrees(ClipMeansModel):
    """Gradient boosting: each tree is fitted to the gradient that those before it have left.

    Values minimise absolute or squared errors (``train.loss.error``), classes cross-entropy, and of
    several labels each has trees of its own.

    Source: friedman2001.

    Args:
        config: Settings.
        inputs: What the model reads.
    """

    @classmethod
    def needs_scikit_learn(cls, targets: Sequence[Target]) -> bool:  # noqa: ARG003  # of all
        """Return that it does."""
        return True

    def __init__(self, config: TreesConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs)
        self.config = config
        size = self.state_sizes[Task.FUSION]
        if self.has_sentiment:
            self.trees = _make_sum(size, 1, config)
        if self.targets:
            self.target_heads: _TreeHeads = _TreeHeads(  # type: ignore[assignment]  # alike
                self.targets, size, config
            )

    def score(self, joined: Float[Tensor, "B V"]) -> Float[Tensor, "B"]:
        """Return the score of each clip; NaN where the model predicts no sentiment."""
        if not self.has_sentiment:
            return joined.new_full((len(joined),), torch.nan)
        score: Tensor = self.trees(joined).squeeze(-1)
        return score

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # torch's own
        """Load a state.

        Raises:
            CheckpointError: If a tree reads a feature that there is not.
        """
        size = self.state_sizes[Task.FUSION]
        for name, tensor in state_dict.items():
            if name.endswith(".feature") and not bool(((tensor >= 0) & (tensor < size)).all()):
                raise CheckpointError(
                    f"{name} names a feature that is not among the {size} of the model; get the "
                    "file again, or train it again"
                )
        return super().load_state_dict(state_dict, *args, **kwargs)

    def fit(self, goal: FitGoal) -> list[Tried]:
        """Fit what predicts one thing, with the depth and as many trees as are best on valid."""
        trees = self.trees if goal.target is None else self.target_heads.of(goal.target)
        tried: list[Tried] = []
        for depth in self.config.depths:
            parts = self._boost(goal, depth)
            shape = len(goal.valid), self.config.rounds
            staged = np.concatenate([part.staged(*shape) for part in parts], axis=2)
            errors = [goal.error(values) for values in staged]
            rounds = int(np.argmin(errors))
            is_best = not tried or errors[rounds] < min(each.error for each in tried)
            tried.append(Tried({"depth": depth, "rounds": rounds}, errors[rounds]))
            if is_best:
                flat = [part.flat(rounds, trees.depth) for part in parts]
                joined = [[tree for part in flat for tree in part[n]] for n in range(rounds)]
                trees.take(np.concatenate([part.base for part in parts]), joined)
        return tried

    def _boost(self, goal: FitGoal, depth: int) -> list[Boosting]:
        """Fit trees of one depth: all classes at once, numbers and labels each for itself."""
        settings = [self._settings(goal, depth, number) for number in range(goal.values.shape[1])]
        vectors, valid = goal.vectors.astype(np.float32), goal.valid.astype(np.float32)
        if goal.kind is TargetKind.CLASS:
            return [boost_classes(vectors, goal.values, goal.weights, valid, settings[0])]
        if goal.kind is TargetKind.LABELS:
            labels = zip(goal.values.T, goal.others, goal.weights, settings, strict=True)
            return [
                boost_classes(
                    vectors, np.stack([1 - v, v], axis=1), np.array([out, there]), valid, own
                ).difference()
                for v, out, there, own in labels
            ]
        return [
            boost_numbers(vectors, values, valid, is_squared=goal.is_squared, settings=own)
            for values, own in zip(goal.values.T, settings, strict=True)
        ]

    def _settings(self, goal: FitGoal, depth: int, number: int) -> dict[str, Any]:
        config = self.config
        drawn = np.random.SeedSequence([goal.seed, depth, number]).generate_state(1)
        return {
            "n_estimators": config.rounds,
            "learning_rate": config.rate,
            "max_depth": depth,
            "subsample": max(config.clip_share, 1 / len(goal.vectors)),
            "max_features": config.feature_share,
            "min_samples_leaf": config.fewest,
            "random_state": int(drawn[0]),
        }
