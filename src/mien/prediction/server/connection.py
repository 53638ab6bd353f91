"""Connections that do not come to the end of a request's head are closed."""

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["limited_protocol"]


def limited_protocol(most_seconds: float) -> "type[H11Protocol]":
    """Return uvicorn's protocol with a limit for the head of a request.

    uvicorn itself waits for ever for the rest of a head; further bytes do not give it more time.

    Args:
        most_seconds: From the opening of a connection, or the first byte of a later request, to the
            end of its head.
    """
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class LimitedProtocol(H11Protocol):
        def connection_made(self, transport: Any) -> None:  # noqa: ANN401  # as uvicorn has it
            super().connection_made(transport)
            self._alarm = _Alarm(most_seconds, transport)
            self._alarm.set(on=True)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._alarm.set(on=self.conn.their_state is h11.IDLE)

        def connection_lost(self, exc: Exception | None) -> None:
            self._alarm.set(on=False)
            super().connection_lost(exc)

    return LimitedProtocol


class _Alarm:
    """Closes a connection when its time is over; setting it on again gives no further time."""

    def __init__(self, most_seconds: float, transport: asyncio.Transport) -> None:
        self._most_seconds = most_seconds
        self._transport = transport
        self._timer: asyncio.TimerHandle | None = None

    def set(self, *, on: bool) -> None:
        if not on and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if on and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._most_seconds, self._transport.close)
