"""A recording to what a network reads: scanned once, cut into utterances, and each extracted."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Num

from mien.errors import CheckpointError, MediaError
from mien.extraction.clip import ClipTask, ExtractionSettings, Tools, build_tools, extract_clip
from mien.extraction.extractors import Features
from mien.extraction.extractors.speech import SpeechRecogniser, Transcript
from mien.prediction.answer import SpeechFacts
from mien.prediction.explain import UtteranceInput
from mien.prediction.first_pass import FirstPass, scan
from mien.prediction.network import ClipSeries, Network
from mien.prediction.network_parts.feature_makers import check_extractors
from mien.prediction.parallel import extract_side_by_side
from mien.prediction.spoken.text_input import TextRead, read_text
from mien.prediction.spoken.transcripts import Given, place_cues, place_words, split_words
from mien.prediction.spoken.utterances import Utterance, cut
from mien.types import Modality

__all__ = ["Cuts", "PredictionListener", "RecordingReader", "report"]

Values = Num[np.ndarray, "_ _"]
Times = Float[np.ndarray, " _"]

#: From so many utterances on, and in recordings longer than this, processes that work side by side
#: are worth their start.
_MANY, _LONG = 4, 15.0
#: Confidence of the recogniser below which a user is warned: docs/howto/predict.md.
_SURE = 0.8
_UNSURE = (
    f"the words were recognised with a confidence below {100 * _SURE:.0f} %, so some are probably "
    "wrong; give the transcript if it is known"
)
#: Languages that are written without spaces.
_SPACELESS = ("zh", "ja", "th")


@runtime_checkable
class PredictionListener(Protocol):
    """Receives the progress of a prediction."""

    def on_audio(self, seconds: float) -> None:
        """Take how many seconds of the sound have been decoded."""
        ...

    def on_cut(self, num_utterances: int, seconds: float) -> None:
        """Take into how many utterances a recording of so many seconds was cut."""
        ...

    def on_answer(self, number: int, seconds: float) -> None:
        """Take how many utterances are done, and up to which second."""
        ...


def report(
    inputs: Iterable[tuple[ClipSeries, UtteranceInput]], listener: PredictionListener | None
) -> Iterator[tuple[ClipSeries, UtteranceInput]]:
    """Yield utterances, and tell of each once the next is asked for."""
    for number, (series, utterance) in enumerate(inputs, start=1):
        yield series, utterance
        if listener is not None:
            listener.on_answer(number, utterance.end or 0.0)


class Cuts(NamedTuple):
    """A recording cut into utterances.

    Attributes:
        utterances: In the order of time.
        warnings: What a user should know about the transcript.
    """

    utterances: list[Utterance]
    warnings: tuple[str, ...]


class RecordingReader:
    """Makes of every utterance just what ``mien extract`` would make of a clip.

    Extractors and the speech recogniser are loaded when they are first needed, and kept.

    Args:
        network: What will read the series.
        recogniser: An asset or a folder; ``auto`` for the recogniser of the training, or the usual
            one of the language.
        language: ISO 639-1 code of what is spoken, which is that of the network; None if it is to
            be detected.
    """

    def __init__(
        self, network: Network, recogniser: str = "auto", language: str | None = None
    ) -> None:
        self._network = network
        self._recogniser = recogniser
        self._language_is: Literal["given", "expected"] = "given" if language else "expected"

    @cached_property
    def tools(self) -> Tools:
        """Extractors with their models.

        Raises:
            AssetError: If a model is not here.
            ConfigError: If a package is not installed.
            CheckpointError: If they make other values than those of the training.
        """
        settings = self._network.extraction or ExtractionSettings(language=self._network.language)
        tools = build_tools(settings.model_copy(update={"text": "transcript"}))
        network = self._network
        check_extractors(network.checkpoint, network.feature_names, tools.extractors)
        return tools

    @cached_property
    def recogniser(self) -> SpeechRecogniser:
        """The speech recogniser."""
        settings, language = self._network.extraction, self._network.language
        name = self._recogniser
        if name == "auto" and settings is not None:
            name = settings.recogniser or name
        audio = self.tools.extractors.get(Modality.AUDIO)
        return SpeechRecogniser(name, language, language_is=self._language_is, encoder=audio)

    @property
    def reads_text(self) -> bool:
        """Whether what is said can be made into what the network reads."""
        if Modality.TEXT not in self._network.modalities:
            return False
        return self._network.text is not None or self.tools.encoder is not None

    @property
    def computes(self) -> tuple[Modality, ...]:
        """The modalities of sound and picture whose features can be made here."""
        return tuple(m for m in self._network.modalities if m in self.tools.extractors)

    def _makes(self, modality: Modality) -> bool:
        """Return whether what the network reads of a modality can be made here."""
        return self.reads_text if modality is Modality.TEXT else modality in self.computes

    def _require_something(self) -> None:
        if any(map(self._makes, self._network.modalities)):
            return
        makers = (f"{m} of {self._network.made_by.get(m)}" for m in self._network.modalities)
        raise CheckpointError(
            f"{self._network.checkpoint}: reads {' and '.join(makers)}, which cannot be made of a "
            "recording; give it a store of such features (mien evaluate --store), or train on one "
            "that mien extract made"
        )

    def must_recognise(self, given: Given) -> bool:
        """Whether speech must be recognised, for the text or for the times of its words."""
        is_aligned = self.tools.settings.align == "words"
        if given.kind == "auto":
            return self.reads_text or is_aligned
        return is_aligned and given.kind != "cues"

    def scan(self, path: Path, given: Given, listener: PredictionListener | None) -> FirstPass:
        """Decode the sound of a recording once, and recognise speech where that is needed.

        Raises:
            CheckpointError: If nothing that the network reads can be made of a recording.
        """
        self._require_something()
        recogniser = self.recogniser if self.must_recognise(given) else None
        on_seconds = None if listener is None else listener.on_audio
        return scan(path, recogniser, on_seconds=on_seconds)

    def cut(self, first_pass: FirstPass, given: Given) -> Cuts:
        """Cut a recording into utterances.

        Raises:
            ConfigError: If all cues of the transcript lie beyond the end of the recording.
        """
        text, words, num_outside = first_pass.transcript.text, first_pass.transcript.words, 0
        if given.kind == "cues":
            words, num_outside = place_cues(given, first_pass.seconds)
            text = " ".join(word.text for word in words)
        elif given.kind == "text":
            text, words = given.text, place_words(split_words(given.text), words, first_pass.speech)
        language = first_pass.transcript.language if given.kind == "auto" else ""
        reader = self._network.text if self.reads_text else None
        utterances = cut(
            first_pass.seconds,
            words,
            first_pass.speech,
            transcript=text,
            with_silence=Modality.VIDEO in self.computes and first_pass.has_video,
            separator="" if (language or self._network.language) in _SPACELESS else " ",
            fits=None if reader is None else reader.fits,
            are_given=given.kind in ("text", "cues"),
        )
        return Cuts(utterances, _warn_of(given, first_pass, utterances, num_outside))

    def describe_speech(self, first_pass: FirstPass, given: Given) -> SpeechFacts | None:
        """Return how the words of a recording were recognised; None if they were not."""
        if given.kind != "auto" or not first_pass.transcript.words:
            return None
        name = Path(self.recogniser.name).name
        return SpeechFacts(recogniser=name, language=first_pass.transcript.language)

    def extract(
        self,
        path: Path,
        utterances: Sequence[Utterance],
        first_pass: FirstPass,
        given: Given,
        *,
        jobs: int = 1,
    ) -> Iterator[tuple[ClipSeries, UtteranceInput]]:
        """Give the series of each utterance in turn; all are empty if nothing is in it.

        Args:
            path: The recording.
            utterances: Its utterances.
            first_pass: What ``scan`` returned.
            given: Where the words come from.
            jobs: How many utterances are worked on at a time, each in a process of its own.

        Raises:
            MediaError: If the only utterance cannot be read.
        """
        recognised = first_pass.transcript if given.kind == "auto" else Transcript("", ())
        probabilities = dict(zip(recognised.words, recognised.probabilities, strict=True))
        texts = [utterance.transcript if self.reads_text else "" for utterance in utterances]
        extracted = self._extract_features(path, utterances, jobs)
        around = self._network.surround(texts)
        for text, context, (utterance, features) in zip(texts, around, extracted, strict=True):
            read = read_text(self._network, text, context, spoken=recognised.language)
            confidence = _mean(probabilities[word] for word in utterance.words if probabilities)
            is_unsure = confidence is not None and confidence < _SURE
            series, times = self._select(features, utterance, read)
            absent = self._explain_absence(utterance, first_pass, given)
            if read.unreadable:
                absent[Modality.TEXT] = read.unreadable
            yield (
                series,
                UtteranceInput(
                    start=utterance.start,
                    end=first_pass.seconds if utterance.end is None else utterance.end,
                    transcript=utterance.transcript,
                    words=utterance.words,
                    tokens=read.tokens,
                    times=times,
                    absent=absent,
                    context=context,
                    is_doubtful=read.is_doubtful,
                    notes=(*read.notes, *([_UNSURE] if is_unsure else [])),
                    confidence=confidence,
                ),
            )

    def _extract_features(
        self, path: Path, utterances: Sequence[Utterance], jobs: int
    ) -> Iterator[tuple[Utterance, Mapping[str, Features]]]:
        """Give the features of every utterance; none of a stretch that cannot be decoded."""
        if jobs > 1 and len(utterances) >= _MANY and (utterances[-1].end or 0.0) > _LONG:
            names = [str(m) for m in self.tools.extractors]
            names += ["text"] if self.tools.encoder is not None else []
            tasks = [_task(path, utterance) for utterance in utterances]
            extracted = extract_side_by_side(tasks, self.tools.settings, names, jobs)
            with contextlib.closing(extracted):
                yield from zip(utterances, extracted, strict=True)
            return
        for utterance in utterances:
            try:
                _, features = extract_clip(_task(path, utterance), self.tools)
            except MediaError:
                if len(utterances) == 1:
                    raise
                features = {}
            yield utterance, features

    def _select(
        self, features: Mapping[str, Features], utterance: Utterance, read: TextRead
    ) -> tuple[dict[Modality, Values], dict[Modality, Times]]:
        """Return the series that the network knows."""
        selected = {m: features[str(m)] for m in self._network.modalities if str(m) in features}
        series: dict[Modality, Values] = {m: feature.values for m, feature in selected.items()}
        is_reader = Modality.TEXT in self._network.modalities and self._network.text is not None
        if is_reader or read.unreadable:
            series[Modality.TEXT] = read.values
        times: dict[Modality, Times] = {
            m: feature.times + utterance.start
            for m, feature in selected.items()
            if m is not Modality.TEXT
        }
        return series, times

    def _explain_absence(
        self, utterance: Utterance, first_pass: FirstPass, given: Given
    ) -> dict[Modality, str]:
        """Return why each modality would be missing."""
        no_voice = "nobody speaks" if first_pass.has_audio else "no sound track"
        is_left_out = given.kind == "none"
        no_text = "no words were recognised" if utterance.is_spoken else no_voice
        reasons = {
            Modality.TEXT: "left out" if is_left_out else no_text,
            Modality.AUDIO: "too little sound"
            if utterance.is_spoken and first_pass.has_audio
            else no_voice,
            Modality.VIDEO: "no face is seen" if first_pass.has_video else "no picture",
        }
        for modality in self._network.modalities:
            if not self._makes(modality):
                maker = self._network.made_by.get(modality) or "its features"
                reasons[modality] = f"{maker} cannot be made of a recording"
        return reasons


def _mean(values: Iterable[float]) -> float | None:
    given = list(values)
    return sum(given) / len(given) if given else None


def _warn_of(
    given: Given, first_pass: FirstPass, utterances: Sequence[Utterance], num_outside: int
) -> tuple[str, ...]:
    """Return what does not fit between a given transcript and its recording."""
    warnings = []
    num_cues = len(given.cues)
    if num_outside:
        warnings.append(
            f"{num_outside} of {num_cues} cues begin after the end of the recording and were left "
            "out"
        )
    if given.num_early:
        warnings.append(
            f"{given.num_early} of {num_cues} cues begin before the one above them ends; they were "
            "put in the order of time, without overlap"
        )
    with_words = [utterance for utterance in utterances if utterance.transcript]
    silent = [utterance for utterance in with_words if not utterance.is_spoken]
    if given.kind == "text" and not with_words:
        warnings.append(
            "a transcript is given, but nobody speaks in the recording, so its words have no times "
            "and were left out"
        )
    elif given.kind in ("text", "cues") and first_pass.has_audio and silent:
        share = (
            ""
            if len(silent) == len(with_words)
            else f" in {len(silent)} of {len(with_words)} utterances"
        )
        warnings.append(f"a transcript is given, but nobody speaks{share or ' in the recording'}")
    return tuple(warnings)


def _task(path: Path, utterance: Utterance) -> ClipTask:
    words = tuple(
        (text, max(0.0, start - utterance.start), max(0.0, end - utterance.start))
        for text, start, end in utterance.words
    )
    return ClipTask(
        path=path,
        start=utterance.start,
        end=utterance.end,
        transcript=utterance.transcript,
        words=words,
        out=Path(),
        without=()
        if utterance.is_spoken
        else (Modality.AUDIO,),  # sound where nobody speaks is no voice
    )
