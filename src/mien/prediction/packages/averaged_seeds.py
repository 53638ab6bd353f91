"""The mean of the weights of all seeds of a run, as one network: the cost of a single seed.

Trainings that start from the same weights and differ in the seed end where the mean of their
weights is a good network, often a better one (wortsman2022). Trainings that start
from different random weights have no such mean: their units are not the same ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mien.data.store import Store, open_store
from mien.errors import CheckpointError, ConfigError
from mien.evaluation.predictions import write_predictions
from mien.files.json_values import json_number, json_numbers
from mien.prediction.packages.seed_ensemble import (
    OF_SEED,
    finished_seeds,
    read_valid,
    refuse_differences,
)
from mien.prediction.packages.valid_clips import choose_valid, load_valid, require_store
from mien.prediction.packages.valid_comparison import ComparedMetric, compare_made
from mien.training.checkpoints.calibrated import calibrate_model
from mien.training.checkpoints.checkpoint import (
    add_to_header,
    check_finite,
    read_header,
    read_tensors,
    split_states,
    write_tensors,
)
from mien.training.run_folder import RunFolder, SeedFolder, open_run, refuse_folds

__all__ = ["AveragedSeeds", "average_seeds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragedSeeds:
    """The mean of the weights of several seeds.

    Attributes:
        path: Its checkpoint.
        seeds: The seeds.
        compared: What the validation clips say of it, beside single seeds.
    """

    path: Path
    seeds: tuple[int, ...]
    compared: tuple[ComparedMetric, ...]


def average_seeds(
    run: RunFolder | str | Path, out: Path, store: Store | str | Path
) -> AveragedSeeds:
    """Write the mean of the weights of all finished seeds of a run as a checkpoint.

    Intervals and sets are measured on the validation clips of the run, of which predictions are
    written beside the checkpoint.

    Args:
        run: The run, or its folder.
        out: File to write, ``best.safetensors``.
        store: The store of its training.

    Raises:
        ConfigError: If the seeds did not start from the same weights.
        CheckpointError: If there are fewer than two finished seeds, they differ in more than the
            seed or not at all, a checkpoint is damaged, or the store is another one.
    """
    run, store = open_run(run), open_store(store)
    refuse_folds(run)
    seeds = finished_seeds(run)
    headers = [read_header(seed.best) for seed in seeds]
    refuse_differences(run, seeds, headers)
    tensors = _average(run, seeds)  # refuses equal seeds, which have no start to be told of
    if headers[0].get("init") is None:
        raise ConfigError(
            f"{run.path}: its seeds start from different random weights, which have no mean that "
            "is a model; train them from the same weights (mien train ... --init RUN), or take the "
            "mean of what they predict (--ensemble)"
        )
    require_store(run.path, headers[0], store)
    header = {key: value for key, value in headers[0].items() if key not in OF_SEED}
    write_tensors(out, tensors, header)
    predictions = [read_valid(seed) for seed in seeds]
    made = load_valid(out, store)
    valid = choose_valid(made.prepared, predictions[0].ids)
    calibrated = calibrate_model(made.model, valid, made.prepared.scale)
    write_predictions(calibrated.predictions, out.with_name("predictions-valid.csv"))
    monitor = made.header.read_config(out).train.monitor
    compared = compare_made(predictions, calibrated.predictions, made.prepared.family, monitor)
    facts = {
        **calibrated.facts,
        "averaged": [seed.seed for seed in seeds],
        "valid": {each.name: json_number(each.made) for each in compared},
        "valid_of_members": {each.name: json_numbers(each.single) for each in compared},
    }
    add_to_header(out, facts)
    return AveragedSeeds(
        path=out, seeds=tuple(seed.seed for seed in seeds), compared=tuple(compared)
    )


def _average(run: RunFolder, seeds: Sequence[SeedFolder]) -> dict[str, Tensor]:
    """Return the means of weights; what is counted, as it is in the first seed."""
    first = _read_network(seeds[0])
    sums = {name: own.double() for name, own in first.items() if own.is_floating_point()}
    differs = False
    for seed in seeds[1:]:
        other = _read_network(seed)
        if other.keys() != first.keys() or any(
            other[name].shape != own.shape for name, own in first.items()
        ):
            raise CheckpointError(
                f"{run.path}: its seeds hold other networks; restore their checkpoints, or train "
                "the run again"
            )
        for name, total in sums.items():
            differs = differs or not other[name].equal(first[name])
            total += other[name]
    if not differs:
        raise CheckpointError(
            f"{run.path}: all seeds have the same weights, so that their mean is each of them; "
            "pack one of them (leave --average out)"
        )
    means = {name: (total / len(seeds)).to(first[name].dtype) for name, total in sums.items()}
    return {f"model/{name}": tensor for name, tensor in {**first, **means}.items()}


def _read_network(seed: SeedFolder) -> dict[str, Tensor]:
    own = split_states(read_tensors(seed.best), "model")
    check_finite(own, str(seed.best))
    return own
