"""A checkpoint for prediction alone: the network and its header, small enough to send to others."""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.data.store import Store
from mien.errors import CheckpointError, ConfigError
from mien.files.atomic import refuse_existing
from mien.prediction.packages.averaged_seeds import average_seeds
from mien.prediction.packages.packed_file import write_packed
from mien.prediction.packages.reduced_encoder import (
    Reduction,
    reduce_checkpoint,
    reduce_run,
    require_reducible,
)
from mien.prediction.packages.seed_ensemble import gather_seeds
from mien.prediction.packages.valid_comparison import ComparedMetric
from mien.training.checkpoints.checkpoint import check_finite, read_header, read_tensors
from mien.training.checkpoints.header import check_header
from mien.training.checkpoints.trained_model import network_tensors
from mien.training.loading import find_checkpoint
from mien.training.run_folder import RunFolder, SeedFolder

if TYPE_CHECKING:
    from mien.prediction.network import Network

__all__ = [
    "PackedAverage",
    "PackedEnsemble",
    "PackedReduced",
    "pack",
    "pack_average",
    "pack_ensemble",
    "pack_reduced",
    "require_single",
]

logger = logging.getLogger(__name__)


def pack(
    path: RunFolder | SeedFolder | str | Path,
    out: str | Path,
    *,
    half: bool = True,
    licence: str = "",
    name: str = "",
    replace: bool = False,
    ensemble: bool = False,
    average: bool = False,
    store: Store | str | Path | None = None,
    rank: int | None = None,
) -> Path:
    """Write what prediction needs of a trained model as one file, and return the file.

    What only training needs is left out. The header stays, by which the file is checked.

    Args:
        path: A checkpoint, a seed's folder, or a run or its folder (its first seed).
        out: File to write; its folder is made.
        half: Whether matrices are written in 16 bits, where that keeps their values.
        licence: Under which licence the weights are; shown with every prediction.
        name: What the model is called; empty stands for the name of the file.
        replace: Whether a file that is already there is replaced.
        ensemble: Whether all seeds of a run are written, as ``pack_ensemble`` does.
        average: Whether the mean of their weights is written, as ``pack_average`` does.
        store: Store of the training, for an ensemble, an average and ``rank``.
        rank: Rank to which changes of a whole text encoder are reduced, as by ``pack_reduced``.

    Raises:
        CheckpointError: If there is no sound checkpoint, or no network, or no two like seeds.
        ConfigError: If choices do not go together, or the store is needed.
        OutputError: If ``out`` exists, or cannot be written.
    """
    options: dict[str, Any] = {"half": half, "licence": licence, "name": name, "replace": replace}
    if ensemble and average:
        raise ConfigError(
            "average: an ensemble is the mean of what seeds predict, an average that of their "
            "weights; choose one (--ensemble or --average)"
        )
    if ensemble or average:
        run = path.path if isinstance(path, SeedFolder) else path
        if ensemble:
            return pack_ensemble(run, out, store=store, rank=rank, **options).path
        return pack_average(run, out, store=store, rank=rank, **options).path
    if rank is not None:
        return pack_reduced(path, out, store=store, rank=rank, **options).path
    if store is not None:
        raise ConfigError(
            "store: is read for an ensemble, an average or a rank; give --ensemble, --average or "
            "--rank too"
        )
    source, out = find_checkpoint(path), Path(out)
    refuse_existing(out, replace=replace)
    header = read_header(source)
    tensors = read_tensors(source)
    if not network_tensors(tensors, ()):
        raise CheckpointError(f"{source}: holds no network; give a run that was trained")
    facts = check_header(header, source)
    facts.read_config(source)
    networks = network_tensors(tensors, facts.ensemble)
    check_finite({key.partition("/")[2]: t for key, t in networks.items()}, str(source))
    write_packed(out, header, networks, half=half, licence=licence, name=name)
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedReduced:
    """A model whose text encoder is written as adapters.

    Attributes:
        path: The file.
        reduction: What that costs on the validation clips.
    """

    path: Path
    reduction: Reduction


def pack_reduced(
    path: RunFolder | SeedFolder | str | Path,
    out: str | Path,
    *,
    rank: int,
    store: Store | str | Path | None,
    half: bool = True,
    licence: str = "",
    name: str = "",
    replace: bool = False,
) -> PackedReduced:
    """Write a model whose text encoder was trained as a whole, or in its last layers, as adapters.

    What the training changed of every linear layer is reduced to a rank, and all else in the
    encoder is as before. What that costs is measured on the validation clips, and intervals and
    sets are measured anew; a warning says if it is more than a hundredth of what picked the epoch.

    Args:
        path: As in ``pack``; so are the others.
        out: File to write.
        rank: Rank of the adapters.
        store: The store of the training.
        half: As in ``pack``.
        licence: As in ``pack``.
        name: As in ``pack``.
        replace: As in ``pack``.

    Raises:
        ConfigError: If there is no store, or no text encoder was trained so.
        CheckpointError: If there is no sound checkpoint, or the store is another one.
        OutputError: If ``out`` exists, or cannot be written.
    """
    out = Path(out)
    refuse_existing(out, replace=replace)
    source = find_checkpoint(path)
    with tempfile.TemporaryDirectory(prefix="mien-reduced-") as folder:
        file = Path(folder) / "best.safetensors"
        reduction = reduce_checkpoint(source, file, rank, _require_store(store))
        pack(file, out, half=half, licence=licence, name=name, replace=replace)
    _warn_of_loss(out, reduction)
    return PackedReduced(path=out, reduction=reduction)


def _require_store(store: Store | str | Path | None, name: str = "rank") -> Store | str | Path:
    if store is None:
        what = "a lower rank costs" if name == "rank" else "a mean of weights gives"
        raise ConfigError(
            f"{name}: what {what} is measured on validation clips; give the store of the "
            "training (--store STORE)"
        )
    return store


def _warn_of_loss(out: Path, reduction: Reduction) -> None:
    worse = [each.name for each in reduction.metrics if each.is_worse]
    if worse:
        logger.warning(
            "%s: on valid the model is worse than before by more than 1 %%, by %s; a higher rank "
            "holds more of what was learned", out, ", ".join(worse),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedEnsemble:
    """All finished seeds of a run in one file.

    Attributes:
        path: The file.
        seeds: The seeds.
        compared: Metrics of single seeds and of their mean on the validation clips.
        reduction: What reduced text encoders cost; None where they are whole.
    """

    path: Path
    seeds: tuple[int, ...]
    compared: tuple[ComparedMetric, ...]
    reduction: Reduction | None = None


def pack_ensemble(
    run: RunFolder | str | Path,
    out: str | Path,
    *,
    half: bool = True,
    licence: str = "",
    name: str = "",
    replace: bool = False,
    store: Store | str | Path | None = None,
    rank: int | None = None,
) -> PackedEnsemble:
    """Write all finished seeds of a run as one file, which predicts the mean of what they predict.

    What is equal in all seeds is written once. Intervals and sets are measured anew, for the mean,
    on the validation clips; a warning says if it is no better there than a single seed.

    Args:
        run: The run, or its folder.
        out: As in ``pack``; so are the following ones.
        half: As in ``pack``.
        licence: As in ``pack``.
        name: As in ``pack``.
        replace: As in ``pack``.
        store: The store of the training; a model of sentiment that reads one modality needs none.
        rank: As in ``pack``; the seeds are reduced before their mean is taken.

    Raises:
        CheckpointError: If there are fewer than two finished seeds, they differ in more than the
            seed or not at all, a checkpoint is damaged, or the store is another one.
        ConfigError: If the store is needed.
        OutputError: If ``out`` exists, or cannot be written.
    """
    out = Path(out)
    refuse_existing(out, replace=replace)
    reduction: Reduction | None = None
    with tempfile.TemporaryDirectory(prefix="mien-reduced-") as folder:
        if rank is not None:
            reduction = reduce_run(run, Path(folder) / "run", rank, _require_store(store))
            _warn_of_loss(out, reduction)
        made = gather_seeds(run if reduction is None else reduction.path, store)
    write_packed(out, made.header, made.tensors, half=half, licence=licence, name=name)
    _warn_if_no_better(out, made.compared, "the mean of all seeds")
    return PackedEnsemble(
        path=out,
        seeds=tuple(made.header["ensemble"]),
        compared=made.compared,
        reduction=reduction,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedAverage:
    """The mean of the weights of all finished seeds of a run.

    Attributes:
        path: The file.
        seeds: The seeds.
        compared: Metrics of single seeds and of the mean on the validation clips.
        reduction: What a reduced text encoder costs; None where it is whole.
    """

    path: Path
    seeds: tuple[int, ...]
    compared: tuple[ComparedMetric, ...]
    reduction: Reduction | None = None


def pack_average(
    run: RunFolder | str | Path,
    out: str | Path,
    *,
    store: Store | str | Path | None,
    half: bool = True,
    licence: str = "",
    name: str = "",
    replace: bool = False,
    rank: int | None = None,
) -> PackedAverage:
    """Write the mean of the weights of all finished seeds of a run, which costs what one costs.

    The seeds must have started from the same weights (``init``). Intervals and sets are measured
    anew on the validation clips; a warning says if the mean is no better there than a single seed.

    Args:
        run: The run, or its folder.
        out: As in ``pack``; so are the following ones.
        store: The store of the training.
        half: As in ``pack``.
        licence: As in ``pack``.
        name: As in ``pack``.
        replace: As in ``pack``.
        rank: As in ``pack``; the mean is reduced.

    Raises:
        CheckpointError: If there are fewer than two finished seeds, they differ in more than the
            seed or not at all, a checkpoint is damaged, or the store is another one.
        ConfigError: If there is no store, the seeds did not start from the same weights, or a rank
            is given and no text encoder was trained so.
        OutputError: If ``out`` exists, or cannot be written.
    """
    out, store = Path(out), _require_store(store, "average")
    refuse_existing(out, replace=replace)
    if rank is not None:
        first = find_checkpoint(run)
        require_reducible(read_header(first), first)
    reduction: Reduction | None = None
    with tempfile.TemporaryDirectory(prefix="mien-averaged-") as folder:
        file = Path(folder) / "best.safetensors"
        made = average_seeds(run, file, store)
        if rank is not None:
            reduction = reduce_checkpoint(file, Path(folder) / "reduced.safetensors", rank, store)
            _warn_of_loss(out, reduction)
        source = file if reduction is None else reduction.path
        pack(source, out, half=half, licence=licence, name=name, replace=replace)
    _warn_if_no_better(out, made.compared, "the mean of the weights of all seeds")
    return PackedAverage(path=out, seeds=made.seeds, compared=made.compared, reduction=reduction)


def _warn_if_no_better(out: Path, compared: Sequence[ComparedMetric], what: str) -> None:
    worse = [each.name for each in compared if each.picks_epoch and not each.is_better]
    if worse:
        logger.warning(
            "%s: on valid %s is no better than a single seed on average, by %s",
            out, what, ", ".join(worse),
        )  # fmt: skip


def require_single(network: "Network") -> "Network":
    """Return a network that is no ensemble.

    Raises:
        CheckpointError: If it is one.
    """
    num = len(network.model.networks)
    if num > 1:
        raise CheckpointError(
            f"{network.checkpoint}: is an ensemble of {num} models, and a file of ONNX holds one; "
            "write those of its seeds, RUN/seed-1111 and so on, or use mien predict"
        )
    return network
