"""The command that serves a page on which to try a model."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import require_trained
from mien.cli.predict import (
    BaselineOption,
    CompanionOption,
    DeviceOption,
    Int8Option,
    LanguageOption,
    ModelOption,
    RecogniserOption,
)

if TYPE_CHECKING:
    from mien.prediction.server.worker import OnState

__all__ = ["announce_state", "serve"]


def serve(
    model: ModelOption = None,
    recogniser: RecogniserOption = "auto",
    language: LanguageOption = None,
    device: DeviceOption = "cpu",
    baseline: BaselineOption = None,
    companion: CompanionOption = "auto",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port; 0 for any that is free.")
    ] = 8000,
    max_upload_mb: Annotated[
        float, typer.Option(min=0.001, help="Largest upload, in megabytes.")
    ] = 500.0,
    time_limit: Annotated[
        float, typer.Option(min=0.1, help="Most seconds for one prediction.")
    ] = 600.0,
    queue: Annotated[int, typer.Option(min=1, help="How many requests may wait.")] = 8,
    *,
    int8: Int8Option = False,
) -> None:
    """Serve a page and an HTTP API for predictions."""
    from mien.config import read_settings
    from mien.errors import require
    from mien.prediction.server.limits import ServeSettings

    require("fastapi", "python_multipart", "uvicorn", extra="serve")
    if model is not None:
        require_trained(model)
    from mien.prediction.predictor import load
    from mien.prediction.server.server import open_socket
    from mien.prediction.server.server import serve as run

    given = {
        "model": model,
        "recogniser": recogniser,
        "language": language,
        "device": device,
        "baseline": baseline,
        "companion": companion,
        "int8": int8,
        "host": host,
        "port": port,
        "max_upload_mb": max_upload_mb,
        "time_limit": time_limit,
        "queue": queue,
    }
    settings = read_settings(ServeSettings, given, where="serve")
    load(model, **settings.load_options)  # what is wrong is said now, not by the page
    taken = open_socket(settings)
    if not settings.is_loopback:
        print(
            f"mien: {host} may be reached by other machines, and nobody is asked who they are",
            file=sys.stderr,
        )
    shown = f"[{host}]" if ":" in host else host
    run(settings, taken, announce_state(f"http://{shown}:{taken.getsockname()[1]}/"))


def announce_state(url: str) -> "OnState":
    """Return a function that prints each state of the model; ``url`` is where the page is."""

    def announce(state: str, seconds: float, failure: str) -> None:
        if state == "loading":
            print(
                f"loading the model ...   ({url} shows it too; Ctrl-C stops the server)", flush=True
            )
        elif state == "ready":
            print(f"ready at {url}   (loaded in {seconds:.1f} s)", flush=True)
        else:
            print(f"mien: there is no model: {failure}", file=sys.stderr)

    return announce
