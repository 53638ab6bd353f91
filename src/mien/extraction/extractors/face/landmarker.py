"""Faces in pictures: MediaPipe's Face Landmarker, and a search for faces that are small.

The landmarker sees a picture at a few hundred pixels, and misses a face whose height is under about
a seventh of the picture's longer side. Where it finds none, we look in enlarged parts.
"""

import contextlib
import ctypes
import functools
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from mien.errors import ConfigError, ExtractionError, require
from mien.extraction.extractors.face.geometry import Box, Points, box_of
from mien.extraction.extractors.face.mediapipe_parts import import_mediapipe
from mien.pretrained.assets import find_asset

__all__ = ["MOST_FACES", "Face", "FaceFinder", "FaceSearch", "load_landmarker", "overlap"]

Image = UInt8[np.ndarray, "H W 3"]

#: Faces that are told apart in one picture; more are not looked at.
MOST_FACES = 4

_CROP = 4.0  # side of the part around a small face, in heights of the face: its pose is as if whole
_TILES = (1.0, 0.6)  # sides of the parts that are searched, in shorter sides of the picture
_TILE_OVERLAP = 0.3  # of a part's side; a face at the border of one is whole in the next
_SAME_FACE = 0.3  # overlap from which two boxes are one face
_SEARCH_SECONDS = 1.0  # after a search in vain, the next one comes this much later


@dataclass(frozen=True, slots=True)
class Face:
    """A face in a picture.

    Attributes:
        points: In pixels: x to the right, y down, z away from the camera, about the same unit.
        blendshapes: In the order of ``FaceFinder.blendshape_names``, 0 to 1.
        rotation: From a face that faces the camera to this one; x right, y up, z to the camera.
        is_enlarged: Whether it was only found in an enlarged part of the picture.
    """

    points: Points
    blendshapes: Float[np.ndarray, "52"]
    rotation: Float[np.ndarray, "3 3"]
    is_enlarged: bool = False

    @property
    def box(self) -> Box:
        """Left, top, right and bottom, in pixels."""
        return box_of(self.points)


def overlap(box: Box, other: Box) -> float:
    """Return the area that two boxes share, as a share of all that they cover."""
    low = np.maximum(box[:2], other[:2])
    high = np.minimum(box[2:], other[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    covered = area_of(box) + area_of(other) - shared
    return shared / covered if covered > 0 else 0.0


def area_of(box: Box) -> float:
    """Return the area of a box, in square pixels."""
    return float((box[2] - box[0]) * (box[3] - box[1]))


class FaceFinder:
    """The landmarker, loaded once per process; it remembers nothing of a picture.

    It runs in MediaPipe's IMAGE mode. VIDEO mode is a tenth faster, but every frame would depend on
    those before, and with more than one face it does not smooth anyway.

    Attributes:
        landmarker: MediaPipe's landmarker, the one of the process.
        blendshape_names: The blendshapes, in the order of their values.

    Raises:
        AssetError: If the model is not here.
        ConfigError: If mediapipe is not installed.
    """

    blendshape_names: tuple[str, ...]

    def __init__(self) -> None:
        require("mediapipe", extra="extract")
        path = find_asset("face-landmarker") / "face_landmarker.task"
        try:
            mediapipe = import_mediapipe()
            self.landmarker = load_landmarker(path, os.getpid())
        except (ImportError, OSError) as error:
            raise ConfigError(
                f"mediapipe cannot be loaded ({error}); on a bare Linux machine install libegl1 "
                "libgles2 libgl1 libglib2.0-0 libsm6 libxext6 with apt"
            ) from error
        self._picture = mediapipe.Image
        self._format = mediapipe.ImageFormat.SRGB
        self.blendshape_names = _BLENDSHAPES

    def find(self, image: Image) -> list[Face]:
        """Return the faces that are seen in the picture as a whole, largest first."""
        height, width = image.shape[:2]
        picture = self._picture(image_format=self._format, data=np.ascontiguousarray(image))
        seen = self.landmarker.detect(picture)
        faces = [
            Face(
                np.array([(p.x, p.y, p.z) for p in points]) * (width, height, width),
                np.array([shape.score for shape in shapes], dtype=np.float64),
                np.asarray(matrix, dtype=np.float64)[:3, :3],
            )
            for points, shapes, matrix in zip(
                seen.face_landmarks,
                seen.face_blendshapes,
                seen.facial_transformation_matrixes,
                strict=True,
            )
        ]
        return sorted(faces, key=lambda face: -area_of(face.box))

    def find_near(self, image: Image, box: Box) -> Face | None:
        """Return the face at ``box`` as seen in the enlarged part of the picture around it."""
        side = _CROP * max(box[2] - box[0], box[3] - box[1])
        middle = (box[:2] + box[2:]) / 2
        left, top = (max(int(at), 0) for at in middle - side / 2)
        right, bottom = (max(int(at), 0) for at in middle + side / 2)
        part = image[top:bottom, left:right]
        if min(part.shape[:2], default=0) < _LEAST_PIXELS:
            return None
        faces = [_moved(face, left, top) for face in self.find(part)]
        best = max(faces, key=lambda face: overlap(face.box, box), default=None)
        return best if best and overlap(best.box, box) >= _SAME_FACE else None

    def find_small(self, image: Image) -> list[Face]:
        """Search enlarged parts; costs about three times a picture with a face in it."""
        faces: list[Face] = []
        for share in _TILES:
            for left, top, side in _tiles(image.shape[1], image.shape[0], share):
                for small in self.find(image[top : top + side, left : left + side]):
                    box = _moved(small, left, top).box
                    if all(overlap(box, other.box) < _SAME_FACE for other in faces):
                        seen = self.find_near(image, box)
                        faces += [seen] if seen else []
            if faces:
                break
        return sorted(faces, key=lambda face: -area_of(face.box))[:MOST_FACES]


class FaceSearch:
    """Finds the faces of one clip's frames, in their order, small ones too.

    A frame in which no face is seen is searched in enlarged parts: at once around the boxes of
    the frame before, and all over once a second for as long as that finds nothing.

    Args:
        finder: The landmarker.
    """

    def __init__(self, finder: FaceFinder) -> None:
        self._finder = finder
        self._boxes: list[Box] = []
        self._next_search = -np.inf

    def find(self, image: Image, time: float) -> list[Face]:
        """Return the faces of the next frame, largest first."""
        faces = self._finder.find(image) or self._find_again(image)
        if not faces and time >= self._next_search:
            faces = self._finder.find_small(image)
            self._next_search = time if faces else time + _SEARCH_SECONDS
        self._boxes = [face.box for face in faces]
        return faces

    def _find_again(self, image: Image) -> list[Face]:
        near = [self._finder.find_near(image, box) for box in self._boxes]
        return [face for face in near if face]


def _moved(face: Face, left: int, top: int) -> Face:
    points = face.points + np.array([left, top, 0])
    return Face(points, face.blendshapes, face.rotation, is_enlarged=True)


def _tiles(width: int, height: int, share: float) -> Iterator[tuple[int, int, int]]:
    """Yield left, top and side of square parts that cover a picture, unless one part is all."""
    side = int(share * min(width, height))
    if side < _LEAST_PIXELS or (share == 1 and width == height):
        return
    for top in _offsets(height, side):
        for left in _offsets(width, side):
            yield left, top, side


def _offsets(length: int, side: int) -> list[int]:
    shared = int(_TILE_OVERLAP * side)
    count = max(1, -(-(length - shared) // (side - shared)))
    return [round(at) for at in np.linspace(0, length - side, count)]


@functools.cache
def load_landmarker(path: Path, process: int) -> Any:  # noqa: ANN401, ARG001
    """Return the one landmarker of a process, which is never closed.

    MediaPipe hands its calls to a thread. A landmarker that the garbage collector takes away closes
    itself, and if that happens while another one is handing over a call, the two wait for each
    other for ever; if it happens while the interpreter ends, what it calls is gone, and stderr says
    so. So it is never taken away. A forked process has no such threads and loads its own.

    MediaPipe reports how it is used to its makers' server, once a minute and when it is closed, and
    has no setting against that. It is given no certificate that it could trust, so that it breaks
    off before it has sent anything.
    """
    from mediapipe.tasks.python import BaseOptions
    from mediapipe.tasks.python.vision import FaceLandmarker, FaceLandmarkerOptions

    class PrivateOptions(BaseOptions):  # type: ignore[misc]
        def to_ctypes(self) -> Any:  # noqa: ANN401
            options = super().to_ctypes()
            options.ca_bundle_path = os.devnull.encode()
            return options

    options = FaceLandmarkerOptions(
        base_options=PrivateOptions(model_asset_path=str(path)),
        num_faces=MOST_FACES,
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )
    with _quiet_stderr():
        made = FaceLandmarker.create_from_options(options)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(made))
    return made


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Hold back what the native code says while it loads; if it fails, that goes into the error.

    Its libraries write to the file descriptor, and no setting of theirs silences them.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        except (RuntimeError, ValueError, OSError) as error:
            log.seek(0)
            details = log.read().decode(errors="replace").strip().splitlines()
            raise ExtractionError(
                f"the face landmarker cannot be loaded ({error}; {' '.join(details[-3:])}); "
                "check the model with: mien assets"
            ) from error
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


_LEAST_PIXELS = 16

_BLENDSHAPES = (
    "_neutral",
    *("browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    *("cheekPuff", "cheekSquintLeft", "cheekSquintRight"),
    *("eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight"),
    *("eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight"),
    *("eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight"),
    *("eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight"),
    *("mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight"),
    *("mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight"),
    *("mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight"),
    *("mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
    *("mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight"),
    *("mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight"),
)
