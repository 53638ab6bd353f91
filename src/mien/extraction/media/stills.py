"""Single frames of a recording, as they are shown at given times."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from mien.errors import MediaError
from mien.extraction.media.decoding import decode
from mien.extraction.media.segments import FrameSink, Source

__all__ = ["grab_frames"]

#: How much is decoded around a time, in seconds.
_REACH = 0.5

Image = UInt8[np.ndarray, "H W 3"]


def grab_frames(
    source: Source, times: Sequence[float], *, height: int
) -> list[tuple[float, Image]]:
    """Return the frames that are shown at some times, upright, RGB, scaled to a height.

    Only a second around each time is decoded. A time at which nothing is shown gives none.

    Args:
        source: The recording; times count from its start.
        times: In seconds, in any order.
        height: Of the frames, in pixels.

    Raises:
        MediaError: If the recording cannot be opened.
    """
    stills = []
    for time in times:
        image = _grab(source, float(time))
        if image is not None:
            stills.append((float(time), _scale(image, height)))
    return stills


def _grab(source: Source, time: float) -> Image | None:
    begin = max(0.0, time - _REACH)
    best: list[tuple[float, Image]] = []

    def feed(image: Image, at: float) -> None:
        distance = abs(begin + at - time)
        if not best or distance < best[0][0]:
            best[:] = [(distance, image.copy())]

    piece = Source(path=source.path, start=source.start + begin, end=source.start + time + _REACH)
    try:
        decode(piece, frames=[FrameSink(None, feed)])
    except MediaError:
        if not piece.path.is_file():
            raise
    return best[0][1] if best else None


def _scale(image: Image, height: int) -> UInt8[np.ndarray, "_ _ 3"]:
    from PIL import Image as Pillow

    width = max(1, round(image.shape[1] * height / image.shape[0]))
    return np.asarray(Pillow.fromarray(image).resize((width, height), Pillow.Resampling.LANCZOS))
