"""How runs differ from the first one, metric by metric: a forest plot."""

import math

from matplotlib.figure import Figure

from mien.reports.comparison import ComparedRun, RunComparison
from mien.reports.figures.panels import Estimate, IntervalPanel, draw_intervals
from mien.reports.figures.words import keep_printable
from mien.reports.run_text import describe_pairing
from mien.reports.text import name_corpus, name_metric

__all__ = ["draw_differences"]

_ABREAST = 2  # panels


def draw_differences(comparison: RunComparison) -> Figure:
    """Draw the difference of every run to the first one with its 95 % interval, by metric.

    Those of shares are in percentage points. A dashed line marks no difference.
    """
    names = [keep_printable(name) for name in comparison.runs]
    others = names[1:]
    panels = []
    for metric, runs in comparison.metrics.items():
        kind = comparison.metric(metric)
        better = "higher" if kind.higher_is_better else "lower"
        estimates = [_estimate(run, 100.0 if kind.is_share else 1.0) for run in runs[1:]]
        panels.append(
            IntervalPanel(
                title=name_metric(metric),
                across=f"difference{' in points' * kind.is_share}, {better} is better",
                estimates=dict(zip(others, estimates, strict=True)),
                mark=0.0,
            )
        )
    rows = [panels[first : first + _ABREAST] for first in range(0, len(panels), _ABREAST)]
    corpus = name_corpus(comparison.corpus, is_synthetic=comparison.is_synthetic)
    title = f"Differences to {names[0]} on {comparison.split} of {keep_printable(corpus)}"
    note = f"bars: 95 % intervals by Student's t, {describe_pairing(comparison)}"
    return draw_intervals(rows, others, title, note)


def _estimate(run: ComparedRun, factor: float) -> Estimate:
    less = run.to_first
    if less is None or math.isnan(less.difference):
        return Estimate(value=None)
    ends = [None if math.isnan(end) else factor * end for end in (less.low, less.high)]
    return Estimate(value=factor * less.difference, low=ends[0], high=ends[1])
