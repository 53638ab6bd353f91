"""What training with one seed gave, as a value and as its ``metrics.json`` holds it.

None stands for a number that is undefined, as JSON holds it; labels have NaN, as they are measured.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mien.data.clips.target_json import targets_from_json, targets_to_json
from mien.evaluation.label_agreement import Agreement, LabelAgreement
from mien.evaluation.metrics_file.run_metrics import take_split
from mien.files.json_values import Number, json_number
from mien.types import Modality, Split, Target, Task

__all__ = [
    "AttentionMetrics",
    "Coverage",
    "SeedCoverage",
    "SeedMetrics",
    "TargetCoverage",
    "TaskCoverage",
    "TaskMetrics",
    "seed_coverage_from_json",
    "seed_coverage_to_json",
    "seed_metrics_from_json",
    "seed_metrics_to_json",
]

#: Every metric of a family, by name.
TaskMetrics = Mapping[str, Number | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionMetrics:
    """Attention inside the known moments of the clips of a split, of one seed.

    Attributes:
        inside: Mean share of the attention that lies inside.
        uniform: Mean share that equal weights would get.
        ratio: The one over the other.
        num_clips: Clips with a known moment and some attention.
    """

    inside: Number | None
    uniform: Number | None
    ratio: Number | None
    num_clips: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCoverage:
    """How often the intervals of a task hold the annotation.

    Attributes:
        share: Share of the clips with an interval whose annotation lies in it.
        num_clips: Clips that have an interval.
        num_without_width: Clips that have none, since validation had too few such clips.
    """

    share: float
    num_clips: int
    num_without_width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How often prediction intervals hold the annotation, on clips that calibration has not seen.

    Attributes:
        level: Share of clips whose annotation should lie inside.
        splits: Per split and task how many do.
    """

    level: float
    splits: Mapping[Split, Mapping[Task, TaskCoverage]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetCoverage:
    """How often the sets or intervals of a target hold what is annotated, in the multimodal task.

    Attributes:
        level: How often they should.
        share: Share of what is annotated that lies inside.
        num_clips: Clips that have a set; of several labels or intensities, clips times these.
        num_without_set: Clips that have none, since validation had none with their modalities.
        size: Mean number of classes in a set; None for intervals.
    """

    level: float
    share: float
    num_clips: int
    num_without_set: int
    size: Number | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedCoverage:
    """How often what a seed, or a model of one file, promises holds what is annotated.

    Attributes:
        sentiment: Of the prediction intervals; None where there are none, as of earlier versions,
            and where no sentiment is predicted.
        targets: Per split and target, of their sets and intervals.
    """

    sentiment: Coverage | None
    targets: Mapping[Split, Mapping[str, TargetCoverage]]

    def take(self, split: Split) -> "SeedCoverage":
        """Return the same of one split alone."""
        known = self.sentiment
        return SeedCoverage(
            sentiment=None
            if known is None
            else replace(known, splits=take_split(known.splits, split)),
            targets=take_split(self.targets, split),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedMetrics:
    """What training with one seed gave: what the ``metrics.json`` of a seed holds.

    Attributes:
        seed: The seed.
        best_epoch: The epoch that validation picked, counted from 1; 0 in a run over folds, which
            have an epoch each.
        num_epochs: Epochs that were trained; 0 in a run over folds.
        splits: Per split and task every metric.
        labels: Per modality with a known truth, how the labels of each source (generated, copy)
            agree with it on train.
        attention: Per split and modality with known moments.
        coverage: Of the prediction intervals; None in the file of an earlier version, and where no
            sentiment is predicted.
        described: What is predicted besides sentiment.
        targets: Per split, target and task every metric.
        target_coverage: Per split and target, of their sets and intervals; earlier versions wrote
            none.
    """

    seed: int
    best_epoch: int
    num_epochs: int
    splits: Mapping[Split, Mapping[Task, TaskMetrics]]
    labels: Mapping[Modality, Mapping[str, LabelAgreement]]
    attention: Mapping[Split, Mapping[Modality, AttentionMetrics]]
    coverage: Coverage | None = None
    described: tuple[Target, ...] = ()
    targets: Mapping[Split, Mapping[str, Mapping[Task, TaskMetrics]]] = field(default_factory=dict)
    target_coverage: Mapping[Split, Mapping[str, TargetCoverage]] = field(default_factory=dict)

    @property
    def covered(self) -> SeedCoverage:
        """How often all that the seed promises holds what is annotated."""
        return SeedCoverage(sentiment=self.coverage, targets=self.target_coverage)


def seed_metrics_to_json(metrics: SeedMetrics) -> dict[str, Any]:
    """Return metrics as the ``metrics.json`` of a seed holds them."""
    fields = asdict(metrics)
    del fields["described"]
    values = _plain(fields)
    targets, covered = values.pop("targets"), values.pop("target_coverage")
    if metrics.described:
        described = targets_to_json(metrics.described)
        values["targets"] = {"described": described, "splits": targets}
        if covered:
            values["targets"]["coverage"] = covered
    values |= _intervals_to_json(values.pop("coverage"))
    return values  # type: ignore[no-any-return]


def _intervals_to_json(coverage: Mapping[str, Any] | None) -> dict[str, Any]:
    if coverage is None:
        return {}
    return {"intervals": {"level": coverage["level"], "coverage": coverage["splits"]}}


def seed_coverage_to_json(coverage: SeedCoverage) -> dict[str, Any]:
    """Return how often promises hold as the ``evaluated.json`` of an evaluation holds it."""
    values = _plain(asdict(coverage))
    return {**_intervals_to_json(values["sentiment"]), "targets": values["targets"]}


def _plain(tree: Any) -> Any:  # noqa: ANN401  # mappings down to numbers
    """Turn keys into plain words, and numbers that are not finite into None."""
    if isinstance(tree, Mapping):
        return {str(key): _plain(branch) for key, branch in tree.items()}
    return None if tree is None else json_number(tree)


def seed_metrics_from_json(values: Mapping[str, Any]) -> SeedMetrics:
    """Return the metrics that the ``metrics.json`` of a seed holds.

    Raises:
        KeyError: If something is missing, or of another form (also TypeError, ValueError and
            AttributeError).
    """
    intervals, targets = values.get("intervals"), values.get("targets", {})
    return SeedMetrics(
        seed=int(values["seed"]),
        best_epoch=int(values["best_epoch"]),
        num_epochs=int(values["num_epochs"]),
        splits={
            split: {Task(task): dict(metrics) for task, metrics in tasks.items()}
            for split, tasks in values["splits"].items()
        },
        labels={
            Modality(modality): {name: _read_labels(parts) for name, parts in sources.items()}
            for modality, sources in values["labels"].items()
        },
        attention={
            split: {Modality(modality): AttentionMetrics(**each) for modality, each in own.items()}
            for split, own in values["attention"].items()
        },
        coverage=None if intervals is None else _read_coverage(intervals),
        described=targets_from_json(targets.get("described", ())),
        targets={
            split: {
                name: {Task(task): dict(metrics) for task, metrics in tasks.items()}
                for name, tasks in own.items()
            }
            for split, own in targets.get("splits", {}).items()
        },
        target_coverage=_read_target_coverage(targets.get("coverage", {})),
    )


def seed_coverage_from_json(values: Mapping[str, Any]) -> SeedCoverage:
    """Return what ``seed_coverage_to_json`` gave.

    Raises:
        KeyError: If something is missing, or of another form (also TypeError, ValueError and
            AttributeError).
    """
    intervals = values.get("intervals")
    return SeedCoverage(
        sentiment=None if intervals is None else _read_coverage(intervals),
        targets=_read_target_coverage(values["targets"]),
    )


def _read_target_coverage(
    splits: Mapping[Split, Mapping[str, Any]],
) -> dict[Split, dict[str, TargetCoverage]]:
    return {
        split: {name: TargetCoverage(**each) for name, each in own.items()}
        for split, own in splits.items()
    }


def _read_labels(parts: Mapping[str, Mapping[str, Any]]) -> LabelAgreement:
    agreed: dict[str, Any] = {
        part: {name: math.nan if value is None else value for name, value in values.items()}
        for part, values in parts.items()
    }
    return LabelAgreement(**{part: Agreement(**values) for part, values in agreed.items()})


def _read_coverage(intervals: Mapping[str, Any]) -> Coverage:
    return Coverage(
        level=intervals["level"],
        splits={
            split: {Task(task): TaskCoverage(**each) for task, each in tasks.items()}
            for split, tasks in intervals["coverage"].items()
        },
    )
