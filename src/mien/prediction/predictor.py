"""A trained model: recordings, texts, features and stores in; answers with intervals out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from mien.checkpoint import read_header
from mien.config import read_settings
from mien.errors import CheckpointError, ConfigError, MediaError
from mien.evaluation import predict as predict_split
from mien.experiment import ExperimentConfig
from mien.prediction.answer import Answer
from mien.prediction.answering import Shown, answer
from mien.prediction.listening import Heard
from mien.prediction.network import ClipSeries, Network, load_network
from mien.prediction.result import Prediction
from mien.prediction.transcripts import read_transcript
from mien.prediction.watching import Listener, Watcher
from mien.predictions import Predictions
from mien.store import Store, open_store
from mien.trained import dataset_of, find_checkpoint, load_model
from mien.types import Modality, Split

__all__ = ["DEFAULT_MODEL", "TrainedModel", "load"]

#: The model that comes with the package; docs/model-card.md says what it is.
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
    return TrainedModel(checkpoint=checkpoint, header=read_header(checkpoint))


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A checkpoint, ready to judge recordings, texts, features and stores.

    What it needs is loaded when it is first needed, and kept.

    Attributes:
        checkpoint: Its file.
        header: What it says of itself: settings, corpus, scale, encoders, the videos it has seen.
    """

    checkpoint: Path
    header: Mapping[str, Any]

    @property
    def config(self) -> ExperimentConfig:
        """The settings with which it was trained."""
        return read_settings(ExperimentConfig, self.header["config"])

    @cached_property
    def network(self) -> Network:
        """The network with its weights."""
        return load_network(self.checkpoint)

    @cached_property
    def _watcher(self) -> Watcher:
        return Watcher(self.network)

    def make_ready(self, *, transcript: str | Path = "auto") -> None:
        """Load all that judging a recording will need, so that what is missing shows at once.

        Raises:
            AssetError: If a pretrained model is missing; ``missing`` names it.
            ConfigError: If a package is missing.
            CheckpointError: If the model does not fit what is installed.
        """
        if self._watcher.must_recognise(read_transcript(transcript)):
            _ = self._watcher.recogniser

    def predict(
        self,
        recording: str | Path,
        *,
        transcript: str | Path = "auto",
        jobs: int = 1,
        listener: Listener | None = None,
    ) -> Prediction:
        """Judge a recording, utterance by utterance.

        A recording of up to 15 seconds in which somebody speaks is one utterance; longer ones are
        cut at sentences and pauses, silence into pieces of at most 3 seconds. Memory does not
        grow with the length.

        Args:
            recording: Any file with sound or a moving picture.
            transcript: ``auto``: what is said is recognised. ``none``: it is left out. Any other
                text: the words themselves. A ``Path``: a file of them (.txt, .srt, .vtt).
            jobs: How many utterances of a longer recording are worked on at a time, each in a
                process of its own.
            listener: Is told how it goes on.

        Raises:
            MediaError: If the recording cannot be read, or holds nothing that can be judged.
            ConfigError: If a package or the transcript is missing.
            AssetError: If a pretrained model is missing.
            CheckpointError: If the model does not fit what is installed.
        """
        path = Path(recording)
        if (path / "meta.json").is_file():
            raise ConfigError(f"{path}: is a store; score its clips with score_store")
        given = read_transcript(transcript)
        heard = self._watcher.listen(path, given, listener)
        utterances = self._watcher.cut(heard, given)
        if listener is not None:
            listener.on_cut(len(utterances), heard.seconds)
        seen = self._watcher.watch(path, utterances, heard, given, jobs=jobs)
        answers = self._answer(seen, len(utterances), listener)
        if not answers:
            raise MediaError(f"{path}: holds nothing to judge: {self._say_nothing(heard)}")
        return Prediction(
            source=path.name,
            seconds=heard.seconds,
            scale=self.network.scale,
            level=self._level,
            answers=tuple(answers),
            warnings=_warn(heard, len(utterances) - len(answers)),
            model=self.network.facts,
        )

    def predict_many(
        self, recordings: Iterable[str | Path], *, transcript: str | Path = "auto"
    ) -> Iterator[Prediction]:
        """Judge many recordings one after the other; none is read before it is asked for."""
        for recording in recordings:
            yield self.predict(recording, transcript=transcript)

    def predict_text(self, text: str) -> Prediction:
        """Judge what is said, without a recording.

        Raises:
            ConfigError: If the text is empty.
            CheckpointError: If the model reads no text.
        """
        said = " ".join(text.split())
        if not said:
            raise ConfigError("the text is empty; give a sentence")
        if Modality.TEXT not in self.network.modalities or self.network.text is None:
            raise CheckpointError(f"{self.checkpoint}: reads no text; give it a recording")
        absent = dict.fromkeys(self.network.modalities, "only a text was given")
        return self._predict_one("text", {}, said, {}, absent)

    def predict_features(
        self,
        *,
        transcript: str = "",
        audio: Num[np.ndarray, "_ _"] | None = None,
        video: Num[np.ndarray, "_ _"] | None = None,
        text: Num[np.ndarray, "_ _"] | None = None,
        times: Mapping[Modality, Float[np.ndarray, " _"]] | None = None,
    ) -> Prediction:
        """Judge features made elsewhere, by the same extractors as those of the training.

        Args:
            transcript: What is said; empty if there is no text.
            audio: Features of the sound, ``(T, D)``; None if there is none.
            video: Features of the picture.
            text: States of the text, for a model that was trained on such instead of transcripts.
            times: Centre of each step in seconds, by modality, if weights over time are wanted.

        Raises:
            ConfigError: If a series has another size than the model wants, or nothing is given.
        """
        pairs = ((Modality.TEXT, text), (Modality.AUDIO, audio), (Modality.VIDEO, video))
        given = {m: np.asarray(values) for m, values in pairs if values is not None}
        unknown = [m for m in given if m not in self.network.modalities]
        if unknown:
            raise ConfigError(f"{unknown[0]}: {self.checkpoint} was trained without this modality")
        absent = dict.fromkeys(self.network.modalities, "not given")
        return self._predict_one("features", given, transcript, times or {}, absent)

    def score_store(self, store: Store | str | Path, split: Split = "test") -> Predictions:
        """Score every clip of a split of any store that has the series it was trained on.

        Raises:
            CheckpointError: If the store has no clip in the split, or does not fit the model.
        """
        store = store if isinstance(store, Store) else open_store(store)
        model, prepared = load_model(self.checkpoint, store)
        return predict_split(model, dataset_of(prepared, split))

    @property
    def _level(self) -> float | None:
        calibration = self.network.calibration
        return None if calibration is None else calibration.level

    def _answer(
        self,
        seen: Iterator[tuple[ClipSeries, Shown]],
        num_utterances: int,
        listener: Listener | None,
    ) -> list[Answer]:
        """Return the answers about all utterances in which there is something to judge."""
        answers: list[Answer] = []
        waiting: list[tuple[ClipSeries, Shown]] = []
        for number, (series, shown) in enumerate(seen, start=1):
            if any(len(values) for values in series.values()):
                waiting.append((series, shown))
            if len(waiting) == _BATCH or number == num_utterances:
                answers += self._judge(waiting)
                waiting = []
            if listener is not None:
                listener.on_answer(number, shown.end or 0.0)
        return answers

    def _judge(self, waiting: Sequence[tuple[ClipSeries, Shown]]) -> list[Answer]:
        if not waiting:
            return []
        judged = self.network.judge([series for series, _ in waiting])
        pairs = zip(judged, waiting, strict=True)
        return [answer(self.network, one, shown, series) for one, (series, shown) in pairs]

    def _predict_one(
        self,
        source: str,
        series: ClipSeries,
        transcript: str,
        times: Mapping[Modality, Float[np.ndarray, " _"]],
        absent: Mapping[Modality, str],
    ) -> Prediction:
        given = dict(series)
        if self.network.text is not None:
            given[Modality.TEXT] = self.network.read_text(transcript)
        if not any(len(values) for values in given.values()):
            raise ConfigError("nothing was given to judge; give a text, or features with steps")
        tokens = self._watcher.tokens(transcript)
        shown = Shown(transcript=transcript, tokens=tokens, times=times, absent=absent)
        return Prediction(
            source=source,
            scale=self.network.scale,
            level=self._level,
            answers=tuple(self._judge([(given, shown)])),
            model=self.network.facts,
        )

    def _say_nothing(self, heard: Heard) -> str:
        reasons = ["nobody speaks" if heard.has_audio else "there is no sound track"]
        if Modality.VIDEO in self.network.modalities:
            reasons.append("no face is seen" if heard.has_video else "there is no picture")
        return " and ".join(reasons)


def _warn(heard: Heard, num_empty: int) -> tuple[str, ...]:
    warnings = []
    if heard.is_truncated:
        warnings.append("parts of the recording cannot be decoded")
    if num_empty:
        warnings.append(f"{num_empty} stretches hold nothing that can be judged")
    return tuple(warnings)
