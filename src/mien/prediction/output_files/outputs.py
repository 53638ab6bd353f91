"""The outputs of a prediction over many recordings: written as answers are made, and resumed.

ANSWERS.jsonl.partial   answers so far, a line each; likewise ROWS.csv.partial
ANSWERS.jsonl.progress  what became of each recording, beside the first output; see ``journal``

An answer counts once its line of the progress file is on disk; what was written after the last
such line is cut off when the run goes on. When all recordings are done the outputs are put together
in the order in which the recordings were given, and replace what had their names.
"""

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.errors import ConfigError
from mien.files.atomic import output_error, write_bytes, write_text, written_beside
from mien.prediction.output_files.appending import Appended
from mien.prediction.output_files.journal import (
    Journal,
    JournalEntry,
    Origin,
    RecordingFile,
    format_journal,
    format_line,
    read_journal,
)
from mien.prediction.presentation.text import to_rows
from mien.prediction.result import Prediction

__all__ = ["AnswerFiles", "OutputPaths"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPaths:
    """Where the answers about many recordings go.

    Attributes:
        json: File of JSON, an answer on each line; None for none.
        csv: File of rows, one for each utterance.
        pictures: Folder of timelines.
    """

    json: Path | None = None
    csv: Path | None = None
    pictures: Path | None = None

    @property
    def by_kind(self) -> dict[str, Path]:
        """The outputs that are wanted."""
        pairs = {"json": self.json, "csv": self.csv, "pictures": self.pictures}
        return {kind: path for kind, path in pairs.items() if path is not None}

    @property
    def progress(self) -> Path | None:
        """The progress file, beside the first output; None if there is no output."""
        first = next(iter(self.by_kind.values()), None)
        return None if first is None else first.with_name(f"{first.name}.progress")

    @property
    def is_begun(self) -> bool:
        """Whether there is a progress file."""
        return self.progress is not None and self.progress.exists()


class AnswerFiles:
    """Writes the answers about many recordings; a run that was stopped can go on.

    Args:
        paths: Where they go; at least one.
        model: sha256 of the model.
        transcript: Where the words come from.
        recordings: All that are to be answered, in their order.

    Attributes:
        num_answered: How many of the recordings have an answer.
    """

    def __init__(
        self,
        paths: OutputPaths,
        *,
        model: str,
        transcript: str,
        recordings: Sequence[RecordingFile],
    ) -> None:
        progress = paths.progress
        if progress is None:
            raise ConfigError("there is no output; give --json, --csv or --plot")
        _check_paths(paths)
        self._paths = paths
        self._recordings = {str(recording.path): recording for recording in recordings}
        self._origin = Origin(
            model=model,
            transcript=transcript,
            outputs={
                kind: os.path.relpath(path, progress.parent) for kind, path in paths.by_kind.items()
            },
        )
        self._journal = Appended(progress)
        self._growing = {
            kind: Appended(path.with_name(f"{path.name}.partial"))
            for kind, path in paths.by_kind.items()
            if kind != "pictures"
        }
        self._entries: dict[str, JournalEntry] = {}
        self._pictures: dict[str, str] = {}  # name of the picture of each recording
        self._seen: Journal | None = None
        self._earlier: Journal | None = None

    def __enter__(self) -> "AnswerFiles":
        """Start."""
        return self

    def __exit__(self, *details: object) -> None:
        """Close the files; what is answered stays."""
        for file in (self._journal, *self._growing.values()):
            file.close()

    @property
    def shown(self) -> str:
        """Where the answers so far can be read."""
        growing = [str(file.path) for file in self._growing.values()]
        return " and ".join(growing) or str(self._paths.pictures)

    @property
    def num_answered(self) -> int:
        """How many of the recordings have an answer."""
        return sum(self.is_answered(recording) for recording in self._recordings.values())

    @property
    def is_finished(self) -> bool:
        """Whether all are answered and the outputs have their names."""
        is_named = self._earlier is not None and self._earlier.is_finished
        return is_named and self.num_answered == len(self._recordings)

    def go_on(self) -> None:
        """Take up the answers of a run that was stopped, or that is finished, if there is one.

        Raises:
            ConfigError: If it had another model, another transcript or other outputs.
        """
        earlier = self._seen = read_journal(self._journal.path)
        if earlier is None:
            return
        for key, value in self._origin:
            if (begun := getattr(earlier.origin, key)) != value:
                raise ConfigError(
                    f"{self._journal.path}: was begun with {key} {begun!r}, now it is {value!r}; "
                    "give the same to go on, or --replace without --resume to start again"
                )
        self._earlier = earlier
        self._entries = dict(earlier.entries)

    def begin_again(self, *, replace: bool) -> None:
        """Leave the answers of an earlier run aside.

        Raises:
            ConfigError: If it was stopped and has answers, and they are not to be replaced.
        """
        earlier = self._seen = read_journal(self._journal.path)
        if not replace and earlier is not None and not earlier.is_finished and earlier.num_answered:
            raise ConfigError(
                f"{self._journal.path}: belongs to a run that was stopped, with answers about "
                f"{earlier.num_answered} of its recordings; continue with --resume, or use "
                "--replace to start again"
            )

    def is_answered(self, recording: RecordingFile) -> bool:
        """Whether there is an answer about a recording, which has not changed since."""
        entry = self._entries.get(str(recording.path))
        if entry is None or entry.failure or not self._has_picture(entry):
            return False
        return (entry.size, entry.changed) == (recording.size, recording.changed)

    def begin(self) -> None:
        """Open the files, so that it shows at once if they cannot be written.

        Raises:
            MienError: If they cannot be written, or are not those that the progress file describes.
        """
        earlier = self._earlier
        self._pictures = self._name_pictures()
        self._journal.open()
        if read_journal(self._journal.path) != self._seen:
            raise ConfigError(
                f"{self._journal.path}: another process has written it meanwhile; start again"
            )
        if earlier is None:
            self._journal.cut(0)
            self._journal.append(format_line(self._origin))
            for file in self._growing.values():
                file.open()
                file.cut(0)
            return
        self._journal.cut(earlier.end)
        for kind, file in self._growing.items():
            spans = [entry.spans[kind] for entry in earlier.entries.values() if entry.spans]
            end = max((last for _, last in spans), default=0)
            if earlier.is_finished:
                _copy(self._paths.by_kind[kind], file.path, end)
            file.open()
            file.cut(end)
        if earlier.is_finished:
            self._journal.append(format_line({"finished": False}))

    def add(self, recording: RecordingFile, prediction: Prediction) -> None:
        """Write the answer about a recording.

        Raises:
            MediaError: If its picture cannot be drawn; nothing is written then.
            OutputError: If a file cannot be written.
        """
        picture = self._draw(recording, prediction)
        pieces = {
            "json": lambda: json.dumps(prediction.to_dict(), ensure_ascii=False).encode() + b"\n",
            "csv": lambda: self._format_rows(prediction),
        }
        spans = {kind: file.append(pieces[kind]()) for kind, file in self._growing.items()}
        self._note(recording, spans=spans, picture=picture)

    def add_failure(self, recording: RecordingFile, reason: str) -> None:
        """Write down why there is no answer about a recording; it is tried again next time."""
        self._note(recording, failure=reason)

    def finish(self) -> None:
        """Give the outputs their names: the answers in the order of the recordings.

        Answers about recordings that are not among those of this run come first.

        Raises:
            OutputError: If a file cannot be written.
        """
        others = [entry for path, entry in self._entries.items() if path not in self._recordings]
        mine = [self._entries[path] for path in self._recordings if path in self._entries]
        order = [*others, *mine]
        spans: dict[str, Mapping[str, tuple[int, int]]] = {}
        for kind, file in self._growing.items():
            spans[kind] = _put_together(kind, file, self._paths.by_kind[kind], order)
        moved = [
            entry.model_copy(update={"spans": {kind: spans[kind][entry.path] for kind in spans}})
            if not entry.failure
            else entry
            for entry in order
        ]
        write_text(self._journal.path, format_journal(self._origin, moved))
        for file in self._growing.values():
            file.path.unlink(missing_ok=True)

    def _note(
        self,
        recording: RecordingFile,
        *,
        failure: str = "",
        spans: Mapping[str, tuple[int, int]] | None = None,
        picture: str = "",
    ) -> None:
        entry = JournalEntry(
            path=str(recording.path),
            size=recording.size,
            changed=recording.changed,
            failure=failure,
            spans=dict(spans or {}),
            picture=picture,
        )
        self._journal.append(format_line(entry))
        self._entries[entry.path] = entry

    def _format_rows(self, prediction: Prediction) -> bytes:
        """Return the rows of an answer; before the first of them the names of the columns."""
        names, *rows = to_rows(prediction)
        head = _format_csv([names])
        file = self._growing["csv"]
        if not file.size:
            file.append(head)
        elif file.read(0, len(head)) != head:
            raise ConfigError(
                f"{file.path}: was begun by another version of mien, with other columns; use "
                "--replace without --resume to start again"
            )
        return _format_csv(rows)

    def _has_picture(self, entry: JournalEntry) -> bool:
        folder = self._paths.pictures
        return folder is None or (bool(entry.picture) and (folder / entry.picture).is_file())

    def _name_pictures(self) -> dict[str, str]:
        """Choose a name for the picture of every recording, whether or not it is answered."""
        names = {path: entry.picture for path, entry in self._entries.items() if entry.picture}
        taken = set(names.values())
        for path, recording in self._recordings.items():
            stem, number = recording.path.stem, 1
            name = names.get(path, f"{stem}.png")
            while path not in names and name in taken:
                number += 1
                name = f"{stem}-{number}.png"
            names[path] = name
            taken.add(name)
        return names

    def _draw(self, recording: RecordingFile, prediction: Prediction) -> str:
        folder = self._paths.pictures
        if folder is None:
            return ""
        name = self._pictures[str(recording.path)]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(folder / name, error) from error
        prediction.plot(folder / name, recording=recording.path)
        return name


def _check_paths(paths: OutputPaths) -> None:
    if paths.json is not None and paths.json == paths.csv:
        raise ConfigError(f"{paths.json}: is given for --json and for --csv; give two names")
    for path in (paths.json, paths.csv):
        if path is not None and path.exists() and not path.is_file():
            raise ConfigError(f"{path}: is no regular file; give the name of one")


def _copy(source: Path, target: Path, size: int) -> None:
    """Copy a finished output to where it goes on."""
    content = source.read_bytes() if source.is_file() else b""
    if len(content) != size:
        raise ConfigError(
            f"{source}: was changed since mien wrote it; give another name, or use --replace "
            "without --resume to start again"
        )
    write_bytes(target, content)


def _put_together(
    kind: str, file: Appended, out: Path, entries: Sequence[JournalEntry]
) -> dict[str, tuple[int, int]]:
    """Write an output, and return where the answer about each recording lies in it."""
    spans: dict[str, tuple[int, int]] = {}
    answered = [entry for entry in entries if not entry.failure]
    with written_beside(out) as temporary, temporary.open("wb") as target:
        if kind == "csv" and answered:
            first = min(entry.spans[kind][0] for entry in answered)
            names, _, _ = file.read(0, first).partition(b"\n")
            target.write(names + b"\n")
        for entry in answered:
            begin = target.tell()
            target.write(file.read(*entry.spans[kind]))
            spans[entry.path] = (begin, target.tell())
    return spans


def _format_csv(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
