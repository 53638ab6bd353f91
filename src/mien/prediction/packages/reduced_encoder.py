"""A text encoder that was trained as a whole, as adapters: a hundredth of its size.

What a training changes of an encoder is much simpler than the encoder. The changes of its linear
layers are kept to a low rank, all else in it is as before the training; what that costs is measured
on the validation clips, of which intervals and sets are measured anew.
"""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from torch import Tensor

from mien.config import read_settings
from mien.data.store import Store, open_store
from mien.data.text import check_encoder
from mien.data.text_reader import TextReader
from mien.errors import CheckpointError, ConfigError
from mien.evaluation.metrics import Metric
from mien.evaluation.predictions import write_predictions
from mien.evaluation.scoring import predict
from mien.files.json_values import json_number
from mien.prediction.packages.seed_ensemble import finished_seeds
from mien.prediction.packages.valid_clips import choose_valid, load_valid, require_store
from mien.prediction.packages.valid_comparison import ComparedMetric, compare_made
from mien.pretrained.adapters import AdaptedEncoder
from mien.training.checkpoints.calibrated import calibrate_model
from mien.training.checkpoints.carried_encoder import PREFIX
from mien.training.checkpoints.checkpoint import (
    add_to_header,
    read_header,
    read_tensors,
    write_tensors,
)
from mien.training.checkpoints.header import Header, check_header
from mien.training.loading import dataset_of
from mien.training.run_folder import RunFolder, SeedFolder, open_run, refuse_folds
from mien.types import Modality

__all__ = [
    "MOST_LOSS",
    "ReducedMetric",
    "Reduction",
    "reduce_checkpoint",
    "reduce_run",
    "require_reducible",
]

_TEXT: Final = f"model/{PREFIX}"
#: Share of a metric that a reduction may cost without a warning.
MOST_LOSS: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class ReducedMetric:
    """A metric of the multimodal task on the validation clips, the mean over the seeds.

    Attributes:
        name: As in ``ComparedMetric``.
        metric: The metric.
        before: Of the models as they were trained.
        after: Of the reduced ones.
        is_worse: Whether the epoch was picked by it, and it is worse by more than a hundredth.
    """

    name: str
    metric: Metric
    before: float
    after: float
    is_worse: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """Trained models with reduced text encoders.

    Attributes:
        path: The checkpoint, or the run.
        rank: Rank of the adapters.
        share: Share of the squared changes of linear layers that is left, the least of any seed.
        metrics: What validation clips say of it.
    """

    path: Path
    rank: int
    share: float
    metrics: tuple[ReducedMetric, ...]


def reduce_checkpoint(source: Path, out: Path, rank: int, store: Store | str | Path) -> Reduction:
    """Write a checkpoint whose text encoder is as before its training, with adapters.

    Args:
        source: A checkpoint of a training of all of the encoder, or of its last layers.
        out: File to write; its validation clips' predictions are written beside it.
        rank: Rank of the adapters.
        store: The store of the training.

    Raises:
        ConfigError: If no text encoder was trained as a whole, or in its last layers.
        CheckpointError: If the checkpoint is damaged, or the store is another one.
    """
    reduced = _reduce(source, out, rank, open_store(store))
    return Reduction(path=out, rank=rank, share=reduced.share, metrics=_join([reduced.compared]))


def reduce_run(
    run: RunFolder | str | Path, out: Path, rank: int, store: Store | str | Path
) -> Reduction:
    """Write a run with every finished seed of another one, reduced as ``reduce_checkpoint`` does.

    It is for what reads predictions of valid and checkpoints: its metrics are those of before.

    Args:
        run: The run, or its folder.
        out: Folder to write; must not be there.
        rank: As in ``reduce_checkpoint``; so is the store.
        store: The store of the training.

    Raises:
        ConfigError: As ``reduce_checkpoint`` does.
        CheckpointError: So, too; and if fewer than two seeds have finished.
    """
    run, opened = open_run(run), open_store(store)
    refuse_folds(run)
    out.mkdir(parents=True)
    shutil.copy(run.path / "config.toml", out)
    reduced = []
    for seed in finished_seeds(run):
        folder = SeedFolder(out / seed.path.name)
        folder.path.mkdir()
        shutil.copy(seed.path / "metrics.json", folder.path)
        reduced.append(_reduce(seed.best, folder.best, rank, opened))
    metrics = _join([each.compared for each in reduced])
    share = min(each.share for each in reduced)
    return Reduction(path=out, rank=rank, share=share, metrics=metrics)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reduced:
    """What came of one checkpoint: the share that is left, and metrics before and after."""

    share: float
    compared: tuple[ComparedMetric, ...]


def _reduce(source: Path, out: Path, rank: int, store: Store) -> _Reduced:
    header, tensors = read_header(source), read_tensors(source)
    require_store(source, header, store)
    changed, text, share = _approximate(header, tensors, source, rank)
    others = {key: tensor for key, tensor in tensors.items() if not key.startswith(_TEXT)}
    write_tensors(out, {**others, **text}, changed)
    before, after = (load_valid(path, store) for path in (source, out))
    is_of_run = source.name == "best.safetensors"
    known = SeedFolder(source.parent).predictions("valid") if is_of_run else None
    full, reduced = (
        dataset_of(each.prepared, "valid")
        if known is None
        else choose_valid(each.prepared, known.ids)
        for each in (before, after)
    )
    calibrated = calibrate_model(after.model, reduced, after.prepared.scale)
    monitor = before.header.read_config(source).train.monitor
    compared = compare_made(
        [predict(before.model, full)], calibrated.predictions, before.prepared.family, monitor
    )
    numbers = {each.name: json_number(each.made) for each in compared}
    add_to_header(out, {**calibrated.facts, "valid": numbers})
    write_predictions(calibrated.predictions, out.with_name("predictions-valid.csv"))
    return _Reduced(share=share, compared=compared)


def require_reducible(header: Mapping[str, Any], source: Path) -> Header:
    """Return the facts of a model whose text encoder can be written as adapters.

    Args:
        header: The header of its checkpoint.
        source: The checkpoint.

    Raises:
        ConfigError: If no text encoder was trained as a whole, or in its last layers.
        CheckpointError: If the header is none.
    """
    facts = check_header(header, source)
    then = facts.read_config(source).text_encoder
    is_whole = Modality.TEXT in facts.sizes and then.input != "embeddings"
    if facts.ensemble or not is_whole or then.mode == "frozen" or then.has_adapters:
        raise ConfigError(
            f"rank: {source} has no text encoder that was trained as a whole or in its last layers "
            "(text_encoder.mode=finetune or last-k), so nothing can be reduced; leave --rank out"
        )
    return facts


def _approximate(
    header: Mapping[str, Any], tensors: Mapping[str, Tensor], source: Path, rank: int
) -> tuple[dict[str, Any], dict[str, Tensor], float]:
    """Return header and tensors with adapters, and the share of the changes that they hold."""
    facts = require_reducible(header, source)
    then = facts.read_config(source).text_encoder
    mode = "lora" if then.mode == "finetune" else then.mode.replace("last", "lora")
    changes = {"mode": mode, "rank": rank}
    now = read_settings(type(then), {**then.model_dump(), **changes}, "text_encoder")
    reader = TextReader(now, facts.language, online=False)
    check_encoder(source, facts.given(), reader)
    encoder = cast("AdaptedEncoder", reader.build())
    try:
        share = encoder.approximate(
            {k.removeprefix(_TEXT): t for k, t in tensors.items() if k.startswith(_TEXT)}
        )
    except KeyError as error:
        raise CheckpointError(f"{source}: lacks {error.args[0]!r} of its text encoder") from error
    settings = {**header["config"], "text_encoder": {**header["config"]["text_encoder"], **changes}}
    text = {f"{_TEXT}{key}": tensor for key, tensor in encoder.state_dict().items()}
    return {**header, "config": settings}, text, share


def _join(compared: Sequence[Sequence[ComparedMetric]]) -> tuple[ReducedMetric, ...]:
    """Return the means over seeds of each metric."""
    joined = []
    for of_metric in zip(*compared, strict=True):
        first = of_metric[0]
        before = math.fsum(own.mean for own in of_metric) / len(of_metric)
        after = math.fsum(own.made for own in of_metric) / len(of_metric)
        loss = before - after if first.metric.higher_is_better else after - before
        joined.append(
            ReducedMetric(
                name=first.name,
                metric=first.metric,
                before=before,
                after=after,
                is_worse=first.picks_epoch and loss > MOST_LOSS * abs(before),
            )
        )
    return tuple(joined)
