"""How settings are drawn and trials given up, on values that cost nothing."""

import math

import optuna
import pytest

from mien.tuning.sampling import TrialSampler, draw, make_pruner
from mien.tuning.space import SearchRange, SearchSpace
from mien.tuning.tune_settings import Budget


@pytest.fixture
def study(model):
    def make(name="study", **options):
        config, space = model
        config = config.model_copy(update={"train": config.train.model_copy(update={"epochs": 20})})
        budget = Budget(trials=30, seeds=(1, 2), **options)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        return optuna.create_study(
            study_name=name,
            sampler=TrialSampler(space, budget),
            pruner=make_pruner(budget, config),
        )

    return make


def run(study, space, count):
    """Make trials whose value is how far the rate is from 1e-2, and return their settings."""
    drawn = []
    for _ in range(count):
        trial = study.ask()
        values = draw(trial, space)
        assert draw(trial, space) == values
        drawn.append(values)
        study.tell(trial, abs(math.log10(values["train.learning_rate.rest"]) + 2))
    return drawn


def test_the_seed_and_the_trials_before_it_decide_what_a_trial_is(study, model):
    space = model[1]
    drawn = run(study(seed=3), space, 14)
    assert run(study(seed=3), space, 14) == drawn
    assert run(study(seed=4), space, 14) != drawn
    begun = study(seed=3)
    assert run(begun, space, 9) == drawn[:9]
    going_on = study(seed=3)
    going_on.add_trials(begun.trials)  # another process, which remembers nothing
    assert run(going_on, space, 5) == drawn[9:]


def test_settings_are_drawn_near_those_of_better_trials(study, model):
    space = model[1]
    late = {}
    for sampler in ("tpe", "random"):
        rates = [v["train.learning_rate.rest"] for v in run(study(sampler=sampler), space, 30)]
        late[sampler] = sum(abs(math.log10(rate) + 2) for rate in rates[15:])
    assert late["tpe"] < 0.75 * late["random"]
    for values in run(study(), space, 12):
        assert 1e-3 <= values["train.learning_rate.rest"] <= 1e-1
        assert values["model.fusion_size"] in (4, 6, 8)
        assert values["train.loss.error"] in ("absolute", "squared")


def course(study, value, steps=40):
    """Report a value after every epoch; return after which the trial was given up, if it was."""
    trial = study.ask()
    for step in range(1, steps + 1):
        trial.report(value, step)
        if trial.should_prune():
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return step
    study.tell(trial, value)
    return None


def test_the_median_gives_up_what_does_worse_once_some_have_finished(study):
    trials = study(pruner="median")
    assert [course(trials, value) for value in (9.0, 1.0, 2.0, 3.0)] == [None] * 4
    assert course(trials, 8.0) == 3  # a tenth of the epochs of its first training is left to it
    assert course(trials, 0.5) is None


def test_nothing_is_given_up_without_a_pruner_and_hyperband_gives_up_early(study):
    none = study(pruner="none")
    assert {course(none, value) for value in (1.0, 2.0, 3.0, 4.0, 5.0, 9.0)} == {None}
    hyperband = study(pruner="hyperband")
    ended = [course(hyperband, float(value)) for value in range(12)]
    assert ended[0] is None
    assert any(step is not None and step < 20 for step in ended)


FEW = SearchSpace(
    (
        SearchRange(name="a", choices=(True, False)),
        SearchRange(name="b", low=1.0, high=3.0, is_whole=True),
        SearchRange(name="c", low=0.1, high=0.4, step=0.1),
    )
)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_no_settings_are_drawn_twice_until_there_are_no_others(sampler):
    given = {"a": True, "b": 2, "c": 0.1}
    own = TrialSampler(FEW, Budget(trials=30, seeds=(1,), sampler=sampler), given)
    trials = optuna.create_study(sampler=own)
    drawn = [given]
    trials.tell(trials.ask(), 0.5)  # the settings as they were given, of which nothing is drawn
    while own.has_others(trials.trials):
        trial = trials.ask()
        drawn.append(draw(trial, FEW))
        if len(drawn) % 3:  # others are at work beside it, as with several jobs
            trials.tell(trial, float(drawn[-1]["b"]))
    assert FEW.count() == 2 * 3 * 4 == len(drawn)
    assert len({tuple(values.values()) for values in drawn}) == 24
    assert sorted(map(str, drawn)) == sorted(map(str, FEW.combine()))


def test_trials_of_other_brackets_are_not_drawn_again(model):
    space = SearchSpace(FEW.ranges[:2])
    budget = Budget(trials=30, seeds=(1,), pruner="hyperband")
    own = TrialSampler(space, budget)
    trials = optuna.create_study(
        study_name="brackets", sampler=own, pruner=make_pruner(budget, model[0])
    )
    drawn = []
    while own.has_others(trials.trials):
        trial = trials.ask()
        drawn.append(draw(trial, space))
        trials.tell(trial, float(drawn[-1]["b"]))
    assert len({tuple(values.values()) for values in drawn}) == len(drawn) == 6


def test_a_range_without_steps_never_runs_out(study, model):
    own = study().sampler
    assert model[1].count() == math.inf
    assert own.has_others(study().trials)
