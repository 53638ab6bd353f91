"""What extraction does with one clip: one decode for all that is asked for."""

import os
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol, TypeGuard, runtime_checkable

import numpy as np
from jaxtyping import Float32
from pydantic import BeforeValidator, Field, PlainSerializer

from mien.config import Settings
from mien.errors import ConfigError, ExtractionError, name_known
from mien.extraction.alignment import Pooling, align_to_words, pool
from mien.extraction.clip_results import ClipFacts
from mien.extraction.extractors import (
    EXTRACTORS,
    AudioExtractor,
    Features,
    FileExtractor,
    VideoExtractor,
)
from mien.extraction.extractors.speech import SpeechRecogniser
from mien.extraction.media.segments import AudioSink, Decoded, FrameSink, Source
from mien.types import Modality, Word

__all__ = [
    "AnyExtractor",
    "ClipTask",
    "EncodesWords",
    "ExtractionSettings",
    "Tools",
    "build_extractor",
    "build_tools",
    "extract_clip",
    "find_extractor",
]


#: Seconds by which the end of a clip may be rounded: tables have whole frames, or tenths.
_ROUNDING_SECONDS = 0.25
#: What the table of extractors holds.
AnyExtractor = AudioExtractor | VideoExtractor | FileExtractor


class ExtractionSettings(Settings):
    """What is made of every clip; two extractions with the same settings make the same features.

    Attributes:
        audio: Name of the extractor, with its version and settings; ``none`` for no audio.
        video: The same for video.
        text: ``transcript``: what the CSV says. ``speech``: what is recognised. ``auto``: what is
            recognised where the CSV says nothing. ``none``: no text.
        recogniser: Which speech recogniser is used, if one is: an asset or a folder.
        language: ISO 639-1 code of what is said.
        align: ``words``: one step per word in every series.
        encoder: Text encoder whose states become the series ``text``, one per word; empty for no
            such series.
        pooling: How steps are joined, by modality.
    """

    audio: str = "none"
    video: str = "none"
    text: Literal["transcript", "speech", "auto", "none"] = "auto"
    recogniser: str = ""
    language: str = "en"
    align: Literal["none", "words"] = "none"
    encoder: str = ""
    pooling: dict[Literal["audio", "video"], Pooling] = Field(default_factory=dict)

    def extractors(self) -> dict[Modality, str]:
        """Return the names of the extractors that are used."""
        chosen = {Modality.AUDIO: self.audio, Modality.VIDEO: self.video}
        return {modality: name for modality, name in chosen.items() if name != "none"}

    def without_paths(self) -> "ExtractionSettings":
        """Return the same without what stands behind names: folders and programs of one's own."""
        names = {str(m): name.partition(":")[0] for m, name in self.extractors().items()}
        return self.model_copy(update=names)

    def needs_speech(self, *, has_transcript: bool, has_words: bool) -> bool:
        """Say whether the speech of a clip must be recognised."""
        if self.align == "words" and not has_words:
            return True
        return self.text == "speech" or (self.text == "auto" and not has_transcript)


def _write_path(path: Path) -> str:
    """Return a path as JSON can hold it, also one that is no UTF-8."""
    return urllib.parse.quote(os.fsencode(path))


def _read_path(value: Path | str) -> Path:
    if isinstance(value, Path):
        return value
    return Path(os.fsdecode(urllib.parse.unquote_to_bytes(value)))


_SystemPath = Annotated[Path, BeforeValidator(_read_path), PlainSerializer(_write_path)]


class ClipTask(Settings):
    """A clip to be worked on, as it is sent to a worker.

    Attributes:
        path: The recording.
        start: Where the clip begins, in seconds.
        end: Where it ends; None for the end of the recording.
        transcript: What is said, if that is known.
        words: When it is said, if that is known.
        out: File of results to write.
        without: Modalities that are not extracted.
    """

    path: _SystemPath
    start: float = 0.0
    end: float | None = None
    transcript: str = ""
    words: tuple[tuple[str, float, float], ...] | None = None
    out: _SystemPath
    without: tuple[Modality, ...] = ()

    @property
    def source(self) -> Source:
        """The piece of the recording."""
        return Source(path=self.path, start=self.start, end=self.end)


@runtime_checkable
class EncodesWords(Protocol):
    """A text encoder; that of ``mien.extraction.word_states`` is one."""

    def encode(self, words: Sequence[str]) -> Float32[np.ndarray, "T d"]:
        """Return a state per word."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Extractors with their models, built once per process.

    Attributes:
        settings: What is made of a clip.
        extractors: By modality.
        build_recogniser: Loads the speech recogniser when the first clip needs it.
        encoder: Makes states of words; None if that is not asked for.
    """

    settings: ExtractionSettings
    extractors: Mapping[Modality, AnyExtractor]
    build_recogniser: Callable[[], SpeechRecogniser]
    encoder: EncodesWords | None


def find_extractor(text: str, modality: Modality) -> str:
    """Return the full name of an extractor: without a version, the newest one is meant.

    Args:
        text: ``NAME``, ``NAME/VERSION``, or either with ``:SETTINGS`` behind it.
        modality: What it must make features of.

    Raises:
        ConfigError: If there is no such extractor for this modality.
    """
    name, colon, settings = text.partition(":")
    there = [key for key, entry in EXTRACTORS.items() if entry.modality is modality]
    versions = [key for key in there if name in (key, key.rpartition("/")[0])]
    if not versions:
        raise ConfigError(
            f"--{modality} {text!r}: there is no such extractor; "
            f"{name_known(name, [*there, 'none'])}"
        )
    newest = max(versions, key=lambda version: int(version.rpartition("/")[2]))
    return f"{newest}{colon}{settings}"


def build_extractor(text: str) -> AnyExtractor:
    """Build an extractor from its full name, with the settings after it.

    Raises:
        ConfigError: If a package or a program is missing, or the settings are wrong.
        AssetError: If a model is missing.
    """
    name, _, settings = text.partition(":")
    return EXTRACTORS[name].build(settings)


def build_tools(settings: ExtractionSettings) -> Tools:
    """Build what is needed for every clip.

    Raises:
        ConfigError: If a package or a program is missing.
        AssetError: If a model is missing.
    """
    recogniser: list[SpeechRecogniser] = []
    extractors = {m: build_extractor(name) for m, name in settings.extractors().items()}

    def build_recogniser() -> SpeechRecogniser:
        if not recogniser:
            name, audio = settings.recogniser, extractors.get(Modality.AUDIO)
            recogniser.append(SpeechRecogniser(name, settings.language, encoder=audio))
        return recogniser[0]

    return Tools(
        settings=settings,
        extractors=extractors,
        build_recogniser=build_recogniser,
        encoder=_build_encoder(settings.encoder) if settings.encoder else None,
    )


def _build_encoder(name: str) -> EncodesWords:
    from mien.extraction.word_states import WordEncoder  # imports torch, which takes seconds

    return WordEncoder(name)


# --- one clip -------------------------------------------------------------------------------------


def extract_clip(task: ClipTask, tools: Tools) -> tuple[ClipFacts, dict[str, Features]]:
    """Decode a clip once and make all of its series.

    Returns:
        What there is to say, and the series by name; none if the clip is skipped.

    Raises:
        MediaError: If the recording cannot be read.
        ExtractionError: If an extractor made values that are not finite.
    """
    settings = tools.settings
    spoken = _Speech(task, tools)
    streams, audio, frames = _begin(task, tools, spoken)
    decoded = None
    if audio or frames:
        from mien.extraction.media import decode

        decoded = decode(task.source, audio=audio, frames=frames)
    features = {modality: finish() for modality, finish in streams.items()}
    transcript, words = spoken.finish()
    series = {str(m): _check(values, m) for m, values in features.items()}
    if settings.align == "words":
        series = {name: align_to_words(values, words or ()) for name, values in series.items()}
    else:
        series = {name: _pool(values, name, settings) for name, values in series.items()}
    if tools.encoder is not None:
        series["text"] = _encode(tools.encoder, words or ())
    text = task.transcript if transcript is None else transcript
    is_left = any(len(values.times) for values in series.values())
    is_left |= settings.text != "none" and settings.align == "none" and bool(text.strip())
    facts = ClipFacts(
        reason="" if is_left else _explain(settings, decoded, features, words),
        seconds=0.0 if decoded is None else decoded.seconds,
        is_truncated=decoded is not None and decoded.is_truncated,
        seconds_beyond=_measure_beyond(task, decoded),
        transcript=transcript,
        words=words,
        notes={name: dict(values.notes) for name, values in series.items() if values.notes},
    )
    return facts, series if is_left else {}


def _measure_beyond(task: ClipTask, decoded: Decoded | None) -> float:
    """Return how far the stated end lies behind the end of the recording; 0 for mere rounding."""
    if task.end is None or decoded is None or decoded.is_truncated:
        return 0.0
    beyond = task.end - task.start - decoded.seconds
    return round(beyond, 3) if beyond > _ROUNDING_SECONDS else 0.0


class _Speech:
    """What is said in a clip: known, or recognised while it is decoded."""

    def __init__(self, task: ClipTask, tools: Tools) -> None:
        self._task = task
        self._text = tools.settings.text
        self.stream = None
        if tools.settings.needs_speech(
            has_transcript=bool(task.transcript.strip()), has_words=task.words is not None
        ):
            self.recogniser = tools.build_recogniser()
            self.stream = self.recogniser.begin()

    def finish(self) -> tuple[str | None, tuple[Word, ...] | None]:
        """Return the recognised text, if it is needed, and the words, if they are known."""
        words = None if self._task.words is None else tuple(Word(*w) for w in self._task.words)
        if self.stream is None:
            return None, words
        recognised = self.stream.finish()
        is_wanted = self._text == "speech" or (
            self._text == "auto" and not self._task.transcript.strip()
        )
        return (
            recognised.text if is_wanted else None,
            recognised.words if words is None else words,
        )


def _begin(
    task: ClipTask, tools: Tools, speech: _Speech
) -> tuple[dict[Modality, Callable[[], Features]], list[AudioSink], list[FrameSink]]:
    """Begin the streams of a clip; return how each is finished, and who wants sound and frames."""
    streams: dict[Modality, Callable[[], Features]] = {}
    audio: list[AudioSink] = []
    frames: list[FrameSink] = []
    source = task.source
    wanted = {m: extractor for m, extractor in tools.extractors.items() if m not in task.without}
    for modality, extractor in wanted.items():
        if _reads_files(extractor):
            streams[modality] = _Later(extractor, source)
        elif _hears(extractor):
            sound = extractor.begin(source)
            audio.append(AudioSink(extractor.rate_hertz, sound.feed))
            streams[modality] = sound.finish
        elif _sees(extractor):
            pictures = extractor.begin(source)
            frames.append(FrameSink(extractor.frame_rate, pictures.feed))
            streams[modality] = pictures.finish
    if speech.stream is not None:
        audio.append(AudioSink(speech.recogniser.rate_hertz, speech.stream.feed))
    return streams, audio, frames


def _reads_files(extractor: AnyExtractor) -> TypeGuard[FileExtractor]:
    return hasattr(extractor, "extract")


def _hears(extractor: AnyExtractor) -> TypeGuard[AudioExtractor]:
    return hasattr(extractor, "rate_hertz")


def _sees(extractor: AnyExtractor) -> TypeGuard[VideoExtractor]:
    return hasattr(extractor, "frame_rate")


@dataclass(frozen=True, slots=True)
class _Later:
    """The features of an extractor that reads the recording by itself."""

    extractor: FileExtractor
    source: Source

    def __call__(self) -> Features:
        return self.extractor.extract(self.source)


def _check(features: Features, modality: Modality) -> Features:
    if not np.isfinite(features.values).all():
        step = int(np.argwhere(~np.isfinite(features.values))[0, 0])
        raise ExtractionError(
            f"its {modality} features are not finite at {features.times[step]:.2f} s"
        )
    return features


def _pool(features: Features, name: str, settings: ExtractionSettings) -> Features:
    pooling = {str(modality): pooled for modality, pooled in settings.pooling.items()}.get(name)
    return features if pooling is None else pool(features, pooling)


def _encode(encoder: EncodesWords, words: Sequence[Word]) -> Features:
    times = np.array([(word.start + word.end) / 2 for word in words], np.float64)
    return Features(
        values=encoder.encode([word.text for word in words]),
        times=np.maximum.accumulate(times),
        notes={},
    )


def _explain(
    settings: ExtractionSettings,
    decoded: Decoded | None,
    features: Mapping[Modality, Features],
    words: Sequence[Word] | None,
) -> str:
    """Say why nothing is left of a clip."""
    reasons = []
    if Modality.AUDIO in features and not len(features[Modality.AUDIO].times):
        has_audio = decoded is None or decoded.has_audio
        reasons.append("too little sound for one step" if has_audio else "no audio track")
    if Modality.VIDEO in features and not len(features[Modality.VIDEO].times):
        if decoded is not None and not decoded.has_video:
            reasons.append("no picture")
        elif decoded is not None and not decoded.num_frames:
            reasons.append("shorter than one frame")
        else:
            reasons.append("no face")
    if settings.align == "words" and not words:
        reasons.append("no words to align to")
    elif settings.text != "none":
        is_deaf = decoded is not None and not decoded.has_audio and not reasons
        reasons.append("no audio track" if is_deaf else "nothing said")
    return ", ".join(reasons)
