"""The bounded queue: who may come in, where each stands, and who has gone away."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal, TypeVar

from mien.config import Settings
from mien.prediction.server.limits import Refused
from mien.prediction.server.worker_process import Advance

__all__ = ["Place", "Progress", "Room", "while_connected"]

_RETRY = 10  # seconds after which a full queue is worth another try

ResultT = TypeVar("ResultT")


class Progress(Settings):
    """Where a request stands.

    Attributes:
        stage: ``arriving``: its bytes come in. ``waiting``: others are before it. ``working``.
        before: How many are before it.
        elapsed: Seconds since it came.
        advance: How far the work is, once it has begun.
    """

    stage: Literal["arriving", "waiting", "working"]
    before: int
    elapsed: float
    advance: Advance | None = None


@dataclass(slots=True, eq=False)
class Place:
    """The place of one request.

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


class Room:
    """Holds one request that is worked on and so many that wait; more are turned away.

    Uploads that still arrive take places of other uploads only: whoever sends them as slowly as may
    be does not keep sentences out.

    Args:
        queue: How many may wait.
    """

    def __init__(self, queue: int) -> None:
        self._most = queue + 1
        self._places: dict[str, Place] = {}

    def __len__(self) -> int:
        """Return how many are inside."""
        return len(self._places)

    @contextmanager
    def enter(self, ticket: str, *, is_here: bool = False) -> Iterator[Place]:
        """Take a place for the time of a request.

        Args:
            ticket: What its place is called.
            is_here: Whether the request has arrived already.

        Raises:
            Refused: If all are taken, or the ticket is in use.
        """
        if sum(not is_here or one.stage != "arriving" for one in self._places.values()) >= (
            self._most
        ):
            raise Refused(
                429, f"{self._most} requests are waiting already; try later", retry_after=_RETRY
            )
        if ticket in self._places:
            raise Refused(409, "this ticket is in use; make another")
        place = self._places[ticket] = Place("waiting" if is_here else "arriving")
        try:
            yield place
        finally:
            del self._places[ticket]

    def ask(self, ticket: str) -> Progress:
        """Say where a request stands.

        Raises:
            Refused: If there is no such request, or it is answered.
        """
        place = self._places.get(ticket)
        if place is None:
            raise Refused(404, "no request has this ticket; it may be answered already")
        ahead = [p for p in self._places.values() if p is not place and p.stage != "arriving"]
        before = 0 if place.stage == "working" else len(ahead)
        if place.stage == "waiting":
            before = sum(p.since < place.since or p.stage == "working" for p in ahead)
        return Progress(
            stage=place.stage,
            before=before,
            elapsed=round(monotonic() - place.since, 1),
            advance=place.advance,
        )


async def while_connected(
    work: Awaitable[ResultT], is_gone: Callable[[], Awaitable[None]]
) -> ResultT:
    """Wait for work, and give it up when the client goes away.

    Args:
        work: What the client wants.
        is_gone: Returns when the client has gone.

    Raises:
        Refused: If the client went away; nobody reads it.
    """
    doing = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(is_gone())
    try:
        await asyncio.wait({doing, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise Refused(499, "the client went away")
        return await doing
    finally:
        for one in (doing, watching):
            one.cancel()
        await asyncio.gather(doing, watching, return_exceptions=True)
