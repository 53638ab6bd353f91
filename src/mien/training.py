"""The loop: steps, epochs, early stopping, and a seed's folder from which a run can go on."""

import json
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from jaxtyping import Int
from pydantic import Field
from torch import Tensor, nn

from mien.batch import ClipDataset, windows
from mien.checkpoint import (
    join_states,
    load_weights,
    read_header,
    read_tensors,
    split_states,
    write_tensors,
    write_text,
)
from mien.config import Settings
from mien.corpora import MetricFamily
from mien.errors import CheckpointError, TrainingError
from mien.evaluation import predict
from mien.metrics import METRICS, evaluate_all
from mien.models.multitask import Multitask
from mien.objectives import MultitaskObjective
from mien.types import Output, Task

__all__ = [
    "EpochRecord",
    "LearningRates",
    "Listener",
    "TrainConfig",
    "Trainer",
    "WeightDecays",
    "make_optimizer",
    "parameter_groups",
]

logger = logging.getLogger(__name__)

_WARMUP = 0.1  # share of all steps in which the rates of the linear schedule rise


class LearningRates(Settings):
    """Step size of each group of parameters.

    Attributes:
        text: The pretrained text encoder.
        audio: The encoder of audio.
        video: The encoder of video.
        rest: Fusion, attention on text, and the heads.
        labels: The label generator's own parameters.
    """

    text: float = Field(5e-5, ge=0)
    audio: float = Field(1e-3, ge=0)
    video: float = Field(1e-3, ge=0)
    rest: float = Field(1e-3, ge=0)
    labels: float = Field(1e-3, ge=0)


class WeightDecays(Settings):
    """Weight decay of each group of parameters, as in ``LearningRates``.

    Attributes:
        text: Biases and norms have none.
        audio: The encoder of audio.
        video: The encoder of video.
        rest: Fusion, attention on text, and the heads.
        labels: The label generator's own parameters.
    """

    text: float = Field(0.0, ge=0)
    audio: float = Field(0.0, ge=0)
    video: float = Field(0.0, ge=0)
    rest: float = Field(0.0, ge=0)
    labels: float = Field(0.0, ge=0)


class TrainConfig(Settings):
    """How a model is trained.

    Attributes:
        seeds: One training each; seed of initial weights, dropout and the order of clips.
        epochs: Most epochs to run.
        patience: Epochs without a better ``monitor`` before training stops.
        monitor: Validation metric of the multimodal task that picks the best epoch.
        batch_size: Clips that are padded and computed together.
        accumulate: Batches of one optimizer step.
        gradient: Whether a step's gradient is the ``mean`` over its clips, or the ``sum`` of the
            means of its batches.
        leftover: What becomes of the clips left when an epoch ends inside a step: ``step`` on
            them, or ``drop`` their gradient.
        group_lengths: Whether the clips of one step are sorted by length into its batches, so that
            less is padded. It changes no gradient where ``gradient`` is ``mean``.
        optimizer: ``adam`` (weight decay as a part of the gradient) or ``adamw``.
        learning_rate: Step size of each group of parameters.
        schedule: ``constant``, or ``linear``: rates rise over the first tenth of all steps and fall
            to 0 at the end of the last of ``epochs``.
        weight_decay: Weight decay of each group; biases and norms of the text encoder have none.
        clip_norm: Longest gradient of a step; 0 for no limit.
        device: Where to compute: ``auto`` takes CUDA or MPS where there is one.
        precision: ``float32``, or ``bf16`` where the device has it.
        threads: CPU threads; 0 takes as many as torch finds cores. Small models are fastest with
            one, and busy machines slow several down; numbers are the same, byte for byte, only with
            the same number.
    """

    seeds: tuple[int, ...] = Field((1111,), min_length=1)
    epochs: int = Field(100, ge=1)
    patience: int = Field(8, ge=1)
    monitor: Literal["mae", "corr"] = "mae"
    batch_size: int = Field(32, ge=1)
    accumulate: int = Field(4, ge=1)
    gradient: Literal["mean", "sum"] = "mean"
    leftover: Literal["step", "drop"] = "step"
    group_lengths: bool = True
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: LearningRates = LearningRates()
    schedule: Literal["constant", "linear"] = "constant"
    weight_decay: WeightDecays = WeightDecays()
    clip_norm: float = Field(0.0, ge=0)
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["float32", "bf16"] = "float32"
    threads: int = Field(0, ge=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """What one epoch gave; a line of ``epochs.jsonl``.

    Attributes:
        epoch: Counted from 1.
        losses: Mean training loss per task.
        valid: Validation metrics of the multimodal task.
        clipped: Share of proposed labels that left the scale and were cut.
        is_best: Whether it is the best epoch so far.
        seconds: Time it took.
    """

    epoch: int
    losses: dict[str, float]
    valid: dict[str, float]
    clipped: float
    is_best: bool
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values, for ``epochs.jsonl``."""
        return {field: getattr(self, field) for field in self.__slots__}


@runtime_checkable
class Listener(Protocol):
    """Who wants to know how training goes on."""

    def on_step(self, epoch: int, done: int, total: int) -> None:
        """Take note that ``done`` of the ``total`` clips of an epoch have been seen."""

    def on_epoch(self, record: EpochRecord, config: TrainConfig) -> None:
        """Take note that an epoch has ended."""


def parameter_groups(
    groups: dict[str, list[tuple[str, nn.Parameter]]], config: TrainConfig
) -> list[dict[str, Any]]:
    """Make optimizer groups from named parameters; those without decay are a group of their own.

    Args:
        groups: Names and parameters by group, of the model and of the objective.
        config: Gives each group its learning rate and weight decay.

    Raises:
        ValueError: If a parameter is in two groups.
    """
    seen: set[int] = set()
    result = []
    for name, named in groups.items():
        for key, parameter in named:
            if id(parameter) in seen:
                raise ValueError(f"parameter {key!r} is in more than one group")
            seen.add(id(parameter))
        bare = [p for key, p in named if name == "text" and _has_no_decay(key)]
        bare_ids = {id(p) for p in bare}
        full = [p for _, p in named if id(p) not in bare_ids]
        rate, decay = getattr(config.learning_rate, name), getattr(config.weight_decay, name)
        if full:
            result.append({"params": full, "lr": rate, "weight_decay": decay, "name": name})
        if bare:
            result.append({"params": bare, "lr": rate, "weight_decay": 0.0, "name": f"{name}-bare"})
    return result


def _has_no_decay(name: str) -> bool:
    return name.endswith("bias") or "LayerNorm" in name or "layer_norm" in name


def make_optimizer(
    model: Multitask, objective: MultitaskObjective, config: TrainConfig
) -> torch.optim.Optimizer:
    """Build the optimizer over the model's groups and the label generator's."""
    groups = parameter_groups({**model.parameter_groups(), **objective.parameter_groups()}, config)
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=1e-3, fused=True)


class Trainer:
    """Train one model with one seed, epoch by epoch, in a folder from which it can go on.

    The folder holds ``best.safetensors`` (the best epoch on validation), ``last.safetensors`` (all
    that the next epoch depends on), ``epochs.jsonl`` and ``labels/epoch-NNN.npy`` (what the
    unimodal tasks were trained on, ``(M, N)``). ``last`` is written after everything else of its
    epoch: whatever is killed when, the next start finds a whole epoch. The randomness of an epoch
    is made from the seed and its number alone.

    Args:
        model: The model, with its initial weights.
        objective: What is minimised, with the label generator.
        train: Clips to learn from.
        valid: Clips that pick the best epoch.
        family: Metrics to report.
        config: Settings.
        seed: Seed of this training.
        folder: Where its files are.
        header: What a checkpoint says of itself beside its epoch and seed.
    """

    def __init__(
        self,
        *,
        model: Multitask,
        objective: MultitaskObjective,
        train: ClipDataset,
        valid: ClipDataset,
        family: MetricFamily,
        config: TrainConfig,
        seed: int,
        folder: Path,
        header: dict[str, Any],
    ) -> None:
        self.accelerator = make_accelerator(config)
        self.model = model.to(self.accelerator.device)
        self.objective = objective.to(self.accelerator.device)
        self.optimizer = make_optimizer(model, objective, config)
        self.train, self.valid, self.family = train, valid, family
        self.config, self.seed, self.folder = config, seed, folder
        self.rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        self.header = {**header, "seed": seed}
        self.history: list[EpochRecord] = []

    @property
    def is_finished(self) -> bool:
        """Whether the last epoch has been run, or patience is at its end."""
        if len(self.history) >= self.config.epochs:
            return True
        return bool(self.history) and len(self.history) - self.best_epoch >= self.config.patience

    @property
    def best_epoch(self) -> int:
        """The best epoch so far, counted from 1; 0 before the first."""
        return max((r.epoch for r in self.history if r.is_best), default=0)

    def run(self, listener: Listener | None = None) -> None:
        """Train until it is finished, from the epoch after the last whole one.

        Raises:
            TrainingError: If the loss or a validation score is no longer a finite number.
        """
        while not self.is_finished:
            record = self._run_epoch(len(self.history) + 1, listener)
            self.history.append(record)
            self._keep(record)
            if listener is not None:
                listener.on_epoch(record, self.config)

    def _run_epoch(self, epoch: int, listener: Listener | None) -> EpochRecord:
        start = time.perf_counter()
        torch.manual_seed(_mix(self.seed, epoch))
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.train))
        losses = self.run_order(order, epoch, listener)
        self.objective.finish_epoch(epoch)
        valid = self._validate(epoch)
        return EpochRecord(
            epoch=epoch,
            losses=losses,
            valid=valid,
            clipped=self.objective.labels.pop_clipped_share(),
            is_best=self._is_best(valid),
            seconds=time.perf_counter() - start,
        )

    def run_order(
        self, order: Int[np.ndarray, "N"], epoch: int, listener: Listener | None = None
    ) -> dict[str, float]:
        """Take the steps of one epoch over the clips in the given order.

        Returns:
            Mean loss of each task over the clips.
        """
        config = self.config
        self.model.train()
        self.objective.train()
        sums: dict[str, float] = {}
        done = 0
        costs = self.train.costs if config.group_lengths else None
        cut = windows(
            order, batch_size=config.batch_size, accumulate=config.accumulate, costs=costs
        )
        for number, window in enumerate(cut):
            self._set_rates(epoch, number, len(order))
            if len(window) < config.accumulate and config.leftover == "drop":
                keep_gradient = False
            else:
                keep_gradient = True
            size = sum(len(index) for index in window)
            self.optimizer.zero_grad()
            for index in window:
                share = len(index) / size if config.gradient == "mean" else 1.0
                for task, loss in self._step(index, epoch, share).items():
                    sums[task] = sums.get(task, 0.0) + float(loss) * len(index)
                done += len(index)
                if listener is not None:
                    listener.on_step(epoch, done, len(order))
            if keep_gradient:
                self._update()
        return {task: total / len(order) for task, total in sums.items()}

    def _set_rates(self, epoch: int, number: int, num_clips: int) -> None:
        """Set the rates for step ``number``, from 0, of an epoch."""
        if self.config.schedule == "constant":
            return
        per_epoch = math.ceil(num_clips / (self.config.batch_size * self.config.accumulate))
        done = ((epoch - 1) * per_epoch + number + 1) / (self.config.epochs * per_epoch + 1)
        factor = min(done / _WARMUP, (1 - done) / (1 - _WARMUP))
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor

    def _step(self, index: Int[np.ndarray, "B"], epoch: int, share: float) -> dict[Task, Tensor]:
        batch, targets = self.train.batch(index)
        device = self.accelerator.device
        batch, targets = batch.to(device), targets.to(device)
        with self.accelerator.autocast():
            output = _in_float32(self.model(batch))
        loss = self.objective(output, targets, batch.index, epoch)
        if not torch.isfinite(loss.total):
            raise TrainingError(
                f"training diverged in epoch {epoch}: the loss is {float(loss.total.detach())}; "
                "lower train.learning_rate, or set train.clip_norm=1"
            )
        self.accelerator.backward(loss.total * share)
        self.objective.observe(output, batch.index, epoch)
        tasks: dict[Task, Tensor] = loss.tasks
        return tasks

    def _update(self) -> None:
        if self.config.clip_norm > 0:
            parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
            self.accelerator.clip_grad_norm_(parameters, self.config.clip_norm)
        self.optimizer.step()

    def _validate(self, epoch: int) -> dict[str, float]:
        predictions = predict(self.model, self.valid)
        scores = predictions.scores[Task.FUSION]
        if not np.isfinite(scores).all():
            raise TrainingError(
                f"training diverged in epoch {epoch}: {np.sum(~np.isfinite(scores))} validation "
                "scores are not finite; lower train.learning_rate, or set train.clip_norm=1"
            )
        return evaluate_all(scores, predictions.targets[Task.FUSION], self.family)

    def _is_best(self, valid: dict[str, float]) -> bool:
        value = valid[self.config.monitor]
        if math.isnan(value):
            return not self.history  # a constant score has no correlation: no better than any
        higher = METRICS[self.family][self.config.monitor].higher_is_better
        before = [r.valid[self.config.monitor] for r in self.history if r.is_best]
        before = [v for v in before if not math.isnan(v)]
        if not before:
            return True
        return value > max(before) if higher else value < min(before)

    def _keep(self, record: EpochRecord) -> None:
        """Write what the epoch gave; ``last`` comes last."""
        modules = {"model": self.model, "objective": self.objective}
        if record.is_best:
            header = {**self.header, "epoch": record.epoch, "valid": record.valid}
            write_tensors(self.folder / "best.safetensors", join_states(modules), header)
        labels = self.objective.labels
        (self.folder / "labels").mkdir(exist_ok=True)
        given = [labels.latest(m).cpu().numpy() for m in labels.modalities]
        np.save(self.folder / "labels" / f"epoch-{record.epoch:03d}.npy", np.stack(given))
        lines = "".join(json.dumps(r.to_json()) + "\n" for r in self.history)
        write_text(self.folder / "epochs.jsonl", lines)
        header = {**self.header, "history": [r.to_json() for r in self.history]}
        tensors = {**join_states(modules), **_optimizer_tensors(self.optimizer)}
        write_tensors(self.folder / "last.safetensors", tensors, header)

    def resume(self) -> None:
        """Go back to the last whole epoch; does nothing if there is none.

        Raises:
            CheckpointError: If ``last.safetensors`` belongs to other settings or data.
        """
        path = self.folder / "last.safetensors"
        if not path.exists():
            return
        header = read_header(path)
        for key, value in self.header.items():
            if header.get(key) != value:
                raise CheckpointError(
                    f"{path}: was made with another {key.replace('_', ' ')}; give the settings and "
                    "store of the first start, or another --out"
                )
        tensors = read_tensors(path)
        load_weights(self.model, split_states(tensors, "model"), str(path))
        load_weights(self.objective, split_states(tensors, "objective"), str(path))
        _load_optimizer(self.optimizer, split_states(tensors, "optimizer"))
        self.history = [EpochRecord(**record) for record in header["history"]]

    def load_best(self) -> None:
        """Load the weights and labels of the best epoch."""
        path = self.folder / "best.safetensors"
        tensors = read_tensors(path)
        load_weights(self.model, split_states(tensors, "model"), str(path))
        load_weights(self.objective, split_states(tensors, "objective"), str(path))


def _in_float32(output: Output) -> Output:
    """Return what a model gave in lower precision as float32, in which losses are taken."""
    return Output(
        scores={t: s.float() for t, s in output.scores.items()},
        states={t: s.float() for t, s in output.states.items()},
        attention=output.attention,
        present=output.present,
    )


def make_accelerator(config: TrainConfig) -> Accelerator:
    """Choose the device and precision.

    Raises:
        TrainingError: If the device that is asked for is not here, or there are several processes.
    """
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if config.device != "auto" and not available[config.device]:
        there = ", ".join(name for name, is_there in available.items() if is_there)
        raise TrainingError(
            f"setting train.device is {config.device!r}, which is not here; there are: {there}"
        )
    mixed = "no" if config.precision == "float32" else config.precision
    # accelerate keeps the first device and precision of a process for all later ones
    AcceleratorState._reset_state(reset_partial_state=True)  # noqa: SLF001  # its only way
    accelerator = Accelerator(cpu=config.device == "cpu", mixed_precision=mixed)
    if accelerator.num_processes > 1:
        raise TrainingError(
            f"{accelerator.num_processes} processes train together, but label banks are kept in "
            "one; start one process per seed instead"
        )
    return accelerator


def _mix(seed: int, epoch: int) -> int:
    """Make a seed for torch from the run's seed and the epoch."""
    state: int = int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0])
    return state % (1 << 63)


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer/{number}/{key}": value
        for number, values in state.items()
        for key, value in values.items()
    }


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    whole = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, key = name.split("/")
        state.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({**whole, "state": state})
