"""One pass over the clips: batches, losses, gradients and steps."""

import logging
import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from mien.data.dataset import ClipDataset, windows
from mien.errors import ConfigError, DivergenceError
from mien.models.multitask import MultimodalModel
from mien.tensors import Output, move_to
from mien.training.data_parallel.joined_output import join_outputs
from mien.training.data_parallel.ranks import ALONE, Ranks
from mien.training.objective import MultitaskObjective
from mien.training.optimizer import make_accelerator, make_optimizer
from mien.training.settings import TrainConfig
from mien.types import Task

__all__ = ["Stepper", "check_steps", "mix_seeds"]

logger = logging.getLogger(__name__)

_WARMUP = 0.1  # share of all steps in which the rates of the linear schedule rise


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


class Stepper:
    """A model, what it minimises and its optimizer, moved by one pass over the clips at a time.

    Args:
        model: The model, with its initial weights.
        objective: What is minimised, with the label generator.
        train: Clips to learn from.
        config: Settings.
        ranks: The processes that train the model together; each computes its share of a batch.
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
            is_dropped = config.leftover == "drop" and len(window) < config.accumulate
            size = sum(len(index) for index in window)
            self.optimizer.zero_grad()
            for index in window:
                share = len(index) / size if config.gradient == "mean" else 1.0
                for task, loss in self.add_gradient(index, epoch, share).items():
                    sums[task] = sums.get(task, 0.0) + float(loss) * len(index)
                done += len(index)
                if on_step is not None:
                    on_step(epoch, done, len(order))
            if not is_dropped:
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

    def add_gradient(
        self, index: Int[np.ndarray, "B"], epoch: int, share: float
    ) -> dict[Task, Tensor]:
        """Add the gradient of a batch to that of the step, and let the label generator learn.

        Args:
            index: Rows of the batch's clips in train.
            epoch: Counted from 1.
            share: Weight of the batch's mean loss in the step.

        Returns:
            Mean loss of each task over the batch.

        Raises:
            DivergenceError: If the loss is not a finite number.
        """
        device = self.accelerator.device
        targets = self.train.targets(index).to(device)
        rows = torch.from_numpy(np.asarray(index, dtype=np.int64)).to(device)
        output = self._compute(index)
        loss = self.objective(output, targets, rows, epoch)
        if not torch.isfinite(loss.total):
            raise DivergenceError(
                f"training diverged in epoch {epoch}: the loss is {float(loss.total.detach())}; "
                "lower train.learning_rate, or set train.clip_norm=1"
            )
        if loss.total.requires_grad:  # as it is, unless the share of this process has no clip
            self.accelerator.backward(loss.total * share)
        self.objective.observe(output, rows, epoch)
        tasks: dict[Task, Tensor] = loss.tasks
        return tasks

    def _compute(self, index: Int[np.ndarray, "B"]) -> Output:
        """Return what the model gives for a batch, of which this process computes its share."""
        own = index[self.ranks.share(len(index))]
        batch, _ = self.train.batch(own if len(own) else index[:1])
        with self.accelerator.autocast():
            output = _in_float32(self.model(batch.to(self.accelerator.device)))
        if self.ranks.is_alone:
            return output
        return join_outputs(output, len(own), len(index), self.ranks)

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
    return Output(
        scores={t: s.float() for t, s in output.scores.items()},
        states={t: s.float() for t, s in output.states.items()},
        attention=output.attention,
        present=output.present,
    )


def mix_seeds(seed: int, epoch: int) -> int:
    """Make a seed for torch from the run's seed and the epoch."""
    state: int = int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0])
    return state % (1 << 63)
