"""The folder that ``mien evaluate --out`` writes: an evaluation on one split, and its predictions.

FOLDER/
    metrics.json                what a run's ``metrics.json`` holds, for this split alone
    evaluated.json              settings, environment, and how often intervals and sets hold
    predictions-test-1111.csv   what a seed predicts; predictions-test.csv of a model of one file
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from mien.errors import CheckpointError, ConfigError
from mien.evaluation.metrics_file.evaluated_model import (
    EvaluatedModel,
    evaluated_model_from_json,
    evaluated_model_to_json,
)
from mien.evaluation.metrics_file.run_metrics import (
    RunMetrics,
    run_metrics_from_json,
    run_metrics_to_json,
)
from mien.evaluation.predictions import Predictions, read_predictions, write_predictions
from mien.files.json_values import write_json
from mien.files.reading import parse_json, read_limited
from mien.types import Split

__all__ = [
    "Evaluation",
    "EvaluationFolder",
    "is_seed_of_run",
    "refuse_out",
    "take_metrics",
    "write_evaluation",
]

_Metrics = TypeVar("_Metrics")

_LARGEST = 1 << 30  # bytes of the file of JSON
_AGAIN = "evaluate again with mien evaluate ... --out"


class Evaluation(NamedTuple):
    """What came of evaluating a run or a model on a split.

    Attributes:
        metrics: The metrics.
        predictions: What every seed predicts, or the model of one file.
        model: What was evaluated.
    """

    metrics: RunMetrics
    predictions: Sequence[Predictions]
    model: EvaluatedModel


@dataclass(frozen=True, slots=True)
class EvaluationFolder:
    """The files of an evaluation.

    Attributes:
        path: The folder.
    """

    path: Path

    @classmethod
    def find(cls, path: Path) -> "EvaluationFolder | None":
        """Return the evaluation in a folder; None if there is something else, or nothing."""
        is_run = (path / "config.toml").is_file()
        has_predictions = any(path.glob("predictions-*.csv"))
        is_seed = (path / "train.json").is_file() or is_seed_of_run(path)
        if is_run or is_seed or not has_predictions or not (path / "metrics.json").is_file():
            return None
        return cls(path)

    def results(self) -> RunMetrics:
        """Read ``metrics.json``.

        Raises:
            CheckpointError: If it is damaged.
        """
        return self._read("metrics.json", run_metrics_from_json)

    def model(self) -> EvaluatedModel | None:
        """Read ``evaluated.json``: what was evaluated; None if an earlier version wrote none.

        Raises:
            CheckpointError: If it is damaged.
        """
        if not (self.path / "evaluated.json").is_file():
            return None
        return self._read("evaluated.json", evaluated_model_from_json)

    def _read(self, name: str, read: Callable[[Mapping[str, Any]], _Metrics]) -> _Metrics:
        path = self.path / name
        values = parse_json(
            read_limited(path, CheckpointError, most=_LARGEST), path, CheckpointError
        )
        return take_metrics(values, read, path, _AGAIN)

    @property
    def failed_seeds(self) -> dict[str, str]:
        """Why each seed of the run that diverged did; they are left out."""
        return dict(self.results().failed_seeds)

    def predictions(self, split: Split) -> list[Predictions]:
        """Read what every seed predicts, or the model of one file.

        Raises:
            CheckpointError: If it was made on another split, or a file is missing or damaged.
        """
        results = self.results()
        splits = sorted({*results.splits, *results.targets})
        if split not in splits:
            raise CheckpointError(
                f"{self.path}: is an evaluation on {', '.join(splits)}, not on {split}; choose "
                f"--split {splits[0]}, or evaluate with mien evaluate ... --split {split} --out"
                if splits
                else f"{self.path}: holds metrics of no split; {_AGAIN}"
            )
        files = [self.path / _name_file(split, seed) for seed in results.seeds or (None,)]
        for file in files:
            if not file.is_file():
                raise CheckpointError(f"{file}: is not there; {_AGAIN}")
        return [read_predictions(file, results.described) for file in files]


def take_metrics(
    values: Mapping[str, Any], read: Callable[[Mapping[str, Any]], _Metrics], path: Path, hint: str
) -> _Metrics:
    """Return the metrics that a file holds.

    Args:
        values: What the file has.
        read: Makes metrics of it.
        path: The file, for the message.
        hint: What to do about a damaged one.

    Raises:
        CheckpointError: If it is damaged.
    """
    try:
        return read(values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: is damaged ({error!r}); {hint}") from error


def is_seed_of_run(path: Path) -> bool:
    """Return whether a path is that of a seed's folder in a run, be it there or not yet."""
    is_seed = path.name.removeprefix("seed-").isdecimal() and path.name.startswith("seed-")
    return is_seed and (path.parent / "config.toml").is_file()


def refuse_out(out: str | Path | None) -> None:
    """Refuse to write an evaluation over a file, or over the results of a run.

    Args:
        out: Its folder; None if nothing is written.

    Raises:
        ConfigError: If it is a file, a run, the folder of a seed or a store.
    """
    if out is None:
        return
    path = Path(out)
    if path.exists() and not path.is_dir():
        raise ConfigError(f"--out {out}: is a file; name a folder")
    own = any((path / name).is_file() for name in ("config.toml", "train.json"))
    is_run = own or is_seed_of_run(path)
    if is_run or (path / "meta.json").is_file():
        what = "of a run, whose own results would be lost" if is_run else "a store"
        raise ConfigError(f"--out {out}: is {what}; name another folder")


def write_evaluation(out: Path, split: Split, evaluation: Evaluation) -> None:
    """Write the evaluation of a run or a model on a split: metrics, model, and all predictions."""
    out.mkdir(parents=True, exist_ok=True)
    metrics, predictions, model = evaluation
    for seed, scored in zip(metrics.seeds or (None,), predictions, strict=True):
        write_predictions(scored, out / _name_file(split, seed))
    write_json(out / "evaluated.json", evaluated_model_to_json(model), indent=1)
    write_json(out / "metrics.json", run_metrics_to_json(metrics), indent=1)


def _name_file(split: Split, seed: int | None) -> str:
    """Return the name of a file of predictions; without a seed it is of a model of one file."""
    return f"predictions-{split}{'' if seed is None else f'-{seed}'}.csv"
