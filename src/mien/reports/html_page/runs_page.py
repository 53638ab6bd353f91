"""Finished runs and evaluations to one page in HTML, beside which nothing is needed."""

from collections.abc import Sequence
from pathlib import Path

from mien.data.store import Store
from mien.errors import OutputError
from mien.files.atomic import refuse_existing, write_text
from mien.reports.figures.style import save_figure
from mien.reports.finished_run import FigureFormat
from mien.reports.html_page.clip_sections import show_contrasts, show_errors
from mien.reports.html_page.coverage_section import show_coverage, show_folds
from mien.reports.html_page.html_parts import Html, page, paragraph
from mien.reports.html_page.page_runs import PageRuns, read_page_runs
from mien.reports.html_page.results_section import show_differences, show_results
from mien.reports.html_page.run_sections import (
    draw_run,
    show_curves,
    show_environment,
    show_figures,
    show_metrics,
    show_runs,
    show_settings,
)
from mien.reports.target_results.compared_scores import ComparedFolder
from mien.reports.text import count_words
from mien.types import Split

__all__ = ["PAGE", "write_runs_page"]

#: Name of the page in its folder.
PAGE = "index.html"


def write_runs_page(
    runs: Sequence[ComparedFolder | str | Path],
    out: str | Path,
    *,
    split: Split = "test",
    store: Store | str | Path | None = None,
    figures: FigureFormat | None = None,
    replace: bool = False,
) -> Path:
    """Write a page that compares runs on the same clips, from the files in their folders alone.

    The page holds its figures, runs no script and loads nothing, so that it can be sent to
    someone. The same files give the same page.

    Args:
        runs: One run or more, whose trainings have ended, or folders that ``mien evaluate --out``
            wrote; the first is the one to compare with.
        out: Folder for ``index.html``; it is made if it is not there.
        split: Part of the corpus to compare on.
        store: Where the text of the clips is, and so their length; None leaves both out.
        figures: A format in which every figure is also written into ``figures``, for papers.
        replace: Whether a page that is there is replaced.

    Returns:
        The path of ``index.html``.

    Raises:
        CheckpointError: If there is no run, a training has not ended, a file is missing or damaged,
            or the runs do not predict the same clips.
        OutputError: If the page is there, or the folder cannot be one.
        StoreError: If the store has none of the clips.
    """
    folder = Path(out)
    path = folder / PAGE
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; give a folder for the page")
    refuse_existing(path, replace=replace)
    read = read_page_runs(runs, split, store)
    drawn = [
        list(draw_run(name, number, run, split))
        for number, (name, run) in enumerate(zip(read.names, read.finished, strict=True), start=1)
    ]
    differences, forest = show_differences(read)
    sections = [
        show_runs(read),
        show_results(read),
        differences,
        show_folds(read),
        show_coverage(read),
        show_errors(read),
        show_contrasts(read),
        show_curves(read, drawn),
        show_figures(read, drawn),
        show_settings(read),
        show_environment(read),
        show_metrics(read),
    ]
    text = page(_title(read), _head(read), sections)
    (folder / "figures" if figures else folder).mkdir(parents=True, exist_ok=True)
    for figure in [*forest, *(each for of_run in drawn for each in of_run)] if figures else ():
        save_figure(figure.drawn, folder / "figures" / f"{figure.name}.{figures}")
    write_text(path, text)
    return path


def _title(runs: PageRuns) -> str:
    if len(runs.names) == 1:
        return f"{runs.names[0]}: {runs.finished[0].title}"
    return f"{count_words(len(runs.names), runs.kind)} on {runs.corpus}"


def _head(runs: PageRuns) -> list[Html]:
    """Return what the page is about, in a few words."""
    facts = runs.aligned.facts[0]
    parts = []
    if facts.is_synthetic:
        parts.append(
            paragraph("Synthetic corpus: its clips were made by a program.", kind="warning")
        )
    clips = count_words(len(runs.first), "clip")
    lead = f"Evaluated on {runs.aligned.split} of {runs.corpus}, {clips}."
    if runs.comparison is not None:
        lead += f" Every {runs.kind} is compared with the first one, {runs.names[0]}."
    return [*parts, paragraph(lead, kind="lead")]
