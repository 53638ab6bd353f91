"""Metrics of several sources on the same clips, as ``results.json`` holds them.

None stands for a number that is undefined, such as an end of the interval of a single video.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

__all__ = [
    "MetricResults",
    "Number",
    "SourceDifference",
    "SourceResults",
    "StrictValue",
]

#: A number as the file has it: whole numbers stay whole.
Number = float | int


class StrictValue:
    """A value that is read from a file: a key that no field has is refused."""

    __slots__ = ()
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDifference(StrictValue):
    """How far a source lies above another on the same clips.

    Attributes:
        difference: Mean of the source less that of the other.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p_value: Two-sided p value.
        error_units: Standard error over videos or clips.
        error_seeds: Standard error over seeds; None if it is unknown.
        covers_seeds: Whether interval and p value hold for further seeds; else for these weights.
    """

    difference: Number | None
    low: Number | None
    high: Number | None
    p_value: Number | None
    error_units: Number | None
    error_seeds: Number | None
    covers_seeds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceResults(StrictValue):
    """A metric of a source, which is a variant or a set of labels without a training.

    Attributes:
        mean: Mean over the seeds.
        deviation: Standard deviation over the seeds.
        values: The metric of each seed.
        low: Lower end of the 95 % interval of the mean over videos or clips.
        high: Upper end.
        less: Differences to other sources, by their names.
    """

    mean: Number | None
    deviation: Number | None
    values: tuple[Number | None, ...]
    low: Number | None
    high: Number | None
    less: Mapping[str, SourceDifference]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricResults(StrictValue):
    """Every metric of several sources on the same clips.

    Attributes:
        num_clips: Clips.
        num_clusters: What is resampled: videos, or clips where each is a video of its own.
        metrics: Per metric the result of each source; empty without a clip.
    """

    num_clips: int
    num_clusters: int
    metrics: Mapping[str, Mapping[str, SourceResults]]
