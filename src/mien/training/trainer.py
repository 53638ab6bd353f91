"""The loop: steps, epochs, early stopping, and a seed's folder from which a run can go on."""

import json
import logging
import math
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mien.corpora import MetricFamily
from mien.data.dataset import ClipDataset
from mien.errors import CheckpointError, DivergenceError
from mien.evaluation.metrics import RELATIVE_LOSS, evaluate_all
from mien.evaluation.scoring import predict
from mien.files.atomic import write_text
from mien.files.npy import write_array
from mien.models.multitask import MultimodalModel
from mien.training.checkpoints.checkpoint import (
    join_states,
    load_weights,
    read_header,
    read_tensors,
    split_states,
    write_tensors,
)
from mien.training.checkpoints.header import complete_settings
from mien.training.data_parallel.ranks import ALONE, Ranks
from mien.training.listening import EpochRecord, TrainingListener
from mien.training.loop import Stepper, mix_seeds
from mien.training.objective import MultitaskObjective
from mien.training.optimizer import WeightAverage
from mien.training.run_logs.epoch_table import write_epoch_table
from mien.training.settings import TrainConfig
from mien.training.targets.validation import (
    choose_monitor,
    join_columns,
    mean_relative_loss,
    measure_sentiment,
    measure_targets,
)
from mien.types import Task

__all__ = [
    "EpochRecord",
    "Trainer",
    "TrainingListener",
]

logger = logging.getLogger(__name__)

_SPEAKERS = 1  # of the random numbers that are drawn for the baselines of speakers


class Trainer(Stepper):
    """Train one model with one seed, epoch by epoch, in a folder from which it can go on.

    The folder holds ``best.safetensors`` (the best epoch on validation), ``last.safetensors`` (all
    that the next epoch depends on), ``epochs.jsonl``, the same as a table in ``epochs.csv``, and
    ``labels/epoch-NNN.npy`` (what the unimodal tasks were trained on, ``(M, N)``). ``last`` is
    written after everything else of its epoch: whatever is killed when, the next start finds a
    whole epoch. The randomness of an epoch is made from the seed and its number alone.

    Args:
        model: The model, with its initial weights.
        objective: What is minimised, with the label generator.
        train: Clips to learn from.
        valid: Clips that pick the best epoch.
        family: Metrics to report.
        config: Settings.
        seed: Seed of this training.
        folder: Where its files are.
        header: The header of its checkpoints, but for epoch and seed.
        ranks: The processes that train the model together; the first writes the files, which all
            must see.
    """

    def __init__(
        self,
        *,
        model: MultimodalModel,
        objective: MultitaskObjective,
        train: ClipDataset,
        valid: ClipDataset,
        family: MetricFamily,
        config: TrainConfig,
        seed: int,
        folder: Path,
        header: dict[str, Any],
        ranks: Ranks = ALONE,
    ) -> None:
        super().__init__(model=model, objective=objective, train=train, config=config, ranks=ranks)
        self.valid, self.family = valid, family
        self.seed, self.folder = seed, folder
        self.header = {**header, "seed": seed}
        self.history: list[EpochRecord] = []
        self.average = WeightAverage(model, config.ema_decay) if config.ema_decay else None
        self._passing = tuple(f"objective/{name}" for name in objective.only_to_resume)

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

    def run(self, listener: TrainingListener | None = None) -> None:
        """Train until it is finished, from the epoch after the last whole one.

        Raises:
            DivergenceError: If the loss or a validation score is no longer a finite number.
        """
        while not self.is_finished:
            record = self._run_epoch(len(self.history) + 1, listener)
            self.history.append(record)
            self._keep(record)
            if listener is not None:
                listener.on_epoch(record, self.config)

    def _run_epoch(self, epoch: int, listener: TrainingListener | None) -> EpochRecord:
        start = time.perf_counter()
        torch.manual_seed(self._seed_of(epoch))
        order = self.train.shuffle(np.random.default_rng([self.seed, epoch]))
        self.train = self.train.draw_baselines(np.random.default_rng([self.seed, epoch, _SPEAKERS]))
        losses = self.run_order(order, epoch, listener.on_step if listener else None)
        self.objective.finish_epoch(epoch)
        self.ranks.copy_first(self.objective.buffers())  # sums on a GPU come in any order
        valid = self.validate(epoch)
        return EpochRecord(
            epoch=epoch,
            losses=losses,
            valid=valid,
            clipped=self.objective.pop_clipped_share(),
            is_best=self._is_best(valid),
            seconds=time.perf_counter() - start,
            learning_rates=self.present_rates(),
        )

    def _update(self) -> None:
        super()._update()
        if self.average is not None:
            self.average.update()

    def _averaged(self) -> AbstractContextManager[None]:
        """Let the model have the weights that are validated and kept."""
        return nullcontext() if self.average is None else self.average.applied()

    def _seed_of(self, epoch: int) -> int:
        """Return torch's seed of an epoch; processes draw their masks from seeds of their own."""
        seed = mix_seeds(self.seed, epoch)
        return seed if self.ranks.is_first else mix_seeds(seed, self.ranks.number)

    def validate(self, epoch: int) -> dict[str, float]:
        """Return the validation metrics of the multimodal task; ``epoch`` is named in errors.

        With further targets the relative loss of all that is predicted is among them, which then
        picks the best epoch.

        Raises:
            DivergenceError: If a score is not a finite number.
        """
        with self._averaged():
            columns = self._score_valid()
        finite = np.isfinite(columns).all(axis=1)
        if not finite.all():
            raise DivergenceError(
                f"training diverged in epoch {epoch}: {np.sum(~finite)} validation "
                "scores are not finite; lower train.learning_rate, or set train.clip_norm=1"
            )
        targets = self.valid.labels[Task.FUSION].numpy().astype(np.float64)
        known, metrics = ~np.isnan(targets), {}
        if self.objective.labels is not None and known.any():
            metrics = evaluate_all(columns[known, 0], targets[known], self.family)
        if self.objective.terms:
            parts = measure_targets(self.objective, columns, self.valid)
            parts += measure_sentiment(self.objective, metrics, self.config)
            metrics[RELATIVE_LOSS] = mean_relative_loss(parts)
        return metrics

    def _score_valid(self) -> Float[np.ndarray, "N C"]:
        """Return what is predicted of every clip of valid; each process scores its share.

        The first column is the score of sentiment, where that is predicted; the values of each
        target follow.
        """
        if self.ranks.is_alone:
            return join_columns(predict(self.model, self.valid))
        own = self.ranks.share(len(self.valid))
        rows = own if len(own) else np.zeros(1, dtype=np.int64)
        columns = join_columns(predict(self.model, self.valid.part(rows)))[: len(own)]
        joined: np.ndarray = self.ranks.gather(torch.from_numpy(columns), len(self.valid)).numpy()
        return joined

    def _is_best(self, valid: dict[str, float]) -> bool:
        monitor, higher = choose_monitor(
            self.family, self.config, has_targets=bool(self.objective.terms)
        )
        value = valid[monitor]
        if math.isnan(value):
            return not self.history  # a constant score has no correlation: no better than any
        before = [r.valid[monitor] for r in self.history if r.is_best]
        before = [v for v in before if not math.isnan(v)]
        if not before:
            return True
        return value > max(before) if higher else value < min(before)

    def _keep(self, record: EpochRecord) -> None:
        """Write what the epoch gave; ``last`` comes last."""
        if not self.ranks.is_first:
            return
        modules = {"model": self.model, "objective": self.objective}
        if record.is_best:
            header = {**self.header, "epoch": record.epoch, "valid": record.valid}
            with self._averaged():
                states = join_states(modules)
                lasting = {k: t for k, t in states.items() if not self._is_passing(k)}
                write_tensors(self.folder / "best.safetensors", lasting, header)
        given = [labels.cpu().numpy() for labels in self.objective.latest().values()]
        if self.objective.labels is not None:
            (self.folder / "labels").mkdir(exist_ok=True)
            none = np.zeros((0, len(self.train)), np.float32)
            stacked = np.stack(given) if given else none  # (M, N)
            write_array(self.folder / "labels" / f"epoch-{record.epoch:03d}.npy", stacked)
        lines = "".join(json.dumps(r.to_json()) + "\n" for r in self.history)
        write_text(self.folder / "epochs.jsonl", lines)
        write_epoch_table(self.folder / "epochs.csv", self.history)
        header = {**self.header, "history": [r.to_json() for r in self.history]}
        tensors = {**join_states(modules), **_optimizer_tensors(self.optimizer)}
        if self.average is not None:
            tensors |= {f"average/{key}": t for key, t in self.average.state().items()}
        write_tensors(self.folder / "last.safetensors", tensors, header)

    def _is_passing(self, key: str) -> bool:
        """Return whether a tensor is kept only to go on with the training."""
        return key.startswith(self._passing)

    def resume(self) -> None:
        """Go back to the last whole epoch; does nothing if there is none.

        Raises:
            CheckpointError: If ``last.safetensors`` belongs to other settings or data, or not all
                processes see it.
        """
        path = self.folder / "last.safetensors"
        is_there = path.exists()
        if self.ranks.decide(lambda: is_there) != is_there:
            raise CheckpointError(
                f"{path}: is not seen by all processes that train together; put --out where all of "
                "them see it"
            )
        if not is_there:
            return
        header = read_header(path)
        before = {**header, "config": complete_settings(header.get("config"))}
        for key, value in self.header.items():
            if before.get(key) != value:
                raise CheckpointError(
                    f"{path}: was made with another {key.replace('_', ' ')}; give the settings and "
                    "store of the first start, or another --out"
                )
        tensors = read_tensors(path)
        load_weights(self.model, split_states(tensors, "model"), str(path))
        load_weights(self.objective, split_states(tensors, "objective"), str(path))
        _load_optimizer(self.optimizer, split_states(tensors, "optimizer"))
        if self.average is not None:
            self.average.load(split_states(tensors, "average"))
        self.history = [EpochRecord(**record) for record in header["history"]]

    def load_best(self) -> None:
        """Load the weights and labels of the best epoch; what only training needs stays."""
        path = self.folder / "best.safetensors"
        now = join_states({"objective": self.objective})
        tensors = {k: t for k, t in now.items() if self._is_passing(k)} | read_tensors(path)
        load_weights(self.model, split_states(tensors, "model"), str(path))
        load_weights(self.objective, split_states(tensors, "objective"), str(path))


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer/{number}/{key}": value
        for number, values in state.items()
        for key, value in values.items()
    }


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    present = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, key = name.split("/")
        state.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({**present, "state": state})
