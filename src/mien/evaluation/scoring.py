"""A model and a split to predictions."""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from mien.data.dataset import ClipDataset, batches
from mien.evaluation.predictions import Predictions, TargetPredictions
from mien.models.multitask import MultimodalModel
from mien.tensors import Batch, Output, as_shares, inferring, precise
from mien.types import Modality, Task

__all__ = ["BATCH_SIZE", "predict", "predict_subsets"]

#: Clips that are scored at once.
BATCH_SIZE = 64


def predict(model: MultimodalModel, dataset: ClipDataset) -> Predictions:
    """Score every clip of a split, on the device of the model."""
    return predict_subsets(model, dataset, [model.modalities])[model.modalities]


def predict_subsets(
    model: MultimodalModel, dataset: ClipDataset, subsets: Sequence[tuple[Modality, ...]]
) -> dict[tuple[Modality, ...], Predictions]:
    """Score every clip of a split with each set of modalities alone, on the device of the model.

    The split is encoded once, clips of like length together; only the fusion is done for each set.
    """
    device = next(model.parameters()).device
    scored = {subset: _Scored(model, len(dataset)) for subset in subsets}
    with inferring(model):
        for batch, _ in batches(dataset, BATCH_SIZE):
            clips = model.encode_once(batch.to(device))
            for subset, collected in scored.items():
                collected.add(batch, model.finish(clips.keep(subset)))
    return {
        subset: Predictions(
            ids=tuple(dataset.ids),
            scores=collected.scores,
            targets=_as_numpy(dataset.labels) if model.has_sentiment else {},
            present=collected.present,
            attention={m: tuple(weights) for m, weights in collected.attention.items()},
            values={
                target.name: TargetPredictions(
                    target=target,
                    values=collected.values[target.name],
                    truths=_as_numpy(dataset.values.get(target.name, {})),
                )
                for target in model.targets
            },
        )
        for subset, collected in scored.items()
    }


def _as_numpy(tensors: Mapping[Task, Tensor]) -> dict[Task, np.ndarray]:
    return {task: tensor.numpy().astype(np.float64) for task, tensor in tensors.items()}


class _Scored:
    """What a model returned of the clips of a split, as far as it was computed.

    Args:
        model: The model.
        num_clips: Clips of the split.
    """

    def __init__(self, model: MultimodalModel, num_clips: int) -> None:
        tasks = model.tasks if model.has_sentiment else ()
        self.scores = {task: np.full(num_clips, np.nan) for task in tasks}
        self.targets = model.targets
        self.values: dict[str, dict[Task, np.ndarray]] = {t.name: {} for t in model.targets}
        self.present = {m: np.zeros(num_clips, dtype=bool) for m in model.modalities}
        self.attention: dict[Modality, list[np.ndarray]] = {}
        self._num_clips = num_clips

    def add(self, batch: Batch, output: Output) -> None:
        """Put the clips of a batch in their rows."""
        rows = batch.index.numpy()
        for task, values in output.scores.items():
            self.scores[task][rows] = values.float().cpu().numpy()
        for target in self.targets:
            own = self.values[target.name]
            for task, raw in output.targets[target.name].items():
                full = own.setdefault(task, np.full((self._num_clips, target.size), np.nan))
                full[rows] = as_shares(target, precise(raw)).cpu().numpy()
        for modality, values in output.present.items():
            self.present[modality][rows] = values.cpu().numpy()
        for modality, weights in output.attention.items():
            weights_of = self.attention.setdefault(modality, [np.zeros(0)] * self._num_clips)
            lengths = batch.sequences[modality].mask.sum(dim=1) * output.present[modality].cpu()
            steps = weights.float().cpu().numpy()
            for row, length, of_clip in zip(rows, lengths.tolist(), steps, strict=True):
                weights_of[row] = of_clip[:length].astype(np.float64)
