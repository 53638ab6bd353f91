"""One vector for each clip and modality, from which a regression reads evidence."""

import numpy as np
from jaxtyping import Float

from mien.data.dataset import ClipDataset
from mien.types import Modality

__all__ = ["clip_vectors"]


def clip_vectors(dataset: ClipDataset, modality: Modality) -> Float[np.ndarray, "N V"]:
    """Return a vector of each clip: its step, or mean, deviation, least and most over its steps.

    Text is described by the mean of its states alone, without those of its context.

    Args:
        dataset: The clips.
        modality: Which of their series.

    Returns:
        A row for each clip; NaN where a clip does not have the modality.
    """
    series = dataset.series[modality]
    has_steps = bool((series.lengths[dataset.rows] > 1).any())
    size = series.values.shape[1] - series.has_context
    kinds = 4 if has_steps and modality is not Modality.TEXT else 1
    vectors = np.full((len(dataset), kinds * size), np.nan)
    for number in range(len(dataset)):
        steps = np.asarray(dataset.read(modality, number), dtype=np.float64)
        if series.has_context:
            steps = steps[steps[:, -1] <= 0, :-1]
        if len(steps):
            vectors[number] = _describe(steps) if kinds > 1 else steps.mean(axis=0)
    series.release()
    return vectors


def _describe(steps: Float[np.ndarray, "T D"]) -> Float[np.ndarray, "_"]:
    return np.concatenate(
        [steps.mean(axis=0), steps.std(axis=0), steps.min(axis=0), steps.max(axis=0)]
    )
