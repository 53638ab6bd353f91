"""What a run writes: its folder, what it depends on, and what each seed leaves there."""

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mien.config import dump_toml, read_toml
from mien.corpora import MetricFamily
from mien.data.clips.target_json import targets_to_json
from mien.data.dataset import ClipDataset
from mien.errors import CheckpointError, DivergenceError, OutputError, TrainingError
from mien.evaluation.attention_share import moment_in_steps
from mien.evaluation.conformal import coverage
from mien.evaluation.evaluate import (
    evaluate_attention,
    evaluate_labels,
    evaluate_run,
    evaluate_scores,
    evaluate_targets,
)
from mien.evaluation.metrics_file.run_metrics import run_metrics_to_json
from mien.evaluation.metrics_file.seed_metrics import (
    Coverage,
    SeedMetrics,
    TargetCoverage,
    TaskCoverage,
    seed_metrics_to_json,
)
from mien.evaluation.predictions import Predictions, write_predictions
from mien.evaluation.probabilities.covered_targets import cover_targets
from mien.evaluation.scoring import predict
from mien.files.atomic import write_text
from mien.files.folders import check_writable
from mien.files.json_values import json_numbers, write_json
from mien.files.temporaries import sweep, sweep_folder
from mien.training.checkpoints.calibrated import calibrate_model
from mien.training.checkpoints.checkpoint import add_to_header
from mien.training.checkpoints.header import describe_settings
from mien.training.checkpoints.videos import join_videos
from mien.training.data_parallel.ranks import ALONE, Ranks
from mien.training.loading import Start
from mien.training.objective import MultitaskObjective
from mien.training.preparation import Prepared
from mien.training.run_folder import RunFolder, SeedFolder, open_run, read_json
from mien.training.settings import ExperimentConfig, read_stored_config
from mien.training.targets.label_record import write_target_labels
from mien.training.trainer import Trainer
from mien.types import EVALUATED_SPLITS, Modality, Split, Task

__all__ = [
    "check_folder",
    "describe_run",
    "describe_use",
    "make_header",
    "open_folder",
    "record_failure",
    "record_seed",
    "require_writable",
    "summarise_run",
]

_NUM_EXAMPLES = 6


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
    before = check_folder(out, config, resume=resume)
    if before is not None:
        _check_environment(out / "environment.json", environment)
        seeds = dict.fromkeys((*before.train.seeds, *config.train.seeds))
        merged = config.train.model_copy(update={"seeds": tuple(seeds)})
        text = dump_toml(config.model_copy(update={"train": merged}))
    out.mkdir(parents=True, exist_ok=True)
    _sweep(out)
    write_text(out / "config.toml", text)
    write_json(out / "environment.json", environment, indent=1)
    return open_run(out)


def check_folder(out: Path, config: ExperimentConfig, *, resume: bool) -> ExperimentConfig | None:
    """Check that a run folder can be made, or that the run that is there can go on.

    Returns:
        The settings of the run that is there; None if there is none.

    Raises:
        TrainingError: If the folder holds something else, or a run that is not to go on, or if
            nothing can be written there.
        CheckpointError: If the run that is there was begun with other settings.
    """
    sweep(out / "config.toml")
    if (out / "config.toml").exists():
        if not resume:
            raise TrainingError(
                f"{out}: already holds a run; use --resume to continue it, or another --out"
            )
        before = read_stored_config(read_toml(out / "config.toml"))
        same = before.model_copy(
            update={"train": before.train.model_copy(update={"seeds": config.train.seeds})}
        )
        if same != config:
            raise CheckpointError(
                f"{out / 'config.toml'}: differs from the settings given now; resume with the same "
                "settings, or give another --out"
            )
        require_writable(out)
        return before
    if out.exists() and not out.is_dir():
        raise TrainingError(f"{out}: is a file, not a folder; give another --out")
    if out.exists() and any(out.iterdir()):
        raise TrainingError(f"{out}: exists and is not a run folder; give another --out")
    require_writable(out)
    return None


def require_writable(out: Path) -> None:
    """Check that a folder that trainings fill, or the one it will be made in, can be written.

    Raises:
        TrainingError: If it cannot.
    """
    try:
        check_writable(out)
    except OutputError as error:
        raise TrainingError(
            f"{out}: cannot be written ({error.strerror}); give another --out"
        ) from error


def _sweep(out: Path) -> None:
    """Remove what a process that was killed left of the files of a run."""
    for folder in (out, out / "figures", *out.glob("seed-*"), *out.glob("seed-*/labels")):
        sweep_folder(folder)


def _check_environment(path: Path, environment: Mapping[str, Any]) -> None:
    """Refuse to go on with other data; what an earlier version did not write is not compared."""
    if not path.is_file():  # stopped before it was written
        return
    before = _read_beginning(read_json(path))
    for what, value in _read_beginning(environment).items():
        if before.get(what, value) != value:
            raise CheckpointError(
                f"{path}: the run was begun {what}; resume it with the store, --init and --exclude "
                "of the first start, or give another --out"
            )


def _read_beginning(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return what must not change in a run, by the words of the error if it has."""
    values = {**environment, **environment.get("store", {})}
    words = {
        "fingerprint": "on another store",
        "text_encoder_fingerprint": "with another text encoder",
        "init": "with other weights to start from",
        "num_left_out": "with other videos left out",
    }
    return {text: values[key] for key, text in words.items() if key in values}


def describe_run(
    prepared: Prepared,
    config: ExperimentConfig,
    num_left_out: int,
    start: Start | None,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Return what a run depends on besides its settings, as ``environment.json`` holds it."""
    together = {} if ranks.is_alone else {"processes": ranks.count}
    return {
        **describe_use(prepared, device=config.train.device),
        **together,
        "num_left_out": num_left_out,
        "init": start.fingerprint if start else None,
    }


def describe_use(prepared: Prepared, *, device: str) -> dict[str, Any]:
    """Return on what, and by what, models are trained or evaluated."""
    names = ("mien", "torch", "numpy", "transformers", "accelerate", "safetensors")
    return {
        "versions": {name: metadata.version(name) for name in names},
        "python": platform.python_version(),
        "platform": platform.system(),
        "device": device,
        "threads": torch.get_num_threads(),
        "store": {
            "corpus": prepared.store.meta.name,
            "fingerprint": prepared.store.meta.fingerprint,
        },
        "text_encoder": prepared.text.name if prepared.text else None,
        "text_encoder_fingerprint": prepared.text.fingerprint if prepared.text else None,
        "num_clips": {split: len(dataset) for split, dataset in prepared.datasets.items()},
        "num_truncated_transcripts": prepared.text.num_truncated if prepared.text else 0,
    }


def make_header(
    config: ExperimentConfig, prepared: Prepared, start: Start | None
) -> dict[str, Any]:
    """Return the header of a checkpoint: all that its use depends on, as ``Header`` reads it."""
    meta = prepared.store.meta
    return {
        "format": 1,
        "config": describe_settings(config),
        "corpus": meta.name,
        "language": meta.language,
        "scale": list(meta.scale),
        "is_synthetic": meta.is_synthetic,
        "sizes": {str(m): size for m, size in prepared.sizes.items()},
        "series": {
            name: series.model_dump(
                mode="json", include={"size", "extractor", "step_seconds", "feature_names"}
            )
            for name, series in meta.series.items()
        },
        "extraction": meta.extraction,
        "text_encoder": prepared.text.name if prepared.text else None,
        "text_encoder_fingerprint": prepared.text.fingerprint if prepared.text else None,
        "text_prefix": prepared.text.prefix if prepared.text else "",
        "store": meta.fingerprint,
        "init": start.fingerprint if start else None,
        **_describe_aims(prepared),
        **join_videos(
            prepared.datasets["train"].videos,
            start.header.given() if start else None,
        ),
    }


def _describe_aims(prepared: Prepared) -> dict[str, Any]:
    """Return what is predicted besides sentiment; nothing where that is all."""
    if not prepared.aims.targets:
        return {}
    targets = targets_to_json(prepared.aims.targets)
    return {"targets": targets, "has_sentiment": prepared.aims.has_sentiment}


def record_failure(folder: SeedFolder, error: DivergenceError) -> None:
    """Write why the training of a seed diverged."""
    write_json(folder.path / "failed.json", {"reason": str(error)})


def record_seed(folder: SeedFolder, trainer: Trainer, prepared: Prepared) -> None:
    """Evaluate the best epoch and write what a seed leaves; ``metrics.json`` comes last.

    Args:
        folder: The seed's folder, with its checkpoint.
        trainer: The training, with the weights and labels of its best epoch.
        prepared: The data.
    """
    splits, attention, targets = {}, {}, {}
    covered: dict[Split, dict[Task, TaskCoverage]] = {}
    of_targets: dict[Split, dict[str, TargetCoverage]] = {}
    model = trainer.model
    calibrated = calibrate_model(model, prepared.datasets["valid"], prepared.scale)
    calibration = calibrated.sentiment
    add_to_header(folder.best, calibrated.facts)
    for split in EVALUATED_SPLITS:
        if split not in prepared.datasets:
            continue
        dataset = prepared.datasets[split]
        predictions = calibrated.predictions if split == "valid" else predict(model, dataset)
        write_predictions(predictions, folder.path / f"predictions-{split}.csv")
        splits[split] = evaluate_scores(predictions, prepared.family)
        targets[split] = evaluate_targets(predictions)
        attention[split] = evaluate_attention(predictions, dataset.clips, prepared.tokens)
        if split != "valid" and calibration is not None:
            covered[split] = coverage(calibration, predictions, prepared.scale)
        if split != "valid" and calibrated.targets:
            of_targets[split] = cover_targets(calibrated.targets, predictions)
        if split == "test" or "test" not in prepared.datasets:
            examples = _examples(predictions, dataset, prepared)
            write_json(folder.path / "examples.json", examples, ensure_ascii=False)
    latest = {
        m: labels.cpu().numpy().astype(np.float64)
        for m, labels in trainer.objective.latest().items()
    }
    train_set = prepared.datasets["train"]
    truth = {t: v.numpy().astype(np.float64) for t, v in train_set.labels.items()}
    recorded = write_target_labels(folder.path / "labels", trainer.objective, train_set)
    write_json(folder.path / "train.json", _train_json(train_set, trainer.objective, recorded))
    metrics = SeedMetrics(
        seed=trainer.seed,
        best_epoch=trainer.best_epoch,
        num_epochs=len(trainer.history),
        splits=splits,
        labels=evaluate_labels(latest, truth),
        attention=attention,
        coverage=None if calibration is None else Coverage(level=calibration.level, splits=covered),
        described=prepared.aims.targets,
        targets=targets,
        target_coverage=of_targets,
    )
    write_json(folder.path / "metrics.json", seed_metrics_to_json(metrics), indent=1)
    (folder.path / "last.safetensors").unlink(missing_ok=True)


def _train_json(
    dataset: ClipDataset, objective: MultitaskObjective, recorded: Sequence[str]
) -> dict[str, Any]:
    estimate = None if objective.labels is None else objective.labels.describe()
    return {
        "ids": list(dataset.ids),
        "modalities": [str(m) for m in objective.modalities],
        "annotated": json_numbers(dataset.labels[Task.FUSION].tolist()),
        "truth": {
            str(task): json_numbers(values.tolist())
            for task, values in dataset.labels.items()
            if task is not Task.FUSION
        },
        **({} if estimate is None else {"estimate": estimate}),
        **({"targets": list(recorded)} if recorded else {}),
    }


def _examples(
    predictions: Predictions, dataset: ClipDataset, prepared: Prepared
) -> list[dict[str, Any]]:
    """Pick clips spread over the scale, and give their attention with words."""
    annotated = predictions.targets.get(Task.FUSION, np.full(len(predictions), np.nan))
    order = np.argsort(annotated, kind="stable")
    if not np.isnan(annotated).all():
        order = order[: int((~np.isnan(annotated)).sum())]
    picks = order[
        np.linspace(0, len(order) - 1, min(_NUM_EXAMPLES, len(order))).round().astype(int)
    ]
    return [
        {
            "id": dataset.clips[row].id,
            "transcript": dataset.clips[row].transcript,
            "target": None if np.isnan(annotated[row]) else float(annotated[row]),
            "scores": {str(t): float(s[row]) for t, s in predictions.scores.items()},
            "attention": _attention_of(row, predictions, dataset, prepared),
        }
        for row in picks.tolist()
    ]


def _attention_of(
    row: int, predictions: Predictions, dataset: ClipDataset, prepared: Prepared
) -> dict[str, Any]:
    """Return the attention over a clip's steps, by modality; text has its tokens beside it."""
    clip, attention = dataset.clips[row], {}
    for modality, weights in predictions.attention.items():
        if len(weights[row]) < 2:
            continue  # a single step always has all the weight
        values: dict[str, Any] = {"weights": [round(float(w), 6) for w in weights[row]]}
        tokens = prepared.tokens(clip) if modality is Modality.TEXT else None
        if tokens is not None:
            values["tokens"] = [word for word, _, _ in tokens]
        moment = moment_in_steps(clip, modality, prepared.tokens)
        values["moment"] = list(moment) if moment else None
        attention[str(modality)] = values
    return attention


def summarise_run(run: RunFolder, family: MetricFamily, corpus: str, *, is_synthetic: bool) -> None:
    """Write a run's ``metrics.json`` from those of its finished seeds."""
    seeds = [seed for seed in run.seeds if seed.is_finished]
    metrics = [seed.results() for seed in seeds]
    predictions = {
        split: [read for seed in seeds if (read := seed.predictions(split)) is not None]
        for split in EVALUATED_SPLITS
    }
    values = evaluate_run(
        family,
        corpus,
        is_synthetic=is_synthetic,
        seeds=[seed.seed for seed in seeds],
        predictions=predictions,
        attention=[of_seed.attention for of_seed in metrics],
        labels=[of_seed.labels for of_seed in metrics],
        best_epochs=[of_seed.best_epoch for of_seed in metrics],
        failed_seeds=run.failed_seeds,
        baseline="speaker" if run.config.features.standardise == "speaker" else None,
    )
    write_json(run.path / "metrics.json", run_metrics_to_json(values), indent=1)
