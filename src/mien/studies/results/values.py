"""What the results of a study hold: a frozen value for every part of ``results.json``.

A field is called as its key in the file, unless its type names another. Fields with a default are
left out of the file where they have it. None stands for what is not there or undefined.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from mien.evaluation.significance import MetricResults, SourceResults
from mien.files.json_values import Number, StrictValue
from mien.studies.results.label_values import LabelResults
from mien.types import Modality, Split, TargetKind, Task

__all__ = [
    "AttentionResults",
    "CorpusResults",
    "RunResults",
    "ScoreResults",
    "StudyResults",
    "SweepPoint",
    "SweepResults",
    "TargetResults",
    "VariantResults",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionResults(StrictValue):
    """Attention inside the known moments of one modality.

    Attributes:
        num_clips: Clips with a known moment to which every variant attends.
        without_attention: Variants whose weights are all 0.
        uniform: Mean share that equal weights get.
        metrics: ``inside`` and ``ratio`` of each variant; empty without a clip.
        num_clusters: What is resampled, as in ``MetricResults``; None without a clip.
    """

    num_clips: int
    without_attention: tuple[str, ...]
    uniform: Number | None
    metrics: Mapping[str, Mapping[str, SourceResults]]
    num_clusters: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreResults(StrictValue):
    """The scores of a corpus.

    Attributes:
        family: Which metrics they are.
        splits: Key ``scores``: per split and task every metric.
        best_on_valid: The variant with the lowest multimodal ``mae`` on valid.
    """

    family: str
    splits: Annotated[Mapping[str, Mapping[str, MetricResults]], Field(alias="scores")]
    best_on_valid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetResults(StrictValue):
    """What is predicted of a target, in the multimodal task.

    Attributes:
        kind: What its values are.
        splits: Per split the metrics that tables show, of each variant that learns the target.
    """

    kind: TargetKind
    splits: Mapping[str, MetricResults]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResults(StrictValue):
    """How a run ended.

    Attributes:
        status: ``finished``, ``diverged`` or ``refused``.
        run: Name of its folder in the cache.
        best_epoch: The epoch that validation picked, counted from 1; None if it did not finish, as
            for the next two.
        num_epochs: Epochs that were trained.
        seconds: Time that they took.
        reason: Why it did not finish.
    """

    status: Literal["finished", "diverged", "refused"]
    run: str
    best_epoch: int | None = None
    num_epochs: int | None = None
    seconds: Number | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantResults(StrictValue):
    """What there is to know of a variant on a corpus besides its metrics.

    Attributes:
        refusal: Why its settings do not fit the corpus; None if they do.
        num_parameters: Parameters of the model; None if it was not built.
        runs: Its runs, by seed.
        settings: Its settings, with every default spelled out.
    """

    refusal: str | None
    num_parameters: int | None
    runs: Mapping[str, RunResults]
    settings: Mapping[str, Any]

    @property
    def unfinished(self) -> dict[str, RunResults]:
        """The runs that did not finish, by seed."""
        return {seed: run for seed, run in self.runs.items() if run.status != "finished"}

    @property
    def seconds_per_epoch(self) -> float | None:
        """Mean time of an epoch over all runs that finished; None if none is known."""
        known = [r for r in self.runs.values() if r.seconds is not None and r.num_epochs]
        num_epochs = sum(run.num_epochs or 0 for run in known)
        return sum(float(run.seconds or 0) for run in known) / num_epochs if num_epochs else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusResults(StrictValue):
    """Everything measured on a corpus.

    Attributes:
        corpus: Name in its store.
        is_synthetic: Whether it was made rather than recorded.
        planted: Settings with which it was made; None for a store.
        fingerprint: That of the store.
        num_clips: Clips of each split.
        num_videos: Videos of each split.
        seeds: The seeds of its runs.
        sweep: The sweep to which it belongs, if it does.
        at: Where on the sweep's axis it lies.
        variants: What was compared.
        labels: Labels of train by modality; None if they were not measured, as for the next two.
        scores: Metrics of the tasks, its keys among the others.
        attention: Attention inside the known moments by split and modality.
        targets: What is predicted besides sentiment, by its name; None where nothing is.
        alike: Variants that predict the same, whatever their settings; each in one group at most.
    """

    corpus: str
    is_synthetic: bool
    planted: Mapping[str, Any] | None
    fingerprint: str
    num_clips: Mapping[str, int]
    num_videos: Mapping[str, int]
    seeds: tuple[int, ...]
    sweep: str | None
    at: Number | None
    variants: Mapping[str, VariantResults]
    labels: Mapping[str, LabelResults] | None = None
    scores: ScoreResults | None = None
    attention: Mapping[str, Mapping[str, AttentionResults]] | None = None
    targets: Mapping[str, TargetResults] | None = None
    alike: tuple[tuple[str, ...], ...] = ()

    def task(self, split: Split, task: Task) -> MetricResults | None:
        """Return the metrics of a task; None if it was not evaluated on the split."""
        return None if self.scores is None else self.scores.splits.get(split, {}).get(task)

    def task_sources(self, split: Split, task: Task, metric: str) -> Mapping[str, SourceResults]:
        """Return a metric of each variant that has the task; empty if there is none."""
        results = self.task(split, task)
        return {} if results is None else results.metrics.get(metric, {})

    def label_sources(
        self, modality: Modality, part: str, metric: str
    ) -> Mapping[str, SourceResults]:
        """Return a metric of each source of a modality's labels; empty if no truth is known."""
        results = (self.labels or {}).get(modality)
        if results is None or results.truth is None:
            return {}
        return results.truth.agreement[part].metrics.get(metric, {})

    def attention_sources(
        self, split: Split, modality: Modality, metric: str
    ) -> Mapping[str, SourceResults]:
        """Return ``inside`` or ``ratio`` of each variant; empty if no moment is known."""
        results = (self.attention or {}).get(split, {}).get(modality)
        return {} if results is None else results.metrics.get(metric, {})


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPoint(StrictValue):
    """A corpus of a sweep.

    Attributes:
        at: Where on the axis it lies.
        corpus: The study's name of it.
    """

    at: Number
    corpus: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResults(StrictValue):
    """A line of planted corpora.

    Attributes:
        name: What the sweep is called.
        across: What its axis is.
        points: Its corpora, in the order of the axis.
    """

    name: str
    across: str
    points: tuple[SweepPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResults(StrictValue):
    """Everything a study found.

    Attributes:
        study: Name of the study.
        title: Heading of its page.
        question: What it is to answer.
        measures: What was measured.
        baseline: The variant from which every other is subtracted.
        against: All variants that are subtracted, the baseline first.
        versions: Versions of packages.
        code: Fingerprint of the code that trained.
        corpora: Results by the study's name of the corpus.
        sweeps: Its sweeps.
        command: The command that repeats it.
        skipped: Why corpora were left out, by their names.
        num_runs: Runs.
        num_other_code: Runs of the cache that other code made.
        is_restated: Whether intervals were worked out again from what an earlier version stored.
    """

    study: str
    title: str
    question: str
    measures: tuple[str, ...]
    baseline: str
    against: tuple[str, ...]
    versions: Mapping[str, str]
    code: str
    corpora: Mapping[str, CorpusResults]
    sweeps: tuple[SweepResults, ...]
    command: str
    skipped: Mapping[str, str]
    num_runs: int
    num_other_code: int
    is_restated: bool = False
