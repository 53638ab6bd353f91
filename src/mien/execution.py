"""An experiment carried out: every seed trained, evaluated, and written to a run folder."""

import hashlib
import json
import logging
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mien.batch import ClipDataset
from mien.calibration import calibrate, coverage
from mien.checkpoint import add_to_header, read_header, read_tensors, split_states
from mien.config import dump_toml, read_settings, read_toml
from mien.crossfit import cross_fit
from mien.errors import CheckpointError, TrainingError
from mien.evaluation import predict
from mien.evidence import Evidence
from mien.experiment import ExperimentConfig
from mien.files import write_text
from mien.judgement import (
    judge_attention,
    judge_labels,
    judge_scores,
    moment_in_steps,
    summarise_run,
)
from mien.label_bank import LabelGenerator
from mien.labels import build_labels
from mien.models.multitask import MultimodalModel
from mien.objectives import MultitaskObjective
from mien.packing import videos_seen
from mien.predictions import Predictions, write_predictions
from mien.preparation import (
    Prepared,
    build,
    describe_lacks,
    fit_scales,
    prepare,
    require_labels,
)
from mien.run import RunFolder, SeedFolder, open_run
from mien.store import Store, open_store
from mien.trained import find_checkpoint
from mien.training import Listener, Trainer
from mien.types import Modality, Split, Task

__all__ = [
    "train",
]

logger = logging.getLogger(__name__)

_NUM_EXAMPLES = 6
_JUDGED: tuple[Split, ...] = ("valid", "test")


def train(
    config: ExperimentConfig,
    store: Store | str | Path,
    out: str | Path,
    *,
    resume: bool = False,
    init: str | Path | None = None,
    exclude: Sequence[str | Path] = (),
    listener: Listener | None = None,
) -> RunFolder:
    """Train with every seed of the settings, evaluate on valid and test, and write a run folder.

    Args:
        config: The settings.
        store: The data.
        out: The run folder to make.
        resume: Whether a run folder that is already there goes on where it stopped.
        init: A run folder or checkpoint whose weights to start from, as far as they fit.
        exclude: Stores whose videos are left out of train and valid: those on which the weights
            learned here will be evaluated later.
        listener: Is told how it goes on.

    Raises:
        ConfigError: If the settings do not fit the store.
        TrainingError: If the run cannot start, or diverges.
        CheckpointError: If ``out`` belongs to another run.
    """
    store = store if isinstance(store, Store) else open_store(store)
    require_labels(store)
    prepared = prepare(store, config, excluded_videos=_videos_of(exclude))
    for split in ("train", "valid"):
        if split not in prepared.datasets:
            raise TrainingError(f"{store.path}: has no clips in {split}; training needs both")
    left_out = len(store.rows("train")) - len(prepared.datasets["train"])
    left_out += len(store.rows("valid")) - len(prepared.datasets["valid"])
    for sentence in describe_lacks(prepared):
        logger.warning("%s", sentence)
    if exclude:
        logger.info("left out %d clips whose videos are in the excluded stores", left_out)
    start = _read_init(init, prepared) if init is not None else None
    run = _open_folder(Path(out), config, resume=resume)
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    _write_environment(run, prepared, config, left_out, start)
    for seed in config.train.seeds:
        _train_seed(run.seed(seed), seed, config, prepared, start, listener)
    summarise_run(run, prepared.family, store.meta.name, is_synthetic=store.meta.is_synthetic)
    return run


def _videos_of(stores: Sequence[str | Path]) -> frozenset[str]:
    return frozenset(clip.video_id for path in stores for clip in open_store(path).clips)


def _open_folder(out: Path, config: ExperimentConfig, *, resume: bool) -> RunFolder:
    text = dump_toml(config)
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
        seeds = dict.fromkeys((*before.train.seeds, *config.train.seeds))
        merged = config.train.model_copy(update={"seeds": tuple(seeds)})
        text = dump_toml(config.model_copy(update={"train": merged}))
    elif out.exists() and any(out.iterdir()):
        raise TrainingError(f"{out}: exists and is not a run folder; give another --out")
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "config.toml", text)
    return open_run(out)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """Weights to start from, and where they come from."""

    path: Path
    tensors: dict[str, torch.Tensor]
    fingerprint: str


def _read_init(init: str | Path, prepared: Prepared) -> _Start:
    """Read the weights to start from; refuse those that have seen this store's valid or test."""
    path = find_checkpoint(Path(init))
    header = read_header(path)
    judged = {
        prepared.store.clips[row].video_id
        for split in _JUDGED
        for row in prepared.store.rows(split)
    }
    seen = videos_seen(header, judged)
    if seen:
        raise TrainingError(
            f"{path}: was trained on {len(seen)} of the {len(judged)} videos in valid and test of "
            f"{prepared.store.path}; train it again with --exclude {prepared.store.path}"
        )
    tensors = split_states(read_tensors(path), "model")
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(key.encode())
        digest.update(tensors[key].contiguous().view(torch.uint8).numpy().tobytes())
    return _Start(path=path, tensors=tensors, fingerprint=digest.hexdigest())


def _train_seed(
    folder: SeedFolder,
    seed: int,
    config: ExperimentConfig,
    prepared: Prepared,
    start: _Start | None,
    listener: Listener | None,
) -> None:
    if folder.failure is not None:
        raise TrainingError(f"{folder.path}: {folder.failure}; remove the folder to try again")
    if folder.is_finished:
        return
    folder.path.mkdir(exist_ok=True)
    evidence = _evidence(config, prepared, seed, listener)
    torch.manual_seed(seed)
    model = build(prepared, config)
    if start is not None:
        _take_over(model, start)
    if config.model.standardise:
        fit_scales(model, prepared.datasets["train"])
    trainer = Trainer(
        model=model,
        objective=MultitaskObjective(_labels(config, prepared, model, evidence)),
        train=prepared.datasets["train"],
        valid=prepared.datasets["valid"],
        family=prepared.family,
        config=config.train,
        seed=seed,
        folder=folder.path,
        header=_header(config, prepared, start),
    )
    trainer.resume()
    try:
        trainer.run(listener)
    except TrainingError as error:
        write_text(folder.path / "failed.json", json.dumps({"reason": str(error)}))
        raise
    trainer.load_best()
    _finish(folder, trainer, prepared)


def _evidence(
    config: ExperimentConfig, prepared: Prepared, seed: int, listener: Listener | None
) -> Evidence | None:
    if config.labels.generator != "latent":
        return None
    on_step = listener.on_evidence if listener is not None else None
    return cross_fit(prepared, config, seed=seed, on_step=on_step)


def _labels(
    config: ExperimentConfig,
    prepared: Prepared,
    model: MultimodalModel,
    evidence: Evidence | None,
) -> LabelGenerator:
    labels = prepared.datasets["train"].labels
    return build_labels(config.labels, labels, prepared.scale, model.state_sizes, evidence)


def _header(config: ExperimentConfig, prepared: Prepared, start: _Start | None) -> dict[str, Any]:
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
        "store": meta.fingerprint,
        "init": start.fingerprint if start else None,
        "videos": sorted({clip.video_id for clip in prepared.datasets["train"].clips}),
    }


def _take_over(model: MultimodalModel, start: _Start) -> None:
    """Load the tensors that fit by name and shape, and say how many did."""
    own = model.state_dict()
    fits = {k: t for k, t in start.tensors.items() if k in own and own[k].shape == t.shape}
    if not fits:
        raise TrainingError(f"{start.path}: no weight in it fits the model of these settings")
    model.load_state_dict({**own, **fits})
    logger.info("took over %d of %d tensors from %s", len(fits), len(own), start.path)


def _finish(folder: SeedFolder, trainer: Trainer, prepared: Prepared) -> None:
    """Evaluate the best epoch and write what a seed leaves; ``metrics.json`` comes last."""
    splits, attention, covered = {}, {}, {}
    calibration = calibrate(trainer.model, prepared.datasets["valid"])
    add_to_header(folder.best, {"calibration": calibration.model_dump(mode="json")})
    for split in _JUDGED:
        if split not in prepared.datasets:
            continue
        dataset = prepared.datasets[split]
        predictions = predict(trainer.model, dataset)
        write_predictions(predictions, folder.path / f"predictions-{split}.csv")
        splits[split] = judge_scores(predictions, prepared.family)
        attention[split] = judge_attention(predictions, dataset.clips, prepared.tokens)
        if split != "valid":
            covered[split] = coverage(calibration, predictions, prepared.scale)
        if split == "test" or "test" not in prepared.datasets:
            examples = _examples(predictions, dataset, prepared)
            write_text(folder.path / "examples.json", json.dumps(examples, ensure_ascii=False))
    labels = trainer.objective.labels
    latest = {m: labels.latest(m).cpu().numpy().astype(np.float64) for m in labels.modalities}
    train_set = prepared.datasets["train"]
    truth = {t: v.numpy().astype(np.float64) for t, v in train_set.labels.items()}
    write_text(folder.path / "train.json", json.dumps(_train_json(train_set, labels)))
    values = {
        "seed": trainer.seed,
        "best_epoch": trainer.best_epoch,
        "num_epochs": len(trainer.history),
        "splits": splits,
        "labels": judge_labels(latest, truth),
        "attention": attention,
        "intervals": {"level": calibration.level, "coverage": covered},
    }
    write_text(folder.path / "metrics.json", json.dumps(values, indent=1))
    (folder.path / "last.safetensors").unlink(missing_ok=True)


def _train_json(dataset: ClipDataset, labels: LabelGenerator) -> dict[str, Any]:
    def plain(values: torch.Tensor) -> list[float | None]:
        return [None if v != v else v for v in values.tolist()]

    return {
        "ids": [clip.id for clip in dataset.clips],
        "modalities": [str(m) for m in labels.modalities],
        "annotated": plain(dataset.labels[Task.FUSION]),
        "truth": {str(t): plain(v) for t, v in dataset.labels.items() if t is not Task.FUSION},
    }


def _examples(
    predictions: Predictions, dataset: ClipDataset, prepared: Prepared
) -> list[dict[str, Any]]:
    """Pick clips spread over the scale, and give their attention with words."""
    order = np.argsort(predictions.targets[Task.FUSION], kind="stable")
    picks = order[
        np.linspace(0, len(order) - 1, min(_NUM_EXAMPLES, len(order))).round().astype(int)
    ]
    examples = []
    for row in picks:
        clip = dataset.clips[row]
        attention: dict[str, Any] = {}
        for modality, weights in predictions.attention.items():
            if len(weights[row]) < 2:
                continue  # a single step always has all the weight
            one: dict[str, Any] = {"weights": [round(float(w), 6) for w in weights[row]]}
            tokens = prepared.tokens(clip) if modality is Modality.TEXT else None
            if tokens is not None:
                one["tokens"] = [word for word, _, _ in tokens]
            moment = moment_in_steps(clip, modality, prepared.tokens)
            one["moment"] = list(moment) if moment else None
            attention[str(modality)] = one
        examples.append(
            {
                "id": clip.id,
                "transcript": clip.transcript,
                "target": float(predictions.targets[Task.FUSION][row]),
                "scores": {str(t): float(s[row]) for t, s in predictions.scores.items()},
                "attention": attention,
            }
        )
    return examples


def _write_environment(
    run: RunFolder,
    prepared: Prepared,
    config: ExperimentConfig,
    left_out: int,
    start: _Start | None,
) -> None:
    names = ("mien", "torch", "numpy", "transformers", "accelerate", "safetensors")
    values = {
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
        "init": start.fingerprint if start else None,
    }
    write_text(run.path / "environment.json", json.dumps(values, indent=1))
