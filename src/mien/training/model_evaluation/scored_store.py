"""What one model says of the clips of a store, annotated or not."""

from collections.abc import Collection
from pathlib import Path

from mien.data.store import Store
from mien.evaluation.predictions import Predictions
from mien.evaluation.scoring import predict
from mien.tensors import find_device, move_to
from mien.training.checkpoints.absent_series import read_without
from mien.training.checkpoints.baseline_use import BaselineUse
from mien.training.loading import dataset_of, load_model
from mien.types import Split

__all__ = ["score_clips"]


def score_clips(
    checkpoint: str | Path,
    store: Store,
    split: Split,
    *,
    device: str,
    baseline: BaselineUse | None = None,
    without: Collection[str] = (),
) -> Predictions:
    """Score every clip of a split, also those without a label.

    Args:
        checkpoint: As in ``load_model``.
        store: The clips.
        split: Which of them.
        device: Where it is computed.
        baseline: As in ``load_model``.
        without: Modalities that are left out, as if no clip had them.

    Raises:
        CheckpointError: If the store has no clip in the split, or does not fit the model.
        ConfigError: If what is to be left out is nothing that the model reads, or all of it.
    """
    model, prepared = load_model(
        checkpoint,
        store,
        with_unlabelled=True,
        baseline=baseline,
        splits=(split,),
        without=read_without(without),
    )
    move_to(model, find_device(device, "device"))
    return predict(model, dataset_of(prepared, split))
