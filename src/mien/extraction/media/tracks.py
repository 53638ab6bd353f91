"""One stream's decoded frames on their way to who wants them: in time, mono, upright.

A track counts time from the start of the clip, drops what lies before, and says when it has all
that lies before the end.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from av import AudioFrame, AudioLayout, AudioResampler, FFmpegError, VideoFrame
from av.video.reformatter import VideoReformatter
from jaxtyping import Float32, Num, UInt8
from soxr import ResampleStream

from mien.errors import MediaError
from mien.extraction.media.segments import AudioSink, FrameSink, Source

__all__ = ["LARGEST_PIXELS", "AudioTrack", "VideoTrack", "check_size", "turns_of"]

Samples = Float32[np.ndarray, " S"]
Frames = Sequence[AudioFrame | VideoFrame] | None
Image = UInt8[np.ndarray, "H W 3"]

#: A frame counts as shown this many seconds before its time: containers round to milliseconds.
_TIE_SECONDS = 0.001
#: Sound that is this much off its place follows what came before; more is a gap or an overlap.
_SLACK_SECONDS = 0.04
#: More than this without sound or picture, or past a frame, is a damaged clock.
_LONGEST_GAP = 600.0
#: A frame that is this much older than the one before was not merely put in the wrong order.
_LONGEST_OVERLAP = 1.0
#: Pixels of the largest picture that is read.
LARGEST_PIXELS = 8192 * 8192
_AUDIO_RATES = (1000, 768_000)
#: Sound is made between -1 and 1; above this it is another scale, and every feature is wrong.
_LOUDEST = 16.0


class AudioTrack:
    """The sound of a clip.

    Args:
        path: The recording, for messages.
        zero: Where the clip begins, in seconds of the stream's clock.
        length: Seconds of the clip; infinite for the rest of the recording.
        sinks: Who wants it.
    """

    def __init__(self, path: Path, zero: float, length: float, sinks: Sequence[AudioSink]) -> None:
        self.zero = zero
        self.length = length
        self.is_begun = False
        self.is_done = False
        self.is_damaged = False
        self._path = path
        self._sinks = defaultdict[int, list[AudioSink]](list)
        for sink in sinks:
            self._sinks[sink.rate_hertz].append(sink)
        self._rate = 0
        self._position = 0  # samples handed on, at the rate of the recording
        self._mixer: AudioResampler | None = None
        self._kind = ("", "", 0)
        self._can_mix: dict[str, bool] = {}  # by the name of a layout of channels
        self._resamplers: dict[int, ResampleStream] = {}

    @property
    def seconds(self) -> float:
        """How far the sound goes."""
        return self._position / self._rate if self._rate else 0.0

    def push(self, frames: Frames) -> None:
        """Take the next frames of the decoder; None for a packet that cannot be decoded."""
        self.is_damaged |= frames is None
        for frame in frames or ():
            if isinstance(frame, AudioFrame):
                self._push(frame)

    def finish(self) -> None:
        """Hand on what the resamplers hold back."""
        if not self.is_begun:
            return
        if self._mixer is not None and not self.is_done:
            self._hand_on_all(self._mix(None), self._position)
        for rate, resampler in self._resamplers.items():
            self._feed(rate, resampler.resample_chunk(np.empty(0, np.float32), last=True))

    def _push(self, frame: AudioFrame) -> None:
        if not self._rate:
            self._begin(frame.sample_rate)
        name = frame.layout.name
        if name not in self._can_mix:
            self._can_mix[name] = _can_mix(frame.layout)
        if not self._can_mix[name]:
            frame = _average(frame)
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:
            self._change_mixer(frame, kind)
        begin = self._position
        if frame.time is not None:
            begin = round((frame.time - self.zero) * self._rate)
            if self.is_begun and abs(begin - self._position) <= _SLACK_SECONDS * self._rate:
                begin = self._position
        self._hand_on_all(self._mix(frame), begin)

    def _change_mixer(self, frame: AudioFrame, kind: tuple[str, str, int]) -> None:
        if self._mixer is not None:
            self._hand_on_all(self._mix(None), self._position)
        layout = frame.layout if frame.layout.nb_channels <= 2 else "mono"
        self._mixer = AudioResampler("fltp", layout, self._rate)
        self._kind = kind

    def _begin(self, rate: int) -> None:
        if not _AUDIO_RATES[0] <= rate <= _AUDIO_RATES[1]:
            raise MediaError(
                f"{self._path}: its sound has {rate} samples a second, must be from "
                f"{_AUDIO_RATES[0]} to {_AUDIO_RATES[1]}"
            )
        self._rate = rate
        for wanted in self._sinks:
            if wanted != rate:
                self._resamplers[wanted] = ResampleStream(
                    rate, wanted, 1, dtype="float32", quality="HQ"
                )

    def _mix(self, frame: AudioFrame | None) -> Iterator[Samples]:
        """Yield the frame in mono.

        It is the mean of two channels, libswresample's mix of more, and the mean of as many as it
        cannot mix.
        """
        if self._mixer is not None:
            for mixed in self._mixer.resample(frame):
                channels = mixed.to_ndarray()  # (channels, S)
                yield channels[0] if len(channels) == 1 else channels.mean(axis=0)

    def _hand_on_all(self, pieces: Iterator[Samples], begin: int) -> None:
        for samples in pieces:
            self._hand_on(samples, begin)
            begin += samples.size

    def _hand_on(self, samples: Samples, begin: int) -> None:
        """Hand on samples that begin at a place of the clip, after silence up to there."""
        end = float(round(self.length * self._rate)) if self.length < math.inf else math.inf
        self.is_done = begin >= end
        if self.is_done:
            return
        if begin + samples.size <= self._position:
            self.is_damaged |= self.is_begun
            return
        gap = begin - self._position
        if gap < 0:
            self.is_damaged |= self.is_begun
            samples = samples[-gap:]
        if gap > _LONGEST_GAP * self._rate:
            raise MediaError(
                f"{self._path}: its sound stops at {self.seconds:g} s and continues at "
                f"{begin / self._rate:g} s of the clip; the clock of the file is damaged"
            )
        self.is_begun = True
        while self._position < begin:
            self._emit(np.zeros(min(begin - self._position, self._rate), np.float32))
        self._emit(samples[: int(min(end - self._position, samples.size))])

    def _emit(self, samples: Samples) -> None:
        loudest = float(np.abs(samples).max(initial=0.0))
        if not loudest <= _LOUDEST:
            raise MediaError(
                f"{self._path}: its sound reaches {loudest:g} near {self.seconds:.2f} s of the "
                "clip, must lie between -1 and 1; scale it"
            )
        self._position += samples.size
        for rate in self._sinks:
            resampler = self._resamplers.get(rate)
            self._feed(rate, samples if resampler is None else resampler.resample_chunk(samples))

    def _feed(self, rate: int, samples: Samples) -> None:
        if samples.size:
            for sink in self._sinks[rate]:
                sink.feed(samples)


def _can_mix(layout: AudioLayout) -> bool:
    """Whether libswresample can mix channels of this layout; some have no known places."""
    silence = np.zeros((1, layout.nb_channels), np.float32)
    try:
        frame = AudioFrame.from_ndarray(silence, format="flt", layout=layout)
        frame.sample_rate = _AUDIO_RATES[0]
        AudioResampler("fltp", "mono", _AUDIO_RATES[0]).resample(frame)
    except (FFmpegError, ValueError):
        return False
    return True


def _average(frame: AudioFrame) -> AudioFrame:
    """Return the mean of the channels of a frame, as floats in mono."""
    values: Num[np.ndarray, "_ _"] = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    mono = values.mean(axis=0, dtype=np.float64)
    if values.dtype == np.uint8:
        mono = (mono - 128) / 128
    elif np.issubdtype(values.dtype, np.integer):
        mono = mono / 2.0 ** (8 * values.itemsize - 1)
    averaged = AudioFrame.from_ndarray(mono.astype(np.float32)[None], format="fltp", layout="mono")
    averaged.sample_rate, averaged.pts = frame.sample_rate, frame.pts
    if frame.time_base is not None:
        averaged.time_base = frame.time_base
    return averaged


class _Shown:
    """A frame that is being shown; converted when somebody samples it, and once only."""

    def __init__(self, frame: VideoFrame, time: float, convert: Callable[..., Image]) -> None:
        self.time = time
        self.frame = frame
        self.is_used = False
        self._convert = convert
        self._image: Image | None = None

    @property
    def image(self) -> Image:
        if self._image is None:
            self._image = self._convert(self.frame)
            self.is_used = True
        return self._image


class VideoTrack:
    """The picture of a clip.

    Args:
        source: The clip.
        zero: Where the clip begins, in seconds of the stream's clock.
        length: Seconds of the clip; infinite for the rest of the recording.
        sinks: Who wants it.
        frame_seconds: How long a frame is shown, where the recording does not say.
    """

    def __init__(
        self,
        source: Source,
        zero: float,
        length: float,
        *,
        sinks: Sequence[FrameSink],
        frame_seconds: float,
    ) -> None:
        self.zero = zero
        self.length = length
        self.is_done = False
        self.is_damaged = False
        self.num_frames = 0
        self.seconds = 0.0
        self._path = source.path
        self._begin = -source.start  # of the recording
        self._sinks = sinks
        self._next = [0] * len(sinks)  # number of the next sampling instant, by sink
        self._frame_seconds = frame_seconds
        self._shown: _Shown | None = None
        self._reformatter = VideoReformatter()

    @property
    def is_begun(self) -> bool:
        """Whether a frame is shown in the clip."""
        return self._shown is not None and self.seconds > 0

    def push(self, frames: Frames) -> None:
        """Take the next frames of the decoder, in the order in which they are shown.

        None stands for a packet that cannot be decoded.
        """
        self.is_damaged |= frames is None
        for frame in frames or ():
            if isinstance(frame, VideoFrame):
                self._push(frame)

    def _push(self, frame: VideoFrame) -> None:
        time = self._time_of(frame)
        shown = self._shown
        if shown is not None and time <= shown.time:
            self.is_damaged |= time < shown.time - _LONGEST_OVERLAP
            return
        if shown is not None and time - max(shown.time, 0.0) > _LONGEST_GAP:
            raise MediaError(
                f"{self._path}: its picture stops at {shown.time:g} s and continues at {time:g} s "
                "of the clip; the clock of the file is damaged"
            )
        self._show_until(time)
        self.is_done = time >= self.length
        if not self.is_done:
            check_size(frame.width, frame.height, self._path)
            self._shown = _Shown(frame, time, self._convert)

    def finish(self) -> None:
        """Hand over the last frame at the instants at which it is still shown."""
        if self._shown is not None and not self.is_done:
            frame = self._shown.frame
            lasts = self._frame_seconds
            if frame.duration and frame.time_base:
                lasts = float(frame.duration * frame.time_base)
            self._show_until(self._shown.time + min(lasts, _LONGEST_GAP))

    def _time_of(self, frame: VideoFrame) -> float:
        if frame.pts is not None and frame.time_base is not None:
            return float(frame.pts * frame.time_base) - self.zero
        if self._shown is None:
            return self._begin
        return self._shown.time + (self._frame_seconds or 0.04)

    def _show_until(self, time: float) -> None:
        """Hand over the frame that was shown until now."""
        until = min(time, self.length)
        if self._shown is None:
            for number, sink in enumerate(self._sinks):
                if sink.frame_rate is not None and until > 0:
                    # nothing is shown at these instants
                    self._next[number] = math.ceil((until - _TIE_SECONDS) * sink.frame_rate)
            return
        for number, sink in enumerate(self._sinks):
            if sink.frame_rate is None:
                if self._shown.time >= -_TIE_SECONDS:
                    sink.feed(self._shown.image, max(self._shown.time, 0.0))
                continue
            while self._next[number] / sink.frame_rate < until - _TIE_SECONDS:
                sink.feed(self._shown.image, self._next[number] / sink.frame_rate)
                self._next[number] += 1
        self.seconds = max(self.seconds, until)
        self.num_frames += self._shown.is_used

    def _convert(self, frame: VideoFrame) -> Image:
        image = self._reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        return np.ascontiguousarray(np.rot90(image, turns_of(frame)))


def turns_of(frame: VideoFrame) -> int:
    """Return the quarter turns counterclockwise that make a frame upright."""
    return round(frame.rotation / 90) % 4


def check_size(width: int, height: int, path: Path) -> None:
    """Refuse a picture that is larger than any camera's.

    Raises:
        MediaError: If it has more than 8192 x 8192 pixels.
    """
    if width * height > LARGEST_PIXELS:
        raise MediaError(
            f"{path}: its picture has {width} x {height} pixels, must have at most 8192 x 8192; "
            "scale it"
        )
