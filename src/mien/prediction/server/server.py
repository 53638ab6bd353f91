"""Runs the web application until it is stopped."""

import socket
from typing import TYPE_CHECKING

from mien.errors import ConfigError, require
from mien.prediction.server.limits import ServeSettings

if TYPE_CHECKING:
    import uvicorn

    from mien.prediction.server.worker import OnState

__all__ = ["make_server", "open_socket", "serve"]

_BACKLOG = 2048  # clients that may wait to be let in, as uvicorn has it


def open_socket(settings: ServeSettings) -> socket.socket:
    """Take the address, and let clients wait there; port 0 takes any free port.

    Raises:
        ConfigError: If it cannot be had.
    """
    kind = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    taken = socket.socket(kind, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((settings.host, settings.port))
        taken.listen(_BACKLOG)
    except OSError as error:
        taken.close()
        raise ConfigError(
            f"{settings.host}:{settings.port}: cannot be listened on ({error.strerror}); "
            "give another --host or --port"
        ) from error
    return taken


def make_server(settings: ServeSettings, on_state: "OnState | None" = None) -> "uvicorn.Server":
    """Make the server of the application, not yet started.

    Args:
        settings: How it behaves.
        on_state: Called when the model begins to load, is ready, or could not be loaded.

    Raises:
        ConfigError: If a package is missing.
    """
    require("fastapi", "python_multipart", "uvicorn", extra="serve")
    import uvicorn

    from mien.prediction.server.app import create_app
    from mien.prediction.server.connection import limited_protocol

    config = uvicorn.Config(
        create_app(settings, on_state),
        log_level="warning",
        server_header=False,
        ws="none",
        lifespan="on",
        http=limited_protocol(settings.stall_limit),
        timeout_graceful_shutdown=3,
    )
    return uvicorn.Server(config)


def serve(settings: ServeSettings, taken: socket.socket, on_state: "OnState | None" = None) -> None:
    """Serve the page and the API on a socket until Ctrl-C.

    Args:
        settings: How the server behaves.
        taken: Where it listens.
        on_state: Called when the model begins to load, is ready, or could not be loaded.

    Raises:
        ConfigError: If a package is missing.
    """
    with taken:
        make_server(settings, on_state).run(sockets=[taken])
