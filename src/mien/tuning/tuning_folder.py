"""The folder of a tuning, and whose it is: two tunings in one would write over each other's best.

OUT/tuning.json
    format      of this file
    place       names the folder among those of other machines
    study       name of the tuning in the database, before that of the model
    model       what is tuned; null where the folder has one for each of several models
"""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mien.errors import CheckpointError, TrainingError
from mien.files.json_values import write_json
from mien.training.record import require_writable
from mien.training.run_folder import read_json

__all__ = ["check_folder", "check_holder", "open_folder"]

_FORMAT = 1


def check_folder(out: Path) -> None:
    """Check that a folder is that of a tuning, or can become one.

    Raises:
        TrainingError: If it holds something else, or cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise TrainingError(f"{out}: is a file, not a folder; give another --out")
    marker = _marker(out)
    if not marker.is_file() and out.is_dir() and any(out.iterdir()):
        raise TrainingError(f"{out}: exists and is not the folder of a tuning; give another --out")
    if marker.is_file() and read_json(marker).get("format") != _FORMAT:
        raise CheckpointError(f"{marker}: this version reads format {_FORMAT}; give another --out")
    require_writable(out)


def check_holder(out: Path, study: str, models: Sequence[str]) -> None:
    """Check that a folder does not hold another tuning, whose best settings would be lost.

    Several models share a folder, in which each has its own; one has a folder to itself. A folder
    of an earlier version, which does not say whose it is, becomes that of the first who asks.

    Raises:
        TrainingError: If it holds that of other data, or of another model.
    """
    before = _read_marker(out)
    if "study" in before and (before["study"], before.get("model")) != (study, _only(models)):
        what = before.get("model") or "several models"
        raise TrainingError(
            f"{out}: holds the tuning of {what} on {before['study']}; give another --out"
        )


def open_folder(out: Path, study: str, models: Sequence[str]) -> str:
    """Make a folder that of a tuning, and return what names it among those of other machines."""
    out.mkdir(parents=True, exist_ok=True)
    before = _read_marker(out)
    if "study" not in before:
        place = before.get("place", uuid.uuid4().hex)
        before = {"format": _FORMAT, "place": place, "study": study, "model": _only(models)}
        write_json(_marker(out), before)
    return str(before["place"])


def _marker(out: Path) -> Path:
    return out / "tuning.json"


def _read_marker(out: Path) -> dict[str, Any]:
    """Return what a folder says of its tuning; nothing where there is none yet."""
    return read_json(_marker(out)) if _marker(out).is_file() else {}


def _only(models: Sequence[str]) -> str | None:
    return models[0] if len(models) == 1 else None
