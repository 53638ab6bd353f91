"""The results of a study to ``results.json``, and back."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from mien.errors import CheckpointError
from mien.files.json_values import write_json
from mien.studies.results.restating import restate_results
from mien.studies.results.values import StudyResults
from mien.training.run_folder import read_json

__all__ = ["dump_results", "read_results", "write_results"]

_FILE: Final = "results.json"
_ADAPTER: Final = TypeAdapter(StudyResults)
#: Keys that lie among those of a corpus in the file, and among those of ``scores`` here.
_OF_SCORES: Final = ("family", "scores", "best_on_valid")
#: Keys that lie among those of a modality's labels in the file, and among those of ``truth`` here.
_OF_TRUTH: Final = ("contradicting", "agreement")


def read_results(folder: Path) -> StudyResults:
    """Read the results of a study from the folder of its page.

    Results of an earlier version get the intervals of now; see ``restate_results``.

    Raises:
        CheckpointError: If the folder has no ``results.json``, or it cannot be read.
    """
    path = folder / _FILE
    values = read_json(path)
    if not isinstance(values.get("corpora"), dict) or "baseline" not in values:
        raise CheckpointError(
            f"{path}: does not hold the results of a study; give the folder that mien study wrote"
        )
    nested = _map_corpora(restate_results(values), _nest_corpus)
    try:
        return _ADAPTER.validate_python(nested)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CheckpointError(
            f"{path}: {where}: {first['msg']}; write the results again with mien study"
        ) from error


def write_results(results: StudyResults, folder: Path) -> None:
    """Write ``results.json`` into a folder.

    Raises:
        OutputError: If it cannot be written.
    """
    write_json(folder / _FILE, dump_results(results), indent=1, allow_nan=False)


def dump_results(results: StudyResults) -> dict[str, Any]:
    """Return the results as ``results.json`` holds them."""
    nested = _ADAPTER.dump_python(results, by_alias=True, exclude_defaults=True)
    return _map_corpora(nested, _flatten_corpus)


def _map_corpora(
    values: Mapping[str, Any], change: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    corpora = {name: change(corpus) for name, corpus in values["corpora"].items()}
    return {key: corpora if key == "corpora" else value for key, value in values.items()}


def _nest_corpus(corpus: Mapping[str, Any]) -> dict[str, Any]:
    nested = _nest(corpus, "scores", _OF_SCORES)
    if "labels" in corpus:
        nested["labels"] = {
            modality: _nest(labels, "truth", _OF_TRUTH)
            for modality, labels in corpus["labels"].items()
        }
    return nested


def _flatten_corpus(corpus: Mapping[str, Any]) -> dict[str, Any]:
    flat = _flatten(corpus, "scores")
    if "labels" in corpus:
        flat["labels"] = {
            modality: _flatten(labels, "truth") for modality, labels in corpus["labels"].items()
        }
    return flat


def _nest(values: Mapping[str, Any], field: str, keys: tuple[str, ...]) -> dict[str, Any]:
    part = {key: values[key] for key in keys if key in values}
    rest = {key: value for key, value in values.items() if key not in keys}
    return {**rest, field: part} if part else rest


def _flatten(values: Mapping[str, Any], field: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= value if key == field else {key: value}
    return flat
