"""What ``results.json`` holds of the labels of train: how they came about, and the truth."""

from collections.abc import Mapping
from dataclasses import dataclass

from mien.evaluation.significance import MetricResults
from mien.files.json_values import Number, StrictValue
from mien.reports.label_trajectories import LabelMoves, LabelTrajectory

__all__ = [
    "LabelResults",
    "LabelTruthResults",
    "LabelVariantResults",
]


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
