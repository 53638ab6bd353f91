"""TOML to frozen, strict settings; overrides from the command line; writing settings back."""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_args

import tomli_w
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    ValidationError,
    WrapValidator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from mien.errors import ConfigError
from mien.files.reading import parse_toml, read_limited, show

__all__ = [
    "LARGEST_SEED",
    "Choice",
    "Device",
    "Seeds",
    "Settings",
    "apply_overrides",
    "dump_toml",
    "flatten_settings",
    "read_settings",
    "read_toml",
]

#: The largest whole number of TOML, and the largest seed that torch takes without a sign.
LARGEST_SEED: Final = 2**63 - 1


def _check_seeds(values: object, check: Callable[[object], tuple[int, ...]]) -> tuple[int, ...]:
    """Refuse seeds that no generator takes, and a seed that is given twice."""
    wanted = "must be whole numbers from 0 to 2**63 - 1, such as [1111, 1112]"
    has_truth = isinstance(values, Sequence) and any(isinstance(value, bool) for value in values)
    try:
        seeds = check(values)
    except ValidationError:
        raise ValueError(wanted) from None
    if has_truth or not all(0 <= seed <= LARGEST_SEED for seed in seeds):
        raise ValueError(wanted)
    twice = [seed for index, seed in enumerate(seeds) if seed in seeds[:index]]
    if twice:
        raise ValueError(f"names {twice[0]} twice; give every seed once")
    return seeds


#: One training each.
Seeds = Annotated[tuple[int, ...], WrapValidator(_check_seeds)]


def _check_device(name: str) -> str:
    if re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", name) is None:
        raise ValueError("must be auto, cpu, cuda, a GPU such as cuda:1, or mps")
    return name


#: Where to compute: ``auto``, ``cpu``, ``cuda``, one GPU of several such as ``cuda:1``, or ``mps``.
Device = Annotated[str, AfterValidator(_check_device)]


#: What is said of a value of the wrong length, by pydantic's name of the error.
_LENGTHS = {
    "too_short": ("min_length", "least", "value"),
    "too_long": ("max_length", "most", "value"),
    "string_too_short": ("min_length", "least", "character"),
    "string_too_long": ("max_length", "most", "character"),
}
#: Characters of a value that a message shows.
_SHOWN = 200
#: What a setting must be that has another form, by pydantic's name of the error.
_FORMS = {
    **dict.fromkeys(("tuple_type", "list_type", "set_type", "frozen_set_type"), "a list"),
    **dict.fromkeys(
        ("dict_type", "mapping_type", "model_type", "model_attributes_type"), "a table"
    ),
}
#: Bytes of the largest settings file.
_LARGEST = 4 << 20


class Settings(BaseModel):
    """Base of all settings: they cannot be changed once made, and cannot be misspelt silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_enum_values=False)

    def __init__(self, **values: Any) -> None:  # noqa: ANN401  # the fields of a subclass
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _explain(type(self), error, values) from None

    # Settings inside settings are checked by pydantic as if there were no __init__ here, so that an
    # error knows its path from the outermost ones.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # pydantic's own mark

    def __dir__(self) -> list[str]:
        """Return the names of the settings and of what a subclass adds, without pydantic's own."""
        inherited = set(dir(BaseModel)) - {"model_copy", "model_dump"}
        return sorted(set(super().__dir__()) - inherited)

    @model_validator(mode="before")
    @classmethod
    def _refuse_truth_as_number(cls, values: Any) -> Any:  # noqa: ANN401  # whatever was given
        """Refuse true and false for a number: pydantic alone would take them for 1 and 0."""
        given = values if isinstance(values, Mapping) else {}
        for name, value in given.items():
            if isinstance(value, bool) and name in cls.model_fields:
                annotation = cls.model_fields[name].annotation
                kinds = (annotation, *get_args(annotation))
                if (int in kinds or float in kinds) and bool not in kinds:
                    raise ValueError(f"{name} is {value!r}, must be a number")
        return values


SettingsT = TypeVar("SettingsT", bound=Settings)


@dataclass(frozen=True, slots=True)
class Choice:
    """Metadata of a setting that is itself settings, of whichever class its tag names.

    The table is looked at whenever settings are read, so that what joins it later can be chosen.

    Attributes:
        table: The choices, by name.
        kind_of: Returns the class of settings of an entry of the table.
        tag: The setting that holds the name.
        default: The name where none is given.
    """

    table: Mapping[str, Any]
    kind_of: Callable[[Any], type[Settings]]
    tag: str
    default: str

    def select(self, values: object) -> type[Settings] | None:
        """Return the class that ``values`` are for; None if there is no such choice."""
        name = self._name_of(values)
        return self.kind_of(self.table[name]) if name in self.table else None

    def _name_of(self, values: object) -> str:
        if isinstance(values, Mapping):
            return str(values.get(self.tag, self.default))
        return str(getattr(values, self.tag, ""))

    def _check(self, values: object) -> Settings:
        if not isinstance(values, Mapping | Settings):
            raise PydanticKnownError("dict_type")
        kind = self.select(values)
        if kind is None:
            context = {
                "discriminator": self.tag,
                "tag": self._name_of(values),
                "expected_tags": ", ".join(repr(name) for name in self.table),
            }
            raise PydanticKnownError("union_tag_invalid", context)
        return kind.model_validate(values)

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return how pydantic checks such a setting."""
        del source, handler
        return core_schema.no_info_plain_validator_function(self._check)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: If the file is not there or is not TOML.
    """
    return parse_toml(read_limited(path, ConfigError, most=_LARGEST), path, ConfigError)


def dump_toml(settings: Settings) -> str:
    """Return the settings as TOML, with every default spelled out; unset settings are left out."""
    return tomli_w.dumps(settings.model_dump(mode="json", exclude_none=True))


def flatten_settings(
    values: Mapping[str, Any],
    is_value: Callable[[object], bool] = lambda value: not isinstance(value, Mapping),
) -> Iterator[tuple[str, Any]]:
    """Yield each setting with its full name, as ``--set`` takes it.

    >>> dict(flatten_settings({"corpus": "mosi", "train": {"epochs": 2}}))
    {'corpus': 'mosi', 'train.epochs': 2}

    Args:
        values: Settings by name, in sections.
        is_value: Tells a setting from a section.
    """
    for key, value in values.items():
        if is_value(value):
            yield key, value
        else:
            yield from ((f"{key}.{name}", own) for name, own in flatten_settings(value, is_value))


def apply_overrides(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a copy of ``values`` with ``a.b=VALUE`` applied; each VALUE is read as TOML.

    A word that is no TOML value is taken as text, so quotes may be left out. ``True`` and ``False``
    are taken as the truth values that they name.

    Raises:
        ConfigError: If an override has no ``=``, or goes through a setting that is not a table.

    >>> apply_overrides({"train": {"seed": 1}}, ["train.seed=2", "model.fusion=concat"])
    {'train': {'seed': 2}, 'model': {'fusion': 'concat'}}
    """
    result = _copy(values)
    for override in overrides:
        path, equals, text = override.partition("=")
        keys = [key.strip() for key in path.split(".")]
        if not equals or not all(keys):
            raise ConfigError(f"--set {override!r}: must be SECTION.SETTING=VALUE")
        table = result
        for key in keys[:-1]:
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                raise ConfigError(f"--set {override!r}: {key!r} is a setting, not a section")
        table[keys[-1]] = _read_value(text.strip())
    return result


def _copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copy(v) if isinstance(v, Mapping) else v for k, v in values.items()}


def _read_value(text: str) -> Any:  # noqa: ANN401  # whatever TOML can hold
    if text in ("True", "False"):
        return text == "True"
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def read_settings(kind: type[SettingsT], values: Mapping[str, Any], where: str = "") -> SettingsT:
    """Check ``values`` against a settings class.

    Args:
        kind: The settings class.
        values: Plain values, as TOML holds them.
        where: Name of the section, for messages.

    Raises:
        ConfigError: One sentence for one thing that is wrong, with the likely spelling.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise _explain(kind, error, values, where) from None


def _explain(
    kind: type[Settings], error: ValidationError, values: Mapping[str, Any], where: str = ""
) -> ConfigError:
    """Return what is wrong with settings as one sentence, with the likely spelling."""
    # A misspelt setting comes first: one that is missing may be the same one.
    first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    loc = [str(part) for part in first["loc"]]
    others = [[str(part) for part in problem["loc"]] for problem in error.errors()]
    members = {each[-1] for each in others if each and each[:-1] == loc[:-1]}
    is_number = {"int", "float"} <= members  # neither fits what may be either
    path, names = _walk(kind, loc[:-1] if is_number else loc, values)
    name = ".".join([where, *path] if where else path)
    if first["type"] == "extra_forbidden":
        return ConfigError(_misspelt(names, name))
    if first["type"] == "missing":
        return ConfigError(f"setting {name} is missing")
    if first["type"] == "union_tag_invalid":
        tag = first["ctx"]["discriminator"].strip("'")
        given, expected = first["ctx"]["tag"], first["ctx"]["expected_tags"]
        return ConfigError(f"setting {name}.{tag} is {given!r}, must be one of {expected}")
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    form = "a number" if is_number else _FORMS.get(first["type"])
    if form is not None:
        message = f"must be {form}"
    elif first["type"] in _LENGTHS:
        bound, end, what = _LENGTHS[first["type"]]
        number = first["ctx"][bound]
        message = f"must have at {end} {number} {what}{'s' * (number != 1)}"
    elif isinstance(first["input"], (dict, Settings)):  # it is about several settings together
        return ConfigError(f"settings{f' of {name}' if name else ''}: {message}")
    return ConfigError(f"setting {name} is {show(first['input'], most=_SHOWN)}, {message}")


def _misspelt(names: list[str], name: str) -> str:
    section, dot, last = name.rpartition(".")
    close = difflib.get_close_matches(last, names, n=1, cutoff=0.5)
    hint = f"did you mean {section}{dot}{close[0]}?" if close else f"there are: {', '.join(names)}"
    return f"there is no setting {name}; {hint}"


def _walk(kind: type[BaseModel], path: list[str], values: object) -> tuple[list[str], list[str]]:
    """Follow pydantic's path to a setting.

    Returns:
        The path as a user writes it, without the names of a union's members; and the names of the
        settings that there are at its end.
    """
    kinds, clean = [kind], []
    for depth, part in enumerate(path):
        fields = [k.model_fields[part] for k in kinds if part in k.model_fields]
        if fields:
            clean.append(part)
            values = values.get(part) if isinstance(values, Mapping) else None
            if depth < len(path) - 1:
                kinds = [k for field in fields for k in _kinds_of(field, values)]
            continue
        members = [
            k for k in kinds if "name" in k.model_fields and k.model_fields["name"].default == part
        ]
        if members and depth < len(path) - 1:
            kinds = members
        else:
            clean.append(part)
    return clean, sorted({name for k in kinds for name in k.model_fields})


def _kinds_of(field: FieldInfo, values: object) -> list[type[BaseModel]]:
    """Return the classes of settings that a field may hold, for the values that are given."""
    chosen = [part.select(values) for part in field.metadata if isinstance(part, Choice)]
    return [kind for kind in chosen if kind is not None] or _settings_in(field.annotation)


def _settings_in(annotation: object) -> list[type[BaseModel]]:
    if _is_settings(annotation):
        return [annotation]  # type: ignore[list-item]  # _is_settings has looked
    return [kind for part in get_args(annotation) for kind in _settings_in(part)]


def _is_settings(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
