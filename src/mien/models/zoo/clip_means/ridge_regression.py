"""Ridge regression: values of a clip as a linear function of its means; of classes, logits.

Source: hoerl1970.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from mien.models.multitask import ModelInputs
from mien.models.zoo.clip_means.boosting import NEVER
from mien.models.zoo.clip_means.clip_means_model import ClipMeansModel, FitGoal, Tried
from mien.models.zoo.clip_means.clip_means_settings import RidgeConfig
from mien.types import Target, TargetKind, Task

__all__ = ["RidgeRegression"]

logger = logging.getLogger(__name__)

_MOST_STEPS = 2000


class _Line(NamedTuple):
    """A linear function of vectors, ``x W' + b``.

    Attributes:
        weight: W.
        bias: b.
    """

    weight: Float[np.ndarray, "K V"]
    bias: Float[np.ndarray, "K"]

    def __call__(self, vectors: Float[np.ndarray, "N V"]) -> Float[np.ndarray, "N K"]:
        """Return its values."""
        values: np.ndarray = vectors @ self.weight.T + self.bias
        return values


class RidgeRegression(ClipMeansModel):
    """Linear regressions with a penalty on the squares of their coefficients.

        values     least sum over clips of (x·w + b - y)^2  + penalty |w|^2
        classes    least sum over clips of cross-entropy    + penalty |w|^2 / 2

    x are the means of a clip, every feature with mean 0 and deviation 1 over train. Where there
    are classes it is logistic regression, and of several labels one for each.

    Source: hoerl1970.

    Args:
        config: Settings.
        inputs: What the model reads.
    """

    fits_squares: ClassVar[bool] = True

    @classmethod
    def needs_scikit_learn(cls, targets: Sequence[Target]) -> bool:
        """Return whether there are classes or labels, of which it has the logistic regression."""
        return any(target.has_shares for target in targets)

    def __init__(self, config: RidgeConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs)
        self.penalties = config.penalties
        if self.has_sentiment:
            self.line = nn.Linear(self.state_sizes[Task.FUSION], 1)
        self.read_targets_from(self.state_sizes)

    def score(self, joined: Float[Tensor, "B V"]) -> Float[Tensor, "B"]:
        """Return the score of each clip; NaN where the model predicts no sentiment."""
        if not self.has_sentiment:
            return joined.new_full((len(joined),), torch.nan)
        score: Tensor = self.line(joined).squeeze(-1)
        return score

    def fit(self, goal: FitGoal) -> list[Tried]:
        """Fit what predicts one thing, with the penalty that is best on valid."""
        mean, spread = goal.vectors.mean(axis=0), goal.vectors.std(axis=0)
        is_constant = spread <= 1e-6 * np.abs(mean).clip(min=1e-6)
        scale = np.where(is_constant, 0.0, 1 / np.where(is_constant, 1.0, spread))
        standard = (goal.vectors - mean) * scale
        is_logistic = goal.kind in (TargetKind.CLASS, TargetKind.LABELS)
        lines = (
            self._logistic(goal, standard) if is_logistic else self._least_squares(goal, standard)
        )
        tried, best = [], None
        for penalty, of_standard in zip(self.penalties, lines, strict=True):
            weight = of_standard.weight * scale
            line = _Line(weight, of_standard.bias - weight @ mean)
            tried.append(Tried({"penalty": penalty}, goal.error(line(goal.valid))))
            if best is None or tried[-1].error < min(each.error for each in tried[:-1]):
                best = line
        self._take(goal, best)  # type: ignore[arg-type]  # there is a penalty
        return tried

    def _least_squares(self, goal: FitGoal, standard: Float[np.ndarray, "N V"]) -> Iterator[_Line]:
        """Yield the fit with each penalty; the features are decomposed once."""
        mean = goal.values.mean(axis=0)
        values, directions = np.linalg.eigh(standard.T @ standard)
        along = directions.T @ (standard.T @ (goal.values - mean))
        for penalty in self.penalties:
            weight = directions @ (along / (values.clip(min=0) + penalty)[:, None])
            yield _Line(weight.T, mean)

    def _logistic(self, goal: FitGoal, standard: Float[np.ndarray, "N V"]) -> Iterator[_Line]:
        """Yield the fit with each penalty, the strongest last, each begun where the last ended."""
        if goal.kind is TargetKind.CLASS:
            fits = [_Logistic(standard, goal.values, goal.weights)]
        else:
            both = zip(goal.values.T, goal.weights, goal.others, strict=True)
            fits = [
                _Logistic(standard, np.stack([1 - v, v], axis=1), np.array([out, there]))
                for v, there, out in both
            ]
        for penalty in self.penalties:
            lines = [fit(penalty) for fit in fits]
            if goal.kind is TargetKind.CLASS:
                yield lines[0]
                continue
            weight = np.stack([line.weight[1] - line.weight[0] for line in lines])
            yield _Line(weight, np.array([line.bias[1] - line.bias[0] for line in lines]))

    @torch.no_grad()
    def _take(self, goal: FitGoal, line: _Line) -> None:
        """Predict by a line from now on."""
        weight, bias = line
        if goal.target is None:
            layer = self.line
        else:
            layer = self.target_heads.layer(goal.target, Task.FUSION)
            low, high = goal.target.bounds
            if goal.kind is TargetKind.SCORE:  # as ``TargetHeads`` reads them
                weight, bias = (
                    weight * 2 / (high - low),
                    (bias - (low + high) / 2) * 2 / (high - low),
                )
            elif goal.kind is TargetKind.INTENSITIES:
                weight, bias = weight / (high - low), (bias - low) / (high - low)
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))


class _Logistic:
    """Logistic regression on shares of classes: a clip counts for each class by its share.

    Args:
        vectors: Of the clips, in standard units.
        shares: Of the classes.
        weights: How much a clip of each class counts.
    """

    def __init__(
        self,
        vectors: Float[np.ndarray, "N V"],
        shares: Float[np.ndarray, "N K"],
        weights: Float[np.ndarray, "K"],
    ) -> None:
        from sklearn.linear_model import LogisticRegression

        counts = shares * weights
        self._size, self._there = counts.shape[1], np.flatnonzero(counts.sum(axis=0) > 0)
        clips, self._classes = np.nonzero(counts)
        self._counts = counts[clips, self._classes]
        self._vectors = vectors if len(clips) == len(vectors) else vectors[clips]
        self._model = LogisticRegression(max_iter=_MOST_STEPS, warm_start=True)

    def __call__(self, penalty: float) -> _Line:
        """Return the logits of all classes."""
        weight = np.zeros((self._size, self._vectors.shape[1]))
        bias = np.full(self._size, NEVER)
        if len(self._there) == 1:
            bias[self._there] = 0.0
            return _Line(weight, bias)
        self._model.C = 1 / penalty
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it has to tell is logged below
            self._model.fit(self._vectors, self._classes, sample_weight=self._counts)
        if self._model.n_iter_.max() >= _MOST_STEPS:
            logger.warning("logistic regression with penalty %g has not settled", penalty)
        own, start = self._model.coef_, self._model.intercept_
        if len(self._there) == 2:
            own, start = np.concatenate([-own / 2, own / 2]), np.concatenate([-start, start]) / 2
        weight[self._there], bias[self._there] = own, start
        return _Line(weight, bias)
