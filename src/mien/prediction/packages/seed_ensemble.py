"""All finished seeds of a run as one checkpoint, calibrated anew on the validation clips."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mien.corpora import metric_family
from mien.data.store import Store, open_store
from mien.errors import CheckpointError, ConfigError
from mien.evaluation.predictions import Predictions, average_predictions
from mien.files.reading import show
from mien.prediction.packages.valid_clips import choose_valid, load_valid, require_store
from mien.prediction.packages.valid_comparison import (
    ComparedMetric,
    compare_members,
    describe_compared,
)
from mien.training.checkpoints.calibrated import calibrate_alone, calibrate_model
from mien.training.checkpoints.checkpoint import (
    check_finite,
    read_header,
    read_tensors,
    split_states,
)
from mien.training.checkpoints.header import Header, check_header, complete_settings
from mien.training.checkpoints.trained_model import build_from, join_members
from mien.training.run_folder import RunFolder, SeedFolder, open_run, refuse_folds
from mien.training.settings import ExperimentConfig

__all__ = [
    "OF_SEED",
    "SeedEnsemble",
    "finished_seeds",
    "gather_seeds",
    "read_networks",
    "read_valid",
    "refuse_differences",
]

logger = logging.getLogger(__name__)

#: What headers of the seeds of a run have that differs from seed to seed.
OF_SEED = ("seed", "epoch", "valid", "calibration", "calibration_alone", "target_calibration",
            "target_calibration_alone")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedEnsemble:
    """The seeds of a run as one checkpoint holds them.

    Attributes:
        header: Its header.
        tensors: Its tensors.
        compared: What the validation clips say of it, beside single seeds.
    """

    header: dict[str, Any]
    tensors: dict[str, Tensor]
    compared: tuple[ComparedMetric, ...]


def gather_seeds(run: RunFolder | str | Path, store: Store | str | Path | None) -> SeedEnsemble:
    """Make one checkpoint of all finished seeds of a run.

    Intervals and sets are measured on the validation clips of the run, of which the mean over the
    seeds is predicted. What the run has kept of them is enough for a model of sentiment that reads
    one modality; for others they are predicted with every set of modalities.

    Args:
        run: The run, or its folder.
        store: The store of its training; None where that is not needed.

    Raises:
        CheckpointError: If there are fewer than two finished seeds, they differ in more than the
            seed or not at all, a checkpoint is damaged, or the store is another one.
        ConfigError: If the store is needed.
    """
    run = open_run(run)
    refuse_folds(run)
    seeds = finished_seeds(run)
    headers = [read_header(seed.best) for seed in seeds]
    facts, *_ = (check_header(own, seed.best) for own, seed in zip(headers, seeds, strict=True))
    refuse_differences(run, seeds, headers)
    config, scale = facts.read_config(seeds[0].best), facts.read_scale(seeds[0].best)
    predictions, tensors = [read_valid(seed) for seed in seeds], _join_weights(run, seeds)
    if _is_enough(facts, config):
        modality, *_ = facts.sizes
        calibrated = calibrate_alone(average_predictions(predictions), modality, scale)
    elif store is None:
        raise ConfigError(
            f"{run.path}: intervals of the ensemble are measured on validation clips, with every "
            "set of modalities; give the store of the training (--store STORE)"
        )
    else:
        opened = open_store(store)
        require_store(run.path, headers[0], opened)
        calibrated = _calibrate(run, seeds, tensors, config, opened, predictions[0].ids)
    compared = compare_members(
        predictions, metric_family(facts.corpus, scale), config.train.monitor
    )
    header = {key: value for key, value in headers[0].items() if key not in OF_SEED}
    return SeedEnsemble(
        header={
            **header,
            "format": 2,
            "ensemble": [seed.seed for seed in seeds],
            **describe_compared(compared),
            **calibrated,
        },
        tensors=tensors,
        compared=compared,
    )


def finished_seeds(run: RunFolder) -> list[SeedFolder]:
    """Return the seeds of which a mean is taken; which ones are left out is logged.

    Raises:
        CheckpointError: If there are fewer than two.
    """
    seeds = [seed for seed in run.seeds if seed.is_finished]
    if len(seeds) < 2:
        raise CheckpointError(
            f"{run.path}: has {len(seeds)} finished seed{'s' * (len(seeds) != 1)}, and a mean of "
            "several needs two; train more of them with mien train ... --seeds 1111-1115 --resume"
        )
    for seed in run.seeds:
        if seed not in seeds:
            why = seed.failure or "its training has not ended"
            logger.warning("seed %d is left out: %s", seed.seed, why)
    return seeds


def refuse_differences(
    run: RunFolder, seeds: Sequence[SeedFolder], headers: Sequence[Mapping[str, Any]]
) -> None:
    """Refuse seeds that were trained in another way.

    Args:
        run: Their run.
        seeds: The seeds.
        headers: The headers of their checkpoints.

    Raises:
        CheckpointError: If their settings or data differ.
    """
    first, *others = (_describe_training(header) for header in headers)
    for seed, other in zip(seeds[1:], others, strict=True):
        difference = _find_difference(first, other)
        if difference is not None:
            name, mine, theirs = difference
            raise CheckpointError(
                f"{run.path}: seeds {seeds[0].seed} and {seed.seed} differ in more than the seed: "
                f"{name.removeprefix('config.')} is {show(mine)} in one and {show(theirs)} in the "
                "other; a mean is of trainings with the same settings on the same data"
            )


def _describe_training(header: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in header.items() if key not in OF_SEED}
    return {**own, "config": complete_settings(header["config"])}


def _find_difference(
    mine: object, theirs: object, name: str = ""
) -> tuple[str, object, object] | None:
    """Return the first value that differs, with its name in dots; None if all are alike."""
    if not (isinstance(mine, Mapping) and isinstance(theirs, Mapping)):
        return None if mine == theirs else (name, mine, theirs)
    for key in dict.fromkeys((*mine, *theirs)):
        below = f"{name}.{key}" if name else str(key)
        difference = _find_difference(mine.get(key), theirs.get(key), below)
        if difference is not None:
            return difference
    return None


def read_valid(seed: SeedFolder) -> Predictions:
    """Return what a seed predicts of the validation clips.

    Raises:
        CheckpointError: If it is not there.
    """
    predictions = seed.predictions("valid")
    if predictions is None:
        raise CheckpointError(
            f"{seed.path}: has no predictions-valid.csv; restore the file, or train the seed again"
        )
    return predictions


def _is_enough(facts: Header, config: ExperimentConfig) -> bool:
    """Return whether intervals follow from predictions of clips with all that they have."""
    is_plain = not facts.targets and config.features.standardise == "train"
    return is_plain and len(facts.sizes) == 1


def _calibrate(
    run: RunFolder,
    seeds: Sequence[SeedFolder],
    tensors: Mapping[str, Tensor],
    config: ExperimentConfig,
    store: Store,
    ids: Sequence[str],
) -> dict[str, Any]:
    """Return what the validation clips say of the answers of the ensemble."""
    first = load_valid(seeds[0].best, store)
    prepared = first.prepared
    header = first.header.model_copy(update={"ensemble": tuple(seed.seed for seed in seeds)})
    encoder = prepared.text.build() if prepared.text is not None else None
    ensemble = build_from(tensors, run.path, header, config, encoder)
    valid = choose_valid(prepared, ids)
    return calibrate_model(ensemble, valid, prepared.scale).facts


def read_networks(run: RunFolder, seeds: Sequence[SeedFolder]) -> Iterator[dict[str, Tensor]]:
    """Yield the weights of every seed, which are those of one network.

    Raises:
        CheckpointError: If a checkpoint is damaged, or its network is another one.
    """
    shapes: dict[str, torch.Size] | None = None
    for seed in seeds:
        own = split_states(read_tensors(seed.best), "model")
        check_finite(own, str(seed.best))
        present = {name: tensor.shape for name, tensor in own.items()}
        if not present or present != (shapes or present):
            raise CheckpointError(
                f"{run.path}: its seeds hold other networks; restore their checkpoints, or train "
                "the run again"
            )
        shapes = present
        yield own


def _join_weights(run: RunFolder, seeds: Sequence[SeedFolder]) -> dict[str, Tensor]:
    numbers = [seed.seed for seed in seeds]
    states = dict(zip(numbers, read_networks(run, seeds), strict=True))
    joined = join_members(states)
    if len(joined) == len(states[numbers[0]]):
        raise CheckpointError(
            f"{run.path}: all seeds have the same weights, so that their mean is what each of them "
            "says; pack one of them (leave --ensemble out)"
        )
    return joined
