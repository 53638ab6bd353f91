"""What a face does: blendshapes, head pose, gaze, eyes and mouth, and optionally expressions."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, UInt8

from mien.extraction.extractors.face.geometry import (
    Box,
    eye_aspects,
    gaze_of,
    mouth_aspect,
    pose_of,
)
from mien.extraction.extractors.face.landmarker import Face, FaceFinder, FaceSearch
from mien.extraction.extractors.face.tracking import FaceTracks, Track
from mien.extraction.extractors.protocols import Features, refuse_settings
from mien.extraction.media.segments import Source

__all__ = [
    "FRAME_RATE",
    "BlendshapeExtractor",
    "ExpressionClassifier",
    "FaceExtractor",
    "FaceStream",
    "build_blendshapes",
    "build_face",
    "build_face_expression",
]

#: Frames a second. A blink or the onset of a smile takes 0.1 to 0.4 s, published series have 5 to
#: 15 steps a second, and one core finds a face in some 50 pictures a second.
FRAME_RATE = 10.0

_GEOMETRY = (
    *("head_pitch", "head_yaw", "head_roll"),
    *("gaze_left_x", "gaze_left_y", "gaze_right_x", "gaze_right_y"),
    *("eye_aspect_left", "eye_aspect_right", "mouth_aspect"),
)

Image = UInt8[np.ndarray, "H W 3"]
Row = Float32[np.ndarray, " D"]


class FaceStream:
    """Finds the faces of a clip's frames, and in the end follows one of them.

    A frame in which the face is not seen gives no step. What is kept is a row per face and frame.

    Args:
        finder: The landmarker.
        describe: Makes the features of a face in its picture.
        size: Number of features.
    """

    def __init__(
        self, finder: FaceFinder, describe: Callable[[Face, Image], Row], size: int
    ) -> None:
        self._search = FaceSearch(finder)
        self._describe = describe
        self._size = size
        self._tracks = FaceTracks()
        self._num_frames = 0
        self._num_enlarged = 0
        self._most = 0

    def feed(self, image: Image, time: float) -> None:
        """Take the next frame: RGB, upright; ``time`` in seconds from the start of the clip."""
        faces = self._search.find(image, time)
        rows = [self._describe(face, image) for face in faces]
        height, width = image.shape[:2]
        size = np.array([width, height, width, height])
        self._tracks.add([face.box / size for face in faces], rows, time)
        self._num_frames += 1
        self._num_enlarged += any(face.is_enlarged for face in faces)
        self._most = max(self._most, len(faces))

    @property
    def followed(self) -> Track | None:
        """The face that is followed, as far as the clip was fed."""
        return self._tracks.choose()

    def finish(self) -> Features:
        """Return the features of the followed face.

        The notes have ``frames`` that were looked at, ``face_share`` of them in which the followed
        face is seen, ``faces_most`` in one frame, ``enlarged`` frames whose faces were only found
        in enlarged parts, and which face was ``followed``, and why.
        """
        track = self.followed
        seen = 0 if track is None else len(track.times)
        notes: dict[str, float | int | str] = {
            "frames": self._num_frames,
            "face_share": seen / self._num_frames if self._num_frames else 0.0,
            "faces_most": self._most,
            "enlarged": self._num_enlarged,
        }
        if track is None:
            none = np.zeros((0, self._size), dtype=np.float32)
            return Features(values=none, times=np.zeros(0), notes=notes)
        notes["followed"] = self._tracks.describe(track, self._num_frames)
        return Features(values=np.stack(track.rows), times=np.array(track.times), notes=notes)


@runtime_checkable
class ExpressionClassifier(Protocol):
    """A model of expressions; that of ``mien.extraction.extractors.face.expression`` is one."""

    names: tuple[str, ...]

    def classify(self, image: Image, box: Box) -> Float[np.ndarray, " _"]:
        """Return the probability of each expression of the face in ``box``."""
        ...


class FaceExtractor:
    """52 blendshapes (0 to 1), head pose (degrees), gaze, and how open eyes and mouth are.

    ``mien.extraction.extractors.face.geometry`` has the signs and units; left and right are the
    person's own. Blendshapes are as MediaPipe names and gives them; they are slightly off for faces
    that turn far from the camera. With an expression model there are its seven probabilities
    besides.

    Args:
        expression: Model of expressions, if they are needed.

    Raises:
        AssetError: If the landmarker's model is not here.
        ConfigError: If mediapipe is not installed.
    """

    step_seconds: float | None = None
    frame_rate: float | None = FRAME_RATE

    def __init__(self, expression: ExpressionClassifier | None = None) -> None:
        self.finder = FaceFinder()
        self._expression = expression
        self.name = "face/1" if expression is None else "face+expression/1"
        self.feature_names: tuple[str, ...] = (*self.finder.blendshape_names, *_GEOMETRY)
        if expression is not None:
            self.feature_names += tuple(f"expression_{name}" for name in expression.names)

    def begin(self, source: Source) -> FaceStream:  # noqa: ARG002
        """Begin a clip."""
        return FaceStream(self.finder, self._describe, len(self.feature_names))

    def _describe(self, face: Face, image: Image) -> Row:
        parts: list[Float[np.ndarray, " _"]] = [
            face.blendshapes,
            pose_of(face.rotation),
            gaze_of(face.points),
            eye_aspects(face.points),
            np.array([mouth_aspect(face.points)]),
        ]
        if self._expression is not None:
            parts.append(self._expression.classify(image, face.box))
        return np.concatenate(parts).astype(np.float32)


class BlendshapeExtractor:
    """The 52 blendshapes of MediaPipe alone (0 to 1): what a face does, not where it looks.

    They are the first 52 values of ``face/1``. Published sets of stills have them as well, so that
    a model of blendshapes can learn from stills and be used on video.

    Raises:
        AssetError: If the landmarker's model is not here.
        ConfigError: If mediapipe is not installed.
    """

    name = "blendshapes/1"
    step_seconds: float | None = None
    frame_rate: float | None = FRAME_RATE

    def __init__(self) -> None:
        self.finder = FaceFinder()
        self.feature_names: tuple[str, ...] = tuple(self.finder.blendshape_names)

    def begin(self, source: Source) -> FaceStream:  # noqa: ARG002
        """Begin a clip."""
        return FaceStream(self.finder, _describe_blendshapes, len(self.feature_names))


def _describe_blendshapes(face: Face, image: Image) -> Row:  # noqa: ARG001
    return np.asarray(face.blendshapes, dtype=np.float32)


def build_blendshapes(settings: str) -> BlendshapeExtractor:
    """Make ``blendshapes/1``; it has no settings."""
    refuse_settings("blendshapes/1", settings)
    return BlendshapeExtractor()


def build_face(settings: str) -> FaceExtractor:
    """Make ``face/1``; it has no settings."""
    refuse_settings("face/1", settings)
    return FaceExtractor()


def build_face_expression(settings: str) -> FaceExtractor:
    """Make ``face+expression/1``; it has no settings."""
    refuse_settings("face+expression/1", settings)
    from mien.extraction.extractors.face.expression import (
        ExpressionModel,  # imports torch, which takes seconds
    )

    return FaceExtractor(ExpressionModel())
