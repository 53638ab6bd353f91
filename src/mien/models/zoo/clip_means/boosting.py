"""Gradient boosting by scikit-learn, taken apart into what is predicted after each round."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from mien.models.zoo.clip_means.tree_sum import FlatTree

__all__ = ["NEVER", "Boosting", "boost_classes", "boost_numbers"]

#: The logit of a class that no train clip has, where those of the others are around 0.
NEVER = -10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Boosting:
    """Rounds of trees, fitted.

    Attributes:
        base: Values before the first round.
        rounds: The trees of scikit-learn, of each round one for every column.
        raw: What all rounds until then give the valid clips, column by column.
        made_of: Of each value, of which column it is made and by what that is multiplied; None if
            it stays at its base.
        rate: By what each tree is multiplied besides.
    """

    base: Float[np.ndarray, "K"]
    rounds: Sequence[Sequence[Any]]
    raw: Float[np.ndarray, "R M E"]
    made_of: tuple[tuple[int, float] | None, ...]
    rate: float

    def staged(self, num_clips: int, num_rounds: int) -> Float[np.ndarray, "R M K"]:
        """Return the values of the valid clips after 0, 1, 2 and more rounds."""
        values = np.tile(self.base, (num_rounds + 1, num_clips, 1)).astype(np.float64)
        for place, made in enumerate(self.made_of):
            if made is not None:
                values[1:, :, place] += made[1] * self.raw[:, :, made[0]]
        return values

    def flat(self, num_rounds: int, depth: int) -> list[list[FlatTree | None]]:
        """Return the trees of so many rounds, of each one for every value; None adds nothing."""
        return [
            [
                None
                if made is None
                else FlatTree(of_round[made[0]].tree_, depth, made[1] * self.rate)
                for made in self.made_of
            ]
            for of_round in (self.rounds[:num_rounds] if len(self.rounds) else [()] * num_rounds)
        ]

    def difference(self) -> "Boosting":
        """Return the second of two values less the first: the logit of a label."""
        logit = np.array([self.base[1] - self.base[0]])
        return replace(self, base=logit, made_of=((0, 1.0) if len(self.rounds) else None,))


def boost_numbers(
    vectors: Float[np.ndarray, "N V"],
    values: Float[np.ndarray, "N"],
    valid: Float[np.ndarray, "M V"],
    *,
    is_squared: bool,
    settings: Mapping[str, Any],
) -> Boosting:
    """Fit to a number for each clip, by squared or absolute errors."""
    from sklearn.ensemble import GradientBoostingRegressor

    loss = "squared_error" if is_squared else "absolute_error"
    model = GradientBoostingRegressor(loss=loss, **settings).fit(vectors, values)
    staged = (each[:, None] for each in model.staged_predict(valid))
    return _take_apart(model, staged, valid, ((0, 1.0),))


def boost_classes(
    vectors: Float[np.ndarray, "N V"],
    shares: Float[np.ndarray, "N K"],
    weights: Float[np.ndarray, "K"],
    valid: Float[np.ndarray, "M V"],
    settings: Mapping[str, Any],
) -> Boosting:
    """Fit logits to shares of classes: a clip counts for each class by its share."""
    from sklearn.ensemble import GradientBoostingClassifier

    counts = shares * weights
    there = np.flatnonzero(counts.sum(axis=0) > 0)
    base = np.full(counts.shape[1], NEVER)
    if len(there) == 1:
        base[there] = 0.0
        none = np.zeros((settings["n_estimators"], len(valid), 0))
        return Boosting(base=base, rounds=(), raw=none, made_of=(None,) * len(base), rate=1.0)
    clips, classes = np.nonzero(counts)
    model = GradientBoostingClassifier(**settings)
    model.fit(vectors[clips], classes, sample_weight=counts[clips, classes])
    made_of: list[tuple[int, float] | None] = [None] * len(base)
    if len(there) == 2:
        made_of[there[0]], made_of[there[1]] = (0, -0.5), (0, 0.5)
    else:
        for column, place in enumerate(there.tolist()):
            made_of[place] = column, 1.0
    staged = (each.reshape(len(valid), -1) for each in model.staged_decision_function(valid))
    fitted = _take_apart(model, staged, valid, tuple(made_of))
    base[there] = fitted.base[there]
    return replace(fitted, base=base)


def _take_apart(
    model: Any,  # noqa: ANN401  # scikit-learn has no types
    staged: Iterable[Float[np.ndarray, "M E"]],
    valid: Float[np.ndarray, "M V"],
    made_of: tuple[tuple[int, float] | None, ...],
) -> Boosting:
    """Tell what the trees add from what the boosting begins with."""
    after = np.stack(list(staged))
    first = [tree.predict(valid[:1])[0] for tree in model.estimators_[0]]
    begins = after[0, 0] - model.learning_rate * np.array(first)
    base = [0.0 if made is None else made[1] * begins[made[0]] for made in made_of]
    return Boosting(
        base=np.array(base),
        rounds=[list(of_round) for of_round in model.estimators_],
        raw=after - begins,
        made_of=made_of,
        rate=model.learning_rate,
    )
