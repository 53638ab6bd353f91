"""The command line: each command is a few lines around one public function.

``root`` lists the commands and runs one, ``options`` and ``progress`` are what they share.
"""

import atexit
import gc
import os
import sys
from collections.abc import Sequence

import mien
from mien.cli.root.catalogue import describe, describe_settings

__all__ = ["main"]

_HELP = (["--help"], ["-h"], ["help"])
_MISUSED = 2
#: How often a thread of OpenMP looks for work before it sleeps. Its own choice is 300,000 times,
#: which multiplies the time where other programs have the cores, and wins nothing where they have
#: not.
_LOOKS_FOR_WORK = "1000"
#: New objects between two searches for unreachable ones. With Python's own 700 they are a fifth of
#: importing torch, and a last one of all that was imported as much again, for nothing.
_OBJECTS_BETWEEN_SEARCHES = 100_000


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 if all is well; 1 if too many clips failed in an extraction, a seed of a training diverged
        and is missing from its numbers, or ``mien doctor`` misses what every command needs; 2,
        after one sentence on stderr, for what the user can mend; 130 after Ctrl-C.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    if not words:
        print(describe(), file=sys.stderr)
        return _MISUSED
    if words in _HELP:
        return _show(describe())
    if words == ["--version"]:
        return _show(f"mien {mien.__version__}")
    if words == ["configs"]:
        return _show(describe_settings())
    if argv is None:
        gc.set_threshold(_OBJECTS_BETWEEN_SEARCHES, *gc.get_threshold()[1:])
        atexit.register(gc.freeze)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _LOOKS_FOR_WORK)
    from mien.cli.root.application import run  # typer takes longer than all that is above

    return run(words)


def _show(text: str) -> int:
    """Print a text; return 0, or 1 if nobody reads it to its end."""
    try:
        print(text, flush=True)
    except BrokenPipeError:  # as of mien --help | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0
