"""Answers as files: JSON, rows of a spreadsheet, and the picture that ``mien predict`` draws."""

import secrets
from typing import Annotated

from fastapi import FastAPI, Request, Response
from fastapi import Path as InPath

from mien.prediction.presentation.text import format_rows
from mien.prediction.result import Prediction
from mien.prediction.server.kept_answers import (
    FileKind,
    KeptAnswers,
    describe_attachment,
    name_download,
)
from mien.prediction.server.limits import ServeSettings, describe_upload, problems
from mien.prediction.server.request_queue import RequestQueue, while_connected
from mien.prediction.server.uploads import receive_upload
from mien.prediction.server.worker_process import PictureJob

__all__ = ["add_downloads"]

_TYPES: dict[FileKind, str] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "png": "image/png",
}
Ticket = Annotated[
    str, InPath(description="The X-Ticket that the request was sent with, which was answered.")
]


class _File(Response):
    """A file to save."""

    def __init__(self, content: bytes, kind: FileKind, prediction: Prediction) -> None:
        name = describe_attachment(name_download(prediction, kind))
        super().__init__(content, headers={"Content-Disposition": name}, media_type=_TYPES[kind])


def add_downloads(app: FastAPI) -> None:
    """Add the requests for answers as files."""
    recent: KeptAnswers = app.state.recent
    queue: RequestQueue = app.state.queue
    settings: ServeSettings = app.state.settings
    drawn = problems(404, 422, 429, 500, 503, 504)

    async def draw(request: Request, job: PictureJob) -> Response:
        picture = await while_connected(app.state.worker.draw(job), request)
        return _File(picture, "png", job.prediction)

    @app.get("/answers/{ticket}/json", response_class=Response, responses=_describe("json"))
    async def answer_as_json(ticket: Ticket) -> Response:
        """Download an answer as JSON, as ``mien predict --json`` writes it."""
        prediction = recent.find(ticket)
        return _File(prediction.model_dump_json(indent=1).encode(), "json", prediction)

    @app.get("/answers/{ticket}/csv", response_class=Response, responses=_describe("csv"))
    async def answer_as_csv(ticket: Ticket) -> Response:
        """Download an answer as CSV, a row for each utterance."""
        prediction = recent.find(ticket)
        return _File(format_rows(prediction).encode(), "csv", prediction)

    @app.get("/answers/{ticket}/png", response_class=Response, responses=_describe("png") | drawn)
    async def answer_as_picture(request: Request, ticket: Ticket) -> Response:
        """Download the picture of an answer, without frames of the recording."""
        prediction = recent.find(ticket)
        with queue.admit(secrets.token_hex(16), is_here=True):
            return await draw(request, PictureJob(prediction=prediction))

    @app.post(
        "/answers/{ticket}/png-with-frames",
        response_class=Response,
        responses=_describe("png") | drawn | problems(400, 403, 408, 413, 415),
        openapi_extra={"requestBody": describe_upload("The recording, for frames of the face.")},
    )
    async def answer_as_picture_with_frames(request: Request, ticket: Ticket) -> Response:
        """Download the picture of an answer, with frames of the recording, which is sent again."""
        prediction = recent.find(ticket)
        with (
            queue.admit(secrets.token_hex(16)) as queued,
            receive_upload(app.state.folder, request.headers.get("content-type", "")) as receiver,
        ):
            upload = await receiver.read(aiter(request.stream()), settings)
            queued.stage = "waiting"
            job = PictureJob(prediction=prediction, path=upload.path, name=upload.name)
            return await draw(request, job)


def _describe(kind: FileKind) -> dict[int | str, dict[str, object]]:
    content = {_TYPES[kind].partition(";")[0]: {"schema": _SCHEMAS[kind]}}
    return {200: {"description": "The file.", "content": content}, **problems(404, 422)}


_SCHEMAS: dict[FileKind, dict[str, object]] = {
    "json": {"type": "object"},
    "csv": {"type": "string"},
    "png": {"type": "string", "format": "binary"},
}
