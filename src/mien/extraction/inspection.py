"""A picture of what a video extractor saw: frames of a clip with the face that was followed."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from mien.errors import ConfigError, MediaError, name_known
from mien.extraction.extractors import EXTRACTORS, Features, VideoExtractor
from mien.extraction.extractors.face.features import BlendshapeExtractor, FaceExtractor, FaceStream
from mien.extraction.extractors.face.landmarker import FaceFinder, overlap
from mien.extraction.extractors.face.landmarks import LandmarksExtractor
from mien.extraction.extractors.face.tracking import Track
from mien.extraction.extractors.openface.program import OpenFace
from mien.extraction.media import decode
from mien.extraction.media.segments import FrameSink, Source
from mien.files.atomic import write_bytes
from mien.types import Modality

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.ImageDraw import ImageDraw

__all__ = ["FrameSampler", "InspectedFrame", "inspect", "outline_faces"]

_CELL = 400  # pixels, width of a frame in the grid
_COLUMNS = 4
_LINE = 15  # pixels of a line of text
_FRAME_RATE = 10.0  # at which frames are looked at for an extractor that reads files
_GREEN, _GREY, _RED, _WHITE = (80, 255, 120), (150, 150, 150), (255, 90, 80), (255, 255, 255)

#: What is written below a frame: a short name, and the features of which it is the mean.
_SHOWN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("smile", ("mouthSmileLeft", "mouthSmileRight")),
    ("brow down", ("browDownLeft", "browDownRight")),
    ("brow up", ("browInnerUp",)),
    ("jaw", ("jawOpen",)),
    ("pitch", ("head_pitch",)),
    ("yaw", ("head_yaw",)),
    ("roll", ("head_roll",)),
    ("happiness", ("expression_happiness",)),
    ("AU12", ("AU12_r",)),
    ("AU04", ("AU04_r",)),
    ("AU01", ("AU01_r",)),
    ("pose Rx", ("pose_Rx",)),
    ("Ry", ("pose_Ry",)),
    ("Rz", ("pose_Rz",)),
)


def inspect(source: Source, extractor_name: str, out: Path, *, num_frames: int = 12) -> Path:
    """Draw frames of a clip as a video extractor sees them, as a PNG file.

    Each frame has its time, the points and the box of the face that is followed (others are grey),
    some of its values, or the words ``no face``.

    Args:
        source: The clip.
        extractor_name: A video extractor, with its settings if it has any.
        out: The PNG file to write.
        num_frames: How many frames to draw, spread over the clip.

    Raises:
        ConfigError: If there is no such video extractor, or ``out`` is not named like a PNG file.
        MediaError: If the clip cannot be read or has no picture.
    """
    if num_frames < 1:
        raise ValueError(f"num_frames is {num_frames}, must be above 0")
    name, _, settings = extractor_name.partition(":")
    names = [key for key, entry in EXTRACTORS.items() if entry.modality is Modality.VIDEO]
    if name not in names:
        raise ConfigError(f"no video extractor is called {name!r}; {name_known(name, names)}")
    if out.suffix.lower() != ".png":
        raise ConfigError(f"{out}: the picture is a PNG file; give a name that ends in .png")
    extractor = EXTRACTORS[name].build(settings)
    if isinstance(extractor, FaceExtractor | BlendshapeExtractor | LandmarksExtractor):
        frames, features = _watch(extractor, extractor.finder, source, num_frames)
    elif isinstance(extractor, OpenFace):
        frames, features = _read(extractor, source, num_frames)
    else:
        raise ConfigError(f"{name}: it cannot show what it sees")
    picture = _draw(frames, features, extractor.feature_names, f"{source.path.name}  {name}")
    out.parent.mkdir(parents=True, exist_ok=True)
    png = io.BytesIO()
    picture.save(png, format="PNG")
    write_bytes(out, png.getvalue())
    return out


@dataclass(slots=True)
class InspectedFrame:
    """A frame of the grid.

    Attributes:
        picture: At the width of a cell.
        time: Seconds from the start of the clip.
        faces: Points of each face in it, in pixels of ``picture``.
        followed: Which of them is followed, if any.
        step: Which step of the features belongs to it, if any.
    """

    picture: UInt8[np.ndarray, "H W 3"]
    time: float
    faces: list[Float[np.ndarray, "N 2"]]
    followed: int | None = None
    step: int | None = None


class FrameSampler:
    """Keeps some frames of a clip of unknown length, evenly spread, and thins them as it goes on.

    Args:
        count: How many are needed in the end; at most twice as many are held.
        find: Finds the faces of a frame; called only for frames that are kept.
    """

    def __init__(
        self,
        count: int,
        find: Callable[[UInt8[np.ndarray, "H W 3"]], list[Float[np.ndarray, "N 2"]]],
    ) -> None:
        self._count = count
        self._find = find
        self._every = 1
        self._seen = 0
        self._frames: list[InspectedFrame] = []

    def feed(self, image: UInt8[np.ndarray, "H W 3"], time: float) -> None:
        """Look at the next frame."""
        if self._seen % self._every == 0:
            if len(self._frames) == 2 * self._count:
                self._frames = self._frames[::2]
                self._every *= 2
            if self._seen % self._every == 0:
                self._frames.append(self._keep(image, time))
        self._seen += 1

    def _keep(self, image: UInt8[np.ndarray, "H W 3"], time: float) -> InspectedFrame:
        from PIL import Image

        scale = _CELL / image.shape[1]
        size = (_CELL, max(round(image.shape[0] * scale), 1))
        small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
        return InspectedFrame(small, time, [points * scale for points in self._find(image)])

    def choose(self) -> list[InspectedFrame]:
        """Return the frames, the first and the last of those that are kept among them."""
        last = len(self._frames) - 1
        chosen = np.linspace(0, last, min(self._count, last + 1)).round().astype(int)
        return [self._frames[index] for index in chosen]


def _watch(
    extractor: VideoExtractor, finder: FaceFinder, source: Source, num_frames: int
) -> tuple[list[InspectedFrame], Features]:
    stream = extractor.begin(source)

    def find(image: UInt8[np.ndarray, "H W 3"]) -> list[Float[np.ndarray, "N 2"]]:
        faces = finder.find(image) or finder.find_small(image)
        return [face.points[:, :2] for face in faces]

    sampler = FrameSampler(num_frames, find)

    def feed(image: UInt8[np.ndarray, "H W 3"], time: float) -> None:
        stream.feed(image, time)
        sampler.feed(image, time)

    _decode(source, FrameSink(extractor.frame_rate, feed))
    features, frames = stream.finish(), sampler.choose()
    track = stream.followed if isinstance(stream, FaceStream) else None
    if track is not None:
        for frame in frames:
            _mark(frame, track)
    return frames, features


def _mark(frame: InspectedFrame, track: Track) -> None:
    """Find the step of a frame, and which of its faces is the one that is followed."""
    if frame.time not in track.times:
        return
    frame.step = track.times.index(frame.time)
    height, width = frame.picture.shape[:2]
    box = track.boxes[frame.step] * np.array([width, height, width, height])
    shared = [overlap(_box_of(points), box) for points in frame.faces]
    if shared and max(shared) > 0:
        frame.followed = int(np.argmax(shared))


def _read(
    extractor: OpenFace, source: Source, num_frames: int
) -> tuple[list[InspectedFrame], Features]:
    """Make the features from a file, and draw the points among them: columns x_N and y_N."""
    features = extractor.extract(source)
    columns_of = {name: column for column, name in enumerate(extractor.feature_names)}
    numbers = [
        n for n in range(len(columns_of)) if f"x_{n}" in columns_of and f"y_{n}" in columns_of
    ]
    columns = [[columns_of[f"{axis}_{n}"] for axis in "xy"] for n in numbers]
    gap = 1.5 * float(np.median(np.diff(features.times))) if len(features.times) > 1 else 0.2
    scales: list[float] = []

    def find(image: UInt8[np.ndarray, "H W 3"]) -> list[Float[np.ndarray, "N 2"]]:
        scales.append(_CELL / image.shape[1])
        return []

    sampler = FrameSampler(num_frames, find)
    _decode(source, FrameSink(_FRAME_RATE, sampler.feed))
    frames = sampler.choose()
    for frame in frames:
        away = np.abs(features.times - frame.time)
        if len(away) and away.min() <= gap:
            frame.step = int(away.argmin())
            if columns:
                points = features.values[frame.step][np.array(columns)].astype(np.float64)
                frame.faces, frame.followed = [points * scales[0]], 0
    return frames, features


def _decode(source: Source, sink: FrameSink) -> None:
    decoded = decode(source, frames=[sink])
    if not decoded.has_video or not decoded.num_frames:
        raise MediaError(f"{source.path}: has no picture to inspect; give a recording with video")


def _draw(
    frames: Sequence[InspectedFrame], features: Features, names: Sequence[str], title: str
) -> "Picture":
    from PIL import Image, ImageDraw

    columns_of = {name: column for column, name in enumerate(names)}
    lines = [
        [title, ", ".join(f"{key} {_in_short(value)}" for key, value in features.notes.items())]
    ]
    lines += [_words(frame, features, columns_of) for frame in frames]
    below = _LINE * max(len(words) for words in lines[1:])
    height = max(frame.picture.shape[0] for frame in frames) + below + 6
    columns = min(_COLUMNS, len(frames))
    top = 2 * _LINE + 6
    rows = -(-len(frames) // columns)
    sheet = Image.new("RGB", (max(columns * (_CELL + 4), 900), top + rows * height), (20, 20, 20))
    pen = ImageDraw.Draw(sheet)
    _write(pen, (4, 2), lines[0], _WHITE)
    for index, (frame, words) in enumerate(zip(frames, lines[1:], strict=True)):
        left, upper = (index % columns) * (_CELL + 4), top + (index // columns) * height
        sheet.paste(outline_faces(frame), (left, upper))
        colour = _WHITE if frame.step is not None else _RED
        _write(pen, (left + 4, upper + frame.picture.shape[0] + 1), words, colour)
    return sheet


def outline_faces(frame: InspectedFrame) -> "Picture":
    """Draw the faces on a frame; what lies beyond its edge is not drawn."""
    from PIL import Image, ImageDraw

    picture = Image.fromarray(frame.picture)
    pen = ImageDraw.Draw(picture)
    for number, points in enumerate(frame.faces):
        _outline(pen, points, _GREEN if number == frame.followed else _GREY)
    return picture


def _words(frame: InspectedFrame, features: Features, columns_of: dict[str, int]) -> list[str]:
    time = f"{frame.time:.2f} s"
    if frame.step is None:
        return [f"{time}  no face"]
    row = features.values[frame.step]
    values = [
        f"{word} {np.mean([row[columns_of[name]] for name in group]):.2f}"
        for word, group in _SHOWN
        if all(name in columns_of for name in group)
    ]
    return [f"{time}  {'  '.join(values[:4])}", "  ".join(values[4:])]


def _outline(pen: "ImageDraw", points: Float[np.ndarray, "N 2"], colour: tuple[int, ...]) -> None:
    for x, y in points:
        pen.rectangle((float(x), float(y), float(x) + 1, float(y) + 1), fill=colour)
    pen.rectangle([float(side) for side in _box_of(points)], outline=colour)


def _box_of(points: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "4"]:
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def _write(
    pen: "ImageDraw", at: tuple[int, int], lines: Sequence[str], colour: tuple[int, ...]
) -> None:
    for index, line in enumerate(lines):
        text = line.encode("latin-1", "replace").decode("latin-1")  # what Pillow's own font has
        pen.text((at[0], at[1] + index * _LINE), text, fill=colour)


def _in_short(value: float | int | str) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
