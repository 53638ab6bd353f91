"""A model and a split to predictions; predictions to metrics, label agreement and attention."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float

from mien.batch import ClipDataset, batches
from mien.checkpoint import write_text
from mien.errors import MetricError
from mien.models.multitask import MultimodalModel
from mien.types import Modality, Task

__all__ = ["Predictions", "predict", "read_predictions", "write_predictions"]

_BATCH_SIZE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Scores of a split, beside what was annotated.

    Attributes:
        ids: Name of each clip, in the order of the split.
        scores: Predicted score per task, ``(N,)``.
        targets: Annotated label per task, ``(N,)``; NaN where a clip is not annotated.
        present: Whether each clip has the modality, ``(N,)``.
        attention: Weight of every real step of each clip, for the modalities that have weights;
            kept in memory only.
    """

    ids: tuple[str, ...]
    scores: Mapping[Task, Float[np.ndarray, "N"]]
    targets: Mapping[Task, Float[np.ndarray, "N"]]
    present: Mapping[Modality, Bool[np.ndarray, "N"]]
    attention: Mapping[Modality, tuple[Float[np.ndarray, "_"], ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.ids)


@torch.no_grad()
def predict(model: MultimodalModel, dataset: ClipDataset) -> Predictions:
    """Score every clip of a split, on the device of the model."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    num = len(dataset)
    scores = {task: np.full(num, np.nan) for task in model.tasks}
    present = {m: np.zeros(num, dtype=bool) for m in model.modalities}
    attention: dict[Modality, list[np.ndarray]] = {}
    for batch, _ in batches(dataset, _BATCH_SIZE):
        output = model(batch.to(device))
        rows = batch.index.numpy()
        for task, values in output.scores.items():
            scores[task][rows] = values.float().cpu().numpy()
        for modality, values in output.present.items():
            present[modality][rows] = values.cpu().numpy()
        for modality, weights in output.attention.items():
            kept = attention.setdefault(modality, [np.zeros(0)] * num)
            lengths = batch.sequences[modality].mask.sum(dim=1).tolist()
            for row, length, one in zip(rows, lengths, weights.float().cpu().numpy(), strict=True):
                kept[row] = one[:length].astype(np.float64)
    model.train(was_training)
    return Predictions(
        ids=tuple(clip.id for clip in dataset.clips),
        scores=scores,
        targets={t: v.numpy().astype(np.float64) for t, v in dataset.labels.items()},
        present=present,
        attention={m: tuple(kept) for m, kept in attention.items()},
    )


def write_predictions(predictions: Predictions, path: Path) -> None:
    """Write scores and targets as CSV: ``id, score_TASK..., target_TASK..., has_MODALITY...``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    parts = (
        ("score", predictions.scores),
        ("target", predictions.targets),
        ("has", predictions.present),
    )
    columns = {f"{what}_{key}": values for what, table in parts for key, values in table.items()}
    writer.writerow(["id", *columns])
    for row, name in enumerate(predictions.ids):
        writer.writerow([name, *(_cell(values[row]) for values in columns.values())])
    write_text(path, text.getvalue())


def _cell(value: float | bool | np.bool_) -> str:  # noqa: FBT001  # a cell of either kind
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    return "" if np.isnan(value) else repr(float(value))


def read_predictions(path: Path) -> Predictions:
    """Read what ``write_predictions`` wrote.

    Raises:
        MetricError: If the file is not of that form.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        columns = list(rows[0]) if rows else []
        values = {
            name: np.array([float(row[name] or "nan") for row in rows])
            for name in columns
            if name != "id"
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
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MetricError(f"{path}: is not a table of predictions ({error})") from error
