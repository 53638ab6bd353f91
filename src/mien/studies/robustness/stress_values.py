"""What a test of robustness found: a frozen value for every part of ``results.json``.

A field is called as its key in the file. None stands for what is not there or undefined.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mien.evaluation.significance import SourceResults
from mien.files.json_values import Number, StrictValue

__all__ = ["CurveResults", "RobustnessResults", "RunFacts", "StressResults"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts(StrictValue):
    """A run that was tested.

    Attributes:
        path: Where it lies.
        model: Name of its model.
        seeds: Its seeds; none for a checkpoint by itself.
        checkpoints: SHA-256 of each checkpoint.
        trained_on_loss: Settings by which its training lost modalities or steps; none if it knew
            nothing of loss.
        left_out: Why kinds of stress do not fit it, by their names.
        baseline: Against whom clips were read, as in ``RunMetrics``.
        without: What was left out of its clips.
    """

    path: str
    model: str
    seeds: tuple[int, ...]
    checkpoints: tuple[str, ...]
    trained_on_loss: Mapping[str, Number]
    left_out: Mapping[str, str]
    baseline: str | None = None
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveResults(StrictValue):
    """A metric of a run under one stress.

    Attributes:
        points: The metric at each level, or with each set of modalities.
        area: Mean height of the curve: its area by the trapezoidal rule, over its width; None for
            sets of modalities. ``less`` has the difference to the first run.
        average: Mean of the points.
        p_corrected: The p value of the difference to the first run, of the area or else the
            average, after Holm's correction across all curves and runs of the metric.
    """

    points: tuple[SourceResults, ...]
    area: SourceResults | None
    average: SourceResults
    p_corrected: Number | None = None

    @property
    def overall(self) -> SourceResults:
        """The one number for the curve: its area, or the average of sets."""
        return self.average if self.area is None else self.area


@dataclass(frozen=True, slots=True, kw_only=True)
class StressResults(StrictValue):
    """What one stress does to all runs.

    Attributes:
        kind: What is done: key of ``KINDS``.
        modalities: Which modalities suffer.
        levels: Levels of the points; None for sets of modalities.
        points: What each point is called.
        metrics: Per metric the curve of each run that was tested so.
    """

    kind: str
    modalities: tuple[str, ...]
    levels: tuple[Number, ...] | None
    points: tuple[str, ...]
    metrics: Mapping[str, Mapping[str, CurveResults]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustnessResults(StrictValue):
    """Everything that a test of robustness found.

    Attributes:
        corpus: Name of the corpus.
        is_synthetic: Whether its clips were made by a program.
        fingerprint: That of the store.
        family: Key of ``METRICS``.
        targets: Kind of each further target, by its name.
        split: Part of the corpus.
        num_clips: Clips of the split.
        num_units: How many units are resampled; clips where each is a unit of its own.
        coverage_level: Share of clips that intervals are made to cover; None without intervals.
        set_levels: Share of clips whose set is to hold the annotated class, by target; earlier
            versions wrote none.
        unit: What units are: speakers where they are known, else videos, else clips.
        num_without_width: Clips without an interval or a set, the most of any point, by run.
        protocol: What was tested: key of ``PROTOCOLS``.
        seed: Seed of what is drawn.
        runs: What was tested, the first being the one with which others are compared.
        stresses: Results by the name of the stress.
        versions: Versions of packages.
        command: The command that repeats it.
    """

    corpus: str
    is_synthetic: bool
    fingerprint: str
    family: str
    targets: Mapping[str, str]
    split: str
    num_clips: int
    num_units: int
    coverage_level: Number | None
    num_without_width: Mapping[str, int]
    protocol: str
    seed: int
    runs: Mapping[str, RunFacts]
    stresses: Mapping[str, StressResults]
    versions: Mapping[str, str]
    command: str
    set_levels: Mapping[str, Number] = field(default_factory=dict)
    unit: str = "video"
