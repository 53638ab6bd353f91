"""Sound of any length analysed in consecutive windows of a fixed length, so that memory is bounded.

Where the windows lie depends on the sound alone, never on how it was fed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from mien.errors import FeatureError, MediaError
from mien.extraction.extractors.protocols import Features
from mien.extraction.media.segments import Source

__all__ = ["Analysis", "AudioWindow", "WindowStream", "Windowing"]

Samples = Float32[np.ndarray, " S"]


class AudioWindow(NamedTuple):
    """A window of a clip's sound with what lies around it.

    Attributes:
        samples: The window, after some samples before it and followed by some after it.
        first: Number of the first of these samples in the clip.
        begin: Number of the first sample of the window itself.
        end: Number of the sample after it; None if the clip ends with it.
    """

    samples: Samples
    first: int
    begin: int
    end: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Windowing:
    """How sound is cut.

    Attributes:
        hop: Samples of a window; the last one takes what is left, and may have ``after`` more.
        before: Samples that a window is given of what lies before it.
        after: The same for what lies after it; no last window is shorter than this.
        least: Samples without which nothing can be said.
    """

    hop: int
    before: int = 0
    after: int = 0
    least: int = 1


class Analysis(NamedTuple):
    """Features of a window.

    Attributes:
        values: Features of the steps that belong to the window.
        times: Their centres, in seconds of the clip.
    """

    values: Float[np.ndarray, "T D"]
    times: Float[np.ndarray, " T"]


class WindowStream:
    """A clip's sound on its way through an analysis window by window.

    Args:
        windowing: How it is cut.
        analyse: Makes features of a window.
        source: The clip, for messages.
        name: The extractor, for messages.
        size: Values per step, D.
        rate_hertz: Samples a second.
    """

    def __init__(
        self,
        windowing: Windowing,
        analyse: Callable[[AudioWindow], Analysis],
        *,
        source: Source,
        name: str,
        size: int,
        rate_hertz: int,
    ) -> None:
        self._windowing = windowing
        self._analyse = analyse
        self._source = source
        self._name = name
        self._rate = rate_hertz
        self._waiting: list[Samples] = []
        self._num_waiting = 0
        self._first = 0  # number of the first sample that waits
        self._begin = 0  # and of the first that no finished window has
        self._analyses: list[Analysis] = [Analysis(np.empty((0, size)), np.empty(0))]

    def feed(self, samples: Samples) -> None:
        """Take the next samples; whenever a window is complete, it is analysed."""
        self._waiting.append(samples.copy())
        self._num_waiting += samples.size
        for window in self._cut():
            self._take(window)

    def finish(self) -> Features:
        """Return the features of all that was fed; no step if that was nothing.

        Raises:
            MediaError: If it was less than the analysis needs.
            FeatureError: If a value is not finite.
        """
        total = self._first + self._num_waiting
        if 0 < total < self._windowing.least:
            raise MediaError(
                f"{self._source.path}: the clip has {total} samples of sound "
                f"({total / self._rate:.3f} s), shorter than one frame of {self._name} "
                f"({self._windowing.least} samples, {self._windowing.least / self._rate:.3f} s)"
            )
        if total:
            self._take(AudioWindow(np.concatenate(self._waiting), self._first, self._begin, None))
        values = np.concatenate([analysis.values for analysis in self._analyses]).astype(np.float32)
        times = np.concatenate([analysis.times for analysis in self._analyses])
        return Features(values=values, times=times, notes={})

    def _cut(self) -> Iterator[AudioWindow]:
        """Yield the windows of which it is certain that they are not the last."""
        while (
            self._first + self._num_waiting
            > self._begin + self._windowing.hop + self._windowing.after
        ):
            waiting = np.concatenate(self._waiting)
            end = self._begin + self._windowing.hop
            samples = waiting[: end + self._windowing.after - self._first]
            yield AudioWindow(samples, self._first, self._begin, end)
            rest = waiting[max(end - self._windowing.before, 0) - self._first :].copy()
            self._first += waiting.size - rest.size
            self._begin = end
            self._waiting, self._num_waiting = [rest], rest.size

    def _take(self, window: AudioWindow) -> None:
        analysis = self._analyse(window)
        if not np.isfinite(analysis.values).all():
            step, feature = np.argwhere(~np.isfinite(analysis.values))[0]
            raise FeatureError(
                f"{self._source.path}: {self._name} gives {analysis.values[step, feature]} for "
                f"feature {feature} at {analysis.times[step]:.2f} s, must be finite"
            )
        self._analyses.append(analysis)
