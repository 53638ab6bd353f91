"""Spaces: what a file may say, what comes with the package, what becomes of the values."""

import tomllib

import pytest
from helpers import make_config

from mien.cli import main
from mien.errors import ConfigError
from mien.models import MODELS
from mien.training.settings import list_configs, read_config
from mien.tuning.space import SearchRange, SearchSpace, default_space, read_space


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('"train.batch_sze" = [1, 2]', "no setting train.batch_sze; did you mean train.batch_size"),
        ('"trian.batch_size" = [1, 2]', "there is no setting trian; did you mean train?"),
        ('"train.batch_size" = [0, 2]', "setting train.batch_size is 0, should be greater"),
        ('"train.batch_size" = [8]', "train.batch_size must have two choices or more"),
        ('"train.batch_size" = [8, 8]', "must have two choices or more, which are different"),
        ('"train.batch_size" = [[8], [9]]', "train.batch_size: [8] cannot be tried"),
        ('"train.batch_size" = 8', "train.batch_size must be a range with low and high"),
        ('"train.batch_size" = { low = 1 }', "train.batch_size must have low and high, or choices"),
        ('"train.batch_size" = { low = 9, high = 2 }', "low is 9, must be below high, 2"),
        ('"train.batch_size" = { low = 1.5, high = 3 }', "setting train.batch_size is 1.5"),
        ('"train.batch_size" = { low = 1, high = 9, step = 0.5 }', "step is 0.5, must be a whole"),
        ('"train.batch_size" = { low = 1, high = 4, step = 10 }', "step is 10, must be at most 3"),
        ('"train.batch_size" = { low = 1, hihg = 9 }', "did you mean train.batch_size.high?"),
        ('"train.clip_norm" = { low = 0, high = 3, log = true }', "log cannot go with low at 0"),
        ('"train.clip_norm" = { low = 1, high = 3, log = true, step = 1 }', "go with a step"),
        ('"train.clip_norm" = { low = 1, high = inf }', "setting train.clip_norm.high is inf"),
        ('"train.clip_norm" = { low = 1, choices = [1, 2] }', "has choices and low; give one"),
        ('"train.learning_rate" = { low = 1, high = 2 }', "is a section, not a setting; its"),
        ('"model.num_layers.x" = [1, 2]', "model.num_layers.x; num_layers is a setting"),
        ('"model.fusion" = { low = 1, high = 2 }', "setting model.fusion is 1, should be"),
        ('"model.standardise" = { low = 0, high = 1 }', "standardise|is no"),
        ('"model.name" = ["tfn", "lmf"]', "cannot be tried: it is the model; give one CONFIG"),
        ('"train.monitor" = ["mae", "corr"]', "it decides what trials are compared by"),
        ('"targets.sentiment_weight" = [1.0, 2.0]', "it decides what trials are compared by"),
        ('"train.epochs" = [5, 9]', "is a part of the budget, the same for every trial"),
        ('"train.warmup" = { choices = [0.1, 0.2], also = ["train.seeds"] }', "--seeds, the same"),
        ('"train.warmup" = [0.1, 0.2]\ntrain.warmup = [0.1, 0.3]', "names train.warmup twice"),
        ("", "has 0 settings, must have 1 to 100"),
        ("a = = 3", "is not TOML"),
    ],
)
def test_a_wrong_space_is_one_sentence(text, sentence, tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_space(path, make_config())
    assert any(part in str(caught.value) for part in sentence.split("|"))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_space_comes_with_every_model_and_fits_all_settings_of_the_package():
    seen = set()
    for name in list_configs():
        config = read_config(name)
        names = [each.name for each in default_space(config).ranges]
        assert any(each.startswith("model.") for each in names)
        is_trained = config.text_encoder.input != "none" and config.text_encoder.mode != "frozen"
        is_fitted = config.model.name in ("ridge", "trees")
        assert ("train.batch_size" in names) != is_fitted
        assert ("train.learning_rate.text" in names) == is_trained
        seen.add(config.model.name)
    assert seen >= set(MODELS)


def test_what_is_shown_is_a_file_of_the_same_space(tmp_path, capsys):
    assert main(["tune", "mult", "--show-space"]) == 0
    shown = capsys.readouterr().out
    path = tmp_path / "space.toml"
    path.write_text(shown, encoding="utf-8")
    config = read_config("mult")
    assert read_space(path, config) == default_space(config)
    assert main(["tune", "mult", "--space", str(path), "--show-space"]) == 0
    assert tomllib.loads(capsys.readouterr().out) == tomllib.loads(shown)


def test_the_values_of_a_trial_become_settings_and_a_step_ends_where_it_can(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(
        '"labels.generator" = ["copy", "distance"]\n'
        '[train]\n"batch_size" = { low = 2, high = 9, step = 3 }\n'
        'weight_decay.rest = { low = 0.0, high = 1.0, also = ["train.weight_decay.audio"] }\n',
        encoding="utf-8",
    )
    config = make_config(labels={"generator": "copy"})
    space = read_space(path, config)
    sizes = next(each for each in space.ranges if each.name == "train.batch_size")
    assert (sizes.low, sizes.high, sizes.is_whole) == (2, 8, True)
    values = {"labels.generator": "distance", "train.batch_size": 5, "train.weight_decay.rest": 0.5}
    made = space.apply(config, values)
    assert made.labels.generator == "distance"
    assert made.train.weight_decay.rest == made.train.weight_decay.audio == 0.5
    assert made.train.weight_decay.text == config.train.weight_decay.text
    assert made.train.batch_size == 5


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "CONFIG is missing"),
        (["mult", "mult"], "two CONFIGs are called 'mult'"),
        (["mult", "--space", "a", "--space", "b"], "--space: 2 files are given for 1 CONFIGs"),
        (["mult", "--space", "nowhere.toml"], "nowhere.toml: is not there"),
        (["mult", "--store", "nowhere"], "nowhere: is not a store"),
        (["mult", "--trials", "0"], "--trials: must be greater than or equal to 1"),
        (["mult", "--sampler", "grid"], "--sampler"),
    ],
)
def test_a_wrong_command_is_one_sentence_and_exit_code_2(words, sentence, capsys):
    assert main(["tune", *words]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_the_combination_of_settings_is_found_in_a_space(model):
    config, space = model
    values = {"train.loss.error": "squared", "train.learning_rate.rest": 0.01}
    values["model.fusion_size"] = 6
    assert space.find(space.apply(config, values)) == values
    own = config.train.learning_rate.model_copy(update={"audio": 0.5})  # goes along with ``rest``
    train = config.train.model_copy(update={"learning_rate": own})
    assert space.find(config.model_copy(update={"train": train})) is None
    assert SearchSpace((SearchRange(name="model.nothing", choices=(1, 2)),)).find(config) is None


def test_choices_of_series_that_a_store_has_not_are_found():
    names = ("features.audio", "features.video", "model.standardise")
    choices = (("audio", "none"), ("video", "faces"), (True, False))
    space = SearchSpace(
        tuple(SearchRange(name=n, choices=own) for n, own in zip(names, choices, strict=True))
    )
    assert space.find_idle({"audio", "text"}) == ["features.video"]
    assert space.find_idle({"audio", "faces"}) == []
