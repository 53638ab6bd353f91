"""Folds of a corpus: no speaker or video in two of them, and classes shared out alike."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64

from mien.errors import CorpusError
from mien.types import Clip, Split, Task

__all__ = ["MOST_FOLDS", "Grouping", "assign_splits", "make_folds", "split_by_fold"]

#: What may not be in two folds.
Grouping = Literal["speaker", "video", "clip"]
MOST_FOLDS = 1000


def make_folds(
    clips: Sequence[Clip],
    *,
    target: str | None = None,
    by: Grouping = "speaker",
    num_folds: int | None = None,
    seed: int = 0,
) -> Int64[np.ndarray, " N"]:
    """Share clips out to folds that are alike in size and in their classes.

    Groups are taken in the order of how unevenly they have the classes, the most uneven first, and
    those that are alike in that at random; each goes to the fold in which it leaves the classes
    spread most evenly over the folds, as scikit-learn's ``StratifiedGroupKFold`` does it. Of
    scores the classes are three parts of alike size; clips without values are a class of their own.

    Args:
        clips: The clips.
        target: The target whose classes are shared out alike; None for the label.
        by: What stays together. ``speaker`` keeps speakers and videos together, and so all whom
            videos join: on IEMOCAP these are the sessions. ``video`` keeps videos, ``clip``
            nothing.
        num_folds: How many folds; None makes one of every group.
        seed: Draws the order of groups that are alike.

    Returns:
        The fold of every clip, from 1.

    Raises:
        CorpusError: If there are fewer groups than folds, or fewer than two.
    """
    groups, names = _group(clips, by)
    num_groups = len(names)
    count = num_groups if num_folds is None else num_folds
    advice = "; videos join their speakers, use by video" if by == "speaker" else ""
    if num_groups < 2:
        raise CorpusError(
            f"all clips are of one group that may not be in two folds by {by}{advice}"
        )
    if not 2 <= count <= MOST_FOLDS:
        raise CorpusError(
            f"{count} folds by {by}: must be 2 to {MOST_FOLDS}; state another number of folds"
        )
    if num_groups < count:
        raise CorpusError(
            f"{count} folds by {by}: the clips are of {num_groups} groups that may not be in two "
            f"folds{advice}"
        )
    if num_folds is None:
        return groups + 1
    strata = _stratify(clips, target)
    sums = np.zeros((num_groups, int(strata.max()) + 1))
    np.add.at(sums, (groups, strata), 1.0)
    folds = _share_out(sums, count, np.random.default_rng(seed))
    return np.take(folds, groups) + 1


def assign_splits(folds: Int64[np.ndarray, " N"], tested: int) -> list[Split]:
    """Return the split of every clip: one fold is test, the one before it valid, the rest train.

    With two folds there is no valid.

    Args:
        folds: The fold of every clip, from 1.
        tested: The fold that is test; before the first comes the last.

    Raises:
        CorpusError: If there is no such fold.

    >>> assign_splits(np.array([1, 2, 3, 4]), 1)
    ['test', 'train', 'train', 'valid']
    """
    count = int(folds.max(initial=0))
    if not 1 <= tested <= count:
        raise CorpusError(f"fold {tested}: there are folds 1 to {count}")
    return [split_by_fold(fold, count, tested) for fold in folds.tolist()]


def split_by_fold(fold: int, num_folds: int, tested: int) -> Split:
    """Return the split of a fold, numbered from 1, where ``tested`` is test.

    The fold before it is valid, the last one for the first; the others are train. Of two folds
    none is valid.

    >>> [split_by_fold(fold, 5, 1) for fold in range(1, 6)]
    ['test', 'train', 'train', 'train', 'valid']
    """
    if fold == tested:
        return "test"
    is_before = fold == (tested - 2) % num_folds + 1
    return "valid" if is_before and num_folds > 2 else "train"


def _group(clips: Sequence[Clip], by: Grouping) -> tuple[Int64[np.ndarray, " N"], list[str]]:
    """Return the number of each clip's group, and a name of each group."""
    keys: list[str] = []
    if by == "clip":
        keys = [clip.id for clip in clips]
    elif by == "video":
        keys = [clip.video_id for clip in clips]
    else:
        parents: dict[str, str] = {}
        for clip in clips:
            video = f"video {clip.video_id}"
            parents.setdefault(video, video)
            if clip.speaker:
                speaker = f"speaker {clip.speaker}"
                parents.setdefault(speaker, speaker)
                parents[_find_root(parents, speaker)] = _find_root(parents, video)
        keys = [_find_root(parents, f"video {clip.video_id}") for clip in clips]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], dtype=np.int64), list(numbers)


def _find_root(parents: dict[str, str], name: str) -> str:
    while parents[name] != name:
        parents[name] = parents[parents[name]]
        name = parents[name]
    return name


def _stratify(clips: Sequence[Clip], target: str | None) -> Int64[np.ndarray, " N"]:
    """Return the class of every clip; those without are a class of their own."""
    values = [_read_values(clip, target) for clip in clips]
    if any(value is not None and len(value) > 1 for value in values):
        return np.array(
            [0 if not value else 1 + int(np.argmax(value)) for value in values], dtype=np.int64
        )
    scores = np.array([value[0] if value else np.nan for value in values])
    known = np.isfinite(scores)
    strata = np.zeros(len(scores), dtype=np.int64)
    if known.any():
        bounds = np.quantile(scores[known], [1 / 3, 2 / 3])
        strata[known] = 1 + np.searchsorted(bounds, scores[known], side="right")
    return strata


def _read_values(clip: Clip, target: str | None) -> tuple[float, ...] | None:
    if target is not None:
        return clip.targets.get(target, {}).get(Task.FUSION)
    return (clip.labels[Task.FUSION],) if Task.FUSION in clip.labels else None


def _share_out(
    sums: Float64[np.ndarray, "G K"], count: int, random: np.random.Generator
) -> Int64[np.ndarray, " G"]:
    """Return the fold of every group, from 0."""
    order = random.permutation(len(sums))
    unevenness = np.ceil(2 * np.log2(1 + np.std(sums[order], axis=1)))
    order = order[np.argsort(-unevenness, kind="stable")]
    totals = np.maximum(sums.sum(axis=0), 1.0)
    shares = np.zeros((count, sums.shape[1]))
    sizes = np.zeros(count)
    folds = np.zeros(len(sums), dtype=np.int64)
    for group in order.tolist():
        own = sums[group] / totals
        # the spread over folds of each class, for every fold that the group may go to
        squares, means = (shares**2).sum(axis=0), shares.sum(axis=0) / count
        moved = squares + 2 * shares * own + own**2
        spread = np.sqrt(np.maximum(moved / count - (means + own / count) ** 2, 0)).mean(axis=1)
        spread = np.round(spread, 12)
        best = min(range(count), key=lambda fold: (spread[fold], sizes[fold], fold))
        folds[group] = best
        shares[best] += own
        sizes[best] += sums[group].sum()
    return folds
