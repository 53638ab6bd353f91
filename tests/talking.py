"""Makes small talking clips: a public-domain portrait whose mouth moves with a voice.

The portrait is ``skimage.data.astronaut()``, which lies inside scikit-image (Eileen Collins, NASA,
public domain). The voice is espeak-ng's where that program is installed and ``text`` is given, else
pulses through three formants, so that no test depends on a system package.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np

#: The mouth in the cut-out of ``portrait``: line, middle, half its width; and where the chin ends.
_LIP, _MIDDLE, _HALF_WIDTH, _CHIN = 127, 124, 26, 176
_WIDEST_PIXELS = 14
_SYLLABLE_HERTZ = 4.0


def voice(seconds: float, rate: int = 44100, *, pitch: float = 150.0) -> np.ndarray:
    """Return a made voice, mono float32: pulses through formants, in syllables; no noise."""
    times = np.arange(round(seconds * rate)) / rate
    vibrato = pitch * times + 0.4 * np.sin(2 * np.pi * 3.0 * times)
    sound = np.zeros(times.size)
    for harmonic in range(1, int(min(4000.0, rate / 2 - 200) / pitch)):
        frequency = harmonic * pitch
        gain = sum(
            weight / (1 + ((frequency - centre) / width) ** 2)
            for centre, width, weight in ((600, 120, 1.0), (1200, 150, 0.6), (2500, 250, 0.3))
        )
        sound += gain * np.sin(2 * np.pi * harmonic * vibrato)
    sound *= opening(times)
    return (0.5 * sound / max(np.abs(sound).max(initial=0.0), 1e-9)).astype(np.float32)


def opening(times: np.ndarray) -> np.ndarray:
    """Return how far the mouth is open at some times, 0 to 1; the voice is as loud."""
    return np.sin(np.pi * _SYLLABLE_HERTZ * times) ** 2


def speech(text: str, rate: int = 44100) -> np.ndarray | None:
    """Return espeak-ng's reading of a text, or None if the program is not installed."""
    program = shutil.which("espeak-ng")
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run([program, "-v", "en", "-s", "130", "-w", str(path), text], check=True)
        resampler = av.AudioResampler("fltp", "mono", rate)
        with av.open(str(path)) as container:
            pieces = [resampler.resample(frame) for frame in container.decode(audio=0)]
        pieces.append(resampler.resample(None))
    return np.concatenate([one.to_ndarray()[0] for piece in pieces for one in piece])


@cache
def _portrait() -> np.ndarray:
    import skimage.data

    return skimage.data.astronaut()[20:260, 100:340]


def portrait(openness: float) -> np.ndarray:
    """Return the portrait, 240 x 240 RGB, with its mouth open by a share of the widest."""
    still = _portrait()
    image = still.copy()
    columns = np.arange(_MIDDLE - _HALF_WIDTH, _MIDDLE + _HALF_WIDTH + 1)
    window = np.cos(np.pi / 2 * (columns - _MIDDLE) / (_HALF_WIDTH + 1)) ** 2
    for column, gap in zip(columns, openness * _WIDEST_PIXELS * window, strict=True):
        rows = np.arange(_LIP, _CHIN)
        taken = _LIP + (rows - _LIP - gap) * (_CHIN - _LIP) / (_CHIN - _LIP - gap)
        below = np.clip(np.floor(taken).astype(int), _LIP, _CHIN - 1)
        share = np.clip(taken - below, 0.0, 1.0)[:, None]
        moved = (1 - share) * still[below, column] + share * still[below + 1, column]
        moved[taken < _LIP] = (45, 15, 15)
        image[_LIP:_CHIN, column] = moved.round().astype(np.uint8)
    return image


def scene(openness: float, *, num_faces: int = 1) -> np.ndarray:
    """Return a picture with no face, one, or a large one and a smaller one beside it."""
    if num_faces == 0:
        rows, columns = np.mgrid[:240, :240]
        return np.stack([rows, columns, (rows + columns) // 2], axis=-1).astype(np.uint8)
    face = portrait(openness)
    if num_faces == 1:
        return face
    small = np.full((240, 160, 3), 128, np.uint8)
    small[60:220] = face[::3, ::3].repeat(2, axis=0).repeat(2, axis=1)
    return np.concatenate([face, small], axis=1)


def write_clip(
    path: Path,
    *,
    seconds: float = 2.0,
    frame_rate: int = 25,
    frame_times: list[float] | None = None,
    size: tuple[int, int] | None = None,
    num_faces: int = 1,
    rotation: int = 0,
    has_video: bool = True,
    sound: np.ndarray | None = None,
    has_audio: bool = True,
    audio_rate: int = 44100,
    audio_start: float = 0.0,
    layout: str = "mono",
    video_codec: str = "libx264",
    audio_codec: str = "aac",
    container_format: str | None = None,
) -> Path:
    """Write a talking clip.

    Args:
        path: The file; its name says the container.
        seconds: Its length.
        frame_rate: Frames a second.
        frame_times: Seconds at which a frame is shown, instead; a variable frame rate.
        size: Width and height of the upright picture; None for what the scene has.
        num_faces: 0, 1 or 2.
        rotation: Degrees counterclockwise by which a player must turn the stored frames.
        has_video: Whether to write a picture.
        sound: Samples at ``audio_rate``; None for the made voice.
        has_audio: Whether to write sound.
        audio_rate: Samples a second.
        audio_start: Seconds by which the sound comes later than the picture.
        layout: Channels; the voice is in the middle one of 5.1, else in all.
        video_codec: Encoder of the picture.
        audio_codec: Encoder of the sound.
        container_format: Container, where the name does not say it.
    """
    times = frame_times or [k / frame_rate for k in range(round(seconds * frame_rate))]
    samples = voice(seconds, audio_rate) if sound is None else sound
    with av.open(str(path), "w", format=container_format) as container:
        streams = {}
        if has_video:
            images = _images(times, size, num_faces, rotation)
            streams["video"] = _video_packets(container, video_codec, frame_rate, images, rotation)
        if has_audio:
            streams["audio"] = _audio_packets(
                container, audio_codec, audio_rate, layout, samples, audio_start
            )
        for packets in [stream for stream in streams.values() if next(stream) is None]:
            for packet in packets:
                container.mux(packet)
    return path


def _images(
    times: list[float], size: tuple[int, int] | None, num_faces: int, rotation: int
) -> Iterator[tuple[float, np.ndarray]]:
    for time in times:
        image = scene(float(opening(np.asarray(time))), num_faces=num_faces)
        if size is not None:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            image = frame.reformat(width=size[0], height=size[1], format="rgb24").to_ndarray()
        yield time, np.ascontiguousarray(np.rot90(image, -rotation // 90))


def _video_packets(container, codec, frame_rate, images, rotation):
    stream = container.add_stream(codec, rate=frame_rate)
    stream.time_base = stream.codec_context.time_base = Fraction(1, 12800)
    first_time, first = next(images)
    stream.height, stream.width = first.shape[:2]
    is_odd = stream.height % 2 or stream.width % 2
    stream.pix_fmt = "yuv444p" if is_odd and codec == "libx264" else "yuv420p"
    if codec == "ffv1":
        stream.pix_fmt = "bgr0"
    if codec == "libx264":
        stream.options = {"preset": "ultrafast", "crf": "12"}
    stream.codec_context.thread_count = 1
    if rotation:
        stream.set_display_rotation(rotation)
    yield None
    for time, image in [(first_time, first), *images]:
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = round(time * 12800), Fraction(1, 12800)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _audio_packets(container, codec, rate, layout, samples, start):
    stream = container.add_stream(codec, rate=rate, layout=layout)
    num_channels = stream.codec_context.layout.nb_channels
    yield None
    channels = np.tile(samples.astype(np.float32), (num_channels, 1))
    if layout == "5.1":
        channels[[0, 1, 3, 4, 5]] = 0.0  # FL FR FC LFE BL BR
    resampler = av.AudioResampler(stream.codec_context.format.name, layout, rate)
    for place in range(0, samples.size, 1024):
        piece = np.ascontiguousarray(channels[:, place : place + 1024])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = place + round(start * rate)
        for one in resampler.resample(frame):
            yield from stream.encode(one)
    yield from stream.encode(None)


def truncate(path: Path, share: float) -> Path:
    """Cut a file off after a share of its bytes."""
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    return path


def _write_truncated(path: Path) -> Path:
    return truncate(write_clip(path, container_format="matroska"), 0.6)


def _write_text(path: Path) -> Path:
    path.write_text("this is a letter, not a recording\n" * 40, encoding="utf-8")
    return path


def _write_empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def _write_variable(path: Path) -> Path:
    times = [0.0, 0.04, 0.08, 0.2, 0.22, 0.5, 0.54, 0.9, 1.3, 1.34, 1.38, 1.42, 1.9]
    return write_clip(path, frame_times=times)


#: Every kind of clip, by name: writes it to a path that ends in .mp4.
VARIANTS: dict[str, Callable[[Path], Path]] = {
    "plain": write_clip,
    "no audio": lambda path: write_clip(path, has_audio=False),
    "no face": lambda path: write_clip(path, num_faces=0),
    "two faces": lambda path: write_clip(path, num_faces=2),
    "variable frame rate": _write_variable,
    "rotated": lambda path: write_clip(path, rotation=90, size=(240, 320)),
    "odd size": lambda path: write_clip(path, size=(241, 239)),
    "8 kHz": lambda path: write_clip(path, audio_rate=8000),
    "5.1 sound": lambda path: write_clip(path, layout="5.1"),
    "truncated": _write_truncated,
    "zero length": _write_empty,
    "text": _write_text,
}

#: Those of them that are no recording.
BROKEN = frozenset({"zero length", "text"})
