"""Sound of any length analysed in consecutive pieces of a fixed length, so that memory is bounded.

Where the pieces lie depends on the sound alone, never on how it was fed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from mien.errors import FeatureError, MediaError
from mien.extraction.extractors.protocols import Features
from mien.extraction.media.segments import Source

__all__ = ["Analysis", "Piece", "PieceStream", "Pieces"]

Samples = Float32[np.ndarray, " S"]


class Piece(NamedTuple):
    """A piece of a clip's sound with what lies around it.

    Attributes:
        samples: The piece, after some samples before it and followed by some after it.
        first: Number of the first of these samples in the clip.
        begin: Number of the first sample of the piece itself.
        end: Number of the sample after it; None if the clip ends with it.
    """

    samples: Samples
    first: int
    begin: int
    end: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """How sound is cut.

    Attributes:
        hop: Samples of a piece; the last one takes what is left, and may have ``after`` more.
        before: Samples that a piece is given of what lies before it.
        after: The same for what lies after it; no last piece is shorter than this.
        least: Samples without which nothing can be said.
    """

    hop: int
    before: int = 0
    after: int = 0
    least: int = 1


class Analysis(NamedTuple):
    """What was found in a piece.

    Attributes:
        values: Features of the steps that belong to the piece.
        times: Their centres, in seconds of the clip.
    """

    values: Float[np.ndarray, "T D"]
    times: Float[np.ndarray, " T"]


class PieceStream:
    """A clip's sound on its way through an analysis piece by piece.

    Args:
        pieces: How it is cut.
        analyse: Makes features of a piece.
        source: The clip, for messages.
        name: The extractor, for messages.
        size: Values per step, D.
        rate_hertz: Samples a second.
    """

    def __init__(
        self,
        pieces: Pieces,
        analyse: Callable[[Piece], Analysis],
        *,
        source: Source,
        name: str,
        size: int,
        rate_hertz: int,
    ) -> None:
        self._pieces = pieces
        self._analyse = analyse
        self._source = source
        self._name = name
        self._rate = rate_hertz
        self._waiting: list[Samples] = []
        self._num_waiting = 0
        self._first = 0  # number of the first sample that waits
        self._begin = 0  # and of the first that no finished piece has
        self._found: list[Analysis] = [Analysis(np.empty((0, size)), np.empty(0))]

    def feed(self, samples: Samples) -> None:
        """Take the next samples; whenever a piece is complete, it is analysed."""
        self._waiting.append(samples.copy())
        self._num_waiting += samples.size
        for piece in self._cut():
            self._take(piece)

    def finish(self) -> Features:
        """Return the features of all that was fed; no step if that was nothing.

        Raises:
            MediaError: If it was less than the analysis needs.
            FeatureError: If a value is not finite.
        """
        total = self._first + self._num_waiting
        if 0 < total < self._pieces.least:
            raise MediaError(
                f"{self._source.path}: the clip has {total} samples of sound "
                f"({total / self._rate:.3f} s), shorter than one frame of {self._name} "
                f"({self._pieces.least} samples, {self._pieces.least / self._rate:.3f} s)"
            )
        if total:
            self._take(Piece(np.concatenate(self._waiting), self._first, self._begin, None))
        values = np.concatenate([one.values for one in self._found]).astype(np.float32)
        times = np.concatenate([one.times for one in self._found])
        return Features(values=values, times=times, notes={})

    def _cut(self) -> Iterator[Piece]:
        """Yield the pieces of which it is certain that they are not the last."""
        while self._first + self._num_waiting > self._begin + self._pieces.hop + self._pieces.after:
            waiting = np.concatenate(self._waiting)
            end = self._begin + self._pieces.hop
            heard = waiting[: end + self._pieces.after - self._first]
            yield Piece(heard, self._first, self._begin, end)
            rest = waiting[max(end - self._pieces.before, 0) - self._first :].copy()
            self._first += waiting.size - rest.size
            self._begin = end
            self._waiting, self._num_waiting = [rest], rest.size

    def _take(self, piece: Piece) -> None:
        found = self._analyse(piece)
        if not np.isfinite(found.values).all():
            step, feature = np.argwhere(~np.isfinite(found.values))[0]
            raise FeatureError(
                f"{self._source.path}: {self._name} gives {found.values[step, feature]} for "
                f"feature {feature} at {found.times[step]:.2f} s, must be finite"
            )
        self._found.append(found)
