"""Steps of training: which parameters move, how fast, and one pass over the clips."""

import logging
import math
from collections.abc import Callable, Collection
from typing import Annotated, Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from jaxtyping import Int
from pydantic import Field
from torch import Tensor, nn

from mien.config import Seeds, Settings
from mien.data.dataset import ClipDataset, windows
from mien.errors import ConfigError, DivergenceError, TrainingError
from mien.models.multitask import MultimodalModel
from mien.tensors import Output, move_to
from mien.training.objective import MultitaskObjective
from mien.types import Task

__all__ = [
    "LearningRates",
    "Stepper",
    "TrainConfig",
    "WeightDecays",
    "check_steps",
    "has_bf16",
    "make_accelerator",
    "make_optimizer",
    "mix_seeds",
    "norms_of",
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
        seeds: One training each; seed of initial weights, dropout and the order of clips, a whole
            number from 0 to 2**63 - 1.
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

    seeds: Annotated[Seeds, Field(min_length=1)] = (1111,)
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
    threads: int = Field(0, ge=0, le=1024)


def parameter_groups(
    groups: dict[str, list[tuple[str, nn.Parameter]]],
    config: TrainConfig,
    *,
    norms: Collection[int] = (),
) -> list[dict[str, Any]]:
    """Make optimizer groups from named parameters; those without decay are a group of their own.

    Args:
        groups: Names and parameters by group, of the model and of the objective.
        config: Gives each group its learning rate and weight decay.
        norms: ``id`` of the parameters of norms, as ``norms_of`` gives them.

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
        is_text = name == "text"
        bare = [p for key, p in named if is_text and (key.endswith("bias") or id(p) in norms)]
        bare_ids = {id(p) for p in bare}
        full = [p for _, p in named if id(p) not in bare_ids]
        rate, decay = getattr(config.learning_rate, name), getattr(config.weight_decay, name)
        if full:
            result.append({"params": full, "lr": rate, "weight_decay": decay, "name": name})
        if bare:
            result.append({"params": bare, "lr": rate, "weight_decay": 0.0, "name": f"{name}-bare"})
    return result


def norms_of(model: nn.Module) -> frozenset[int]:
    """Return the ``id`` of every parameter of a norm: LayerNorm, RMSNorm, and all that end so.

    The type of a module tells, for encoders name theirs differently (``attn_norm``, ``ln_1``).
    """
    return frozenset(
        id(parameter)
        for module in model.modules()
        if any(kind.__name__.lower().endswith("norm") for kind in type(module).mro())
        for parameter in module.parameters(recurse=False)
    )


def make_optimizer(
    model: MultimodalModel, objective: MultitaskObjective, config: TrainConfig
) -> torch.optim.Optimizer:
    """Build the optimizer over the model's groups and the label generator's."""
    groups = parameter_groups(
        {**model.parameter_groups(), **objective.parameter_groups()}, config, norms=norms_of(model)
    )
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=1e-3, fused=True)


def check_steps(config: TrainConfig, num_clips: int) -> None:
    """Check that an epoch over so many clips takes a step.

    Raises:
        ConfigError: If its batches do not fill one, and what does not is dropped.
    """
    num_batches = math.ceil(num_clips / config.batch_size)
    if config.leftover == "drop" and num_batches < config.accumulate:
        raise ConfigError(
            f"setting train.leftover is 'drop', but {num_clips} clips of train make {num_batches} "
            f"batches and a step takes {config.accumulate} (train.accumulate), so that nothing "
            "would ever be learned; say train.leftover=step, or make batches or steps smaller"
        )


class Stepper:
    """A model, what it minimises and its optimizer, moved by one pass over the clips at a time.

    Args:
        model: The model, with its initial weights.
        objective: What is minimised, with the label generator.
        train: Clips to learn from.
        config: Settings.
    """

    def __init__(
        self,
        *,
        model: MultimodalModel,
        objective: MultitaskObjective,
        train: ClipDataset,
        config: TrainConfig,
    ) -> None:
        self.accelerator = make_accelerator(config)
        device = self.accelerator.device
        is_less = [move_to(module, device) for module in (model, objective)]
        if any(is_less):
            logger.info("%s has no float64: class centres are summed in float32", device)
        self.model, self.objective = model, objective
        self.optimizer = make_optimizer(model, objective, config)
        self.train, self.config = train, config
        self.rates = [float(group["lr"]) for group in self.optimizer.param_groups]

    def run_order(
        self,
        order: Int[np.ndarray, "N"],
        epoch: int,
        on_step: Callable[[int, int, int], None] | None = None,
    ) -> dict[str, float]:
        """Take the steps of one epoch over the clips in the given order.

        Args:
            order: Rows of the train clips.
            epoch: Counted from 1.
            on_step: Called with the epoch, the clips seen and all clips, after every batch.

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
                if on_step is not None:
                    on_step(epoch, done, len(order))
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
            raise DivergenceError(
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
    if config.precision == "bf16" and not has_bf16(config):
        raise TrainingError(
            "setting train.precision is 'bf16', in which this processor cannot run an LSTM; "
            "say train.precision=float32"
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


def has_bf16(config: TrainConfig) -> bool:
    """Return whether the device has kernels of every layer in bf16, by trying the rarest."""
    if config.device not in ("auto", "cpu") or (
        config.device == "auto" and (torch.cuda.is_available() or torch.backends.mps.is_available())
    ):
        return True
    try:
        with torch.random.fork_rng(), torch.autocast("cpu", torch.bfloat16), torch.no_grad():
            nn.LSTM(2, 2, batch_first=True)(torch.zeros(1, 1, 2))
    except RuntimeError:
        return False
    return True


def mix_seeds(seed: int, epoch: int) -> int:
    """Make a seed for torch from the run's seed and the epoch."""
    state: int = int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0])
    return state % (1 << 63)
