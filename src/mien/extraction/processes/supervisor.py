"""A process of its own for work on clips: cut when it hangs, replaced when it ends.

Decoders and models are native code. A file can make them hang, crash or eat all memory, and none of
that can be caught inside the process. So each worker is a child that gets one clip at a time as a
line of JSON and answers with one; who waits for it can end it. It loads its models once, uses one
thread, and ends by itself when the process that started it is gone.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Literal

from pydantic import Field

from mien.config import Settings
from mien.processes import python_command, safe_environment

__all__ = ["AUTO_LIMIT", "AUTO_SHARE", "IDLE_CODE", "ClipOutcome", "WorkerSupervisor"]

#: Seconds that a clip may take without a limit of the user's: these, and so many times its length.
AUTO_LIMIT, AUTO_SHARE = 600.0, 20.0
#: Seconds in which a worker must have loaded its models.
_START_LIMIT = 600.0
#: What a worker returns that ends because nobody gave it work.
IDLE_CODE = 75
_IDLED = "idle"
_THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS",
)  # fmt: skip


class ClipOutcome(Settings):
    """What came of a clip.

    Attributes:
        state: ``done``: its file of results is written, and says whether the clip is skipped.
            ``cut``: it took too long. ``lost``: its worker ended. ``failed``: nothing more can be
            done, for this clip or any other. On the way: ``ready``, models are loaded; ``length``,
            the length of the clip is known.
        reason: Why, in words.
        detail: The last that a lost worker said, for people who look for a defect.
        seconds: Length of the clip; of one that was cut, the limit.
        is_skipped: Whether it was skipped.
    """

    state: Literal["ready", "length", "done", "cut", "lost", "failed"]
    reason: str = ""
    detail: str = ""
    seconds: float = Field(0.0, ge=0)
    is_skipped: bool = False


class WorkerSupervisor:
    """Starts a worker, gives it clips one by one, and ends it when it hangs.

    Args:
        settings: What is made of every clip, as JSON.
        limit: Longest time for a clip in seconds; None for one that grows with its length.
        command: How a worker is started; by default the same Python as here.
    """

    def __init__(
        self, settings: str, *, limit: float | None, command: Sequence[str] | None = None
    ) -> None:
        self._settings = settings
        self._limit = limit
        self._command = list(command or python_command("mien.extraction.processes.worker"))
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._is_stopped = False

    def run(self, task: str) -> ClipOutcome:
        """Work on one clip, given as JSON; whatever happens, there is an outcome."""
        outcome = self._try(task)
        if outcome.state == "lost" and outcome.detail == _IDLED:
            outcome = self._try(task)
        return outcome

    def _try(self, task: str) -> ClipOutcome:
        if self._process is None:
            started = self.start()
            if started.state != "ready":
                return started
        self._send(json.dumps({"task": json.loads(task), "limit": self._limit}))
        limit = self._limit or AUTO_LIMIT
        outcome = self._receive(limit)
        if outcome.state == "length":
            limit += AUTO_SHARE * outcome.seconds
            outcome = self._receive(limit)
        return outcome

    def stop(self) -> None:
        """End the worker at once, from another thread; who waits for it is told."""
        self._is_stopped = True
        if (process := self._process) is not None:
            _end(process)

    def close(self) -> None:
        """End the worker, when nobody waits for it."""
        self._kill()

    def start(self) -> ClipOutcome:
        """Start the worker, or another one; what comes back says whether its models are loaded."""
        self._kill()
        source = str(Path(__file__).parents[3])
        paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**safe_environment(), "PYTHONPATH": os.pathsep.join(paths)}
        environment |= dict.fromkeys(_THREADS, "1")
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the worker
        self._answers = queue.SimpleQueue()
        process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment,
            start_new_session=True,
        )
        self._process = process
        if self._is_stopped:
            _end(process)
        reader = threading.Thread(
            target=_read_lines, args=(process.stdout, self._answers), daemon=True
        )
        reader.start()
        self._send(self._settings)
        outcome = self._receive(_START_LIMIT)
        if outcome.state in ("lost", "cut"):
            reason = outcome.detail.strip().splitlines()[-1:] or [outcome.reason]
            return ClipOutcome(
                state="failed",
                reason=f"a worker cannot start: {reason[0]}",
                detail=outcome.detail,
            )
        return outcome

    def _send(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(line.encode() + b"\n")
                self._process.stdin.flush()

    def _receive(self, limit: float) -> ClipOutcome:
        try:
            line = self._answers.get(timeout=limit)
        except queue.Empty:
            self._kill()
            return ClipOutcome(
                state="cut", reason=f"took longer than {limit:g} seconds", seconds=limit
            )
        if line:
            return ClipOutcome.model_validate_json(line)
        return self._explain_end()

    def _explain_end(self) -> ClipOutcome:
        code = self._process.wait() if self._process is not None else 0
        detail = self._last_words()
        self._kill()
        if self._is_stopped:
            return ClipOutcome(state="lost", reason="the extraction was stopped")
        if code == IDLE_CODE:
            return ClipOutcome(state="lost", reason="the worker was idle", detail=_IDLED)
        if code >= 0:
            last = detail.strip().splitlines()[-1:] or ["it said nothing"]
            return ClipOutcome(
                state="lost", reason=f"the worker failed ({code}): {last[0]}", detail=detail
            )
        name = signal.Signals(-code).name
        hint = ", perhaps out of memory" if name == "SIGKILL" else ""
        return ClipOutcome(
            state="lost", reason=f"the worker was ended by {name}{hint}", detail=detail
        )

    def _last_words(self) -> str:
        if self._stderr is None:
            return ""
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - 8000))
        return self._stderr.read().decode("utf-8", "replace")

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            _end(process)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
        if self._stderr is not None:
            self._stderr.close()
            self._stderr = None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a worker with every program that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _read_lines(pipe: IO[bytes], answers: "queue.SimpleQueue[bytes]") -> None:
    """Pass on lines; an empty one at the end."""
    with contextlib.suppress(ValueError, OSError):  # closed meanwhile
        for line in pipe:
            answers.put(line)
    answers.put(b"")
