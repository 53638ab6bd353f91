"""The labels that a run generated for targets, measured and as text of 80 columns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mien.errors import CheckpointError
from mien.evaluation.label_agreement import COPY, GENERATED, PARTS
from mien.evaluation.metrics import Metric
from mien.evaluation.significance import MetricResults
from mien.evaluation.target_metrics.target_agreement import (
    TARGET_AGREEMENT,
    evaluate_target_agreement,
)
from mien.evaluation.target_metrics.target_values import annotated_rows
from mien.reports.text import UNDEFINED, format_interval, format_table, format_value, wrap
from mien.training.run_folder import SeedFolder
from mien.training.targets.recorded_labels import RecordedLabels, read_target_labels
from mien.types import Modality, Target, TargetKind, video_of

__all__ = ["TargetLabelResults", "format_target_labels", "measure_target_labels"]

_CONTRADICTING = {
    TargetKind.CLASS: "no class that has the largest share has it in the annotation",
    TargetKind.INTENSITIES: "no class that is the strongest is so in the annotation",
    TargetKind.LABELS: "a class is there that is not in the annotation, or the other way round",
    TargetKind.SCORE: "it and the annotation lie on other sides of the mean of train",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetLabelResults:
    """How well the labels of a target agree with what is known of each modality alone.

    Attributes:
        target: The target.
        agreement: Per modality whose truth is known, what ``evaluate_target_agreement`` gives for
            the ``generated`` labels of the best epoch and for ``copy``.
    """

    target: Target
    agreement: Mapping[str, Mapping[str, MetricResults]]


def measure_target_labels(seeds: Sequence[SeedFolder]) -> tuple[TargetLabelResults, ...]:
    """Measure the labels of every target of which something is known of a modality alone.

    Args:
        seeds: Finished seeds of a run, which have the same train clips.

    Raises:
        CheckpointError: If the clips are not the same, or a file is damaged.
    """
    first, clips = seeds[0], seeds[0].train_clips()
    ids = clips["ids"]
    for seed in seeds[1:]:
        others = seed.train_clips()
        if (others["ids"], others["modalities"]) != (ids, clips["modalities"]):
            raise CheckpointError(
                f"{seed.path}: its train clips or modalities are not those of {first.path}; "
                "compare labels of the same clips"
            )
    labels = [read_target_labels(seed) for seed in seeds]
    videos = np.array([video_of(clip) for clip in ids])
    return tuple(
        TargetLabelResults(
            target=target,
            agreement={
                str(m): _measure(target, m, [own[target.name] for own in labels], videos)
                for m, truth in labels[0][target.name].truth.items()
                if annotated_rows(truth).any()
            },
        )
        for target in first.results().described
        if all(target.name in own for own in labels)
    )


def _measure(
    target: Target, modality: Modality, seeds: Sequence[RecordedLabels], videos: np.ndarray
) -> dict[str, MetricResults]:
    annotated, truth = seeds[0].annotated, seeds[0].truth[modality]
    sources = {
        GENERATED: np.stack([own.generated[modality] for own in seeds]),
        COPY: annotated[None],
    }
    return evaluate_target_agreement(
        target, sources, truth, annotated, videos, against=(COPY,), fixed=(COPY,)
    )


def format_target_labels(results: Sequence[TargetLabelResults]) -> Iterator[str]:
    """Yield the tables of every target, and below them what they say."""
    for result in results:
        yield _format_agreement(result)


def _format_agreement(result: TargetLabelResults) -> str:
    target, metrics = result.target, TARGET_AGREEMENT[result.target.kind]
    heading = ["", "clips", "metric", "generated", "copy", "difference", "95 %"]
    tables = []
    for part, title in PARTS.items():
        rows = [
            row
            for modality, parts in result.agreement.items()
            for row in _rows(modality, parts[part], metrics)
        ]
        named = f"{target.name}, labels of the best epoch against the truth, {title} clips"
        tables.append(f"{wrap(named)}\n{format_table(heading, rows)}")
    lines = [
        f"{target.name}: contradicting clips are those in which {_CONTRADICTING[target.kind]}",
        *(f"{name}: {metric.description}" for name, metric in metrics.items()),
    ]
    return "\n\n".join([*tables, "\n".join(wrap(line, indent="    ") for line in lines)])


def _rows(
    modality: str, results: MetricResults, metrics: Mapping[str, Metric]
) -> Iterator[list[str]]:
    for name, metric in metrics.items():
        sources = results.metrics.get(name)
        label = f"{name} %" if metric.is_share else name
        if not sources:
            yield [modality, str(results.num_clips), label, *[UNDEFINED] * 4]
            continue
        less = sources[GENERATED].less[COPY]
        yield [
            modality,
            str(results.num_clips),
            label,
            format_value(sources[GENERATED].mean, metric),
            format_value(sources[COPY].mean, metric),
            format_value(less.difference, metric),
            format_interval(less.low, less.high, metric),
        ]
