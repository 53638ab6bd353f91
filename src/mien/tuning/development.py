"""A store without its test clips, which is all that tuning gets to see of one."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from mien.corpora.group_folds import make_folds
from mien.data.clips.clip_columns import ClipSequence, Texts
from mien.data.clips.clip_index import read_clips
from mien.data.clips.target_columns import TargetColumns
from mien.data.store import Series, Store, open_store
from mien.errors import StoreError, TrainingError
from mien.types import SPLITS, Clip, Split, Task

__all__ = ["DevelopmentStore", "make_views"]

#: Number of the split of a clip that is in none.
_WITHHELD = len(SPLITS)


class DevelopmentStore(Store):
    """A store in which nothing is test: what was test has no split, no label and no transcript.

    Series are mapped from disk by row, so that these clips keep their rows; nothing leads to them.
    Their labels and targets are dropped when the file of clips is read, and what stands in such a
    row is an empty clip.

    Args:
        store: The store.
        splits: Number of each clip's split among ``SPLITS``, ``(N,)``; None for those of the store.
            What is test in the store is left out, whatever it says here.
    """

    def __init__(self, store: Store, splits: UInt8[np.ndarray, " N"] | None = None) -> None:
        super().__init__(store.path, store.meta)
        self._num_rows = len(store)
        clips = read_clips(store.path / "clips.jsonl")
        if len(clips) != self._num_rows:
            raise StoreError(
                f"{store.path}: has {len(clips)} clips, meta.json says {self._num_rows}; import "
                "the corpus again"
            )
        is_test = clips.are_in("test")
        own = clips.split_numbers if splits is None else splits
        self._splits = np.where(is_test, _WITHHELD, own).astype(np.uint8)
        self._clips = self._withhold(clips)
        self.meta = store.meta.model_copy(
            update={
                "num_clips": {
                    split: int((self._splits == number).sum())
                    for number, split in enumerate(SPLITS)
                },
                "labels": tuple(
                    task for task in Task if not np.isnan(self._clips.labels(task)).all()
                ),
            }
        )

    def __len__(self) -> int:
        """Return the number of rows, those of clips that are left out included."""
        return self._num_rows

    @property
    def _is_kept(self) -> Bool[np.ndarray, " N"]:
        is_kept: Bool[np.ndarray, " N"] = self._splits != _WITHHELD
        return is_kept

    def _withhold(self, clips: ClipSequence) -> ClipSequence:
        """Return the clips without what is known of those that are left out."""
        columns, is_kept = clips.columns, self._is_kept
        cleared = replace(
            columns,
            splits=self._splits,
            labels=np.where(is_kept[:, None], columns.labels, np.nan),
            has_moments=columns.has_moments & is_kept[:, None],
            transcripts=_blank(columns.transcripts, is_kept),
            targets=_drop(columns.targets, is_kept),
        )
        fault = cleared.targets.find_fault(self.meta.targets)
        if fault:
            raise StoreError(f"{self.path / 'clips.jsonl'}: {fault}; import the corpus again")
        splits = self._splits

        def read(row: int) -> Clip:
            if splits[row] == _WITHHELD:
                return Clip(id="", split="test", transcript="", labels={})
            return replace(clips[row], split=SPLITS[splits[row]])

        return ClipSequence(cleared, read)

    @property
    def clips(self) -> ClipSequence:
        """The clips by row; those that are left out have no split, label or transcript."""
        return self._clips

    @cached_property
    def _rows(self) -> dict[Split, Int64[np.ndarray, " _"]]:
        return {split: np.flatnonzero(self._clips.are_in(split)) for split in SPLITS}

    def series(self, name: str) -> Series:
        """Map a series from disk; token ids of clips that are left out are not in it."""
        series = super().series(name)
        if series.values.dtype != np.int32:
            return series
        is_kept = self._is_kept
        lengths = np.where(is_kept, series.lengths, 0)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        is_read = np.repeat(is_kept, series.lengths)
        times = None if series.times is None else np.asarray(series.times)[is_read]
        return Series(np.asarray(series.values)[is_read], offsets, times, series.has_context)


def _blank(texts: Texts, is_kept: Bool[np.ndarray, " N"]) -> Texts:
    """Return texts of which those that are not kept are empty."""
    sizes = texts.num_bytes
    offsets = np.concatenate([[0], np.cumsum(np.where(is_kept, sizes, 0))]).astype(np.int64)
    return Texts(np.asarray(texts.data)[np.repeat(is_kept, sizes)], offsets)


def _drop(targets: TargetColumns, is_kept: Bool[np.ndarray, " N"]) -> TargetColumns:
    """Return the values of targets of the clips that are kept."""
    parts = [(key, rows, values, is_kept[rows]) for key, rows, values in targets.parts()]
    parts = [part for part in parts if part[3].any()]
    keys = "\n".join(f"{name}/{task}" for (name, task), *_ in parts)
    return TargetColumns(
        keys=np.frombuffer(keys.encode(), np.uint8),
        sizes=np.array([values.shape[1] for _, _, values, _ in parts], dtype=np.int64),
        counts=np.array([int(chosen.sum()) for *_, chosen in parts], dtype=np.int64),
        rows=np.concatenate(
            [np.zeros(0, np.int64), *(rows[chosen] for _, rows, _, chosen in parts)]
        ),
        flat=np.concatenate(
            [np.zeros(0), *(values[chosen].ravel() for *_, values, chosen in parts)]
        ),
    )


def make_views(store: Store | str | Path, num_folds: int = 0) -> list[DevelopmentStore]:
    """Return what the trials of a tuning are trained and compared on, without test.

    Args:
        store: The store, or its path.
        num_folds: 0 for train and valid as they are; else so many folds of both together, by
            video: in one view after the other each is valid.

    Raises:
        CorpusError: If there are fewer videos than folds.
        StoreError: If the store is damaged.
        TrainingError: If train or valid is empty.
    """
    plain = DevelopmentStore(open_store(store))
    if num_folds:
        return list(_fold_views(plain, num_folds))
    for split in ("train", "valid"):
        if not len(plain.rows(split)):
            advice = "; use --folds, which cuts train by video" if split == "valid" else ""
            raise TrainingError(f"{plain.path}: has no clips in {split}; tuning needs both{advice}")
    return [plain]


def _fold_views(plain: DevelopmentStore, num_folds: int) -> Iterator[DevelopmentStore]:
    rows = np.sort(np.concatenate([plain.rows("train"), plain.rows("valid")]))
    folds = make_folds([plain.clips[row] for row in rows.tolist()], by="video", num_folds=num_folds)
    for number in range(1, num_folds + 1):
        splits = np.full(len(plain), _WITHHELD, dtype=np.uint8)
        splits[rows] = np.where(folds == number, SPLITS.index("valid"), SPLITS.index("train"))
        yield DevelopmentStore(plain, splits)
