"""Clips of one recording extracted by several processes, given back in their order."""

import contextlib
import tempfile
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from mien.errors import ExtractionError
from mien.extraction.clip import ClipTask, ExtractionSettings
from mien.extraction.clip_results import read_series
from mien.extraction.extractors import Features
from mien.extraction.processes.backends import ClipJob, run_all

__all__ = ["extract_side_by_side"]


def extract_side_by_side(
    tasks: Sequence[ClipTask], settings: ExtractionSettings, names: Sequence[str], jobs: int
) -> Generator[Mapping[str, Features]]:
    """Extract clips in guarded processes, each of which loads its models once.

    A clip that hangs is cut by its time limit, and one that ends its process is lost alone; of
    these there are no features.

    Args:
        tasks: The clips; where their results go is chosen here.
        settings: What is made of every clip.
        names: Series that there may be.
        jobs: How many processes.

    Raises:
        ExtractionError: If a process cannot start, or runs out of memory.
    """
    with tempfile.TemporaryDirectory(prefix="mien-") as folder:
        results = [Path(folder) / f"{number}.npz" for number in range(len(tasks))]
        messages = [
            task.model_copy(update={"out": result}).model_dump_json()
            for task, result in zip(tasks, results, strict=True)
        ]
        job = ClipJob(settings=settings.model_dump_json(), limit=None, command=(), folder=folder)
        ended: set[int] = set()
        next_number = 0
        with contextlib.closing(run_all(job, messages, jobs=jobs)) as outcomes:
            for number, outcome in outcomes:
                if outcome.state == "failed":
                    raise ExtractionError(outcome.reason)
                ended.add(number)
                while next_number in ended:
                    yield _read(results[next_number], names)
                    results[next_number].unlink(missing_ok=True)
                    next_number += 1


def _read(result: Path, names: Sequence[str]) -> dict[str, Features]:
    if not result.is_file():
        return {}
    features = {}
    for name in names:
        values = read_series(result, f"{name}_values")
        times = read_series(result, f"{name}_times")
        if values is not None and times is not None:
            features[name] = Features(values=values, times=times, notes={})
    return features
