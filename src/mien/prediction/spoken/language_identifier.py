"""What tells languages apart, kept in the cache: unpacking it takes longer than its answers."""

import json
import logging
import tempfile
from array import array
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mien.errors import OutputError
from mien.files.atomic import output_error, written_beside
from mien.files.cache import read_or_make, versions_of
from mien.files.hashing import hash_json
from mien.files.user_folders import cache_folder

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

__all__ = ["load_identifier"]

logger = logging.getLogger(__name__)

_CODES = "languages"


@cache
def load_identifier(languages: tuple[str, ...]) -> "LanguageIdentifier":
    """Return what tells some languages apart; those that it does not know are left out.

    What it needs for them is written into the cache once; where nothing can be written, it is
    unpacked each time.

    Args:
        languages: Their ISO 639-1 codes.

    Raises:
        OutputError: If there is no room for temporary files.
    """
    key = hash_json({"languages": languages, "versions": versions_of("py3langid", "numpy")})
    path = cache_folder() / "languages" / f"{key}.safetensors"
    try:
        return read_or_make(path, lambda: _read(path), lambda: _keep(_unpack(languages), path))
    except (OSError, OutputError) as error:
        logger.debug("%s: not kept (%s)", path, error)
        return _unpack(languages)


def _unpack(languages: tuple[str, ...]) -> "LanguageIdentifier":
    """Load what py3langid brings, which it unpacks into a temporary file."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    folder = Path(tempfile.gettempdir())
    try:
        identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    except OSError as error:
        raise output_error(folder, error) from error
    identifier.set_languages([code for code in languages if code in identifier.labels])
    return identifier


def _keep(identifier: "LanguageIdentifier", path: Path) -> "LanguageIdentifier":
    """Write an identifier, and return it."""
    tables = {
        "features_by_class": identifier.nb_ptc,
        "classes": identifier.nb_pc,
        "next_states": np.asarray(identifier.tk_nextmove),
        "rows": np.asarray(identifier.tk_row),
        "features": np.asarray(identifier.tk_output),
    }
    codes = {_CODES: json.dumps(identifier.nb_classes)}
    with written_beside(path) as file:
        save_file({name: np.ascontiguousarray(t) for name, t in tables.items()}, file, codes)
    return identifier


def _read(path: Path) -> "LanguageIdentifier | None":
    """Return what was kept; None if it is not there or damaged."""
    from py3langid.langid import LanguageIdentifier

    try:
        with safe_open(path, framework="numpy") as file:
            codes = json.loads((file.metadata() or {})[_CODES])
            tables = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        next_states, rows = tables["next_states"], tables["rows"]
        return LanguageIdentifier(
            tables["features_by_class"],
            tables["classes"],
            codes,
            _as_array(next_states),
            tables["features"].tolist(),
            tk_row=_as_array(rows),
        )
    except (OSError, SafetensorError, KeyError, ValueError):
        return None


def _as_array(values: np.ndarray) -> "array[int]":
    """Return unsigned integers as the array of Python that py3langid walks through."""
    made = array({2: "H", 4: "I"}[values.dtype.itemsize])
    made.frombytes(values.tobytes())
    return made
