"""The folder in which an extraction is at work: what is planned, what is done, what was skipped.

STORE.extracting/      beside the store that it becomes
    plan.json          what is made; --resume goes on with the same settings only
    clips/KEY.npz      results of a clip; KEY is a hash of all that they depend on
    skipped.csv        clips that failed, with their reasons
    lost.log           the last that workers said which ended on a clip
"""

import contextlib
import csv
import io
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mien.corpora.recordings import Recordings
from mien.errors import ExtractionError
from mien.extraction.clip import ClipTask, ExtractionSettings
from mien.extraction.clip_results import ClipFacts, read_facts, write_result
from mien.extraction.processes.supervisor import ClipOutcome
from mien.files.atomic import reported_as, write_text
from mien.files.folders import FolderKind, refuse_foreign
from mien.files.hashing import hash_json
from mien.files.json_values import write_json
from mien.files.reading import parse_json, read_limited
from mien.files.temporaries import open_to_lock, remove_unlocked, sweep_folder, try_lock
from mien.types import Clip, Word

__all__ = [
    "Skipped",
    "Work",
    "check_plan",
    "facts_of",
    "format_skipped",
    "is_done",
    "list_skipped",
    "name_media",
    "open_workspace",
    "plan_clips",
    "record_outcome",
    "remove_finished",
    "remove_work",
    "write_task",
]


logger = logging.getLogger(__name__)

_RESULT = re.compile(r"\.?[0-9a-f]{40}\.npz(\.[a-z0-9_]+\.partial)?")
_OTHERS = re.compile(
    r"plan\.json|plan\.partial|lost\.log|skipped\.csv|\.(plan\.json|skipped\.csv)\.\w+\.partial"
)


def _list_work(folder: Path) -> set[str]:
    """Return what in the folder of an extraction is its own."""
    results = (f"clips/{path.name}" for path in (folder / "clips").glob("*"))
    own = {path.name for path in folder.iterdir() if _OTHERS.fullmatch(path.name)}
    return {"clips/none", *own} | {name for name in results if _RESULT.fullmatch(name[6:])}


_WORK = FolderKind("the work of an extraction", _list_work, error=ExtractionError)


class Skipped(NamedTuple):
    """A clip that failed."""

    id: str
    path: str
    reason: str


class Work(NamedTuple):
    """A clip, its recording and where it lies in it, and the file of its results."""

    clip: Clip
    path: Path
    start: float | None
    end: float | None
    words: tuple[Word, ...] | None
    result: Path


@contextlib.contextmanager
def open_workspace(
    folder: Path, settings: ExtractionSettings, *, resume: bool, replace_work: bool
) -> Iterator[Path]:
    """Give the folder of results, to one extraction at a time."""
    if folder.is_symlink():
        folder = folder.resolve()
    plan = folder / "plan.json"
    if folder.exists() and not resume:
        if not replace_work:
            raise ExtractionError(
                f"{folder}: holds the work of an extraction that was stopped; continue with "
                "--resume, or use --replace to start again"
            )
        refuse_foreign(folder, _WORK)
        with _locked(folder):
            shutil.rmtree(folder)
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        wanted = settings.model_dump(mode="json")
        if plan.is_file():
            check_plan(plan, wanted)
        else:
            write_json(plan, wanted, indent=1)
        sweep_folder(folder)
        sweep_folder(folder / "clips")
        yield folder / "clips"


def check_plan(plan: Path, wanted: Mapping[str, object]) -> None:
    """Refuse to go on with work that was begun otherwise.

    Args:
        plan: The file that says how it was begun.
        wanted: How it is to go on.

    Raises:
        ExtractionError: If the file is damaged, or says something else.
    """
    try:
        stored = parse_json(
            read_limited(plan, ExtractionError, most=1 << 20), "it", ExtractionError
        )
    except ExtractionError as error:
        raise ExtractionError(
            f"{plan}: is damaged ({error}); remove {plan.parent} to start again"
        ) from error
    if not isinstance(stored, dict):
        raise ExtractionError(
            f"{plan}: is damaged (no JSON object); remove {plan.parent} to start again"
        )
    for key, value in wanted.items():
        if stored.get(key) != value:
            raise ExtractionError(
                f"{plan}: the work was started with {key} {stored.get(key)!r}, now it is "
                f"{value!r}; use the same to continue, or --replace without --resume to start again"
            )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep another extraction out of a folder; a process that ends, however, lets go of it."""
    handle = open_to_lock(folder)
    is_mine = None if handle is None else try_lock(handle)
    try:
        if is_mine is False:
            raise ExtractionError(
                f"{folder}: another extraction is at work here; wait for it, or stop it"
            )
        if is_mine is None:
            logger.warning("%s: cannot be locked; start no other extraction of it", folder)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def plan_clips(
    recordings: Recordings,
    settings: ExtractionSettings,
    words: Mapping[str, tuple[Word, ...]],
    folder: Path,
) -> list[Work]:
    """Name the results of every clip; one that changed since gets another name and is redone."""
    works = []
    for clip, path in zip(recordings.corpus.clips, recordings.paths, strict=True):
        known = words.get(clip.id) if words else None
        if words and known is None:
            known = ()
        start, end = (None, None) if recordings.are_cut else (clip.start, clip.end)
        parts = [clip.id, os.fsencode(path.absolute()).hex(), start, end]
        key = _make_key(parts, clip, path, settings, known)
        works.append(Work(clip, path.absolute(), start, end, known, folder / f"{key}.npz"))
    return works


def _make_key(
    parts: Sequence[object],
    clip: Clip,
    path: Path,
    settings: ExtractionSettings,
    words: tuple[Word, ...] | None,
) -> str:
    """Return a name for the results of a clip, from all that they depend on beside settings."""
    try:
        stat = path.stat()
        state = [stat.st_size, stat.st_mtime_ns]
    except (OSError, ValueError):
        state = []
    is_heard = settings.needs_speech(
        has_transcript=bool(clip.transcript.strip()), has_words=words is not None
    )
    return hash_json([*parts, state, is_heard, words], digits=40)


def is_done(work: Work, time_limit: float | None) -> bool:
    """Say whether a clip has results; one that was lost, or cut by a shorter limit, has none."""
    facts = read_facts(work.result)
    if facts is None or facts.is_lost:
        return False
    return not facts.cut or (time_limit or 0.0) <= facts.cut


def write_task(work: Work) -> str:
    """Return a clip as it is sent to a worker."""
    return ClipTask(
        path=work.path,
        start=work.start or 0.0,
        end=work.end,
        transcript=work.clip.transcript,
        words=None if work.words is None else tuple((w.text, w.start, w.end) for w in work.words),
        out=work.result,
    ).model_dump_json()


def record_outcome(work: Work, outcome: ClipOutcome, folder: Path) -> None:
    """Keep what came of a clip whose worker could not do it by itself."""
    if outcome.state == "failed":
        raise ExtractionError(f"{outcome.reason}; what was done is kept, continue with --resume")
    if outcome.state == "done":
        return
    if outcome.detail:
        path = folder / "lost.log"
        with reported_as(path, folder), path.open("a", encoding="utf-8") as log:
            log.write(f"--- {work.clip.id!r}: {outcome.reason}\n{outcome.detail}\n")
    is_cut = outcome.state == "cut"
    reason = outcome.reason if is_cut else f"{outcome.reason}, twice"
    facts = ClipFacts(reason=reason, is_lost=not is_cut, cut=outcome.seconds if is_cut else 0.0)
    write_result(work.result, facts, {})


def facts_of(work: Work) -> ClipFacts:
    """Return what the results of a clip say.

    Raises:
        ExtractionError: If they are damaged.
    """
    facts = read_facts(work.result)
    if facts is None:
        raise ExtractionError(f"{work.result}: is damaged; continue with --resume")
    return facts


def list_skipped(works: Sequence[Work], folder: Path) -> tuple[tuple[Skipped, ...], Path | None]:
    """Write the clips that failed as a CSV file, if there are any, and return both."""
    skipped = [
        Skipped(work.clip.id, name_media(work.clip), reason)
        for work in works
        if (reason := facts_of(work).reason)
    ]
    table = folder / "skipped.csv"
    table.unlink(missing_ok=True)
    if not skipped:
        return (), None
    write_text(table, format_skipped(skipped))
    return tuple(skipped), table


def name_media(clip: Clip) -> str:
    """Return where a recording is, as the corpus says it."""
    return "" if clip.media is None else clip.media.as_posix()


def format_skipped(skipped: Sequence[Skipped]) -> str:
    """Return the clips that failed as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Skipped._fields)
    writer.writerows(skipped)
    return text.getvalue()


def remove_work(folder: Path) -> None:
    """Remove the work; a process that is killed meanwhile leaves nothing that looks like work."""
    done = _name_finished(folder)
    shutil.rmtree(done, ignore_errors=True)
    folder.rename(done)
    shutil.rmtree(done)


def remove_finished(folder: Path) -> None:
    """Remove what a process left that was killed while it removed its work."""
    remove_unlocked(_name_finished(folder))


def _name_finished(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.done")
