"""Several runs on the same clips: how they differ, and how sure that is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mien.errors import CheckpointError
from mien.evaluation.bootstrap import Draws, Resampled, Unit, resample
from mien.evaluation.intervals import Comparison
from mien.evaluation.metrics import METRICS, Metric
from mien.evaluation.significance import SeedSummary, holm, summarise_seeds
from mien.evaluation.target_metrics.target_table import TARGET_METRICS
from mien.notebooks import html_table, make_frame
from mien.reports.target_results.compared_scores import (
    AlignedRuns,
    ComparedFolder,
    SeedScores,
    align_runs,
    draw_shared,
    open_compared,
    read_seeds,
)
from mien.reports.target_results.shown_metrics import shown_metrics
from mien.types import Modality, Split, Target

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = [
    "LEVEL",
    "MARK",
    "ComparedRun",
    "RunComparison",
    "compare_aligned",
    "compare_runs",
    "is_marked",
    "is_significant",
]

#: What stands behind a mean that differs from that of the first run, and the largest p of one.
MARK: Final = "*"
LEVEL: Final = 0.05

_COLUMNS = (
    *("metric", "run", "mean", "deviation", "low", "high", "difference", "difference_low"),
    *("difference_high", "p_value", "p_corrected"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRun:
    """One metric of one run, beside that of the first run.

    Attributes:
        name: The run, as in ``RunComparison.runs``.
        seeds: The metric over the seeds of the run.
        low: Lower end of the 95 % interval of the mean over units; NaN if there is none.
        high: Upper end.
        to_first: This run less the first one; None for the first run itself.
        p_corrected: The p value after Holm's correction across the runs that are compared with
            the first; NaN where the difference is undefined, and for the first run itself.
    """

    name: str
    seeds: SeedSummary
    low: float
    high: float
    to_first: Comparison | None
    p_corrected: float

    def numbers(self) -> dict[str, float]:
        """Return all numbers by name; NaN is what is undefined, as differences to itself are."""
        less = self.to_first
        return {
            "mean": self.seeds.mean,
            "deviation": self.seeds.deviation,
            "low": self.low,
            "high": self.high,
            "difference": math.nan if less is None else less.difference,
            "difference_low": math.nan if less is None else less.low,
            "difference_high": math.nan if less is None else less.high,
            "p_value": math.nan if less is None else less.p_value,
            "p_corrected": self.p_corrected,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RunComparison:
    """Runs on the same clips of one split, the multimodal task.

    Attributes:
        corpus: Name of the corpus.
        is_synthetic: Whether its clips were made by a program.
        family: Key of ``METRICS``.
        split: Part of the corpus.
        unit: What is resampled, where not chosen: ``speaker`` where speakers are known who are not
            the videos, ``video`` where several clips come from one, else ``clip``.
        num_clips: Clips that were compared: of sentiment or, without it, of the first target.
        num_units: Clips, videos or speakers that intervals rest on, of the same.
        runs: Name of each run, the first one being the one to compare with.
        num_seeds: Seeds of each run.
        metrics: Per metric one entry for each run, in their order.
        failed_seeds: Seeds that diverged and are left out, by the name of their run; runs
            without one are absent.
        models: What each model of one file is called, by the name of its evaluation.
        baselines: Against whom clips were read, as ``RunMetrics.baseline``, by the name of the run;
            runs of models that know no baselines are absent.
        without: What was left out of the clips, by the name of the evaluation; others are absent.
        targets: What all of them predict besides sentiment, or in its place. The metrics of a
            target are in ``metrics`` behind its name: ``emotion/uar``.
        target_clips: On how many clips each target is compared: those annotated for it.
    """

    corpus: str
    is_synthetic: bool
    family: str
    split: Split
    unit: Unit
    num_clips: int
    num_units: int
    runs: tuple[str, ...]
    num_seeds: tuple[int, ...]
    metrics: dict[str, tuple[ComparedRun, ...]]
    failed_seeds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    baselines: Mapping[str, str] = field(default_factory=dict)
    without: Mapping[str, tuple[Modality, ...]] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    target_clips: Mapping[str, int] = field(default_factory=dict)

    @property
    def has_sentiment(self) -> bool:
        """Whether metrics of sentiment are compared."""
        return any("/" not in name for name in self.metrics)

    @property
    def has_parts(self) -> bool:
        """Whether several things are compared, each over the clips that are annotated for it."""
        return self.has_sentiment + len(self.targets) > 1

    def metric(self, name: str) -> Metric:
        """Return the entry of the tables of metrics that a key of ``metrics`` stands for."""
        target, _, own = name.rpartition("/")
        if not target:
            return METRICS[self.family][own]
        kind = next(each.kind for each in self.targets if each.name == target)
        return TARGET_METRICS[kind][own]

    def __repr__(self) -> str:
        """Return the runs, and on what they were compared."""
        return (
            f"RunComparison({', '.join(self.runs)}: {self.num_clips} {self.split} clips of "
            f"{self.corpus}, {len(self.metrics)} metrics)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the same as JSON would have it, unrounded; None stands for what is undefined."""
        from mien.reports.comparison_tables import comparison_to_dict

        return comparison_to_dict(self)

    def to_markdown(self) -> str:
        """Return a table of means and one of differences, as ``mien compare`` writes a ``.md``."""
        from mien.reports.comparison_tables import format_comparison_as

        return format_comparison_as(self, "markdown")

    def to_latex(self) -> str:
        """Return the same two tables for ``booktabs``, as ``mien compare`` writes a ``.tex``."""
        from mien.reports.comparison_tables import format_comparison_as

        return format_comparison_as(self, "latex")

    def to_csv(self) -> str:
        """Return a row for each metric and run, unrounded, with the names of the columns first."""
        from mien.reports.comparison_tables import format_comparison_as

        return format_comparison_as(self, "csv") + "\n"

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Draw the differences to the first run with their intervals.

        Args:
            path: File to write: a ``.pdf``, a ``.svg``, or else a PNG.
        """
        from mien.reports.figures.forest_plot import draw_differences  # matplotlib takes a while
        from mien.reports.figures.style import save_figure

        figure = draw_differences(self)
        if path is not None:
            save_figure(figure, Path(path))
        return figure

    def to_pandas(self) -> "pd.DataFrame":
        """Return a data frame with a row for each metric and run.

        ``mean``, ``deviation``, ``low`` and ``high`` are those of the run over its seeds;
        ``difference``, ``difference_low``, ``difference_high``, ``p_value`` and ``p_corrected``
        compare it with the first run, and are NaN for the first run itself.

        Raises:
            ConfigError: If pandas is not installed.
        """
        return make_frame(
            (
                {"metric": metric, "run": run.name, **run.numbers()}
                for metric, runs in self.metrics.items()
                for run in runs
            ),
            _COLUMNS,
        )

    def _repr_html_(self) -> str:
        """Return a table for notebooks: a row for each metric and run."""
        rows = (_cells_of(metric, run) for metric, runs in self.metrics.items() for run in runs)
        notes = [f"95 % intervals over {self.num_units} {self.unit}s; p is corrected by Holm"]
        notes += ["synthetic: its clips were made by a program"] * self.is_synthetic
        notes += [f"{run} is one model: {model}" for run, model in self.models.items()]
        notes += [f"{run}: without {', '.join(names)}" for run, names in self.without.items()]
        notes += [
            f"{run}: seed {seed} failed and is left out of all numbers"
            for run, seeds in self.failed_seeds.items()
            for seed in seeds
        ]
        headings = ("metric", "run", "mean", "95 % interval", f"minus {self.runs[0]}", "p")
        caption = f"{self.split} of {self.corpus}, {self.num_clips} clips"
        return html_table(caption, headings, rows, notes)


def _cells_of(metric: str, run: ComparedRun) -> tuple[str | None, ...]:
    less = run.to_first
    return (
        metric,
        run.name,
        f"{run.seeds.mean:.4f}",
        f"{run.low:.4f} to {run.high:.4f}",
        None if less is None else f"{less.difference:+.4f} [{less.low:+.4f}, {less.high:+.4f}]",
        None if math.isnan(run.p_corrected) else f"{run.p_corrected:.3g}",
    )


def compare_runs(
    runs: Sequence[ComparedFolder | str | Path], split: Split = "test", *, by: Unit | None = None
) -> RunComparison:
    """Compare every run with the first one, metric by metric, on the same clips.

    The difference of two runs is that of their means over seeds. Its interval and p value cover
    clips (whole speakers or videos that have several) and seeds, as ``paired_difference`` of
    ``mien.evaluation.significance`` says; with one seed they hold for these weights alone.

    Args:
        runs: Two or more: runs that have ended, or folders that ``mien evaluate --out`` wrote, of a
            run or of a model of one file.
        split: Part of the corpus on which to compare.
        by: ``speaker``, ``video`` or ``clip``; None takes the first of these that there is.

    Raises:
        CheckpointError: If there are fewer than two runs, one has no predictions on the split, they
            were not made on the same clips with the same annotations, or ``by`` is not there.
    """
    if len(runs) < 2:
        raise CheckpointError(f"compare: there is {len(runs)} run, must be at least 2")
    opened = [open_compared(run) for run in runs]
    read = [read_seeds(run, split) for run in opened]
    return compare_aligned(align_runs(opened, read, split), by)


def compare_aligned(aligned: AlignedRuns, by: Unit | None = None) -> RunComparison:
    """Compare runs as ``compare_runs`` does, whose predictions are read and aligned.

    Args:
        aligned: Two runs or more.
        by: What is resampled, as ``compare_runs`` has it.
    """
    first = aligned.facts[0]
    drawn = {key: draw_shared(runs_of, by) for key, runs_of in aligned.scores.items()}
    draws = {key: own for key, (_, own) in drawn.items()}
    tables = {"": METRICS[first.family]}
    tables |= {each.name: shown_metrics(each.kind) for each in aligned.targets}
    main = next(iter(aligned.scores))
    facts = list(zip(aligned.names, aligned.facts, strict=True))
    return RunComparison(
        corpus=first.corpus,
        is_synthetic=first.is_synthetic,
        family=first.family,
        split=aligned.split,
        unit=drawn[main][0],
        num_clips=len(draws[main].units),
        num_units=draws[main].num_units,
        runs=aligned.names,
        num_seeds=aligned.num_seeds,
        metrics={
            f"{key}/{name}" if key else name: _compare_metric(runs_of, metric, draws[key])
            for key, runs_of in aligned.scores.items()
            for name, metric in tables[key].items()
        },
        failed_seeds={
            name: tuple(run.failed_seeds)
            for name, run in zip(aligned.names, aligned.runs, strict=True)
            if run.failed_seeds
        },
        models={name: run.model for name, run in facts if run.model is not None},
        baselines={name: run.baseline for name, run in facts if run.baseline is not None},
        without={name: run.without for name, run in facts if run.without},
        targets=aligned.targets,
        target_clips={each.name: len(draws[each.name].units) for each in aligned.targets},
    )


def is_marked(comparison: RunComparison, metric: str, number: int) -> bool:
    """Return whether a run is marked as the best of a metric.

    It is if its mean is the best one and differs from the first run for the better: the interval
    of the difference excludes 0 and covers the seeds. The first run itself is marked if its mean
    is the best and all others differ from it so for the worse.

    Args:
        comparison: The comparison.
        metric: One of its metrics.
        number: Which of its runs, from 0.
    """
    runs = comparison.metrics[metric]
    sign = 1.0 if comparison.metric(metric).higher_is_better else -1.0
    means = [sign * run.seeds.mean for run in runs]
    if any(math.isnan(mean) for mean in means) or means[number] < max(means):
        return False
    if number == 0:
        return all(_is_beyond(run, -sign) for run in runs[1:])
    return _is_beyond(runs[number], sign)


def is_significant(run: ComparedRun) -> bool:
    """Return whether the mean of a run differs from the first one's, after Holm's correction.

    A difference that does not cover the seeds, as with one seed on a side, is none of methods.
    """
    covers = run.to_first is not None and run.to_first.covers_seeds
    return covers and run.p_corrected < LEVEL


def _is_beyond(run: ComparedRun, sign: float) -> bool:
    """Return whether the interval of the difference, which covers the seeds, has this sign."""
    less = run.to_first
    return less is not None and less.covers_seeds and min(sign * less.low, sign * less.high) > 0


def _compare_metric(
    runs: Sequence[SeedScores], metric: Metric, draws: Draws
) -> tuple[ComparedRun, ...]:
    """Resample every run once, and compare each with the first."""
    first, *others = [resample(run.scores, run.targets, metric, draws) for run in runs]
    comparisons = [other.less(first) for other in others]
    corrected = _correct([comparison.p_value for comparison in comparisons])
    return (
        _summarise(runs[0], first, None, math.nan),
        *map(_summarise, runs[1:], others, comparisons, corrected),
    )


def _correct(p_values: Sequence[float]) -> list[float]:
    """Correct the p values that are defined; the others stay NaN."""
    defined = [p for p in p_values if not math.isnan(p)]
    corrected = iter(holm(defined))
    return [math.nan if math.isnan(p) else next(corrected) for p in p_values]


def _summarise(
    run: SeedScores, drawn: Resampled, to_first: Comparison | None, p_corrected: float
) -> ComparedRun:
    interval = drawn.interval()
    return ComparedRun(
        name=run.name,
        seeds=summarise_seeds(drawn.values.tolist()),
        low=interval.low,
        high=interval.high,
        to_first=to_first,
        p_corrected=p_corrected,
    )
