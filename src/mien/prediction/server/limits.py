"""What a server of predictions accepts, and how it says no."""

from http import HTTPStatus
from pathlib import Path
from typing import Any, TypedDict

from pydantic import Field, PositiveFloat, PositiveInt

from mien.config import Settings

__all__ = [
    "LONGEST_TEXT",
    "LOOPBACK",
    "LoadOptions",
    "Problem",
    "Refused",
    "ServeSettings",
    "describe_upload",
    "problems",
]

#: Characters of a text or of a given transcript.
LONGEST_TEXT = 20_000
#: Names by which a machine calls itself.
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class LoadOptions(TypedDict):
    """What a loader is told besides the model: arguments of ``mien.load``."""

    device: str
    recogniser: str
    language: str | None
    baseline: str | None
    companion: str
    int8: bool


class ServeSettings(Settings):
    """How a server of predictions behaves.

    Attributes:
        model: A run folder or checkpoint; None for the model that comes with the package.
        loader: Importable name, ``module:function``, of what opens the model in the worker.
        device: Where the model computes, as the next ones an argument of ``mien.load``.
        recogniser: What recognises speech.
        language: What is said or written; None where it is detected.
        baseline: Of a model that reads voice and face against a person: against whom.
        companion: What answers further targets, such as emotion.
        int8: Whether the text encoder computes in 8 bits.
        host: Address on which it listens; with one of this machine alone, requests that name
            another host are refused.
        port: Its port.
        max_upload_mb: Most bytes of an upload, in millions; counted as they arrive.
        time_limit: Most seconds that one prediction may take.
        stall_limit: Most seconds without a byte of an upload, for the head of any request, and for
            a sentence to arrive.
        slowest_upload: Thousands of bytes a second that an upload brings on average, at least.
        upload_grace: Seconds from its start for which an upload may be slower.
        queue: Most requests that wait or arrive while another is worked on; uploads that still
            arrive keep no sentence from waiting.
        load_attempts: How often loading the model may fail in a row; until then the next request
            loads it once more. How long it takes to load is not limited.
    """

    model: Path | None = None
    loader: str = "mien.prediction.predictor:load"
    device: str = "cpu"
    recogniser: str = "auto"
    language: str | None = None
    baseline: str | None = None
    companion: str = "auto"
    int8: bool = False
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    max_upload_mb: PositiveFloat = 500.0
    time_limit: PositiveFloat = 600.0
    stall_limit: PositiveFloat = 30.0
    slowest_upload: PositiveFloat = 50.0
    upload_grace: PositiveFloat = 60.0
    queue: PositiveInt = 8
    load_attempts: PositiveInt = 3

    @property
    def load_options(self) -> LoadOptions:
        """What the loader is told besides the model, by the names of its arguments."""
        return {
            "device": self.device,
            "recogniser": self.recogniser,
            "language": self.language,
            "baseline": self.baseline,
            "companion": self.companion,
            "int8": self.int8,
        }

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host in LOOPBACK


class Problem(Settings):
    """Why a request was not answered.

    Attributes:
        detail: One sentence.
    """

    detail: str


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of answers without a result, for OpenAPI."""
    return {n: {"model": Problem, "description": HTTPStatus(n).phrase} for n in statuses}


class Refused(Exception):  # noqa: N818  # an answer, not a fault
    """A request is answered with a status and one sentence.

    Args:
        status: The HTTP status.
        detail: The sentence.
        retry_after: Seconds after which another try makes sense; None if none does.
    """

    def __init__(self, status: int, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_after = retry_after


def describe_upload(file: str, **fields: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a form with a recording, for OpenAPI.

    Args:
        file: What the recording is for.
        **fields: Further fields, each with its schema.
    """
    upload = {"type": "string", "format": "binary", "minLength": 1, "description": file}
    schema = {
        "type": "object",
        "required": ["file"],
        "additionalProperties": False,
        "properties": {"file": upload, **fields},
    }
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
