"""How the settings of a trial are drawn, and when it is given up: by Optuna, from a seed.

What is drawn for a trial depends on the seed, the number of the trial and the trials before it,
and on nothing that a process remembers: a tuning that was stopped goes on as if it had not been.
What an earlier trial has is not drawn again.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study as TrialStudy
from optuna.trial import FrozenTrial, Trial

from mien.training.settings import ExperimentConfig
from mien.tuning.space import SearchRange, SearchSpace, Value
from mien.tuning.tune_settings import Budget, count_epochs

__all__ = ["TrialSampler", "draw", "make_pruner"]

#: Trials that are drawn at random before the sampler learns, and finished before one is given up.
_FIRST_AT_RANDOM, _FIRST_IN_FULL = 8, 4
#: Share of the epochs of its first training that a trial has before it can be given up.
_UNTOUCHED = 0.1
#: How often settings are drawn for a trial, before one of those is taken that were not tried.
_MOST_DRAWS = 20
#: Of how many combinations all are looked at for that.
_MOST_LISTED = 100_000


class TrialSampler(BaseSampler):
    """Draws the settings of each trial from a seed of its own.

    Source: bergstra2011 for ``tpe``, of which Optuna's multivariate form is used.

    Args:
        space: What is tried.
        budget: Names the sampler and the seed.
        given: What the settings as they were given have of the space, if it is in it: the first
            trial has them, and no other one is to.
    """

    def __init__(
        self, space: SearchSpace, budget: Budget, given: Mapping[str, Value] | None = None
    ) -> None:
        self._space = {each.name: _distribution(each) for each in space.ranges}
        self._combine, self._num_combinations = space.combine, space.count()
        self._budget, self._given = budget, given

    def has_others(self, trials: Sequence[FrozenTrial]) -> bool:
        """Return whether there are settings that none of some trials has."""
        tried = {tuple(sorted(each.items())) for each in self._list_tried(trials)}
        return len(tried) < self._num_combinations

    def _list_tried(self, trials: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
        """Return what trials have drawn, and what the settings as they were given have."""
        tried = [each.params for each in trials if each.params]
        return [*tried, dict(self._given)] if self._given is not None else tried

    def infer_relative_search_space(
        self,
        study: TrialStudy,  # noqa: ARG002  # the protocol's
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        """Return the space, whatever earlier trials had."""
        return dict(self._space)

    def sample_relative(
        self,
        study: TrialStudy,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Draw all settings together, others than those of earlier trials as far as there are."""
        every = TrialStudy.get_trials(study, deepcopy=False)  # those of other brackets as well
        tried = self._list_tried([each for each in every if each.number < trial.number])
        for again in range(_MOST_DRAWS):
            drawn = self._draw(study, trial, search_space, again)
            if drawn not in tried:
                return drawn
        if self._num_combinations > _MOST_LISTED:
            return drawn
        others = [values for values in self._combine() if values not in tried]
        rng = np.random.default_rng([self._budget.seed, trial.number])
        return others[int(rng.integers(len(others)))] if others else drawn

    def _draw(
        self,
        study: TrialStudy,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
        again: int,
    ) -> dict[str, Any]:
        """Draw all settings of a trial, from a seed for each time that this is done."""
        entropy = [self._budget.seed, trial.number, *([again] if again else [])]
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        drawing: BaseSampler = RandomSampler(seed=seed)
        if self._budget.sampler == "tpe":
            drawing = TPESampler(seed=seed, n_startup_trials=_FIRST_AT_RANDOM)
        drawing.before_trial(study, trial)
        drawn = drawing.sample_relative(study, trial, search_space)
        return {
            name: drawn[name]
            if name in drawn
            else drawing.sample_independent(study, trial, name, distribution)
            for name, distribution in search_space.items()
        }

    def sample_independent(
        self,
        study: TrialStudy,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:  # noqa: ANN401  # whatever the distribution holds
        """Draw one setting, which only a trial of another space needs."""
        seed = self._budget.seed
        return RandomSampler(seed=seed).sample_independent(
            study, trial, param_name, param_distribution
        )


def draw(trial: Trial, space: SearchSpace) -> dict[str, Value]:
    """Return the values of a trial; those that it has already are not drawn again."""
    values: dict[str, Value] = {}
    for each in space.ranges:
        value: Value
        match _distribution(each):
            case CategoricalDistribution():
                value = cast("Value", trial.suggest_categorical(each.name, each.choices))
            case IntDistribution(low=first, high=last, log=log, step=step):
                value = trial.suggest_int(each.name, first, last, log=log, step=step)
            case FloatDistribution(low=low, high=high, log=log, step=size):
                value = trial.suggest_float(each.name, low, high, log=log, step=size)
        values[each.name] = value
    return values


def _distribution(
    each: SearchRange,
) -> CategoricalDistribution | IntDistribution | FloatDistribution:
    if each.choices:
        return CategoricalDistribution(each.choices)
    if each.is_whole:
        step = int(each.step or 1)
        return IntDistribution(int(each.low), int(each.high), log=each.log, step=step)
    return FloatDistribution(each.low, each.high, log=each.log, step=each.step)


def make_pruner(budget: Budget, config: ExperimentConfig) -> BasePruner:
    """Return what gives up trials that do worse than others after as many epochs.

    Source: li2018hyperband for ``hyperband``.
    """
    if budget.pruner == "none":
        return NopPruner()
    if budget.pruner == "hyperband":
        return HyperbandPruner(max_resource=count_epochs(budget, config))
    return MedianPruner(
        n_startup_trials=_FIRST_IN_FULL,
        n_warmup_steps=1 + math.ceil(_UNTOUCHED * config.train.epochs),
    )
