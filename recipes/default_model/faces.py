"""Stills of faces made into short series, as a face in a clip moves: from rest, and back."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy.special import expit, logit

#: Steps a second of the series, as ``blendshapes/1`` gives them.
RATE = 10.0
#: Blendshapes closer to 0 or 1 are read as this far from it, as ``model.log_odds`` reads them.
NEAREST = 1e-7


@dataclass(frozen=True, kw_only=True)
class Face:
    """A still.

    Attributes:
        shapes: Its 52 blendshapes.
        rest: Stills of the same person without expression, ``(N, 52)``; None if there are none.
    """

    shapes: np.ndarray
    rest: np.ndarray | None


@dataclass(frozen=True, kw_only=True)
class Jitter:
    """How much a blendshape moves while a person talks without expression.

    Attributes:
        deviation: Standard deviation within a take, ``(52,)``.
        log_odds: That of their log odds, ``(52,)``.
    """

    deviation: np.ndarray
    log_odds: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Motion:
    """How stills become series.

    Attributes:
        constant_share: Share of the series that hold the still throughout, with jitter alone.
        still_share: Share of the series that are the still itself, one step.
        longest: Most steps.
        offset: Standard deviation of what a clip adds to each blendshape in all of its steps, as
            persons, cameras and tracking differ; a share of the deviation among faces at rest.
        smoothness: How much of its jitter a step keeps from the one before, 0 to 1.
        jitter_of: Whether jitter is added to blendshapes, as shares, or to their log odds, so that
            small ones stay small and none is cut to 0; there it is no larger than as shares.
    """

    constant_share: float = 0.3
    still_share: float = 0.15
    longest: int = 100
    offset: float = 0.25
    smoothness: float = 0.6
    jitter_of: Literal["shares", "log_odds"] = "shares"


@dataclass(frozen=True, kw_only=True)
class Animator:
    """Makes series of stills.

    Attributes:
        motion: How.
        jitter: How much blendshapes move at rest.
        rests: Faces at rest of other people, for those without one of their own, ``(N, 52)``.
    """

    motion: Motion
    jitter: Jitter
    rests: np.ndarray

    @cached_property
    def _spread(self) -> np.ndarray:
        """Standard deviation of what a clip adds to each blendshape, ``(52,)``."""
        spread: np.ndarray = self.rests.std(axis=0) * self.motion.offset
        return spread

    def animate(self, face: Face, random: np.random.Generator) -> np.ndarray:
        """Return a series of the face, ``(T, 52)``, values 0 to 1."""
        motion = self.motion
        offset = random.normal(size=self._spread.shape) * self._spread
        if random.random() < motion.still_share:
            return _cut(face.shapes[None] + offset)
        length = round(np.exp(random.uniform(np.log(3), np.log(motion.longest))))
        is_constant = random.random() < motion.constant_share
        shown = np.ones(length) if is_constant else draw_course(length, random)
        rests = self.rests if face.rest is None or not len(face.rest) else face.rest
        rest = rests[random.integers(len(rests))]
        series = rest + shown[:, None] * (face.shapes - rest) + offset
        noise = self._move(length, random)
        if motion.jitter_of == "shares":
            return _cut(series + noise * self.jitter.deviation)
        odds = as_log_odds(series)
        shares = expit(odds)
        most = self.jitter.deviation / (shares * (1 - shares))
        return _cut(expit(odds + noise * np.minimum(self.jitter.log_odds, most)))

    def _move(self, length: int, random: np.random.Generator) -> np.ndarray:
        """Return jitter whose steps hang together, in standard deviations, ``(T, 52)``."""
        keep = self.motion.smoothness
        noise = random.normal(size=(length, len(self.jitter.deviation)))
        for step in range(1, length):
            noise[step] = keep * noise[step - 1] + np.sqrt(1 - keep**2) * noise[step]
        return noise


def draw_course(length: int, random: np.random.Generator) -> np.ndarray:
    """Draw how far an expression is there at each step, 0 to 1: once or twice up and down.

    The face is at its height in one step at least.
    """
    steps = np.arange(length)
    course = np.zeros(length)
    for _ in range(1 + (random.random() < 0.3)):
        rise, fall = random.uniform(1.0, 0.8 * RATE, size=2)
        held = random.uniform(0.0, 0.6) * length
        start = random.uniform(-rise - held / 2, max(length - rise - held / 2, 1.0))
        up, down = (steps - start) / rise, (start + rise + held + fall - steps) / fall
        course = np.maximum(course, np.clip(np.minimum(up, down), 0.0, 1.0))
    course[random.integers(length) if course.max() < 0.2 else course.argmax()] = 1.0
    return course


def as_log_odds(shares: np.ndarray) -> np.ndarray:
    """Return the log odds of blendshapes, finite for 0 and 1 as well."""
    odds: np.ndarray = logit(np.clip(shares, NEAREST, 1 - NEAREST, dtype=np.float64))
    return odds


def _cut(series: np.ndarray) -> np.ndarray:
    return np.clip(series, 0.0, 1.0).astype(np.float32)
