"""A Dask and a Ray cluster of this machine, each of two workers."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(__file__).parents[1] / "src"),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_RECORD_ACTOR_TASK_LOGGING": "0",
}


def find_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextlib.contextmanager
def program(*command):
    process = subprocess.Popen(
        command,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(port):
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.2)
    raise TimeoutError(port)


@contextlib.contextmanager
def dask_cluster():
    port, dask = find_port(), (sys.executable, "-m", "dask")
    address = f"tcp://127.0.0.1:{port}"
    with (
        program(*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"),
        program(
            *(*dask, "worker", address, "--nworkers", "2", "--nthreads", "1"),
            *("--host", "127.0.0.1", "--no-dashboard"),
        ),
    ):
        wait_for(port)
        yield address


@contextlib.contextmanager
def ray_cluster():
    ray = shutil.which("ray", path=str(Path(sys.executable).parent))
    port = find_port()
    place = tempfile.mkdtemp(prefix="ray")  # sockets need short paths
    with program(
        *(ray, "start", "--head", "--block", "--port", str(port), "--num-cpus", "2"),
        *("--include-dashboard", "false", "--disable-usage-stats"),
        *("--node-ip-address", "127.0.0.1", "--object-store-memory", "100000000"),
        *("--temp-dir", place),
    ):
        wait_for(port)
        yield f"127.0.0.1:{port}"
    shutil.rmtree(place, ignore_errors=True)


KINDS = {"dask": ("distributed", dask_cluster), "ray": ("ray", ray_cluster)}
_running = contextlib.ExitStack()
_addresses = {}


#: Ray takes half a minute to start, and what it does is what Dask does.
_EXTENDED = {"ray": pytest.mark.extended}


@pytest.fixture(params=[pytest.param(kind, marks=_EXTENDED.get(kind, ())) for kind in KINDS])
def cluster(request):
    """Options for work on one of the clusters, which runs until ``stop_clusters``."""
    package, start = KINDS[request.param]
    pytest.importorskip(package, reason=f"install mien[{request.param}]")
    if request.param not in _addresses:
        _addresses[request.param] = _running.enter_context(start())
    return {"backend": request.param, "address": _addresses[request.param]}


def stop_clusters():
    """Stop what runs: its processes take time even when nobody asks them for anything."""
    _addresses.clear()
    _running.close()
