"""How a run begins: its folder, the weights that it starts from, and what it says of itself."""

import hashlib
import json
import logging
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from mien.config import dump_toml, read_settings, read_toml
from mien.errors import CheckpointError, TrainingError
from mien.files.atomic import write_text
from mien.files.temporaries import sweep, sweep_folder
from mien.models.multitask import MultimodalModel
from mien.training.checkpoints.checkpoint import check_finite, fits_in, read_tensors, split_states
from mien.training.checkpoints.header import Header, open_header
from mien.training.checkpoints.matching import check_data
from mien.training.checkpoints.videos import join_videos, knows_all_videos, videos_seen
from mien.training.loading import find_checkpoint
from mien.training.preparation import Prepared
from mien.training.run_folder import RunFolder, open_run, read_json
from mien.training.settings import ExperimentConfig
from mien.types import Split

__all__ = ["Start", "describe_run", "make_header", "open_folder", "read_start", "take_over"]

logger = logging.getLogger(__name__)

_JUDGED: tuple[Split, ...] = ("valid", "test")


def open_folder(
    out: Path, config: ExperimentConfig, environment: Mapping[str, Any], *, resume: bool
) -> RunFolder:
    """Make a run folder, or open one that is to go on, and write its settings and environment.

    Args:
        out: The folder.
        config: The settings.
        environment: What ``describe_run`` gives.
        resume: Whether a run that is already there goes on.

    Raises:
        TrainingError: If the folder holds something else, or a run that is not to go on.
        CheckpointError: If the run that is there was begun with other settings or data.
    """
    text = dump_toml(config)
    sweep(out / "config.toml")
    if (out / "config.toml").exists():
        if not resume:
            raise TrainingError(
                f"{out}: already holds a run; say --resume to go on with it, or another --out"
            )
        before = read_settings(ExperimentConfig, read_toml(out / "config.toml"))
        same = before.model_copy(
            update={"train": before.train.model_copy(update={"seeds": config.train.seeds})}
        )
        if same != config:
            raise CheckpointError(
                f"{out / 'config.toml'}: differs from the settings given now; resume with the same "
                "settings, or give another --out"
            )
        _check_environment(out / "environment.json", environment)
        seeds = dict.fromkeys((*before.train.seeds, *config.train.seeds))
        merged = config.train.model_copy(update={"seeds": tuple(seeds)})
        text = dump_toml(config.model_copy(update={"train": merged}))
    elif out.exists() and any(out.iterdir()):
        raise TrainingError(f"{out}: exists and is not a run folder; give another --out")
    out.mkdir(parents=True, exist_ok=True)
    _sweep(out)
    write_text(out / "config.toml", text)
    write_text(out / "environment.json", json.dumps(environment, indent=1))
    return open_run(out)


def _sweep(out: Path) -> None:
    """Remove what a process that was killed left of the files of a run."""
    for folder in (out, out / "figures", *out.glob("seed-*"), *out.glob("seed-*/labels")):
        sweep_folder(folder)


def _check_environment(path: Path, environment: Mapping[str, Any]) -> None:
    """Refuse to go on with other data; what an earlier version did not write is not compared."""
    if not path.is_file():  # stopped before it was written
        return
    before = _read_beginning(read_json(path))
    for what, found in _read_beginning(environment).items():
        if before.get(what, found) != found:
            raise CheckpointError(
                f"{path}: the run was begun {what}; resume it with the store, --init and --exclude "
                "of the first start, or give another --out"
            )


def _read_beginning(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return what must not change in a run, by what is to be said if it has."""
    values = {**environment, **environment.get("store", {})}
    words = {
        "fingerprint": "on another store",
        "text_encoder_fingerprint": "with another text encoder",
        "init": "with other weights to start from",
        "num_left_out": "with other videos left out",
    }
    return {text: values[key] for key, text in words.items() if key in values}


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Weights to start from, and where they come from.

    Attributes:
        path: The checkpoint.
        header: What it says of itself.
        tensors: Its weights, by their names in the model.
        fingerprint: SHA-256 of them.
    """

    path: Path
    header: Header
    tensors: dict[str, torch.Tensor]
    fingerprint: str


def read_start(init: str | Path, prepared: Prepared, config: ExperimentConfig) -> Start:
    """Read the weights to start from.

    Raises:
        CheckpointError: If there is no sound checkpoint, or it was trained on another scale, or on
            other features of the same number.
        TrainingError: If they, or weights that they come from, have seen videos of this store's
            valid or test.
    """
    path = find_checkpoint(Path(init))
    header = open_header(path)
    for warning in check_data(path, header, prepared.store, config):
        logger.warning("%s", warning)
    _refuse_seen(path, header, prepared)
    tensors = split_states(read_tensors(path), "model")
    check_finite(tensors, str(path))
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(key.encode())
        digest.update(tensors[key].reshape(-1).view(torch.uint8).numpy().tobytes())
    return Start(path=path, header=header, tensors=tensors, fingerprint=digest.hexdigest())


def _refuse_seen(path: Path, header: Header, prepared: Prepared) -> None:
    judged = {
        prepared.store.clips[row].video_id
        for split in _JUDGED
        for row in prepared.store.rows(split)
    }
    seen = videos_seen(header.given(), judged)
    store = prepared.store.path
    if seen:
        before = ", and so the weights that it started from" if header.init else ""
        raise TrainingError(
            f"{path}: was trained on {len(seen)} of the {len(judged)} videos in valid and test of "
            f"{store}, such as {min(seen)!r}; train it again with --exclude {store}{before}"
        )
    if not knows_all_videos(header.given()):
        logger.warning(
            "%s: does not list the videos of the weights that it started from; whether they have "
            "seen valid or test of %s cannot be checked", path, store,
        )  # fmt: skip


def make_header(
    config: ExperimentConfig, prepared: Prepared, start: Start | None
) -> dict[str, Any]:
    """Say in a checkpoint all that its use depends on."""
    meta = prepared.store.meta
    kept = config.model_dump(mode="json", exclude_none=True)
    kept["train"] = {
        k: v for k, v in kept["train"].items() if k not in ("seeds", "device", "threads")
    }
    return {
        "format": 1,
        "config": kept,
        "corpus": meta.name,
        "language": meta.language,
        "scale": list(meta.scale),
        "is_synthetic": meta.is_synthetic,
        "sizes": {str(m): size for m, size in prepared.sizes.items()},
        "series": {
            name: one.model_dump(
                mode="json", include={"size", "extractor", "step_seconds", "feature_names"}
            )
            for name, one in meta.series.items()
        },
        "extraction": meta.extraction,
        "text_encoder": prepared.text.name if prepared.text else None,
        "text_encoder_fingerprint": prepared.text.fingerprint if prepared.text else None,
        "text_prefix": prepared.text.prefix if prepared.text else "",
        "store": meta.fingerprint,
        "init": start.fingerprint if start else None,
        **join_videos(
            (clip.video_id for clip in prepared.datasets["train"].clips),
            start.header.given() if start else None,
        ),
    }


def take_over(model: MultimodalModel, start: Start) -> None:
    """Load the tensors that fit by name and shape, and say how many did."""
    own = model.state_dict()
    fits = {k: t for k, t in start.tensors.items() if k in own and fits_in(own[k], t)}
    if not fits:
        raise TrainingError(f"{start.path}: no weight in it fits the model of these settings")
    model.load_state_dict({**own, **fits})
    logger.info("took over %d of %d tensors from %s", len(fits), len(own), start.path)


def describe_run(
    prepared: Prepared, config: ExperimentConfig, left_out: int, start: Start | None
) -> dict[str, Any]:
    """Return what a run depends on besides its settings, as ``environment.json`` holds it."""
    names = ("mien", "torch", "numpy", "transformers", "accelerate", "safetensors")
    return {
        "versions": {name: metadata.version(name) for name in names},
        "python": platform.python_version(),
        "platform": platform.system(),
        "device": config.train.device,
        "threads": torch.get_num_threads(),
        "store": {
            "corpus": prepared.store.meta.name,
            "fingerprint": prepared.store.meta.fingerprint,
        },
        "text_encoder": prepared.text.name if prepared.text else None,
        "text_encoder_fingerprint": prepared.text.fingerprint if prepared.text else None,
        "num_clips": {split: len(one) for split, one in prepared.datasets.items()},
        "num_left_out": left_out,
        "num_truncated_transcripts": prepared.text.num_truncated if prepared.text else 0,
        "init": start.fingerprint if start else None,
    }
