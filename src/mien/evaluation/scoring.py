"""A model and a split to predictions."""

import numpy as np
import torch

from mien.data.dataset import ClipDataset, batches
from mien.evaluation.predictions import Predictions
from mien.models.multitask import MultimodalModel
from mien.types import Modality

__all__ = ["BATCH_SIZE", "predict"]

#: Clips that are scored at once.
BATCH_SIZE = 64


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
    for batch, _ in batches(dataset, BATCH_SIZE):
        output = model(batch.to(device))
        rows = batch.index.numpy()
        for task, values in output.scores.items():
            scores[task][rows] = values.float().cpu().numpy()
        for modality, values in output.present.items():
            present[modality][rows] = values.cpu().numpy()
        for modality, weights in output.attention.items():
            weights_of = attention.setdefault(modality, [np.zeros(0)] * num)
            lengths = batch.sequences[modality].mask.sum(dim=1).tolist()
            steps = weights.float().cpu().numpy()
            for row, length, of_clip in zip(rows, lengths, steps, strict=True):
                weights_of[row] = of_clip[:length].astype(np.float64)
    model.train(was_training)
    return Predictions(
        ids=tuple(dataset.ids),
        scores=scores,
        targets={t: v.numpy().astype(np.float64) for t, v in dataset.labels.items()},
        present=present,
        attention={m: tuple(weights) for m, weights in attention.items()},
    )
