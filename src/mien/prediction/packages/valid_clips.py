"""The clips on which a training was validated, in the store of the training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mien.data.dataset import ClipDataset
from mien.data.store import Store
from mien.errors import CheckpointError
from mien.files.reading import show
from mien.training.checkpoints.baseline_use import BaselineUse
from mien.training.checkpoints.header import open_header
from mien.training.loading import ModelOnStore, dataset_of, load_trained
from mien.training.preparation import Prepared
from mien.types import Split

__all__ = ["choose_valid", "load_valid", "require_store"]


def require_store(trained: Path, header: Mapping[str, Any], store: Store) -> None:
    """Refuse a store on which a model was not validated.

    Args:
        trained: Where the model is, for the message.
        header: The header of its checkpoint.
        store: The store.

    Raises:
        CheckpointError: If it is another one than that of the training.
    """
    if header.get("store") not in (None, store.meta.fingerprint):
        raise CheckpointError(
            f"{store.path}: is not the store on which {trained} was trained; give that one "
            "(--store STORE)"
        )


def load_valid(checkpoint: Path, store: Store) -> ModelOnStore:
    """Load a model for the validation clips, read against their speakers if it can read them so.

    So they were read in its training, whatever it does as a rule: intervals of clips by themselves
    are measured beside.

    Args:
        checkpoint: Its file.
        store: The store of its training.
    """
    config = open_header(checkpoint).read_config(checkpoint)
    is_relative = config.features.standardise == "speaker"
    use: BaselineUse | None = "speaker" if is_relative else None
    split: Split = "valid"
    return load_trained(checkpoint, store, baseline=use, splits=(split,))


def choose_valid(prepared: Prepared, ids: Sequence[str]) -> ClipDataset:
    """Return the clips of these names: a training may have left some out of valid.

    Raises:
        CheckpointError: If one is not there.
    """
    dataset = dataset_of(prepared, "valid")
    rows = {name: row for row, name in enumerate(dataset.ids)}
    lacking = [name for name in ids if name not in rows]
    if lacking:
        raise CheckpointError(
            f"{prepared.store.path}: lacks clips on which the run was validated, such as "
            f"{show(lacking[0])}; give the store of the training (--store STORE)"
        )
    return dataset.part(np.array([rows[name] for name in ids]))
