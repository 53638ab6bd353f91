"""Time series of a published feature pickle, read clip by clip: padding dropped, values finite."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32, Num

from mien.corpora.padded_steps import PaddingFinder
from mien.corpora.published.matrices import Table
from mien.corpora.published.padding import Spans
from mien.corpora.safe_pickle.feature_file import FeatureFile, Identity
from mien.errors import FeatureError
from mien.types import SeriesSource

__all__ = ["make_features", "make_tokens"]

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Count:
    """What a pass over a series counts, to be reported once at its end."""

    clips: int = 0
    not_finite: int = 0
    not_finite_clips: int = 0
    scanned_clips: int = 0
    scanned_steps: int = 0
    padded: PaddingFinder = field(default_factory=PaddingFinder)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """What is needed to read a series: the file, and the tables of the splits with their spans."""

    path: Path
    identity: Identity
    name: str
    size: int
    parts: tuple[tuple[Table, Spans], ...]

    def features(self) -> Iterator[Float32[np.ndarray, "_ _"]]:
        count = _Count()
        num_clips = sum(len(table.shapes) for table, _ in self.parts)
        for values, start, stop, kind in self._read():
            count.clips += 1
            start, stop = _find_steps(values, start, stop, kind, count)
            clean = self._clean(values[start:stop], count)
            if count.clips == num_clips:
                self._report(count)  # before the last clip: nobody need ask for one more
            yield clean

    def tokens(self) -> Iterator[Int32[np.ndarray, "_ 1"]]:
        for matrix, start, stop, _ in self._read():
            ids = matrix[0, start:stop] if len(matrix) else np.empty(0)
            yield ids.astype(np.int32)[:, np.newaxis]

    def _read(self) -> Iterator[tuple[Num[np.ndarray, "_ _"], int, int, str]]:
        with FeatureFile(self.path, self.identity) as file:
            for table, spans in self.parts:
                steps = zip(spans.starts.tolist(), spans.stops.tolist(), strict=True)
                for values, (start, stop) in zip(table.read(file), steps, strict=True):
                    yield values, start, stop, spans.kind

    def _clean(self, values: Num[np.ndarray, "T _"], count: _Count) -> Float32[np.ndarray, "T _"]:
        if not len(values):
            return np.empty((0, self.size), np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            values = values.astype(np.float32)
        finite = np.isfinite(values)
        if not finite.all():
            count.not_finite += int(values.size - finite.sum())
            count.not_finite_clips += 1
            values[~finite] = 0
        return values

    def _report(self, count: _Count) -> None:
        where = f"{self.path.name}: {self.name}"
        if count.not_finite:
            logger.warning(
                "%s: %d values in %d of %d clips are infinite or not a number; they become 0",
                where,
                count.not_finite,
                count.not_finite_clips,
                count.clips,
            )
        count.padded.report(where, count.clips)
        if count.scanned_clips:
            logger.warning(
                "%s: the file does not say how long clips are; %d rows of zeros at the ends of %d "
                "of %d clips are treated as padding",
                where,
                count.scanned_steps,
                count.scanned_clips,
                count.clips,
            )


def _find_steps(
    values: Num[np.ndarray, "_ _"], start: int, stop: int, kind: str, count: _Count
) -> tuple[int, int]:
    if kind == "given" and start == 0:
        return count.padded.find(values, stop)
    if kind == "unknown":
        real = np.flatnonzero(values.any(axis=1))
        start, stop = (int(real[0]), int(real[-1]) + 1) if real.size else (0, 0)
        if stop - start < len(values):
            count.scanned_clips += 1
            count.scanned_steps += len(values) - stop + start
    return start, stop


def make_features(
    file: FeatureFile,
    name: str,
    extractor: str,
    tables: Sequence[Table],
    spans: Sequence[Spans],
) -> SeriesSource:
    """Make the source of a series of features.

    Values that are infinite or no numbers become 0; each complete pass reports once how many.
    It also reports how much padding was recognised by its values.

    Args:
        file: The file.
        name: Name of the series.
        extractor: What is known about where the values come from.
        tables: The values, one table per split.
        spans: Which steps are real, for each table.

    Raises:
        FeatureError: If the clips differ in the number of values per step, or it is 0.
    """
    size = _find_size(tables)
    parts = tuple(zip(tables, spans, strict=True))
    reading = _Pass(path=file.path, identity=file.identity, name=name, size=size, parts=parts)
    return SeriesSource(
        name=name, size=size, dtype="float32", extractor=extractor, read=reading.features
    )


def make_tokens(
    file: FeatureFile, extractor: str, tables: Sequence[Table], spans: Sequence[Spans]
) -> SeriesSource:
    """Make the source of the token ids, from the tables of ``text_bert`` and their masks."""
    parts = tuple(zip(tables, spans, strict=True))
    reading = _Pass(path=file.path, identity=file.identity, name="tokens", size=1, parts=parts)
    return SeriesSource(
        name="tokens", size=1, dtype="int32", extractor=extractor, read=reading.tokens
    )


def _find_size(tables: Sequence[Table]) -> int:
    common: int | None = None
    for table in tables:
        for number in np.flatnonzero(table.shapes[:, 0]).tolist():
            size = int(table.shapes[number, 1])
            common = size if common is None else common
            if size != common or not size:
                raise FeatureError(
                    f"{table.where}: clip {number} has {size} values per step, "
                    f"must be {common or 'at least 1'} as in the other clips"
                )
    if common is None:
        raise FeatureError(f"{tables[0].where}: no clip has a step; a series needs at least one")
    return common
