"""A trained model and a store: found, checked, loaded, and evaluated."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mien.data.dataset import ClipDataset
from mien.data.store import Store, open_store
from mien.data.text import check_encoder
from mien.errors import CheckpointError
from mien.evaluation.evaluate import judge_attention, judge_run
from mien.evaluation.predictions import Predictions, write_predictions
from mien.evaluation.scoring import predict
from mien.files.atomic import write_text
from mien.models import build_model
from mien.models.multitask import MultimodalModel
from mien.training.checkpoints.checkpoint import build_with, read_tensors, split_states
from mien.training.checkpoints.header import Header, open_header
from mien.training.checkpoints.matching import check_data
from mien.training.checkpoints.videos import videos_seen
from mien.training.preparation import Prepared, prepare, require_labels
from mien.training.run_folder import RunFolder, SeedFolder, open_run
from mien.types import Split

__all__ = [
    "dataset_of",
    "evaluate",
    "find_checkpoint",
    "load_model",
]

logger = logging.getLogger(__name__)


def find_checkpoint(path: Path) -> Path:
    """Return the checkpoint at ``path``: a file, a seed's folder, or a run folder's first seed.

    Seeds of a run folder that diverged are passed over.

    Raises:
        CheckpointError: If there is none, or every training there is diverged.
    """
    if path.is_file():
        return path
    if (path / "best.safetensors").is_file() or (path / "failed.json").is_file():
        return _sound(SeedFolder(path))
    seeds = open_run(path).seeds
    if not seeds:
        raise CheckpointError(f"{path}: has no seed that was trained")
    return _sound(next((seed for seed in seeds if seed.failure is None), seeds[0]))


def _sound(seed: SeedFolder) -> Path:
    if seed.failure is not None:
        raise CheckpointError(f"{seed.path}: {seed.failure}")
    return seed.best


def dataset_of(prepared: Prepared, split: Split) -> ClipDataset:
    """Return the clips of a split.

    Raises:
        CheckpointError: If there are none.
    """
    if split not in prepared.datasets:
        raise CheckpointError(f"{prepared.store.path}: has no clips in {split}")
    return prepared.datasets[split]


def load_model(
    path: str | Path, store: Store, *, with_unlabelled: bool = False
) -> tuple[MultimodalModel, Prepared]:
    """Load a trained model for the data of a store.

    A series that another extractor made than that of the training is used with a warning.

    Args:
        path: A checkpoint, a seed's folder, or a run folder (its first seed that did not diverge).
        store: Data with the series that the model was trained on.
        with_unlabelled: Whether clips without a multimodal label stay, to be scored.

    Raises:
        CheckpointError: If there is no sound checkpoint, or the store does not fit it: features of
            another size, of other names or in another order, labels on another scale, or other
            weights of the text encoder.
    """
    model, prepared, warnings = _load(path, store, with_unlabelled=with_unlabelled)
    for warning in warnings:
        logger.warning("%s", warning)
    return model, prepared


def _load(
    path: str | Path, store: Store, *, with_unlabelled: bool = False
) -> tuple[MultimodalModel, Prepared, list[str]]:
    """Load a trained model, and say what may be wrong with using it on a store."""
    checkpoint = find_checkpoint(Path(path))
    header = open_header(checkpoint)
    config = header.read_config(checkpoint, corpus=store.meta.name)
    prepared = prepare(store, config, online=False, with_unlabelled=with_unlabelled)
    _check_fit(checkpoint, header, prepared)
    warnings = check_data(checkpoint, header, store, config)
    encoder = prepared.text.build() if prepared.text is not None else None
    model = build_with(
        lambda: build_model(config.model, prepared.sizes, encoder, config.text_encoder.summary),
        split_states(read_tensors(checkpoint), "model"),
        str(checkpoint),
    )
    return model.eval(), prepared, warnings


def _check_fit(checkpoint: Path, header: Header, prepared: Prepared) -> None:
    if dict(prepared.sizes) != header.sizes:
        then, now = (
            {str(m): size for m, size in sizes.items()} for sizes in (header.sizes, prepared.sizes)
        )
        raise CheckpointError(
            f"{checkpoint}: was trained on features of sizes {then}, {prepared.store.path} has "
            f"{now}"
        )
    check_encoder(checkpoint, header.given(), prepared.text)


def evaluate(
    run: RunFolder | str | Path,
    *,
    split: Split = "test",
    store: Store | str | Path | None = None,
    out: str | Path | None = None,
) -> dict[str, Any]:
    """Evaluate every finished seed of a run on one split.

    Args:
        run: The run folder.
        split: Which clips.
        store: Other data, with series of the same kind; None takes the predictions that the run
            made on its own store, where it has them.
        out: Folder for predictions and ``metrics.json``; None writes nothing.

    Returns:
        What a run's ``metrics.json`` holds, for this split alone. Seeds that diverged are named
        in ``failed_seeds`` and are in no number.

    Raises:
        CheckpointError: If no seed has ended, or the data do not fit.
    """
    run = run if isinstance(run, RunFolder) else open_run(run)
    seeds = [seed for seed in run.seeds if seed.is_finished]
    if not seeds:
        reasons = [f"seed {s.seed}: {s.failure}" for s in run.seeds if s.failure]
        raise CheckpointError(
            f"{run.path}: no seed has ended ({'; '.join(reasons) or 'training was stopped'}); "
            "go on with mien train ... --resume"
        )
    if store is None:
        if not all(seed.predictions(split) for seed in seeds):
            raise CheckpointError(
                f"{run.path}: has no predictions on {split}; give its store (--store)"
            )
        values = _select_split(run.metrics(), split)
        if out is not None:
            made = [one for seed in seeds if (one := seed.predictions(split)) is not None]
            _write_evaluation(Path(out), split, values, made)
        return values
    store = store if isinstance(store, Store) else open_store(store)
    require_labels(store)
    predictions, attention, warnings = [], [], []
    for seed in seeds:
        model, prepared, said = _load(seed.path, store)
        warnings += said
        dataset = dataset_of(prepared, split)
        warnings += _warn_of_seen(seed.path, store, dataset)
        predictions.append(predict(model, dataset))
        attention.append(judge_attention(predictions[-1], dataset.clips, prepared.tokens))
    values = judge_run(
        prepared.family,
        store.meta.name,
        is_synthetic=store.meta.is_synthetic,
        seeds=[seed.seed for seed in seeds],
        predictions={split: predictions},
        attention=[{split: one} for one in attention],
    )
    values["failed_seeds"] = run.failed_seeds
    for warning in dict.fromkeys(warnings):
        logger.warning("%s", warning)
    if out is not None:
        _write_evaluation(Path(out), split, values, predictions)
    return values


def _warn_of_seen(path: Path, store: Store, dataset: ClipDataset) -> list[str]:
    """Say if the weights have learned from videos on which they are evaluated."""
    videos = {clip.video_id for clip in dataset.clips}
    seen = videos_seen(open_header(find_checkpoint(path)).given(), videos)
    if not seen:
        return []
    return [
        f"{store.path}: {len(seen)} of the {len(videos)} videos evaluated here, such as "
        f"{min(seen)!r}, were trained on; the numbers say nothing about new videos"
    ]


def _write_evaluation(
    out: Path, split: Split, values: Mapping[str, Any], predictions: Sequence[Predictions]
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for seed, one in zip(values["seeds"], predictions, strict=True):
        write_predictions(one, out / f"predictions-{split}-{seed}.csv")
    write_text(out / "metrics.json", json.dumps(values, indent=1))


def _select_split(metrics: dict[str, Any], split: Split) -> dict[str, Any]:
    """Keep one split of a run's metrics."""
    kept = {
        name: {split: metrics[name][split]}
        for name in ("splits", "attention")
        if split in metrics[name]
    }
    return {**metrics, "attention": {}, **kept}
