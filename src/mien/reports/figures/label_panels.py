"""Labels of train against the truth, and epoch by epoch: of a run, its label report, a study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from matplotlib.figure import Figure

from mien.evaluation.label_agreement import COPY, PARTS
from mien.evaluation.significance import MetricResults
from mien.files.json_values import Number
from mien.reports.figures.panels import (
    Estimate,
    IntervalPanel,
    Line,
    LinePanel,
    draw_intervals,
    draw_lines,
    estimates_of,
)
from mien.reports.label_trajectories import LabelTrajectory

__all__ = [
    "COURSES",
    "LabelCourses",
    "describe_intervals",
    "draw_agreement",
    "draw_courses",
    "marks_of",
]

#: What can be drawn by epoch: a field of ``LabelTrajectory``, what its panel is called, and its
#: axis.
COURSES: Final = {
    "everywhere": (PARTS["everywhere"], "correlation with the truth"),
    "conflicting": (PARTS["conflicting"], "correlation with the truth"),
    "moved": ("distance from the annotation", "mean absolute"),
    "flipped": ("sign opposite to the annotation", "share of clips"),
    "clipped": ("proposals cut, all modalities", "share"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCourses:
    """How labels of one modality went over the epochs.

    Attributes:
        trajectories: Per source of labels, those of its seeds.
        marks: Where a dashed line stands, by key of ``COURSES``.
        num_clips: Clips of each of ``PARTS``, where they are known.
    """

    trajectories: Mapping[str, Sequence[LabelTrajectory]]
    marks: Mapping[str, Number | None]
    num_clips: Mapping[str, int] = field(default_factory=dict)


def marks_of(
    agreement: Mapping[str, MetricResults], contradicting: Number | None
) -> dict[str, Number | None]:
    """Return where dashed lines stand: copies of the annotation, and the share in the truth.

    Args:
        agreement: For each of ``PARTS`` the metrics of every source; empty where no truth is known.
        contradicting: Share of clips whose truth has the sign opposite to the annotation's.
    """
    marks: dict[str, Number | None] = {"flipped": contradicting}
    for part, results in agreement.items():
        copies = results.metrics.get("pearson", {}).get(COPY)
        marks[part] = None if copies is None else copies.mean
    return marks


def describe_intervals(mark: str = "bars", unit: str = "video") -> str:
    """Return what intervals in a figure mean.

    Args:
        mark: How they are drawn.
        unit: What was resampled: videos, speakers, or clips.

    >>> describe_intervals("bands", "clip")
    'bands: 95 % intervals of the mean over the seeds, by clips, for these weights'
    """
    units = "clips" if unit == "clip" else f"whole {unit}s"
    return f"{mark}: 95 % intervals of the mean over the seeds, by {units}, for these weights"


def draw_agreement(agreement: Mapping[str, Mapping[str, MetricResults]], title: str) -> Figure:
    """Draw the correlation of labels with the truth at the best epoch, with its intervals.

    Args:
        agreement: Per modality, for each of ``PARTS``, the metrics of every source.
        title: Stands above the figure.
    """
    names: dict[str, None] = {}
    rows = []
    for part, heading in PARTS.items():
        panels = []
        for modality, parts in agreement.items():
            sources = parts[part].metrics.get("pearson", {})
            names |= dict.fromkeys(sources)
            panels.append(
                IntervalPanel(
                    title=f"{modality}, {parts[part].num_clips} clips, {heading}",
                    across="correlation with the truth",
                    estimates=estimates_of(sources),
                    mark=0.0 if part == "conflicting" else None,
                )
            )
        rows.append(panels)
    return draw_intervals(
        rows, list(names), title, f"{describe_intervals()}; dashed: no correlation"
    )


def draw_courses(
    modalities: Mapping[str, LabelCourses], keys: Sequence[str], title: str, note: str = ""
) -> Figure:
    """Draw labels epoch by epoch: a column for each modality, a line for each seed.

    Args:
        modalities: Of the modalities, how their labels went.
        keys: Which of ``COURSES`` are drawn, from above; one of which nothing is known is left out.
        title: Stands above the figure.
        note: Stands below it.
    """
    sources = [name for courses in modalities.values() for name in courses.trajectories]
    drawn = [key for key in keys if any(_lines(courses, key) for courses in modalities.values())]
    rows = []
    for key in drawn:
        heading, up = COURSES[key]
        rows.append(
            [
                LinePanel(
                    title=f"{modality}, {_count_clips(courses, key)}{heading}",
                    across="epoch" if key == drawn[-1] else "",
                    up=up,
                    lines=_lines(courses, key),
                    mark=courses.marks.get(key),
                )
                for modality, courses in modalities.items()
            ]
        )
    return draw_lines(rows, list(dict.fromkeys(sources)), title, note, has_integer_places=True)


def _count_clips(courses: LabelCourses, key: str) -> str:
    return f"{courses.num_clips[key]} clips, " if key in courses.num_clips else ""


def _lines(courses: LabelCourses, key: str) -> dict[str, list[Line]]:
    """Return the lines of every source; without those of which nothing is known."""
    lines = {
        name: [
            Line(
                places=range(1, len(seed.course(key)) + 1),
                estimates=[Estimate(value=value) for value in seed.course(key)],
                dot=seed.best_epoch - 1,
            )
            for seed in seeds
            if seed.course(key)
        ]
        for name, seeds in courses.trajectories.items()
    }
    return {name: each for name, each in lines.items() if each}
