"""Values as JSON holds them, and files of JSON."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from mien.files.atomic import write_text

__all__ = ["Number", "StrictValue", "json_number", "json_numbers", "write_json"]

#: A number as a file has it: whole numbers stay whole.
Number = float | int


class StrictValue:
    """A value that is read from a file: a key that no field has is refused."""

    __slots__ = ()
    #: What pydantic, which reads it, looks for; to import pydantic here would cost every command.
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


def json_number(value: float | int) -> float | int | None:
    """Return a number that JSON can hold: None for one that is not finite.

    >>> json_number(0.5), json_number(float("nan"))
    (0.5, None)
    """
    if isinstance(value, int):
        return value
    return float(value) if math.isfinite(value) else None


def json_numbers(values: Iterable[float]) -> tuple[float | None, ...]:
    """Return numbers that JSON can hold: None for those that are not finite."""
    return tuple(json_number(float(value)) for value in values)


def write_json(
    path: Path,
    values: object,
    *,
    indent: int | None = None,
    ensure_ascii: bool = True,
    allow_nan: bool = True,
) -> None:
    """Write a file of JSON beside ``path`` and rename it.

    Args:
        path: The file.
        values: What it holds.
        indent: Spaces of a level; None writes one line.
        ensure_ascii: Whether characters outside ASCII are written as escapes.
        allow_nan: Whether numbers that are not finite are written, as Python's ``NaN``.

    Raises:
        OutputError: If it cannot be written.
        ValueError: If a number is not finite and ``allow_nan`` is False.
    """
    write_text(
        path, json.dumps(values, indent=indent, ensure_ascii=ensure_ascii, allow_nan=allow_nan)
    )
