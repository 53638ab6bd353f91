"""The mean of the weights of all seeds of a run, as one network: the cost of a single seed.

Trainings that start from the same weights and differ in the seed end where the mean of their
weights is a good network, often a better one (wortsman2022). Trainings that start
from different random weights have no such mean: their units are not the same ones.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mien.data.store import Store, open_store
from mien.errors import CheckpointError, ConfigError
from mien.evaluation.predictions import write_predictions
from mien.prediction.packages.seed_ensemble import (
    OF_SEED,
    finished_seeds,
    read_networks,
    read_valid,
    refuse_differences,
)
from mien.prediction.packages.valid_clips import choose_valid, load_valid, require_store
from mien.prediction.packages.valid_comparison import (
    ComparedMetric,
    compare_made,
    describe_compared,
)
from mien.training.checkpoints.calibrated import calibrate_model
from mien.training.checkpoints.checkpoint import (
    add_to_header,
    read_header,
    write_tensors,
)
from mien.training.run_folder import RunFolder, SeedFolder, open_run, refuse_folds

__all__ = ["AveragedSeeds", "average_seeds", "average_tensors"]


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
    require_store(run.path, headers[0], store)
    tensors = _average(run, seeds)  # refuses equal seeds, which have no start to be told of
    if headers[0].get("init") is None:
        raise ConfigError(
            f"{run.path}: its seeds start from different random weights, which have no mean that "
            "is a model; train them from the same weights (mien train ... --init RUN), or take the "
            "mean of what they predict (--ensemble)"
        )
    header = {key: value for key, value in headers[0].items() if key not in OF_SEED}
    write_tensors(out, tensors, header)
    predictions = [read_valid(seed) for seed in seeds]
    made = load_valid(out, store)
    valid = choose_valid(made.prepared, predictions[0].ids)
    calibrated = calibrate_model(made.model, valid, made.prepared.scale)
    write_predictions(calibrated.predictions, out.with_name("predictions-valid.csv"))
    monitor = made.header.read_config(out).train.monitor
    compared = compare_made(predictions, calibrated.predictions, made.prepared.family, monitor)
    numbers = tuple(seed.seed for seed in seeds)
    facts = {**calibrated.facts, **describe_compared(compared), "averaged": list(numbers)}
    add_to_header(out, facts)
    return AveragedSeeds(path=out, seeds=numbers, compared=compared)


def average_tensors(
    parts: Iterable[tuple[float, Mapping[str, Tensor]]],
) -> dict[str, Tensor]:
    """Return weighted means of weights; what is counted, as it is in the first part.

    Args:
        parts: The share of each network, and its tensors; names are those of the first. They are
            read one after the other.
    """
    first: Mapping[str, Tensor] = {}
    sums: dict[str, Tensor] = {}
    for share, own in parts:
        first = first or own
        for name, tensor in first.items():
            if tensor.is_floating_point():
                added = share * own[name].double()
                sums[name] = sums[name].add_(added) if name in sums else added
    means = {name: total.to(first[name].dtype) for name, total in sums.items()}
    return {**first, **means}


def _average(run: RunFolder, seeds: Sequence[SeedFolder]) -> dict[str, Tensor]:
    """Return the means of the weights of all seeds."""
    networks = list(read_networks(run, seeds))
    first, *others = networks
    if all(own[name].equal(tensor) for own in others for name, tensor in first.items()):
        raise CheckpointError(
            f"{run.path}: all seeds have the same weights, so that their mean is each of them; "
            "pack one of them (leave --average out)"
        )
    means = average_tensors((1 / len(seeds), own) for own in networks)
    return {f"model/{name}": tensor for name, tensor in means.items()}
