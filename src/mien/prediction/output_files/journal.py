"""The progress file of a prediction over many recordings: which are answered, and where."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, ValidationError

from mien.config import Settings
from mien.errors import ConfigError
from mien.files.hashing import hash_file
from mien.files.reading import open_regular

__all__ = [
    "Journal",
    "JournalEntry",
    "Origin",
    "RecordingFile",
    "format_journal",
    "format_line",
    "identify_input",
    "read_journal",
]

_FORMAT = "mien-answers/1"
_SHORT = 60  # characters of a transcript by which it is named


class RecordingFile(NamedTuple):
    """A recording as it is on disk.

    Attributes:
        path: Where it lies.
        size: Its bytes; None if it is not there.
        changed: When it was last changed, in nanoseconds.
    """

    path: Path
    size: int | None = None
    changed: int | None = None

    @classmethod
    def at(cls, path: Path) -> "RecordingFile":
        """Look at a recording; one that is not there has no size."""
        absolute = Path(os.path.abspath(path))  # noqa: PTH100  # without following links
        try:
            status = absolute.stat()
        except OSError:
            return cls(absolute)  # what is wrong with it is said when it is read
        return cls(absolute, status.st_size, status.st_mtime_ns)


class Origin(Settings):
    """What all answers of a run have in common; a run goes on with the same only.

    Attributes:
        format: Of the progress file.
        model: sha256 of the model.
        transcript: Where the words come from.
        outputs: Files that are written, by kind, relative to the progress file.
    """

    format: str = _FORMAT
    model: str
    transcript: str
    outputs: dict[str, str]


class JournalEntry(Settings):
    """What became of one recording.

    Attributes:
        path: The recording.
        size: Its bytes when it was read; None if it was not there.
        changed: When it had last been changed, in nanoseconds.
        failure: Why there is no answer; empty if there is one.
        spans: Where its answer begins and ends in each growing file, in bytes, by kind.
        picture: Name of its picture.
    """

    path: str
    size: int | None = None
    changed: int | None = None
    failure: str = ""
    spans: dict[str, tuple[int, int]] = Field(default_factory=dict)
    picture: str = ""


class Journal(NamedTuple):
    """The content of a progress file.

    Attributes:
        origin: What the answers have in common.
        entries: The last entry of each recording, in the order in which they were made.
        is_finished: Whether the outputs took their names; spans are then those of the outputs.
        end: Bytes of the file up to the end of its last complete line.
    """

    origin: Origin
    entries: dict[str, JournalEntry]
    is_finished: bool
    end: int

    @property
    def num_answered(self) -> int:
        """How many recordings have an answer."""
        return sum(not entry.failure for entry in self.entries.values())


def read_journal(path: Path) -> Journal | None:
    """Read a progress file; a last line that a kill has torn does not count.

    Returns:
        None if there is none, or it was torn before anything was answered.

    Raises:
        ConfigError: If it is damaged.
    """
    if not os.path.lexists(path):
        return None
    with open_regular(path, ConfigError) as file:
        content = file.read()
    *lines, torn = content.split(b"\n")
    origin: Origin | None = None
    entries: dict[str, JournalEntry] = {}
    is_finished = False
    for number, line in enumerate(lines, start=1):
        values = _read_line(path, number, line)
        try:
            if origin is None:
                origin = Origin.model_validate(values)
            elif "finished" in values:
                is_finished = bool(values["finished"])
            else:
                entry = JournalEntry.model_validate(values)
                entries.pop(entry.path, None)
                entries[entry.path] = entry
        except ValidationError as error:
            raise _damaged(path, number) from error
    if origin is None:
        return None
    return Journal(origin, entries, is_finished, len(content) - len(torn))


def _read_line(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise _damaged(path, number) from error
    if not isinstance(values, dict):
        raise _damaged(path, number)
    return values


def _damaged(path: Path, number: int) -> ConfigError:
    return ConfigError(
        f"{path}: line {number} is damaged; use --replace without --resume to start again"
    )


def identify_input(given: str | Path) -> str:
    """Return what tells a transcript, or a file, from another: of a file, its name and content."""
    if not isinstance(given, Path):
        if len(given) <= _SHORT:
            return given
        return f"{given[:_SHORT]}... {hashlib.sha256(given.encode()).hexdigest()}"
    try:
        return f"{given} {hash_file(given, ConfigError)}"
    except (ConfigError, OSError):
        return str(given)  # what is wrong with it is said when it is read


def format_line(values: Settings | Mapping[str, object]) -> bytes:
    """Return a line of a progress file."""
    plain = values.model_dump(mode="json") if isinstance(values, Settings) else values
    return json.dumps(plain).encode() + b"\n"


def format_journal(origin: Origin, entries: Sequence[JournalEntry]) -> str:
    """Return the progress file of a run that is finished."""
    lines = [format_line(origin), *map(format_line, entries), format_line({"finished": True})]
    return b"".join(lines).decode()
