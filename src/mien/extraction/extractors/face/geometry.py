"""What the points of a face say of its pose, its gaze, its eyes and its mouth.

Points are in pixels: x to the right of the picture, y down, z away from the camera. Left and right
are the person's own, as in the names of the blendshapes; signs of angles are those of the picture.
"""

import numpy as np
from jaxtyping import Float

__all__ = [
    "NUM_POINTS",
    "align",
    "box_of",
    "eye_aspects",
    "gaze_of",
    "mouth_aspect",
    "pose_of",
]

#: Points of the face mesh, irises included.
NUM_POINTS = 478

Points = Float[np.ndarray, "478 3"]
Box = Float[np.ndarray, "4"]

# Outer corner, inner corner, then two pairs of upper and lower lid; and the centre of the iris.
_RIGHT_EYE, _RIGHT_IRIS = (33, 133, 160, 144, 158, 153), 468
_LEFT_EYE, _LEFT_IRIS = (263, 362, 387, 373, 385, 380), 473
# Inner corners of the lips, then three pairs of upper and lower lip.
_MOUTH = (78, 308, 81, 178, 13, 14, 311, 402)
# What neither speech nor expression moves: forehead, bridge and root of the nose, corners of the
# eyes, temples.
_RIGID = (10, 151, 9, 168, 6, 197, 195, 2, 33, 133, 362, 263, 127, 356, 234, 454)
_FOREHEAD, _NOSE_ROOT = 10, 2


def box_of(points: Points) -> Box:
    """Return the smallest upright rectangle around the points: left, top, right, bottom."""
    return np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)])


def pose_of(rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
    """Return how the head is turned: pitch, yaw and roll in degrees, all 0 facing the camera.

    Pitch is positive looking down; yaw is positive turned to the right edge of the picture; roll is
    positive tilted counterclockwise in the picture. They are turns about the axes x, y and z of the
    camera, made in this order. A mirrored picture flips yaw and roll.

    Args:
        rotation: From a face that faces the camera to this one; x right, y up, z to the camera.
    """
    pitch = np.arctan2(rotation[2, 1], rotation[2, 2])
    yaw = np.arctan2(-rotation[2, 0], np.hypot(rotation[2, 1], rotation[2, 2]))
    roll = np.arctan2(rotation[1, 0], rotation[0, 0])
    return np.asarray(np.degrees([pitch, yaw, roll]))


def gaze_of(points: Points) -> Float[np.ndarray, "4"]:
    """Return where the irises are between the eyes' corners: left x, left y, right x, right y.

    The unit is half the distance of the corners: x is 0 in the middle, 1 at the corner towards the
    right edge of the picture; y is positive above the line through the corners.
    """
    return np.concatenate(
        [
            _place_iris(points, _LEFT_EYE[1], _LEFT_EYE[0], _LEFT_IRIS),
            _place_iris(points, _RIGHT_EYE[0], _RIGHT_EYE[1], _RIGHT_IRIS),
        ]
    )


def _place_iris(points: Points, start: int, end: int, iris: int) -> Float[np.ndarray, "2"]:
    first, last, centre = points[[start, end, iris], :2]
    half = (last - first) / 2
    offset = centre - (first + last) / 2
    axes = np.array([half, (half[1], -half[0])])  # along the corners, and up from there
    return np.asarray(axes @ offset / max(float(half @ half), _TINY))


def eye_aspects(points: Points) -> Float[np.ndarray, "2"]:
    """Return how open the left and the right eye are: height of the opening over its width."""
    return np.array([_aspect(points, _LEFT_EYE), _aspect(points, _RIGHT_EYE)])


def mouth_aspect(points: Points) -> float:
    """Return how open the mouth is: height of the opening over its width; 0 is shut."""
    return _aspect(points, _MOUTH)


def _aspect(points: Points, indices: tuple[int, ...]) -> float:
    """Return the mean distance of the pairs over the distance of the first two, in space."""
    ends, pairs = indices[:2], np.array(indices[2:]).reshape(-1, 2)
    width = np.linalg.norm(points[ends[0]] - points[ends[1]])
    heights = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    return float(heights.mean() / max(float(width), _TINY))


def align(points: Points) -> Points:
    """Return the points without the face's position, size and rotation.

    The x axis runs along the outer corners of the eyes, towards the right of the picture; y runs
    up the face, from the root of the nose to the forehead; z towards the camera. The origin is the
    centre of the points that no expression moves, and the unit their root mean square distance
    from it. Where the face is in the picture does not matter, as it would to the pose matrix.
    """
    upright = (points - points[list(_RIGID)].mean(axis=0)) * (1.0, -1.0, -1.0)
    x = _unit(upright[_LEFT_EYE[0]] - upright[_RIGHT_EYE[0]])
    up = upright[_FOREHEAD] - upright[_NOSE_ROOT]
    y = _unit(up - x * (up @ x))
    turned = upright @ np.stack([x, y, np.cross(x, y)], axis=1)
    size = np.sqrt((turned[list(_RIGID)] ** 2).sum(axis=1).mean())
    return np.asarray(turned / max(float(size), _TINY))


def _unit(vector: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    return vector / max(float(np.linalg.norm(vector)), _TINY)


_TINY = 1e-9
