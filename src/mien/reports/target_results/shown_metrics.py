"""Which metrics of a target tables show, and their rows; ``metrics.json`` holds all of them."""

from collections.abc import Mapping
from typing import Final

from mien.evaluation.metrics import Metric
from mien.evaluation.metrics_file.run_metrics import MetricSummary
from mien.evaluation.target_metrics.target_table import TARGET_METRICS
from mien.types import TargetKind

__all__ = ["describe_shown", "label_shown", "pick_shown", "shown_metrics"]

#: The metrics of each kind that tables show, in their order.
_SHOWN: Final[dict[TargetKind, tuple[str, ...]]] = {
    TargetKind.CLASS: ("accuracy", "uar", "f1_weighted", "f1_macro", "log_loss"),
    TargetKind.LABELS: ("accuracy", "f1_macro", "auroc", "map", "log_loss"),
    TargetKind.INTENSITIES: ("mae", "corr", "weighted_accuracy", "f1_presence", "auroc"),
    TargetKind.SCORE: ("mae", "corr", "spearman", "ccc"),
}

#: What the field calls two metrics of classes.
_FIELD_NAMES: Final = {"accuracy": "accuracy (WA)", "uar": "uar (UA)"}


def shown_metrics(kind: TargetKind) -> dict[str, Metric]:
    """Return the metrics of a kind of target that tables show, by name."""
    return {name: TARGET_METRICS[kind][name] for name in _SHOWN[kind]}


def label_shown(name: str, kind: TargetKind) -> str:
    """Return what a table calls a metric of a target, with its unit.

    >>> label_shown("uar", TargetKind.CLASS), label_shown("ccc", TargetKind.SCORE)
    ('uar (UA) %', 'ccc')
    """
    title = _FIELD_NAMES.get(name, name) if kind is TargetKind.CLASS else name
    return f"{title} %" if TARGET_METRICS[kind][name].is_share else title


def pick_shown(metrics: Mapping[str, MetricSummary], kind: TargetKind) -> dict[str, MetricSummary]:
    """Return those of a task's metrics that tables show."""
    return {name: metrics[name] for name in _SHOWN[kind]}


def describe_shown(kind: TargetKind) -> list[str]:
    """Return a sentence for each metric that tables show of a kind: what it says."""
    return [f"{name}: {metric.description}" for name, metric in shown_metrics(kind).items()]
