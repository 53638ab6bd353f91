"""A piece of work on a machine of a cluster: in a process of its own, that ends with who gave it.

Workers of Dask are threads of one process, which would share torch's randomness and its number of
threads; and neither those of Dask nor of Ray can be interrupted. So the work is done by a child.
It ends when the process that started it is gone, and that process ends it when the one that gave
the work is: that one changes the time of a file that all machines see (``presence``).
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from mien.errors import TrainingError
from mien.processes import python_command, safe_environment

__all__ = ["main", "run_in_process"]

#: Seconds between two looks at the file.
_LOOK_SECONDS = 1.0
#: Seconds without a change of the file after which nobody waits for the work any more.
_LONGEST_SILENCE = 300.0
_LENGTH_BYTES = 8


def run_in_process(payload: bytes, presence: str) -> bytes:
    """Do a piece of work in a child process.

    Args:
        payload: The work and its item, pickled.
        presence: Path of the file that is there and changes as long as somebody waits.

    Returns:
        Whether it was done, and its result or its error, pickled.
    """
    if not Path(presence).is_file():
        error = TrainingError(
            f"{Path(presence).parent}: a machine of the cluster does not see this folder; the "
            "store, the folder of --out and the cache folder must be shared by all of them"
        )
        return pickle.dumps((False, error))
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**safe_environment(), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
        python_command("mien.processes.cluster_work"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**environment, "PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,
    )
    answers: list[bytes] = []
    reader = threading.Thread(target=lambda: answers.append(_talk(process, payload)), daemon=True)
    reader.start()
    try:
        _wait(reader, Path(presence))
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
    if answers and answers[0]:
        return answers[0]
    error = TrainingError(
        "a process on a machine of the cluster was killed, perhaps because memory ran out; go on "
        "with fewer --jobs and --resume: what is finished is kept"
    )
    return pickle.dumps((False, error))


def _talk(process: "subprocess.Popen[bytes]", payload: bytes) -> bytes:
    """Give a child its work, and return what it answers; its stdin stays open until it ends."""
    if process.stdin is None or process.stdout is None:
        return b""
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(len(payload).to_bytes(_LENGTH_BYTES, "big") + payload)
        process.stdin.flush()
    return process.stdout.read()


def _wait(reader: threading.Thread, presence: Path) -> None:
    """Wait for the end of a thread, or until nobody waits any more for what it does."""
    before, changed = 0, time.monotonic()
    while reader.is_alive():
        reader.join(_LOOK_SECONDS)
        try:
            now = presence.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if now != before:
            before, changed = now, time.monotonic()
        elif time.monotonic() - changed > _LONGEST_SILENCE:
            return


def main() -> int:
    """Be the child: read the work from stdin, do it, and answer on stdout."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries that print do not disturb the answer
    size = int.from_bytes(_receive(_LENGTH_BYTES), "big")
    work, item = pickle.loads(_receive(size))  # noqa: S301  # from the process that started this
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answer: tuple[bool, Any]
    try:
        answer = True, work(item)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is raised again over there
        answer = False, error
    answers.write(pickle.dumps(answer))
    answers.flush()
    return 0


def _receive(size: int) -> bytes:
    parts = []
    while size and (part := os.read(0, min(size, 1 << 20))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _end_with_parent() -> None:
    """End, with every program started here, when nobody holds the other end of stdin."""
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
