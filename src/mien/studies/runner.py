"""The runs of a study: made side by side, each once, and stored in the user's cache folder.

CACHE/
    stores/KEY/           planted corpora
    runs/KEY-CODE/        a run folder with one seed; KEY: settings, data, versions; CODE: the code
        attention.json    share of attention inside the known moments, clip by clip

A run that is there is not made again, and one that was stopped goes on. When the code that a
training depends on changes, its runs are made again.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from mien.data.store import open_store
from mien.errors import MienError, OutputError
from mien.evaluation.attention_share import share_attention
from mien.evaluation.scoring import predict
from mien.files.hashing import hash_json
from mien.files.json_values import json_numbers, write_json
from mien.files.source_code import code_fingerprint
from mien.files.temporaries import temporary
from mien.files.user_folders import cache_folder
from mien.models import foreign_code
from mien.processes.clusters import Cluster, distribute
from mien.studies.corpora import PreparedCorpus, plain_settings
from mien.studies.plan import Study
from mien.studies.study_listener import StudyListener
from mien.training.experiment import train
from mien.training.loading import dataset_of, load_model
from mien.training.run_folder import SeedFolder
from mien.training.seeds.registered import with_registered
from mien.training.settings import ExperimentConfig
from mien.types import EVALUATED_SPLITS

__all__ = ["Job", "Outcome", "plan_jobs", "run_jobs"]

logger = logging.getLogger(__name__)


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
    def title(self) -> str:
        """Corpus, variant and seed, as people read them."""
        return f"{self.corpus}, {self.variant}, seed {self.seed}"

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
    """How a job ended.

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


def plan_jobs(
    study: Study, corpora: Sequence[PreparedCorpus], *, code: Literal["same", "any"] = "same"
) -> list[Job]:
    """Return the trainings of a study: every variant that fits, on every corpus, with every seed.

    Args:
        study: The study.
        corpora: Its corpora.
        code: Whether only runs made by the ``same`` code are taken from the cache, or, where there
            is one of the same settings, data and versions, that of ``any``.
    """
    present = code_fingerprint("mien.training.experiment")[:12]
    jobs = []
    for prepared in corpora:
        for name, variant in prepared.variants.items():
            for seed in prepared.corpus.seeds if variant.refusal is None else ():
                train_config = variant.config.train.model_copy(update={"seeds": (seed,)})
                config = variant.config.model_copy(update={"train": train_config})
                versions = [metadata.version(package) for package in ("mien", "torch")]
                others = filter(None, [foreign_code(config.model.name)])
                key = hash_json(
                    [plain_settings(config), prepared.fingerprint, variant.text, versions, *others]
                )
                jobs.append(
                    Job(
                        corpus=prepared.corpus.name,
                        variant=name,
                        seed=seed,
                        config=config,
                        store=prepared.store,
                        folder=_choose_folder(key, present, code),
                        with_attention="attention" in study.config.measures,
                    )
                )
    return jobs


def _choose_folder(key: str, present: str, code: Literal["same", "any"]) -> Path:
    runs = cache_folder() / "runs"
    folder = runs / f"{key}-{present}"
    if code == "any" and not (folder / "metrics.json").is_file():
        finished = [path for path in runs.glob(f"{key}-*") if (path / "metrics.json").is_file()]
        return max(finished, key=lambda p: (p / "metrics.json").stat().st_mtime, default=folder)
    return folder


def run_jobs(
    name: str,
    jobs: Sequence[Job],
    *,
    num_workers: int,
    listener: StudyListener,
    cluster: Cluster | None = None,
) -> list[Outcome]:
    """Train what is not in the cache, several side by side, one thread each.

    Runs that are stopped, with this process or without, go on at the next call.

    Args:
        name: What the study is called.
        jobs: The trainings; those of the same folder are made once.
        num_workers: How many processes; 1 trains in this one.
        listener: Follows how it goes on.
        cluster: Where they are trained; None for this machine. The cache folder and the stores must
            be on folders that its machines see under the same paths.

    Raises:
        TrainingError: If a process was killed from outside, or the cluster does not answer.
    """
    done = {job.folder: _cached(job) for job in jobs}
    waiting = [job for job in {j.folder: j for j in jobs}.values() if done[job.folder] is None]
    logger.info("%s: %d runs, %d of them to train", name, len(done), len(waiting))
    listener.on_stage(f"{name}: runs", len(waiting))
    on_start = getattr(listener, "on_start", None)

    def begin(job: Job) -> None:
        if on_start is not None:
            on_start(job.title)

    for job, outcome in _train_all(waiting, num_workers, begin, cluster):
        done[job.folder] = outcome
        listener.on_done(f"{job.title}: {outcome.status}")
        if outcome.status != "finished":
            logger.warning("%s %s: %s", job.title, outcome.status, outcome.reason)
    outcomes = [(job, done[job.folder]) for job in jobs]
    return [replace(outcome, job=job) for job, outcome in outcomes if outcome is not None]


def _train_all(
    jobs: Sequence[Job],
    num_workers: int,
    begin: Callable[[Job], None],
    cluster: Cluster | None,
) -> Iterator[tuple[Job, Outcome]]:
    """Yield each job with its outcome, as they come."""
    runs = (cache_folder() / "runs").resolve()
    runs.mkdir(parents=True, exist_ok=True)
    given = {job.folder.name: job for job in jobs}
    resolved = [
        replace(job, store=job.store.resolve(), folder=runs / name) for name, job in given.items()
    ]
    configs = [job.config for job in jobs]
    run = with_registered(_run, configs, jobs=num_workers, cluster=cluster)
    with temporary(runs / "study", "file") as presence:
        for job, outcome in distribute(
            run,
            resolved,
            num_workers,
            cluster=cluster,
            presence=presence,
            on_start=lambda job: begin(given[job.folder.name]),
        ):
            yield given[job.folder.name], outcome


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
        cached = _cached(job)
        if cached is not None:
            return cached
        try:
            _train(job)
        except OutputError:  # no fault of the run
            raise
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
        train(job.config, job.store, job.folder, resume=True)
    if job.with_attention:
        write_json(job.folder / "attention.json", _measure_attention(job))


def _measure_attention(job: Job) -> dict[str, Any]:
    """Return, per split and modality, ids of the clips with a known moment and their shares."""
    model, prepared = load_model(job.seed_folder.path, open_store(job.store))
    measured: dict[str, Any] = {}
    for split in EVALUATED_SPLITS:
        if split not in prepared.datasets:
            continue
        dataset = dataset_of(prepared, split)
        shares = share_attention(predict(model, dataset), dataset.clips, prepared.tokens)
        measured[split] = {
            str(modality): {
                "ids": [dataset.ids[row] for row in rows],
                "inside": json_numbers(share.shares),
                "uniform": share.uniform.tolist(),
            }
            for modality, (rows, share) in shares.items()
        }
    return measured
