"""Where the points of a face are, whatever its place, size and rotation."""

import numpy as np
from jaxtyping import Float32, UInt8

from mien.extraction.extractors.face.features import FRAME_RATE, FaceStream
from mien.extraction.extractors.face.geometry import NUM_POINTS, align
from mien.extraction.extractors.face.landmarker import Face, FaceFinder
from mien.extraction.extractors.protocols import refuse_settings
from mien.extraction.media.segments import Source

__all__ = ["LandmarksExtractor", "build_landmarks"]


class LandmarksExtractor:
    """478 points in space, 10 times a second; ``geometry.align`` has axes and unit.

    The face is turned by the line through its eyes and the line from nose to forehead, not by the
    pose matrix, which changes with the place of the face in the picture.

    Raises:
        AssetError: If the landmarker's model is not here.
        ConfigError: If mediapipe is not installed.
    """

    name = "landmarks/1"
    feature_names = tuple(f"{axis}_{point}" for point in range(NUM_POINTS) for axis in "xyz")
    step_seconds: float | None = None
    frame_rate: float | None = FRAME_RATE

    def __init__(self) -> None:
        self.finder = FaceFinder()

    def begin(self, source: Source) -> FaceStream:  # noqa: ARG002
        """Begin a clip."""
        return FaceStream(self.finder, _describe, len(self.feature_names))


def _describe(
    face: Face,
    image: UInt8[np.ndarray, "H W 3"],  # noqa: ARG001
) -> Float32[np.ndarray, " D"]:
    return align(face.points).astype(np.float32).reshape(-1)


def build_landmarks(settings: str) -> LandmarksExtractor:
    """Make ``landmarks/1``; it has no settings."""
    refuse_settings("landmarks/1", settings)
    return LandmarksExtractor()
