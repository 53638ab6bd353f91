"""Recordings to a store: clip by clip, on many processes or machines, and resumable at any moment.

A store holds nothing of how it came about: neither times, nor the order in which clips were done,
nor the number of jobs. So an extraction that was stopped and resumed gives the same bytes as one
that was not.
"""

import contextlib
import csv
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from mien.corpora.recordings import Recordings
from mien.data.store import Store, open_store
from mien.data.store_writer import STORE, write_store
from mien.errors import StoreError
from mien.extraction.assembly import collect, describe_origin, describe_series
from mien.extraction.clip import ExtractionSettings
from mien.extraction.processes.backends import Backend, ClipJob, run_all
from mien.extraction.processes.supervisor import ClipOutcome
from mien.extraction.workspace import (
    Skipped,
    is_done,
    list_skipped,
    open_workspace,
    plan_clips,
    record_outcome,
    remove_finished,
    remove_work,
    write_task,
)
from mien.files.folders import check_target
from mien.processes.clusters import default_jobs
from mien.types import Word

__all__ = ["Extracted", "ExtractionListener", "Skipped", "extract"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """What an extraction ended with.

    Attributes:
        store: The store; None if more clips failed than may.
        skipped: The clips that failed, in the order of the corpus.
        table: The same as a CSV file, if there are any.
    """

    store: Store | None
    skipped: tuple[Skipped, ...]
    table: Path | None


@runtime_checkable
class ExtractionListener(Protocol):
    """Is told how an extraction goes on."""

    def on_begin(self, total: int, done: int) -> None:
        """Take the number of clips, and of those that an earlier run has done."""
        ...

    def on_clip(self, outcome: ClipOutcome) -> None:
        """Take what came of one clip."""
        ...


def extract(
    recordings: Recordings,
    out: Path,
    settings: ExtractionSettings,
    *,
    words: Mapping[str, tuple[Word, ...]] | None = None,
    jobs: int | None = None,
    backend: Backend = "local",
    address: str | None = None,
    time_limit: float | None = None,
    max_skipped: int = 0,
    resume: bool = False,
    replace_store: bool = False,
    listener: ExtractionListener | None = None,
    worker: Sequence[str] = (),
) -> Extracted:
    """Extract the features of recordings into a store.

    A clip that fails is skipped and never ends the others. If more are skipped than may be, no
    store is written, but all results are kept: ``resume`` with a higher ``max_skipped`` ends at
    once, and repaired recordings are all that is worked on. A clip that has some of the modalities
    is not skipped; it lacks the others.

    Args:
        recordings: The clips.
        out: The store to make.
        settings: What is made of every clip.
        words: When each word is said, by clip.
        jobs: Clips that are worked on at the same time; by default one per processor.
        backend: Where they are worked on.
        address: Of the cluster.
        time_limit: Longest time for a clip in seconds; by default ten minutes and twenty times
            the length of the clip.
        max_skipped: How many clips may fail.
        resume: Go on with the work that was stopped.
        replace_store: Whether a store, or work that was stopped, may be replaced.
        listener: Is told how it goes on.
        worker: Command that starts a worker instead of the usual one.

    Raises:
        ExtractionError: If it cannot start or go on; whatever was done is kept for ``resume``.
        ConfigError: If a package is missing, or settings do not fit.
        AssetError: If a model is missing.
        StoreError: If ``out`` exists and may not be replaced.
    """
    out = out.absolute()
    folder = out.with_name(f"{out.name}.extracting")
    origin = {**recordings.origin, **describe_origin(settings)}
    remove_finished(folder)
    is_made = out.exists() and resume and _check_made(out, origin)
    if is_made and not folder.exists():
        return _reopen(out)
    check_target(out, STORE, replace=replace_store or is_made)
    sources = describe_series(settings)
    with open_workspace(
        folder, settings, resume=resume, replace_work=replace_store
    ) as clips_folder:
        works = plan_clips(recordings, settings, words or {}, clips_folder)
        todo = [work for work in works if not is_done(work, time_limit)]
        if listener is not None:
            listener.on_begin(len(works), len(works) - len(todo))
        job = ClipJob(
            settings=settings.model_dump_json(),
            limit=time_limit,
            command=tuple(worker),
            folder=str(clips_folder),
        )
        jobs = jobs or default_jobs(backend)
        ended = run_all(
            job, [write_task(work) for work in todo], backend=backend, address=address, jobs=jobs
        )
        with contextlib.closing(ended):
            for index, outcome in ended:
                record_outcome(todo[index], outcome, folder)
                if listener is not None:
                    listener.on_clip(outcome)
        skipped, table = list_skipped(works, folder)
        if len(skipped) > max_skipped:
            return Extracted(store=None, skipped=skipped, table=table)
        material, records = collect(works, recordings, settings, sources, origin)
        write_store(material, out, replace=replace_store or is_made, records=records)
        remove_work(folder)
    return _reopen(out)


def _check_made(out: Path, origin: Mapping[str, str]) -> bool:
    """Say whether a store is what this extraction makes, so that nothing is lost with it."""
    try:
        return open_store(out).meta.origin == origin
    except StoreError:
        return False


def _reopen(out: Path) -> Extracted:
    table = out / "skipped.csv"
    if not table.is_file():
        return Extracted(store=open_store(out), skipped=(), table=None)
    with table.open(encoding="utf-8", newline="") as file:
        skipped = tuple(Skipped(*row) for row in list(csv.reader(file))[1:])
    return Extracted(store=open_store(out), skipped=skipped, table=table)
