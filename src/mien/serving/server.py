"""Runs the web application until it is stopped."""

import socket

from mien.errors import ConfigError
from mien.packages import require
from mien.serving.limits import ServeSettings

__all__ = ["open_socket", "serve"]


def open_socket(settings: ServeSettings) -> socket.socket:
    """Take the address; port 0 takes any free port.

    Raises:
        ConfigError: If it cannot be had.
    """
    kind = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    taken = socket.socket(kind, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((settings.host, settings.port))
    except OSError as error:
        taken.close()
        raise ConfigError(
            f"{settings.host}:{settings.port}: cannot be listened on ({error.strerror}); "
            "give another --host or --port"
        ) from error
    return taken


def serve(settings: ServeSettings, taken: socket.socket) -> None:
    """Serve the page and the API on a socket until Ctrl-C.

    Raises:
        ConfigError: If a package is missing.
    """
    require("fastapi", "python_multipart", "uvicorn", extra="serve")
    import uvicorn

    from mien.serving.app import create_app

    config = uvicorn.Config(
        create_app(settings),
        log_level="warning",
        server_header=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=3,
    )
    with taken:
        uvicorn.Server(config).run(sockets=[taken])
