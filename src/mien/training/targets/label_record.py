"""What a seed leaves of the unimodal labels of targets, from which they are measured."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from mien.data.dataset import ClipDataset
from mien.files.npy import write_array
from mien.training.objective import MultitaskObjective
from mien.training.targets.recorded_labels import TARGET_LABELS
from mien.types import Modality, Target, Task

__all__ = ["recorded_targets", "write_target_labels"]


def recorded_targets(objective: MultitaskObjective, train: ClipDataset) -> tuple[Target, ...]:
    """Return the targets of which something is known of a modality alone: those that are kept."""
    return tuple(
        term.target
        for term in objective.terms
        if any(Task(m) in train.values[term.name] for m in term.labels.modalities)
    )


def write_target_labels(
    folder: Path, objective: MultitaskObjective, train: ClipDataset
) -> tuple[str, ...]:
    """Write ``targets.npy`` into a folder, and return the names of the targets that are in it.

    It holds (1 + 2 M, N, C) numbers: the columns of all targets side by side, and in the rows what
    is annotated of the clip, what was generated for each modality, and what is known of each. There
    is no file where nothing is known.

    Args:
        folder: The folder of the seed's labels.
        objective: Holds the labels of the best epoch.
        train: The train split.
    """
    targets = recorded_targets(objective, train)
    if not targets:
        return ()
    terms = [term for term in objective.terms if term.target in targets]
    modalities = terms[0].labels.modalities
    rows = [
        torch.cat([train.values[term.name][Task.FUSION] for term in terms], dim=1),
        *(torch.cat([t.labels.latest(m).cpu() for t in terms], dim=1) for m in modalities),
        *(torch.cat([_truth(train, t.target, m) for t in terms], dim=1) for m in modalities),
    ]
    folder.mkdir(exist_ok=True)
    write_array(folder / TARGET_LABELS, torch.stack(rows).numpy().astype(np.float32))
    return tuple(target.name for target in targets)


def _truth(train: ClipDataset, target: Target, modality: Modality) -> Float[torch.Tensor, "N K"]:
    values = train.values[target.name]
    annotated = values[Task.FUSION]
    return values.get(Task(modality), torch.full_like(annotated, torch.nan))
