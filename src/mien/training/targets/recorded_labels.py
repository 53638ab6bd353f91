"""The unimodal labels of targets that a seed left, read from its folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from mien.errors import CheckpointError
from mien.training.run_folder import SeedFolder
from mien.types import Modality

__all__ = ["TARGET_LABELS", "RecordedLabels", "read_target_labels"]

#: Name of the file, beside the labels of sentiment.
TARGET_LABELS: Final = "targets.npy"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedLabels:
    """What is known of the train clips of a seed for one target, and what was generated.

    Attributes:
        annotated: Values of the clips as a whole, NaN where they are not annotated.
        generated: What the task of each modality was trained on at the best epoch, NaN likewise.
        truth: What is annotated, or known, of each modality alone; NaN where nothing is.
    """

    annotated: Float[np.ndarray, "N K"]
    generated: Mapping[Modality, Float[np.ndarray, "N K"]]
    truth: Mapping[Modality, Float[np.ndarray, "N K"]]


def read_target_labels(seed: SeedFolder) -> dict[str, RecordedLabels]:
    """Read the labels of targets at the best epoch of a seed, by target, where a truth is known.

    Raises:
        CheckpointError: If their file is not there, or not what it should be.
    """
    clips, described = seed.train_clips(), seed.results().described
    targets = [target for target in described if target.name in clips.get("targets", ())]
    if not targets:
        return {}
    modalities = [Modality(name) for name in clips["modalities"]]
    path = seed.path / "labels" / TARGET_LABELS
    try:
        values = np.load(path, allow_pickle=False, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error}); restore the file, or train the run again"
        ) from error
    shape = 1 + 2 * len(modalities), len(clips["ids"]), sum(target.size for target in targets)
    if values.shape != shape or values.dtype != np.float32:
        raise CheckpointError(
            f"{path}: is damaged, it holds {values.dtype} of shape {values.shape}, must be float32 "
            f"of {shape}; restore the file, or train the run again"
        )
    labels, start = {}, 0
    for target in targets:
        own = values[:, :, start : start + target.size].astype(np.float64)
        start += target.size
        annotated, *others = own
        generated, truth = others[: len(modalities)], others[len(modalities) :]
        labels[target.name] = RecordedLabels(
            annotated=annotated,
            generated=dict(zip(modalities, generated, strict=True)),
            truth=dict(zip(modalities, truth, strict=True)),
        )
    return labels
