"""What a run predicts of what its store has annotated: sentiment, further targets, or both."""

import logging
import math
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Int

from mien.data.clips.clip_columns import ClipSequence
from mien.data.store import Store
from mien.errors import ConfigError, StoreError, list_some, name_known
from mien.evaluation.conformal import LEVEL
from mien.files.reading import show
from mien.training.checkpoints.videos import plain_name
from mien.training.targets.target_settings import TargetsConfig
from mien.types import SPLITS, Split, Target, TargetKind, Task

__all__ = ["Aims", "check_aims", "choose_clips", "find_aims", "report_people"]

logger = logging.getLogger(__name__)

#: Classes that a message names.
_SHOWN: Final = 3
#: People that a promise for others needs, as ``measure_margins`` counts them.
_FEWEST_PEOPLE: Final = math.ceil(LEVEL / (1 - LEVEL) - 1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aims:
    """What is predicted.

    Attributes:
        has_sentiment: Whether sentiment is.
        targets: What is predicted besides, in the order of the store or the checkpoint.
    """

    has_sentiment: bool = True
    targets: tuple[Target, ...] = ()


def find_aims(store: Store, config: TargetsConfig) -> Aims:
    """Return what is predicted of a store with these settings.

    A store in which nothing is annotated has no targets, and its clips get scores of sentiment.

    Raises:
        ConfigError: If a target is named that the store does not have, a setting does not fit its
            kind, or nothing is left to be learned.
    """
    there = store.meta.targets
    names = [target.name for target in there]
    for setting, named in (("use", config.use or ()), ("named", tuple(config.named))):
        for name in named:
            if name not in names:
                raise ConfigError(
                    f"setting targets.{setting} names {name!r}, {store.path} has no such target; "
                    f"{name_known(name, names)}"
                )
    targets = there if config.use is None else tuple(t for t in there if t.name in config.use)
    for target in targets:
        config.of(target)
    has_sentiment = store.meta.has_sentiment and config.with_sentiment
    if not has_sentiment and not targets and store.meta.is_annotated:
        raise ConfigError(
            f"{store.path}: nothing is left to be learned: its targets are "
            f"{', '.join(names) or 'none'}, targets.use chooses none of them, and sentiment is "
            f"{'left out by targets.with_sentiment' if store.meta.has_sentiment else 'not there'}"
        )
    return Aims(has_sentiment=has_sentiment or not targets, targets=targets)


def _are_annotated(store: Store, rows: Int[np.ndarray, " _"], aims: Aims) -> Bool[np.ndarray, " _"]:
    """Return which clips are annotated for what is predicted; all in a store where none is."""
    if not store.meta.is_annotated:
        return np.ones(len(rows), dtype=bool)
    clips = store.clips.take(rows)
    is_known = np.zeros(len(rows), dtype=bool)
    if aims.has_sentiment:
        is_known |= ~np.isnan(clips.labels(Task.FUSION))
    names = {target.name for target in store.meta.targets}
    for target in aims.targets:
        if target.name in names:
            is_known |= clips.have_target(target.name, Task.FUSION)
    return is_known


def choose_clips(
    store: Store,
    *,
    excluded_videos: Collection[str] = (),
    with_unlabelled: bool = False,
    level: int = logging.DEBUG,
    aims: Aims | None = None,
    splits: Collection[Split] = SPLITS,
) -> dict[Split, Int[np.ndarray, " _"]]:
    """Return the rows of the clips of each split that a run uses; no array of the store is read.

    Args:
        store: The store.
        excluded_videos: Plain names of videos that are left out of train and valid.
        with_unlabelled: Whether clips without a multimodal label stay in an annotated store.
        level: Level at which it is logged how many of them are left out.
        aims: For what clips must be annotated; None for anything that the store has.
        splits: Those that are chosen from; others are absent.
    """
    if aims is None:
        aims = Aims(has_sentiment=store.meta.has_sentiment, targets=store.meta.targets)
    chosen = {}
    for split in (each for each in SPLITS if each in splits):
        rows = store.rows(split)
        if split != "test" and excluded_videos:
            clips = store.clips.take(rows)
            is_kept = [plain_name(video) not in excluded_videos for video in clips.videos]
            rows = rows[np.array(is_kept, dtype=bool)[clips.video_numbers]]
        if not with_unlabelled:
            is_labelled = _are_annotated(store, rows, aims)
            if not is_labelled.all():
                logger.log(
                    level, "%s: left out %d of %d clips of %s that have no multimodal label",
                    store.path, len(rows) - is_labelled.sum(), len(rows), split,
                )  # fmt: skip
            rows = rows[is_labelled]
        if len(rows):
            chosen[split] = rows
    return chosen


def check_aims(store: Store, rows: Int[np.ndarray, " _"], aims: Aims) -> None:
    """Check that all that is predicted can be learned from some clips.

    Classes that no clip of train has are named in a warning.

    Args:
        store: The store.
        rows: Rows of the train clips.
        aims: What is predicted.

    Raises:
        StoreError: If no clip of train is annotated for it.
    """
    clips = store.clips.take(rows)
    if aims.targets and aims.has_sentiment and np.isnan(clips.labels(Task.FUSION)).all():
        raise StoreError(
            f"{store.path}: no clip of train has a multimodal label of sentiment; leave it out "
            "with targets.with_sentiment=false"
        )
    annotated = {target.name: target for target in store.meta.targets}
    for target in aims.targets:
        if not clips.have_target(target.name, Task.FUSION).any():
            others = [t.name for t in aims.targets if t is not target]
            raise StoreError(
                f"{store.path}: no clip of train is annotated for target {target.name!r}, so that "
                f"it cannot be learned; leave it out with targets.use={others}"
            )
        _report_absent(store, clips, annotated[target.name])


def report_people(store: Store, rows: Int[np.ndarray, " _"], aims: Aims) -> None:
    """Log of which targets valid says nothing, or nothing for people who are not in it.

    Args:
        store: The store.
        rows: Rows of the valid clips.
        aims: What is predicted.
    """
    clips = store.clips.take(rows)
    unit = "speakers" if clips.speakers else "videos"
    few = defaultdict[int, list[str]](list)
    for target in aims.targets:
        own = clips.speaker_numbers[clips.have_target(target.name, Task.FUSION)]
        count = len(np.unique(own))
        if count < _FEWEST_PEOPLE:
            few[count].append(target.name)
    for count, names in few.items():
        if not count:
            logger.warning(
                "%s: %s: no clip of valid is annotated for it, which then neither chooses the "
                "epoch nor says how sure answers are; share clips out anew (mien folds)",
                store.path, ", ".join(names),
            )  # fmt: skip
            continue
        logger.warning(
            "%s: %s: annotated clips of valid are of %d %s; sets and intervals are for further "
            "clips of these, and may hold less than %g %% of those of others, for which valid "
            "needs %d",
            store.path, ", ".join(names), count, unit, 100 * LEVEL, _FEWEST_PEOPLE,
        )  # fmt: skip


def _report_absent(store: Store, clips: ClipSequence, target: Target) -> None:
    """Log which classes no clip of train has."""
    values = clips.target(target, Task.FUSION)
    values = values[clips.have_target(target.name, Task.FUSION)]
    are_there = (values > target.bounds.low).any(axis=0)
    if target.kind is TargetKind.CLASS and are_there.sum() == 1:
        logger.warning(
            "%s: %s: all clips of train are of one class, %s; there is nothing to tell apart",
            store.path, target.name, show(target.classes[int(are_there.argmax())]),
        )  # fmt: skip
    absent = [
        name for name, is_there in zip(target.classes, are_there, strict=False) if not is_there
    ]
    if absent:
        logger.warning(
            "%s: %s: no clip of train has the class %s; no model can learn that",
            store.path, target.name, list_some(map(show, absent), _SHOWN),
        )  # fmt: skip
