"""Which settings are tried, and in which ranges: a file, or what comes with the package.

    ["train.learning_rate.rest"]
    low = 1e-4
    high = 1e-2
    log = true
    also = ["train.learning_rate.audio"]

    ["model.fusion"]
    choices = ["dimension", "concat"]

Names are dotted as in ``--set``, in quotes or as nested tables; a list stands for its choices.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import Field

from mien.config import Settings, flatten_settings, read_settings, read_toml
from mien.configs import SPACES
from mien.errors import ConfigError
from mien.training.settings import ExperimentConfig, read_config

__all__ = [
    "SearchRange",
    "SearchSpace",
    "Value",
    "default_space",
    "read_models",
    "read_space",
]

#: A value of a setting that can be tried.
Value = bool | int | float | str

_MOST_SETTINGS, _MOST_CHOICES = 100, 1000
#: What the values of trials would not be comparable under, by the start of its name.
_FIXED = {
    "corpus": "is the corpus that all trials share",
    "model.name": "is the model; give one CONFIG for each that is compared",
    "targets": "decides what trials are compared by",
    "train.monitor": "decides what trials are compared by",
    "train.seeds": "is given with --seeds, the same for every trial",
    "train.epochs": "is a part of the budget, the same for every trial; use --set train.epochs=N",
    "train.device": "is the same for every trial; use --set",
    "train.threads": "is the same for every trial; use --set",
}
_KEYS = ("low", "high", "log", "step", "choices", "also")


class _RangeSettings(Settings):
    """A range, or choices, as a file of a space has it.

    Attributes:
        low: Smallest value.
        high: Largest value, which is tried as well.
        log: Whether values are drawn on a logarithmic scale.
        step: Distance of the values; None for any value in the range.
        choices: The values, where they are no range.
        also: Further settings that get the same value.
    """

    low: int | float | None = Field(None, allow_inf_nan=False)
    high: int | float | None = Field(None, allow_inf_nan=False)
    log: bool = False
    step: int | float | None = Field(None, gt=0, allow_inf_nan=False)
    choices: tuple[Any, ...] | None = Field(None, max_length=_MOST_CHOICES)
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRange:
    """The values that are tried of a setting.

    Attributes:
        name: The setting, dotted.
        also: Further settings that get the same value.
        low: Smallest value of a range.
        high: Largest value of a range.
        log: Whether it is on a logarithmic scale.
        step: Distance of the values; None for any.
        is_whole: Whether the setting is a whole number.
        choices: The values, where they are no range; else empty.
    """

    name: str
    also: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    is_whole: bool = False
    choices: tuple[Value, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """Return what a file of a space has of it."""
        also = {"also": list(self.also)} if self.also else {}
        if self.choices:
            return {"choices": list(self.choices), **also}
        kind = int if self.is_whole else float
        step = {"step": kind(self.step)} if self.step else {}
        log = {"log": True} if self.log else {}
        return {"low": kind(self.low), "high": kind(self.high), **log, **step, **also}

    def count(self) -> float:
        """Return how many values there are; infinity where any number between the ends is one."""
        if self.choices:
            return float(len(self.choices))
        step = self.step or (1.0 if self.is_whole else 0.0)
        return 1.0 + math.floor((self.high - self.low) / step + 1e-9) if step else math.inf

    def list_values(self) -> tuple[Value, ...]:
        """Return all values of which there are as many as ``count`` says."""
        if self.choices:
            return self.choices
        kind, step = (int if self.is_whole else float), self.step or 1.0
        return tuple(kind(number * step + self.low) for number in range(int(self.count())))


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """The settings that are tried, each with its values.

    Attributes:
        ranges: One for each setting.
    """

    ranges: tuple[SearchRange, ...]

    def to_plain(self) -> dict[str, dict[str, Any]]:
        """Return the content of a file of the space."""
        return {each.name: each.to_plain() for each in self.ranges}

    def dump_toml(self) -> str:
        """Return the space as a file that ``read_space`` reads."""
        return tomli_w.dumps(self.to_plain())

    def count(self) -> float:
        """Return how many combinations of values there are; infinity if that has no end."""
        return math.prod((each.count() for each in self.ranges), start=1.0)

    def combine(self) -> Iterator[dict[str, Value]]:
        """Yield every combination of a space of which ``count`` is finite."""
        names = [each.name for each in self.ranges]
        for values in product(*(each.list_values() for each in self.ranges)):
            yield dict(zip(names, values, strict=True))

    def find_idle(self, series: Collection[str]) -> list[str]:
        """Return the choices of audio and video none of which a store has: all are alike.

        Args:
            series: What the store has.
        """
        names = {"features.audio", "features.video"}
        own = [each for each in self.ranges if each.name in names]
        return [each.name for each in own if not set(series) & set(each.choices)]

    def find(self, config: ExperimentConfig) -> dict[str, Value] | None:
        """Return the combination that settings have; None if they have another value somewhere."""
        values: dict[str, Value] = {}
        for each in self.ranges:
            own = [_read_or_none(config, name) for name in (each.name, *each.also)]
            if own[0] is None or any(value != own[0] for value in own):
                return None
            values[each.name] = own[0]
        return values

    def apply(self, config: ExperimentConfig, values: Mapping[str, Value]) -> ExperimentConfig:
        """Return settings with the values of a trial.

        Raises:
            ConfigError: If they do not go together.
        """
        given = _given(config)
        for each in self.ranges:
            for name in (each.name, *each.also):
                _put(given, name, values[each.name])
        return read_settings(ExperimentConfig, given)


def read_models(
    configs: Sequence[str], spaces: Sequence[Path], overrides: Sequence[str]
) -> dict[str, tuple[ExperimentConfig, SearchSpace]]:
    """Return settings and space of each model that is tuned, by the name of its settings.

    Args:
        configs: Names of settings, or their files.
        spaces: A file of ranges for all, or one for each; none for those of the models.
        overrides: Settings that are changed, such as ``train.epochs=5``.

    Raises:
        ConfigError: If the numbers do not fit, two have one name, or a file is not sound.
    """
    if len(spaces) not in (0, 1, len(configs)):
        raise ConfigError(
            f"--space: {len(spaces)} files are given for {len(configs)} CONFIGs; give one for all, "
            "or one for each in their order"
        )
    models = {}
    for number, config in enumerate(configs):
        name = Path(config).stem
        if name in models:
            raise ConfigError(f"two CONFIGs are called {name!r}; give files of different names")
        chosen = read_config(config, overrides)
        path = spaces[number if len(spaces) > 1 else 0] if spaces else None
        space = default_space(chosen) if path is None else read_space(path, chosen)
        models[name] = chosen, space
    return models


def read_space(path: str | Path, config: ExperimentConfig) -> SearchSpace:
    """Read a space from a file, and check it against the settings that it is for.

    Args:
        path: The file.
        config: The settings in whose place values are tried.

    Raises:
        ConfigError: If there is no such file or setting, a value is impossible, or a setting is one
            that all trials must share.
    """
    return _check_space(read_toml(Path(path)), config, str(path))


def default_space(config: ExperimentConfig) -> SearchSpace:
    """Return the space that comes with the package for the model of some settings.

    It is that of all trainings and that of the model, without rates of what is not trained; that of
    the model alone where it says ``training = false``.
    """
    shipped = _read_shipped()
    own, text = dict(shipped.get(config.model.name, {})), config.text_encoder
    values = {**shipped["training"], **own} if own.pop("training", True) else own
    if text.input in ("none", "embeddings") or text.trained_layers == 0:
        values.pop("train.learning_rate.text", None)
    return _check_space(values, config, "the space of the package")


@cache
def _read_shipped() -> dict[str, dict[str, Any]]:
    """Return the spaces of the package: that of ``training``, and one for each model."""
    return {
        name: dict(table) for path in sorted(SPACES.glob("*.toml"))
        for name, table in read_toml(path).items()
    }  # fmt: skip


def _check_space(values: Mapping[str, Any], config: ExperimentConfig, where: str) -> SearchSpace:
    try:
        ranges = tuple(_read_range(*pair, config) for pair in flatten_settings(values, _is_range))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    names = [name for each in ranges for name in (each.name, *each.also)]
    twice = [name for at, name in enumerate(names) if name in names[:at]]
    if twice:
        raise ConfigError(f"{where}: names {twice[0]} twice; give every setting once")
    if not 1 <= len(names) <= _MOST_SETTINGS:
        raise ConfigError(f"{where}: has {len(names)} settings, must have 1 to {_MOST_SETTINGS}")
    return SearchSpace(ranges)


def _is_range(value: object) -> bool:
    """Return whether something stands for the range of a setting: one of its keys is there."""
    return not isinstance(value, Mapping) or not value or bool(set(_KEYS) & set(value))


def _read_range(name: str, value: object, config: ExperimentConfig) -> SearchRange:
    if isinstance(value, list):
        value = {"choices": value}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} must be a range with low and high, or a list of choices")
    given = read_settings(_RangeSettings, value, where=name)
    for each in (name, *given.also):
        _refuse_fixed(each)
    if given.choices is not None:
        return _read_choices(name, given, value, config)
    low, high = _check_order(name, given)
    is_whole = _check_ends(name, given, config)
    step = None if given.step is None else float(given.step)
    if step:
        if is_whole and step != int(step):
            raise ConfigError(f"{name}: step is {step:g}, must be a whole number")
        if step > (high - low) * (1 + 1e-9):
            raise ConfigError(
                f"{name}: step is {step:g}, must be at most {high - low:g}, from low to high"
            )
        high = low + math.floor((high - low) / step + 1e-9) * step
    return SearchRange(
        name=name,
        also=given.also,
        low=low,
        high=high,
        log=given.log,
        step=step,
        is_whole=is_whole,
    )


def _check_order(name: str, given: _RangeSettings) -> tuple[float, float]:
    """Return both ends of a range, of which something can be drawn."""
    low, high = given.low, given.high
    if low is None or high is None:
        raise ConfigError(f"{name} must have low and high, or choices")
    if not low < high:
        raise ConfigError(f"{name}: low is {low:g}, must be below high, {high:g}")
    if given.log and (low <= 0 or given.step):
        what = "a step" if given.step else f"low at {low:g}"
        raise ConfigError(f"{name}: log cannot go with {what}; low must be above 0, without a step")
    return float(low), float(high)


def _refuse_fixed(name: str) -> None:
    for start, reason in _FIXED.items():
        if name == start or name.startswith(f"{start}."):
            raise ConfigError(f"{name} cannot be tried: it {reason}")


def _check_ends(name: str, given: _RangeSettings, config: ExperimentConfig) -> bool:
    """Check that both ends of a range can be set; return whether they are whole numbers."""
    read = [
        _try(config, each, end) for each in (name, *given.also) for end in (given.low, given.high)
    ]
    strange = [value for value in read if isinstance(value, bool | str) or value is None]
    if strange:
        raise ConfigError(f"{name} is no number; give its choices")
    return all(isinstance(value, int) for value in read)


def _read_choices(
    name: str, given: _RangeSettings, value: Mapping[str, Any], config: ExperimentConfig
) -> SearchRange:
    beside = [key for key in ("low", "high", "log", "step") if key in value]
    if beside:
        raise ConfigError(f"{name} has choices and {beside[0]}; give one of both")
    choices: list[Value] = []
    for choice in given.choices or ():
        for each in (name, *given.also):
            read = _try(config, each, choice)
        choices.append(read)
    if len(choices) < 2 or any(choice in choices[:at] for at, choice in enumerate(choices)):
        raise ConfigError(f"{name} must have two choices or more, which are different")
    return SearchRange(name=name, also=given.also, choices=tuple(choices))


def _try(config: ExperimentConfig, name: str, value: object) -> Value:
    """Set one setting, and return what is read of it.

    Raises:
        ConfigError: If there is no such setting, or the value is impossible.
    """
    now: Any = config
    *above, last = name.split(".")
    for key in above:
        now = getattr(now, key, None)
        if now is not None and not isinstance(now, Settings):
            raise ConfigError(f"there is no setting {name}; {key} is a setting, not a section")
    if isinstance(own := getattr(now, last, None), Settings):
        names = ", ".join(type(own).model_fields)
        raise ConfigError(f"{name} is a section, not a setting; its settings are {names}")
    if not isinstance(value, bool | int | float | str):
        raise ConfigError(f"{name}: {value!r} cannot be tried; give numbers, texts or truth values")
    given = _given(config)
    _put(given, name, value)
    read: Value = _read(read_settings(ExperimentConfig, given), name)
    return read


def _given(config: ExperimentConfig) -> dict[str, Any]:
    """Return what was set, so that a choice of another kind takes its own defaults."""
    return config.model_dump(mode="json", exclude_none=True, exclude_unset=True)


def _put(values: dict[str, Any], name: str, value: object) -> None:
    *above, last = name.split(".")
    for key in above:
        values = values.setdefault(key, {})
    values[last] = value


def _read_or_none(config: Settings, name: str) -> Value | None:
    """Return the value of a setting; None where the section has no such setting."""
    try:
        value: Value | None = _read(config, name)
    except AttributeError:
        return None
    return value


def _read(config: Settings, name: str) -> Any:  # noqa: ANN401  # whatever the setting holds
    value: Any = config
    for key in name.split("."):
        value = getattr(value, key)
    return value
