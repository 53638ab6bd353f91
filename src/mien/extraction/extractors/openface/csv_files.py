"""The CSV files that OpenFace leaves: 2.x with and without face ids, and the older layout."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int

from mien.errors import FeatureError, MediaError
from mien.files.reading import open_regular, show

__all__ = [
    "OPENFACE_709",
    "FaceRows",
    "OpenFaceTable",
    "feature_names",
    "read_header",
    "read_table",
]

_BOOKKEEPING = ("frame", "face_id", "timestamp", "confidence", "success")
#: What says whether a face was tracked; without a number it was not.
_TRACKING = frozenset({"confidence", "success"})
_NEEDED = ("frame", "timestamp", "confidence")
#: Confidence from which a row counts as a face where the program did not say ``success``; OpenFace
#: itself is sure from 0.7 on, and gives at most 0.98.
_SURE = 0.7

_UNITS = ("01", "02", "04", "05", "06", "07", "09", "10", "12", "14", "15", "17", "20", "23", "25")


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}_{n}" for n in range(count)]


#: The published 709 values per frame: every column of OpenFace 2.x from the sixth on.
OPENFACE_709: tuple[str, ...] = (
    *(f"gaze_{eye}_{axis}" for eye in (0, 1) for axis in "xyz"),
    *("gaze_angle_x", "gaze_angle_y"),
    *(name for axis in "xyXYZ" for name in _numbered(f"eye_lmk_{axis}", 56)),
    *("pose_Tx", "pose_Ty", "pose_Tz", "pose_Rx", "pose_Ry", "pose_Rz"),
    *(name for axis in "xyXYZ" for name in _numbered(axis, 68)),
    *("p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty"),
    *_numbered("p", 34),
    *(f"AU{unit}_r" for unit in (*_UNITS, "26", "45")),
    *(f"AU{unit}_c" for unit in (*_UNITS, "26", "28", "45")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceRows:
    """The rows in which one face was tracked.

    Attributes:
        frames: Numbers of the frames, increasing.
        times: Seconds of the video, increasing.
        confidence: How sure OpenFace is, 0 to 1.
        values: The features.
    """

    frames: Int[np.ndarray, " T"]
    times: Float[np.ndarray, " T"]
    confidence: Float[np.ndarray, " T"]
    values: Float32[np.ndarray, "T D"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFaceTable:
    """What a file says of a video.

    Attributes:
        names: Of the features.
        frames: Every frame of the file, increasing, tracked or not.
        times: Seconds of these frames.
        faces: The tracked rows of each face, by its id; 0 where the file has no ids.
    """

    names: tuple[str, ...]
    frames: Int[np.ndarray, " F"]
    times: Float[np.ndarray, " F"]
    faces: dict[int, FaceRows]


def read_header(path: Path) -> tuple[str, ...]:
    """Return the names of a file's columns, without the spaces of the older layout.

    Raises:
        MediaError: If it cannot be read.
        FeatureError: If it is no OpenFace file.
    """
    with _opened(path) as rows:
        return _check_header(next(rows, []), path)


def feature_names(header: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that are features, not bookkeeping."""
    return tuple(name for name in header if name not in _BOOKKEEPING)


def read_table(path: Path, names: Sequence[str]) -> OpenFaceTable:
    """Read the columns ``names`` of a file; rows in which no face was tracked are left out.

    So are rows with a value that is none: OpenFace writes ``-nan(ind)``, ``inf`` and the like where
    a fit has failed.

    Raises:
        MediaError: If the file cannot be read.
        FeatureError: If it is no OpenFace file, lacks a column, has a row that is torn, text where
            a number belongs, or times that run backwards.
    """
    with _opened(path) as rows:
        header = _check_header(next(rows, []), path)
        missing = [name for name in names if name not in header]
        if missing:
            raise FeatureError(
                f"{path}:1: {len(missing)} of the {len(names)} columns are missing: "
                f"{_in_short(missing, names)}; run FeatureExtraction with -2Dfp -3Dfp -pdmparams "
                "-pose -aus -gaze, or take the columns that are there with openface/1"
            )
        return _gather(rows, header, tuple(names), path)


class _opened:  # noqa: N801
    """A CSV file's rows; what goes wrong while it is open becomes one sentence."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Iterator[list[str]]:
        file = open_regular(self._path, MediaError)
        self._file = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        self._reader = csv.reader(self._file, strict=True)
        return self._reader

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._file.close()
        if isinstance(error, UnicodeDecodeError):
            raise FeatureError(
                f"{self._path}: is not a text file, must be OpenFace's CSV"
            ) from error
        if isinstance(error, csv.Error):
            line = self._reader.line_num
            raise FeatureError(f"{self._path}:{line}: is not CSV ({error})") from error
        if isinstance(error, OSError):
            raise MediaError(f"{self._path}: cannot be read ({error.strerror})") from error


def _check_header(cells: Sequence[str], path: Path) -> tuple[str, ...]:
    header = tuple(cell.strip() for cell in cells)
    missing = [name for name in _NEEDED if name not in header]
    if missing:
        raise FeatureError(
            f"{path}:1: column {missing[0]!r} is missing, the header begins with "
            f"{show(', '.join(header[:5]))}; must be a CSV file of OpenFace's FeatureExtraction"
        )
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise FeatureError(
            f"{path}:1: column {show(twice[0])} occurs {header.count(twice[0])} times"
        )
    return header


class _Face:
    """One face's rows while they are gathered."""

    def __init__(self) -> None:
        self.frames: list[int] = []
        self.times: list[float] = []
        self.confidence: list[float] = []
        self.values: list[Float32[np.ndarray, " D"]] = []

    def gather(self, size: int) -> FaceRows:
        """Return them as arrays."""
        return FaceRows(
            frames=np.array(self.frames, dtype=np.int64),
            times=np.array(self.times, dtype=np.float64),
            confidence=np.array(self.confidence, dtype=np.float64),
            values=np.array(self.values, dtype=np.float32).reshape(-1, size),
        )


def _gather(
    rows: Iterator[list[str]], header: tuple[str, ...], names: tuple[str, ...], path: Path
) -> OpenFaceTable:
    columns = {name: header.index(name) for name in _BOOKKEEPING if name in header}
    pick = itemgetter(*(header.index(name) for name in names), columns["frame"])
    times: dict[int, float] = {}
    faces: dict[int, _Face] = {}
    for line, cells in enumerate(rows, start=2):
        if not cells:
            continue
        where = f"{path}:{line}"
        if len(cells) != len(header):
            raise FeatureError(f"{where}: has {len(cells)} cells, the header has {len(header)}")
        row = {name: _read_bookkeeping(cells[at], name, where) for name, at in columns.items()}
        frame, time = int(row["frame"]), row["timestamp"]
        _check_time(times, frame, time, where)
        times[frame] = time
        if not (row["success"] == 1 if "success" in row else row["confidence"] >= _SURE):
            continue
        values = _read_values(pick(cells)[:-1], names, where)
        if values is None:
            continue
        face = faces.setdefault(int(row.get("face_id", 0)), _Face())
        if face.frames and face.frames[-1] >= frame:
            raise FeatureError(
                f"{where}: frame {frame} follows frame {face.frames[-1]} of the same face, "
                "must be a later one"
            )
        face.frames.append(frame)
        face.times.append(time)
        face.confidence.append(row["confidence"])
        face.values.append(values)
    return OpenFaceTable(
        names=names,
        frames=np.array(list(times), dtype=np.int64),
        times=np.array(list(times.values()), dtype=np.float64),
        faces={key: face.gather(len(names)) for key, face in sorted(faces.items())},
    )


def _check_time(times: dict[int, float], frame: int, time: float, where: str) -> None:
    if not times:
        return
    last = next(reversed(times))
    if frame < last or (frame == last and time != times[last]):
        raise FeatureError(
            f"{where}: frame {frame} at {time:g} s follows frame {last} at {times[last]:g} s; "
            "frames must be in order, with one time each"
        )
    if frame > last and time <= times[last]:
        raise FeatureError(
            f"{where}: timestamp {time:g} follows {times[last]:g}, must be a later one"
        )


def _read_number(cell: str, name: str, where: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not abs(value) < _LARGEST:  # also if it is not a number at all
        raise FeatureError(f"{where}: {name} is {show(cell.strip())}, must be a finite number")
    return value


def _read_bookkeeping(cell: str, name: str, where: str) -> float:
    return 0.0 if name in _TRACKING and _is_none(cell) else _read_number(cell, name, where)


def _is_none(cell: str) -> bool:
    return _NONE.fullmatch(cell.strip()) is not None


def _read_values(
    cells: Sequence[str], names: Sequence[str], where: str
) -> Float32[np.ndarray, " D"] | None:
    """Return the values of a row; None if one of them is none, so that the row is absent.

    Raises:
        FeatureError: If a cell is neither a number nor what a program writes for none.
    """
    try:
        values = np.array(cells, dtype=np.float64)
    except ValueError:
        values = np.full(1, np.nan)
    if (np.abs(values) < _LARGEST).all():
        return values.astype(np.float32)
    for cell, name in zip(cells, names, strict=True):
        if not _is_none(cell):
            _read_number(cell, name, where)
    return None


def _in_short(missing: Sequence[str], names: Sequence[str]) -> str:
    """Name columns, neighbours as a range.

    >>> _in_short(["b", "c", "d", "f"], ["a", "b", "c", "d", "e", "f"])
    'b to d, f'
    """
    runs: list[list[str]] = []
    position = {name: index for index, name in enumerate(names)}
    for name in missing:
        if runs and position[runs[-1][-1]] + 1 == position[name]:
            runs[-1].append(name)
        else:
            runs.append([name])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


#: What C's libraries write for a number that is none or infinite, and an empty cell.
_NONE = re.compile(r"|[+-]?(nan|inf(inity)?)(\([a-z_]*\))?|[+-]?1\.#[a-z]+[0-9]*", re.IGNORECASE)
_LARGEST = float(np.finfo(np.float32).max)
