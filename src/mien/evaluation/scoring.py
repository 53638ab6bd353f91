"""A model and a split to predictions."""

from collections.abc import Sequence

import numpy as np

from mien.data.dataset import ClipDataset, batches
from mien.evaluation.predictions import Predictions
from mien.models.multitask import MultimodalModel
from mien.tensors import Batch, Output, inferring
from mien.types import Modality

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
            targets={t: v.numpy().astype(np.float64) for t, v in dataset.labels.items()},
            present=collected.present,
            attention={m: tuple(weights) for m, weights in collected.attention.items()},
        )
        for subset, collected in scored.items()
    }


class _Scored:
    """What a model returned of the clips of a split, as far as it was computed.

    Args:
        model: The model.
        num_clips: Clips of the split.
    """

    def __init__(self, model: MultimodalModel, num_clips: int) -> None:
        self.scores = {task: np.full(num_clips, np.nan) for task in model.tasks}
        self.present = {m: np.zeros(num_clips, dtype=bool) for m in model.modalities}
        self.attention: dict[Modality, list[np.ndarray]] = {}
        self._num_clips = num_clips

    def add(self, batch: Batch, output: Output) -> None:
        """Put the clips of a batch in their rows."""
        rows = batch.index.numpy()
        for task, values in output.scores.items():
            self.scores[task][rows] = values.float().cpu().numpy()
        for modality, values in output.present.items():
            self.present[modality][rows] = values.cpu().numpy()
        for modality, weights in output.attention.items():
            weights_of = self.attention.setdefault(modality, [np.zeros(0)] * self._num_clips)
            lengths = batch.sequences[modality].mask.sum(dim=1) * output.present[modality].cpu()
            steps = weights.float().cpu().numpy()
            for row, length, of_clip in zip(rows, lengths.tolist(), steps, strict=True):
                weights_of[row] = of_clip[:length].astype(np.float64)
