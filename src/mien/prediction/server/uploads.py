"""Uploads: streamed to a file of our own naming, counted as they arrive, removed in every case."""

import asyncio
import secrets
import unicodedata
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import IO, Any

from mien.prediction.server.limits import LONGEST_TEXT, Refused, ServeSettings

__all__ = ["Upload", "clean_name", "receive_upload"]

_MOST_HEADERS = 2_000  # bytes of the headers of one part
_FIELDS = ("file", "transcript")


@dataclass(slots=True)
class Upload:
    """What came in one form.

    Attributes:
        path: The file; removed when the request ends.
        name: The cleaned name that the client gave it.
        transcript: The field of this name; ``auto`` if there was none.
        size: Bytes of the file.
    """

    path: Path
    name: str = "recording"
    transcript: str = "auto"
    size: int = 0


def clean_name(name: str) -> str:
    r"""Return the last part of a file name from outside, fit to be shown and nothing else.

    >>> (
    ...     clean_name("../../etc/pass\0wd\u202e.mp4"),
    ...     clean_name("C:\\films\\mine.mp4"),
    ...     clean_name(".."),
    ... )
    ('passwd.mp4', 'mine.mp4', 'recording')
    """
    last = name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    shown = "".join(c for c in last if not unicodedata.category(c).startswith("C")).strip()
    return "recording" if not shown.strip(". ") else shown[:120]


@contextmanager
def _own_file(folder: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    path = folder / secrets.token_hex(16)
    try:
        with path.open("xb") as file:
            yield path, file
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def receive_upload(folder: Path, content_type: str) -> "Iterator[Receiver]":
    """Give a receiver of one form; its file is gone when the block ends.

    Args:
        folder: Where the file lies meanwhile.
        content_type: The header of this name, with the boundary.

    Raises:
        Refused: If it is no form of this kind.
    """
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import parse_options_header

    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise Refused(415, "the body must be multipart/form-data with a field named file")
    with _own_file(folder) as (path, file):
        try:
            receiver = Receiver(path, file, boundary)
        except FormParserError:
            raise Refused(400, "the boundary of the form is too long") from None
        yield receiver


@dataclass(slots=True)
class _FormPart:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    header: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)
    size: int = 0
    name: str = ""


class Receiver:
    """Reads a form as its bytes arrive.

    Args:
        path: Where its file goes.
        file: The same, open.
        boundary: What separates the parts.
    """

    def __init__(self, path: Path, file: IO[bytes], boundary: bytes) -> None:
        from python_multipart.multipart import MultipartParser

        self.upload = Upload(path)
        self._file = file
        self._part = _FormPart()
        self._seen: set[str] = set()
        self._text = bytearray()
        self._is_complete = False
        callbacks: Any = {
            "on_part_begin": self._begin,
            "on_header_field": self._take_header,
            "on_header_value": self._take_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._take_data,
            "on_end": self._end,
        }
        self._parser = MultipartParser(boundary, callbacks)

    async def read(self, chunks: AsyncIterator[bytes], settings: ServeSettings) -> Upload:
        """Read the form to its end.

        Raises:
            Refused: If it is too large or too slow, stalls, breaks off, or is not what it should
                be.
        """
        from python_multipart.exceptions import FormParserError

        most = int(settings.max_upload_mb * 1e6)
        size, since = 0, monotonic()
        try:
            while (chunk := await self._next(chunks, settings, size, since)) is not None:
                size += len(chunk)
                if size > most:
                    raise Refused(413, f"the upload is larger than {settings.max_upload_mb:g} MB")
                self._parser.write(chunk)
        except FormParserError:
            raise Refused(400, "the body is not a well-formed multipart form") from None
        return self._finish()

    @staticmethod
    async def _next(
        chunks: AsyncIterator[bytes], settings: ServeSettings, size: int, since: float
    ) -> bytes | None:
        """Wait for bytes, but neither in silence nor for a trickle.

        Args:
            chunks: Bring them.
            settings: How long.
            size: Bytes that have come.
            since: When the upload began.
        """
        due = since + settings.upload_grace + size / (1e3 * settings.slowest_upload)
        left = due - monotonic()
        try:
            return await asyncio.wait_for(
                anext(chunks, None), max(0.0, min(settings.stall_limit, left))
            )
        except TimeoutError:
            if left < settings.stall_limit:
                least = f"{settings.slowest_upload:g} kB"
                raise Refused(408, f"the upload brings less than {least} a second") from None
            limit = f"{settings.stall_limit:g}"
            raise Refused(408, f"no byte of the upload came for {limit} seconds") from None

    def _finish(self) -> Upload:
        if not self._is_complete:
            raise Refused(400, "the upload broke off before its end")
        if "file" not in self._seen:
            raise Refused(422, "the form has no field named file; put the recording there")
        if not self.upload.size:
            raise Refused(422, f"{self.upload.name}: is empty; give a recording")
        try:
            transcript = self._text.decode()
        except UnicodeDecodeError:
            raise Refused(422, "transcript: is not text in UTF-8") from None
        if len(transcript) > LONGEST_TEXT:  # blanks at its ends count, as the schema says
            raise Refused(422, f"transcript: must have at most {LONGEST_TEXT} characters")
        self.upload.transcript = transcript.strip() or "auto"
        self._file.flush()
        return self.upload

    def _begin(self) -> None:
        self._part = _FormPart()

    def _take_header(self, data: bytes, start: int, end: int) -> None:
        self._part.header += data[start:end]
        self._count(end - start)

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._part.value += data[start:end]
        self._count(end - start)

    def _count(self, size: int) -> None:
        self._part.size += size
        if self._part.size > _MOST_HEADERS:
            raise Refused(400, "the headers of a part of the form are too long")

    def _end_header(self) -> None:
        part = self._part
        part.headers[bytes(part.header).lower()] = bytes(part.value)
        part.header.clear()
        part.value.clear()

    def _end_headers(self) -> None:
        from python_multipart.multipart import parse_options_header

        _, options = parse_options_header(self._part.headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode(errors="replace")
        if name not in _FIELDS:
            raise Refused(422, "the form has a field besides file and transcript; leave it out")
        if name in self._seen:
            raise Refused(422, f"the form has two fields named {name}; give one")
        self._seen.add(name)
        self._part.name = name
        if name == "file":
            self.upload.name = clean_name(options.get(b"filename", b"").decode(errors="replace"))

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if self._part.name == "file":
            self.upload.size += self._file.write(memoryview(data)[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > 4 * LONGEST_TEXT:
            raise Refused(422, f"transcript: must have at most {LONGEST_TEXT} characters")

    def _end(self) -> None:
        self._is_complete = True
