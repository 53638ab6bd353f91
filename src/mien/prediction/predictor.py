"""A trained model: recordings, texts, features and stores in; answers with intervals out."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from mien.data.store import Store, open_store
from mien.errors import (
    CheckpointError,
    ConfigError,
    ExtractionError,
    FeatureError,
    MediaError,
    MienError,
)
from mien.evaluation.predictions import Predictions
from mien.evaluation.scoring import predict as predict_split
from mien.prediction.answer import Answer
from mien.prediction.explain import UtteranceInput, explain
from mien.prediction.first_pass import FirstPass
from mien.prediction.network import ClipSeries, Network, load_network
from mien.prediction.recording import PredictionListener, RecordingReader
from mien.prediction.result import Prediction
from mien.prediction.spoken.language import name_language
from mien.prediction.spoken.text_input import TextRead, count_notes, read_text, widen
from mien.prediction.spoken.text_parts import cut_text
from mien.prediction.spoken.transcripts import read_transcript
from mien.training.checkpoints.checkpoint import read_header
from mien.training.checkpoints.header import check_header
from mien.training.loading import dataset_of, find_checkpoint, load_model
from mien.training.settings import ExperimentConfig, read_stored_config
from mien.types import Modality, Split

__all__ = ["DEFAULT_MODEL", "TrainedModel", "load"]

#: The model that comes with the package; docs/model-card.md describes it.
DEFAULT_MODEL = Path(__file__).parents[1] / "weights" / "default.safetensors"
#: Utterances that go through the network together.
_BATCH = 8


def load(path: str | Path | None = None) -> "TrainedModel":
    """Open a trained model.

    Args:
        path: A run folder (its first seed), a seed's folder, or a checkpoint; None for the model
            that comes with the package.

    Raises:
        CheckpointError: If there is none, it is damaged, or its training diverged.
    """
    checkpoint = DEFAULT_MODEL if path is None else find_checkpoint(Path(path))
    header = read_header(checkpoint)
    check_header(header, checkpoint).read_config(checkpoint)
    return TrainedModel(checkpoint=checkpoint, header=header)


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A checkpoint, ready to predict recordings, texts, features and stores.

    What it needs is loaded when it is first needed, and kept.

    Attributes:
        checkpoint: Its file.
        header: Its header: settings, corpus, scale, encoders, the videos it has seen.
    """

    checkpoint: Path
    header: Mapping[str, Any]

    @property
    def config(self) -> ExperimentConfig:
        """The settings with which it was trained."""
        return read_stored_config(self.header["config"])

    @cached_property
    def network(self) -> Network:
        """The network with its weights."""
        return load_network(self.checkpoint)

    @cached_property
    def recording_reader(self) -> RecordingReader:
        """What makes the input of the network from a recording, with its extractors."""
        return RecordingReader(self.network)

    def make_ready(self, *, transcript: str | Path = "auto") -> None:
        """Load all that a recording will need, so that what is missing shows at once.

        Raises:
            AssetError: If a pretrained model is missing; ``missing`` names it.
            ConfigError: If a package is missing.
            CheckpointError: If the model does not fit what is installed.
        """
        if self.recording_reader.must_recognise(read_transcript(transcript)):
            _ = self.recording_reader.recogniser

    def predict(
        self,
        recording: str | Path,
        *,
        transcript: str | Path = "auto",
        jobs: int = 1,
        listener: PredictionListener | None = None,
    ) -> Prediction:
        """Predict the sentiment of a recording, utterance by utterance.

        A recording of up to 15 seconds in which somebody speaks is one utterance; longer ones, and
        those in which more is said than the model reads at a time, are cut at sentences and pauses,
        silence into pieces of at most 3 seconds. Memory does not grow with the length.

        Args:
            recording: Any file with sound or a moving picture.
            transcript: ``auto``: speech is recognised. ``none``: the words are left out. Any other
                text: the words themselves. A ``Path``: a file of them (.txt, .srt, .vtt).
            jobs: How many utterances of a longer recording are worked on at a time, each in a
                process of its own.
            listener: Receives the progress.

        Raises:
            MediaError: If the recording cannot be read, or holds nothing that can be scored.
            ConfigError: If a package or the transcript is missing, or its times lie beyond the
                end of the recording.
            AssetError: If a pretrained model is missing.
            CheckpointError: If the model does not fit what is installed.
        """
        path = Path(recording)
        if (path / "meta.json").is_file():
            raise ConfigError(f"{path}: is a store; score its clips with score_store")
        given = read_transcript(transcript)
        reader = self.recording_reader
        first_pass = reader.scan(path, given, listener)
        utterances, warnings = reader.cut(first_pass, given)
        if listener is not None:
            listener.on_cut(len(utterances), first_pass.seconds)
        inputs = reader.extract(path, utterances, first_pass, given, jobs=jobs)
        answers, notes = self._answer_utterances(inputs, len(utterances), listener)
        warnings = (*warnings, *count_notes(notes, "utterances"))
        if not answers:
            why = "; ".join([self._explain_emptiness(first_pass), *warnings])
            raise MediaError(f"{path}: holds nothing to judge: {why}")
        return Prediction(
            source=path.name,
            seconds=first_pass.seconds,
            scale=self.network.scale,
            level=self._level,
            answers=tuple(answers),
            warnings=(*_warn(first_pass, len(utterances) - len(answers)), *warnings),
            model=self.network.facts,
        )

    def predict_many(
        self,
        recordings: Iterable[str | Path],
        *,
        transcript: str | Path = "auto",
        on_error: Callable[[Path, MienError], None] | None = None,
    ) -> Iterator[Prediction]:
        """Predict many recordings one after the other; none is read before it is wanted.

        Args:
            recordings: Their files.
            transcript: As in ``predict``.
            on_error: Called with every recording that cannot be predicted, and why; the others are
                predicted nevertheless. None: the first of them ends it.

        Raises:
            MediaError: As in ``predict``, if there is no ``on_error``.
        """
        for recording in recordings:
            try:
                prediction = self.predict(recording, transcript=transcript)
            except (MediaError, FeatureError, ExtractionError) as error:
                if on_error is None:
                    raise
                on_error(Path(recording), error)
            else:
                yield prediction

    def predict_text(self, text: str) -> Prediction:
        """Predict the sentiment of a text, without a recording.

        A text that is longer than what the model reads at a time is cut into parts, at the ends of
        sentences where it can be, and each gets an answer.

        Raises:
            ConfigError: If the text is empty, or none that the model can read: without words, or
                in letters of another language.
            CheckpointError: If the model reads no text.
        """
        text = " ".join(text.split())
        if not text:
            raise ConfigError("the text is empty; give a sentence")
        reader = self.network.text
        if Modality.TEXT not in self.network.modalities or reader is None:
            raise CheckpointError(f"{self.checkpoint}: reads no text; give it a recording")
        parts = cut_text(text, reader.fits)
        absent = dict.fromkeys(self.network.modalities, "only a text was given")
        reads = [read_text(self.network, part) for part in parts]
        inputs = [
            ({Modality.TEXT: read.values}, _describe_text(part, read, absent))
            for part, read in zip(parts, reads, strict=True)
            if not read.unreadable
        ]
        if not inputs:
            raise self._decline(reads[0])
        warnings = count_notes([read.notes for read in reads], "parts")
        if len(parts) > 1:
            cut = f"the text was cut into {len(parts)} parts, since the model reads at most "
            warnings = (f"{cut}{reader.max_tokens} tokens at a time", *warnings)
        return self._predict_inputs("text", inputs, warnings)

    def predict_features(
        self,
        *,
        transcript: str = "",
        audio: Num[np.ndarray, "_ _"] | None = None,
        video: Num[np.ndarray, "_ _"] | None = None,
        text: Num[np.ndarray, "_ _"] | None = None,
        times: Mapping[Modality, Float[np.ndarray, " _"]] | None = None,
    ) -> Prediction:
        """Predict from features made elsewhere, by the same extractors as those of the training.

        Args:
            transcript: What is said; empty if there is no text. It is not cut into parts: words
                beyond what the model reads at a time get no weight, and a warning counts them.
            audio: Features of the sound, ``(T, D)``; None if there is none.
            video: Features of the picture.
            text: States of the text, for a model that was trained on such instead of transcripts.
            times: Centre of each step in seconds, by modality, if weights over time are wanted.

        Raises:
            ConfigError: If a series has another size than the model wants, or nothing is given
                that it can read.
        """
        pairs = ((Modality.TEXT, text), (Modality.AUDIO, audio), (Modality.VIDEO, video))
        given = {m: np.asarray(values) for m, values in pairs if values is not None}
        unknown = [m for m in given if m not in self.network.modalities]
        if unknown:
            raise ConfigError(f"{unknown[0]}: {self.checkpoint} was trained without this modality")
        absent = dict.fromkeys(self.network.modalities, "not given")
        read = read_text(self.network, transcript if self.network.text is not None else "")
        if self.network.text is not None:
            given[Modality.TEXT] = read.values
        if not any(len(values) for values in given.values()):
            if read.unreadable:
                raise self._decline(read)
            raise ConfigError("nothing was given to judge; give a text, or features with steps")
        utterance = _describe_text(transcript, read, absent, times or {})
        return self._predict_inputs("features", [(given, utterance)], read.notes)

    def score_store(self, store: Store | str | Path, split: Split = "test") -> Predictions:
        """Score every clip of a split of any store that has the series it was trained on.

        Raises:
            CheckpointError: If the store has no clip in the split, or does not fit the model.
        """
        store = store if isinstance(store, Store) else open_store(store)
        model, prepared = load_model(self.checkpoint, store, with_unlabelled=True)
        return predict_split(model, dataset_of(prepared, split))

    @property
    def _level(self) -> float | None:
        calibration = self.network.calibration
        return None if calibration is None else calibration.level

    def _answer_utterances(
        self,
        inputs: Iterator[tuple[ClipSeries, UtteranceInput]],
        num_utterances: int,
        listener: PredictionListener | None,
    ) -> tuple[list[Answer], list[tuple[str, ...]]]:
        """Return the answers about utterances that hold something, and the notes on all."""
        answers: list[Answer] = []
        notes: list[tuple[str, ...]] = []
        waiting: list[tuple[ClipSeries, UtteranceInput]] = []
        for number, (series, utterance) in enumerate(inputs, start=1):
            notes.append(utterance.notes)
            if any(len(values) for values in series.values()):
                waiting.append((series, utterance))
            if len(waiting) == _BATCH or number == num_utterances:
                answers += self._answer_batch(waiting)
                waiting = []
            if listener is not None:
                listener.on_answer(number, utterance.end or 0.0)
        return answers, notes

    def _answer_batch(self, batch: Sequence[tuple[ClipSeries, UtteranceInput]]) -> list[Answer]:
        if not batch:
            return []
        scored = self.network.score_clips([series for series, _ in batch])
        answers = []
        for scores, (series, utterance) in zip(scored, batch, strict=True):
            answer = explain(self.network, scores, utterance, series)
            answers.append(widen(answer, self.network.scale) if utterance.is_doubtful else answer)
        return answers

    def _predict_inputs(
        self,
        source: str,
        inputs: Sequence[tuple[ClipSeries, UtteranceInput]],
        warnings: Sequence[str],
    ) -> Prediction:
        """Predict what comes from no recording."""
        batches = [inputs[start : start + _BATCH] for start in range(0, len(inputs), _BATCH)]
        return Prediction(
            source=source,
            scale=self.network.scale,
            level=self._level,
            answers=tuple(answer for batch in batches for answer in self._answer_batch(batch)),
            warnings=tuple(warnings),
            model=self.network.facts,
        )

    def _decline(self, read: TextRead) -> ConfigError:
        language = name_language(self.network.language)
        return ConfigError(f"{read.unreadable}; give a text in {language}")

    def _explain_emptiness(self, first_pass: FirstPass) -> str:
        reasons = ["nobody speaks" if first_pass.has_audio else "there is no sound track"]
        if Modality.VIDEO in self.network.modalities:
            reasons.append("no face is seen" if first_pass.has_video else "there is no picture")
        return " and ".join(reasons)


def _describe_text(
    text: str,
    read: TextRead,
    absent: Mapping[Modality, str],
    times: Mapping[Modality, Float[np.ndarray, " _"]] = MappingProxyType({}),
) -> UtteranceInput:
    """Return what a network needs to know of a text that comes from no recording."""
    unread = {Modality.TEXT: read.unreadable} if read.unreadable else {}
    return UtteranceInput(
        transcript=text,
        tokens=read.tokens,
        times=times,
        absent={**absent, **unread},
        is_doubtful=read.is_doubtful,
    )


def _warn(first_pass: FirstPass, num_empty: int) -> tuple[str, ...]:
    warnings = []
    if first_pass.is_truncated:
        warnings.append("parts of the recording cannot be decoded")
    if num_empty:
        warnings.append(f"{num_empty} stretches hold nothing that can be judged")
    return tuple(warnings)
