"""What there is to say about a recording, a piece of it, and who wants its sound and frames."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

__all__ = ["AudioSink", "Decoded", "FrameSink", "Recording", "Source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The piece of a recording that is a clip.

    Attributes:
        path: The recording.
        start: Where the clip begins, in seconds of the recording.
        end: Where it ends; None for the end of the recording.
    """

    path: Path
    start: float = 0.0
    end: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a file says of itself.

    Attributes:
        path: The file.
        duration: Seconds; None if the file does not say.
        has_audio: Whether it has a sound track.
        has_video: Whether it has a moving picture; cover art is none.
        width: Of the upright picture, in pixels; 0 without a picture.
        height: Of the upright picture.
        frame_rate: Frames a second on average; None if the file does not say.
        rotation: Degrees counterclockwise by which a stored frame is turned to be upright.
        audio_rate: Samples a second; 0 without sound.
        audio_channels: Channels; 0 without sound.
    """

    path: Path
    duration: float | None
    has_audio: bool
    has_video: bool
    width: int
    height: int
    frame_rate: float | None
    rotation: int
    audio_rate: int
    audio_channels: int


class AudioSink(NamedTuple):
    """Who wants the sound.

    Attributes:
        rate_hertz: Samples a second.
        feed: Takes the next samples: mono, -1 to 1.
    """

    rate_hertz: int
    feed: Callable[[Float32[np.ndarray, " S"]], None]


class FrameSink(NamedTuple):
    """Who wants the frames.

    Attributes:
        frame_rate: Sampling instants a second: at ``k / frame_rate`` from the start of the clip
            the frame shown then is handed over, as the same array again if it has not changed;
            None for every frame once, at its own time.
        feed: Takes the next frame, RGB, upright and not to be altered, and its time in seconds.
    """

    frame_rate: float | None
    feed: Callable[[UInt8[np.ndarray, "H W 3"], float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What came of decoding a clip.

    Attributes:
        seconds: Length of the clip, as far as it was decoded.
        num_frames: Frames of the recording that were handed over; one that is shown at several
            sampling instants counts once.
        has_audio: Whether the recording has a sound track.
        has_video: Whether it has a moving picture.
        is_truncated: Whether some of it could not be read, or it ends long before it should.
    """

    seconds: float
    num_frames: int
    has_audio: bool
    has_video: bool
    is_truncated: bool
