"""The process that holds the model and answers one request after the other."""

import multiprocessing
import os
import shutil
import signal
import threading
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pydantic import Field

from mien.config import Settings
from mien.errors import MienError
from mien.prediction.answer import ModelFacts
from mien.prediction.result import Prediction
from mien.prediction.server.limits import ServeSettings
from mien.prediction.target_answers.target_answer import TargetFacts, is_missing
from mien.training.checkpoints.shipped_models import SHIPPED_MODELS
from mien.types import Scale

if TYPE_CHECKING:
    from mien.prediction.recording import PredictionListener

__all__ = [
    "Advance",
    "Failure",
    "Loaded",
    "PictureJob",
    "PredictionJob",
    "ServedModel",
    "answer_job",
    "draw_job",
    "serve_jobs",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionJob:
    """A recording or a sentence to predict.

    Attributes:
        text: A sentence; empty if it is a recording.
        path: The recording; None if it is a sentence.
        name: How the recording is called towards the user.
        transcript: ``auto``, ``none``, or the words that are said.
    """

    text: str = ""
    path: Path | None = None
    name: str = ""
    transcript: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureJob:
    """An answer to draw.

    Attributes:
        prediction: The answer.
        path: The recording, for frames of the face; None for a picture without.
        name: How the recording is called towards the user.
    """

    prediction: Prediction
    path: Path | None = None
    name: str = ""


class Loaded(Settings):
    """The model is ready.

    Attributes:
        model: Which it is.
        scale: Range of its scores of sentiment; None if it predicts none.
        targets: What it predicts besides sentiment; not in JSON if there is nothing.
        is_shipped: Whether it is the model that comes with the package where none is named.
        cards: Which of the model and its companion have a card that the server shows, by name.
    """

    model: ModelFacts
    scale: Scale | None
    targets: tuple[TargetFacts, ...] = Field(default=(), exclude_if=is_missing)
    is_shipped: bool = False
    cards: tuple[str, ...] = ()


class Advance(Settings):
    """How far a prediction is.

    Attributes:
        heard: Seconds of the sound that have been heard.
        seconds: Length of the recording, once it is known.
        utterances: How many there are, once it is known.
        answered: How many of them are done.
    """

    heard: float = 0.0
    seconds: float | None = None
    utterances: int | None = None
    answered: int = 0


class Failure(Settings):
    """The sentence of a user's mistake.

    Attributes:
        detail: The sentence.
    """

    detail: str


@runtime_checkable
class _Network(Protocol):
    @property
    def facts(self) -> ModelFacts: ...

    @property
    def scale(self) -> Scale: ...


@runtime_checkable
class ServedModel(Protocol):
    """What a server needs of a model; ``mien.prediction.predictor.TrainedModel`` is one."""

    @property
    def network(self) -> _Network:
        """The network, with its facts and its scale."""
        ...

    def make_ready(self) -> None:
        """Load what a prediction will need."""
        ...

    def predict(
        self, recording: Path, *, transcript: str, listener: "PredictionListener"
    ) -> Prediction:
        """Predict a recording."""
        ...

    def predict_text(self, text: str) -> Prediction:
        """Predict a sentence."""
        ...


class _ProgressSender:
    """Sends the progress of a prediction to the server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._advance = Advance()

    def on_audio(self, seconds: float) -> None:
        self._send(heard=seconds)

    def on_cut(self, num_utterances: int, seconds: float) -> None:
        self._send(utterances=num_utterances, seconds=seconds)

    def on_answer(self, number: int, seconds: float) -> None:  # noqa: ARG002  # the protocol's
        self._send(answered=number)

    def _send(self, **changes: int | float) -> None:
        self._advance = self._advance.model_copy(update=changes)
        self._connection.send(self._advance)


def serve_jobs(connection: Connection, settings: ServeSettings, folder: Path) -> None:
    """Load a model and answer jobs until the server goes away.

    The process ends with the server, even in the middle of a job: where the server was killed, the
    folder of the uploads is removed here.

    Args:
        connection: Where jobs come from and answers go.
        settings: Which model, and how it is opened.
        folder: Where the server keeps uploads.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends us
    threading.Thread(target=_end_with_server, args=(folder,), daemon=True).start()
    try:
        served = _load(connection, settings)
        while served is not None:
            job = connection.recv()
            is_picture = isinstance(job, PictureJob)
            connection.send(draw_job(job) if is_picture else answer_job(served, job, connection))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        shutil.rmtree(folder, ignore_errors=True)


def _end_with_server(folder: Path) -> None:
    """Wait for the end of the server, then end this process, whatever it is doing."""
    server = multiprocessing.parent_process()
    if server is None:
        return
    server.join()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _load(connection: Connection, settings: ServeSettings) -> ServedModel | None:
    module, _, name = settings.loader.partition(":")
    try:
        load = getattr(import_module(module), name)
        served: ServedModel = load(settings.model, **settings.load_options)
        served.make_ready()
        connection.send(_describe(served, is_shipped=settings.model is None))
    except MienError as error:
        connection.send(Failure(detail=str(error)))
        return None
    return served


def _describe(served: ServedModel, *, is_shipped: bool) -> Loaded:
    """Return what a model predicts; one that knows no targets predicts sentiment alone."""
    network, companion = served.network, getattr(served, "companion", None)
    beside = () if companion is None else companion.network.targets
    files = [getattr(each, "checkpoint", None) for each in (served, companion)]
    return Loaded(
        model=network.facts,
        scale=getattr(network, "sentiment_scale", network.scale),
        targets=(*getattr(network, "targets", ()), *beside),
        is_shipped=is_shipped,
        cards=tuple(name for name, file in SHIPPED_MODELS.items() if file in files),
    )


def answer_job(
    served: ServedModel, job: PredictionJob, connection: Connection
) -> Prediction | Failure:
    """Return the prediction of a job, or what the user has to mend; progress goes to the pipe."""
    try:
        if job.path is None:
            return served.predict_text(job.text)
        prediction = served.predict(
            job.path, transcript=job.transcript, listener=_ProgressSender(connection)
        )
    except MienError as error:
        return Failure(detail=_hide(str(error), job))
    hidden = tuple(_hide(warning, job) for warning in prediction.warnings)
    return prediction.model_copy(update={"source": job.name, "warnings": hidden})


def draw_job(job: PictureJob) -> bytes | Failure:
    """Return the picture of an answer as PNG, or why the recording cannot be read."""
    from mien.reports.figures.style import render_png

    try:
        return render_png(job.prediction.plot(recording=job.path))
    except MienError as error:
        return Failure(detail=_hide(str(error), job))


def _hide(sentence: str, job: PredictionJob | PictureJob) -> str:
    """Return a sentence in which the temporary file has the name that the user gave."""
    if job.path is None:
        return sentence
    return sentence.replace(str(job.path), job.name).replace(job.path.name, job.name)
