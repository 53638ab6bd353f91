"""Evidence of what each modality says: late-fusion models, each asked about clips it has not seen.

A network that has learned the train labels by heart answers with them, so that its opinion of a
train clip is the annotation again. Here train is cut into folds by video; for each fold a model is
trained on the others and asked about it. The models fuse late, so each modality explains its own
part of the annotation and leaves the rest to the others.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int

from mien.batch import ClipDataset
from mien.checkpoint import read_tensors, write_tensors
from mien.errors import DivergenceError
from mien.evaluation import predict
from mien.evidence import Evidence, latent_labels
from mien.experiment import ExperimentConfig
from mien.label_bank import LabelsConfig
from mien.labels import CopyLabels
from mien.models.late import Late
from mien.models.multitask import MultitaskConfig
from mien.objectives import MultitaskObjective
from mien.preparation import Prepared, fit_scales
from mien.steps import LearningRates, Stepper, TrainConfig, mix_seeds
from mien.text import TextInput, cache_folder, prepare_text
from mien.types import Modality, Scale, Task

__all__ = ["assign_folds", "cross_fit"]

logger = logging.getLogger(__name__)

_VERSION = 3  # of the numbers: raise it when the same settings give other evidence
_KEPT = 0.6  # share of the running mean over the epochs that an epoch leaves as it was
_BATCHES_SORTED = 8  # batches among which clips are sorted by cost
_TRAIN = TrainConfig(
    batch_size=16,
    accumulate=1,
    learning_rate=LearningRates(text=0.0, audio=4e-3, video=4e-3, rest=2e-3),
)

#: Called with the epoch, the clips seen in it by all models, and how many there are to be seen.
OnStep = Callable[[int, int, int], None]


def cross_fit(
    prepared: Prepared,
    config: ExperimentConfig,
    *,
    seed: int,
    on_step: OnStep | None = None,
) -> Evidence:
    """Ask late-fusion models what each modality of each train clip says.

    All folds are trained side by side, an epoch each at a time. What is kept is a running mean over
    the epochs, up to the one at which it tells the annotations of unseen clips best (mean absolute
    error over train; neither valid nor test is looked at). Text comes as states of the frozen
    encoder, whatever the settings do with it later.

    The result is kept in the user's cache folder, under a key of all that it depends on.

    Args:
        prepared: The data.
        config: The settings; sizes of the parts and ``labels`` matter.
        seed: Of the folds, initial weights, dropout and the order of clips.
        on_step: Is told how it goes on.
    """
    text = _frozen_text(prepared, config)
    dataset = _with_text(prepared.datasets["train"], text)
    path = (
        cache_folder() / "evidence" / f"{_key(prepared, config, dataset, text, seed)}.safetensors"
    )
    if path.is_file():
        return _from_tensors(read_tensors(path))
    sizes = dict(prepared.sizes)
    if text is not None:
        sizes[Modality.TEXT] = text.size
    evidence = _fit(dataset, sizes, prepared.scale, config, seed, on_step)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, _to_tensors(evidence), {"format": _VERSION})
    return evidence


def _frozen_text(prepared: Prepared, config: ExperimentConfig) -> TextInput | None:
    if prepared.text is None or config.text_encoder.trained_layers == 0:
        return prepared.text
    frozen = config.text_encoder.model_copy(update={"mode": "frozen"})
    return prepare_text(prepared.store, frozen)


def _with_text(dataset: ClipDataset, text: TextInput | None) -> ClipDataset:
    if text is None:
        return dataset
    return replace(dataset, series={**dataset.series, Modality.TEXT: text.series})


def _key(
    prepared: Prepared,
    config: ExperimentConfig,
    dataset: ClipDataset,
    text: TextInput | None,
    seed: int,
) -> str:
    """Return a digest of all that the evidence depends on."""
    model = {k: getattr(config.model, k) for k in MultitaskConfig.model_fields}
    parts = {
        "version": _VERSION,
        "store": prepared.store.meta.fingerprint,
        "rows": dataset.rows.tolist(),
        "model": MultitaskConfig(**model).model_dump(mode="json"),
        "features": config.features.model_dump(mode="json"),
        "text": [text.fingerprint, config.text_encoder.model_dump(exclude={"mode"})] if text else 0,
        "labels": config.labels.model_dump(include={"folds", "evidence_epochs"}),
        "patience": config.labels.evidence_patience,
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def _to_tensors(evidence: Evidence) -> dict[str, torch.Tensor]:
    tensors = {f"scores/{m}": s for m, s in evidence.scores.items()}
    weights = torch.tensor([evidence.weights[m] for m in evidence.scores], dtype=torch.float64)
    return {**tensors, "weights": weights}


def _from_tensors(tensors: Mapping[str, torch.Tensor]) -> Evidence:
    scores = {m: tensors[f"scores/{m}"] for m in Modality if f"scores/{m}" in tensors}
    weights = dict(zip(scores, tensors["weights"].tolist(), strict=True))
    return Evidence(scores=scores, weights=weights)


def assign_folds(
    videos: list[str], num_folds: int, rng: np.random.Generator
) -> Int[np.ndarray, " N"]:
    """Deal clips into folds of like size; all clips of a video lie in one.

    Where there are fewer videos than folds, neighbouring clips stay together instead.

    Args:
        videos: Video of each clip.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fold:
    """A model, the clips that it learns from, and those about which it is asked.

    Attributes:
        taught: Rows of the former in train.
        asked: Rows of the latter.
        questions: The latter themselves.
    """

    number: int
    model: Late
    stepper: Stepper
    taught: Int[np.ndarray, " _"]
    asked: Int[np.ndarray, " _"]
    questions: ClipDataset


def _fit(
    dataset: ClipDataset,
    sizes: Mapping[Modality, int],
    scale: Scale,
    config: ExperimentConfig,
    seed: int,
    on_step: OnStep | None,
) -> Evidence:
    made = _make_folds(dataset, sizes, scale, config, seed)
    annotated = dataset.labels[Task.FUSION]
    mean: dict[Task, Float[torch.Tensor, " N"]] = {}
    best, best_error, best_epoch = Evidence(scores={}, weights={}), np.inf, 0
    for epoch in range(1, config.labels.evidence_epochs + 1):
        said = _run_epoch(dataset, made, epoch, seed, on_step)
        kept = _KEPT if mean else 0.0
        mean = {task: kept * mean.get(task, 0.0) + (1 - kept) * s for task, s in said.items()}
        error = float((mean[Task.FUSION] - annotated).abs().mean())
        if not np.isfinite(error):
            raise DivergenceError(f"evidence of the modalities diverged in epoch {epoch}")
        evidence = _take_down(mean, made, dataset)
        if error < best_error:
            best, best_error, best_epoch = evidence, error, epoch
        _teach(made, latent_labels(evidence, annotated, rest=config.labels.rest), scale)
        if epoch - best_epoch >= config.labels.evidence_patience:
            break
    logger.info(
        "evidence: mean absolute error on unseen clips %.3f, epoch %d", best_error, best_epoch
    )
    return best


def _take_down(
    mean: Mapping[Task, Float[torch.Tensor, " N"]], made: list[_Fold], dataset: ClipDataset
) -> Evidence:
    scores = {}
    for modality, series in dataset.series.items():
        absent = torch.from_numpy(series.lengths[dataset.rows] == 0)
        scores[modality] = mean[Task(modality)].masked_fill(absent, torch.nan)
    weights = [fold.model.weights for fold in made]
    return Evidence(
        scores=scores, weights={m: float(np.mean([one[m] for one in weights])) for m in scores}
    )


def _teach(
    made: list[_Fold], labels: Mapping[Modality, Float[torch.Tensor, " N"]], scale: Scale
) -> None:
    """Let every fold's unimodal tasks learn from the present labels of its own clips."""
    for fold in made:
        for modality, values in labels.items():
            bank = fold.stepper.objective.labels.bank(modality)
            bank.copy_(values.clamp(*scale)[fold.taught])


def _make_folds(
    dataset: ClipDataset,
    sizes: Mapping[Modality, int],
    scale: Scale,
    config: ExperimentConfig,
    seed: int,
) -> list[_Fold]:
    videos = [clip.video_id for clip in dataset.clips]
    num_folds = min(config.labels.folds, len(dataset))
    folds = assign_folds(videos, num_folds, np.random.default_rng([seed, 0]))
    train = _TRAIN.model_copy(
        update={"device": config.train.device, "precision": config.train.precision}
    )
    made = []
    for number in range(num_folds):
        taught, asked = np.flatnonzero(folds != number), np.flatnonzero(folds == number)
        part = _part_of(dataset, taught)
        torch.manual_seed(mix_seeds(seed, number))
        model = Late(config.model, sizes, None, config.text_encoder.summary)
        fit_scales(model, part)
        copies = CopyLabels(
            part.labels[Task.FUSION], scale, model.modalities, model.state_sizes, LabelsConfig()
        )
        objective = MultitaskObjective(copies)
        stepper = Stepper(model=model, objective=objective, train=part, config=train)
        fold = _Fold(
            number=number,
            model=model,
            stepper=stepper,
            taught=taught,
            asked=asked,
            questions=_part_of(dataset, asked),
        )
        made.append(fold)
    return made


def _part_of(dataset: ClipDataset, chosen: Int[np.ndarray, " _"]) -> ClipDataset:
    return replace(
        dataset,
        clips=tuple(dataset.clips[i] for i in chosen),
        rows=dataset.rows[chosen],
        labels={t: v[torch.from_numpy(chosen)] for t, v in dataset.labels.items()},
        costs=dataset.costs[chosen],
    )


def _run_epoch(
    dataset: ClipDataset, made: list[_Fold], epoch: int, seed: int, on_step: OnStep | None
) -> dict[Task, Float[torch.Tensor, " N"]]:
    """Train every fold's model for an epoch, and return what they say of the clips unseen."""
    said = {task: torch.zeros(len(dataset)) for task in made[0].model.tasks}
    total, before = sum(len(fold.stepper.train) for fold in made), 0
    for fold in made:
        start = before

        def tell(_: int, done: int, __: int, start: int = start) -> None:
            if on_step is not None:
                on_step(epoch, start + done, total)

        torch.manual_seed(mix_seeds(mix_seeds(seed, fold.number), epoch))
        order = _mix_order(
            fold.stepper.train.costs, np.random.default_rng([seed, fold.number, epoch])
        )
        fold.stepper.run_order(order, epoch, tell)
        before += len(order)
        scores = predict(fold.model, fold.questions).scores
        for task, values in scores.items():
            said[task][torch.from_numpy(fold.asked)] = torch.from_numpy(values).float()
    return said


def _mix_order(costs: Int[np.ndarray, " _"], rng: np.random.Generator) -> Int[np.ndarray, " _"]:
    """Shuffle clips so that those of one batch are of like cost, and little is padded."""
    size, span = _TRAIN.batch_size, _TRAIN.batch_size * _BATCHES_SORTED
    order, cut = rng.permutation(len(costs)), []
    for start in range(0, len(order), span):
        some = order[start : start + span]
        some = some[np.argsort(costs[some], kind="stable")]
        cut.append([some[i : i + size] for i in range(0, len(some), size)])
    # the short batch comes last, so that all others stay whole
    last = cut[-1].pop() if len(order) % size else order[:0]
    mixed = [batch for group in cut for batch in (group[i] for i in rng.permutation(len(group)))]
    return np.concatenate([*mixed, last])
