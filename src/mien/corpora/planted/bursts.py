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
        kept = list(lengths)
        while len(kept) > 1 and sum(kept) + len(kept) - 1 > num_steps:
            kept.pop()
        return _spread(kept, (0, num_steps), generator)
    begin = round((num_steps - lengths[0]) * float(generator.uniform(*_THIRDS[position])))
    first = (begin, begin + lengths[0])
    return [first, *_place_around(first, lengths[1:], num_steps, generator)]


def _spread(
    lengths: Sequence[int], room: tuple[int, int], generator: np.random.Generator
) -> list[tuple[int, int]]:
    """Place stretches that fit in a room, in any order, a step or more apart."""
    free = room[1] - room[0] - sum(lengths) - (len(lengths) - 1)
    gaps = np.sort(generator.integers(free + 1, size=len(lengths)))
    places, taken = {}, room[0]
    for gap, one in zip(gaps.tolist(), generator.permutation(len(lengths)).tolist(), strict=True):
        places[one] = (gap + taken, gap + taken + lengths[one])
        taken += lengths[one] + 1
    return [places[one] for one in range(len(lengths))]


def _place_around(
    first: tuple[int, int], lengths: Sequence[int], num_steps: int, generator: np.random.Generator
) -> list[tuple[int, int]]:
    """Place bursts before and behind the first; each falls to a side by the room left there."""
    rooms = [(0, first[0] - 1), (first[1] + 1, num_steps)]
    left = [max(0, end - begin) for begin, end in rooms]
    sides: list[list[int]] = [[], []]
    for length in lengths:
        fits = [room if room >= length else 0 for room in left]
        if any(fits):
            side = int(generator.random() * sum(fits) >= fits[0])
            sides[side].append(length)
            left[side] -= length + 1
    placed = [
        _spread(side, room, generator) for side, room in zip(sides, rooms, strict=True) if side
    ]
    return list(itertools.chain(*placed))
