"""The results of a test of robustness to figures: one for each kind of stress."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from matplotlib.figure import Figure

from mien.reports.figures.panels import (
    Estimate,
    IntervalPanel,
    Line,
    LinePanel,
    draw_intervals,
    draw_lines,
)
from mien.reports.figures.style import save_figure
from mien.reports.finished_run import Picture
from mien.reports.text import name_corpus
from mien.studies.robustness.conditions import KINDS
from mien.studies.robustness.stress_curves import COVERAGE, HALF_WIDTH, SET_SIZE
from mien.studies.robustness.stress_tables import find_metric, main_metrics
from mien.studies.robustness.stress_values import RobustnessResults, StressResults

__all__ = ["draw_stresses"]

_NOTE: Final = "bands and bars: 95 % intervals of the mean over seeds, by video or speaker"


def draw_stresses(
    results: RobustnessResults, out: Path, figures: Literal["png", "pdf", "svg"] = "png"
) -> dict[str, Picture]:
    """Write a figure for each kind of stress; return them by kind.

    Args:
        results: The results.
        out: Folder for the files.
        figures: Format in which they are written too; PNG always.
    """
    pictures: dict[str, Picture] = {}
    corpus = name_corpus(results.corpus, is_synthetic=results.is_synthetic)
    for kind, known in KINDS.items():
        stresses = [stress for stress in results.stresses.values() if stress.kind == kind]
        if not stresses:
            continue
        title = f"{known.title}: {results.split} of {corpus}"
        figure = (_draw_sets if kind == "sets" else _draw_curves)(results, stresses, title)
        for suffix in dict.fromkeys(("png", figures)):
            save_figure(figure, out / f"{kind}.{suffix}")
        has_level = results.coverage_level or results.set_levels
        mark = " Dashed: the share that intervals and sets are made to cover." if has_level else ""
        pictures[kind] = Picture(
            f"{kind}.png",
            known.title,
            f"{known.meaning} {_NOTE.capitalize()}.{mark}",
        )
    return pictures


def _shown(results: RobustnessResults) -> list[str]:
    sizes = (HALF_WIDTH, SET_SIZE)
    return [name for name in main_metrics(results) if name.rpartition("/")[2] not in sizes]


def _factor(results: RobustnessResults, name: str) -> float:
    return 100.0 if find_metric(results, name).is_share else 1.0


def _name(results: RobustnessResults, name: str) -> str:
    return f"{name}{' %' * find_metric(results, name).is_share}"


def _mark(results: RobustnessResults, name: str) -> float | None:
    target, _, own = name.rpartition("/")
    level = results.set_levels.get(target) if target else results.coverage_level
    return None if own != COVERAGE or level is None else 100.0 * float(level)


def _estimates(
    results: RobustnessResults, stress: StressResults, name: str, run: str
) -> list[Estimate]:
    curve = stress.metrics.get(name, {}).get(run)
    factor = _factor(results, name)
    return [
        Estimate(
            value=None if p.mean is None else factor * float(p.mean),
            low=None if p.low is None else factor * float(p.low),
            high=None if p.high is None else factor * float(p.high),
        )
        for p in (curve.points if curve else ())
    ]


def _draw_curves(
    results: RobustnessResults, stresses: Sequence[StressResults], title: str
) -> Figure:
    """Draw a row of panels for each metric, a column for each set of modalities that suffers."""
    across = KINDS[stresses[0].kind].across  # type: ignore[index]  # a key of the table
    rows = [
        [
            LinePanel(
                title="+".join(stress.modalities),
                across=across,
                up=_name(results, name),
                lines={
                    run: [
                        Line(
                            places=list(stress.levels or ()),
                            estimates=_estimates(results, stress, name, run),
                        )
                    ]
                    for run in stress.metrics.get(name, {})
                },
                mark=_mark(results, name),
            )
            for stress in stresses
        ]
        for name in _shown(results)
    ]
    return draw_lines(rows, list(results.runs), title, _NOTE)


def _draw_sets(results: RobustnessResults, stresses: Sequence[StressResults], title: str) -> Figure:
    """Draw a row of panels for each metric, a column for each run."""
    names = list(dict.fromkeys(point for stress in stresses for point in stress.points))
    rows = []
    for name in _shown(results):
        panels = []
        for run in results.runs:
            estimates: dict[str, Estimate] = {}
            for stress in stresses:
                own = _estimates(results, stress, name, run)
                estimates |= dict(zip(stress.points, own, strict=False))
            panels.append(
                IntervalPanel(
                    title=run,
                    across=_name(results, name),
                    estimates=estimates,
                    mark=_mark(results, name),
                )
            )
        rows.append(panels)
    return draw_intervals(rows, names, title, _NOTE)
