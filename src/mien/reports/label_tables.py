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
    "WEAK",
    "LabelColumn",
    "LabelRow",
    "describe_estimate",
    "label_table",
    "mean_column",
    "rows_of_run",
    "rows_of_sources",
    "spread_column",
]


Result = TypeVar("Result", bound=OverSeeds)

#: Reliability below which evidence is too weak to tell labels from copies of the annotation.
WEAK: Final = 0.05


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


#: What the annotation of a clip is under each rule by which it may come from the modalities.
_RULES = {
    "sum": "are it all the same",
    "strongest": "are that of the strongest modality",
    "irony": "reverse the text where the voice contradicts it",
}


def describe_estimate(estimate: Mapping[str, Any]) -> list[str]:
    """Return sentences on what a label generator estimated of annotation and evidence.

    Args:
        estimate: What ``train.json`` holds of it.

    >>> describe_estimate(
    ...     {
    ...         "noise": 0.5,
    ...         "spread": 1.2,
    ...         "num_clips": 90,
    ...         "reliability": {"audio": 0.01},
    ...         "agreement": {"audio": 0.7},
    ...         "weights": {"audio": 1.0},
    ...     }
    ... )
    ... # doctest: +NORMALIZE_WHITESPACE
    ['Estimated from 90 clips: the annotation has noise of deviation 0.50 beyond the modalities,
    and what a modality expresses has a deviation of 1.20.',
    'audio: weight 1.00 in the annotation; reliability of its evidence 0.01; correlation of the
    annotation with what it expresses 0.70.',
    'Evidence of audio is too weak to do better than copies of the annotation: its labels follow
    the annotation.']
    """
    sentences = [
        f"Estimated from {estimate['num_clips']} clips: the annotation has noise of deviation "
        f"{estimate['noise']:.2f} beyond the modalities, and what a modality expresses has a "
        f"deviation of {estimate['spread']:.2f}."
    ]
    reliability: Mapping[str, float] = estimate["reliability"]
    sentences += [
        f"{modality}: weight {estimate['weights'][modality]:.2f} in the annotation; reliability of "
        f"its evidence {value:.2f}; correlation of the annotation with what it expresses "
        f"{estimate['agreement'][modality]:.2f}."
        for modality, value in reliability.items()
    ]
    rules: Mapping[str, float] = estimate.get("rules", {})  # of older runs there are none
    if rules:
        shares = ", ".join(f"{share:.0%} {_RULES[name]}" for name, share in rules.items())
        sentences.append(f"Annotations are not the weighted mean of the modalities: {shares}.")
    weak = [modality for modality, value in reliability.items() if value < WEAK]
    if weak:
        sentences.append(
            f"Evidence of {' and '.join(weak)} is too weak to do better than copies of the "
            f"annotation: {'its' if len(weak) == 1 else 'their'} labels follow the annotation."
        )
    return sentences
