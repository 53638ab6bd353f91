"""A run folder: where its files are and what they hold.

RUN/
    config.toml               the settings, with every default spelled out
    environment.json          versions, device, fingerprints of the store and the text encoder
    metrics.json              over seeds: mean, deviation, every value, intervals over clips, videos
                              and speakers; which seeds diverged, and why
    report.md  figures/       what people read
    train.log                 the lines that mien train printed
    seed-1111/
        epochs.jsonl          one line per epoch: losses, validation metrics, learning rates
        epochs.csv            the same as a table, for spreadsheets
        best.safetensors      the best epoch on validation: weights, label bank, settings
        last.safetensors      what the next epoch depends on; removed when the seed has ended
        labels/epoch-001.npy  what each unimodal task was trained on in that epoch, (M, N)
        labels/targets.npy    labels of targets at the best epoch, with what is annotated and known,
                              (1 + 2 M, N, columns), where something is known of a modality alone
        train.json            ids, annotation and known unimodal truth of the train clips; what the
                              label generator estimated; names of the targets in labels/targets.npy
        predictions-test.csv  scores, annotations and who speaks, also for valid
        metrics.json          metrics, agreement of labels and attention of this seed
        examples.json         attention over a few clips, with their words
        failed.json           why the training diverged; then there are no metrics

A run over folds has such a folder for each, ``fold-1`` and so on, and above them ``config.toml``,
``environment.json``, ``metrics.json`` and ``report.md`` of all folds together, with
``predictions-test.csv`` and ``metrics.json`` of every seed.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from jaxtyping import Float

from mien.config import read_toml
from mien.errors import CheckpointError
from mien.evaluation.metrics_file.evaluation_folder import (
    EvaluationFolder,
    is_seed_of_run,
    take_metrics,
)
from mien.evaluation.metrics_file.run_metrics import (
    MetricSummary,
    RunMetrics,
    run_metrics_from_json,
)
from mien.evaluation.metrics_file.seed_metrics import SeedMetrics, seed_metrics_from_json
from mien.evaluation.predictions import Predictions, read_predictions
from mien.files.reading import parse_json, read_limited
from mien.notebooks import html_table, make_frame, number_or_nan
from mien.training.checkpoints.shipped_models import find_shipped
from mien.types import REPORTED_SPLITS, Split, Task

if TYPE_CHECKING:
    import pandas as pd

    from mien.training.settings import ExperimentConfig

__all__ = [
    "RunFolder",
    "SeedFolder",
    "find_checkpoint",
    "open_run",
    "read_json",
    "refuse_folds",
]

_LARGEST = 1 << 30  # bytes of a file of JSON
_Metrics = TypeVar("_Metrics")


@dataclass(frozen=True, slots=True)
class SeedFolder:
    """The files of one seed.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def seed(self) -> int:
        """The seed, from the folder's name."""
        return int(self.path.name.removeprefix("seed-"))

    @property
    def best(self) -> Path:
        """The checkpoint of the best epoch."""
        return self.path / "best.safetensors"

    @property
    def is_finished(self) -> bool:
        """Whether training and evaluation have ended."""
        return (self.path / "metrics.json").is_file()

    @property
    def failure(self) -> str | None:
        """Why the training diverged, if it did."""
        path = self.path / "failed.json"
        if not path.is_file():
            return None
        return str(read_json(path).get("reason", "its training failed"))

    def metrics(self) -> dict[str, Any]:
        """Read ``metrics.json``."""
        return read_json(self.path / "metrics.json")

    def results(self) -> SeedMetrics:
        """Read ``metrics.json`` as a value.

        Raises:
            CheckpointError: If the file is not there or is damaged.
        """
        return _read_metrics(self.path / "metrics.json", seed_metrics_from_json)

    def epochs(self) -> list[dict[str, Any]]:
        """Read ``epochs.jsonl``: epoch, losses, valid, clipped, is_best, seconds, learning_rates.

        Earlier versions wrote no learning rates.
        """
        path = self.path / "epochs.jsonl"
        lines = read_limited(path, CheckpointError, most=_LARGEST).splitlines()
        return [
            _parse_object(line, f"{path}:{number}") for number, line in enumerate(lines, start=1)
        ]

    def predictions(self, split: Split) -> Predictions | None:
        """Read the predictions on a split, if there are any."""
        path = self.path / f"predictions-{split}.csv"
        if not path.is_file():
            return None
        return read_predictions(path, self.results().described if self.is_finished else ())

    def label_trajectory(self) -> Float[np.ndarray, "_ M N"]:
        """Read what each unimodal task was trained on, epoch by epoch.

        Modalities are in the order of ``train.json``'s ``modalities``.
        """
        files = sorted((self.path / "labels").glob("epoch-*.npy"), key=_epoch_of)
        files = files[: len(self.epochs())]
        if not files:
            raise CheckpointError(f"{self.path / 'labels'}: has no labels of any epoch")
        return np.stack([np.load(file, allow_pickle=False) for file in files])

    def train_clips(self) -> dict[str, Any]:
        """Read ``train.json``: ids, modalities, annotated, truth (per task, null if unknown).

        ``estimate`` is there too if the label generator estimated anything, and ``targets``, their
        names, if there are labels of targets.
        """
        return read_json(self.path / "train.json")

    def examples(self) -> list[dict[str, Any]]:
        """Read ``examples.json``.

        Each example has id, transcript, target, scores (per task), and attention: per modality
        ``weights``, one per step; for text ``tokens`` too; ``moment`` as ``[start, end)`` in steps
        where it is known, else null.
        """
        path = self.path / "examples.json"
        if not path.is_file():
            return []
        examples = parse_json(
            read_limited(path, CheckpointError, most=_LARGEST), path, CheckpointError
        )
        if not isinstance(examples, list):
            raise CheckpointError(f"{path}: is damaged (no JSON list)")
        return examples


def _epoch_of(file: Path) -> int:
    return int(file.stem.removeprefix("epoch-"))


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of a run.

    Attributes:
        path: The folder.
    """

    path: Path

    def __repr__(self) -> str:
        """Return the folder and its seeds."""
        finished = [str(seed.seed) for seed in self.seeds if seed.is_finished]
        what = f"seeds {', '.join(finished)}" if finished else "no finished seed"
        return f"RunFolder({str(self.path)!r}: {what})"

    @property
    def config(self) -> "ExperimentConfig":
        """The settings of the run, from ``config.toml``.

        Raises:
            ConfigError: If the file is not there or is damaged.
        """
        from mien.training.settings import read_stored_config  # loads torch

        return read_stored_config(read_toml(self.path / "config.toml"))

    @property
    def seeds(self) -> tuple[SeedFolder, ...]:
        """The folders of the seeds, by seed."""
        folders = [
            SeedFolder(path)
            for path in self.path.glob("seed-*")
            if path.is_dir() and path.name.removeprefix("seed-").isdecimal()
        ]
        return tuple(sorted(folders, key=lambda folder: folder.seed))

    @property
    def folds(self) -> tuple["RunFolder", ...]:
        """The runs of the folds below a run over folds, by number; none below another run."""
        folders = [
            RunFolder(path)
            for path in self.path.glob("fold-*")
            if path.name.removeprefix("fold-").isdecimal() and (path / "config.toml").is_file()
        ]
        return tuple(sorted(folders, key=lambda run: int(run.path.name.removeprefix("fold-"))))

    @property
    def failed_seeds(self) -> dict[str, str]:
        """Why each seed that diverged did; they are left out of all numbers."""
        return {str(seed.seed): seed.failure for seed in self.seeds if seed.failure is not None}

    def seed(self, seed: int) -> SeedFolder:
        """Return the folder of a seed, which need not exist yet."""
        return SeedFolder(self.path / f"seed-{seed}")

    def metrics(self) -> dict[str, Any]:
        """Read ``metrics.json``."""
        return read_json(self.path / "metrics.json")

    def results(self) -> RunMetrics:
        """Read ``metrics.json`` as a value.

        Raises:
            CheckpointError: If the file is not there or is damaged.
        """
        return _read_metrics(self.path / "metrics.json", run_metrics_from_json)

    def to_pandas(self) -> "pd.DataFrame":
        """Return a data frame with a row for each seed, split and task, and a column per metric.

        A metric that is undefined is NaN.

        Raises:
            ConfigError: If pandas is not installed.
            CheckpointError: If the training has not ended, or ``metrics.json`` is damaged.
        """
        results = self.results()
        metrics = dict.fromkeys(
            name
            for tasks in results.splits.values()
            for summaries in tasks.values()
            for name in summaries
        )
        rows = (
            {"run": self.path.name, "seed": seed, "split": str(split), "task": str(task)}
            | {name: number_or_nan(summary.values[number]) for name, summary in summaries.items()}
            for split, tasks in results.splits.items()
            for task, summaries in tasks.items()
            for number, seed in enumerate(results.seeds)
        )
        return make_frame(rows, ("run", "seed", "split", "task", *metrics))

    def _repr_html_(self) -> str:
        """Return a table for notebooks: means over the seeds, of the multimodal task."""
        try:
            results = self.results()
        except CheckpointError as error:
            return html_table(str(self.path), ("what", "value"), [("not finished", error)])
        splits = [split for split in REPORTED_SPLITS if split in results.splits]
        fused = {split: results.splits[split].get(Task.FUSION, {}) for split in splits}
        names = dict.fromkeys(name for summaries in fused.values() for name in summaries)
        rows = [
            (name, *(_mean_of(summaries.get(name)) for summaries in fused.values()))
            for name in names
        ]
        notes = ["synthetic: its clips were made by a program"] * results.is_synthetic
        notes += [f"seed {seed} failed: {why}" for seed, why in results.failed_seeds.items()]
        caption = (
            f"{self.path}: {self.config.model.name} on {results.corpus}, seeds "
            f"{', '.join(map(str, results.seeds))}"
        )
        return html_table(caption, ("metric", *splits), rows, notes)

    def environment(self) -> dict[str, Any]:
        """Read ``environment.json``."""
        return read_json(self.path / "environment.json")


def _mean_of(summary: MetricSummary | None) -> str | None:
    """Return a mean over seeds with its deviation, if there are several."""
    if summary is None or summary.mean is None:
        return None
    spread = "" if summary.deviation is None else f" ± {float(summary.deviation):.4f}"
    return f"{float(summary.mean):.4f}{spread}"


def open_run(run: RunFolder | str | Path) -> RunFolder:
    """Open a run folder; one that is open is given back.

    Raises:
        CheckpointError: If there is no run folder at that path.
    """
    if isinstance(run, RunFolder):
        return run
    path = Path(run)
    if not (path / "config.toml").is_file():
        raise CheckpointError(f"{path}: {_explain_lack(path)}")
    return RunFolder(path)


def refuse_folds(run: RunFolder) -> None:
    """Refuse a run over folds where the weights of a run are needed, or how it was trained.

    Raises:
        CheckpointError: If it is one.
    """
    if run.folds:
        raise CheckpointError(
            f"{run.path}: is a run over folds, whose models are in the runs of the folds; give one "
            f"of them, such as {run.folds[0].path}"
        )


def find_checkpoint(trained: RunFolder | SeedFolder | str | Path) -> Path:
    """Return the checkpoint of ``trained``: itself, that of a seed, or of a run's first seed.

    Seeds of a run folder that diverged are passed over. The name of a model that comes with the
    package stands for its file, unless there is a file or folder of that name.

    Raises:
        CheckpointError: If there is none, or every training there is diverged.
    """
    path = trained.path if isinstance(trained, RunFolder | SeedFolder) else Path(trained)
    path = find_shipped(path) or path
    if path.is_file():
        return path
    if (path / "best.safetensors").is_file() or (path / "failed.json").is_file():
        return _sound(SeedFolder(path))
    run = open_run(path)
    refuse_folds(run)
    if not (seeds := run.seeds):
        raise CheckpointError(f"{path}: has no seed that was trained")
    return _sound(next((seed for seed in seeds if seed.failure is None), seeds[0]))


def _sound(seed: SeedFolder) -> Path:
    if seed.failure is not None:
        raise CheckpointError(f"{seed.path}: {seed.failure}")
    return seed.best


def _explain_lack(path: Path) -> str:
    """Return why a path is no run folder, and which one was meant if that can be seen."""
    if is_seed_of_run(path):
        if not path.exists():
            seeds = ", ".join(seed.path.name for seed in RunFolder(path.parent).seeds) or "no seed"
            return f"is not there; {path.parent} has {seeds}"
        return f"is the folder of one seed; give its run, {path.parent}"
    if (path / "meta.json").is_file():
        return "is a store, not a run folder; mien train makes a run from it"
    if EvaluationFolder.find(path) is not None:
        return "is an evaluation, which mien compare and mien report --out take; give its run"
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    runs = sorted(folder.name for folder in beside if (folder / "config.toml").is_file())
    close = get_close_matches(path.name, runs, n=1)
    hint = f"; did you mean {path.parent / close[0]}?" if close else ""
    return f"is not a run folder (it has no config.toml){hint}"


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: If the file is not there or is damaged.
    """
    if not os.path.lexists(path):
        raise CheckpointError(f"{path}: is not there; has the training finished?")
    return _parse_object(read_limited(path, CheckpointError, most=_LARGEST), path)


def _read_metrics(path: Path, read: Callable[[Mapping[str, Any]], _Metrics]) -> _Metrics:
    return take_metrics(read_json(path), read, path, "restore the file, or train the run again")


def _parse_object(text: str, where: object) -> dict[str, Any]:
    values = parse_json(text, f"{where}: is damaged: it", CheckpointError)
    if not isinstance(values, dict):
        raise CheckpointError(f"{where}: is damaged (no JSON object)")
    return values
