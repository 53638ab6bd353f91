"""Settings of label generators: each has its own; what earlier versions wrote is still read."""

import pytest

from mien.config import apply_overrides, dump_toml, read_settings
from mien.errors import ConfigError
from mien.labels import GENERATORS
from mien.training.settings import ExperimentConfig, read_config, read_stored_config

#: What a run of an earlier version wrote of its labels, whatever its generator.
OLD = {
    "weight": "one", "warmup_epochs": 2, "zeros": "positive", "reach": 0.7, "expert_size": 16,
    "temperature": 0.5, "folds": 4, "rest": 1.0, "evidence_epochs": 20, "evidence_patience": 3,
}  # fmt: skip

every_generator = pytest.mark.parametrize("name", GENERATORS)


@every_generator
def test_stored_settings_keep_what_the_generator_uses_and_no_more(name):
    labels = {"generator": name, **OLD}
    config = read_stored_config({"labels": labels})
    used = GENERATORS[name].config.model_fields
    later = {"evidence", "common_size", "noise", "inner_rate"} & set(used)
    assert dict(config.labels) == {
        key: used[key].default if key in later else {"feedback": "all", **labels}[key]
        for key in used
    }


def test_a_stored_run_of_latent_keeps_its_late_fusion_models():
    config = read_stored_config({"labels": {"generator": "latent", **OLD}})
    assert config.labels.evidence == "late"


def test_a_stored_run_of_posterior_keeps_the_feedback_of_its_time():
    labels = {"generator": "posterior"}
    assert read_stored_config({"labels": labels}).labels.feedback == "all"
    assert read_settings(ExperimentConfig, {"labels": labels}).labels.feedback == "correlated"
    config = read_stored_config({"labels": {**labels, "feedback": "correlated"}})
    assert config.labels.feedback == "correlated"


@every_generator
def test_a_settings_file_that_a_run_wrote_is_read_and_may_be_overridden(name, tmp_path):
    path = tmp_path / "config.toml"
    lines = [f"{key} = {value!r}" for key, value in {"generator": name, **OLD}.items()]
    path.write_text("\n".join(["[labels]", *lines]))
    assert read_config(path) == read_stored_config({"labels": {"generator": name, **OLD}})
    assert read_config(path, ["labels.weight=one"]).labels.weight == "one"
    if name not in ("copy", "human"):  # which take no other
        assert read_config(path, ["labels.weight=difference"]).labels.weight == "difference"
    path.write_text(dump_toml(read_config(path)))
    assert read_config(path) == read_stored_config({"labels": {"generator": name, **OLD}})


@every_generator
def test_a_setting_of_another_generator_is_an_error_that_names_it(name, tmp_path):
    path = tmp_path / "mine.toml"
    others = set(OLD) - set(GENERATORS[name].config.model_fields)
    assert others
    for key in sorted(others):
        values = {"labels": {"generator": name, key: OLD[key]}}
        path.write_text(f"[labels]\ngenerator = {name!r}\n{key} = {OLD[key]!r}\n")
        with pytest.raises(ConfigError, match=rf"^there is no setting labels\.{key}; "):
            read_config(path)
        with pytest.raises(ConfigError, match=rf"^there is no setting labels\.{key}; "):
            read_settings(ExperimentConfig, values)
        overrides = [f"labels.generator={name}", f"labels.{key}={OLD[key]}"]
        with pytest.raises(ConfigError, match=rf"^there is no setting labels\.{key}; "):
            read_settings(ExperimentConfig, apply_overrides({}, overrides))


def test_the_hint_names_a_setting_of_the_chosen_generator():
    values = {"labels": {"generator": "ulag", "raech": 1.0}}
    with pytest.raises(ConfigError, match=r"did you mean labels\.reach\?$"):
        read_settings(ExperimentConfig, values)


def test_a_stored_setting_that_no_generator_ever_had_is_an_error():
    with pytest.raises(ConfigError, match=r"^there is no setting labels\.raech"):
        read_stored_config({"labels": {"generator": "copy", **OLD, "raech": 1.0}})


def test_a_generator_that_there_is_not_is_an_error_that_lists_those_there_are():
    message = r"^setting labels\.generator is 'nonsense', must be one of 'latent', .*'copy'"
    with pytest.raises(ConfigError, match=message):
        read_settings(ExperimentConfig, {"labels": {"generator": "nonsense"}})
    with pytest.raises(ConfigError, match=message):
        read_stored_config({"labels": {"generator": "nonsense", **OLD}})


@pytest.mark.parametrize("name", ["bert_mag", "cenet"])
def test_a_stored_run_of_an_encoder_that_is_changed_scores_what_it_scored_in_its_time(name):
    values = {"model": {"name": name}, "text_encoder": {"input": "transcript", "summary": "mean"}}
    assert read_stored_config(values).model.scored == "first"
    assert read_settings(ExperimentConfig, values).model.scored == "summary"
    chosen = {"model": {"name": name, "scored": "summary"}}
    assert read_stored_config(chosen).model.scored == "summary"


@pytest.mark.parametrize("name", ["copy", "human"])
def test_a_weight_that_counted_for_nothing_does_not_keep_a_run_from_being_read(name):
    """Models without unimodal tasks were trained on classes with it, and could not be read."""
    labels = {"generator": name, "weight": "difference"}
    assert read_stored_config({"labels": labels}).labels.weight == "one"
    with pytest.raises(ConfigError, match=r"labels\.weight is 'difference', must be one"):
        read_settings(ExperimentConfig, {"labels": labels})
