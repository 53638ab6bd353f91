"""The one pass over a recording that feeds sound and frames to who wants them."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from av import VideoFrame, VideoStream
from av.container import InputContainer

from mien.errors import MediaError
from mien.extraction.media.containers import (
    INTERLEAVING,
    LONGEST_SECONDS,
    PacketReader,
    decode_packet,
    duration_of,
    find_streams,
    open_container,
    origin_of,
    seek,
    time_of,
)
from mien.extraction.media.segments import AudioSink, Decoded, FrameSink, Recording, Source
from mien.extraction.media.tracks import AudioTrack, VideoTrack, turns_of

__all__ = ["decode", "probe"]

Tracks = Mapping[int, AudioTrack | VideoTrack]

#: Packets of a stream from which its first frame must come when a file is probed.
_PROBED_PACKETS = 64
#: How far before its declared end a recording may end: a share of it, and at least some seconds.
_SHORTFALL, _SHORTFALL_SECONDS = 0.05, 1.0


def probe(path: Path) -> Recording:
    """Return what a recording holds."""
    with open_container(path) as container:
        audio, video = find_streams(container, path)
        turns = 0 if video is None else _find_turns(container, video)
        size = (0, 0) if video is None else (video.width, video.height)
        width, height = reversed(size) if turns % 2 else size
        return Recording(
            path=path,
            duration=duration_of(container),
            has_audio=audio is not None,
            has_video=video is not None,
            width=width,
            height=height,
            frame_rate=float(video.average_rate) if video and video.average_rate else None,
            rotation=90 * turns,
            audio_rate=audio.rate if audio else 0,
            audio_channels=audio.channels if audio else 0,
        )


def decode(
    source: Source, *, audio: Sequence[AudioSink] = (), frames: Sequence[FrameSink] = ()
) -> Decoded:
    """Decode a clip; ``mien.extraction.media`` says how."""
    _check_piece(source)
    with open_container(source.path) as container:
        audio_stream, video_stream = find_streams(container, source.path)
        length = math.inf if source.end is None else source.end - source.start
        zero = origin_of(container) + source.start
        tracks: dict[int, AudioTrack | VideoTrack] = {}
        if audio_stream is not None and audio:
            tracks[audio_stream.index] = AudioTrack(source.path, zero, length, audio)
        if video_stream is not None and frames:
            rate = video_stream.average_rate
            lasts = 1 / float(rate) if rate else 0.0
            tracks[video_stream.index] = VideoTrack(
                source, zero, length, sinks=frames, frame_seconds=lasts
            )
        is_damaged = _fill(container, tracks, source) if tracks else False
        seconds, is_short = _measure(container, tracks, source)
        return Decoded(
            seconds=seconds,
            num_frames=sum(t.num_frames for t in tracks.values() if isinstance(t, VideoTrack)),
            has_audio=audio_stream is not None,
            has_video=video_stream is not None,
            is_truncated=is_damaged or is_short,
        )


def _fill(container: InputContainer, tracks: Tracks, source: Source) -> bool:
    """Decode into the tracks; return whether something on the way could not be decoded."""
    streams = [s for s in find_streams(container, source.path) if s and s.index in tracks]
    reader = PacketReader(container, streams)
    seek(container, streams, source.start, source.path)
    for packet in reader:
        track = tracks[packet.stream.index]
        time = time_of(packet)
        if time is not None and time - track.zero > track.length + INTERLEAVING:
            break
        if not track.is_done:
            track.push(decode_packet(packet))
        elif all(track.is_done for track in tracks.values()):
            break
    for stream in streams:
        track = tracks[stream.index]
        track.finish()
        if track.is_damaged and not track.is_begun:
            raise MediaError(
                f"{source.path}: its {stream.type} ({stream.codec_context.name}) cannot be decoded "
                f"{_name_piece(source)}; the file is damaged"
            )
    return reader.is_damaged or any(track.is_damaged for track in tracks.values())


def _measure(container: InputContainer, tracks: Tracks, source: Source) -> tuple[float, bool]:
    """Return the seconds that were decoded, and whether that is less than was to be expected."""
    duration = duration_of(container)
    if duration is not None and source.start >= duration and not _any_begun(tracks):
        raise MediaError(
            f"{source.path}: the clip starts at {source.start:g} s, but the recording ends at "
            f"{duration:g} s; check the table of clips"
        )
    ends = [end for end in (duration, source.end) if end is not None]
    expected = min(ends) - source.start if ends else 0.0
    if not tracks:
        return expected, False
    if not _any_begun(tracks):
        raise MediaError(f"{source.path}: holds no sound or frame {_name_piece(source)}")
    seconds = max(track.seconds for track in tracks.values())
    allowed = max(_SHORTFALL_SECONDS, _SHORTFALL * (duration or 0.0))
    return seconds, expected - seconds > allowed


def _any_begun(tracks: Tracks) -> bool:
    return any(track.is_begun for track in tracks.values())


def _find_turns(container: InputContainer, video: VideoStream) -> int:
    """Return the quarter turns counterclockwise that make the first frame upright."""
    for number, packet in enumerate(PacketReader(container, [video])):
        if number == _PROBED_PACKETS:
            break
        for frame in decode_packet(packet) or ():
            if isinstance(frame, VideoFrame):
                return turns_of(frame)
    return 0


def _check_piece(source: Source) -> None:
    start, end = source.start, source.end
    if not (math.isfinite(start) and start >= 0):
        raise MediaError(f"{source.path}: the clip starts at {start!r} s, must be 0 or more")
    if end is not None and not (math.isfinite(end) and end > start):
        raise MediaError(f"{source.path}: the clip ends at {end!r} s, must be after {start!r} s")
    if max(start, end or 0.0) > LONGEST_SECONDS:
        raise MediaError(
            f"{source.path}: the clip reaches beyond {LONGEST_SECONDS / 3600:g} hours; "
            "give seconds, and cut longer recordings"
        )


def _name_piece(source: Source) -> str:
    if source.end is None:
        return f"from {source.start:g} s on" if source.start else "at all"
    return f"from {source.start:g} to {source.end:g} s"
