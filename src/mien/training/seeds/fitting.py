"""Models that are fitted at once: one pass over the clips, and a choice on validation.

To whoever looks at a run it is a training of one epoch.
"""

import logging
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float

from mien.data.dataset import ClipDataset, batches
from mien.errors import ConfigError, TrainingError, require
from mien.evaluation.metrics import METRICS
from mien.evaluation.scoring import BATCH_SIZE
from mien.files.json_values import write_json
from mien.models import MODELS
from mien.models.zoo.clip_means.clip_means_model import ClipMeansModel, FitGoal, Tried
from mien.tensors import inferring
from mien.training.listening import EpochRecord, TrainingListener
from mien.training.settings import ExperimentConfig
from mien.training.targets.aims import Aims
from mien.training.targets.target_objective import TargetObjective
from mien.training.trainer import Trainer
from mien.types import Modality, Target, Task

__all__ = ["FitTrainer", "check_fitted"]

logger = logging.getLogger(__name__)


def check_fitted(config: ExperimentConfig, aims: Aims, *, is_begun: bool) -> None:
    """Refuse settings that a model which is fitted at once has no use for.

    Args:
        config: The settings.
        aims: What is predicted.
        is_begun: Whether there are weights to start from.

    Raises:
        ConfigError: If there is one; nothing is refused for models that are trained step by step.
    """
    model = MODELS[config.model.name].model
    if not issubclass(model, ClipMeansModel):
        return
    text, loss = config.text_encoder, config.train.loss
    trains_text = text.input in ("transcript", "tokens") and text.mode != "frozen"
    faults = {
        "starts from no weights; leave --init out": is_begun,
        f"trains no text encoder, and text_encoder.mode is {text.mode!r}; set "
        "text_encoder.mode=frozen": trains_text,
        "takes no modality away; set model.modality_dropout=0": config.model.modality_dropout > 0,
        "minimises squared errors; set train.loss.error=squared": (
            model.fits_squares and aims.has_sentiment and loss.error != "squared"
        ),
        "has no unimodal task that labels are generated for; set labels.generator=copy": (
            config.labels.generator not in ("copy", "human")
        ),
        "has no focal loss; leave out the focusing of targets": any(
            config.targets.of(target).focusing for target in aims.targets
        ),
    }
    for fault, is_there in faults.items():
        if is_there:
            raise ConfigError(f"the model {config.model.name!r} is fitted at once and {fault}")
    if model.needs_scikit_learn(aims.targets):
        require("sklearn", extra="baselines")


class FitTrainer(Trainer):
    """Fit one model in the place of its training; the arguments are those of ``Trainer``.

    What valid chose among is written to ``tried.json`` of the folder: by name of what is predicted,
    every fit with its settings and its error on valid.
    """

    model: ClipMeansModel

    def __init__(self, **given: object) -> None:
        super().__init__(**given)  # type: ignore[arg-type]  # those of the trainer
        self.average = None

    @property
    def is_finished(self) -> bool:
        """Whether the fit is made."""
        return bool(self.history)

    def _run_epoch(self, epoch: int, listener: TrainingListener | None) -> EpochRecord:
        start = time.perf_counter()
        self._fit(listener)
        losses = self._measure_train(epoch)
        self.objective.finish_epoch(epoch)
        return EpochRecord(
            epoch=epoch,
            losses=losses,
            valid=self.validate(epoch),
            clipped=self.objective.pop_clipped_share(),
            is_best=True,
            seconds=time.perf_counter() - start,
        )

    def _fit(self, listener: TrainingListener | None) -> None:
        train, present = self._read(self.train, listener)
        for modality in self.model.modalities:
            has = present[modality]
            if has.any():
                mean = train[modality][has].double().mean(dim=0)
                self.model.absent[modality].vector.copy_(mean)  # type: ignore[operator]
        valid = self._join(*self._read(self.valid, None))
        joined = self._join(train, present)
        tried = {}
        if self.objective.labels is not None:
            tried["sentiment"] = self.model.fit(self._sentiment(joined, valid))
        for term in self.objective.terms:
            name = f"target {term.name}" if term.name in tried else term.name  # is called sentiment
            tried[name] = self.model.fit(self._target(term, joined, valid))
        for name, fits in tried.items():
            best = min(fits, key=lambda each: each.error)
            chosen = ", ".join(f"{key} {value:g}" for key, value in best.settings.items())
            logger.info("%s: valid chose %s of %d fits", name, chosen, len(fits))
        if self.ranks.is_first:
            write_json(self.folder / "tried.json", {n: _to_json(f) for n, f in tried.items()})

    def _read(
        self, dataset: ClipDataset, listener: TrainingListener | None
    ) -> tuple[dict[Modality, torch.Tensor], dict[Modality, torch.Tensor]]:
        """Return the mean of each modality of every clip, and which clips have it."""
        vectors: dict[Modality, torch.Tensor] = {}
        present: dict[Modality, torch.Tensor] = {}
        done = 0
        with inferring(self.model):
            for batch, _ in batches(dataset, BATCH_SIZE):
                encoded = self.model.encode_clips(batch.to(self.accelerator.device))
                for modality, own in encoded.vectors.items():
                    rows = batch.index
                    if modality not in vectors:
                        vectors[modality] = torch.zeros(len(dataset), own.shape[1])
                        present[modality] = torch.zeros(len(dataset), dtype=torch.bool)
                    vectors[modality][rows] = own.float().cpu()
                    present[modality][rows] = encoded.present[modality].cpu()
                done += len(batch.index)
                if listener is not None:
                    listener.on_step(1, done, len(dataset))
        return vectors, present

    def _join(
        self, vectors: dict[Modality, torch.Tensor], present: dict[Modality, torch.Tensor]
    ) -> Float[np.ndarray, "N V"]:
        """Return the vector of every clip from which values are predicted."""
        device = self.accelerator.device
        with torch.no_grad():
            joined = self.model.join(
                {m: v.to(device) for m, v in vectors.items()},
                {m: has.to(device) for m, has in present.items()},
            )
        own: np.ndarray = joined.cpu().double().numpy()
        return own

    def _sentiment(
        self, train: Float[np.ndarray, "N V"], valid: Float[np.ndarray, "M V"]
    ) -> FitGoal:
        metric = METRICS[self.family][self.config.monitor]
        truth = self.valid.labels[Task.FUSION].double().numpy()
        known = _require_some(~np.isnan(truth), "sentiment")
        sign = -1.0 if metric.higher_is_better else 1.0

        def error(values: Float[np.ndarray, "M 1"]) -> float:
            value = sign * metric(values[:, 0], truth[known])
            return math.inf if math.isnan(value) else value  # constant: no correlation

        ones = torch.ones(1)
        values = self.train.labels[Task.FUSION].unsqueeze(1)
        return self._goal(None, train, values, (ones, ones, ones), valid[known], error)

    def _target(
        self,
        term: TargetObjective,
        train: Float[np.ndarray, "N V"],
        valid: Float[np.ndarray, "M V"],
    ) -> FitGoal:
        loss, truth = term.loss, self.valid.values[term.name][Task.FUSION]
        known = _require_some(~truth.isnan().any(dim=1).numpy(), f"the target {term.name!r}")
        labels = truth[torch.from_numpy(known)].double()

        def error(values: Float[np.ndarray, "M K"]) -> float:
            return float(loss(torch.from_numpy(values), labels).mean())

        values = self.train.values[term.name][Task.FUSION]
        parts = loss.weights, loss.others, loss.constant
        return self._goal(term.target, train, values, parts, valid[known], error)

    def _goal(
        self,
        target: Target | None,
        train: Float[np.ndarray, "N V"],
        values: Float[torch.Tensor, "N K"],
        parts: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        valid: Float[np.ndarray, "M V"],
        error: Callable[[Float[np.ndarray, "M K"]], float],
    ) -> FitGoal:
        known = ~values.isnan().any(dim=1)
        weights, others, constant = (part.double().cpu().numpy() for part in parts)
        return FitGoal(
            target=target,
            vectors=train[known.numpy()],
            values=values[known].double().numpy(),
            weights=weights,
            others=others,
            constant=constant,
            is_squared=self.config.loss.error == "squared" and target is None,
            valid=valid,
            error=error,
            seed=self.seed,
        )

    def _measure_train(self, epoch: int) -> dict[str, float]:
        """Return the mean loss of each task over the train clips, as a training reports it."""
        sums: dict[Task, float] = {}
        device = self.accelerator.device
        with inferring(self.model):
            for batch, targets in batches(self.train, BATCH_SIZE):
                output = self.model(batch.to(device))
                loss = self.objective(output, targets.to(device), batch.index.to(device), epoch)
                for task, value in loss.tasks.items():
                    sums[task] = sums.get(task, 0.0) + float(value) * len(batch.index)
        return {task: value / len(self.train) for task, value in sums.items()}


def _require_some(known: Bool[np.ndarray, "M"], what: str) -> Bool[np.ndarray, "M"]:
    if not known.any():
        raise TrainingError(
            f"no clip of valid is annotated for {what}, on which a model that is fitted at once "
            "chooses; annotate some, or leave it out (targets.use, targets.with_sentiment)"
        )
    return known


def _to_json(fits: list[Tried]) -> list[dict[str, float | int | None]]:
    return [
        {**each.settings, "error": each.error if math.isfinite(each.error) else None}
        for each in fits
    ]
