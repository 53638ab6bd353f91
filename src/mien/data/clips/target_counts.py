"""How often each class of a target is annotated, and how its scores are spread, by split."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mien.data.clips.clip_columns import ClipSequence
from mien.types import SPLITS, Split, Target, TargetKind, Task

__all__ = ["TargetSummary", "format_targets", "summarise_targets"]

#: Classes of which there are more are shown as far as they are frequent.
_MOST_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSummary:
    """What is annotated for a target and task.

    Attributes:
        target: The target.
        task: The task.
        num_clips: Annotated clips per split.
        counts: Per split, how many clips each class has: sums of the shares of votes, clips that
            have a label, clips whose intensity is above the lowest. Empty for a score.
        mean: Mean of a score per split that has any; empty for classes.
    """

    target: Target
    task: Task
    num_clips: Mapping[Split, int]
    counts: Mapping[Split, tuple[float, ...]]
    mean: Mapping[Split, float]


def summarise_targets(clips: ClipSequence, targets: Sequence[Target]) -> tuple[TargetSummary, ...]:
    """Count what is annotated for each target and task that has any clip."""
    rows = {split: clips.are_in(split) for split in SPLITS}
    summaries = []
    for target in targets:
        for task in Task:
            known = clips.have_target(target.name, task)
            if not known.any():
                continue
            values = clips.target(target, task)
            is_score = target.kind is TargetKind.SCORE
            if target.kind is TargetKind.INTENSITIES:
                values = values > target.bounds.low
            there = {split: values[known & own] for split, own in rows.items()}
            summaries.append(
                TargetSummary(
                    target=target,
                    task=task,
                    num_clips={split: len(own) for split, own in there.items()},
                    counts={}
                    if is_score
                    else {
                        split: tuple(map(float, own.sum(axis=0))) for split, own in there.items()
                    },
                    mean={split: float(np.mean(own)) for split, own in there.items() if len(own)}
                    if is_score
                    else {},
                )
            )
    return tuple(summaries)


def format_targets(summary: TargetSummary) -> Iterator[tuple[str, list[str]]]:
    """Yield a title and cells, by split and of all, for each row of a table."""
    target = summary.target
    low, high = target.bounds
    kinds = {
        TargetKind.SCORE: f"{low:g} to {high:g}",
        TargetKind.CLASS: f"one of {target.size} classes",
        TargetKind.LABELS: f"any of {target.size} classes",
        TargetKind.INTENSITIES: f"{target.size} classes, {low:g} to {high:g} each",
    }
    yield f"{target.name} of {summary.task} · {kinds[target.kind]}", []
    counts = list(summary.num_clips.values())
    yield "", [*SPLITS, "all"]
    yield "annotated", [f"{count:,}" for count in [*counts, sum(counts)]]
    if target.kind is TargetKind.SCORE:
        yield "mean", [f"{summary.mean[s]:.2f}" if s in summary.mean else "" for s in SPLITS]
        return
    table = np.array([summary.counts[split] for split in SPLITS])
    totals = table.sum(axis=0)
    shown = list(range(target.size))
    if target.size > _MOST_SHOWN:
        shown = sorted(np.argsort(-totals, kind="stable")[:_MOST_SHOWN].tolist())
    for at in shown:
        yield target.classes[at], [_show(value) for value in [*table[:, at], totals[at]]]
    if target.size > _MOST_SHOWN:
        yield f"and {target.size - _MOST_SHOWN} classes more", []


def _show(count: float) -> str:
    return f"{count:,.0f}" if float(count).is_integer() else f"{count:,.1f}"
