"""How well labels agree with the truth, as a table: of a run, of its label report, of a study."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from mien.evaluation.label_agreement import AGREEMENT
from mien.evaluation.metrics import Metric
from mien.evaluation.metrics_file.run_metrics import LabelMetrics, SeedValues
from mien.evaluation.significance import MetricResults, SourceResults
from mien.reports.metric_cells import OverSeeds, mean_cell
from mien.reports.text import format_table, format_value

__all__ = [
    "MODALITY",
    "NUM_CLIPS",
    "SOURCE",
    "LabelColumn",
    "LabelRow",
    "label_table",
    "mean_column",
    "rows_of_run",
    "rows_of_sources",
    "spread_column",
]


Result = TypeVar("Result", bound=OverSeeds)


@dataclass(frozen=True, slots=True)
class LabelRow(Generic[Result]):
    """The labels of one source for one modality, over one of ``PARTS``.

    Attributes:
        modality: Whose labels they are.
        part: Over which clips.
        source: What made the labels.
        num_clips: How many clips.
        results: Per metric of ``AGREEMENT``, over the seeds.
    """

    modality: str
    part: str
    source: str
    num_clips: int
    results: Mapping[str, Result]


@dataclass(frozen=True, slots=True)
class LabelColumn(Generic[Result]):
    """A column: its heading, and what it shows of a row."""

    heading: str
    cell: Callable[[LabelRow[Result]], str]


MODALITY: Final[LabelColumn[Any]] = LabelColumn("", lambda row: row.modality)
SOURCE: Final[LabelColumn[Any]] = LabelColumn("labels", lambda row: row.source)
NUM_CLIPS: Final[LabelColumn[Any]] = LabelColumn("clips", lambda row: str(row.num_clips))


def mean_column(heading: str, key: str, metric: Metric | None = None) -> LabelColumn[Any]:
    """Return a column of means over the seeds.

    Args:
        heading: Its heading.
        key: Metric of ``AGREEMENT``.
        metric: Says whether it is shown in percent; None shows it as it is.
    """
    return LabelColumn(heading, lambda row: format_value(row.results[key].mean, metric))


def spread_column(heading: str, key: str) -> LabelColumn[Any]:
    """Return a column of means with their deviations over the seeds."""
    return LabelColumn(heading, lambda row: mean_cell(row.results[key], AGREEMENT[key]))


def rows_of_run(labels: LabelMetrics, part: str) -> list[LabelRow[SeedValues]]:
    """Return the rows of what a run's ``metrics.json`` holds of labels."""
    return [
        LabelRow(modality, part, source, round(parts[part]["num_clips"].mean or 0), parts[part])
        for modality, sources in labels.items()
        for source, parts in sources.items()
    ]


def rows_of_sources(
    agreement: Mapping[str, Mapping[str, MetricResults]], part: str
) -> list[LabelRow[SourceResults]]:
    """Return the rows of what ``evaluate_agreement`` gave for each modality."""
    rows = []
    for modality, parts in agreement.items():
        metrics = parts[part].metrics
        for source in metrics.get("pearson", {}):
            results = {key: sources[source] for key, sources in metrics.items()}
            rows.append(LabelRow(modality, part, source, parts[part].num_clips, results))
    return rows


def label_table(
    rows: Iterable[LabelRow[Result]],
    columns: Sequence[LabelColumn[Result]],
    make_table: Callable[[Sequence[str], Iterable[Sequence[str]]], str] = format_table,
) -> str:
    """Return the table of these rows and columns.

    Args:
        rows: From ``rows_of_run`` or ``rows_of_sources``.
        columns: What is shown of each.
        make_table: Makes a table from its heading and rows.
    """
    cells = [[column.cell(row) for column in columns] for row in rows]
    return make_table([column.heading for column in columns], cells)
