import pytest

from mien.cli.options import read_seeds
from mien.config import apply_overrides, read_settings
from mien.errors import (
    ConfigError,
)
from mien.training.settings import ExperimentConfig, describe_doubts, read_config
from mien.types import Modality


def read_overridden(*overrides):
    return read_settings(ExperimentConfig, apply_overrides({}, overrides))


MISSPELT = [
    ("train.sede=1", r"there is no setting train\.sede; did you mean train\.seeds\?"),
    ("train.patiense=3", r"did you mean train\.patience\?"),
    ("model.atention=gated", r"did you mean model\.attention\?"),
    ("model.state_size.fusoin=3", r"did you mean model\.state_size\.fusion\?"),
    ("labels.generater=copy", r"did you mean labels\.generator\?"),
    ("train.learning_rate.adio=1", r"did you mean train\.learning_rate\.audio\?"),
    ("trian.epochs=3", r"there is no setting trian; did you mean train\?"),
    ("text_encoder.mod=frozen", r"did you mean text_encoder\.mode\?"),
]


@pytest.mark.parametrize(("override", "message"), MISSPELT)
def test_a_misspelt_setting_is_an_error_that_says_the_likely_one(override, message):
    with pytest.raises(ConfigError, match=message):
        read_overridden(override)


@pytest.mark.parametrize("word", ["false", "False"])
def test_false_is_false(word):
    assert read_overridden(f"model.standardise={word}").model.standardise is False
    assert read_overridden(f"train.group_lengths={word}").train.group_lengths is False


@pytest.mark.parametrize("override", [
    "train.epochs=0", "train.epochs=True", "train.batch_size=-1", "model.fusion=nonsense",
    "model.dropout.fusion=1", "train.seeds=[]", "labels.rest=-1", "labels.folds=1",
    "model.name=tam-ulag", "train.monitor=acc2", "text_encoder.mode=last-0",
    "model.standardise=perhaps", "train.learning_rate.rest=-1",
    "train.seeds=[-1]", "train.seeds=[100000000000000000000]", "train.seeds=1111,abc",
    "train.seeds=[1.5]", "train.seeds=[true]", "train.threads=100000000000000000000",
])  # fmt: skip
def test_a_value_out_of_its_range_is_an_error(override):
    path = override.partition("=")[0].rpartition(".")[0]
    with pytest.raises(ConfigError, match=rf"setting(s of)? {path}"):
        read_overridden(override)


def test_seeds_that_no_generator_takes_are_said_to_be_wrong():
    """They ended in a traceback of numpy or torch."""
    for seeds in ("[-1]", "[9223372036854775808]", "[a]", "1111,abc"):
        with pytest.raises(
            ConfigError,
            match=r"setting train\.seeds is .*, must be whole numbers from 0 to 2\*\*63",
        ):
            read_overridden(f"train.seeds={seeds}")
    assert read_overridden("train.seeds=[9223372036854775807]").train.seeds == (2**63 - 1,)


def test_a_seed_that_is_given_twice_is_an_error():
    """It was one training, of which the numbers said that there were two."""
    with pytest.raises(ConfigError, match=r"is \[7, 8, 7\], names 7 twice; give every seed once"):
        read_overridden("train.seeds=[7, 8, 7]")


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("1111", (1111,)),
        ("1, 2", (1, 2)),
        ("1111-1115", tuple(range(1111, 1116))),
        ("3-4,1", (3, 4, 1)),
    ],
)
def test_seeds_are_read_from_lists_and_ranges(text, seeds):
    assert read_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "-1", "1-2-3", "5-3", "1,,2", "0-99999999", "1" * 20])
def test_seeds_that_cannot_be_read_get_one_sentence(text):
    with pytest.raises(
        ConfigError, match=r"^--seeds .*must be whole numbers from 0 to .*1111-1115"
    ):
        read_seeds(text)


def test_settings_that_are_not_there_are_an_error_that_lists_what_is():
    with pytest.raises(
        ConfigError, match=r"'nonsense' is neither a file nor a known configuration"
    ):
        read_config("nonsense")


def test_every_default_model_has_its_own_settings():
    assert read_overridden("model.name=self_mm").model.name == "self_mm"
    with pytest.raises(ConfigError, match=r"there is no setting model\.attention"):
        read_overridden("model.name=self_mm", "model.attention=gated")


FROZEN, FIRST = "text_encoder.mode=frozen", "text_encoder.summary=cls"


@pytest.mark.parametrize(
    ("name", "overrides", "is_doubtful"),
    [
        ("self_mm-mosi", (FROZEN,), True),
        ("self_mm-mosi", ("text_encoder.input=embeddings",), True),
        ("self_mm-mosi", (FROZEN, "text_encoder.summary=mean"), False),
        ("self_mm-mosi", (), False),
        ("self_mm-mosi", ("text_encoder.mode=last-1",), False),
        ("tam_ulag-mosi", (FROZEN,), False),
        ("tam_ulag-mosi", (FROZEN, "model.attention=none"), True),
        ("mmim", (FROZEN,), True),
        ("bert_mag", (FROZEN,), True),
        ("cenet", (FROZEN,), True),
        ("mtfn", (FROZEN, FIRST), False),
        ("ridge", (FROZEN, FIRST), False),
    ],
)
def test_a_first_state_that_nothing_trains_is_doubtful_where_nothing_else_is_read(
    name, overrides, is_doubtful
):
    config = read_config(name, overrides)
    sentences = list(describe_doubts(config, [Modality.TEXT, Modality.AUDIO]))
    assert len(sentences) == is_doubtful
    assert all("text_encoder.summary=mean reads all states" in each for each in sentences)
    assert not list(describe_doubts(config, [Modality.AUDIO]))
