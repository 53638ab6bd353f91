"""The order of the clips of a video: by start times, else by the numbers in their names."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float64, Int

__all__ = ["are_seconds", "order_clips"]

_Number = tuple[int, str]
_DECIMAL = re.compile(r"[0-9]+_[0-9]+")
_PADDED = re.compile(r"[0-9]+_[0-9]+0")
_DIGITS = re.compile(r"([0-9]+)")


def are_seconds(names: Iterable[str]) -> bool:
    """Return whether names such as ``82_7645`` are seconds with decimals, as CMU-MOSEI has them.

    They are not if one ends in a needless zero: ``1_10`` is two numbers, and comes after ``1_9``.
    Where no video had ten of anything nothing would tell, so that all names of a corpus are asked.

    Args:
        names: Name of every clip of a corpus in its video.

    >>> are_seconds(["82_7645", "4_84"]), are_seconds(["1_9", "1_10"])
    (True, False)
    """
    return not any(_PADDED.fullmatch(name) for name in names)


def order_clips(
    names: Sequence[str], starts: Float64[np.ndarray, " N"], *, with_seconds: bool = True
) -> Int[np.ndarray, " N"] | None:
    """Return the places of the clips of one video in the order of time; None if it is unknown.

    Start times decide if all are known; of clips that begin at one time, and where some times are
    not known, the numbers in the names do, ``2`` before ``10``, if the names are alike in all else.

    Args:
        names: Name of each clip in its video.
        starts: Where each begins, in seconds; NaN if that is not known.
        with_seconds: Whether names of two numbers may be seconds with decimals (``are_seconds``).

    >>> order_clips(["10", "2"], np.full(2, np.nan)).tolist()
    [1, 0]
    """
    times = starts if np.isfinite(starts).all() else np.zeros(len(starts))
    if len(np.unique(times)) == len(times):
        return np.argsort(times)
    keys = (_read_seconds(names) if with_seconds else None) or _read_numbers(names)
    if keys is None:
        return None
    pairs = list(zip(times.tolist(), keys, strict=True))
    if len(set(pairs)) < len(names):
        return None
    return np.array(sorted(range(len(names)), key=pairs.__getitem__), dtype=np.int64)


def _read_seconds(names: Sequence[str]) -> list[tuple[_Number, str]] | None:
    """Return names that are seconds with decimals in a form to sort by; None if they are none."""
    if not all(_DECIMAL.fullmatch(name) for name in names):
        return None
    pairs = [name.split("_") for name in names]
    return [(_number(seconds), decimals.rstrip("0")) for seconds, decimals in pairs]


def _read_numbers(names: Sequence[str]) -> list[tuple[_Number, ...]] | None:
    """Return the numbers in names that are alike in all else; None if they are not."""
    parts = [_DIGITS.split(name) for name in names]
    if len({tuple(part[::2]) for part in parts}) != 1 or len(parts[0]) == 1:
        return None
    return [tuple(map(_number, part[1::2])) for part in parts]


def _number(digits: str) -> _Number:
    """Return a number of any length in a form to sort by."""
    digits = digits.lstrip("0")
    return len(digits), digits
