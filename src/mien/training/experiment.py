"""An experiment carried out: every seed trained, evaluated, and written to a run folder."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mien.data.dataset import ClipDataset
from mien.data.store import Store, open_store
from mien.errors import DivergenceError, TrainingError
from mien.evaluation.conformal import calibrate, coverage
from mien.evaluation.evaluate import (
    judge_attention,
    judge_labels,
    judge_scores,
    moment_in_steps,
)
from mien.evaluation.predictions import Predictions, write_predictions
from mien.evaluation.scoring import predict
from mien.files.atomic import write_text
from mien.labels import build_labels
from mien.labels.evidence import Evidence
from mien.labels.generator import LabelGenerator
from mien.models.multitask import MultimodalModel
from mien.training.checkpoints.checkpoint import add_to_header
from mien.training.checkpoints.videos import plain_name
from mien.training.loop import check_steps, make_accelerator
from mien.training.objective import MultitaskObjective
from mien.training.out_of_fold import cross_fit
from mien.training.preparation import (
    Prepared,
    build,
    describe_lacks,
    fit_scales,
    prepare,
    require_labels,
)
from mien.training.run_folder import RunFolder, SeedFolder, summarise_run
from mien.training.settings import ExperimentConfig
from mien.training.starting import (
    Start,
    describe_run,
    make_header,
    open_folder,
    read_start,
    take_over,
)
from mien.training.trainer import Listener, Trainer
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

    A seed that diverges is named in ``metrics.json`` and is in no number of it; the others go on.

    Args:
        config: The settings.
        store: The data.
        out: The run folder to make.
        resume: Whether a run folder that is already there goes on where it stopped; seeds that
            diverged are not trained again.
        init: A run folder or checkpoint whose weights to start from, as far as they fit.
        exclude: Stores whose videos are left out of train and valid: those on which the weights
            learned here will be evaluated later.
        listener: Is told how it goes on.

    Raises:
        ConfigError: If the settings do not fit the store.
        TrainingError: If the run cannot start, or every seed diverges.
        CheckpointError: If ``out`` belongs to another run.
    """
    store = store if isinstance(store, Store) else open_store(store)
    require_labels(store)
    prepared = prepare(store, config, excluded_videos=_videos_of(exclude))
    left_out = _check_clips(prepared, config)
    for sentence in describe_lacks(prepared):
        logger.warning("%s", sentence)
    if exclude:
        logger.info("left out %d clips whose videos are in the excluded stores", left_out)
    make_accelerator(config.train)  # whether the device is here
    start = read_start(init, prepared, config) if init is not None else None
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    run = open_folder(
        Path(out), config, describe_run(prepared, config, left_out, start), resume=resume
    )
    for seed in config.train.seeds:
        _train_seed(run.seed(seed), seed, config, prepared, start, listener)
    _require_numbers(run)
    summarise_run(run, prepared.family, store.meta.name, is_synthetic=store.meta.is_synthetic)
    return run


def _videos_of(stores: Sequence[str | Path]) -> frozenset[str]:
    """Return the videos of some stores, by the names by which videos are compared."""
    return frozenset(plain_name(c.video_id) for path in stores for c in open_store(path).clips)


def _check_clips(prepared: Prepared, config: ExperimentConfig) -> int:
    """Check that there are clips to learn from; return how many were left out on purpose."""
    store, datasets = prepared.store, prepared.datasets
    for split in ("train", "valid"):
        if split not in datasets:
            raise TrainingError(f"{store.path}: has no clips in {split}; training needs both")
    check_steps(config.train, len(datasets["train"]))
    return sum(len(store.rows(split)) - len(datasets[split]) for split in ("train", "valid"))


def _require_numbers(run: RunFolder) -> None:
    """Refuse a run of which no seed has ended, for then there is nothing to report."""
    if any(seed.is_finished for seed in run.seeds):
        return
    failed = [seed for seed in run.seeds if seed.failure is not None]
    num = len(failed) - 1
    others = f", as {num} other seed{'s' * (num > 1)} did" if num else ""
    raise TrainingError(
        f"{failed[0].path}: {failed[0].failure}{others}; remove the folder to try again"
    )


def _train_seed(
    folder: SeedFolder,
    seed: int,
    config: ExperimentConfig,
    prepared: Prepared,
    start: Start | None,
    listener: Listener | None,
) -> None:
    """Train and evaluate one seed, unless it has ended; where it diverges, write why."""
    if folder.failure is None and not folder.is_finished:
        folder.path.mkdir(exist_ok=True)
        try:
            evidence = _evidence(config, prepared, seed, listener)
            trainer = _make_trainer(folder, seed, config, prepared, start, evidence)
            trainer.resume()
            trainer.run(listener)
        except DivergenceError as error:
            write_text(folder.path / "failed.json", json.dumps({"reason": str(error)}))
        else:
            trainer.load_best()
            _finish(folder, trainer, prepared)
    if folder.failure is not None:
        logger.warning(
            "seed %d is in no number: %s; remove %s to train it again",
            seed, folder.failure, folder.path,
        )  # fmt: skip


def _make_trainer(
    folder: SeedFolder,
    seed: int,
    config: ExperimentConfig,
    prepared: Prepared,
    start: Start | None,
    evidence: Evidence | None,
) -> Trainer:
    torch.manual_seed(seed)
    model = build(prepared, config)
    if start is not None:
        take_over(model, start)
    if config.model.standardise:
        fit_scales(model, prepared.datasets["train"])
    return Trainer(
        model=model,
        objective=MultitaskObjective(_labels(config, prepared, model, evidence)),
        train=prepared.datasets["train"],
        valid=prepared.datasets["valid"],
        family=prepared.family,
        config=config.train,
        seed=seed,
        folder=folder.path,
        header=make_header(config, prepared, start),
    )


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


def _finish(folder: SeedFolder, trainer: Trainer, prepared: Prepared) -> None:
    """Evaluate the best epoch and write what a seed leaves; ``metrics.json`` comes last."""
    splits, attention, covered = {}, {}, {}
    calibration = calibrate(trainer.model, prepared.datasets["valid"], scale=prepared.scale)
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
