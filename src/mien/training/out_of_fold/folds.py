"""Folds of the train split, and the late-fusion model that is trained for each."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from mien.data.clips.clip_columns import as_clips
from mien.data.dataset import ClipDataset
from mien.evaluation.scoring import predict
from mien.labels.label_settings import CopyConfig
from mien.models.late_fusion import LateFusion
from mien.models.multitask import ModelInputs
from mien.training.loop import Stepper, mix_seeds
from mien.training.objective import make_objective
from mien.training.out_of_fold.evidence_settings import EvidenceSettings
from mien.training.preparation import fit_scales
from mien.training.targets.aims import Aims
from mien.training.targets.target_objective import start_at_constants
from mien.types import Modality, Scale, Task

__all__ = [
    "Fold",
    "FoldPlan",
    "HeldOut",
    "OnStep",
    "assign_folds",
    "make_folds",
    "number_folds",
    "run_epoch",
    "set_labels",
    "set_target_labels",
]

_BATCHES_SORTED = 8  # batches among which clips are sorted by cost

#: Called with the epoch, the clips seen in it by all models, and how many there are to be seen.
OnStep = Callable[[int, int, int], None]


def assign_folds(
    videos: Sequence[str] | Int[np.ndarray, " N"], num_folds: int, rng: np.random.Generator
) -> Int[np.ndarray, " N"]:
    """Deal clips into folds of like size; all clips of a video lie in one.

    Where there are fewer videos than folds, neighbouring clips stay together instead.

    Args:
        videos: Video of each clip, by name or by its number in the order of the names.
        num_folds: Folds to make.
        rng: Shuffles the videos.
    """
    names, where, counts = np.unique(videos, return_inverse=True, return_counts=True)
    if len(names) < num_folds:
        return np.arange(len(videos)) * num_folds // len(videos)
    order = rng.permutation(len(names))
    order = order[np.argsort(-counts[order], kind="stable")]  # large videos first
    fold_of, filled = np.zeros(len(names), dtype=np.int64), np.zeros(num_folds, dtype=np.int64)
    for video in order:
        fold_of[video] = filled.argmin()
        filled[fold_of[video]] += counts[video]
    folds: Int[np.ndarray, " N"] = fold_of[where]
    return folds


def number_folds(dataset: ClipDataset, num_folds: int, seed: int) -> Int[np.ndarray, " N"]:
    """Return the fold of each clip of train, the same for all that is made with a seed."""
    videos = as_clips(dataset.clips).video_numbers
    return assign_folds(videos, min(num_folds, len(dataset)), np.random.default_rng([seed, 0]))


#: What is predicted of every train clip: a score per task, and K values of a target's task.
HeldOut = dict[Task | tuple[str, Task], Float[torch.Tensor, "N *K"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """A model, the clips that it learns from, and those that it predicts.

    Attributes:
        number: Counted from 0.
        model: The model.
        stepper: Trains it.
        train_rows: Rows, in the train split, of the clips that it learns from.
        held_out_rows: Rows, in the train split, of the clips that it predicts.
        held_out: The latter themselves.
    """

    number: int
    model: LateFusion
    stepper: Stepper
    train_rows: Int[np.ndarray, " _"]
    held_out_rows: Int[np.ndarray, " _"]
    held_out: ClipDataset


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldPlan:
    """From what the models of the folds are made.

    Attributes:
        dataset: The train split.
        sizes: Size of an input feature of each modality.
        scale: Range of the annotations.
        settings: What the evidence is made by.
        seed: Of the folds, initial weights, dropout and the order of clips.
        aims: What is predicted.
    """

    dataset: ClipDataset
    sizes: Mapping[Modality, int]
    scale: Scale
    settings: EvidenceSettings
    seed: int
    aims: Aims

    @property
    def num_folds(self) -> int:
        """How many folds there are."""
        return min(self.settings.labels.folds, len(self.dataset))


def make_folds(plan: FoldPlan, numbers: Iterable[int] | None = None) -> Iterator[Fold]:
    """Cut train into folds by video, and build an untrained model for each when its turn comes.

    Args:
        plan: From what they are made.
        numbers: Which folds, counted from 0; None for all.
    """
    dataset, settings, seed, aims = plan.dataset, plan.settings, plan.seed, plan.aims
    fold_of = number_folds(dataset, settings.labels.folds, seed)
    for number in range(plan.num_folds) if numbers is None else numbers:
        train_rows, held_out_rows = (
            np.flatnonzero(fold_of != number),
            np.flatnonzero(fold_of == number),
        )
        train = dataset.part(train_rows)
        torch.manual_seed(mix_seeds(seed, number))
        inputs = ModelInputs(
            sizes=plan.sizes,
            summary=settings.text_encoder.summary,
            targets=aims.targets,
            has_sentiment=aims.has_sentiment,
        )
        model = LateFusion(settings.model, inputs)
        fit_scales(model, train)
        objective = make_objective(
            train, model, CopyConfig(), plan.scale, aims=aims, targets=settings.targets
        )
        start_at_constants(model, [term.loss for term in objective.terms])
        yield Fold(
            number=number,
            model=model,
            stepper=Stepper(model=model, objective=objective, train=train, config=settings.train),
            train_rows=train_rows,
            held_out_rows=held_out_rows,
            held_out=dataset.part(held_out_rows),
        )


def set_labels(
    folds: list[Fold], labels: Mapping[Modality, Float[torch.Tensor, " N"]], scale: Scale
) -> None:
    """Let every fold's unimodal tasks learn from labels of its own clips, cut to the scale."""
    for fold in folds:
        for modality, values in labels.items():
            fold.stepper.objective.put(modality, scale.clip(values)[fold.train_rows])


def set_target_labels(
    folds: list[Fold], name: str, labels: Mapping[Modality, Float[torch.Tensor, "N K"]]
) -> None:
    """Let every fold's unimodal tasks of a target learn from labels of its own clips."""
    for fold in folds:
        (term,) = (term for term in fold.stepper.objective.terms if term.name == name)
        for modality, values in labels.items():
            term.labels.put(modality, values[fold.train_rows])


def run_epoch(
    dataset: ClipDataset, folds: list[Fold], epoch: int, seed: int, on_step: OnStep | None
) -> HeldOut:
    """Train every fold's model for an epoch, and return the scores of the clips held out.

    Args:
        dataset: The train split.
        folds: The folds, in the state after the last epoch.
        epoch: Counted from 1.
        seed: Of dropout and the order of clips.
        on_step: Is called as the training goes on.
    """
    held_out: HeldOut = {}
    total, before = sum(len(fold.stepper.train) for fold in folds), 0
    for fold in folds:
        start = before

        def report(_: int, done: int, __: int, start: int = start) -> None:
            if on_step is not None:
                on_step(epoch, start + done, total)

        torch.manual_seed(mix_seeds(mix_seeds(seed, fold.number), epoch))
        order = _mix_order(
            fold.stepper.train.costs,
            fold.stepper.config.batch_size,
            np.random.default_rng([seed, fold.number, epoch]),
        )
        fold.stepper.run_order(order, epoch, report)
        before += len(order)
        predicted = predict(fold.model, fold.held_out)
        columns: dict[Task | tuple[str, Task], np.ndarray] = dict(predicted.scores.items())
        for name, of_target in predicted.values.items():
            columns |= {(name, task): values for task, values in of_target.values.items()}
        for key, values in columns.items():
            everything = held_out.setdefault(key, torch.zeros(len(dataset), *values.shape[1:]))
            everything[torch.from_numpy(fold.held_out_rows)] = torch.from_numpy(values).float()
    return held_out


def _mix_order(
    costs: Int[np.ndarray, " _"], size: int, rng: np.random.Generator
) -> Int[np.ndarray, " _"]:
    """Shuffle clips so that those of a batch are of like cost, and little is padded."""
    span = size * _BATCHES_SORTED
    order, cut = rng.permutation(len(costs)), []
    for start in range(0, len(order), span):
        some = order[start : start + span]
        some = some[np.argsort(costs[some], kind="stable")]
        cut.append([some[i : i + size] for i in range(0, len(some), size)])
    # the short batch comes last, so that all others stay full
    last = cut[-1].pop() if len(order) % size else order[:0]
    mixed = [batch for group in cut for batch in (group[i] for i in rng.permutation(len(group)))]
    return np.concatenate([*mixed, last])
