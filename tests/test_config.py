import copy
import pickle
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator

from mien.config import Settings, apply_overrides, dump_toml, read_settings, read_toml
from mien.errors import ConfigError


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(Settings):
    rate: float = Field(default=0.1, ge=0)
    size: int = Field(default=3, ge=1)


class Left(Settings):
    name: Literal["left"] = "left"
    depth: int = 1


class Right(Settings):
    name: Literal["right"] = "right"
    width: int = 1


class Outer(Settings):
    seed: int
    inner: Inner = Inner()
    model: Left | Right = Field(default=Left(), discriminator="name")
    rates: dict[str, float] = Field(default={})
    parts: dict[str, Inner] = Field(default={})
    colour: Colour = Colour.RED
    use_text: bool = True
    limit: int | None = None
    path: Path | None = None
    sizes: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> "Outer":
        if self.seed == 13:
            raise ValueError("seed 13 is not for the superstitious")
        return self


def test_settings_cannot_be_changed():
    settings = Outer(seed=1)
    with pytest.raises(ValidationError, match="frozen"):
        settings.seed = 2


@pytest.mark.parametrize(
    ("values", "where", "message"),
    [
        ({"sede": 1}, "", r"^there is no setting sede; did you mean seed\?$"),
        ({"sede": 1}, "train", r"^there is no setting train\.sede; did you mean train\.seed\?$"),
        (
            {"seed": 1, "inner": {"rat": 1}},
            "",
            r"no setting inner\.rat; did you mean inner\.rate\?$",
        ),
        (
            {"seed": 1, "inner": {"zzz": 1}},
            "a",
            r"no setting a\.inner\.zzz; there are: rate, size$",
        ),
        ({"seed": 1, "parts": {"x": {"siez": 1}}}, "", r"did you mean parts\.x\.size\?$"),
        ({}, "train", r"^setting train\.seed is missing$"),
        (
            {"seed": 1, "inner": {"size": 0}},
            "",
            r"^setting inner\.size is 0, should be greater than",
        ),
        ({"seed": "x"}, "", r"^setting seed is 'x', should be a valid integer"),
        ({"seed": 1, "colour": "rde"}, "", r"^setting colour is 'rde', should be 'red' or 'blue'$"),
        ({"seed": 1, "inner": 3}, "", r"^setting inner is 3, must be a table$"),
        ({"seed": 1, "rates": [1]}, "", r"^setting rates is \[1\], must be a table$"),
        ({"seed": 1, "sizes": 3}, "", r"^setting sizes is 3, must be a list$"),
        ({"seed": 1, "sizes": {"a": 3}}, "", r"^setting sizes is \{'a': 3\}, must be a list$"),
        (
            {"seed": 1, "model": {"name": "up"}},
            "",
            r"^setting model\.name is 'up', .*'left', 'right'$",
        ),
        ({"seed": 1, "rates": {"text": "fast"}}, "", r"^setting rates\.text is 'fast', should be"),
        ({"seed": 13}, "train", r"^settings of train: seed 13 is not for the superstitious$"),
        ({"seed": 13}, "", r"^settings: seed 13 is not for the superstitious$"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(values, where, message):
    with pytest.raises(ConfigError, match=message):
        read_settings(Outer, values, where)


class Lengths(Settings):
    end: int | float | None = None
    name: str = Field("a", min_length=1, max_length=3)
    several: tuple[str, ...] = Field(("a", "b"), min_length=2, max_length=3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"end": "a"}, r"^setting end is 'a', must be a number$"),
        ({"end": [1]}, r"^setting end is \[1\], must be a number$"),
        ({"name": ""}, r"^setting name is '', must have at least 1 character$"),
        ({"name": "abcd"}, r"must have at most 3 characters$"),
        ({"several": ["a"]}, r"^setting several is \['a'\], must have at least 2 values$"),
        ({"several": list("abcd")}, r"must have at most 3 values$"),
    ],
)
def test_a_wrong_length_and_what_is_no_number_are_said_in_the_terms_of_a_file(values, message):
    """Sentences spoke of tuples "after validation", and of a setting end.int that there is not."""
    with pytest.raises(ConfigError, match=message):
        read_settings(Lengths, values)


def test_settings_that_are_made_in_python_are_refused_with_the_same_sentences():
    """``mien.PlantedConfig(num_clip=3)`` was a ValidationError of pydantic without a hint."""
    with pytest.raises(ConfigError, match=r"^there is no setting sede; did you mean seed\?$"):
        Outer(sede=1)
    with pytest.raises(ConfigError, match=r"no setting inner\.rat; did you mean inner\.rate\?$"):
        Outer(seed=1, inner={"rat": 1})
    with pytest.raises(ConfigError, match=r"^settings: seed 13 is not for the superstitious$"):
        Outer(seed=13)
    with pytest.raises(ConfigError, match=r"no setting model\.depth; did you mean model\.width\?"):
        Outer(seed=1, model={"name": "right", "depth": 2})
    with pytest.raises(ConfigError, match=r"^setting size is 0, should be greater than"):
        Inner(size=0)


def test_settings_survive_pickling_and_copying():
    settings = Outer(seed=1, model=Right(width=2), parts={"x": Inner(size=5)})
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert copy.deepcopy(settings) == settings
    assert settings.model_copy(update={"seed": 2}).seed == 2


def test_completion_shows_the_settings_and_not_what_pydantic_has():
    names = [name for name in dir(Inner()) if not name.startswith("_")]
    assert names == ["model_copy", "model_dump", "rate", "size"]


def test_a_misspelt_setting_of_a_choice_is_named():
    with pytest.raises(ConfigError, match=r"no setting model\.depth; did you mean model\.width\?"):
        read_settings(Outer, {"seed": 1, "model": {"name": "right", "depth": 2}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": True}, r"^settings of all: seed is True, must be a number$"),
        ({"seed": 1, "limit": False}, r"^settings of all: limit is False, must be a number$"),
        ({"seed": 1, "inner": {"rate": True}}, r"^settings of all\.inner: rate is True, must be"),
    ],
)
def test_a_truth_value_is_no_number(values, message):
    """``--set train.seed=true`` trained with seed 1."""
    with pytest.raises(ConfigError, match=message):
        read_settings(Outer, values, "all")


def test_a_truth_value_is_one_where_it_is_asked_for():
    assert read_settings(Outer, {"seed": 1, "use_text": False}).use_text is False


def test_toml_holds_every_default():
    text = dump_toml(Outer(seed=1))
    assert tomllib.loads(text) == {
        "seed": 1,
        "inner": {"rate": 0.1, "size": 3},
        "model": {"name": "left", "depth": 1},
        "rates": {},
        "parts": {},
        "colour": "red",
        "use_text": True,
        "sizes": [],
    }


@given(
    seed=st.integers(0, 12),
    rate=st.floats(0, 1e300),
    colour=st.sampled_from(Colour),
    rates=st.dictionaries(st.text("abc.é \"'", min_size=1), st.floats(allow_nan=False), max_size=3),
    limit=st.none() | st.integers(),
    sizes=st.lists(st.integers(), max_size=3).map(tuple),
    model=st.builds(Left, depth=st.integers()) | st.builds(Right, width=st.integers()),
)
def test_settings_come_back_from_toml_as_they_were(seed, rate, colour, rates, limit, sizes, model):
    settings = Outer(
        seed=seed, inner=Inner(rate=rate), colour=colour, rates=rates, limit=limit, sizes=sizes,
        model=model, path=Path("a/b"),
    )  # fmt: skip
    assert read_settings(Outer, tomllib.loads(dump_toml(settings))) == settings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_toml_file_is_read_with_or_without_a_byte_order_mark(tmp_path, encoding):
    path = tmp_path / "a.toml"
    path.write_text('name = "é"\n[train]\nseed = 1\n', encoding=encoding)
    assert read_toml(path) == {"name": "é", "train": {"seed": 1}}


def test_a_file_that_is_not_toml_is_refused(tmp_path):
    path = tmp_path / "a.toml"
    with pytest.raises(ConfigError, match=r"a\.toml: is not there; check the path"):
        read_toml(path)
    path.write_text("seed: 1", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"a\.toml: is not TOML: .*line 1"):
        read_toml(path)
    path.write_bytes(b"name = '\xe9'")
    with pytest.raises(ConfigError, match=r"a\.toml: is not text in UTF-8"):
        read_toml(path)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("a.b=2", 2),
        ("a.b = 2", 2),
        ("a.b=2e-5", 2e-5),
        ("a.b=false", False),
        ("a.b=False", False),
        ("a.b=True", True),
        ("a.b=concat", "concat"),
        ("a.b='2'", "2"),
        ("a.b=", ""),
        ("a.b=x=y", "x=y"),
        ("a.b=[1, 2]", [1, 2]),
        ("a.b={c = 1}", {"c": 1}),
    ],
)
def test_overrides_are_toml_values(override, value):
    assert apply_overrides({}, [override]) == {"a": {"b": value}}


def test_overrides_leave_what_they_are_given_as_it_was():
    values = {"a": {"b": 1}, "c": 2}
    assert apply_overrides(values, ["a.b=3", "a.d.e=4"]) == {"a": {"b": 3, "d": {"e": 4}}, "c": 2}
    assert values == {"a": {"b": 1}, "c": 2}


def test_the_last_override_wins():
    assert apply_overrides({"a": 1}, ["a=2", "a=3"]) == {"a": 3}


@pytest.mark.parametrize("override", ["seed", "=1", "train.=1", ".seed=1", ""])
def test_an_override_has_a_name_and_a_value(override):
    with pytest.raises(ConfigError, match=r"must be SECTION\.SETTING=VALUE"):
        apply_overrides({}, [override])


def test_an_override_cannot_go_through_a_setting():
    with pytest.raises(ConfigError, match=r"--set 'a\.b=2': 'a' is a setting, not a section"):
        apply_overrides({"a": 1}, ["a.b=2"])
