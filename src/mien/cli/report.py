"""Commands that compare finished runs and report on them."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from mien.cli.options import ReplaceOption, RunArgument, busy, read_split
from mien.errors import ConfigError

__all__ = ["compare", "labels", "report"]


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Run folders, or those of mien evaluate --out; the first is the baseline.",
        ),
    ],
    split: Annotated[str, typer.Option(help="valid or test.")] = "test",
    kind: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="text, markdown (md), latex (tex), csv or json [default: by the name of --out, or "
            "text].",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table into a file.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the differences: a .png, .pdf or .svg."),
    ] = None,
    by: Annotated[
        Literal["speaker", "video", "clip"] | None,
        typer.Option(
            help="What intervals are over [default: the first of these that there is].",
        ),
    ] = None,
    *,
    replace: ReplaceOption = False,
) -> None:
    """Compare runs on the same clips, with intervals and p values."""
    from mien.files.atomic import refuse_existing, write_text
    from mien.reports.comparison import compare_runs
    from mien.reports.comparison_tables import choose_format, format_comparison_as

    chosen = choose_format(kind, out)
    if plot is not None:
        _check_picture(plot)
    for file in (out, plot):
        if file is not None:
            refuse_existing(file, replace=replace)
    with busy("resampling"):
        comparison = compare_runs(runs, read_split(split), by=by)
    if out is None:
        print(format_comparison_as(comparison, chosen))
    else:
        write_text(out, format_comparison_as(comparison, chosen) + "\n")
        print(out)
    if plot is not None:
        comparison.plot(plot)
        print(plot, file=sys.stdout if out is not None else sys.stderr)


def _check_picture(path: Path) -> None:
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ConfigError(f"--plot {path}: its name must end in .png, .pdf or .svg")


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Run folders, with --out also those of mien evaluate; the first is the baseline.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write one page in HTML, of one run or several."),
    ] = None,
    split: Annotated[str, typer.Option(help="With --out: valid or test.")] = "test",
    store: Annotated[
        Path | None,
        typer.Option(metavar="STORE", help="With --out: the store, for the text of clips."),
    ] = None,
    figures: Annotated[
        Literal["png", "pdf", "svg"] | None,
        typer.Option(help="Write figures in this format too; without --out png always."),
    ] = None,
    *,
    replace: ReplaceOption = False,
) -> None:
    """Write a run's report again, or one page of several."""
    if out is None:
        if len(runs) > 1:
            raise ConfigError(
                f"report: {len(runs)} runs are given; a page of several needs --out DIR"
            )
        if store is not None or split != "test" or replace:
            raise ConfigError("report: --split, --store and --replace go with --out DIR")
        from mien.reports.page import write_report

        print(write_report(runs[0], figures=figures or "png"))
        return
    from mien.reports.html_page.runs_page import write_runs_page

    with busy("resampling and drawing"):
        path = write_runs_page(
            runs, out, split=read_split(split), store=store, figures=figures, replace=replace
        )
    print(path)


def labels(run: RunArgument) -> None:
    """Measure how well generated labels agree with annotated ones."""
    from mien.reports.labels import format_label_report, report_labels

    with busy("resampling"):
        report = report_labels(run)
    print(format_label_report(report))
