"""One pass over the clips: batches, losses, gradients and steps."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from mien.data.dataset import ClipDataset, windows
from mien.data.prefetch import prefetch
from mien.errors import ConfigError, DivergenceError
from mien.models.multitask import MultimodalModel
from mien.pretrained.direct.row_gradients import take_back_gradients
from mien.tensors import Batch, Output, Targets, dtype_of_sums, move_to
from mien.training.data_parallel.joined_output import join_outputs
from mien.training.data_parallel.ranks import ALONE, Ranks
from mien.training.lost_steps import lose_steps
from mien.training.objective import MultitaskObjective
from mien.training.optimizer import make_accelerator, make_optimizer
from mien.training.settings import TrainConfig
from mien.types import Task

__all__ = ["StepBatch", "Stepper", "check_batches", "check_steps", "mix_seeds"]

logger = logging.getLogger(__name__)


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
            "would ever be learned; use train.leftover=step, or make batches or steps smaller"
        )


def check_batches(
    model: MultimodalModel, config: TrainConfig, num_clips: int, num_processes: int = 1
) -> None:
    """Check that the model can be trained on the last and smallest batch of an epoch.

    Raises:
        ConfigError: If it, or the least share of it that a process computes, has fewer clips than
            the model needs.
    """
    last = num_clips % config.batch_size or config.batch_size
    if max(last // num_processes, 1) < model.least_batch:
        shared = f", which {num_processes} processes share" if num_processes > 1 else ""
        each = " in each" if num_processes > 1 else ""
        raise ConfigError(
            f"setting train.batch_size is {config.batch_size}, so that of {num_clips} clips of "
            f"train the last batch has {last}{shared}, and a model that normalises by batch needs "
            f"{model.least_batch}{each}; take another size, or model.published=false"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBatch:
    """A batch, as one of the processes that train together reads it.

    Attributes:
        index: Rows of its clips in train.
        own: The clips that this process computes; one that does not count if it has no share.
        num_own: How many of them count.
        targets: Labels of all its clips.
    """

    index: Int[Tensor, "B"]
    own: Batch
    num_own: int
    targets: Targets

    def to(self, device: torch.device) -> "StepBatch":
        """Return the batch on ``device``."""
        return replace(
            self,
            index=self.index.to(device, non_blocking=True),
            own=self.own.to(device),
            targets=self.targets.to(device),
        )

    def pin(self) -> "StepBatch":
        """Return the batch in memory that a GPU reads by itself."""
        return replace(
            self, index=self.index.pin_memory(), own=self.own.pin(), targets=self.targets.pin()
        )


class Stepper:
    """A model, what it minimises and its optimizer, moved by one pass over the clips at a time.

    Args:
        model: The model, with its initial weights.
        objective: What is minimised, with the label generator.
        train: Clips to learn from.
        config: Settings.
        ranks: The processes that train the model together; each computes its share of a batch.

    Attributes:
        reads_every_loss: Whether every loss is looked at when it is known, and not only at the end
            of an epoch: reading a number of a GPU waits until all its work is done.
    """

    def __init__(
        self,
        *,
        model: MultimodalModel,
        objective: MultitaskObjective,
        train: ClipDataset,
        config: TrainConfig,
        ranks: Ranks = ALONE,
    ) -> None:
        check_batches(model, config, len(train), ranks.count)
        self.ranks = ranks
        self.accelerator = make_accelerator(config)
        device = self.accelerator.device
        is_less = [move_to(module, device) for module in (model, objective)]
        if any(is_less):
            logger.info("%s has no float64: class centres are summed in float32", device)
        self.model, self.objective = model, objective
        self.optimizer = make_optimizer(model, objective, config)
        self.ranks.copy_first([*model.parameters(), *model.buffers()])
        self.ranks.copy_first([*objective.parameters(), *objective.buffers()])
        self.train, self.config = train, config
        self.reads_every_loss = device.type == "cpu"
        self._watched = torch.zeros(())
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
        kind = dtype_of_sums(self.accelerator.device)
        sums: dict[Task, Tensor] = {}
        done = 0
        costs = self.train.costs if config.group_lengths else None
        cut = list(
            windows(order, batch_size=config.batch_size, accumulate=config.accumulate, costs=costs)
        )
        feed = self._feed(chain.from_iterable(cut))
        for number, window in enumerate(cut):
            self._set_rates(epoch, number, len(order))
            is_dropped = config.leftover == "drop" and len(window) < config.accumulate
            size = sum(len(index) for index in window)
            take_back_gradients(self.model)
            self.optimizer.zero_grad()
            for index in window:
                share = len(index) / size if config.gradient == "mean" else 1.0
                for task, loss in self.add_gradient(next(feed), epoch, share).items():
                    sums[task] = sums.get(task, 0.0) + loss.to(kind) * len(index)
                done += len(index)
                if on_step is not None:
                    on_step(epoch, done, len(order))
            if not is_dropped:
                self._update()
        self._refuse_divergence(self._watched, epoch)
        totals = torch.stack(list(sums.values())).tolist()
        return {task: total / len(order) for task, total in zip(sums, totals, strict=True)}

    def _set_rates(self, epoch: int, number: int, num_clips: int) -> None:
        """Set the rates for step ``number``, from 0, of an epoch."""
        if self.config.schedule == "constant":
            return
        per_epoch = math.ceil(num_clips / (self.config.batch_size * self.config.accumulate))
        done = ((epoch - 1) * per_epoch + number + 1) / (self.config.epochs * per_epoch + 1)
        rise = self.config.warmup
        factor = min(done / rise if rise else 1.0, (1 - done) / (1 - rise))
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor

    def present_rates(self) -> dict[str, float]:
        """Return the learning rate of each group; of layers with their own, the highest."""
        rates: dict[str, float] = {}
        for group in self.optimizer.param_groups:
            name = str(group["name"]).removesuffix("-bare")
            rates[name] = max(rates.get(name, 0.0), float(group["lr"]))
        return rates

    def _feed(self, parts: Iterable[Int[np.ndarray, "_"]]) -> Iterator[StepBatch]:
        """Yield the batches of an epoch; for a GPU, the next is read while it computes the last."""
        if self.accelerator.device.type == "cuda":
            yield from prefetch(lambda index: self.read(index).pin(), parts)
        else:
            yield from map(self.read, parts)

    def read(self, index: Int[np.ndarray, "B"]) -> StepBatch:
        """Read the clips at ``index`` of train, of which this process computes its share."""
        own = index[self.ranks.share(len(index))]
        batch, _ = self.train.batch(own if len(own) else index[:1])
        return StepBatch(
            index=torch.from_numpy(np.asarray(index, dtype=np.int64)),
            own=batch,
            num_own=len(own),
            targets=self.train.targets(index),
        )

    def add_gradient(self, given: StepBatch, epoch: int, share: float) -> dict[Task, Tensor]:
        """Add the gradient of a batch to that of the step, and let the label generator learn.

        Args:
            given: What ``read`` gives.
            epoch: Counted from 1.
            share: Weight of the batch's mean loss in the step.

        Returns:
            Mean loss of each task over the batch.

        Raises:
            DivergenceError: If the loss is not a finite number, and is read at once.
        """
        given = given.to(self.accelerator.device)
        rows, output = given.index, self._compute(given)
        loss = self.objective(output, given.targets, rows, epoch)
        total = loss.total.detach()
        if self.reads_every_loss:
            self._refuse_divergence(total, epoch)
        else:
            before = self._watched.to(total)
            self._watched = torch.where(torch.isfinite(before), total, before)
        if loss.total.requires_grad:  # as it is, unless the share of this process has no clip
            self.accelerator.backward(loss.total * share)
        self.objective.observe(output, rows, epoch)
        tasks: dict[Task, Tensor] = loss.tasks
        return tasks

    def _refuse_divergence(self, total: Tensor, epoch: int) -> None:
        value = float(total)
        if not math.isfinite(value):
            raise DivergenceError(
                f"training diverged in epoch {epoch}: the loss is {value}; lower "
                "train.learning_rate, or set train.clip_norm=1"
            )

    def _compute(self, given: StepBatch) -> Output:
        """Return what the model gives for a batch, of which this process computes its share."""
        own = lose_steps(given.own, self.config.lost_steps.shares)
        with self.accelerator.autocast():
            output = _in_float32(self.model(own))
        if self.ranks.is_alone:
            return output
        return join_outputs(output, given.num_own, len(given.index), self.ranks)

    def _share_gradients(self) -> None:
        """Make the gradients of all processes those of the batch.

        Those of the model are sums over the clips, of which each process has some; those of the
        label generator are of the joined batch in every process, and are averaged to stay alike.
        """
        if self.ranks.is_alone:
            return
        for parameter in self.objective.parameters():
            if parameter.grad is not None:
                parameter.grad /= self.ranks.count
        modules = (self.model, self.objective)
        self.ranks.sum_gradients(
            [p for module in modules for p in module.parameters() if p.requires_grad]
        )

    def _update(self) -> None:
        self._share_gradients()
        if self.config.clip_norm > 0:
            parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
            self.accelerator.clip_grad_norm_(parameters, self.config.clip_norm)
        self.optimizer.step()


def _in_float32(output: Output) -> Output:
    """Return what a model gave in lower precision as float32, in which losses are taken."""
    return output.change(lambda part: part.float() if part.is_floating_point() else part)


def mix_seeds(seed: int, epoch: int) -> int:
    """Make a seed for torch from the run's seed and the epoch."""
    state: int = int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0])
    return state % (1 << 63)
