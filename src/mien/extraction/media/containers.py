"""A media file, opened so that nothing but itself is read: its streams, packets and clock.

Only formats of a list are opened, whatever a file is called: playlists, manifests and other files
that name further files or addresses are not among them. The clock is that of a player: zero where
the first of the streams begins.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
from av import AudioFrame, AudioStream, Packet, VideoFrame, VideoStream
from av.container import InputContainer
from av.stream import Disposition

from mien.errors import MediaError
from mien.extraction.media.tracks import check_size
from mien.files.reading import HEAD_SIZE, name_kind

Streams = Sequence[AudioStream | VideoStream]

__all__ = [
    "ALLOWED_FORMATS",
    "INTERLEAVING",
    "LONGEST_SECONDS",
    "PacketReader",
    "decode_packet",
    "duration_of",
    "find_streams",
    "open_container",
    "origin_of",
    "seek",
    "time_of",
]

#: Longest recording.
LONGEST_SECONDS = 24 * 3600.0
_MICROSECONDS = 1_000_000
#: Seconds from which on it pays to jump to the start of a clip instead of decoding up to it.
_SEEK_FROM = 5.0
#: How far before the start to jump, tried in this order until every stream comes in in time.
_RUN_UPS = (1.0, 10.0, 60.0)
#: How far apart in time the packets of two streams may lie, in a file that is well interleaved.
INTERLEAVING = 10.0
#: How often in a row reading may fail before the rest of a file is given up.
_READ_ERRORS = 16

#: Formats of recordings that hold all of themselves. Left out are playlists and manifests, formats
#: with parts in further files (VobSub, MLV), devices, scripts that make sound up (SBaGen), pictures
#: and texts shown as video, and streams without a header, which any file could be taken for.
ALLOWED_FORMATS = ",".join(
    (
        # films
        "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,live_flv,kux,asf,asf_o,rm,swf,nut,nsv,mxf",
        "gxf,wtv,ivf,mpeg,mpegts,mpegvideo,dv,h261,h263,h264,hevc,vvc,av1,obu,m4v,cavsvideo,vc1",
        "mjpeg,mpjpeg,yuv4mpegpipe,gif,apng,amv,dhav,bink,smk,flic,roq",
        # sound
        "wav,w64,aiff,au,caf,voc,ircam,nistsphere,sox,mmf,xwma,flac,mp3,aac,loas,latm,ac3,ac4,eac3",
        "dts,dtshd,truehd,mlp,ogg,amr,amrnb,amrwb,ape,mpc,mpc8,tak,tta,wv,wavarc,shn,oma,aa,aax",
        "aea,qcp,gsm,g722,g726,g726le,g729,ilbc,dss,dsf,iff,pvf,rso,bonk,osq,qoa,lc3",
    )
)


@contextmanager
def open_container(path: Path) -> Iterator[InputContainer]:
    """Open a file on this machine, and nothing that it names.

    Raises:
        MediaError: If it is no recording; also for what the decoder says while it is open.
    """
    if not path.is_file():
        reason = "is not a file" if path.exists() else "is not there"
        raise MediaError(f"{path}: {reason}; check the path")
    if not path.stat().st_size:
        raise MediaError(f"{path}: is empty")
    options = {"protocol_whitelist": "file", "format_whitelist": ALLOWED_FORMATS}
    with (
        _explained(path),
        av.open(f"file:{path.absolute()}", options=options, metadata_errors="replace") as container,
    ):
        duration = duration_of(container) or 0.0
        if duration > LONGEST_SECONDS:
            raise MediaError(
                f"{path}: says that it lasts {duration:g} s, must be at most "
                f"{LONGEST_SECONDS / 3600:g} hours; cut it, or repair the file"
            )
        yield container


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except av.FFmpegError as error:
        with path.open("rb") as file:
            kind = name_kind(file.read(HEAD_SIZE))
        reason = error.strerror if kind is None else f"it is {kind}"
        raise MediaError(
            f"{path}: cannot be read as a recording ({reason}); expected a complete "
            "sound or video file, not a playlist or a picture"
        ) from error


def find_streams(
    container: InputContainer, path: Path
) -> tuple[AudioStream | None, VideoStream | None]:
    """Return the first sound track and the first moving picture; cover art is none.

    Raises:
        MediaError: If there is neither, one has an unknown codec, or the picture is too large.
    """
    audio = next(iter(container.streams.audio), None)
    moving = (s for s in container.streams.video if Disposition.attached_pic not in s.disposition)
    video = next(moving, None)
    if audio is None and video is None:
        raise MediaError(f"{path}: holds neither sound nor a moving picture")
    for stream in (audio, video):
        codec: object = stream and stream.codec_context
        if stream is not None and codec is None:
            raise MediaError(f"{path}: its {stream.type} has a codec that is not known")
    if video is not None:
        check_size(video.width, video.height, path)
    return audio, video


def origin_of(container: InputContainer) -> float:
    """Return the time on the clock of the streams at which the recording begins."""
    return (container.start_time or 0) / _MICROSECONDS


def duration_of(container: InputContainer) -> float | None:
    """Return the seconds that the file says it lasts, if it does."""
    if container.duration is None or container.duration <= 0:
        return None
    begins = container.start_time or 0  # before 0 in some files
    if "matroska" in container.format.name and begins < container.duration:
        return (container.duration - begins) / _MICROSECONDS  # it says when it ends
    return container.duration / _MICROSECONDS


def time_of(packet: Packet) -> float | None:  # type: ignore[type-arg]
    """Return when a packet is due for decoding, on the clock of the streams."""
    if packet.dts is None or packet.time_base is None:
        return None
    return float(packet.dts * packet.time_base)


class PacketReader:
    """Reads the packets of some streams, past places where reading fails.

    Attributes:
        is_damaged: Whether reading failed somewhere, or a packet is marked as corrupt.
    """

    def __init__(self, container: InputContainer, streams: Streams) -> None:
        self.is_damaged = False
        self._container = container
        self._streams = streams
        for stream in streams:
            stream.codec_context.thread_count = 1  # work is spread over clips

    def __iter__(self) -> Iterator[Packet]:  # type: ignore[type-arg]
        """Yield the packets in the order of the file, and at its end an empty one per stream."""
        num_errors = 0
        while num_errors < _READ_ERRORS:
            try:
                for packet in self._container.demux(*self._streams):
                    num_errors = 0
                    self.is_damaged |= packet.is_corrupt
                    yield packet
            except av.FFmpegError:
                num_errors += 1
                self.is_damaged = True
            except IndexError:  # PyAV stumbles over a stream that appeared later, after ours
                return
            else:
                return


def decode_packet(
    packet: Packet,  # type: ignore[type-arg]
) -> Sequence[AudioFrame | VideoFrame] | None:
    """Return the frames of a packet; None if it cannot be decoded."""
    try:
        return packet.decode()
    except av.FFmpegError:
        return None


def seek(container: InputContainer, streams: Streams, start: float, path: Path) -> None:
    """Go to a place from which all streams decode in time for ``start``, in seconds.

    Whether they do is tried out: some formats have no index of the places where decoding can
    begin. Where nothing else helps, the place is the beginning.

    Raises:
        MediaError: If the file lets nobody go anywhere.
    """
    if start < _SEEK_FROM:
        return
    origin = origin_of(container)
    for run_up in _RUN_UPS:
        seconds = origin + start - run_up
        if (
            run_up < start
            and _go_to(container, seconds)
            and _is_in_time(container, streams, origin + start)
            and _go_to(container, seconds)
        ):
            return
    if not _go_to(container, origin):
        raise MediaError(f"{path}: cannot be read from {start:g} s on; the file is damaged")


def _go_to(container: InputContainer, seconds: float) -> bool:
    try:
        container.seek(round(seconds * _MICROSECONDS))
    except av.FFmpegError:
        return False
    return True


def _is_in_time(container: InputContainer, streams: Streams, target: float) -> bool:
    """Whether the first frame of every stream, read from here, lies before the target."""
    waiting = {stream.index for stream in streams}
    for packet in PacketReader(container, streams):
        time = time_of(packet)
        if (time is not None and time > target + INTERLEAVING) or not waiting:
            break
        frames = decode_packet(packet) if packet.stream.index in waiting else None
        if frames:
            if frames[0].time is None or frames[0].time > target:
                return False
            waiting.discard(packet.stream.index)
    return True
