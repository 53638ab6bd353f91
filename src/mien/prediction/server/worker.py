"""The one worker: a process that answers one job at a time, ended and started anew when need be."""

import asyncio
import contextlib
import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic
from typing import Literal

from mien.prediction.result import Prediction
from mien.prediction.server.limits import Refused, ServeSettings
from mien.prediction.server.worker_process import (
    Advance,
    Failure,
    Loaded,
    PictureJob,
    PredictionJob,
    serve_jobs,
)
from mien.processes import safe_spawn

__all__ = ["OnState", "State", "Worker"]

_ENDING = 5.0  # seconds that a process gets to end before it is killed
_RETRY = 5  # seconds after which another request is worth a try

State = Literal["loading", "ready", "failed"]
#: Called with each new state, the seconds that loading took, and why it failed.
OnState = Callable[[State, float, str], None]


class _Child:
    """A process with a model, and the pipe to it."""

    def __init__(self, settings: ServeSettings, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, self._theirs = context.Pipe()
        self._process: BaseProcess = context.Process(
            target=serve_jobs,
            args=(self._theirs, settings, folder),
            daemon=True,
            name="mien-serve-worker",
        )

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    async def start(self) -> None:
        starting = asyncio.ensure_future(asyncio.to_thread(_start, self._process))
        try:
            await asyncio.shield(starting)
        finally:
            await asyncio.wait([starting])  # only a process that is there can be ended
        self._theirs.close()

    def send(self, job: PredictionJob | PictureJob) -> None:
        self._pipe.send(job)

    async def receive(self) -> object:
        """Return the next message; if the wait is given up, the caller ends the process."""
        reading = asyncio.ensure_future(asyncio.to_thread(self._pipe.recv))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            # the thread wakes up by the end of the pipe, once the process is gone
            reading.add_done_callback(_forget)
            raise

    async def end(self) -> None:
        if self._process.pid is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.join, _ENDING)
        self._pipe.close()
        self._theirs.close()

    async def describe_death(self) -> str:
        """Return how the process ended, after its end of the pipe was closed."""
        if self._process.pid is None:
            return "it could not be started"
        await asyncio.to_thread(self._process.join, _ENDING)
        code = self._process.exitcode
        if code is None:
            return "it closed its pipe"
        if code >= 0:
            return f"exit code {code}; the console of the server may say more"
        hint = "; the machine may be short of memory" if -code == signal.SIGKILL else ""
        return f"ended by signal {-code}, {signal.strsignal(-code)}{hint}"


class Worker:
    """Holds the model in a child process, so that no recording can bring the server down.

    Loading belongs to the worker: it begins with the server, takes as long as it takes, and goes on
    whoever waits for it or goes away.

    Args:
        settings: Which model, and how long one prediction may take.
        folder: Where uploads lie.
        on_state: Called with each new state.

    Attributes:
        state: ``ready``; ``loading``; ``failed``: the model could not be loaded.
        loaded: Facts about the model, once it was loaded; kept while a process is replaced.
        failure: Why there is no model; empty unless it failed.
    """

    def __init__(
        self, settings: ServeSettings, folder: Path, on_state: OnState | None = None
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._on_state = on_state
        self._lock = asyncio.Lock()
        self._child: _Child | None = None
        self._loading: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._num_failed = 0
        self._since = monotonic()
        self._took = 0.0
        self.state: State = "loading"
        self.loaded: Loaded | None = None
        self.failure = ""

    @property
    def loading_seconds(self) -> float:
        """Seconds for which the model has been loading, or that the last loading took."""
        return monotonic() - self._since if self.state == "loading" else self._took

    def start(self) -> None:
        """Begin to load the model."""
        self._since = monotonic()
        self._enter("loading")
        self._loading = asyncio.create_task(self._load())

    async def answer(self, job: PredictionJob, on_advance: Callable[[Advance], None]) -> Prediction:
        """Answer a job when those before it are done and the model is loaded.

        Raises:
            Refused: As ``draw`` raises it.
        """
        return Prediction.model_validate(await self._do(job, on_advance))

    async def draw(self, job: PictureJob) -> bytes:
        """Draw an answer, as PNG, when the jobs before are done and the model is loaded.

        Raises:
            Refused: If there is no picture or answer: a user's mistake, no model, too long, or the
                process died.
        """
        picture = await self._do(job, lambda _advance: None)
        if not isinstance(picture, bytes):
            raise TypeError(f"a picture is bytes, not {type(picture).__name__}")
        return picture

    async def _do(
        self, job: PredictionJob | PictureJob, on_advance: Callable[[Advance], None]
    ) -> object:
        """Return what the process makes of a job.

        A job that runs over its time, or whose caller goes away while it is worked on, costs the
        process its life; another is started at once.
        """
        async with self._lock:
            child = await self._wait_for_model()
            on_advance(Advance())
            try:
                async with asyncio.timeout(self._settings.time_limit):
                    return await self._exchange(child, job, on_advance)
            except TimeoutError:
                await self._replace()
                limit = f"{self._settings.time_limit:g}"
                raise Refused(
                    504,
                    f"this took longer than {limit} seconds and was stopped; give a shorter one",
                ) from None
            except (EOFError, OSError):
                how = await child.describe_death()
                await self._replace()
                raise Refused(
                    500,
                    f"the process that predicts died over this one ({how}); try another",
                ) from None
            except asyncio.CancelledError:
                await self._replace()
                raise

    async def stop(self) -> None:
        """End the process, and start no other."""
        self._is_stopped = True
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        await self._end_child()

    async def _wait_for_model(self) -> _Child:
        """Return the process once its model is loaded; after a failure, load once more.

        Raises:
            Refused: If it cannot be loaded.
        """
        if self.state != "loading" and (self._child is None or not self._child.is_alive):
            if self._num_failed >= self._settings.load_attempts:
                raise Refused(503, self._describe_failure())
            await self._end_child()
            self.start()
        if self._loading is not None:
            await asyncio.shield(self._loading)  # a client that goes away leaves it going
        if self._child is None:
            raise Refused(503, self._describe_failure(), retry_after=_RETRY)
        return self._child

    def _describe_failure(self) -> str:
        if self._num_failed < self._settings.load_attempts:
            return f"there is no model: {self.failure}"
        return (
            f"there is no model: {self.failure}; {self._num_failed} attempts to load it failed, so "
            "mend that and start the server again"
        )

    async def _load(self) -> None:
        """Start a process, and wait until its model is loaded, or it says why not, or it dies."""
        child = _Child(self._settings, self._folder)
        try:
            await child.start()
            first = await child.receive()
        except (EOFError, OSError):
            how = await child.describe_death()
            first = Failure(detail=f"the process died while it was loading the model ({how})")
        except asyncio.CancelledError:
            await child.end()
            raise
        self._took = monotonic() - self._since
        if isinstance(first, Failure):
            await child.end()
            self._num_failed += 1
            self.loaded = None
            self._enter("failed", first.detail)
            return
        self._child, self._num_failed = child, 0
        self.loaded = Loaded.model_validate(first)
        self._enter("ready")

    def _enter(self, state: State, failure: str = "") -> None:
        self.state, self.failure = state, failure
        if self._on_state is not None:
            self._on_state(state, self.loading_seconds, failure)

    async def _replace(self) -> None:
        """End the process, and begin to load the model in another."""
        await self._end_child()
        if not self._is_stopped:
            self.start()

    async def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.end()

    async def _exchange(
        self,
        child: _Child,
        job: PredictionJob | PictureJob,
        on_advance: Callable[[Advance], None],
    ) -> object:
        child.send(job)
        while isinstance(message := await child.receive(), Advance):
            on_advance(message)
        if isinstance(message, Failure):
            raise Refused(422, message.detail)
        return message


def _start(process: BaseProcess) -> None:
    """Start a process that imports nothing of the working directory."""
    with safe_spawn():
        process.start()


def _forget(reading: "asyncio.Future[object]") -> None:
    with contextlib.suppress(asyncio.CancelledError):
        reading.exception()
