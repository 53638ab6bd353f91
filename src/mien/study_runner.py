"""The runs of a study: made side by side, each once, and kept in the user's cache folder.

CACHE/
    stores/KEY/           planted corpora
    runs/KEY-CODE/        a run folder with one seed; KEY: settings, data, versions; CODE: the code
        attention.json    share of attention inside the known moments, clip by clip

A run that is there is not made again, and one that was stopped goes on. When the code that a
training depends on changes, its runs are made anew.
"""

import hashlib
import json
import logging
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from filelock import FileLock

from mien.checkpoint import write_text
from mien.config import Settings
from mien.corpora.planted import PlantedConfig, make_planted
from mien.errors import MienError, TrainingError
from mien.evaluation import predict
from mien.execution import train
from mien.experiment import ExperimentConfig
from mien.judgement import share_attention
from mien.preparation import Prepared, build, prepare
from mien.run import SeedFolder
from mien.store import Store, open_store, write_store
from mien.study_code import code_fingerprint
from mien.study_plan import Study, StudyCorpus
from mien.text import cache_folder
from mien.trained import dataset_of, load_model
from mien.types import Split

__all__ = [
    "Job",
    "Outcome",
    "ReadyCorpus",
    "ReadyVariant",
    "StudyListener",
    "make_ready",
    "plan_jobs",
    "run_jobs",
]

logger = logging.getLogger(__name__)

_ATTENTION_SPLITS: tuple[Split, ...] = ("valid", "test")

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyVariant:
    """What is known of a variant on a corpus before it is trained.

    Attributes:
        config: Its settings, with one thread and the corpus of the store.
        text: Fingerprint of the text encoder; None without one.
        num_parameters: Parameters of the model, the trained part of its text encoder included.
        refusal: Why the settings do not fit the corpus; None if they do.
    """

    config: ExperimentConfig
    text: str | None = None
    num_parameters: int | None = None
    refusal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyCorpus:
    """A corpus of a study whose store is there, and its variants.

    Attributes:
        corpus: What the study says of it.
        store: Where the store is.
        fingerprint: That of the store.
        variants: What is known of each variant.
    """

    corpus: StudyCorpus
    store: Path
    fingerprint: str
    variants: Mapping[str, ReadyVariant]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training of a study.

    Attributes:
        corpus: The study's name of the corpus.
        variant: Name of the variant.
        seed: The seed, the only one in ``config``.
        config: The settings.
        store: The data.
        folder: The run folder, in the cache.
        with_attention: Whether attention inside the known moments is measured.
    """

    corpus: str
    variant: str
    seed: int
    config: ExperimentConfig
    store: Path
    folder: Path
    with_attention: bool

    @property
    def code(self) -> str:
        """Fingerprint of the code by which it is, or was, made."""
        return self.folder.name.rpartition("-")[2]

    @property
    def seed_folder(self) -> SeedFolder:
        """The files of its seed."""
        return SeedFolder(self.folder / f"seed-{self.seed}")

    @property
    def is_finished(self) -> bool:
        """Whether everything that it leaves is there."""
        has_attention = not self.with_attention or (self.folder / "attention.json").is_file()
        return (self.folder / "metrics.json").is_file() and has_attention


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: The job.
        status: ``finished``; ``diverged`` in training; ``refused``, as settings and data do not
            fit.
        reason: Why it is not finished; empty if it is.
        is_cached: Whether nothing had to be done.
        seconds: Time it took.
    """

    job: Job
    status: Literal["finished", "diverged", "refused"]
    reason: str = ""
    is_cached: bool = False
    seconds: float = 0.0


class StudyListener(Protocol):
    """Who wants to know how a study goes on."""

    def on_stage(self, what: str, total: int) -> None:
        """Take note that ``total`` pieces of work of one kind begin."""

    def on_done(self, what: str) -> None:
        """Take note that a piece is done, and which."""


def make_ready(
    study: Study, corpora: Sequence[StudyCorpus], *, num_workers: int, listener: StudyListener
) -> list[ReadyCorpus]:
    """Make the planted stores and text states, and look at every variant, without training.

    Raises:
        MienError: If a store is not what it should be.
    """
    listener.on_stage(f"{study.name}: corpora and text states", len(corpora))
    ready = {}
    for corpus, one in _side_by_side(_make_ready, corpora, num_workers):
        ready[corpus.name] = one
        listener.on_done(corpus.name)
    return [ready[corpus.name] for corpus in corpora]


def _make_ready(corpus: StudyCorpus) -> ReadyCorpus:
    store = open_store(_planted_store(corpus.planted) if corpus.planted else corpus.store or "")
    prepared: dict[str, Prepared] = {}
    return ReadyCorpus(
        corpus=corpus,
        store=store.path,
        fingerprint=store.meta.fingerprint,
        variants={
            name: _look_at(store, config, prepared) for name, config in corpus.configs.items()
        },
    )


def _planted_store(settings: PlantedConfig) -> Path:
    """Return the store of a planted corpus, which is made if it is not in the cache."""
    key = _hash([_plain(settings), code_fingerprint("mien.corpora.planted")])
    path = cache_folder() / "stores" / f"planted-{key}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not (path / "meta.json").is_file():
            write_store(make_planted(settings), path)
    return path


def _look_at(store: Store, config: ExperimentConfig, prepared: dict[str, Prepared]) -> ReadyVariant:
    """Prepare the data of a variant and build its model, to see whether they fit."""
    train_config = config.train.model_copy(update={"threads": 1})
    config = config.model_copy(update={"corpus": store.meta.name, "train": train_config})
    key = json.dumps([_plain(config.text_encoder), _plain(config.features)])
    try:
        if key not in prepared:
            prepared[key] = prepare(store, config)
        model = build(prepared[key], config)
    except MienError as error:
        return ReadyVariant(config=config, refusal=str(error))
    text = prepared[key].text
    return ReadyVariant(
        config=config,
        text=text.fingerprint if text else None,
        num_parameters=sum(one.numel() for one in model.parameters()),
    )


def plan_jobs(
    study: Study, corpora: Sequence[ReadyCorpus], *, code: Literal["same", "any"] = "same"
) -> list[Job]:
    """Return the trainings of a study: every variant that fits, on every corpus, with every seed.

    Args:
        study: The study.
        corpora: Its corpora.
        code: Whether only runs made by the ``same`` code are taken from the cache, or, where there
            is one of the same settings, data and versions, that of ``any``.
    """
    present = code_fingerprint("mien.execution")[:12]
    jobs = []
    for ready in corpora:
        for name, variant in ready.variants.items():
            for seed in ready.corpus.seeds if variant.refusal is None else ():
                train_config = variant.config.train.model_copy(update={"seeds": (seed,)})
                config = variant.config.model_copy(update={"train": train_config})
                versions = [metadata.version(one) for one in ("mien", "torch")]
                key = _hash([_plain(config), ready.fingerprint, variant.text, versions])
                jobs.append(
                    Job(
                        corpus=ready.corpus.name,
                        variant=name,
                        seed=seed,
                        config=config,
                        store=ready.store,
                        folder=_choose_folder(key, present, code),
                        with_attention="attention" in study.config.measures,
                    )
                )
    return jobs


def _choose_folder(key: str, present: str, code: Literal["same", "any"]) -> Path:
    runs = cache_folder() / "runs"
    folder = runs / f"{key}-{present}"
    if code == "any" and not (folder / "metrics.json").is_file():
        found = [one for one in runs.glob(f"{key}-*") if (one / "metrics.json").is_file()]
        return max(found, key=lambda one: (one / "metrics.json").stat().st_mtime, default=folder)
    return folder


def run_jobs(
    name: str, jobs: Sequence[Job], *, num_workers: int, listener: StudyListener
) -> list[Outcome]:
    """Train what is not in the cache, several side by side, one thread each.

    Runs that are stopped, with this process or without, go on at the next call.

    Args:
        name: What the study is called.
        jobs: The trainings; those of the same folder are made once.
        num_workers: How many processes; 1 trains in this one.
        listener: Is told how it goes on.

    Raises:
        TrainingError: If a process was killed from outside.
    """
    done = {job.folder: _cached(job) for job in jobs}
    waiting = [job for job in {j.folder: j for j in jobs}.values() if done[job.folder] is None]
    logger.info("%s: %d runs, %d of them to train", name, len(done), len(waiting))
    listener.on_stage(f"{name}: runs", len(waiting))
    for job, outcome in _side_by_side(_run, waiting, num_workers):
        done[job.folder] = outcome
        listener.on_done(f"{job.corpus}, {job.variant}, seed {job.seed}: {outcome.status}")
        if outcome.status != "finished":
            logger.warning(
                "%s, %s, seed %d %s: %s",
                job.corpus, job.variant, job.seed, outcome.status, outcome.reason,
            )  # fmt: skip
    results = []
    for job in jobs:
        found = done[job.folder]
        if found is not None:
            results.append(
                Outcome(
                    job=job,
                    status=found.status,
                    reason=found.reason,
                    is_cached=found.is_cached,
                    seconds=found.seconds,
                )
            )
    return results


def _cached(job: Job) -> Outcome | None:
    if job.seed_folder.failure is not None:
        reason = job.seed_folder.failure
        return Outcome(job=job, status="diverged", reason=reason, is_cached=True)
    return Outcome(job=job, status="finished", is_cached=True) if job.is_finished else None


def _run(job: Job) -> Outcome:
    """Train one run, unless another process has done so in the meantime."""
    start = time.perf_counter()
    job.folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{job.folder}.lock"):
        found = _cached(job)
        if found is not None:
            return found
        try:
            _train(job)
        except MienError as error:
            failure = job.seed_folder.failure
            return Outcome(
                job=job,
                status="refused" if failure is None else "diverged",
                reason=failure or str(error),
                seconds=time.perf_counter() - start,
            )
    return Outcome(job=job, status="finished", seconds=time.perf_counter() - start)


def _train(job: Job) -> None:
    if not (job.folder / "metrics.json").is_file():
        if not (job.folder / "config.toml").is_file():  # killed before it began
            shutil.rmtree(job.folder, ignore_errors=True)
        train(job.config, job.store, job.folder, resume=True)
    if job.with_attention:
        write_text(job.folder / "attention.json", json.dumps(_measure_attention(job)))


def _measure_attention(job: Job) -> dict[str, Any]:
    """Return, per split and modality, ids of the clips with a known moment and their shares."""
    model, prepared = load_model(job.seed_folder.path, open_store(job.store))
    measured: dict[str, Any] = {}
    for split in _ATTENTION_SPLITS:
        if split not in prepared.datasets:
            continue
        dataset = dataset_of(prepared, split)
        shares = share_attention(predict(model, dataset), dataset.clips, prepared.tokens)
        measured[split] = {
            str(modality): {
                "ids": [dataset.clips[row].id for row in rows],
                "inside": [None if value != value else float(value) for value in share.shares],
                "uniform": share.uniform.tolist(),
            }
            for modality, (rows, share) in shares.items()
        }
    return measured


def _side_by_side(
    work: Callable[[Item], Result], items: Sequence[Item], num_workers: int
) -> Iterator[tuple[Item, Result]]:
    """Yield each item with its result, as they come; in this process if one worker is enough."""
    if num_workers == 1 or len(items) < 2:
        yield from ((item, work(item)) for item in items)
        return
    before = multiprocessing.active_children()
    pool = ProcessPoolExecutor(
        max_workers=min(num_workers, len(items)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin_worker,
    )
    try:
        futures = {pool.submit(work, item): item for item in items}
        for future in as_completed(futures):
            yield futures[future], future.result()
        pool.shutdown()
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - set(before):
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise TrainingError(
                "a process of the study was killed, perhaps for want of memory; run it again with "
                "fewer --jobs: what is done is kept"
            ) from error
        raise


def _begin_worker() -> None:
    """Compute with one thread, and end with the process that began this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that began this
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:  # noqa: ANN401  # multiprocessing does not name its class
    parent.join()
    os._exit(1)


def _plain(settings: Settings) -> dict[str, Any]:
    return settings.model_dump(mode="json", exclude_none=True)


def _hash(parts: Any) -> str:  # noqa: ANN401  # whatever JSON can hold
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]
