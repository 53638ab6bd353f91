"""Evidence that is kept in the user's cache folder, under a key of all that it depends on."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from mien.data.dataset import ClipDataset
from mien.data.text import TextInput
from mien.errors import CheckpointError
from mien.files.cache import read_or_make, versions_of
from mien.files.hashing import hash_json
from mien.files.source_code import code_fingerprint
from mien.files.temporaries import sweep_folder
from mien.files.user_folders import cache_folder
from mien.labels.generator import Evidence
from mien.training.checkpoints.checkpoint import read_tensors, write_tensors
from mien.training.optimizer import make_accelerator
from mien.training.out_of_fold.evidence_settings import EvidenceSettings
from mien.training.preparation import Prepared
from mien.training.settings import TrainConfig
from mien.types import Modality, Task

__all__ = ["cached_evidence", "evidence_key"]

logger = logging.getLogger(__name__)

_CODE = "mien.training.out_of_fold"  # with all that it imports


def cached_evidence(key: str, dataset: ClipDataset, gather: Callable[[], Evidence]) -> Evidence:
    """Return evidence from the cache; if it is not there, gather it and keep it.

    Args:
        key: What ``evidence_key`` gives.
        dataset: The train split.
        gather: Makes the evidence.
    """
    path = cache_folder() / "evidence" / f"{key}.safetensors"

    def make() -> Evidence:
        evidence = gather()
        sweep_folder(path.parent)
        write_tensors(path, _to_tensors(evidence), {})
        return evidence

    return read_or_make(path, lambda: _read(path, dataset), make)


def evidence_key(
    prepared: Prepared,
    settings: EvidenceSettings,
    dataset: ClipDataset,
    text: TextInput | None,
    seed: int,
) -> str:
    """Return a digest of all that the evidence depends on."""
    parts = {
        "store": prepared.store.meta.fingerprint,
        "scale": list(prepared.scale),
        "rows": dataset.rows.tolist(),
        "annotated": dataset.labels[Task.FUSION].tolist(),
        "text": [text.fingerprint, text.key] if text is not None else None,
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
        "code": code_fingerprint(_CODE),
        "versions": versions_of("torch", "numpy", "scipy", "accelerate"),
        "machine": _name_machine(settings.train),
    }
    return hash_json(parts)


def _name_machine(train: TrainConfig) -> list[str | int]:
    """Return what of the machine shows in the numbers."""
    device = make_accelerator(train).device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    kernels = torch.backends.cpu.get_cpu_capability()
    return [device.type, name, kernels, torch.get_num_threads()]


def _read(path: Path, dataset: ClipDataset) -> Evidence | None:
    """Return evidence from the cache; None if it is not there, or damaged."""
    if not path.is_file():
        return None
    try:
        evidence = _from_tensors(read_tensors(path))
    except (CheckpointError, KeyError, ValueError):
        evidence = Evidence(scores={}, weights={})
    lengths = {modality: len(scores) for modality, scores in evidence.scores.items()}
    if lengths == dict.fromkeys(dataset.series, len(dataset)):
        return evidence
    logger.warning("%s: is damaged; the evidence is gathered again", path)
    return None


def _to_tensors(evidence: Evidence) -> dict[str, torch.Tensor]:
    tensors = {f"scores/{m}": s for m, s in evidence.scores.items()}
    tensors |= {f"halves/{m}": s for m, s in evidence.halves.items()}
    weights = [evidence.weights[m] for m in evidence.scores]
    overlap = [evidence.overlap[m] for m in evidence.halves]
    tensors["weights"] = torch.tensor(weights, dtype=torch.float64)
    return {**tensors, "overlap": torch.tensor(overlap, dtype=torch.float64)}


def _from_tensors(tensors: Mapping[str, torch.Tensor]) -> Evidence:
    scores = {m: tensors[f"scores/{m}"] for m in Modality if f"scores/{m}" in tensors}
    halves = {m: tensors[f"halves/{m}"] for m in scores if f"halves/{m}" in tensors}
    return Evidence(
        scores=scores,
        weights=dict(zip(scores, tensors["weights"].tolist(), strict=True)),
        halves=halves,
        overlap=dict(zip(halves, tensors["overlap"].tolist(), strict=True)),
    )
