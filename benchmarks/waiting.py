"""Compare how long threads of OpenMP look for work before they sleep, where the cores are taken.

    python benchmarks/waiting.py [--rounds 3] [--busy N]

While N other processes compute (as many as there are cores if nothing is said), ``mien predict
--text`` runs with OpenMP's own choice and with that of the command line, in turn. Prints the median
seconds of the processor of each and their ratio. The shipped model must be ready to predict.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: What libgomp takes where nothing is set.
_OWN_CHOICE = "300000"
_COMMAND = ["-m", "mien", "predict", "--text", "I loved it, and so did everybody else."]


@contextmanager
def taking_cores(number: int) -> Iterator[None]:
    """Let so many processes compute for the time of the block."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def seconds_of(setting: dict[str, str]) -> float:
    """Return the seconds of the processor that the command takes."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", **setting}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *_COMMAND], env=environment, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(rounds: int, busy: int) -> None:
    """Measure and print."""
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        os.environ.pop(name, None)
    ways: dict[str, dict[str, str]] = {
        "OpenMP's own choice": {"GOMP_SPINCOUNT": _OWN_CHOICE},
        "the command line's": {},
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with taking_cores(busy):
        for _ in range(rounds):
            for name, setting in ways.items():
                seconds[name].append(seconds_of(setting))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        print(f"{name:<22}{median:6.2f} s")
    first, second = medians.values()
    print(f"ratio                 {first / second:6.2f}   ({busy} processes beside it)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="How often each runs.")
    parser.add_argument("--busy", type=int, default=os.cpu_count() or 1, help="Other processes.")
    given = parser.parse_args()
    main(given.rounds, given.busy)
