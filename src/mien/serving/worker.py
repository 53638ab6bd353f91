"""The one worker: a process that answers one job at a time, ended and started anew when need be."""

import asyncio
import contextlib
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from mien.prediction.result import Prediction
from mien.serving.child import Advance, Failure, Job, Loaded, serve_jobs
from mien.serving.limits import Refused, ServeSettings

__all__ = ["Worker"]

_ENDING = 5.0  # seconds that a process gets to end before it is killed
_LOADING = 300.0  # seconds that a model gets to load


class Worker:
    """Holds the model in a child process, so that no recording can bring the server down.

    Args:
        settings: Which model, and how long one prediction may take.
        folder: Where uploads lie.

    Attributes:
        loaded: What the model says of itself, once it was loaded; kept while a process is replaced.
        failure: Why there is no model.
    """

    def __init__(self, settings: ServeSettings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._lock = asyncio.Lock()
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self.loaded: Loaded | None = None
        self.failure = ""

    async def start(self) -> None:
        """Start the process and wait until the model is loaded; ``failure`` says why it is not.

        Raises:
            Refused: If the model cannot be loaded.
        """
        async with self._lock:
            await self._make_ready()

    async def answer(self, job: Job, on_advance: Callable[[Advance], None]) -> Prediction:
        """Answer a job when those before it are done.

        A job that runs over its time, or whose caller goes away, costs the process its life; the
        next job starts another.

        Raises:
            Refused: If there is no answer: a user's mistake, too long, or the process died.
        """
        async with self._lock:
            await self._make_ready()
            on_advance(Advance())
            try:
                async with asyncio.timeout(self._settings.time_limit):
                    return await self._exchange(job, on_advance)
            except TimeoutError:
                await self.stop()
                limit = f"{self._settings.time_limit:g}"
                raise Refused(
                    504,
                    f"this took longer than {limit} seconds and was stopped; give a shorter one",
                ) from None
            except (EOFError, OSError):
                await self.stop()
                raise Refused(
                    500, "the process that judges recordings died over this one; try another"
                ) from None
            except asyncio.CancelledError:
                await self.stop()
                raise

    async def stop(self) -> None:
        """End the process."""
        process, pipe = self._process, self._pipe
        self._process, self._pipe = None, None
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.join, _ENDING)
        if pipe is not None:
            pipe.close()

    async def _make_ready(self) -> None:
        """Start the process unless it runs."""
        if self._process is not None and self._process.is_alive():
            return
        await self.stop()
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=serve_jobs,
            args=(theirs, self._settings.loader, self._settings.model, self._folder),
            daemon=True,
            name="mien-serve-worker",
        )
        await asyncio.to_thread(self._process.start)
        theirs.close()
        try:
            async with asyncio.timeout(_LOADING):
                first = await self._receive()
        except (EOFError, OSError, TimeoutError):
            first = Failure(detail="the process that holds the model died while it was loading")
        except asyncio.CancelledError:
            await self.stop()
            raise
        if isinstance(first, Failure):
            await self.stop()
            self.loaded, self.failure = None, first.detail
            raise Refused(503, f"there is no model: {first.detail}")
        self.loaded, self.failure = Loaded.model_validate(first), ""

    async def _exchange(self, job: Job, on_advance: Callable[[Advance], None]) -> Prediction:
        if self._pipe is None:
            raise EOFError
        self._pipe.send(job)
        while isinstance(message := await self._receive(), Advance):
            on_advance(message)
        if isinstance(message, Failure):
            raise Refused(422, message.detail)
        return Prediction.model_validate(message)

    async def _receive(self) -> object:
        """Return the next message; if the wait is given up, the caller ends the process."""
        pipe = self._pipe
        if pipe is None:
            raise EOFError
        reading = asyncio.ensure_future(asyncio.to_thread(pipe.recv))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            # the thread wakes up by the end of the pipe, once the process is gone
            reading.add_done_callback(_forget)
            raise


def _forget(reading: "asyncio.Future[object]") -> None:
    with contextlib.suppress(asyncio.CancelledError):
        reading.exception()
