"""The file of results of one clip: its series, and what there is to say beside them."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from pydantic import Field

from mien.config import Settings
from mien.errors import ExtractionError
from mien.extraction.extractors import Features
from mien.files.atomic import write_bytes
from mien.files.reading import open_regular

__all__ = ["ClipFacts", "read_facts", "read_series", "write_result"]


class ClipFacts(Settings):
    """What a file of results says beside its series.

    Attributes:
        reason: Why the clip was skipped; empty if it was not.
        cut: Time limit in seconds that cut it; 0 if that is not why.
        is_lost: Whether it was skipped because its worker ended.
        seconds: Length of the clip.
        is_truncated: Whether some of the recording could not be decoded.
        seconds_beyond: How far the stated end of the clip lies behind the end of the recording.
        transcript: What was recognised; None if no speech was.
        words: What is said when; None if that is not known.
        notes: What the extractors note, by modality.
    """

    reason: str = ""
    cut: float = 0.0
    is_lost: bool = False
    seconds: float = 0.0
    is_truncated: bool = False
    seconds_beyond: float = 0.0
    transcript: str | None = None
    words: tuple[tuple[str, float, float], ...] | None = None
    notes: dict[str, dict[str, float | int | str]] = Field(default_factory=dict)


def write_result(path: Path, facts: ClipFacts, series: Mapping[str, Features]) -> None:
    """Write a file of results: whole, or not at all."""
    arrays: dict[str, Any] = {"facts": np.frombuffer(facts.model_dump_json().encode(), np.uint8)}
    for name, features in series.items():
        arrays[f"{name}_values"] = np.ascontiguousarray(features.values, np.float32)
        arrays[f"{name}_times"] = np.ascontiguousarray(features.times, np.float64)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_bytes(path, buffer.getbuffer(), sweeps=False)  # there may be very many beside it


def read_facts(path: Path) -> ClipFacts | None:
    """Return what a file of results says; None if there is none, or it is damaged."""
    try:
        with (
            open_regular(path, ExtractionError) as file,
            np.load(file, allow_pickle=False) as arrays,
        ):
            return ClipFacts.model_validate(json.loads(arrays["facts"].tobytes()))
    except (OSError, ValueError, KeyError, EOFError, TypeError, RecursionError, BadZipFile):
        return None


def read_series(path: Path, key: str) -> np.ndarray | None:
    """Return one array of a file of results: ``NAME_values`` or ``NAME_times``; None without it."""
    with np.load(path, allow_pickle=False) as arrays:
        return np.asarray(arrays[key]) if key in arrays.files else None
