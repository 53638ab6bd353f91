"""Commands that compare finished runs and report on them."""

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import RunArgument, busy, read_split

__all__ = ["compare", "labels", "report"]


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; the first is the baseline.")],
    split: Annotated[str, typer.Option(help="valid or test.")] = "test",
) -> None:
    """Compare runs on the same clips, with intervals and p values."""
    from mien.reports.comparison import compare_runs
    from mien.reports.run_text import format_comparison
    from mien.training.run_folder import open_run

    with busy("resampling"):
        comparison = compare_runs([open_run(run) for run in runs], read_split(split))
    print(format_comparison(comparison))


def report(run: RunArgument) -> None:
    """Write a run's report and figures again from its files."""
    from mien.reports.page import write_report
    from mien.training.run_folder import open_run

    print(write_report(open_run(run)))


def labels(run: RunArgument) -> None:
    """Measure how well generated labels agree with annotated ones."""
    from mien.reports.labels import format_label_report, report_labels
    from mien.training.run_folder import open_run

    with busy("resampling"):
        report = report_labels(open_run(run))
    print(format_label_report(report))
