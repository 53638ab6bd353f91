"""The bounded queue of requests: which are admitted, where each stands, which were given up."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal, TypeVar

from starlette.requests import Request

from mien.config import Settings
from mien.prediction.server.limits import Refused
from mien.prediction.server.worker_process import Advance

__all__ = ["Progress", "QueuedRequest", "RequestQueue", "while_connected"]

_RETRY = 10  # seconds after which a full queue is worth another try
_MOST_DONE = 200  # requests that are remembered when they are done

ResultT = TypeVar("ResultT")


class Progress(Settings):
    """Where a request stands.

    Attributes:
        stage: ``arriving``: its bytes come in. ``waiting``: others are before it. ``working``.
            ``done``: it was answered or refused a short while ago.
        before: How many are before it.
        elapsed: Seconds since it came; 0 once it is done.
        advance: How far the work is, once it has begun.
    """

    stage: Literal["arriving", "waiting", "working", "done"]
    before: int
    elapsed: float
    advance: Advance | None = None


@dataclass(slots=True, eq=False)
class QueuedRequest:
    """A request in the queue.

    Attributes:
        stage: As in ``Progress``.
        since: When it came, on a clock that only goes forward.
        advance: How far the work is.
    """

    stage: Literal["arriving", "waiting", "working"] = "arriving"
    since: float = field(default_factory=monotonic)
    advance: Advance | None = None

    def move(self, advance: Advance) -> None:
        """Take how far the work is."""
        self.stage, self.advance = "working", advance


class RequestQueue:
    """Holds the request that is worked on and a limited number that wait; more are refused.

    Uploads that still arrive count against other uploads only, so that slow ones do not keep
    sentences out.

    Args:
        queue: How many may wait.
    """

    def __init__(self, queue: int) -> None:
        self._most = queue + 1
        self._requests: dict[str, QueuedRequest] = {}
        self._done: deque[str] = deque(maxlen=_MOST_DONE)

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self._requests)

    @contextmanager
    def admit(self, ticket: str, *, is_here: bool = False) -> Iterator[QueuedRequest]:
        """Hold a request in the queue for as long as the block runs.

        Args:
            ticket: By which its progress can be looked up.
            is_here: Whether all of the request has arrived.

        Raises:
            Refused: If the queue is full, or the ticket is in use.
        """
        counted = [r for r in self._requests.values() if not is_here or r.stage != "arriving"]
        if len(counted) >= self._most:
            raise Refused(
                429, f"{self._most} requests are waiting already; try later", retry_after=_RETRY
            )
        if ticket in self._requests:
            raise Refused(409, "this ticket is in use; make another")
        request = self._requests[ticket] = QueuedRequest("waiting" if is_here else "arriving")
        try:
            yield request
        finally:
            del self._requests[ticket]
            self._done.append(ticket)

    def progress_of(self, ticket: str) -> Progress:
        """Return where a request stands.

        Raises:
            Refused: If there is no such request, or it was done long ago.
        """
        request = self._requests.get(ticket)
        if request is None and ticket in self._done:
            return Progress(stage="done", before=0, elapsed=0.0)
        if request is None:
            raise Refused(404, "no request has this ticket; it may be answered already")
        ahead = [p for p in self._requests.values() if p is not request and p.stage != "arriving"]
        before = 0 if request.stage == "working" else len(ahead)
        if request.stage == "waiting":
            before = sum(p.since < request.since or p.stage == "working" for p in ahead)
        return Progress(
            stage=request.stage,
            before=before,
            elapsed=round(monotonic() - request.since, 1),
            advance=request.advance,
        )


async def while_connected(work: Awaitable[ResultT], request: Request) -> ResultT:
    """Wait for work, and give it up when the client goes away.

    Args:
        work: What the client wants.
        request: The request, of which all has been read.

    Raises:
        Refused: If the client went away; nobody reads it.
    """
    doing = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_wait_for_leave(request))
    try:
        await asyncio.wait({doing, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise Refused(499, "the client went away")
        return await doing
    finally:
        for task in (doing, watching):
            task.cancel()
        await asyncio.gather(doing, watching, return_exceptions=True)


async def _wait_for_leave(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
