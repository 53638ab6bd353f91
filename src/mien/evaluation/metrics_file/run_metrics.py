"""What the seeds of a run gave together, as a value and as its ``metrics.json`` holds it.

None stands for a number that is undefined, as JSON holds it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, NamedTuple, TypeVar

from mien.data.clips.target_json import targets_from_json, targets_to_json
from mien.evaluation.bootstrap import Unit
from mien.files.json_values import Number
from mien.types import Modality, Split, Target, Task

__all__ = [
    "FoldMetrics",
    "LabelMetrics",
    "MetricSummary",
    "RunMetrics",
    "SeedValues",
    "UnitInterval",
    "run_metrics_from_json",
    "run_metrics_to_json",
    "take_split",
]

_Own = TypeVar("_Own")

#: What is said of labels: per modality, source (generated, copy) and part of the clips, a value
#: for each field of ``Agreement``.
LabelMetrics = Mapping[str, Mapping[str, Mapping[str, Mapping[str, "SeedValues"]]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedValues:
    """A number over the seeds of a run, or over folds.

    Attributes:
        mean: Mean over the seeds.
        deviation: Standard deviation of a sample; None for a single seed.
        values: The number of each seed.
    """

    mean: Number | None
    deviation: Number | None
    values: tuple[Number | None, ...]


class UnitInterval(NamedTuple):
    """An interval of a mean, and over what it is.

    Attributes:
        unit: What was resampled.
        low: Lower end; None for a single unit.
        high: Upper end.
        num_units: Units that it rests on; None in the file of an earlier version.
    """

    unit: Unit
    low: Number | None
    high: Number | None
    num_units: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSummary:
    """A metric over the seeds of a run, with the intervals of its mean.

    Attributes:
        mean: Mean over the seeds.
        deviation: Standard deviation of a sample; None for a single seed.
        values: The metric of each seed.
        low: Lower end of the 95 % interval of the mean over clips; None for a single clip.
        high: Upper end.
        num_clips: Clips that it rests on; None in the file of an earlier version.
        low_videos: The same over videos, where several clips come from one; None for a single one.
        high_videos: Upper end.
        num_videos: Videos that it rests on; None where each clip is a video of its own.
        low_speakers: The same over speakers, a video standing for one who is not known.
        high_speakers: Upper end.
        num_speakers: Speakers that it rests on; None where none is known, each clip has another,
            or speakers are the videos.
        ensemble: The metric of the mean of the seeds' scores, which is one prediction made by
            several models; None for a single seed, and in the file of an earlier version.
    """

    mean: Number | None
    deviation: Number | None
    values: tuple[Number | None, ...]
    low: Number | None
    high: Number | None
    num_clips: int | None = None
    low_videos: Number | None = None
    high_videos: Number | None = None
    num_videos: int | None = None
    low_speakers: Number | None = None
    high_speakers: Number | None = None
    num_speakers: int | None = None
    ensemble: Number | None = None

    @property
    def widest(self) -> "UnitInterval":
        """The interval over the largest units: speakers where they are known, videos, or clips."""
        if self.num_speakers is not None:
            ends = self.low_speakers, self.high_speakers
            return UnitInterval("speaker", *ends, self.num_speakers)
        if self.num_videos is not None:
            return UnitInterval("video", self.low_videos, self.high_videos, self.num_videos)
        return UnitInterval("clip", self.low, self.high, self.num_clips)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldMetrics:
    """What each fold gave on its own held-out clips, of a run over folds.

    Attributes:
        names: The folds.
        num_clips: Clips of each.
        tasks: Per task and metric the value of each fold, the mean over its seeds; None where it
            is undefined in a fold.
        targets: The same per target.
        task_clips: Per task the annotated clips of each fold; none in an earlier version's file.
        target_clips: The same per target.
    """

    names: tuple[str, ...]
    num_clips: tuple[int, ...]
    tasks: Mapping[str, Mapping[str, SeedValues]]
    targets: Mapping[str, Mapping[str, Mapping[str, SeedValues]]]
    task_clips: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    target_clips: Mapping[str, Mapping[str, tuple[int, ...]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMetrics:
    """What several seeds gave, or a model of one file: what ``metrics.json`` holds.

    Attributes:
        corpus: Name of the corpus.
        is_synthetic: Whether its clips were made by a program.
        family: Key of ``METRICS``.
        seeds: The seeds that are in the numbers; none of a model of one file.
        best_epochs: The epoch of each that validation picked, counted from 1; empty if there was
            no training.
        splits: Per split and task every metric.
        labels: How generated labels of train agree with the truth; empty where none is known.
        attention: Per split and modality the fields of ``AttentionMetrics`` over the seeds.
        failed_seeds: Why seeds diverged, by seed; they are left out of all numbers.
        baseline: Of models with baselines, against whom clips were read: ``speaker`` is all other
            clips of their speaker in the split, ``none`` nobody but all of train; None where
            models know no baselines.
        without: What was left out of the clips, though models read it.
        model: What a model of one file is called; None for seeds of a run.
        described: What is predicted besides sentiment.
        targets: Per split, target and task every metric of ``TARGET_METRICS``. Those of unimodal
            tasks have no intervals.
        classes: Per split, target and class the clips that are annotated and predicted to be of
            it, and its metrics alone, of the multimodal task.
        folds: What each fold gave, of a run over folds, whose other numbers are those of all folds
            together; None for another run.
    """

    corpus: str
    is_synthetic: bool
    family: str
    seeds: tuple[int, ...]
    best_epochs: tuple[int, ...]
    splits: Mapping[str, Mapping[str, Mapping[str, MetricSummary]]]
    labels: LabelMetrics
    attention: Mapping[str, Mapping[str, Mapping[str, SeedValues]]]
    failed_seeds: Mapping[str, str] = field(default_factory=dict)
    baseline: str | None = None
    without: tuple[Modality, ...] = ()
    model: str | None = None
    described: tuple[Target, ...] = ()
    targets: Mapping[str, Mapping[str, Mapping[str, Mapping[str, MetricSummary]]]] = field(
        default_factory=dict
    )
    classes: Mapping[str, Mapping[str, Mapping[str, Mapping[str, SeedValues]]]] = field(
        default_factory=dict
    )
    folds: FoldMetrics | None = None

    @property
    def has_sentiment(self) -> bool:
        """Whether there is sentiment, beside targets or alone, in the multimodal task."""
        return not self.described or any(Task.FUSION in tasks for tasks in self.splits.values())

    def take(self, split: Split) -> "RunMetrics":
        """Return the same of one split alone."""
        return replace(
            self,
            splits=take_split(self.splits, split),
            attention=take_split(self.attention, split),
            targets=take_split(self.targets, split),
            classes=take_split(self.classes, split),
        )


def take_split(splits: Mapping[Any, _Own], split: Split) -> dict[Any, _Own]:
    """Return what is known by split, of one split alone."""
    return {name: own for name, own in splits.items() if name == split}


#: Fields of a metric that are in the file only where several clips come from one video.
_OF_VIDEOS: Final = ("low_videos", "high_videos", "num_videos")
#: Those that are in it only where speakers are known who are not the videos.
_OF_SPEAKERS: Final = ("low_speakers", "high_speakers", "num_speakers")
#: Those that are in it only where there are several seeds.
_OF_SEVERAL: Final = ("ensemble",)


def run_metrics_to_json(metrics: RunMetrics) -> dict[str, Any]:
    """Return metrics as a run's ``metrics.json`` holds them."""
    values: dict[str, Any] = {
        "corpus": metrics.corpus,
        "is_synthetic": metrics.is_synthetic,
        "family": metrics.family,
        "seeds": list(metrics.seeds),
        "best_epochs": list(metrics.best_epochs),
    }
    for name in ("splits", "labels", "attention"):
        values[name] = _tree_to_json(getattr(metrics, name))
    values["failed_seeds"] = dict(metrics.failed_seeds)
    if metrics.baseline is not None:
        values["baseline"] = metrics.baseline
    if metrics.without:
        values["without"] = list(map(str, metrics.without))
    if metrics.model is not None:
        values["model"] = metrics.model
    if metrics.described:
        values["targets"] = {
            "described": targets_to_json(metrics.described),
            "splits": _tree_to_json(metrics.targets),
            "classes": _tree_to_json(metrics.classes),
        }
    if metrics.folds is not None:
        values["folds"] = {
            "names": list(metrics.folds.names),
            "num_clips": list(metrics.folds.num_clips),
            "tasks": _tree_to_json(metrics.folds.tasks),
            "targets": _tree_to_json(metrics.folds.targets),
            "task_clips": _lists(metrics.folds.task_clips),
            "target_clips": {k: _lists(own) for k, own in metrics.folds.target_clips.items()},
        }
    return values


def _lists(counts: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    return {key: list(own) for key, own in counts.items()}


def _tree_to_json(tree: Any) -> Any:  # noqa: ANN401  # mappings down to values over seeds
    if isinstance(tree, Mapping):
        return {str(key): _tree_to_json(branch) for key, branch in tree.items()}
    values: dict[str, Any] = asdict(tree)
    values["values"] = list(tree.values)
    if isinstance(tree, MetricSummary):
        left_out = {
            *(_OF_VIDEOS if tree.num_videos is None else ()),
            *(_OF_SPEAKERS if tree.num_speakers is None else ()),
            *(_OF_SEVERAL if len(tree.values) == 1 else ()),
        }
        values = {key: value for key, value in values.items() if key not in left_out}
    return values


def run_metrics_from_json(values: Mapping[str, Any]) -> RunMetrics:
    """Return the metrics that a run's ``metrics.json`` holds.

    Raises:
        KeyError: If something is missing, or of another form (also TypeError).
    """
    targets = values.get("targets", {})
    return RunMetrics(
        corpus=values["corpus"],
        is_synthetic=values["is_synthetic"],
        family=values["family"],
        seeds=tuple(values["seeds"]),
        best_epochs=tuple(values["best_epochs"]),
        splits=_tree_from_json(values["splits"], 3, MetricSummary),
        labels=_tree_from_json(values["labels"], 4, SeedValues),
        attention=_tree_from_json(values["attention"], 3, SeedValues),
        failed_seeds=dict(values.get("failed_seeds", {})),
        baseline=values.get("baseline"),
        without=tuple(map(Modality, values.get("without", ()))),
        model=values.get("model"),
        described=targets_from_json(targets.get("described", ())),
        targets=_tree_from_json(targets.get("splits", {}), 4, MetricSummary),
        classes=_tree_from_json(targets.get("classes", {}), 4, SeedValues),
        folds=None if "folds" not in values else _folds_from_json(values["folds"]),
    )


def _folds_from_json(values: Mapping[str, Any]) -> FoldMetrics:
    return FoldMetrics(
        names=tuple(values["names"]),
        num_clips=tuple(values["num_clips"]),
        tasks=_tree_from_json(values["tasks"], 2, SeedValues),
        targets=_tree_from_json(values["targets"], 3, SeedValues),
        task_clips=_tuples(values.get("task_clips", {})),
        target_clips={k: _tuples(own) for k, own in values.get("target_clips", {}).items()},
    )


def _tuples(counts: Mapping[str, Iterable[int]]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(own) for key, own in counts.items()}


def _tree_from_json(tree: Mapping[str, Any], depth: int, leaf: type) -> Any:  # noqa: ANN401  # as above
    """Read mappings of some depth; names of targets and classes may be any word."""
    if depth:
        return {key: _tree_from_json(branch, depth - 1, leaf) for key, branch in tree.items()}
    return leaf(**{**tree, "values": tuple(tree["values"])})
