"""A recording -> sound and frames: decoded once, in one pass, and handed on piece by piece.

``segments`` are clips of recordings and those who want their sound or frames, ``decoding`` goes
through a recording, ``containers`` are the files that are opened, ``tracks`` put sound and picture
in time, and ``stills`` are single frames.

Only the file itself is read. Playlists, manifests and other files that name further files or
addresses are refused, whatever they are called.
"""

from collections.abc import Sequence
from pathlib import Path

from mien.errors import require
from mien.extraction.media.segments import AudioSink, Decoded, FrameSink, Recording, Source

__all__ = ["AudioSink", "Decoded", "FrameSink", "Recording", "Source", "decode", "probe"]


def probe(path: Path) -> Recording:
    """Return what a recording holds; of its picture the first frame is decoded, and no more.

    Raises:
        MediaError: If it cannot be read as a recording.
        ConfigError: If the packages that decode are not installed.
    """
    require("av", "soxr", extra="extract")
    from mien.extraction.media import decoding

    return decoding.probe(path)


def decode(
    source: Source, *, audio: Sequence[AudioSink] = (), frames: Sequence[FrameSink] = ()
) -> Decoded:
    """Decode a clip in one pass, and hand its sound and frames to the sinks as they come.

    Times count from the start of the clip. A sink's sample ``n`` is heard at ``n / rate_hertz``:
    what is missing at the start or in between is silence. Two channels become one as in librosa,
    by their mean, and are resampled as there (soxr, high quality). No more than a few frames are
    held, however long the recording is.

    Args:
        source: The recording, and the piece of it.
        audio: Who wants the sound; it is resampled once for each rate.
        frames: Who wants the frames; a frame that nobody samples is not converted.

    Raises:
        MediaError: If the recording cannot be read, has nothing in this piece, or is absurd in
            size; the sinks may have got a part by then.
        ConfigError: If the packages that decode are not installed.
    """
    require("av", "soxr", extra="extract")
    from mien.extraction.media import decoding

    return decoding.decode(source, audio=audio, frames=frames)
