"""Which of several faces is followed through a clip: the one that is largest and most steady."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32

from mien.extraction.extractors.face.geometry import Box
from mien.extraction.extractors.face.landmarker import area_of, overlap

__all__ = ["FaceTracks", "Track"]

_LINK_OVERLAP = 0.2


@dataclass(slots=True, eq=False)
class Track:
    """One face through a clip.

    Attributes:
        boxes: Where it is in each frame in which it is seen, in shares of the picture.
        times: Seconds of these frames.
        rows: Its features in them.
        shares: Its area in them, as a share of the picture.
        steadiness: Mean overlap with where it was before, 0 to 1; 0 if it is seen once.
    """

    boxes: list[Box] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    rows: list[Float32[np.ndarray, " D"]] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    _links: float = 0.0

    @property
    def steadiness(self) -> float:
        """See the class."""
        return self._links / (len(self.boxes) - 1) if len(self.boxes) > 1 else 0.0

    @property
    def score(self) -> float:
        """Area over time, times steadiness."""
        return sum(self.shares) * self.steadiness

    def add(self, box: Box, time: float, row: Float32[np.ndarray, " D"]) -> None:
        """Go on with the face of the next frame."""
        if self.boxes:
            self._links += overlap(self.boxes[-1], box)
        self.boxes.append(box)
        self.times.append(time)
        self.rows.append(row)
        self.shares.append(area_of(box))


class FaceTracks:
    """The faces of a clip, linked from frame to frame by how much they overlap.

    A face that was away is taken up again where it was, however long it was away: after a cut to
    somebody else in the same index that is wrong, and nothing short of knowing people tells.
    """

    def __init__(self) -> None:
        self.tracks: list[Track] = []

    def add(self, boxes: list[Box], rows: list[Float32[np.ndarray, " D"]], time: float) -> None:
        """Link the faces of the next frame.

        Args:
            boxes: Where each face is, in shares of the picture's width and height.
            rows: Features of each face.
            time: Of the frame.
        """
        free = list(self.tracks)
        pairs = sorted(
            (
                (overlap(track.boxes[-1], box), index, track)
                for track in free
                for index, box in enumerate(boxes)
            ),
            key=lambda pair: -pair[0],
        )
        chosen: dict[int, Track] = {}
        for shared, index, track in pairs:
            if shared >= _LINK_OVERLAP and index not in chosen and track not in chosen.values():
                chosen[index] = track
        for index, (box, row) in enumerate(zip(boxes, rows, strict=True)):
            track = chosen.get(index) or Track()
            if index not in chosen:
                self.tracks.append(track)
            track.add(box, time, row)

    def choose(self) -> Track | None:
        """Return the face to follow: highest score, then most frames, then seen first."""
        return max(self.tracks, key=lambda t: (t.score, len(t.boxes), -t.times[0]), default=None)

    def describe(self, track: Track, num_frames: int) -> str:
        """Say in words which face was followed, and why."""
        size = float(np.mean(track.shares))
        words = (
            f"{size:.1%} of the picture, in {len(track.boxes)} of {num_frames} frames, "
            f"steadiness {track.steadiness:.2f}"
        )
        if len(self.tracks) == 1:
            return f"the only face: {words}"
        return f"the largest and most steady of {len(self.tracks)} faces: {words}"
