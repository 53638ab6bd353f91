"""A study carried out: every run trained or taken from the cache, evaluated, and written as a page.

OUT/
    index.md        tables and figures
    results.json    every number, unrounded
    *.png           the figures
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from mien.data.store import open_store
from mien.errors import CheckpointError, ConfigError, TrainingError
from mien.files.atomic import write_text
from mien.files.source_code import code_fingerprint
from mien.processes import num_processors
from mien.processes.clusters import Backend, read_cluster
from mien.studies.corpora import PreparedCorpus, prepare_corpora
from mien.studies.plan import Study, read_study
from mien.studies.results.measures import evaluate_corpus
from mien.studies.results.results_file import read_results, write_results
from mien.studies.results.values import StudyResults, SweepPoint, SweepResults
from mien.studies.runner import plan_jobs, run_jobs
from mien.studies.study_listener import StudyListener
from mien.studies.study_page import write_page
from mien.training.data_parallel.ranks import launched_count
from mien.training.record import require_writable

__all__ = ["StudyReport", "refuse_other_data", "rewrite_study", "run_study"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyReport:
    """What a study left.

    Attributes:
        page: The page, ``index.md``.
        results: What was measured, as ``results.json`` holds it.
    """

    page: Path
    results: StudyResults

    @property
    def unfinished(self) -> list[str]:
        """A sentence for each run that diverged and each variant that does not fit a corpus."""
        sentences = []
        for corpus, results in self.results.corpora.items():
            for name, variant in results.variants.items():
                if variant.refusal:
                    sentences.append(f"{corpus}, {name}: {variant.refusal}")
                sentences += [
                    f"{corpus}, {name}, seed {seed} {run.status}: {run.reason}"
                    for seed, run in variant.unfinished.items()
                ]
        return sentences


class _SilentListener:
    """Follows a study and shows nothing."""

    def on_stage(self, what: str, total: int) -> None:
        """Ignore it."""

    def on_done(self, what: str) -> None:
        """Ignore it."""


def run_study(
    study: Study | str | Path,
    out: str | Path,
    *,
    num_workers: int = 1,
    code: Literal["same", "any"] = "same",
    command: str | None = None,
    listener: StudyListener | None = None,
    backend: Backend = "local",
    address: str | None = None,
) -> StudyReport:
    """Carry out a study, or what is missing of it, and write its page.

    Args:
        study: A study, its TOML file, or the name of a shipped one; ``read_study`` takes changes.
        out: Folder for the page; files of an earlier page are replaced.
        num_workers: Trainings side by side, each with one thread.
        code: Whether cached runs that other code made are made anew (``same``) or taken (``any``).
        command: The command that repeats it, for the page.
        listener: Follows how it goes on.
        backend: This machine, or a Dask or Ray cluster that sees stores and cache by equal paths.
        address: Of the cluster.

    Raises:
        ConfigError: If several processes were started for it, or the cluster is not told.
        TrainingError: If no corpus was given, no run finished, or ``out`` cannot be written.
        MienError: If a store is not what it should be, or ``out`` holds results on other data.
    """
    if launched_count() > 1:
        raise ConfigError(
            "a study trains its runs side by side in processes of its own; start it once, with "
            "--jobs, and not by torchrun or accelerate"
        )
    cluster = read_cluster(backend, address)
    study = study if isinstance(study, Study) else read_study(study)
    listener = listener or _SilentListener()
    require_writable(Path(out))
    given = [
        corpus for corpus in study.corpora if corpus.planted is not None or corpus.store is not None
    ]
    skipped = {
        corpus.name: f"no store was given (--store {corpus.name}=PATH)"
        for corpus in study.corpora
        if corpus not in given
    }
    for name, reason in skipped.items():
        logger.warning("%s: %s is left out: %s", study.name, name, reason)
    if not given:
        raise TrainingError(
            f"{study.name}: no corpus is there; give one of its stores: "
            f"{', '.join(f'--store {name}=PATH' for name in skipped)}"
        )
    here = num_workers if cluster is None else num_processors()
    names = [corpus.name for corpus in given]
    stores = {c.name: open_store(c.store) for c in given if c.store is not None}
    there = {name: (store.path, store.meta.fingerprint) for name, store in stores.items()}
    refuse_other_data(Path(out), names, there)
    prepared = prepare_corpora(study, given, num_workers=here, listener=listener)
    made = {each.corpus.name: (each.store, each.fingerprint) for each in prepared}
    refuse_other_data(Path(out), names, made)
    jobs = plan_jobs(study, prepared, code=code)
    outcomes = run_jobs(
        study.name, jobs, num_workers=num_workers, listener=listener, cluster=cluster
    )
    if not any(outcome.status == "finished" for outcome in outcomes):
        reasons = [outcome.reason for outcome in outcomes]
        reasons += [v.refusal for corpus in prepared for v in corpus.variants.values() if v.refusal]
        raise TrainingError(f"{study.name}: no run finished; the first: {reasons[0]}")
    listener.on_stage(f"{study.name}: evaluating", len(prepared))
    corpora = {}
    for corpus in prepared:
        name = corpus.corpus.name
        own = [outcome for outcome in outcomes if outcome.job.corpus == name]
        corpora[name] = evaluate_corpus(study, corpus, own)
        listener.on_done(name)
    results = StudyResults(
        study=study.name,
        title=study.config.title,
        question=study.config.question,
        measures=study.config.measures,
        baseline=study.config.baseline,
        against=study.against,
        versions={name: metadata.version(name) for name in ("mien", "torch", "numpy")},
        code=_present_code(),
        corpora=corpora,
        sweeps=tuple(_sweeps(study, prepared)),
        command=command or f"mien study {study.name}",
        skipped=skipped,
        num_runs=len(outcomes),
        num_other_code=sum(outcome.job.code != _present_code() for outcome in outcomes),
    )
    return StudyReport(page=_write(Path(out), results), results=results)


def refuse_other_data(
    folder: Path, corpora: Collection[str], stores: Mapping[str, tuple[Path, str]]
) -> None:
    """Refuse a folder that holds results of other stores, whose page would be written over.

    Args:
        folder: Folder of a page; it need not be there.
        corpora: Names of the corpora of the page that is to be written; a page on others alone is
            refused, one that shares a corpus with it is replaced.
        stores: Path and fingerprint of the data of those whose data are there already.

    Raises:
        CheckpointError: If it does, or its results cannot be read.
    """
    if not (folder / "results.json").is_file():
        return
    try:
        before = read_results(folder)
    except CheckpointError as error:
        raise CheckpointError(
            f"{folder}: its page would be written over, but its results cannot be read ({error}); "
            "give another --out, or remove the folder"
        ) from error
    if before.corpora and not before.corpora.keys() & set(corpora):
        raise CheckpointError(
            f"{folder}: holds results on {', '.join(before.corpora)}, and would be written over by "
            f"those on {', '.join(corpora)}; give another --out, or remove the folder"
        )
    for name, (path, fingerprint) in stores.items():
        if name in before.corpora and before.corpora[name].fingerprint != fingerprint:
            raise CheckpointError(
                f"{folder}: holds results on another store of {name} (fingerprint "
                f"{before.corpora[name].fingerprint[:16]}, that of {path} is {fingerprint[:16]}); "
                "give another --out, or remove the folder"
            )


def rewrite_study(folder: str | Path) -> StudyReport:
    """Write the page and figures of a study again, from the ``results.json`` in its folder alone.

    Nothing is trained or read from a store. Results of an earlier version get the intervals of
    now, as far as what they hold allows; see ``restate_results``.

    Raises:
        CheckpointError: If the folder has no such file, or it cannot be read.
    """
    folder = Path(folder)
    results = read_results(folder)
    return StudyReport(page=_write(folder, results), results=results)


def _present_code() -> str:
    return code_fingerprint("mien.training.experiment")[:12]


def _sweeps(study: Study, prepared: Sequence[PreparedCorpus]) -> Iterator[SweepResults]:
    """Yield the sweeps of which a corpus was measured."""
    for sweep in study.config.sweep:
        points = [
            SweepPoint(at=each.corpus.at, corpus=each.corpus.name)
            for each in prepared
            if each.corpus.sweep == sweep.name and each.corpus.at is not None
        ]
        if points:
            yield SweepResults(name=sweep.name, across=sweep.across, points=tuple(points))


def _write(out: Path, results: StudyResults) -> Path:
    from mien.studies.figures import draw_corpus, draw_sweep  # matplotlib takes a while

    out.mkdir(parents=True, exist_ok=True)
    write_results(results, out)
    corpora = results.corpora
    pictures = {
        name: draw_corpus(name, corpus, out)
        for name, corpus in corpora.items()
        if corpus.sweep is None
    }
    variants = dict.fromkeys(name for corpus in corpora.values() for name in corpus.variants)
    for sweep in results.sweeps:
        points = [(point.at, corpora[point.corpus]) for point in sweep.points]
        drawn = {name for _, corpus in points for name in corpus.variants}
        names = [name for name in variants if name in drawn]
        pictures[sweep.name] = draw_sweep(sweep.name, sweep.across, points, names, out)
    page = out / "index.md"
    write_text(page, write_page(results, pictures))
    logger.info("wrote %s", page)
    return page
