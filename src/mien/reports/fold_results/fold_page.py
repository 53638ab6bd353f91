"""A run over folds to a page with its tables, from the files of the run alone."""

from mien.config import read_toml
from mien.reports.finished_run import FinishedRun
from mien.reports.fold_results.fold_tables import iterate_tables
from mien.reports.text import count_words, escape_markdown, markdown_table
from mien.training.run_folder import RunFolder

__all__ = ["describe_folds", "read_pooled", "write_fold_tables"]


def read_pooled(folder: RunFolder) -> FinishedRun:
    """Read a run over folds, as far as it has what a run has: results, settings, predictions."""
    metrics = folder.results()
    return FinishedRun(
        folder=folder,
        config=read_toml(folder.path / "config.toml"),
        metrics=metrics,
        environment=folder.environment(),
        seeds=tuple(folder.seed(seed) for seed in metrics.seeds),
    )


def describe_folds(run: FinishedRun) -> str:
    """Return how the numbers of a run over folds came about."""
    folds = run.metrics.folds
    if folds is None:
        return ""
    runs = ", ".join(f"[{name}]({name}/report.md)" for name in folds.names)
    return (
        f"Trained once for each of {len(folds.names)} folds: {runs}. Every clip is predicted by "
        "the model that has not seen it, and the metrics are those of all "
        f"{count_words(sum(folds.num_clips), 'clip')} together, not means over folds. Each model "
        "has fewer clips to learn from than one trained on all, and folds share most of theirs: "
        "intervals hold for these weights, and the deviation over folds is no standard error."
    )


def write_fold_tables(run: FinishedRun) -> str:
    """Return the section with the metrics of each fold; nothing for another run."""
    tables = list(iterate_tables(run.metrics))
    if not tables:
        return ""
    parts = [
        "## Folds",
        "Each fold on the clips that it held out, the mean over its seeds; below, mean and "
        "standard deviation of a sample over the folds, which count alike whatever their size.",
    ]
    for table in tables:
        parts.append(f"**each fold of {run.corpus_in_markdown}, {escape_markdown(table.title)}**")
        parts.append(markdown_table(table.heading, table.rows))
    return "\n\n".join(parts)
