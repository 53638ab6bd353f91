"""A trained model: recordings, texts, features and stores in; answers with intervals out."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from jaxtyping import Float, Num

from mien.data.store import Store, open_store
from mien.errors import ConfigError, MediaError, MienError
from mien.evaluation.predictions import Predictions
from mien.files.reading import open_regular, require_whole
from mien.prediction.answering.answer_batches import answer_utterances
from mien.prediction.answering.companion import Companion, find_companion
from mien.prediction.answering.described_answers import describe_answers
from mien.prediction.answering.person_baseline import BaselineChoice, PersonFinder, read_choice
from mien.prediction.first_pass import explain_emptiness, warn_of_loss
from mien.prediction.network import Network, load_network
from mien.prediction.recording import PredictionListener, RecordingReader, report
from mien.prediction.result import FailedPrediction, Prediction, PredictionList, attempt
from mien.prediction.spoken.language import require_language
from mien.prediction.spoken.text_input import count_notes, read_text
from mien.prediction.spoken.text_utterances import Unscored, decline, describe_text, read_whole_text
from mien.prediction.spoken.transcripts import Given, read_transcript
from mien.processes import num_processors
from mien.tensors import find_device
from mien.training.checkpoints.checkpoint import read_header
from mien.training.checkpoints.header import check_header
from mien.training.checkpoints.shipped_models import DEFAULT_MODEL, find_card
from mien.training.loading import find_checkpoint
from mien.training.model_evaluation.scored_store import score_clips
from mien.training.run_folder import RunFolder, SeedFolder
from mien.training.settings import ExperimentConfig, read_stored_config
from mien.types import Modality, Split

__all__ = ["DEFAULT_MODEL", "TrainedModel", "load"]


def load(
    path: RunFolder | SeedFolder | str | Path | None = None,
    *,
    device: str = "cpu",
    recogniser: str = "auto",
    language: str | None = None,
    baseline: str | Path | None = None,
    companion: str | Path = "auto",
    int8: bool = False,
) -> "TrainedModel":
    """Open a trained model.

    Args:
        path: A run or its folder (its first seed), a seed's folder, a checkpoint, or ``small``
            or ``emotions``, which come with the package; None for ``default``, the better one.
        device: Where the network and its text encoder compute: ``cpu``, ``cuda``, ``cuda:1``,
            ``mps``, or ``auto``. Features of recordings are made on the CPU in any case.
        recogniser: What recognises speech: ``auto`` for that of the training, else the usual one of
            the language; a name that ``mien assets`` lists; a folder with a Whisper model.
        language: ISO 639-1 code of what is said; by default it is detected where that can be done.
        baseline: Of a model with ``features.standardise=speaker``, against whom voice and face are
            read: ``recording``, its own utterances; ``none``; another file; None: the model's way.
        companion: A second model, a run or a checkpoint that reads the same features, whose
            targets are answered too; ``auto``: ``emotions``, beside ``default`` and ``small``.
        int8: Whether the trained layers of the text encoder multiply in 8 bits, on the CPU.

    Raises:
        ConfigError: If there is no such device, language, baseline or companion for it.
        CheckpointError: If there is none, it is damaged, or its training diverged.
    """
    find_device(device, "device")
    checkpoint = DEFAULT_MODEL if path is None else find_checkpoint(path)
    header = read_header(checkpoint)
    facts = check_header(header, checkpoint)
    config = facts.read_config(checkpoint)
    require_language(language, facts.words_language, "" if path is None else f"{path}: ")
    return TrainedModel(
        checkpoint=checkpoint,
        header=header,
        device=device,
        recogniser=recogniser,
        language=language,
        baseline=read_choice(config, checkpoint, baseline),
        companion=find_companion(companion, checkpoint, facts, device),
        int8=int8,
    )


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A checkpoint, ready to predict recordings, texts, features and stores.

    What it needs is loaded when it is first needed, and kept.

    Attributes:
        checkpoint: Its file.
        header: Its header: settings, corpus, scale, encoders, the videos it has seen.
        device: Where it computes.
        recogniser: What recognises speech, as in ``load``; so are the others.
        language: What is said.
        baseline: Against whom voice and face are read.
        companion: What answers further targets.
    """

    checkpoint: Path
    header: Mapping[str, Any]
    device: str = "cpu"
    recogniser: str = "auto"
    language: str | None = None
    baseline: BaselineChoice | Path | None = None
    companion: Companion | None = None
    int8: bool = False

    def __repr__(self) -> str:
        """Return its file, and on what it was trained."""
        corpus = self.header.get("corpus", "an unknown corpus")
        return f"TrainedModel({str(self.checkpoint)!r}: trained on {corpus}, on {self.device})"

    @property
    def config(self) -> ExperimentConfig:
        """The settings with which it was trained."""
        return read_stored_config(self.header["config"])

    @property
    def card(self) -> Path | None:
        """Its model card, which lies beside the weights with their licence; None if it has none."""
        return find_card(self.checkpoint)

    @cached_property
    def network(self) -> Network:
        """The network with its weights."""
        return load_network(self.checkpoint, self.device, int8=self.int8)

    @cached_property
    def recording_reader(self) -> RecordingReader:
        """What makes the input of the network from a recording, with its extractors."""
        return RecordingReader(self.network, self.recogniser, self.language)

    def make_ready(self, *, transcript: str | Path = "auto") -> None:
        """Load all that a recording will need, so that what is missing shows at once.

        Raises:
            AssetError: If a pretrained model is missing; ``missing`` names it.
            ConfigError: If a package is missing.
            CheckpointError: If the model does not fit what is installed.
            MediaError: If the recording of the baseline cannot be read, or holds nobody.
        """
        if self.recording_reader.must_recognise(read_transcript(transcript)):
            _ = self.recording_reader.recogniser
        if self.companion is not None:
            _ = self.companion.network
        if self._people is not None:
            self._people.make_ready()

    @overload
    def predict(  # type: ignore[overload-overlap]  # a text is one path, not one of each letter
        self,
        recording: str | Path,
        *,
        transcript: str | Path = "auto",
        jobs: int | None = 1,
        listener: PredictionListener | None = None,
    ) -> Prediction: ...
    @overload
    def predict(
        self,
        recording: Iterable[str | Path],
        *,
        transcript: str | Path = "auto",
        jobs: int | None = 1,
        listener: PredictionListener | None = None,
    ) -> PredictionList: ...
    def predict(
        self,
        recording: str | Path | Iterable[str | Path],
        *,
        transcript: str | Path = "auto",
        jobs: int | None = 1,
        listener: PredictionListener | None = None,
    ) -> Prediction | PredictionList:
        """Predict the sentiment of a recording, utterance by utterance.

        A recording of up to 15 seconds in which somebody speaks is one utterance; longer ones, and
        those in which more is said than the model reads at a time, are cut at sentences and pauses,
        silence into pieces of at most 3 seconds. Memory grows with the length by features alone.

        Args:
            recording: Any file with sound or a moving picture; or several, for a list of
                predictions. One that cannot be predicted ends all: ``predict_many`` goes on.
            transcript: ``auto``: speech is recognised. ``none``: the words are left out. Any other
                text: the words themselves. A ``Path``: a file of them (.txt, .srt, .vtt).
            jobs: How many utterances of a longer recording are worked on at a time, each in a
                process of its own; None for one per processor.
            listener: Receives the progress.

        Raises:
            MediaError: If the recording cannot be read, or holds nothing that can be scored.
            ConfigError: If a package or the transcript is missing, or its times lie beyond the
                end of the recording.
            AssetError: If a pretrained model is missing.
            CheckpointError: If the model does not fit what is installed.
        """
        given = read_transcript(transcript)
        if isinstance(recording, str | Path):
            return self._predict_recording(Path(recording), given, jobs, listener)
        paths = [Path(path) for path in recording]
        for path in paths:
            open_regular(path, MediaError).close()  # before hours of work
        return PredictionList(
            self._predict_recording(path, given, jobs, listener) for path in paths
        )

    @overload
    def predict_many(
        self,
        recordings: Iterable[str | Path],
        *,
        transcript: str | Path = "auto",
        jobs: int | None = 1,
        on_error: Literal["keep"] = "keep",
    ) -> Iterator[Prediction | FailedPrediction]: ...
    @overload
    def predict_many(
        self,
        recordings: Iterable[str | Path],
        *,
        transcript: str | Path = "auto",
        jobs: int | None = 1,
        on_error: Literal["raise"] | Callable[[Path, MienError], None] | None,
    ) -> Iterator[Prediction]: ...
    def predict_many(
        self,
        recordings: Iterable[str | Path],
        *,
        transcript: str | Path = "auto",
        jobs: int | None = 1,
        on_error: Literal["keep", "raise"] | Callable[[Path, MienError], None] | None = "keep",
    ) -> Iterator[Prediction | FailedPrediction]:
        """Predict many recordings one after the other; each is read when its turn comes.

        Args:
            recordings: Their files.
            transcript: As in ``predict``.
            jobs: As in ``predict``.
            on_error: What becomes of a recording that cannot be predicted. ``keep``: a
                ``FailedPrediction`` with its path and the error takes its place, and the others go
                on. ``raise``, or None: the error is raised, and ends it. A function: it is called
                with path and error, and the others go on.

        Raises:
            MediaError: As in ``predict``, if ``on_error`` is ``raise``.
            ConfigError: As in ``predict``: what is missing for all of them ends it in any case, as
                other errors do that are not those of a recording.
        """
        for recording in recordings:
            outcome = attempt(
                Path(recording),
                lambda path: self.predict(path, transcript=transcript, jobs=jobs),
            )
            if isinstance(outcome, Prediction) or on_error == "keep":
                yield outcome
            elif callable(on_error):
                on_error(outcome.path, outcome.error)
            else:
                raise outcome.error

    @overload
    def predict_text(  # type: ignore[overload-overlap]  # a text is one, not one of each letter
        self, text: str
    ) -> Prediction: ...
    @overload
    def predict_text(self, text: Iterable[str]) -> PredictionList: ...
    def predict_text(self, text: str | Iterable[str]) -> Prediction | PredictionList:
        """Predict the sentiment of a text, without a recording.

        A text that is longer than what the model reads at a time is cut into parts, at the ends of
        sentences where it can be, and each gets an answer.

        Args:
            text: The text; or several, for a list of predictions. All are read before the first is
                scored, and they are scored in batches.

        Raises:
            ConfigError: If a text is empty, or none that the model can read: without words, or
                in letters of another language.
            CheckpointError: If the model reads no text.
        """
        if isinstance(text, str):
            return self._predict_inputs([read_whole_text(self.network, text, "text")])[0]
        numbered = enumerate(text, start=1)
        return self._predict_inputs(
            [read_whole_text(self.network, given, f"text {number}") for number, given in numbered]
        )

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
        require_whole(transcript, "transcript", ConfigError)
        given = {m: np.asarray(values) for m, values in pairs if values is not None}
        if unknown := [m for m in given if m not in self.network.modalities]:
            raise ConfigError(f"{unknown[0]}: {self.checkpoint} was trained without this modality")
        absent = dict.fromkeys(self.network.modalities, "not given")
        read = read_text(self.network, transcript if self.network.text is not None else "")
        if self.network.text is not None:
            given[Modality.TEXT] = read.values
        if not any(len(values) for values in given.values()):
            if read.unreadable:
                raise decline(self.network, read)
            raise ConfigError("nothing was given to judge; give a text, or features with steps")
        self.network.complete(given)  # refuses what has another size
        utterance = describe_text(transcript, read, absent, times or {})
        return self._predict_inputs([Unscored("features", [(given, utterance)], read.notes)])[0]

    def score_store(
        self, store: Store | str | Path, split: Split = "test", *, without: Collection[str] = ()
    ) -> Predictions:
        """Score every clip of a split of a store, without words, voice or face if it has none.

        With the baseline ``recording`` each is read against the other clips of its speaker.

        Raises:
            CheckpointError: If the store has no clip in the split, or does not fit the model.
            ConfigError: If the model's baseline or ``without`` does not fit.
        """
        use = PersonFinder.choose_for_store(self.baseline)
        clips = (self.checkpoint, open_store(store), split)
        return score_clips(*clips, device=self.device, baseline=use, without=without)

    def _predict_recording(
        self, path: Path, given: Given, jobs: int | None, listener: PredictionListener | None
    ) -> Prediction:
        if (path / "meta.json").is_file():
            raise ConfigError(f"{path}: is a store; score its clips with score_store")
        reader = self.recording_reader
        first_pass = reader.scan(path, given, listener)
        utterances, warnings = reader.cut(first_pass, given)
        if listener is not None:
            listener.on_cut(len(utterances), first_pass.seconds)
        num_jobs = num_processors() if jobs is None else jobs
        made = reader.extract(path, utterances, first_pass, given, jobs=num_jobs)
        inputs, num = report(made, listener), len(utterances)
        network, person, beside = self.network, None, self.companion
        if self._people is not None:
            person, inputs = self._people.find(inputs, num, path)
            network = person.calibrate(network)
        answers, notes = answer_utterances(network, inputs, num, beside, person)
        warnings = (*warnings, *count_notes(notes, "utterances"))
        if not answers:
            why = "; ".join([explain_emptiness(first_pass, self.network.modalities), *warnings])
            raise MediaError(f"{path}: holds nothing to judge: {why}")
        known = () if person is None else (f"{person.facts}{person.reason}",)
        warnings = (*warn_of_loss(first_pass, num - len(answers)), *known, *warnings)
        complete = partial(describe_answers, network, beside, person, answers, warnings)
        speech = reader.describe_speech(first_pass, given)
        return complete(source=path.name, seconds=first_pass.seconds, speech=speech)

    @cached_property
    def _people(self) -> PersonFinder | None:
        """What finds the person of a recording; None if the model knows no baselines."""
        if self.network.config.features.standardise == "train":
            return None
        usual = check_header(self.header, self.checkpoint).usual_baseline
        return PersonFinder(self.recording_reader, self.network, self.baseline or usual)

    def _predict_inputs(self, inputs: Sequence[Unscored]) -> PredictionList:
        """Predict what comes from no recording, in batches across the inputs."""
        waiting = [utterance for given in inputs for utterance in given.utterances]
        person = None if self._people is None else self._people.find_apart(waiting)
        network = self.network if person is None else person.calibrate(self.network)
        beside = self.companion
        answers = iter(answer_utterances(network, waiting, len(waiting), beside, person)[0])
        complete = partial(describe_answers, network, beside, person)
        return PredictionList(
            complete(islice(answers, len(given.utterances)), given.warnings, source=given.source)
            for given in inputs
        )
