"""Folds of a store: one store for each, with the same series and another part in test."""

import logging
import os
import shutil
from dataclasses import replace as replace_fields
from pathlib import Path

from mien.corpora.group_folds import Grouping, assign_splits, make_folds
from mien.data.store import Store, open_store
from mien.data.store_writer import STORE, write_clips, write_meta
from mien.errors import OutputError
from mien.files.folders import staged
from mien.types import SPLITS, Clip

__all__ = ["write_folds"]

logger = logging.getLogger(__name__)


def write_folds(
    store: Store | str | Path,
    out: str | Path,
    *,
    by: Grouping = "speaker",
    num_folds: int | None = None,
    seed: int = 0,
    replace: bool = False,
) -> list[Store]:
    """Write a store for each fold, ``OUT/fold-1`` and so on, and open them.

    In the store of a fold its clips are test, those of the fold before it valid, and the others
    train; with two folds nothing is valid. The classes of the store's first target are shared out
    alike, or its label where it has no target. Series are linked to those of ``store``, so that
    folds take no room of their own, and copied where the disk has no links.

    Args:
        store: The store, or its path.
        out: The folder of the folds.
        by: What is not in two folds: ``speaker`` keeps speakers and videos together, ``video``
            videos; ``clip`` keeps nothing.
        num_folds: How many folds; None leaves out one group at a time.
        seed: Draws folds of groups that are alike.
        replace: Whether stores that are already there may be replaced.

    Raises:
        CorpusError: If there are fewer groups than folds.
        StoreError: If there is no such store, or a fold is there already.
        OutputError: If one cannot be written.
    """
    store, out = open_store(store), Path(out)
    clips = list(store.clips)
    target = store.meta.targets[0].name if store.meta.targets else None
    folds = make_folds(clips, target=target, by=by, num_folds=num_folds, seed=seed)
    num_without = sum(not clip.speaker for clip in clips)
    if by == "speaker" and num_without:
        logger.warning(
            "%s: %d of %d clips have no speaker; each of their videos counts as a speaker of its "
            "own, whoever speaks in it",
            store.path, num_without, len(clips),
        )  # fmt: skip
    count = int(folds.max())
    written = []
    for fold in range(1, count + 1):
        splits = assign_splits(folds, fold)
        moved = [replace_fields(c, split=s) for c, s in zip(clips, splits, strict=True)]
        origin = {"fold": f"{fold} of {count} by {by}, seed {seed}"}
        written.append(_write_fold(store, moved, origin, out / f"fold-{fold}", replace=replace))
    logger.info("wrote %d folds to %s", count, out)
    return written


def _write_fold(
    store: Store, clips: list[Clip], origin: dict[str, str], path: Path, *, replace: bool
) -> Store:
    splits = [clip.split for clip in clips]
    update = {
        "num_clips": {split: splits.count(split) for split in SPLITS},
        "origin": {**store.meta.origin, **origin},
    }
    with staged(path, STORE, replace=replace) as folder:
        write_clips(folder, clips)
        for name, series in store.meta.series.items():
            (folder / name).mkdir()
            for part in series.files:
                _link(store.path / name / part, folder / name / part)
        write_meta(folder, store.meta.model_copy(update=update))
    return open_store(path)


def _link(source: Path, target: Path) -> None:
    """Give a file a second name; it is copied where that cannot be.

    Raises:
        OutputError: If neither can be done.
    """
    try:
        os.link(source.resolve(), target)
    except OSError:
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            raise OutputError(f"{source}: cannot be copied ({error.strerror})") from error
