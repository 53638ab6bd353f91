"""Where the bursts of a made series lie: apart from one another, and where they are asked for."""

import itertools
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np

__all__ = ["Position", "place_bursts"]

Position = Literal["anywhere", "start", "middle", "end"]

#: Between which shares of the places for the first burst, from the first to the last, it begins.
_THIRDS: Final = {"start": (0.0, 1 / 3), "middle": (1 / 3, 2 / 3), "end": (2 / 3, 1.0)}


def place_bursts(
    lengths: Sequence[int], num_steps: int, position: Position, generator: np.random.Generator
) -> list[tuple[int, int]]:
    """Place bursts in a series, a step or more apart; those without room are left out.

    Args:
        lengths: How many steps each takes; the first, which always has room, none is above
            ``num_steps``.
        num_steps: Steps of the series.
        position: Where the first lies; the others lie anywhere else.
        generator: Draws the places.

    Returns:
        The half-open range of steps of each burst that has room, the first one first.
    """
    if position == "anywhere":
        fitting = list(lengths)
        while len(fitting) > 1 and sum(fitting) + len(fitting) - 1 > num_steps:
            fitting.pop()
        return _spread(fitting, (0, num_steps), generator)
    begin = round((num_steps - lengths[0]) * float(generator.uniform(*_THIRDS[position])))
    first = (begin, begin + lengths[0])
    return [first, *_place_around(first, lengths[1:], num_steps, generator)]


def _spread(
    lengths: Sequence[int], span: tuple[int, int], generator: np.random.Generator
) -> list[tuple[int, int]]:
    """Place stretches that fit in a span of steps, in any order, a step or more apart."""
    free = span[1] - span[0] - sum(lengths) - (len(lengths) - 1)
    gaps = np.sort(generator.integers(free + 1, size=len(lengths)))
    placed, taken = {}, span[0]
    for gap, number in zip(
        gaps.tolist(), generator.permutation(len(lengths)).tolist(), strict=True
    ):
        placed[number] = (gap + taken, gap + taken + lengths[number])
        taken += lengths[number] + 1
    return [placed[number] for number in range(len(lengths))]


def _place_around(
    first: tuple[int, int], lengths: Sequence[int], num_steps: int, generator: np.random.Generator
) -> list[tuple[int, int]]:
    """Place bursts before and behind the first; each falls to a side by the room left there."""
    spans = [(0, first[0] - 1), (first[1] + 1, num_steps)]
    left = [max(0, end - begin) for begin, end in spans]
    sides: list[list[int]] = [[], []]
    for length in lengths:
        fits = [size if size >= length else 0 for size in left]
        if any(fits):
            side = int(generator.random() * sum(fits) >= fits[0])
            sides[side].append(length)
            left[side] -= length + 1
    placed = [
        _spread(side, span, generator) for side, span in zip(sides, spans, strict=True) if side
    ]
    return list(itertools.chain(*placed))
