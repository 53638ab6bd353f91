"""What is known of targets, as JSON holds it: in stores, checkpoints and the metrics of runs."""

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mien.types import Target

__all__ = ["targets_from_json", "targets_to_json"]

_ADAPTER = TypeAdapter(tuple[Target, ...])


def targets_to_json(targets: Sequence[Target]) -> list[dict[str, Any]]:
    """Return targets as lists and dictionaries."""
    described: list[dict[str, Any]] = _ADAPTER.dump_python(tuple(targets), mode="json")
    return described


def targets_from_json(values: object) -> tuple[Target, ...]:
    """Return targets from what ``targets_to_json`` gave.

    Raises:
        ValueError: If it is something else.
    """
    try:
        return _ADAPTER.validate_python(values)
    except ValidationError as error:
        raise ValueError(f"targets: {error.errors()[0]['msg']}") from error
