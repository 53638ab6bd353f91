"""Series of clips with steps cut out, blank, noisy or late; the same clip always suffers the same.

What is drawn for a clip depends on the seed, the clip's name and the modality alone. So every
model is tested on the same clips, and a step that is lost at one level is lost at all higher ones.
"""

import zlib
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Num

from mien.types import Modality

__all__ = ["add_noise", "draw_for", "drop_steps", "lose_modalities", "slip"]


def draw_for(seed: int, clip: str, modality: Modality) -> np.random.Generator:
    """Return the random numbers of a clip's modality."""
    return np.random.default_rng([seed, zlib.crc32(f"{modality}/{clip}".encode())])


def drop_steps(
    values: Num[np.ndarray, "T D"],
    chances: Float[np.ndarray, " T"],
    share: float,
    how: Literal["cut", "zero"],
) -> Num[np.ndarray, "_ D"]:
    """Cut steps out, or make them zero.

    Args:
        values: The series.
        chances: A number from 0 to 1 for each step; those below ``share`` are lost. Infinite ones
            stay.
        share: Share of the steps that is lost.
        how: What becomes of them; one step always stays of those that could be cut.
    """
    is_lost = chances < share
    if how == "zero":
        return np.where(is_lost[:, None], np.zeros((), values.dtype), values)
    if is_lost.size and is_lost.all():
        is_lost[np.argmax(chances)] = False
    return values[~is_lost]


def add_noise(
    values: Float[np.ndarray, "T D"],
    rng: np.random.Generator,
    level: float,
    deviation: Float[np.ndarray, " D"],
) -> Float[np.ndarray, "T D"]:
    """Add normal noise of ``level`` times the deviation of each feature."""
    noise = rng.standard_normal(values.shape)
    return (values + level * deviation * noise).astype(values.dtype)


def slip(values: Num[np.ndarray, "T D"], share: float) -> Num[np.ndarray, "T D"]:
    """Delay a series by a share of its steps, which repeat the first one.

    >>> slip(np.array([[1], [2], [3], [4]]), 0.5)[:, 0].tolist()
    [1, 1, 1, 2]
    """
    num_late = round(share * len(values))
    if not num_late:
        return values
    return np.concatenate([np.repeat(values[:1], num_late, axis=0), values])[: len(values)]


def lose_modalities(
    present: Bool[np.ndarray, "M N"], chances: Float[np.ndarray, "M N"], share: float
) -> Bool[np.ndarray, "M N"]:
    """Return which modalities each clip loses; it keeps one of those that it has.

    Args:
        present: Which modalities each clip has.
        chances: A number from 0 to 1 for each; those below ``share`` are lost. Infinite ones stay.
        share: Share of the clips.
    """
    lost = present & (chances < share)
    would_be_empty = present.any(axis=0) & ~(present & ~lost).any(axis=0)
    luckiest = np.where(present, chances, -1.0).argmax(axis=0)
    lost[luckiest[would_be_empty], np.flatnonzero(would_be_empty)] = False
    return lost
