"""The first pass over a recording: how long it is, where somebody speaks, and what is said."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from mien.errors import require
from mien.extraction.extractors.speech import SpeechRecogniser, SpeechStream, Transcript
from mien.extraction.media import AudioSink, FrameSink, Source, decode, probe
from mien.types import Modality, Word

__all__ = ["FirstPass", "explain_emptiness", "scan", "warn_of_loss"]

_RATE = SpeechRecogniser.rate_hertz
#: A pause in speech lasts at least so long, and speech is widened by so much on either side.
_PAUSE_MS, _PAD_MS = 300, 100
#: Less speech than this in all of a recording is a click or a cough.
_LEAST_SPEECH = 0.25

Samples = Float32[np.ndarray, " S"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstPass:
    """What the first pass over a recording learns of it.

    Attributes:
        seconds: Length of the recording, as far as it can be decoded.
        has_audio: Whether it has a sound track.
        has_video: Whether it has a moving picture.
        is_truncated: Whether some of it cannot be decoded.
        speech: Where somebody speaks, as pairs of seconds, in order and without overlap.
        transcript: What was recognised; empty without a recogniser.
    """

    seconds: float
    has_audio: bool
    has_video: bool
    is_truncated: bool
    speech: tuple[tuple[float, float], ...]
    transcript: Transcript


def scan(
    path: Path,
    recogniser: SpeechRecogniser | None,
    *,
    on_seconds: Callable[[float], None] | None = None,
) -> FirstPass:
    """Decode the sound of a recording once.

    A recording of any length takes the memory of five minutes: it is decoded piece by piece.

    Args:
        path: The recording.
        recogniser: Recognises what is said; None to leave that out.
        on_seconds: Called now and then with the number of seconds decoded so far.

    Raises:
        MediaError: If the recording cannot be read.
        ConfigError: If a package is missing.
    """
    require("faster_whisper", extra="extract")
    recording = probe(path)
    finder = _SpeechFinder(recogniser)
    stream = SpeechStream(finder.search)
    meter = _ProgressMeter(on_seconds)

    def feed(samples: Samples) -> None:
        meter.add(samples.size / _RATE)
        stream.feed(samples)

    audio = [AudioSink(_RATE, feed)] if recording.has_audio else []
    has_length = recording.has_audio or recording.duration is not None
    frames = [] if has_length else [FrameSink(1.0, lambda _image, _time: None)]
    decoded = decode(Source(path=path), audio=audio, frames=frames)
    transcript = stream.finish()
    seconds = max(decoded.seconds, recording.duration or 0.0)
    speech = finder.speech
    if sum(end - start for start, end in speech) < _LEAST_SPEECH:
        speech = []
    return FirstPass(
        seconds=seconds,
        has_audio=recording.has_audio,
        has_video=recording.has_video,
        is_truncated=decoded.is_truncated,
        speech=tuple(speech),
        transcript=transcript if speech else Transcript("", ()),
    )


class _SpeechFinder:
    """Finds where somebody speaks, piece by piece, and recognises what is said there."""

    def __init__(self, recogniser: SpeechRecogniser | None) -> None:
        self.speech: list[tuple[float, float]] = []
        self._recogniser = recogniser
        self._first = 0

    def search(self, samples: Samples) -> Transcript:
        offset = self._first / _RATE
        self._first += samples.size
        stretches = _find_speech(samples)
        for start, end in stretches:
            begin = offset + start / _RATE
            if self.speech and begin <= self.speech[-1][1]:
                begin = self.speech.pop()[0]
            self.speech.append((begin, offset + end / _RATE))
        if self._recogniser is None or not stretches:
            return Transcript("", (tuple[Word, ...]()))
        return self._recogniser.recognise(samples)


def _find_speech(samples: Samples) -> list[tuple[int, int]]:
    """Return where somebody speaks, in samples (Silero VAD)."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(min_silence_duration_ms=_PAUSE_MS, speech_pad_ms=_PAD_MS)
    stretches: list[dict[str, Any]] = get_speech_timestamps(samples, options)
    return [
        (int(stretch["start"]), min(int(stretch["end"]), samples.size)) for stretch in stretches
    ]


class _ProgressMeter:
    """Reports how much was decoded, every few seconds of it."""

    def __init__(self, on_seconds: Callable[[float], None] | None) -> None:
        self._on_seconds, self._decoded, self._reported = on_seconds, 0.0, 0.0

    def add(self, seconds: float) -> None:
        self._decoded += seconds
        if self._on_seconds is not None and self._decoded - self._reported >= 5.0:
            self._reported = self._decoded
            self._on_seconds(self._decoded)


def explain_emptiness(first_pass: FirstPass, modalities: Collection[Modality]) -> str:
    """Return why nothing of a recording can be scored, by a model of these modalities."""
    reasons = ["nobody speaks" if first_pass.has_audio else "there is no sound track"]
    if Modality.VIDEO in modalities:
        reasons.append("no face is seen" if first_pass.has_video else "there is no picture")
    return " and ".join(reasons)


def warn_of_loss(first_pass: FirstPass, num_empty: int) -> tuple[str, ...]:
    """Return what of a recording is not in its prediction."""
    warnings = []
    if first_pass.is_truncated:
        warnings.append("parts of the recording cannot be decoded")
    if num_empty:
        warnings.append(f"{num_empty} stretches hold nothing that can be judged")
    return tuple(warnings)
