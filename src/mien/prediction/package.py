"""A checkpoint for prediction alone: the network and its header, small enough to send to others."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mien.data.store import Store
from mien.errors import CheckpointError, ConfigError
from mien.files.atomic import refuse_existing
from mien.prediction.packages.packed_file import write_packed
from mien.prediction.packages.seed_ensemble import gather_seeds
from mien.prediction.packages.valid_comparison import ComparedMetric
from mien.training.checkpoints.checkpoint import check_finite, read_header, read_tensors
from mien.training.checkpoints.header import check_header
from mien.training.checkpoints.trained_model import network_tensors
from mien.training.loading import find_checkpoint
from mien.training.run_folder import RunFolder, SeedFolder

if TYPE_CHECKING:
    from mien.prediction.network import Network

__all__ = ["PackedEnsemble", "pack", "pack_ensemble", "require_plain"]

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
    store: Store | str | Path | None = None,
) -> Path:
    """Write what prediction needs of a trained model as one file.

    What only training needs is left out. The header stays, by which the file is checked.

    Args:
        path: A checkpoint, a seed's folder, or a run or its folder (its first seed).
        out: File to write; its folder is made.
        half: Whether matrices are written in 16 bits. Vectors stay in 32, for they are small and
            hold the units of features, as do values that float16 would cut or round to nothing.
        licence: Under which licence the weights are; shown with every prediction.
        name: What the model is called; empty stands for the name of the file.
        replace: Whether a file that is already there is replaced.
        ensemble: Whether all seeds of a run are written, as ``pack_ensemble`` does.
        store: Store of the training, for an ensemble.

    Returns:
        The file.

    Raises:
        CheckpointError: If there is no sound checkpoint, or no network, or no two like seeds.
        OutputError: If ``out`` exists, or cannot be written.
    """
    if ensemble:
        if isinstance(path, SeedFolder):
            path = path.path
        return pack_ensemble(
            path, out, half=half, licence=licence, name=name, replace=replace, store=store
        ).path
    if store is not None:
        raise ConfigError("store: is read for an ensemble alone; give --ensemble too")
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
class PackedEnsemble:
    """All finished seeds of a run in one file.

    Attributes:
        path: The file.
        seeds: The seeds.
        compared: Metrics of single seeds and of their mean on the validation clips.
    """

    path: Path
    seeds: tuple[int, ...]
    compared: tuple[ComparedMetric, ...]


def pack_ensemble(
    run: RunFolder | str | Path,
    out: str | Path,
    *,
    half: bool = True,
    licence: str = "",
    name: str = "",
    replace: bool = False,
    store: Store | str | Path | None = None,
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

    Raises:
        CheckpointError: If there are fewer than two finished seeds, they differ in more than the
            seed or not at all, a checkpoint is damaged, or the store is another one.
        ConfigError: If the store is needed.
        OutputError: If ``out`` exists, or cannot be written.
    """
    out = Path(out)
    refuse_existing(out, replace=replace)
    made = gather_seeds(run, store)
    write_packed(out, made.header, made.tensors, half=half, licence=licence, name=name)
    worse = [each.name for each in made.compared if each.picks_epoch and not each.is_better]
    if worse:
        logger.warning(
            "%s: on valid the mean of all seeds is no better than a single seed on average, by %s",
            out, ", ".join(worse),
        )  # fmt: skip
    return PackedEnsemble(path=out, seeds=tuple(made.header["ensemble"]), compared=made.compared)


def require_plain(network: "Network") -> "Network":
    """Return a single network that reads every clip by itself.

    Raises:
        CheckpointError: If it is an ensemble, or was trained to read clips against a baseline of
            their speaker.
    """
    num = len(network.model.networks)
    if num > 1:
        raise CheckpointError(
            f"{network.checkpoint}: is an ensemble of {num} models, and a file of ONNX holds one; "
            "write those of its seeds, RUN/seed-1111 and so on, or use mien predict"
        )
    if network.config.features.standardise == "speaker":
        raise CheckpointError(
            f"{network.checkpoint}: reads voice and face against a baseline of the speaker, which "
            "a file of ONNX cannot make; use mien predict, or train with features.standardise=train"
        )
    return network
