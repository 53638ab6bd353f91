"""What ``results.json`` holds of the labels of train: how they came about, and the truth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from mien.studies.results.sources import MetricResults, Number, SourceResults, StrictValue

__all__ = [
    "LabelMoves",
    "LabelResults",
    "LabelTrajectory",
    "LabelTruthResults",
    "LabelVariantResults",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTrajectory(StrictValue):
    """The labels that one seed gave a modality, epoch by epoch.

    Attributes:
        best_epoch: The epoch that validation picked, counted from 1.
        clipped: Share of proposals cut to the scale, of all modalities together.
        flipped: Share of labels with the sign opposite to the annotation's.
        moved: Mean absolute distance from the annotation.
        everywhere: Correlation with the truth over all clips; None if no truth is known.
        conflicting: The same over clips in which the modality contradicts the annotation.
    """

    best_epoch: int
    clipped: tuple[Number | None, ...]
    flipped: tuple[Number | None, ...]
    moved: tuple[Number | None, ...]
    everywhere: tuple[Number | None, ...] | None = None
    conflicting: tuple[Number | None, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMoves(StrictValue):
    """How far labels of the best epoch lie from the annotation and from other modalities'.

    Attributes:
        moved: Mean absolute distance from the annotation.
        with_annotation: Correlation with the annotation.
        with_others: Key ``with``: per other modality the correlation with its labels, seed by seed.
    """

    moved: SourceResults
    with_annotation: SourceResults
    with_others: Annotated[Mapping[str, tuple[Number | None, ...]], Field(alias="with")]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelVariantResults(StrictValue):
    """How the labels of a variant came about for one modality.

    Attributes:
        trajectories: Per seed, epoch by epoch.
        moves: How far they went.
        flipped: Per seed the share of labels of the best epoch with the sign opposite to the
            annotation's.
    """

    trajectories: Mapping[str, LabelTrajectory]
    moves: LabelMoves
    flipped: tuple[Number | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTruthResults(StrictValue):
    """Labels of one modality against its known truth.

    Attributes:
        contradicting: Share of clips whose truth has the sign opposite to the annotation's.
        agreement: Metrics over ``everywhere`` and over ``conflicting`` clips.
    """

    contradicting: Number | None
    agreement: Mapping[str, MetricResults]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelResults(StrictValue):
    """The labels of one modality.

    Attributes:
        num_known: Clips of train whose truth is known.
        unfit_references: Why plain fits are left out, by their names.
        variants: How the labels of each variant came about.
        truth: Labels against the truth, its keys among the others; None if none is known.
    """

    num_known: int
    unfit_references: Mapping[str, str]
    variants: Mapping[str, LabelVariantResults]
    truth: LabelTruthResults | None = None
