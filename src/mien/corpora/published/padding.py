"""Which steps of each clip of a feature pickle are real, and which are padding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Int64

from mien.corpora.published.matrices import Table, read_numbers
from mien.corpora.safe_pickle.feature_file import FeatureFile
from mien.corpora.safe_pickle.lazy_array import PickledArray
from mien.errors import CorpusError

__all__ = ["Spans", "Tables", "find_spans", "find_text_spans", "is_aligned", "read_masks"]


#: The tables of each key of a file, one per split.
Tables = Mapping[str, Sequence[Table]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """Which steps of each clip are real.

    Attributes:
        starts: The first one.
        stops: The one after the last.
        kind: ``given``: a length that the file states; padding that stands in front all the same
            is seen and dropped. ``exact``: a mask, or series that were never padded. ``unknown``:
            nothing says it, so rows of zeros at either end are taken for padding.
    """

    starts: Int64[np.ndarray, " N"]
    stops: Int64[np.ndarray, " N"]
    kind: Literal["given", "exact", "unknown"]


def read_masks(file: FeatureFile, table: Table) -> Spans:
    """Read which steps are real from the second row of ``text_bert``, and check the token ids.

    Raises:
        CorpusError: If a clip has not three rows (ids, mask, segment), its mask is not one run of
            ones, or an id is not a whole number from 0.
    """
    starts = np.zeros(len(table.shapes), np.int64)
    stops = np.zeros(len(table.shapes), np.int64)
    for number, matrix in enumerate(table.read(file)):
        where = f"{table.where}: clip {number}"
        if len(matrix) != 3 and matrix.shape != (0, 0):
            raise CorpusError(
                f"{where}: has {len(matrix)} rows, must have 3: token ids, mask, segment"
            )
        real = np.flatnonzero(matrix[1]) if len(matrix) else np.empty(0, np.int64)
        if not real.size:
            continue
        start, stop = int(real[0]), int(real[-1]) + 1
        if stop - start != real.size or not (matrix[1][real] == 1).all():
            raise CorpusError(f"{where}: the mask (row 1) is not zeros around one run of ones")
        with np.errstate(invalid="ignore"):
            ids = matrix[0][start:stop].astype(np.float64)
        if not ((ids >= 0) & (ids < 2**31) & (ids == np.floor(ids))).all():
            raise CorpusError(f"{where}: the token ids (row 0) are not whole numbers from 0")
        starts[number], stops[number] = start, stop
    return Spans(starts=starts, stops=stops, kind="exact")


def is_aligned(splits: Sequence[Mapping[str, object]], tables: Tables) -> bool:
    """Say whether step t of audio and video belongs to token t.

    It does if the file states no lengths, and every clip has as many steps in ``audio`` and
    ``vision``, as far as it has them, as in
    ``text_bert``.
    """
    if "text_bert" not in tables:
        return False
    if any(key in values for values in splits for key in ("audio_lengths", "vision_lengths")):
        return False
    return all(
        np.array_equal(table.shapes[:, 0], bert.shapes[:, 1])
        for key in ("audio", "vision")
        if key in tables
        for table, bert in zip(tables[key], tables["text_bert"], strict=True)
    )


def find_spans(
    file: FeatureFile, splits: Sequence[Mapping[str, object]], tables: Tables, key: str
) -> list[Spans]:
    """Find the real steps of a series whose length no mask says.

    Args:
        file: The file.
        splits: What each split has.
        tables: The tables of each key, one per split.
        key: Key of the series; its lengths are under ``KEY_lengths``, if they are known.

    Raises:
        CorpusError: If a length is no whole number, or more than the steps that the file has.
    """
    is_ragged = any(table.is_ragged for table in tables[key])
    spans = []
    for values, table in zip(splits, tables[key], strict=True):
        steps = table.shapes[:, 0]
        if f"{key}_lengths" in values:
            spans.append(_read_lengths(file, values[f"{key}_lengths"], table))
            continue
        is_exact = is_ragged and not isinstance(table.value, PickledArray)
        kind: Literal["exact", "unknown"] = "exact" if is_exact else "unknown"
        spans.append(Spans(starts=np.zeros_like(steps), stops=steps, kind=kind))
    return spans


def _read_lengths(file: FeatureFile, value: object, table: Table) -> Spans:
    where = f"{table.where}_lengths"
    steps = table.shapes[:, 0]
    lengths = read_numbers(file, value, len(steps), where)
    wrong = np.flatnonzero(~((lengths >= 0) & (lengths <= steps) & (lengths == np.floor(lengths))))
    if wrong.size:
        row = int(wrong[0])
        raise CorpusError(
            f"{where}: value {row} is {float(lengths[row]):g}, must be a whole number from 0 to "
            f"{steps[row]}, the steps that the file has of this clip"
        )
    stops = lengths.astype(np.int64)
    return Spans(starts=np.zeros_like(stops), stops=stops, kind="given")


def find_text_spans(
    file: FeatureFile,
    splits: Sequence[Mapping[str, object]],
    tables: Tables,
    masks: Sequence[Spans],
) -> list[Spans]:
    """Find the real steps of ``text``: those of the masks, of ``text_lengths``, or all.

    Args:
        file: The file.
        splits: What each split has.
        tables: The tables of each key, one per split.
        masks: The spans of ``text_bert``, one per split, or none.

    Raises:
        CorpusError: If a clip has neither as many steps as its mask nor as many as are real.
    """
    if not masks:
        spans = find_spans(file, splits, tables, "text")
        return [s if s.kind == "given" else replace(s, kind="exact") for s in spans]
    pairs = zip(tables["text"], tables["text_bert"], masks, strict=True)
    return [_follow_mask(table, bert, mask) for table, bert, mask in pairs]


def _follow_mask(table: Table, bert: Table, mask: Spans) -> Spans:
    steps, lengths = table.shapes[:, 0], mask.stops - mask.starts
    is_padded, is_trimmed = steps == bert.shapes[:, 1], steps == lengths
    wrong = np.flatnonzero(~(is_padded | is_trimmed))
    if wrong.size:
        row = int(wrong[0])
        raise CorpusError(
            f"{table.where}: clip {row} has {steps[row]} steps, text_bert has "
            f"{bert.shapes[row, 1]} of which {lengths[row]} are real; they must agree"
        )
    starts = np.where(is_padded, mask.starts, 0)
    return Spans(starts=starts, stops=starts + lengths, kind="exact")
