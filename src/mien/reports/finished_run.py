"""What a report shows of a run; and a run whose training has ended, read for page and figures."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from mien.config import read_toml
from mien.corpora import KNOWN
from mien.errors import CheckpointError
from mien.evaluation.formulas import Scores
from mien.evaluation.metrics_file.run_metrics import RunMetrics
from mien.evaluation.metrics_file.seed_metrics import SeedCoverage
from mien.evaluation.predictions import Predictions
from mien.reports.text import UNDEFINED, escape_markdown, name_corpus
from mien.training.run_folder import RunFolder, SeedFolder, refuse_folds
from mien.types import REPORTED_SPLITS, Modality, Scale, Split, Task

__all__ = [
    "FigureFormat",
    "FinishedRun",
    "Picture",
    "ReportedRun",
    "TrainLabels",
    "read_labels",
    "read_run",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedRun(ABC):
    """What a report shows of a run, or of the evaluation of a run or a model.

    Attributes:
        config: The settings; none of an evaluation by an earlier version.
        metrics: What ``metrics.json`` holds.
        environment: Versions, device, and fingerprints of data and weights, by name.
        known_scale: Range of the annotations of sentiment; None where nothing says it.
    """

    config: dict[str, Any]
    metrics: RunMetrics
    environment: dict[str, Any]
    known_scale: Scale | None = None
    _read: dict[Split, tuple[Predictions | None, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def family(self) -> str:
        """The family of metrics."""
        return self.metrics.family

    @property
    def corpus(self) -> str:
        """Name of the corpus; a synthetic one is called so."""
        return name_corpus(self.metrics.corpus, is_synthetic=self.metrics.is_synthetic)

    @property
    def corpus_in_markdown(self) -> str:
        """The same, without marks of Markdown."""
        return escape_markdown(self.corpus)

    @property
    def has_sentiment(self) -> bool:
        """Whether sentiment is predicted, beside targets or alone."""
        return self.metrics.has_sentiment

    @property
    def sentiment_splits(self) -> tuple[Split, ...]:
        """The reported splits on which sentiment is annotated, test first; any may have none."""
        splits = self.metrics.splits
        return tuple(split for split in REPORTED_SPLITS if Task.FUSION in splits.get(split, {}))

    @property
    def model(self) -> str:
        """Name of the model, as in its settings."""
        return str(self.config["model"]["name"]) if self.config else UNDEFINED

    @property
    def title(self) -> str:
        """Model and corpus."""
        return f"{self.model} on {self.corpus}"

    @property
    def scale(self) -> Scale:
        """Range of the annotations; where nothing says it, as far as they reach."""
        if self.known_scale is not None:
            return self.known_scale
        if self.metrics.corpus in KNOWN:
            return KNOWN[self.metrics.corpus].scale
        if self.family == "mosi":
            return Scale(-3, 3)
        largest = float(np.nanmax(np.abs(self.read_annotated()))) or 1.0
        return Scale(-largest, largest)

    @abstractmethod
    def read_annotated(self) -> Scores:
        """Return what is annotated of sentiment, of as many clips as are known."""

    def predictions(self, split: Split) -> tuple[Predictions, ...]:
        """Return the predictions of the seeds that have some on a split; each file is read once."""
        return tuple(each for each in self.predictions_by_seed(split) if each is not None)

    def predictions_by_seed(self, split: Split) -> tuple[Predictions | None, ...]:
        """Return the predictions of each seed on a split; None for one that has none."""
        if split not in self._read:
            self._read[split] = tuple(self.read_predictions(split))
        return self._read[split]

    @abstractmethod
    def read_predictions(self, split: Split) -> Sequence[Predictions | None]:
        """Read the predictions of each seed on a split."""

    @abstractmethod
    def read_coverage(self) -> Sequence[SeedCoverage]:
        """Read how often intervals and sets hold, of each seed where that was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun(ReportedRun):
    """What the files of a run say.

    Attributes:
        folder: Where they are.
        seeds: The seeds that are in the metrics, in their order.
    """

    folder: RunFolder
    seeds: tuple[SeedFolder, ...]

    @property
    def fingerprints(self) -> list[tuple[str, str]]:
        """The fingerprint of the store, or of each fold, by what it is of."""
        folds = self.environment.get("folds", ())
        return [(fold["name"], fold["fingerprint"]) for fold in folds] or [
            ("the store", self.environment["store"]["fingerprint"])
        ]

    def best_epoch(self, seed: SeedFolder) -> int:
        """Return the epoch of a seed that validation picked, counted from 1."""
        return self.metrics.best_epochs[self.seeds.index(seed)]

    def read_annotated(self) -> Scores:
        """Return the annotation of the train clips."""
        first = self.seeds[0]
        if self.folder.folds:  # where seeds of a run over folds were trained
            first = self.folder.folds[0].seed(first.seed)
        return read_labels(first).annotated

    def read_predictions(self, split: Split) -> Sequence[Predictions | None]:
        """Read the predictions of each seed on a split; None for one that has none."""
        return [seed.predictions(split) for seed in self.seeds]

    def read_coverage(self) -> Sequence[SeedCoverage]:
        """Read how often the intervals and sets of each seed hold."""
        return [seed.results().covered for seed in self.seeds]

    def estimates(self) -> dict[int, Mapping[str, Any]]:
        """Return, by seed, what the label generator estimated of annotation and evidence.

        Seeds whose generator estimates nothing are absent.
        """
        each = {seed.seed: seed.train_clips().get("estimate") for seed in self.seeds}
        return {seed: estimate for seed, estimate in each.items() if estimate is not None}

    def examples(self) -> list[dict[str, Any]]:
        """Return the clips whose attention is shown: those of the first seed that have some.

        They are picked by their sentiment; without it there are none.
        """
        if not self.has_sentiment:
            return []
        return [clip for clip in self.seeds[0].examples() if clip["attention"]]


#: Formats of figures.
FigureFormat = Literal["png", "pdf", "svg"]


class Picture(NamedTuple):
    """A figure that was written.

    Attributes:
        file: Its path, relative to the run folder.
        title: What it is called, in a few words.
        caption: What it shows, in a sentence.
    """

    file: str
    title: str
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainLabels:
    """What is known of the train clips.

    Attributes:
        modalities: Those with a task of their own, in the order of the label trajectory.
        annotated: The multimodal annotation.
        truth: What is known of a modality alone, NaN where it is not; modalities of which nothing
            is known are absent.
    """

    modalities: tuple[Modality, ...]
    annotated: Scores
    truth: dict[Modality, Scores]


def read_run(folder: RunFolder) -> FinishedRun:
    """Read a run whose training has ended.

    Raises:
        CheckpointError: If it has not, or a file of the run is missing or damaged.
    """
    refuse_folds(folder)
    metrics = folder.results()
    if not metrics.seeds:
        raise CheckpointError(f"{folder.path}: has no finished seed; train it first")
    seeds = tuple(folder.seed(seed) for seed in metrics.seeds)
    for seed in seeds:
        for name in ("metrics.json", "epochs.jsonl", "train.json"):
            if not (seed.path / name).is_file():
                raise CheckpointError(
                    f"{seed.path / name}: is not there, but {folder.path / 'metrics.json'} counts "
                    "the seed; restore the file, or train the run again"
                )
    return FinishedRun(
        folder=folder,
        config=read_toml(folder.path / "config.toml"),
        metrics=metrics,
        environment=folder.environment(),
        seeds=seeds,
    )


def read_labels(seed: SeedFolder) -> TrainLabels:
    """Read what is known of the train clips of a seed."""
    clips = seed.train_clips()
    modalities = tuple(Modality(name) for name in clips["modalities"])
    known = {m: _array(clips["truth"][str(m)]) for m in modalities if str(m) in clips["truth"]}
    return TrainLabels(
        modalities=modalities,
        annotated=_array(clips["annotated"]),
        truth={m: values for m, values in known.items() if not np.isnan(values).all()},
    )


def _array(values: Sequence[float | None]) -> Scores:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)
