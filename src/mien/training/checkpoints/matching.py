"""Whether data are of the kind on which a checkpoint was trained: labels, features, language."""

import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mien.corpora.class_names.naming import match_classes
from mien.data.store import SeriesMeta, Store
from mien.data.text import has_transcripts
from mien.errors import CheckpointError, ConfigError, list_some
from mien.files.reading import show
from mien.training.checkpoints.header import Header, SeriesFacts
from mien.training.settings import ExperimentConfig
from mien.types import Modality, Target, TargetKind

__all__ = ["check_annotated", "check_data", "check_targets", "find_absent"]

logger = logging.getLogger(__name__)

_SHOWN = 12  # classes that a message names


class _Pair(NamedTuple):
    """A series of the store, and what the header of the checkpoint has of the one in its place.

    What a header lacks, as those of earlier versions may, is None in ``then``.
    """

    modality: Modality
    then: SeriesFacts
    now: SeriesMeta


def check_data(
    checkpoint: Path, header: Header, store: Store, config: ExperimentConfig
) -> list[str]:
    """Check that a store holds data of the kind on which a checkpoint was trained.

    Only the series that the model reads count, and of those what the header has of them.
    Series of another size are not looked at here: no weight of the model fits them.

    Args:
        checkpoint: File of the checkpoint.
        header: Its header.
        store: The data.
        config: The settings with which the data are read; of what they leave out nothing counts.

    Returns:
        A sentence for every series that something else made, so that its values may be others, and
        for transcripts in another language.

    Raises:
        CheckpointError: If the labels of the store are on another scale, or a series has other
            features or has them in another order.
    """
    _check_scale(checkpoint, header, store)
    warnings = _compare_languages(header, store, config)
    for pair in _pairs(header, store, config):
        _check_names(checkpoint, pair, store)
        warnings += _compare_makers(pair, store)
    return warnings


def _check_scale(checkpoint: Path, header: Header, store: Store) -> None:
    """Refuse labels on another scale; the clips of a store for prediction alone have none."""
    if header.scale is None or not store.meta.labels or not header.has_sentiment:
        return
    low, high = header.scale
    if (low, high) != store.meta.scale:
        raise CheckpointError(
            f"{checkpoint}: was trained on labels from {low:g} to {high:g}, those of {store.path} "
            f"go from {store.scale.low:g} to {store.scale.high:g}; take a model and a store of one "
            "scale"
        )


def _compare_languages(header: Header, store: Store, config: ExperimentConfig) -> list[str]:
    """Return a sentence if transcripts that are read are in another language."""
    then, now = header.language, store.meta.language
    is_read = Modality.TEXT in header.sizes and config.text_encoder.input != "none"
    if not is_read or then == now or not _has_texts(header, store):
        return []
    return [
        f"{store.path}: its transcripts are in language {now!r}, those of the training were in "
        f"{then!r}; unless the text encoder knows both, the model cannot read them"
    ]


def _has_texts(header: Header, store: Store) -> bool:
    return header.read.text_encoder.input != "transcript" or has_transcripts(store)


def check_annotated(checkpoint: Path, header: Header, store: Store) -> None:
    """Check that something is annotated of what a checkpoint predicts.

    Raises:
        CheckpointError: If all that is annotated is something else.
    """
    predicted = _name_aims(header.targets, has_sentiment=header.has_sentiment)
    annotated = _name_aims(store.meta.targets, has_sentiment=store.meta.has_sentiment)
    if annotated and not set(predicted) & set(annotated):
        raise CheckpointError(
            f"{checkpoint}: predicts {', '.join(predicted)}, and the clips of {store.path} are "
            f"annotated for {', '.join(annotated)} alone; take a model and a store that have "
            "something in common"
        )


def _name_aims(targets: Sequence[Target], *, has_sentiment: bool) -> list[str]:
    """Name what is predicted or annotated; a target that is called sentiment is another thing."""
    return ["scores of sentiment"] * has_sentiment + [show(target.name) for target in targets]


def check_targets(checkpoint: Path, targets: Sequence[Target], store: Store) -> None:
    """Check that a store has annotated the targets of a checkpoint as they are there, if at all.

    A store may have fewer classes, have them in another order, or call them by other names for the
    same emotions.

    Raises:
        CheckpointError: If a target is of another kind or scale, or has classes that are unknown.
    """
    known = {target.name: target for target in store.meta.targets}
    for then in targets:
        now = known.get(then.name, then)
        if (now.kind, now.scale) != (then.kind, then.scale):
            raise CheckpointError(
                f"{checkpoint}: was trained on target {then.name!r} of kind {then.kind} "
                f"({then.describe()}), in {store.path} it is of kind {now.kind} "
                f"({now.describe()}); take a model and a store that have the same"
            )
        named = match_classes(now.classes, then.classes)
        unknown = [name for name, own in named.items() if own is None]
        lacking = [name for name in then.classes if name not in named.values()]
        if lacking and then.kind is not TargetKind.CLASS:
            raise CheckpointError(
                f"{checkpoint}: was trained on target {then.name!r} with {show(lacking[0])}, of "
                f"which {store.path} says nothing; take a model and a store that have the same"
            )
        if unknown:
            raise CheckpointError(
                f"{checkpoint}: target {then.name!r} of {store.path} has the class "
                f"{show(unknown[0])}, which the model does not know; it knows "
                f"{', '.join(then.classes)}"
            )
        renamed = [f"{show(name)} as {show(own)}" for name, own in named.items() if own != name]
        if renamed:
            logger.info("%s: %s reads %s", store.path, then.name, list_some(renamed, _SHOWN))


def find_absent(
    checkpoint: Path,
    header: Header,
    store: Store,
    config: ExperimentConfig,
    without: Collection[Modality] = (),
) -> dict[Modality, int]:
    """Return the sizes of what the model reads and the store has of no clip, or is left out.

    Of voice and face those count that the store has no series of; a store with a series that the
    model does not read may have them under another name, and is refused by its sizes. Of the text
    it counts where no clip has a transcript.

    Args:
        checkpoint: File of the checkpoint.
        header: Its header.
        store: The data.
        config: The settings of the training.
        without: What is left out, whatever the store has of it.

    Raises:
        CheckpointError: If the model reads nothing else.
        ConfigError: If it does not read what is left out, or nothing else.
    """
    _check_without(checkpoint, header, without)
    names = {m: str(getattr(config.features, m)) for m in (Modality.AUDIO, Modality.VIDEO)}
    unread = set(store.meta.series) - {*names.values(), str(Modality.TEXT)}
    absent = [m for m, name in names.items() if not unread and name not in store.meta.series]
    if config.text_encoder.input == "transcript" and not has_transcripts(store):
        absent = [Modality.TEXT, *absent]
    lacking = {m: header.sizes[m] for m in Modality if m in header.sizes and m in absent}
    if not header.sizes.keys() - {*lacking, *without}:
        left_out = f", where {' and '.join(without)} is left out," if without else ""
        raise CheckpointError(
            f"{checkpoint}: reads {' and '.join(header.sizes)} alone, and{left_out} {store.path} "
            f"has no {' and no '.join(lacking)}; take a store that has them, or another model"
        )
    return {m: size for m, size in header.sizes.items() if m in lacking or m in without}


def _check_without(checkpoint: Path, header: Header, without: Collection[Modality]) -> None:
    """Check that a model reads what is left out, and something else.

    Raises:
        ConfigError: If it does not.
    """
    unread = [modality for modality in without if modality not in header.sizes]
    if unread:
        raise ConfigError(
            f"--without {unread[0]}: {checkpoint} reads {' and '.join(header.sizes)} alone; name "
            "something that it reads"
        )
    if set(without) == set(header.sizes):
        raise ConfigError(
            f"--without {','.join(without)}: {checkpoint} reads nothing else; leave something in"
        )


def _pairs(header: Header, store: Store, config: ExperimentConfig) -> Iterator[_Pair]:
    before, present = header.series_names(), _series_names(config)
    for modality in header.sizes:
        then = header.series.get(before.get(modality, ""))
        now = store.meta.series.get(present.get(modality, ""))
        if then is None or now is None:
            continue
        if then.size in (None, now.size):
            yield _Pair(modality, then, now)


def _series_names(config: ExperimentConfig) -> dict[Modality, str]:
    """Return which series the settings read; a text that an encoder reads is none."""
    names = {Modality.AUDIO: config.features.audio, Modality.VIDEO: config.features.video}
    if config.text_encoder.input == "embeddings":
        names[Modality.TEXT] = str(Modality.TEXT)
    return names


def _check_names(checkpoint: Path, pair: _Pair, store: Store) -> None:
    now, then = pair.now.feature_names, pair.then.feature_names
    if now is None or then is None or len(now) != len(then) or list(now) == list(then):
        return
    column = next(i for i, (a, b) in enumerate(zip(then, now, strict=True)) if a != b)
    what = "the same features in another order" if set(now) == set(then) else "other features"
    raise CheckpointError(
        f"{checkpoint}: was trained on {what} of {pair.modality} than {store.path} has: feature "
        f"{column + 1} was {show(then[column])}, there it is {show(now[column])}; make the store "
        f"with {pair.then.extractor or 'the extractor of the training'!r}, or train on it"
    )


def _compare_makers(pair: _Pair, store: Store) -> list[str]:
    then = pair.then.extractor, pair.then.step_seconds
    now = pair.now.extractor, pair.now.step_seconds
    if not any(None not in both and both[0] != both[1] for both in zip(then, now, strict=True)):
        return []
    return [
        f"{store.path}: {pair.modality} was made by {_describe(now)}, that of the training by "
        f"{_describe(then)}; where their values differ, the model does not fit them"
    ]


def _describe(maker: tuple[str | None, float | None]) -> str:
    extractor, step_seconds = maker
    every = "" if step_seconds is None else f", a step every {step_seconds:g} s"
    return f"{extractor!r}{every}"
