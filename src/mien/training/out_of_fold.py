"""Evidence of what each modality says: late-fusion models, each asked about clips it has not seen.

A network that has learned the train labels by heart answers with them, so that its opinion of a
train clip is the annotation again. Here train is cut into folds by video; for each fold a model is
trained on the others and asked about it. The models fuse late, so each modality explains its own
part of the annotation and leaves the rest to the others.

That does not keep a clip's annotation out of its evidence altogether. After the first epoch, the
unimodal tasks of the models learn from labels that are made with evidence, which models of other
folds gave that have seen the annotation. So it comes back by a detour, a little more with every
epoch; docs/labels.md says how much was measured.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from mien.config import Settings
from mien.data.dataset import ClipDataset, measure_costs
from mien.data.text import TextInput, prepare_text
from mien.data.text_settings import TextEncoderConfig
from mien.errors import CheckpointError, DivergenceError
from mien.evaluation.scoring import predict
from mien.files.cache import locked, versions_of
from mien.files.hashing import hash_json
from mien.files.source_code import code_fingerprint
from mien.files.temporaries import sweep_folder
from mien.files.user_folders import cache_folder
from mien.labels import CopyLabels
from mien.labels.evidence import Evidence, latent_labels
from mien.labels.generator import LabelsConfig
from mien.models.late_fusion import Late
from mien.models.multitask import MultitaskConfig
from mien.training.checkpoints.checkpoint import read_tensors, write_tensors
from mien.training.loop import Stepper, mix_seeds
from mien.training.objective import MultitaskObjective
from mien.training.optimizer import make_accelerator
from mien.training.preparation import Prepared, fit_scales
from mien.training.settings import (
    ExperimentConfig,
    FeaturesConfig,
    LearningRates,
    TrainConfig,
)
from mien.types import Modality, Scale, Task

__all__ = ["EvidenceEpoch", "assign_folds", "cross_fit", "evidence_by_epoch"]

logger = logging.getLogger(__name__)

_KEPT = 0.6  # share of the running mean over the epochs that an epoch leaves as it was
_BATCHES_SORTED = 8  # batches among which clips are sorted by cost
_TRAIN = TrainConfig(
    batch_size=16,
    accumulate=1,
    learning_rate=LearningRates(text=0.0, audio=4e-3, video=4e-3, rest=2e-3),
)

#: Settings of the labels that have no say in the evidence.
_LABELS_WITHOUT_USE = frozenset(
    {"generator", "weight", "warmup_epochs", "zeros", "reach", "expert_size", "temperature"}
)

#: Called with the epoch, the clips seen in it by all models, and how many there are to be seen.
OnStep = Callable[[int, int, int], None]


class _EvidenceSettings(Settings):
    """All settings that evidence is made by, and its key in the cache.

    What makes the evidence is given these and not those of the run. A setting that is left out
    here can therefore not change the evidence unnoticed; one that is added later to a class below
    is part of the key at once.

    Attributes:
        features: As in the run.
        text_encoder: As in the run, but frozen.
        model: As in the run, less what only the run's own model has.
        labels: As in the run; those without use here are at their defaults.
        train: Its own, except for device and precision.
    """

    features: FeaturesConfig
    text_encoder: TextEncoderConfig
    model: MultitaskConfig
    labels: LabelsConfig
    train: TrainConfig


def _settings_of(config: ExperimentConfig) -> _EvidenceSettings:
    """Return what the evidence is made by in a run of these settings."""
    used = {k: v for k, v in config.labels if k not in _LABELS_WITHOUT_USE}
    return _EvidenceSettings(
        features=config.features,
        text_encoder=config.text_encoder.model_copy(update={"mode": "frozen"}),
        model=MultitaskConfig(
            **{k: getattr(config.model, k) for k in MultitaskConfig.model_fields}
        ),
        labels=LabelsConfig(**used),
        train=_TRAIN.model_copy(
            update={"device": config.train.device, "precision": config.train.precision}
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceEpoch:
    """Where the late-fusion models stand after an epoch.

    Attributes:
        epoch: Counted from 1.
        evidence: Running mean over the epochs of what they say of the held-out clips.
        fused: The same of their multimodal scores, one per train clip.
        error: Mean absolute error of ``fused``.
        models: The model of each fold; they are trained on in the next epoch.
    """

    epoch: int
    evidence: Evidence
    fused: Float[torch.Tensor, " N"]
    error: float
    models: tuple[Late, ...]


def cross_fit(
    prepared: Prepared,
    config: ExperimentConfig,
    *,
    seed: int,
    on_step: OnStep | None = None,
) -> Evidence:
    """Ask late-fusion models what each modality of each train clip says.

    Of the epochs of ``evidence_by_epoch`` the one is taken at which the running mean has the least
    mean absolute error over train; neither valid nor test is looked at. That error is optimistic:
    after the first epoch the annotation of a clip has moved labels that teach its model, so that
    it is lower than on clips of no fold, the more so the later the epoch. The log says so.

    The result is kept in the user's cache folder, under a key of all that it depends on: data,
    settings, code, versions, device and number of threads.

    Args:
        prepared: The data.
        config: The settings; sizes of the parts and ``labels`` matter.
        seed: Of the folds, initial weights, dropout and the order of clips.
        on_step: Is told how it goes on.

    Raises:
        TrainingError: If the models diverge.
    """
    settings = _settings_of(config)
    dataset, sizes, text = _with_frozen_text(prepared, settings)
    key = _key(prepared, settings, dataset, text, seed)
    path = cache_folder() / "evidence" / f"{key}.safetensors"
    evidence = _read(path, dataset)
    if evidence is None:
        with locked(path):
            evidence = _read(path, dataset)  # by another process in the meantime
            if evidence is None:
                evidence = _take_best(
                    _epochs(dataset, sizes, prepared.scale, settings, seed, on_step), settings
                )
                sweep_folder(path.parent)
                write_tensors(path, _to_tensors(evidence), {})
    return evidence


def evidence_by_epoch(
    prepared: Prepared,
    config: ExperimentConfig,
    *,
    seed: int,
    on_step: OnStep | None = None,
) -> Iterator[EvidenceEpoch]:
    """Train the late-fusion models, and give the evidence after each epoch; nothing is kept.

    All folds are trained side by side, an epoch each at a time. In the first epoch their unimodal
    tasks learn from copies of the annotation, later from the labels that the evidence so far
    makes. Text comes as states of the frozen encoder, whatever the settings do with it later.

    Args:
        prepared: The data.
        config: The settings; sizes of the parts and ``labels`` matter.
        seed: Of the folds, initial weights, dropout and the order of clips.
        on_step: Is told how it goes on.

    Raises:
        TrainingError: If the models diverge.
    """
    settings = _settings_of(config)
    dataset, sizes, _ = _with_frozen_text(prepared, settings)
    return _epochs(dataset, sizes, prepared.scale, settings, seed, on_step)


def _with_frozen_text(
    prepared: Prepared, settings: _EvidenceSettings
) -> tuple[ClipDataset, dict[Modality, int], TextInput | None]:
    """Return train with states of the frozen encoder, sizes of its features, and its text."""
    dataset, sizes = prepared.datasets["train"], dict(prepared.sizes)
    if prepared.text is None:
        return dataset, sizes, None
    text = prepare_text(prepared.store, settings.text_encoder)
    if text is None:
        raise ValueError("the text of a prepared store is gone")
    series = {**dataset.series, Modality.TEXT: text.series}
    sizes[Modality.TEXT] = text.size
    costs = measure_costs(series, dataset.rows, {Modality.TEXT: text.step_cost})
    return replace(dataset, series=series, costs=costs), sizes, text


def _key(
    prepared: Prepared,
    settings: _EvidenceSettings,
    dataset: ClipDataset,
    text: TextInput | None,
    seed: int,
) -> str:
    """Return a digest of all that the evidence depends on."""
    parts = {
        "store": prepared.store.meta.fingerprint,
        "scale": list(prepared.scale),
        "rows": dataset.rows.tolist(),
        "annotated": dataset.labels[Task.FUSION].tolist(),
        "text": [text.fingerprint, text.key] if text is not None else None,
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
        "code": code_fingerprint(__name__),
        "versions": versions_of("torch", "numpy", "accelerate"),
        "machine": _name_machine(settings.train),
    }
    return hash_json(parts)


def _name_machine(train: TrainConfig) -> list[str | int]:
    """Return what of the machine shows in the numbers."""
    device = make_accelerator(train).device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    kernels = torch.backends.cpu.get_cpu_capability()
    return [device.type, name, kernels, torch.get_num_threads()]


def _read(path: Path, dataset: ClipDataset) -> Evidence | None:
    """Return evidence from the cache; None if it is not there, or damaged."""
    if not path.is_file():
        return None
    try:
        evidence = _from_tensors(read_tensors(path))
    except (CheckpointError, KeyError, ValueError):
        evidence = Evidence(scores={}, weights={})
    lengths = {modality: len(scores) for modality, scores in evidence.scores.items()}
    if lengths == dict.fromkeys(dataset.series, len(dataset)):
        return evidence
    logger.warning("%s: is damaged; the evidence is gathered again", path)
    return None


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


def _take_best(epochs: Iterator[EvidenceEpoch], settings: _EvidenceSettings) -> Evidence:
    """Return the evidence of the epoch with the least error, until patience or epochs end."""
    best = None
    for one in epochs:
        if best is None or one.error < best.error:
            best = one
        if (
            one.epoch - best.epoch >= settings.labels.evidence_patience
            or one.epoch == settings.labels.evidence_epochs
        ):
            break
    if best is None:
        raise ValueError("there is no epoch to take evidence from")
    logger.info(
        "evidence: mean absolute error on held-out clips %.3f in epoch %d%s",
        best.error,
        best.epoch,
        " (optimistic: their annotations shaped labels of other clips)" if best.epoch > 1 else "",
    )
    return best.evidence


def _epochs(
    dataset: ClipDataset,
    sizes: Mapping[Modality, int],
    scale: Scale,
    settings: _EvidenceSettings,
    seed: int,
    on_step: OnStep | None,
) -> Iterator[EvidenceEpoch]:
    made = _make_folds(dataset, sizes, scale, settings, seed)
    annotated = dataset.labels[Task.FUSION]
    mean: dict[Task, Float[torch.Tensor, " N"]] = {}
    for epoch in count(1):
        said = _run_epoch(dataset, made, epoch, seed, on_step)
        kept = _KEPT if mean else 0.0
        mean = {task: kept * mean.get(task, 0.0) + (1 - kept) * s for task, s in said.items()}
        error = float((mean[Task.FUSION] - annotated).abs().mean())
        if not np.isfinite(error):
            raise DivergenceError(f"evidence of the modalities diverged in epoch {epoch}")
        evidence = _take_down(mean, made, dataset)
        yield EvidenceEpoch(
            epoch=epoch,
            evidence=evidence,
            fused=mean[Task.FUSION],
            error=error,
            models=tuple(fold.model for fold in made),
        )
        _teach(made, latent_labels(evidence, annotated, rest=settings.labels.rest), scale)


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
    settings: _EvidenceSettings,
    seed: int,
) -> list[_Fold]:
    videos = [clip.video_id for clip in dataset.clips]
    num_folds = min(settings.labels.folds, len(dataset))
    folds = assign_folds(videos, num_folds, np.random.default_rng([seed, 0]))
    made = []
    for number in range(num_folds):
        taught, asked = np.flatnonzero(folds != number), np.flatnonzero(folds == number)
        part = _part_of(dataset, taught)
        torch.manual_seed(mix_seeds(seed, number))
        model = Late(settings.model, sizes, None, settings.text_encoder.summary)
        fit_scales(model, part)
        copies = CopyLabels(
            part.labels[Task.FUSION], scale, model.modalities, model.state_sizes, LabelsConfig()
        )
        objective = MultitaskObjective(copies)
        stepper = Stepper(model=model, objective=objective, train=part, config=settings.train)
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
