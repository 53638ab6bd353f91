"""TOML to frozen, strict settings; overrides from the command line; writing settings back."""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError

from mien.errors import ConfigError

__all__ = ["Settings", "apply_overrides", "dump_toml", "read_settings", "read_toml"]


class Settings(BaseModel):
    """Base of all settings: they cannot be changed once made, and cannot be misspelt silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_enum_values=False)


SettingsT = TypeVar("SettingsT", bound=Settings)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: If the file is not there or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error


def dump_toml(settings: Settings) -> str:
    """Return the settings as TOML, with every default spelled out; unset settings are left out."""
    return tomli_w.dumps(settings.model_dump(mode="json", exclude_none=True))


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
    except tomllib.TOMLDecodeError:
        return text


def read_settings(kind: type[SettingsT], values: Mapping[str, Any], where: str = "") -> SettingsT:
    """Check ``values`` against a settings class.

    Args:
        kind: The settings class.
        values: Plain values, as TOML holds them.
        where: Name of the section, for messages.

    Raises:
        ConfigError: One sentence for the first thing that is wrong, with the likely spelling.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(part) for part in first["loc"]]
        name = ".".join([where, *path] if where else path)
        if first["type"] == "extra_forbidden":
            raise ConfigError(_misspelt(kind, path, name)) from None
        if first["type"] == "missing":
            raise ConfigError(f"setting {name} is missing") from None
        message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
        found = "" if isinstance(first["input"], (dict, Settings)) else f" is {first['input']!r},"
        raise ConfigError(f"setting {name or where}{found} {message}") from None


def _misspelt(kind: type[BaseModel], path: list[str], name: str) -> str:
    names = _names_at(kind, path[:-1])
    close = difflib.get_close_matches(path[-1], names, n=1, cutoff=0.5)
    prefix = name[: len(name) - len(path[-1])]
    hint = f"did you mean {prefix}{close[0]}?" if close else f"there are: {', '.join(names)}"
    return f"there is no setting {name}; {hint}"


def _names_at(kind: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        field = kind.model_fields.get(part)
        if field is None:
            continue  # a member of a union: pydantic names it in the path, the class does not
        found = [t for t in (field.annotation, *get_args(field.annotation)) if _is_settings(t)]
        if not found:
            return []
        kind = found[0]
    return sorted(kind.model_fields)


def _is_settings(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
