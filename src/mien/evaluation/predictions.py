"""Predicted scores of a split beside what was annotated, in memory and as a table."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from mien.errors import MetricError
from mien.files.atomic import write_text
from mien.files.reading import open_regular
from mien.notebooks import make_frame
from mien.types import Modality, Target, Task

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Predictions",
    "TargetPredictions",
    "average_predictions",
    "read_predictions",
    "write_predictions",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPredictions:
    """What is predicted of a further target, beside what was annotated.

    Attributes:
        target: What it is.
        values: Per task, ``(N, K)``: probabilities of classes and labels, values on the scale of
            scores and intensities.
        truths: What is annotated, per task; NaN where a clip is not. A task for which no clip is
            annotated may be absent.
    """

    target: Target
    values: Mapping[Task, Float[np.ndarray, "N _"]]
    truths: Mapping[Task, Float[np.ndarray, "N _"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Scores of a split, beside what was annotated.

    Attributes:
        ids: Name of each clip, in the order of the split.
        scores: Predicted score per task, ``(N,)``; none of a model that predicts no sentiment.
        targets: Annotated label per task, ``(N,)``; NaN where a clip is not annotated.
        present: Whether each clip has the modality, ``(N,)``.
        attention: Weight of every real step of each clip, for the modalities that have weights;
            kept in memory only.
        values: What is predicted of further targets, by name.
        speakers: Who speaks in each clip, empty where that is not known; none at all where it is
            known of no clip.
    """

    ids: tuple[str, ...]
    scores: Mapping[Task, Float[np.ndarray, "N"]]
    targets: Mapping[Task, Float[np.ndarray, "N"]]
    present: Mapping[Modality, Bool[np.ndarray, "N"]]
    attention: Mapping[Modality, tuple[Float[np.ndarray, "_"], ...]] = field(default_factory=dict)
    values: Mapping[str, TargetPredictions] = field(default_factory=dict)
    speakers: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.ids)

    def __repr__(self) -> str:
        """Return the number of clips and the tasks."""
        return f"Predictions({len(self)} clips: {', '.join([*self.scores, *self.values])})"

    def having(self, present: Sequence[Modality]) -> Bool[np.ndarray, "N"]:
        """Return which clips have all of some modalities."""
        rows = np.ones(len(self), dtype=bool)
        for modality in present:
            rows &= self.present[modality]
        return rows

    def modality_sets(self) -> tuple[list[list[Modality]], Int[np.ndarray, "N"]]:
        """Return every set of modalities that clips have, and the number of the set of each."""
        names = list(self.present)
        has = np.stack([self.present[modality] for modality in names], axis=1)
        patterns, set_of = np.unique(has, axis=0, return_inverse=True)
        sets = [[m for m, is_in in zip(names, p, strict=True) if is_in] for p in patterns]
        return sets, set_of.reshape(-1)

    def to_pandas(self) -> "pd.DataFrame":
        """Return a data frame with a row for each clip, and the columns of ``predictions-*.csv``.

        Raises:
            ConfigError: If pandas is not installed.
        """
        columns = _columns_of(self)
        rows = (
            {"id": name, **{key: values[row] for key, values in columns.items()}}
            for row, name in enumerate(self.ids)
        )
        return make_frame(rows, ("id", *columns))


def average_predictions(predictions: Sequence[Predictions]) -> Predictions:
    """Return the mean of what several models predict of the same clips, without attention.

    Raises:
        MetricError: If they are not of the same clips.
    """
    first = predictions[0]
    if any(each.ids != first.ids for each in predictions):
        raise MetricError("predictions: are of other clips, or of the same in another order")
    return replace(
        first,
        scores={
            task: np.mean([each.scores[task] for each in predictions], axis=0)
            for task in first.scores
        },
        attention={},
        values={
            name: replace(
                own,
                values={
                    task: np.mean([each.values[name].values[task] for each in predictions], axis=0)
                    for task in own.values
                },
            )
            for name, own in first.values.items()
        },
    )


def _columns_of(predictions: Predictions) -> dict[str, Shaped[np.ndarray, "N"]]:
    who = {_SPEAKER: np.array(predictions.speakers, dtype=object)} if predictions.speakers else {}
    parts = (
        ("score", predictions.scores),
        ("target", predictions.targets),
        ("has", predictions.present),
    )
    columns = who | {
        f"{what}_{key}": values for what, table in parts for key, values in table.items()
    }
    for each in predictions.values.values():
        for what, tasks in ((_PREDICTED, each.values), (_ANNOTATED, each.truths)):
            for task, values in tasks.items():
                names = each.target.columns(task)
                columns |= {f"{what}{n}": own for n, own in zip(names, values.T, strict=True)}
    return columns


#: The column of those who speak, where they are known.
_SPEAKER = "speaker"
#: What the columns of further targets begin with.
_PREDICTED, _ANNOTATED = "predicted/", "annotated/"


def write_predictions(predictions: Predictions, path: Path) -> None:
    """Write scores and targets as CSV: ``id, score_TASK..., target_TASK..., has_MODALITY...``.

    Where speakers are known, their column ``speaker`` follows the ids.
    Each value of a further target has two columns more, ``predicted/NAME/TASK/CLASS`` and
    ``annotated/NAME/TASK/CLASS``; those of a score have no class.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = _columns_of(predictions)
    writer.writerow(["id", *columns])
    for row, name in enumerate(predictions.ids):
        writer.writerow([name, *(_cell(values[row]) for values in columns.values())])
    write_text(path, text.getvalue())


def _cell(value: float | bool | np.bool_ | str) -> str:  # noqa: FBT001  # a cell of any kind
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    return "" if np.isnan(value) else repr(float(value))


def read_predictions(path: Path, targets: Sequence[Target] = ()) -> Predictions:
    """Read what ``write_predictions`` wrote.

    Args:
        path: The file.
        targets: The further targets whose values are read.

    Raises:
        MetricError: If the file is not of that form.
    """
    try:
        with io.TextIOWrapper(open_regular(path, MetricError), "utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        columns = list(rows[0]) if rows else []
        values = {
            name: np.array([float(row[name] or "nan") for row in rows])
            for name in columns
            if name not in ("id", _SPEAKER)
        }
        return Predictions(
            ids=tuple(row["id"] for row in rows),
            scores={
                Task(n.removeprefix("score_")): v for n, v in values.items() if n[:6] == "score_"
            },
            targets={
                Task(n.removeprefix("target_")): v for n, v in values.items() if n[:7] == "target_"
            },
            present={
                Modality(n.removeprefix("has_")): v == 1
                for n, v in values.items()
                if n[:4] == "has_"
            },
            values={target.name: _read_target(target, values) for target in targets},
            speakers=tuple(row[_SPEAKER] for row in rows) if _SPEAKER in columns else (),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MetricError(f"{path}: is not a table of predictions ({error})") from error


def _read_target(
    target: Target, columns: Mapping[str, Float[np.ndarray, "N"]]
) -> TargetPredictions:
    parts: dict[str, dict[Task, Float[np.ndarray, "N _"]]] = {_PREDICTED: {}, _ANNOTATED: {}}
    for what, tasks in parts.items():
        for task in Task:
            names = [f"{what}{name}" for name in target.columns(task)]
            if names[0] in columns:
                tasks[task] = np.stack([columns[name] for name in names], axis=1)
    if Task.FUSION not in parts[_PREDICTED]:
        raise KeyError(f"{_PREDICTED}{target.columns(Task.FUSION)[0]}")
    return TargetPredictions(target=target, values=parts[_PREDICTED], truths=parts[_ANNOTATED])
