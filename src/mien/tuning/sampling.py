"""How the settings of a trial are drawn, and when it is given up: by Optuna, from a seed.

What is drawn for a trial depends on the seed, the number of the trial and the trials before it,
and on nothing that a process remembers: a tuning that was stopped goes on as if it had not been.
"""

import math
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


class TrialSampler(BaseSampler):
    """Draws the settings of each trial from a seed of its own.

    Source: bergstra2011 for ``tpe``, of which Optuna's multivariate form is used.

    Args:
        space: What is tried.
        budget: Names the sampler and the seed.
    """

    def __init__(self, space: SearchSpace, budget: Budget) -> None:
        self._space = {each.name: _distribution(each) for each in space.ranges}
        self._budget = budget
        self._drawing: BaseSampler = RandomSampler(seed=budget.seed)

    def before_trial(self, study: TrialStudy, trial: FrozenTrial) -> None:
        """Take the seed of the trial."""
        seeds = np.random.SeedSequence([self._budget.seed, trial.number])
        seed = int(seeds.generate_state(1)[0])
        if self._budget.sampler == "tpe":
            self._drawing = TPESampler(seed=seed, n_startup_trials=_FIRST_AT_RANDOM)
        else:
            self._drawing = RandomSampler(seed=seed)
        self._drawing.before_trial(study, trial)

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
        """Draw all settings together; none is given where they are drawn one by one."""
        return self._drawing.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: TrialStudy,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:  # noqa: ANN401  # whatever the distribution holds
        """Draw one setting."""
        return self._drawing.sample_independent(study, trial, param_name, param_distribution)


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
