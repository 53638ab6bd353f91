"""How often what runs promise holds: prediction intervals, sets of classes; and runs over folds."""

from collections.abc import Sequence

import numpy as np

from mien.evaluation.metrics_file.seed_metrics import SeedCoverage, TargetCoverage, TaskCoverage
from mien.reports.fold_results.fold_tables import iterate_tables
from mien.reports.html_page.html_parts import Content, Html, Section, paragraph, table, tag
from mien.reports.html_page.page_runs import PageRuns
from mien.reports.text import UNDEFINED
from mien.types import Task

__all__ = ["show_coverage", "show_folds"]


def show_coverage(runs: PageRuns) -> Section:
    """Return how often intervals and sets hold the annotation; nothing where runs have none."""
    rows: list[list[Content]] = []
    for name, run in zip(runs.names, runs.finished, strict=True):
        rows += [[name, *cells] for cells in _rows(runs, run.read_coverage())]
    if not rows:
        return Section(name="coverage", title="Intervals and sets", content=())
    has_seeds = any(num > 1 for num in runs.aligned.num_seeds)
    explained = paragraph(
        "What runs promise of a new clip, and how often it held: the share of annotations that lie "
        "in the interval around the score, or of annotated classes that are in the set of those "
        "that cannot be ruled out. Validation made intervals and sets; a share far below what "
        "is promised means that these clips are harder than those. Smaller sets say more."
        + " Means over the seeds."
        * has_seeds
    )
    heading: list[Content] = ["run", "of", "promised %", "held %"]
    heading += [*["seeds from, to %"] * has_seeds, "clips", "classes in a set"]
    shown = rows if has_seeds else [[*row[:4], *row[5:]] for row in rows]
    content = (explained, table(heading, shown, words=(0, 1)))
    return Section(name="coverage", title="Intervals and sets", content=content)


def _rows(runs: PageRuns, seeds: Sequence[SeedCoverage]) -> list[list[Content]]:
    split = runs.aligned.split
    rows = []
    for task in Task:
        of_task = [
            (seed.sentiment.level, seed.sentiment.splits.get(split, {}).get(task))
            for seed in seeds
            if seed.sentiment is not None
        ]
        known = [(level, own) for level, own in of_task if own is not None]
        title = "sentiment" if task is Task.FUSION else f"sentiment, {task} alone"
        rows += _row(title, [level for level, _ in known], [own for _, own in known])
    for target in runs.aligned.targets:
        own = [seed.targets.get(split, {}).get(target.name) for seed in seeds]
        covered = [each for each in own if each is not None]
        rows += _row(target.name, [each.level for each in covered], covered)
    return rows


def _row(
    title: str, levels: Sequence[float], covered: Sequence[TaskCoverage | TargetCoverage]
) -> list[list[Content]]:
    """Return a row, or none where nothing is covered."""
    if not covered:
        return []
    shares = [100 * float(each.share) for each in covered]
    sizes = [each.size for each in covered if isinstance(each, TargetCoverage)]
    known = [float(size) for size in sizes if size is not None]
    return [
        [
            title,
            f"{100 * levels[0]:.0f}",
            f"{np.mean(shares):.1f}",
            f"{min(shares):.1f}, {max(shares):.1f}",
            str(covered[0].num_clips),
            f"{np.mean(known):.2f}" if known else UNDEFINED,
        ]
    ]


def show_folds(runs: PageRuns) -> Section:
    """Return the metrics of each fold of runs over folds; nothing where there is none."""
    content: list[Html] = []
    for name, run in zip(runs.names, runs.finished, strict=True):
        for each in iterate_tables(run.metrics):
            content += [tag("h3", f"{name}: {each.title}"), table(each.heading, each.rows)]
    if content:
        explained = paragraph(
            "Each fold on the clips that it held out, the mean over its seeds; below, mean and "
            "standard deviation of a sample over the folds, which count alike whatever their size. "
            "All other numbers of this page are of all clips together, each predicted by a model "
            "that has not seen it; the deviation over folds is no standard error, since folds "
            "share most of what they learn from."
        )
        content.insert(0, explained)
    return Section(name="folds", title="Folds", content=tuple(content))
