"""How a tuning is carried out: how many trials, what each is, and how their settings are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from mien.errors import ConfigError
from mien.reports.text import count_words
from mien.training.settings import ExperimentConfig

__all__ = ["Budget", "Pruner", "Sampler", "check_budget", "count_epochs"]

#: How the settings of a trial are drawn: ``tpe`` from those of the better trials so far, or at
#: random.
Sampler = Literal["tpe", "random"]
#: When a trial is given up: below the median of the trials before it, by the brackets of
#: ``hyperband``, or never.
Pruner = Literal["median", "hyperband", "none"]

_MOST_TRIALS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What each model gets, the same for all that are compared.

    Attributes:
        trials: How many trials, the settings as given included.
        seeds: Seeds of the trainings of a trial; its value is their mean.
        folds: 0 for train and valid as they are; else so many folds of both, by video, on each of
            which a trial is trained.
        sampler: How settings are drawn.
        pruner: When a trial is given up.
        seed: Of the draws.
    """

    trials: int
    seeds: tuple[int, ...]
    folds: int = 0
    sampler: Sampler = "tpe"
    pruner: Pruner = "median"
    seed: int = 0

    @property
    def trainings(self) -> int:
        """How many trainings a trial is."""
        return len(self.seeds) * max(1, self.folds)

    def to_plain(self) -> dict[str, Any]:
        """Return what all trials of one tuning must share, by its name in a sentence.

        That is all but how many there are: more can be made later.
        """
        return {
            "list of seeds": list(self.seeds),
            "number of folds": self.folds,
            "sampler": self.sampler,
            "pruner": self.pruner,
            "--seed": self.seed,
        }

    def describe(self, config: ExperimentConfig) -> str:
        """Return the budget in words, for people."""
        parts = [count_words(len(self.seeds), "seed")]
        parts += [f"{self.folds} folds by video"] * bool(self.folds)
        what = " x ".join(parts)
        epochs = count_words(config.train.epochs, "epoch")
        return f"{count_words(self.trials, 'trial')} of {what}, each at most {epochs}"


def count_epochs(budget: Budget, config: ExperimentConfig) -> int:
    """Return how many epochs a trial has at most."""
    return budget.trainings * config.train.epochs


def check_budget(budget: Budget) -> None:
    """Check what the command line cannot.

    Raises:
        ConfigError: If something is out of range.
    """
    if not 1 <= budget.trials <= _MOST_TRIALS:
        raise ConfigError(f"--trials is {budget.trials}, must be 1 to {_MOST_TRIALS}")
    if budget.folds < 0 or budget.folds == 1:
        raise ConfigError(f"--folds is {budget.folds}, must be 2 or more, or 0 for none")
    if not budget.seeds:
        raise ConfigError("--seeds: must name one seed or more")
    if not 0 <= budget.seed < 1 << 32:
        raise ConfigError(f"--seed is {budget.seed}, must be 0 to 2**32 - 1")
    _check_choice("--sampler", budget.sampler, get_args(Sampler))
    _check_choice("--pruner", budget.pruner, get_args(Pruner))


def _check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ConfigError(f"{option} is {value!r}, must be one of {', '.join(choices)}")
