"""Options that several commands have, and how they are read."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.errors import ConfigError

if TYPE_CHECKING:
    from mien.types import Scale, Split

__all__ = ["ReplaceOption", "SetOption", "StoreOption", "read_scale", "read_split"]

StoreOption = Annotated[Path | None, typer.Option("--store", help="Store to use.")]
ReplaceOption = Annotated[bool, typer.Option("--replace", help="Replace what is already there.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=VALUE", help="Change a setting; may be given repeatedly."),
]


def read_scale(text: str | None) -> "Scale":
    """Return the range that ``LOW,HIGH`` stands for."""
    from mien.types import Scale

    try:
        low, high = (float(part) for part in (text or "").split(","))
    except ValueError:
        raise ConfigError(f"--scale {text!r}: must be LOW,HIGH, for example -3,3") from None
    if not low < high:
        raise ConfigError(f"--scale {text!r}: LOW must be below HIGH")
    return Scale(low, high)


def read_split(text: str) -> "Split":
    """Return the split of this name."""
    from mien.types import SPLITS

    for split in SPLITS:
        if text == split:
            return split
    raise ConfigError(f"--split {text!r}: must be one of {', '.join(SPLITS)}")
