"""What is said, and when each word is said: speech recognition by Whisper."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from mien.errors import AssetError, ConfigError, require
from mien.extraction.media.segments import Source
from mien.pretrained.assets import find_asset
from mien.pretrained.registry import known_assets
from mien.types import Word

__all__ = ["EncodesSound", "SpeechRecogniser", "SpeechStream", "Transcript", "default_recogniser"]

_RATE = 16000
#: Longest piece that is recognised at once, and its end, in which it is cut where it is quietest.
_PIECE, _CUT_FROM = 300 * _RATE, 270 * _RATE
_QUIET = _RATE // 5
_LEAST = _RATE // 10
#: Most quiet around speech that is left in; pauses inside are left out from this length on too.
_MOST_QUIET = 2 * _RATE
#: How likely a language must be to be taken for the one that is spoken.
_CERTAIN = 0.5
#: Compression from which on a text is a loop, by radford2023; and how many tokens must not come
#: again when it is.
_CIRCLING, _UNREPEATED = 2.4, 3

Samples = Float32[np.ndarray, " S"]


class Transcript(NamedTuple):
    """What was recognised.

    Attributes:
        text: As it is written, with punctuation; empty if nobody speaks.
        words: Its words with their times in seconds of the clip: in order, without overlap, each
            with the punctuation that follows it.
        probabilities: How likely the recogniser takes each word to be, from 0 to 1.
        language: ISO 639-1 code of what is spoken; empty if it was not detected, or is not clear.
    """

    text: str
    words: tuple[Word, ...]
    probabilities: tuple[float, ...] = ()
    language: str = ""


@runtime_checkable
class EncodesSound(Protocol):
    """The encoder of a Whisper model; ``WhisperEncoder`` is one.

    Attributes:
        asset: The model.
    """

    asset: str

    def encode(self, samples: Samples) -> Any:  # noqa: ANN401  # ctranslate2 has no types
        """Return the states of at most 30 seconds as Whisper's decoder reads them."""
        ...


def default_recogniser(language: str) -> str:
    """Return the asset that recognises a language.

    >>> default_recogniser("en"), default_recogniser("zh")
    ('whisper-tiny-en', 'whisper-base')
    """
    return "whisper-tiny-en" if language == "en" else "whisper-base"


class SpeechRecogniser:
    """Whisper, by faster-whisper, without anything that is drawn by chance.

    Where nobody speaks is found first (Silero VAD) and left out, since Whisper makes up words for
    silence. Where it repeats itself without end, it is asked again without being allowed to, and
    what is then still a loop is left out. Recordings of more than five minutes are recognised in
    pieces, cut at the quietest place of the last half minute. One thread, 8-bit: the same sound
    gives the same words.

    Where the encoder of the same model makes features of the same sound, it is encoded once, for
    both: in 32 bits, if it is one window in which no pause is left out.

    Source: radford2023.

    Args:
        recogniser: ``auto``, an asset, or a folder with a Whisper model for faster-whisper.
        language: ISO 639-1 code of what is spoken.
        language_is: ``given``: it is taken for granted. ``expected``: a multilingual model detects
            what is spoken, and ``language`` is what it is taken for where that is not clear.
        encoder: The extractor that makes features of the same sound; its states are read if it is
            the encoder of the same model.

    Raises:
        AssetError: If the model is not here or cannot be loaded.
        ConfigError: If faster-whisper is not installed, or the model does not know the language.
    """

    rate_hertz = _RATE

    def __init__(
        self,
        recogniser: str = "auto",
        language: str = "en",
        *,
        language_is: Literal["given", "expected"] = "given",
        encoder: object = None,
    ) -> None:
        require("faster_whisper", extra="extract")
        from mien.extraction.extractors.whisper import Whisper

        self.name = default_recogniser(language) if recogniser == "auto" else recogniser
        folder = _find(self.name)
        try:
            self._model = Whisper(folder, "int8")
        except (RuntimeError, ValueError, OSError) as error:
            raise AssetError(
                f"speech recogniser {folder} cannot be loaded ({str(error).splitlines()[0]}); "
                "expected a Whisper model for faster-whisper"
            ) from error
        if language not in self._model.supported_languages:
            raise ConfigError(
                f"speech recogniser {self.name!r} does not know language {language!r}; it knows: "
                f"{', '.join(sorted(self._model.supported_languages))}"
            )
        self._language = language
        self._detects = language_is == "expected" and len(self._model.supported_languages) > 1
        self._encoder: EncodesSound | None = None
        if isinstance(encoder, EncodesSound) and encoder.asset == self.name:
            self._encoder = encoder

    def begin(self, source: Source | None = None) -> "SpeechStream":  # noqa: ARG002
        """Begin a clip."""
        return SpeechStream(self.recognise)

    def recognise(self, samples: Samples) -> Transcript:
        """Return what is said in a piece of sound of a few minutes at most."""
        from faster_whisper.transcribe import restore_speech_timestamps
        from faster_whisper.vad import collect_chunks, get_speech_timestamps

        from mien.extraction.extractors.whisper import WINDOW

        stretches = get_speech_timestamps(samples) if samples.size >= _LEAST else []
        if not stretches:
            return Transcript("", ())
        encoded = None
        if self._encoder is not None and samples.size <= WINDOW and _is_dense(stretches, samples):
            sound, stretches = samples, []
            encoded = self._encoder.encode(sound)
        else:
            sound = np.concatenate(collect_chunks(samples, stretches)[0])
            encoded = self._model.encode_sound(sound[:WINDOW]) if self._detects else None
        language = self._detect(encoded) if self._detects else ""
        segments = self._transcribe(sound, language or self._language, encoded)
        if stretches:
            segments = list(restore_speech_timestamps(segments, stretches, _RATE))
        timed = [word for segment in segments for word in segment.words or ()]
        written = [word for word in timed if word.word.strip()]
        return Transcript(
            text="".join(word.word for word in timed).strip(),
            words=tuple(Word(word.word.strip(), word.start, word.end) for word in written),
            probabilities=tuple(float(word.probability) for word in written),
            language=language,
        )

    def _detect(self, encoded: Any) -> str:  # noqa: ANN401  # ctranslate2 has no types
        """Return which language is spoken; empty if that is not clear."""
        language, probability = self._model.detect(encoded)
        return language if probability >= _CERTAIN else ""

    def _transcribe(self, sound: Samples, language: str, encoded: Any) -> list[Any]:  # noqa: ANN401
        """Return segments, without those that go in circles also when they must not."""
        options: dict[str, object] = {
            "language": language,
            "temperature": 0.0,
            "condition_on_previous_text": False,
            "word_timestamps": True,
        }
        segments = self._model.transcribe_sound(sound, encoded, **options)
        if any(_is_circling(segment.compression_ratio) for segment in segments):
            options["no_repeat_ngram_size"] = _UNREPEATED
            segments = self._model.transcribe_sound(sound, encoded, **options)
        return [segment for segment in segments if not _is_circling(segment.compression_ratio)]


def _is_dense(stretches: Sequence[Mapping[str, int]], samples: Samples) -> bool:
    """Whether somebody speaks without a pause that would be left out, and with little around it."""
    quiet = samples.size - (stretches[0]["end"] - stretches[0]["start"])
    return len(stretches) == 1 and quiet <= _MOST_QUIET


class SpeechStream:
    """A clip's sound on its way to words.

    Args:
        recognise: Returns what is said in a piece of sound.
    """

    def __init__(self, recognise: Callable[[Samples], Transcript]) -> None:
        self._transcribe = recognise
        self._waiting: list[Samples] = []
        self._num_waiting = 0
        self._first = 0  # number of the first sample that waits
        self._texts: list[str] = []
        self._words: list[Word] = []
        self._probabilities: list[float] = []
        self._languages: Counter[str] = Counter()

    def feed(self, samples: Samples) -> None:
        """Take the next samples: mono, -1 to 1, 16 kHz."""
        self._waiting.append(samples.copy())
        self._num_waiting += samples.size
        while self._num_waiting > _PIECE:
            waiting = np.concatenate(self._waiting)
            cut = _CUT_FROM + _find_quiet(waiting[_CUT_FROM:_PIECE])
            self._recognise(waiting[:cut])
            self._waiting, self._num_waiting = [waiting[cut:].copy()], waiting.size - cut

    def finish(self) -> Transcript:
        """Return what was said; however the sound was cut, it is the same.

        Its language is that of most of the words.
        """
        if self._waiting:
            self._recognise(np.concatenate(self._waiting))
            self._waiting, self._num_waiting = [], 0
        (language, _), *_ = self._languages.most_common(1) or [("", 0)]
        return Transcript(
            text=" ".join(text for text in self._texts if text),
            words=tuple(self._words),
            probabilities=tuple(self._probabilities),
            language=language,
        )

    def _recognise(self, samples: Samples) -> None:
        transcript = self._transcribe(samples)
        self._texts.append(transcript.text)
        self._words.extend(self._shift(transcript.words, samples.size))
        self._probabilities.extend(transcript.probabilities)
        self._languages[transcript.language] += len(transcript.words)
        self._first += samples.size

    def _shift(self, words: tuple[Word, ...], size: int) -> Iterator[Word]:
        """Put the words of a piece where they are in the clip, in order and inside the piece."""
        offset, last = self._first / _RATE, (self._first + size) / _RATE
        earliest = offset
        for text, start, end in words:
            begin = min(max(offset + float(start), earliest), last)
            earliest = min(max(offset + float(end), begin), last)
            yield Word(text, begin, earliest)


def _is_circling(compression_ratio: float) -> bool:
    """Whether Whisper went on repeating itself: then its text compresses far too well."""
    return compression_ratio > _CIRCLING


def _find_quiet(samples: Samples) -> int:
    """Return the middle of the quietest fifth of a second."""
    energy = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    return int(np.argmin(energy[_QUIET:] - energy[:-_QUIET])) + _QUIET // 2


def _find(name: str) -> Path:
    assets = known_assets()
    if name in assets:
        if assets[name].need != "speech to text":
            raise AssetError(f"asset {name!r} is for {assets[name].need}, not speech to text")
        return find_asset(name)
    folder = Path(name).expanduser()
    if not (folder / "model.bin").is_file():
        known = [asset.name for asset in assets.values() if asset.need == "speech to text"]
        raise AssetError(
            f"speech recogniser {name!r} is neither an asset nor a folder with a model.bin; "
            f"assets are: {', '.join(known)}"
        )
    return folder
