"""Which requests are let in, what a browser may load, and refusals before a body has arrived."""

import asyncio
import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.prediction.server.limits import LOOPBACK, ServeSettings

__all__ = ["HEADERS", "RequestFilter"]

#: Headers of every answer.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
    "Cache-Control": "no-cache",
}
_UPLOADS = re.compile(r"/predict|/answers/[^/]+/png-with-frames")
_MOST_BYTES = 500_000  # of a body that is no recording; more than the longest text, all escaped
_LINGER = 10.0  # seconds for which the rest of a refused upload is read and thrown away


class RequestFilter:
    """Refuses requests of other pages, and adds the headers of every answer.

    Any page that the user visits can send requests to this machine: those of another origin are
    refused, and, while only this machine should reach the server, those that name another host.
    Where a request is refused before its body is read, the answer is sent at once and the rest is
    thrown away for a while: closing at once would make the client lose the answer.

    Args:
        app: The application behind it.
        settings: On which address the server listens.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # size and time of an upload are limited by its receiver
        is_upload = scope["method"] == "POST" and _UPLOADS.fullmatch(scope["path"]) is not None
        limit = None if is_upload else self._settings.stall_limit
        body = _Body(receive, None if is_upload else _MOST_BYTES, limit)
        refusal = self._refuse(scope)
        answer = self._app if refusal is None else refusal
        await answer(scope, body.receive, _Sender(send, body).send)

    def _refuse(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._settings.is_loopback and _hostname(host) not in LOOPBACK:
            return _forbid("this server answers only to the name localhost; use that address")
        if scope["method"] in ("GET", "HEAD"):
            return None
        origin = headers.get("origin")
        is_other = origin is not None and _address(origin) != host.lower()
        if is_other or headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return _forbid("requests of other pages are refused")
        return None


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _address(origin: str) -> str:
    """Return host and port of an origin; empty if it is no address."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _forbid(detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=403)


class _Body:
    """The body of a request, with limits, and whether all of it has arrived.

    Args:
        receive: Brings it.
        most: Bytes that it may have; None for no limit.
        limit: Seconds that it may take to arrive; None for no limit.
    """

    def __init__(self, receive: Receive, most: int | None, limit: float | None) -> None:
        self._receive = receive
        self._most = most
        self._limit = limit
        self._due = None if limit is None else asyncio.get_running_loop().time() + limit
        self._size = 0
        self.is_complete = False

    async def receive(self) -> Message:
        """Return the next piece.

        Raises:
            HTTPException: If there is too much of it, or it takes too long.
        """
        try:
            async with asyncio.timeout_at(None if self.is_complete else self._due):
                message = await self._receive()
        except TimeoutError:
            self._due = None
            raise HTTPException(
                408, f"the body did not arrive within {self._limit:g} seconds"
            ) from None
        if message["type"] != "http.request" or not message.get("more_body", False):
            self.is_complete = True
        self._size += len(message.get("body", b""))
        if self._most is not None and self._size > self._most:
            self._most = None  # it is said once; the rest is thrown away
            raise HTTPException(413, "the body is too large for a sentence")
        return message

    async def drain(self) -> None:
        """Throw the rest away, for a while."""
        self._due = None
        try:
            async with asyncio.timeout(_LINGER):
                while not self.is_complete:
                    await self.receive()
        except TimeoutError:
            return


class _Sender:
    """Adds the headers, and sends the last piece only after the rest of the body was read."""

    def __init__(self, send: Send, body: _Body) -> None:
        self._send = send
        self._body = body

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if is_last and not self._body.is_complete:
            await self._send({**message, "more_body": True})
            await self._body.drain()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)
