"""Processes: how many may run at once, and how Python is started without a stranger's modules.

``python -m`` and ``python -c``, by which processes are spawned, put the working directory first on
the path of modules. A folder of recordings with a ``json.py`` in it would then have it run.

``work_pool`` does pieces of work side by side in processes of this machine, ``clusters`` on a Dask
or Ray cluster, where ``cluster_work`` is the process that does one. ``threads`` says with how many
threads torch computes.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

__all__ = ["num_processors", "python_command", "safe_environment", "safe_spawn"]

_SAFE = "PYTHONSAFEPATH"
_LOCK = threading.Lock()


def num_processors() -> int:
    """Return how many processors this process may use, which can be fewer than the machine has."""
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def python_command(module: str) -> list[str]:
    """Return the command that runs a module by this Python; further arguments follow.

    >>> python_command("pip")[1:]
    ['-P', '-m', 'pip']
    """
    return [sys.executable, "-P", "-m", module]


def safe_environment() -> dict[str, str]:
    """Return the environment for a child whose own children are started safely, too."""
    return {**os.environ, _SAFE: "1"}


@contextlib.contextmanager
def safe_spawn() -> Iterator[None]:
    """Let processes that ``multiprocessing`` spawns in this block leave the working directory out.

    They are started by a command of its own, which only the environment reaches.
    """
    with _LOCK:
        before = os.environ.get(_SAFE)
        os.environ[_SAFE] = "1"
        try:
            yield
        finally:
            if before is None:
                del os.environ[_SAFE]
            else:
                os.environ[_SAFE] = before
