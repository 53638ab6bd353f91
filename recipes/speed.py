"""Say how many seconds of recordings one core turns into features in a second, stage by stage.

    python recipes/speed.py FOLDER OUT.md --extractor NAME ... [--every N]

Of the recordings in FOLDER every N-th in the order of their names is decoded once, and what the
extractors do with it is timed. What counts is time of the processor, in one process with one
thread: on a machine that does other work as well, it is not exact, but does not double. Loading
models and compiling are not counted. A Markdown table is written to OUT.md.
"""

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.corpora.recordings import SUFFIXES
from mien.extraction.extractors import EXTRACTORS
from mien.extraction.media import AudioSink, FrameSink, Source, decode
from mien.files.atomic import write_text
from mien.reports.text import markdown_table
from mien.types import Modality

DECODING = "decoding"


@dataclass(slots=True)
class Measured:
    """What stages made of one recording.

    Attributes:
        seconds: Length of the recording.
        spent: Seconds of the processor by stage; decoding is what no stage took.
        found: What each stage made: features of an extractor, a transcript of a recogniser.
    """

    seconds: float
    spent: Counter[str] = field(default_factory=Counter)
    found: dict[str, Any] = field(default_factory=dict)


def measure(path: Path, stages: dict[str, Any]) -> Measured:
    """Decode a recording once for all stages, and take the time of each.

    Args:
        path: The recording.
        stages: Extractors and recognisers by name.
    """
    spent: Counter[str] = Counter()
    audio, frames, endings = [], [], {}
    begun = time.process_time()
    for name, stage in stages.items():
        stream = _timed(stage.begin, spent, name)(Source(path=path))
        feed = _timed(stream.feed, spent, name)
        endings[name] = _timed(stream.finish, spent, name)
        if hasattr(stage, "rate_hertz"):
            audio.append(AudioSink(stage.rate_hertz, feed))
        else:
            frames.append(FrameSink(stage.frame_rate, feed))
    decoded = decode(Source(path=path), audio=audio, frames=frames)
    found = {name: finish() for name, finish in endings.items()}
    spent[DECODING] = time.process_time() - begun - sum(spent.values())
    for name, stage in stages.items():  # nothing was fed to these
        if not (decoded.has_audio if hasattr(stage, "rate_hertz") else decoded.has_video):
            del found[name], spent[name]
    return Measured(decoded.seconds, spent, found)


def _timed(function: Callable[..., Any], spent: Counter[str], name: str) -> Callable[..., Any]:
    def run(*arguments: object) -> object:
        begun = time.process_time()
        result = function(*arguments)
        spent[name] += time.process_time() - begun
        return result

    return run


def speed(measured: Iterable[Measured], stage: str) -> str:
    """Return seconds of recordings per second of the processor; empty if the stage had nothing."""
    chosen = [one for one in measured if stage in one.spent]
    total = sum(one.spent[stage] for one in chosen)
    return f"{sum(one.seconds for one in chosen) / total:.1f}" if total else ""


def use_one_core() -> None:
    """Keep this process on one core, so that no library's threads help."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def find_recordings(folder: Path) -> list[Path]:
    """Return the recordings of a folder in the order of their names."""
    return sorted(one for one in folder.iterdir() if one.suffix.lower() in SUFFIXES)


def _tabulate(paths: Sequence[Path], names: Sequence[str]) -> str:
    stages = {name: EXTRACTORS[name].build("") for name in names}
    measure(paths[0], stages)  # compiles what is compiled once
    measured = [measure(path, stages) for path in paths]
    seconds = sum(one.seconds for one in measured)
    rows = [
        [stage, str(len(measured)), f"{seconds:.0f}", speed(measured, stage)]
        for stage in [DECODING, *names]
    ]
    return markdown_table(["", "recordings", "seconds", "seconds per second of one core"], rows)


if __name__ == "__main__":
    heard = [name for name, entry in EXTRACTORS.items() if entry.modality is Modality.AUDIO]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("--extractor", action="append", choices=heard, required=True)
    arguments = parser.parse_args()
    use_one_core()
    chosen = find_recordings(arguments.folder)[:: arguments.every]
    write_text(arguments.out, _tabulate(chosen, arguments.extractor) + "\n")
