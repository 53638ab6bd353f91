"""The results of a test of robustness to its files: a page, figures, JSON and CSV."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

from pydantic import TypeAdapter, ValidationError

from mien.errors import CheckpointError
from mien.evaluation.intervals import FEW_UNITS
from mien.files.atomic import write_text
from mien.files.json_values import write_json
from mien.reports.finished_run import Picture
from mien.reports.target_results.shown_metrics import describe_shown
from mien.reports.text import (
    code_span,
    count_words,
    describe_baseline,
    describe_metrics,
    describe_without,
    escape_markdown,
    name_corpus,
    note_on_units,
)
from mien.studies.robustness.conditions import KINDS, PROTOCOLS
from mien.studies.robustness.stress_curves import COVERAGE, HALF_WIDTH, SET_SIZE
from mien.studies.robustness.stress_tables import (
    find_metric,
    main_metrics,
    overall_table,
    point_table,
    to_csv,
)
from mien.studies.robustness.stress_values import RobustnessResults
from mien.training.run_folder import read_json
from mien.types import TargetKind

__all__ = ["format_page", "read_stress_results", "write_results"]

_ADAPTER: Final = TypeAdapter(RobustnessResults)
_FILE: Final = "results.json"


def read_stress_results(folder: str | Path) -> RobustnessResults:
    """Read ``results.json`` from the folder of a test of robustness.

    Raises:
        CheckpointError: If it is not there, or is damaged.
    """
    path = Path(folder) / _FILE
    try:
        return _ADAPTER.validate_python(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{path}: {where}: {first['msg']}; run the test again") from error


def write_results(
    results: RobustnessResults, out: Path, figures: Literal["png", "pdf", "svg"] = "png"
) -> Path:
    """Write page, figures, ``results.json`` and ``results.csv`` into a folder; return the page.

    Args:
        results: The results.
        out: The folder.
        figures: Format in which figures are written too; PNG always.
    """
    from mien.studies.robustness.stress_figures import draw_stresses  # matplotlib takes a while

    values = _ADAPTER.dump_python(results, mode="json")
    write_json(out / _FILE, values, indent=1, allow_nan=False)
    write_text(out / "results.csv", to_csv(results))
    page = out / "index.md"
    write_text(page, format_page(results, draw_stresses(results, out, figures)))
    return page


def format_page(results: RobustnessResults, pictures: Mapping[str, Picture]) -> str:
    """Return the page, in Markdown.

    Args:
        results: The results.
        pictures: The figure of each kind of stress.
    """
    parts = [f"# Robustness of {', '.join(map(escape_markdown, results.runs))}", *_facts(results)]
    parts += ["## Overall", _explain_overall(results), overall_table(results)]
    for kind, known in KINDS.items():
        stresses = {n: each for n, each in results.stresses.items() if each.kind == kind}
        if not stresses:
            continue
        parts += [f"## {known.title}", known.meaning]
        picture = pictures.get(kind)
        if picture is not None:
            parts.append(f"![{picture.title}]({picture.file})")
        for name, stress in stresses.items():
            across = "" if stress.levels is None else f" by {known.across}"
            parts += [f"`{name}`{across}:", point_table(results, stress)]
    parts += ["## Metrics", _describe(results)]
    return "\n\n".join(parts) + "\n"


def _facts(results: RobustnessResults) -> Iterator[str]:
    corpus = escape_markdown(name_corpus(results.corpus, is_synthetic=results.is_synthetic))
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    is_each = results.num_units == results.num_clips
    inside = "" if is_each else f" in {count_words(results.num_units, results.unit)}"
    yield (
        f"Written by {code_span(results.command)}; no number was typed by hand. "
        f"{results.num_clips} clips{inside} of {results.split} of {corpus}"
        f"{note_on_units(results.num_units)}; store fingerprint `{results.fingerprint[:16]}`; seed "
        f"of what is drawn {results.seed}; {versions}. All numbers are in `results.csv` and, "
        "unrounded, in `results.json`."
    )
    meaning = PROTOCOLS[results.protocol].meaning
    yield f"Protocol `{results.protocol}`. {meaning}"
    for name, run in results.runs.items():
        seeds = f"seeds {', '.join(map(str, run.seeds))}" if run.seeds else "one checkpoint"
        loss = ", ".join(f"`{key}={share:g}`" for key, share in run.trained_on_loss.items())
        trained = f"trained with {loss}" if loss else "its training knew nothing of loss"
        lines = [f"- {escape_markdown(name)}: {run.model}, {seeds}; {trained}."]
        lines += [] if run.baseline is None else [f"  {describe_baseline(run.baseline)}"]
        lines += [f"  {describe_without(run.without)}"] if run.without else []
        lines += [f"  `{kind}` was left out: {why}." for kind, why in run.left_out.items()]
        num = results.num_without_width.get(name, 0)
        if num:
            lines.append(
                f"  At some points up to {num} clips have no interval or set, since validation had "
                "too few clips with their modalities; they are left out of coverage."
            )
        yield "\n".join(lines)


def _explain_overall(results: RobustnessResults) -> str:
    target = results.coverage_level
    covered = (
        ""
        if target is None
        else f" Intervals were made on validation to cover {100 * float(target):g} % of clips as "
        "they are, with a width for each set of modalities that is there; nothing tells them of "
        "other losses."
    )
    if results.set_levels:
        levels = ", ".join(
            f"{100 * float(level):g} % for {name}" for name, level in results.set_levels.items()
        )
        covered += (
            f" Sets of classes were made likewise ({levels}): those that go on holding the "
            "annotated class grow as more is lost."
        )
    return (
        "One number for each curve: its mean height, which is its area by the trapezoidal rule "
        "over its width; of sets of modalities, the average over the sets. Of a clip with one "
        "modality left the score is that of the modality, as `mien predict` reports it. 95 % "
        "intervals of the mean over the seeds resample videos (speakers where those are known, "
        "clips where each is a video of its own): percentiles of a bootstrap, t intervals below "
        f"{FEW_UNITS} of them. Differences "
        "to the first run are paired and cover the seeds as well; p is corrected by Holm across "
        f"all curves and runs of a metric.{covered}"
    )


def _describe(results: RobustnessResults) -> str:
    lines = [] if "mae" not in main_metrics(results) else describe_metrics(results.family)
    for name, kind in results.targets.items():
        lines += [f"{name}/{line}" for line in describe_shown(TargetKind(kind))]
    lines += [
        f"{name}: {find_metric(results, name).description}"
        for name in main_metrics(results)
        if name.rpartition("/")[2] in (COVERAGE, HALF_WIDTH, SET_SIZE)
    ]
    return "\n".join("- `{}`: {}".format(*line.split(": ", 1)) for line in lines)
