"""Trained weights, checked and loaded: a model for a store, or what a training starts from."""

import hashlib
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from mien.data.dataset import ClipDataset
from mien.data.store import Store
from mien.data.text import TextInput, check_encoder
from mien.data.text_reader import TextReader
from mien.errors import CheckpointError, ConfigError, TrainingError
from mien.models.multitask import MultimodalModel, Multitask
from mien.training.checkpoints.absent_series import add_absent, leave_out, open_text
from mien.training.checkpoints.baseline_use import BaselineUse, find_use, without_baselines
from mien.training.checkpoints.carried_encoder import PREFIX, carry_encoder
from mien.training.checkpoints.carried_targets import carry_targets
from mien.training.checkpoints.checkpoint import (
    check_finite,
    fits_in,
    read_tensors,
    split_states,
)
from mien.training.checkpoints.header import Header, open_header
from mien.training.checkpoints.matching import (
    check_annotated,
    check_data,
    check_targets,
    find_absent,
)
from mien.training.checkpoints.trained_model import build_trained
from mien.training.checkpoints.videos import knows_all_videos, videos_seen
from mien.training.preparation import Prepared, add_speakers, check_settings, prepare, units_of
from mien.training.run_folder import RunFolder, SeedFolder, find_checkpoint
from mien.training.settings import ExperimentConfig
from mien.training.targets.aims import Aims
from mien.types import EVALUATED_SPLITS, SPLITS, Modality, Split

__all__ = [
    "ModelOnStore",
    "Start",
    "dataset_of",
    "find_checkpoint",
    "load_model",
    "load_trained",
    "read_start",
    "take_over",
]

logger = logging.getLogger(__name__)

#: What a store lacks, where that is not called as the modality.
_WORDS = {Modality.TEXT: "transcripts"}


def dataset_of(prepared: Prepared, split: Split) -> ClipDataset:
    """Return the clips of a split.

    Raises:
        CheckpointError: If there are none.
    """
    if split not in prepared.datasets:
        raise CheckpointError(f"{prepared.store.path}: has no clips in {split}")
    return prepared.datasets[split]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOnStore:
    """A trained model, ready for the data of a store.

    Attributes:
        header: The header of its checkpoint.
        model: The network, which does not drop out.
        prepared: The data.
        warnings: A sentence for every series that another extractor made than that of the training.
        baseline: Whether clips are read against their speakers; None if it was trained without
            baselines.
    """

    header: Header
    model: MultimodalModel
    prepared: Prepared
    warnings: tuple[str, ...]
    baseline: BaselineUse | None

    def warn_of_seen(self, dataset: ClipDataset) -> Iterator[str]:
        """Yield a sentence if the weights have learned from videos of ``dataset``."""
        videos = set(dataset.videos)
        seen = videos_seen(self.header.given(), videos)
        if seen:
            yield (
                f"{self.prepared.store.path}: {len(seen)} of the {len(videos)} videos evaluated "
                f"here, such as {min(seen)!r}, were trained on; the numbers say nothing about new "
                "videos"
            )


def load_model(
    path: str | Path,
    store: Store,
    *,
    with_unlabelled: bool = False,
    baseline: BaselineUse | None = None,
    splits: Collection[Split] = SPLITS,
    without: Collection[Modality] = (),
) -> tuple[MultimodalModel, Prepared]:
    """Load a trained model for the data of a store.

    A series that another extractor made than that of the training is used with a warning.

    Args:
        path: A checkpoint, a seed's folder, or a run folder (its first seed that did not diverge).
        store: Data with the series that the model was trained on.
        with_unlabelled: Whether clips without a multimodal label stay, to be scored.
        baseline: Whether clips are read against their speakers; None as the model was trained,
            unless it says that it reads against nobody as a rule.
        splits: Those whose clips are read; nothing is computed for others.
        without: What is left out, as if no clip had it: of its series nothing is checked or read.

    Raises:
        ConfigError: If ``baseline`` is given for a model that was trained without baselines, or
            ``without`` is all that a model reads, or something that it does not read.
        CheckpointError: If there is no sound checkpoint, or the store does not fit it: features of
            another size, of other names or in another order, labels on another scale, or other
            weights of the text encoder.
    """
    trained = load_trained(
        path,
        store,
        with_unlabelled=with_unlabelled,
        baseline=baseline,
        splits=splits,
        without=without,
    )
    for warning in trained.warnings:
        logger.warning("%s", warning)
    return trained.model, trained.prepared


def load_trained(
    path: str | Path,
    store: Store,
    *,
    with_unlabelled: bool = False,
    baseline: BaselineUse | None = None,
    splits: Collection[Split] = SPLITS,
    without: Collection[Modality] = (),
) -> ModelOnStore:
    """Load a trained model as ``load_model`` does; warnings are returned and not logged.

    Args:
        path: As in ``load_model``.
        store: As in ``load_model``.
        with_unlabelled: As in ``load_model``.
        baseline: As in ``load_model``.
        splits: As in ``load_model``.
        without: As in ``load_model``.

    Raises:
        ConfigError: As ``load_model``.
    """
    checkpoint = find_checkpoint(path)
    header = open_header(checkpoint)
    config = header.read_config(checkpoint, corpus=store.meta.name)
    use = find_use(checkpoint, header, config, baseline)
    is_relative = use == "speaker"
    aims = Aims(has_sentiment=header.has_sentiment, targets=header.targets)
    check_targets(checkpoint, aims.targets, store)
    if not with_unlabelled:
        check_annotated(checkpoint, header, store)
    lacking = find_absent(checkpoint, header, store, config, without)
    persons = header.sizes.keys() - {Modality.TEXT}
    if is_relative and persons <= lacking.keys():
        has = "is read as if it had" if without else "has"
        raise ConfigError(
            f"{store.path}: {has} no {' and no '.join(sorted(persons))}, of which {checkpoint} "
            "needs a baseline of each speaker; choose --baseline none (baseline='none' in Python), "
            "with which its clips are read without"
        )
    unread = {*without, *(m for m in Modality if m not in header.sizes)}
    read_as = leave_out(config if is_relative else without_baselines(config), unread)
    check_settings(store, read_as, aims)
    fits = _SizeCheck(checkpoint=checkpoint, sizes=header.sizes, store=store, without=without)
    fits.check_series(read_as, lacking)
    warnings = check_data(checkpoint, header, store, read_as)
    prepared = prepare(
        store,
        read_as,
        online=False,
        with_unlabelled=with_unlabelled,
        with_speakers=False,
        aims=aims,
        splits=splits,
    )
    text: TextInput | TextReader | None = prepared.text
    if lacking:
        reader = open_text(checkpoint, header, config) if Modality.TEXT in lacking else None
        text = text or reader
        prepared = add_absent(prepared, lacking, reader)
        unknown = [_WORDS.get(m, str(m)) for m in lacking if m not in without]
        if unknown:
            what = " and no ".join(unknown)
            warnings.append(f"{store.path}: has no {what}; its clips are read without")
    fits.require(header.sizes, prepared.sizes)
    if Modality.TEXT not in lacking:  # else open_text has checked what would read it
        check_encoder(checkpoint, header.given(), text)
    encoder = text.build() if text is not None else None
    model = build_trained(checkpoint, header, config, encoder)
    if is_relative:
        prepared = add_speakers(prepared, read_as.features, units_of(model))
    return ModelOnStore(
        header=header,
        model=model,
        prepared=prepared,
        warnings=tuple(warnings),
        baseline=use,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _SizeCheck:
    """Whether features have the sizes of those of a training.

    Attributes:
        checkpoint: The model.
        sizes: What it reads.
        store: The data.
        without: What is left out of them.
    """

    checkpoint: Path
    sizes: Mapping[Modality, int]
    store: Store
    without: Collection[Modality]

    def check_series(self, config: ExperimentConfig, lacking: Collection[Modality]) -> None:
        """Check the sizes of audio and video, before anything is computed of the text."""
        names = {m: getattr(config.features, m) for m in (Modality.AUDIO, Modality.VIDEO)}
        series = self.store.meta.series
        now = {m: series[name].size for m, name in names.items() if name in series}
        then = {m: n for m, n in self.sizes.items() if m in names and m not in lacking}
        self.require(then, now)

    def require(self, then: Mapping[Modality, int], now: Mapping[Modality, int]) -> None:
        """Refuse other sizes, and say what can be left out."""
        if now == then:
            return
        was, there = ({str(m): size for m, size in sizes.items()} for sizes in (then, now))
        unlike = {m for m in then if then[m] != now.get(m)} | {*self.without}
        names = ",".join(m for m in Modality if m in unlike)
        hint = f", or leave out what differs (mien evaluate --without {names})"
        raise CheckpointError(
            f"{self.checkpoint}: was trained on features of sizes {was}, {self.store.path} has "
            f"{there}; take a store with the same series{hint * (unlike < self.sizes.keys())}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Weights to start from, and where they come from.

    Attributes:
        path: The checkpoint.
        header: Its header.
        tensors: Its weights, by their names in the model.
        fingerprint: SHA-256 of them.
    """

    path: Path
    header: Header
    tensors: dict[str, torch.Tensor]
    fingerprint: str


def read_start(
    init: RunFolder | SeedFolder | str | Path, store: Store, config: ExperimentConfig
) -> Start:
    """Read the weights to start from.

    Args:
        init: A checkpoint, a seed's folder, or a run folder (its first seed that did not diverge).
        store: The store of the training that starts from them.
        config: Its settings.

    Raises:
        CheckpointError: If there is no sound checkpoint, or it was trained on another scale, or on
            other features of the same number.
        TrainingError: If they, or weights that they come from, have seen videos of this store's
            valid or test.
    """
    path = find_checkpoint(init)
    header = open_header(path)
    if header.ensemble:
        raise CheckpointError(
            f"{path}: is an ensemble of {len(header.ensemble)} models, and a training starts from "
            "one; give the run, or the folder of one of its seeds"
        )
    for warning in check_data(path, header, store, config):
        logger.warning("%s", warning)
    _refuse_seen(path, header, store)
    tensors = split_states(read_tensors(path), "model")
    check_finite(tensors, str(path))
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(key.encode())
        digest.update(tensors[key].reshape(-1).view(torch.uint8).numpy().tobytes())
    return Start(path=path, header=header, tensors=tensors, fingerprint=digest.hexdigest())


def _refuse_seen(path: Path, header: Header, store: Store) -> None:
    """Refuse weights that have learned from videos on which the run is evaluated."""
    evaluated = {
        video for split in EVALUATED_SPLITS for video in store.clips.take(store.rows(split)).videos
    }
    seen = videos_seen(header.given(), evaluated)
    if seen:
        before = ", and so the weights that it started from" if header.init else ""
        raise TrainingError(
            f"{path}: was trained on {len(seen)} of the {len(evaluated)} videos in valid and test "
            f"of {store.path}, such as {min(seen)!r}; train it again with --exclude {store.path}"
            f"{before}"
        )
    if not knows_all_videos(header.given()):
        logger.warning(
            "%s: does not list the videos of the weights that it started from; whether they have "
            "seen valid or test of %s cannot be checked", path, store.path,
        )  # fmt: skip


def take_over(model: MultimodalModel, start: Start, text_fingerprint: str | None = None) -> None:
    """Load the tensors that fit by name and shape, and log how many did.

    The head of a model of one modality is carried over to a model of several: there it reads of
    the fused vector what it read before. What is learned of a class goes to the class of that name.
    What a text encoder has learned goes to the same layers, also where others are trained beside
    them; where it cannot, a warning says why.

    Args:
        model: The network, as it is before its training.
        start: The weights.
        text_fingerprint: SHA-256 of the pretrained weights that its text encoder has.

    Raises:
        TrainingError: If none fits.
    """
    own, tensors = model.state_dict(), _carry_text(model, start, text_fingerprint)
    modalities = tuple(start.header.sizes)
    if isinstance(model, Multitask) and len(modalities) == 1 < len(model.modalities):
        tensors = {**tensors, **model.widen(tensors, modalities[0])}
    tensors = carry_targets(model, tensors, start.header.targets)
    fits = {k: t for k, t in tensors.items() if k in own and fits_in(own[k], t)}
    if not fits:
        raise TrainingError(f"{start.path}: no weight in it fits the model of these settings")
    model.load_state_dict({**own, **fits})
    logger.info("took over %d of %d tensors from %s", len(fits), len(own), start.path)


def _carry_text(
    model: MultimodalModel, start: Start, fingerprint: str | None
) -> dict[str, torch.Tensor]:
    """Return the tensors to start from, with those of a text encoder as this model names them."""
    others = {k: t for k, t in start.tensors.items() if not k.startswith(PREFIX)}
    trained = {k.removeprefix(PREFIX): t for k, t in start.tensors.items() if k not in others}
    if not trained or Modality.TEXT not in model.modalities:
        return others
    pretrained = start.header.text_encoder_fingerprint
    try:
        carried = carry_encoder(model.text_encoder, trained, is_same=fingerprint == pretrained)
    except ConfigError as error:
        logger.warning(
            "%s: what its text encoder has learned is not taken over (%s); this training begins "
            "with the encoder as it was before, as the settings of text_encoder decide",
            *(start.path, error),
        )
        return others
    return others | {f"{PREFIX}{key}": tensor for key, tensor in carried.items()}
