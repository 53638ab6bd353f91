"""Evidence that is kept in the user's cache folder, under a key of all that it depends on."""

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from mien.data.clips.target_json import targets_to_json
from mien.data.dataset import ClipDataset
from mien.data.text import TextInput
from mien.errors import CheckpointError
from mien.files.cache import read_or_make, versions_of
from mien.files.hashing import hash_json
from mien.files.source_code import code_fingerprint
from mien.files.temporaries import sweep_folder
from mien.files.user_folders import cache_folder
from mien.labels.generator import Evidence, TargetEvidence
from mien.training.checkpoints.checkpoint import read_tensors, write_tensors
from mien.training.optimizer import make_accelerator
from mien.training.out_of_fold.evidence_settings import EvidenceSettings
from mien.training.preparation import Prepared
from mien.training.settings import TrainConfig
from mien.training.targets.aims import Aims
from mien.types import Modality, Task

__all__ = ["cached_evidence", "evidence_key"]

logger = logging.getLogger(__name__)

_CODE = "mien.training.out_of_fold"  # with all that it imports


def cached_evidence(
    key: str, dataset: ClipDataset, aims: Aims, gather: Callable[[], Evidence]
) -> Evidence:
    """Return evidence from the cache; if it is not there, gather it and keep it.

    Args:
        key: What ``evidence_key`` gives.
        dataset: The train split.
        aims: What is predicted.
        gather: Makes the evidence.
    """
    path = cache_folder() / "evidence" / f"{key}.safetensors"

    def make() -> Evidence:
        evidence = gather()
        sweep_folder(path.parent)
        write_tensors(path, _to_tensors(evidence), {})
        return evidence

    return read_or_make(path, lambda: _read(path, dataset, aims), make)


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
        **_describe_targets(dataset, prepared.aims),
        "text": [text.fingerprint, text.key] if text is not None else None,
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
        "code": code_fingerprint(_CODE),
        "versions": versions_of("torch", "numpy", "scipy", "accelerate"),
        "machine": _name_machine(settings.train),
    }
    return hash_json(parts)


def _describe_targets(dataset: ClipDataset, aims: Aims) -> dict[str, Any]:
    """Return what evidence of targets depends on; nothing where there are none."""
    if not aims.targets:
        return {}
    values = {t.name: dataset.values[t.name][Task.FUSION].tolist() for t in aims.targets}
    return {
        "has_sentiment": aims.has_sentiment,
        "targets": targets_to_json(aims.targets),
        "values": values,
    }


def _name_machine(train: TrainConfig) -> list[str | int]:
    """Return what of the machine shows in the numbers."""
    device = make_accelerator(train).device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    kernels = torch.backends.cpu.get_cpu_capability()
    return [device.type, name, kernels]


def _read(path: Path, dataset: ClipDataset, aims: Aims) -> Evidence | None:
    """Return evidence from the cache; None if it is not there, or damaged."""
    if not path.is_file():
        return None
    try:
        evidence = _from_tensors(read_tensors(path))
    except (CheckpointError, KeyError, ValueError):
        evidence = None
    if evidence is not None and _fits(evidence, dataset, aims):
        return evidence
    logger.warning("%s: is damaged; the evidence is gathered again", path)
    return None


def _fits(evidence: Evidence, dataset: ClipDataset, aims: Aims) -> bool:
    shape = dict.fromkeys(dataset.series, (len(dataset),)) if aims.has_sentiment else {}
    shapes = {m: tuple(s.shape) for m, s in evidence.scores.items()}
    return shapes == shape and {
        name: {m: tuple(v.shape) for m, v in own.values.items()}
        for name, own in evidence.targets.items()
    } == {t.name: dict.fromkeys(dataset.series, (len(dataset), t.size)) for t in aims.targets}


def _to_tensors(evidence: Evidence) -> dict[str, torch.Tensor]:
    tensors = {f"scores/{m}": s for m, s in evidence.scores.items()}
    tensors |= {f"halves/{m}": s for m, s in evidence.halves.items()}
    tensors |= {f"alone/{m}": s for m, s in evidence.alone.items()}
    tensors["weights"] = _join(evidence.weights)
    tensors["overlap"] = _join(evidence.overlap)
    for name, own in evidence.targets.items():
        tensors |= {f"targets/{name}/{m}": values for m, values in own.values.items()}
        tensors[f"weights/{name}"] = _join(own.weights)
    return tensors


def _join(weights: Mapping[Modality, float]) -> torch.Tensor:
    return torch.tensor([weights[m] for m in Modality if m in weights], dtype=torch.float64)


def _from_tensors(tensors: Mapping[str, torch.Tensor]) -> Evidence:
    scores, halves = _read_each(tensors, "scores/"), _read_each(tensors, "halves/")
    names = [key.removeprefix("weights/") for key in tensors if key.startswith("weights/")]
    values = {name: _read_each(tensors, f"targets/{name}/") for name in names}
    return Evidence(
        scores=scores,
        weights=_split(tensors["weights"], scores),
        halves=halves,
        overlap=_split(tensors["overlap"], halves),
        alone=_read_each(tensors, "alone/"),
        targets={
            name: TargetEvidence(values=own, weights=_split(tensors[f"weights/{name}"], own))
            for name, own in values.items()
        },
    )


def _read_each(tensors: Mapping[str, torch.Tensor], stem: str) -> dict[Modality, torch.Tensor]:
    return {m: tensors[f"{stem}{m}"] for m in Modality if f"{stem}{m}" in tensors}


def _split(weights: torch.Tensor, modalities: Iterable[Modality]) -> dict[Modality, float]:
    return dict(zip(modalities, weights.tolist(), strict=True))
