"""What OpenFace sees: the user's own program is run, or the CSV files that it left are read."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from mien.errors import ConfigError, FeatureError, MediaError, name_known
from mien.extraction.extractors.openface.csv_files import (
    OPENFACE_709,
    FaceRows,
    OpenFaceTable,
    feature_names,
    read_header,
    read_table,
)
from mien.extraction.extractors.protocols import Features
from mien.extraction.media.segments import Source

__all__ = ["OpenFace", "build_openface", "build_openface_709"]

_FRAMES = 3  # over which the published features are averaged
_SECONDS = 1800.0  # that the program may take for a recording
_OUTPUTS = ("-2Dfp", "-3Dfp", "-pdmparams", "-pose", "-aus", "-gaze")


class OpenFaceSettings(NamedTuple):
    """What stands after the name of the extractor: ``PATH?frames=5&seconds=600``.

    Attributes:
        path: The program FeatureExtraction, or a folder of CSV files.
        frames: Frames over which to average.
        seconds: Most time that the program may take for a recording.
    """

    path: Path
    frames: int
    seconds: float


class OpenFace:
    """Columns of OpenFace, averaged over k successive frames (3 as published), in its own units.

    Rows in which OpenFace was not successful are absent, not zero; a step without any successful
    row is absent. Of several faces the one with the most confidence over its successful rows is
    followed. A clip in a longer recording is cut out by the timestamps.

    In a folder of CSV files the file of a recording ``VIDEO/CLIP.mp4`` is ``VIDEO/CLIP.csv``,
    ``VIDEO_CLIP.csv`` or ``CLIP.csv``, the first that is there. A program is run on the whole
    recording, which is kept until the next one is asked for.

    Args:
        name: With its version.
        columns: Which to take.
        settings: From where, and how.
    """

    step_seconds: float | None = None

    def __init__(self, name: str, columns: Sequence[str], settings: OpenFaceSettings) -> None:
        self.name = name if settings.frames == _FRAMES else f"{name}?frames={settings.frames}"
        self.feature_names = tuple(columns)
        self._settings = settings
        self._last: tuple[object, OpenFaceTable] | None = None

    def extract(self, source: Source) -> Features:
        """Return the features of a clip; none if the program is to look at mere sound.

        Raises:
            MediaError: If there is no CSV file of it, or the program fails or takes too long.
            FeatureError: If the CSV file is not what it should be.
        """
        if not self._settings.path.is_dir() and not _has_picture(source.path):
            size = len(self.feature_names)
            return Features(values=np.empty((0, size), np.float32), times=np.empty(0), notes={})
        return _features_of(self._table_of(source.path), source, self._settings.frames)

    def _table_of(self, recording: Path) -> OpenFaceTable:
        is_folder = self._settings.path.is_dir()
        path = _find_csv(self._settings.path, recording) if is_folder else recording
        key = _key_of(path)
        if self._last is None or self._last[0] != key:
            self._last = None  # one table at a time
            table = (
                read_table(path, self.feature_names)
                if is_folder
                else _run(self._settings, recording, self.feature_names)
            )
            self._last = (key, table)
        return self._last[1]


def _has_picture(recording: Path) -> bool:
    from mien.extraction.media import probe

    return probe(recording).has_video


def build_openface_709(settings: str) -> OpenFace:
    """Make ``openface-709/1``: the published columns, from a program or a folder of CSV files.

    Raises:
        ConfigError: If the settings name neither.
    """
    chosen = _read_settings("openface-709/1", settings)
    if not chosen.path.is_dir() and not os.access(chosen.path, os.X_OK):
        raise ConfigError(f"openface-709/1: {chosen.path} is a file that cannot be run")
    return OpenFace("openface-709/1", OPENFACE_709, chosen)


def build_openface(settings: str) -> OpenFace:
    """Make ``openface/1``: the columns that the first CSV file of OpenFace in a folder has.

    Raises:
        ConfigError: If the settings do not name a folder with CSV files.
        FeatureError: If none of them is OpenFace's.
    """
    chosen = _read_settings("openface/1", settings)
    if not chosen.path.is_dir():
        raise ConfigError(
            f"openface/1: {chosen.path} must be a folder of CSV files; "
            "a program goes with openface-709/1"
        )
    return OpenFace("openface/1", _find_columns(chosen.path), chosen)


def _find_columns(folder: Path) -> tuple[str, ...]:
    """Return the columns of the first file of a folder that is OpenFace's.

    A file that is not, such as an empty one, is the business of its own clip.
    """
    first: FeatureError | None = None
    for path in sorted(folder.rglob("*.csv")):
        try:
            columns = feature_names(read_header(path))
        except FeatureError as error:
            first = first or error
            continue
        if columns:
            return columns
        first = first or FeatureError(f"{path}:1: has no columns of features")
    raise first or ConfigError(f"openface/1: {folder} has no CSV files")


def _read_settings(name: str, settings: str) -> OpenFaceSettings:
    text, _, query = settings.partition("?")
    if not text:
        raise ConfigError(
            f"{name} needs OpenFace's program or a folder of its CSV files; "
            f"write {name}:/path/to/FeatureExtraction or {name}:FOLDER"
        )
    path = Path(os.path.expanduser(text)).absolute()  # noqa: PTH111
    if not path.exists():
        raise ConfigError(f"{name}: there is no {path}; give the program or a folder of CSV files")
    numbers = {"frames": float(_FRAMES), "seconds": _SECONDS}
    for part in filter(None, query.split("&")):
        key, _, value = part.partition("=")
        if key not in numbers:
            raise ConfigError(f"{name}: there is no setting {key!r}; {name_known(key, numbers)}")
        numbers[key] = _read_positive(value, f"{name}: {key}")
    if numbers["frames"] % 1:
        raise ConfigError(f"{name}: frames is {numbers['frames']:g}, must be a whole number")
    return OpenFaceSettings(path, int(numbers["frames"]), numbers["seconds"])


def _read_positive(value: str, where: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not 0 < number < _LONGEST:
        raise ConfigError(f"{where} is {value!r}, must be a number above 0")
    return number


def _key_of(path: Path) -> object:
    try:
        state = path.stat()
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    return path, state.st_mtime_ns, state.st_size


def _find_csv(folder: Path, recording: Path) -> Path:
    video, clip = recording.absolute().parent.name, recording.stem
    tried = [folder / video / f"{clip}.csv", folder / f"{video}_{clip}.csv", folder / f"{clip}.csv"]
    for path in tried:
        if path.is_file():
            return path
    names = ", ".join(str(path.relative_to(folder)) for path in tried)
    raise MediaError(f"{recording}: OpenFace left no file for it in {folder}; looked for {names}")


def _run(settings: OpenFaceSettings, recording: Path, columns: Sequence[str]) -> OpenFaceTable:
    """Run the program on a recording, and read what it leaves in a folder that is then removed."""
    program = settings.path
    with tempfile.TemporaryDirectory(prefix="mien-openface-") as folder:
        output = Path(folder) / "output"
        out = Path(folder) / "out"
        out.mkdir()
        command = [str(program), "-f", str(recording.absolute()), "-out_dir", str(out)]
        with output.open("wb") as log:
            try:
                process = subprocess.Popen(  # noqa: S603
                    [*command, "-of", "clip", *_OUTPUTS],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=program.parent,
                    start_new_session=True,
                )
            except OSError as error:
                raise MediaError(f"{program}: cannot be run ({error.strerror})") from error
            code = _wait(process, settings.seconds, recording)
        files = sorted(out.rglob("*.csv"))
        if code or not files:
            last = output.read_text(errors="replace").strip().splitlines()[-1:]
            raise MediaError(
                f"{recording}: {program.name} ended with {code} and left "
                f"{'a' if files else 'no'} CSV file; it said: {' '.join(last)[-200:] or 'nothing'}"
            )
        try:
            return read_table(files[0], columns)
        except FeatureError as error:
            sentence = str(error).replace(str(files[0]), files[0].name)
            raise FeatureError(f"{recording}: {program.name} left {sentence}") from error


def _wait(process: subprocess.Popen[bytes], seconds: float, recording: Path) -> int:
    """Return the exit status; whatever ends the wait also ends the program and its children."""
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise MediaError(
            f"{recording}: OpenFace took more than {seconds:g} s; "
            "allow more with ?seconds=... after the program, or leave the recording out"
        ) from error
    finally:
        if process.poll() is None:
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.wait()


def _features_of(table: OpenFaceTable, source: Source, frames_per_step: int) -> Features:
    end = np.inf if source.end is None else source.end
    is_inside = (table.times >= source.start - _TIE_SECONDS) & (table.times < end - _TIE_SECONDS)
    frames, times = table.frames[is_inside], table.times[is_inside] - source.start
    faces = {key: _cut(face, frames) for key, face in table.faces.items()}
    faces = {key: face for key, face in faces.items() if len(face.frames)}
    notes: dict[str, float | int | str] = {
        "frames": len(frames),
        "frames_per_step": frames_per_step,
        "faces_most": _most_at_once(faces),
        "face_share": 0.0,
    }
    if not faces:
        none = np.zeros((0, len(table.names)), dtype=np.float32)
        return Features(values=none, times=np.zeros(0), notes=notes)
    chosen = max(faces, key=lambda key: float(faces[key].confidence.sum()))
    face = faces[chosen]
    notes["face_share"] = len(face.frames) / len(frames)
    notes["followed"] = (
        f"face {chosen} of {len(faces)}: in {len(face.frames)} of {len(frames)} frames, "
        f"mean confidence {face.confidence.mean():.2f}"
    )
    steps, starts, counts = np.unique(
        (face.frames - frames[0]) // frames_per_step, return_index=True, return_counts=True
    )
    sums = np.add.reduceat(face.values, starts, axis=0, dtype=np.float64)
    clock = (frames - frames[0]) // frames_per_step
    return Features(
        values=(sums / counts[:, None]).astype(np.float32),
        times=np.array([times[clock == step].mean() for step in steps]),
        notes=notes,
    )


def _cut(face: FaceRows, frames: Int[np.ndarray, " F"]) -> FaceRows:
    is_inside = np.isin(face.frames, frames)
    return FaceRows(
        frames=face.frames[is_inside],
        times=face.times[is_inside],
        confidence=face.confidence[is_inside],
        values=face.values[is_inside],
    )


def _most_at_once(faces: dict[int, FaceRows]) -> int:
    if not faces:
        return 0
    _, counts = np.unique(np.concatenate([f.frames for f in faces.values()]), return_counts=True)
    return int(counts.max())


_TIE_SECONDS = 0.0005  # timestamps are rounded to a thousandth
_LONGEST = 1e6
