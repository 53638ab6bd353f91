"""The web application: the page, and the HTTP API behind it."""

import contextlib
import secrets
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from mien.config import Settings
from mien.files.reading import as_printable
from mien.prediction.presentation.model_card import render_card
from mien.prediction.result import Prediction
from mien.prediction.server.downloads import add_downloads
from mien.prediction.server.kept_answers import KeptAnswers
from mien.prediction.server.limits import (
    LONGEST_TEXT,
    Refused,
    ServeSettings,
    describe_upload,
    problems,
)
from mien.prediction.server.middleware import HEADERS, RequestFilter
from mien.prediction.server.request_queue import Progress, RequestQueue, while_connected
from mien.prediction.server.uploads import receive_upload
from mien.prediction.server.worker import OnState, State, Worker
from mien.prediction.server.worker_process import Loaded, PredictionJob
from mien.training.checkpoints.shipped_models import DEFAULT_MODEL, SHIPPED_MODELS

__all__ = ["Health", "TextRequest", "create_app"]

_STATIC = Path(__file__).parent / "static"
_LONGEST_DETAIL = 2_000  # characters of a sentence
_LONGEST_NAME = 200
_TICKET = r"^[0-9a-f]{16,64}$"
_FORM = describe_upload(
    "Any recording with sound or a moving picture.",
    transcript={
        "type": "string",
        "maxLength": LONGEST_TEXT,
        "description": "auto: it is recognised; none: it is left out; or the words themselves.",
    },
)

Ticket = Annotated[
    # a header is absent or a text, never null
    Annotated[str, Field(pattern=_TICKET)] | SkipJsonSchema[None],
    Header(
        alias="X-Ticket",
        description="Hex digits of your choice, with which GET /progress shows how far the request "
        "is, and GET /answers gives the answer as a file.",
    ),
]


class TextRequest(Settings):
    """A sentence whose sentiment is predicted.

    Attributes:
        text: The sentence.
    """

    text: str = Field(min_length=1, max_length=LONGEST_TEXT, description="The sentence.")


class Health(Settings):
    """The state of the server.

    Attributes:
        state: ``ready``; ``loading``: requests wait for the model; ``failed``: it could not be
            loaded, and the next request tries once more.
        loading_seconds: Seconds for which the model has been loading, or that loading it took.
        inside: Requests that wait or are worked on.
        queue: How many may wait.
        max_upload_mb: Most bytes of an upload, in millions.
        time_limit: Most seconds that one prediction may take.
        detail: Why it failed.
    """

    state: State
    inside: int
    queue: int
    max_upload_mb: float
    time_limit: float
    detail: str = ""
    loading_seconds: float = 0.0


def create_app(settings: ServeSettings, on_state: OnState | None = None) -> FastAPI:
    """Make the application; its worker lives from the start of the server to its end.

    Args:
        settings: How the server behaves.
        on_state: Called when the model begins to load, is ready, or could not be loaded.
    """
    app = FastAPI(
        title="mien",
        summary="Sentiment of recordings and sentences, with intervals and what moved them.",
        version="1",
        docs_url=None,
        redoc_url=None,
        lifespan=_live,
    )
    app.state.settings = settings
    app.state.on_state = on_state
    app.state.queue = RequestQueue(settings.queue)
    app.state.recent = KeptAnswers()
    _add_answers(app)
    add_downloads(app)
    _add_facts(app)
    _add_pages(app)
    _add_refusals(app)
    app.add_middleware(RequestFilter, settings=settings)
    return app


@contextlib.asynccontextmanager
async def _live(app: FastAPI) -> AsyncIterator[None]:
    with tempfile.TemporaryDirectory(prefix="mien-serve-", ignore_cleanup_errors=True) as folder:
        app.state.folder = Path(folder)
        worker = Worker(app.state.settings, Path(folder), app.state.on_state)
        app.state.worker = worker
        worker.start()
        try:
            yield
        finally:
            await worker.stop()


async def _want_json(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, "the body must be application/json with a field named text")


def _add_answers(app: FastAPI) -> None:
    queue: RequestQueue = app.state.queue
    recent: KeptAnswers = app.state.recent
    settings: ServeSettings = app.state.settings
    answers = problems(400, 403, 409, 422, 429, 500, 503, 504)

    @app.post(
        "/predict",
        responses=answers | problems(408, 413, 415),
        openapi_extra={"requestBody": _FORM},
    )
    async def predict(request: Request, x_ticket: Ticket = None) -> Prediction:
        """Predict the sentiment of a recording, utterance by utterance."""
        with (
            queue.admit(x_ticket or secrets.token_hex(16)) as queued,
            receive_upload(app.state.folder, request.headers.get("content-type", "")) as receiver,
        ):
            upload = await receiver.read(aiter(request.stream()), settings)
            queued.stage = "waiting"
            job = PredictionJob(path=upload.path, name=upload.name, transcript=upload.transcript)
            work = app.state.worker.answer(job, queued.move)
            prediction: Prediction = await while_connected(work, request)
            if x_ticket is not None:
                recent.keep(x_ticket, prediction)
            return prediction

    @app.post(
        "/predict/text",
        responses=answers | problems(408, 413, 415),
        dependencies=[Depends(_want_json)],
    )
    async def predict_text(
        request: Request, sentence: TextRequest, x_ticket: Ticket = None
    ) -> Prediction:
        """Predict the sentiment of a sentence."""
        with queue.admit(x_ticket or secrets.token_hex(16), is_here=True) as queued:
            work = app.state.worker.answer(PredictionJob(text=sentence.text), queued.move)
            prediction: Prediction = await while_connected(work, request)
            if x_ticket is not None:
                recent.keep(x_ticket, prediction)
            return prediction

    @app.get("/progress/{ticket}", responses=problems(404, 422))
    async def progress(
        ticket: Annotated[str, InPath(description="The X-Ticket that the request was sent with.")],
    ) -> Progress:
        """Show the progress of a request that was sent with a ticket."""
        return queue.progress_of(ticket)


def _add_facts(app: FastAPI) -> None:
    queue: RequestQueue = app.state.queue
    settings: ServeSettings = app.state.settings

    @app.get("/health")
    async def health() -> Health:
        """Show whether the model is ready, and how many requests there are."""
        worker: Worker = app.state.worker
        return Health(
            state=worker.state,
            inside=len(queue),
            queue=settings.queue,
            max_upload_mb=settings.max_upload_mb,
            time_limit=settings.time_limit,
            detail=as_printable(worker.failure, most=_LONGEST_DETAIL),
            loading_seconds=round(worker.loading_seconds, 1),
        )

    @app.get("/model", responses=problems(503))
    async def model() -> Loaded:
        """Show which model is loaded, and its scale."""
        worker: Worker = app.state.worker
        if worker.loaded is None:
            raise Refused(503, worker.failure or "the model is loading; try later", retry_after=5)
        return worker.loaded


def _add_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_STATIC / "index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(_STATIC / "docs.html")

    @app.get("/model-card", include_in_schema=False)
    @app.get("/model-card/{name}", include_in_schema=False)
    async def card(name: str = DEFAULT_MODEL.stem) -> HTMLResponse:
        if name not in SHIPPED_MODELS:
            raise Refused(404, f"there is a card of each of {', '.join(SHIPPED_MODELS)} only")
        shell = (_STATIC / "model-card.html").read_text(encoding="utf-8")
        return HTMLResponse(shell.replace("<!-- card -->", render_card(name)))

    @app.get("/favicon.ico", include_in_schema=False)  # asked for by pages without a link to it
    async def icon() -> FileResponse:
        return FileResponse(_STATIC / "icon.svg")

    app.mount("/static", StaticFiles(directory=_STATIC), name="static")


def _add_refusals(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    async def refuse(request: Request, error: Refused) -> Response:  # noqa: ARG001  # FastAPI's
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        return _respond(error.detail, error.status, headers)

    @app.exception_handler(ClientDisconnect)
    async def leave(request: Request, error: ClientDisconnect) -> Response:  # noqa: ARG001
        return _respond("the upload broke off before its end", 400)

    @app.exception_handler(HTTPException)
    async def fail(request: Request, error: HTTPException) -> Response:  # noqa: ARG001
        return _respond(str(error.detail), error.status_code, error.headers)

    @app.exception_handler(Exception)  # a fault of ours; it is raised again and logged
    async def break_down(request: Request, error: Exception) -> Response:  # noqa: ARG001
        return _respond("the server made a mistake; its console says which", 500, HEADERS)

    @app.exception_handler(RequestValidationError)
    async def mend(request: Request, error: RequestValidationError) -> Response:  # noqa: ARG001
        first = error.errors()[0]
        field = as_printable(".".join(str(part) for part in first["loc"]), most=_LONGEST_NAME)
        return _respond(f"{field}: {first['msg']}", 422)


def _respond(detail: str, status: int, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Answer with one sentence, in which nothing of a request is long or steers a terminal."""
    body = {"detail": as_printable(detail, most=_LONGEST_DETAIL)}
    return JSONResponse(body, status_code=status, headers=headers)
