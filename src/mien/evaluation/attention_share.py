"""How much attention falls on the moments of a clip that are known to matter."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from mien.data.clips.clip_columns import as_clips
from mien.errors import MetricError
from mien.evaluation.formulas import divide
from mien.evaluation.predictions import Predictions
from mien.types import Clip, Modality

__all__ = ["AttentionShare", "Tokens", "attention_share", "moment_in_steps", "share_attention"]

#: Tokens of a clip's transcript: text, and its first and last place in characters; None where they
#: are not known.
Tokens = Callable[[Clip], list[tuple[str, int, int]] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionShare:
    """How much attention falls on the moments that are known to matter.

    Attributes:
        shares: Share of each clip's absolute attention inside its moments; NaN if the clip has no
            real step or no attention.
        uniform: The share that equal weights would get: real steps inside, over real steps.
        num_clips: Clips with a share; the means are over these.
        mean: Mean share; NaN if no clip has one.
        uniform_mean: Mean share of equal weights.
        ratio: ``mean / uniform_mean``; 1 is what attention that knows nothing gets.
    """

    shares: Float[np.ndarray, " N"]
    uniform: Float[np.ndarray, " N"]
    num_clips: int
    mean: float
    uniform_mean: float
    ratio: float


def attention_share(
    weights: Float[np.ndarray, "N T"], mask: Bool[np.ndarray, "N T"], span: Int[np.ndarray, "N 2"]
) -> AttentionShare:
    """Measure how much attention falls inside known moments.

    Weights may be negative: a step that speaks against the others counts by its size. Weights
    where the mask is False are ignored.

    Args:
        weights: Weight of each time step.
        mask: True at real steps.
        span: First step of each clip's moment and the step after its last.

    Raises:
        MetricError: If a real step's weight is not finite, or a moment has no real step in a clip
            that has some.
    """
    steps = np.arange(weights.shape[1])
    inside = mask & (steps >= span[:, :1]) & (steps < span[:, 1:])
    _check_attention(weights, mask, inside, span)
    sizes = np.where(mask, np.abs(weights), 0.0).astype(np.float64)
    shares = divide((sizes * inside).sum(axis=1), sizes.sum(axis=1))
    uniform = divide(inside.sum(axis=1, dtype=float), mask.sum(axis=1, dtype=float))
    counted = np.isfinite(shares)
    mean, uniform_mean = (
        float(v[counted].mean()) if counted.any() else math.nan for v in (shares, uniform)
    )
    return AttentionShare(
        shares=shares,
        uniform=uniform,
        num_clips=int(counted.sum()),
        mean=mean,
        uniform_mean=uniform_mean,
        ratio=mean / uniform_mean,
    )


def _check_attention(
    weights: Float[np.ndarray, "N T"],
    mask: Bool[np.ndarray, "N T"],
    inside: Bool[np.ndarray, "N T"],
    span: Int[np.ndarray, "N 2"],
) -> None:
    broken = np.count_nonzero(~np.isfinite(weights) & mask)
    if broken:
        raise MetricError(
            f"attention: {broken} of {np.count_nonzero(mask)} weights are not finite, all must be "
            "numbers; check whether the training diverged"
        )
    missed = np.flatnonzero(mask.any(axis=1) & ~inside.any(axis=1))
    if missed.size:
        row = missed[0]
        raise MetricError(
            f"attention: the moment of row {row} is {span[row].tolist()!r}, it must have a step "
            f"among the clip's {np.count_nonzero(mask[row])}; leave out clips without a moment"
        )


def share_attention(
    predictions: Predictions, clips: Sequence[Clip], tokens: Tokens
) -> dict[Modality, tuple[list[int], AttentionShare]]:
    """Return, per modality, the rows of the clips with a known moment, and their shares."""
    shared = {}
    for modality, weights in predictions.attention.items():
        rows, spans = [], []
        for row in np.flatnonzero(as_clips(clips).have_moment(modality)).tolist():
            span = moment_in_steps(clips[row], modality, tokens)
            if span is not None and len(weights[row]) >= span[1] > span[0]:
                rows.append(row)
                spans.append(span)
        if rows:
            lengths = np.array([len(weights[row]) for row in rows])
            mask = np.arange(lengths.max()) < lengths[:, None]
            padded = np.zeros(mask.shape)
            padded[mask] = np.concatenate([weights[row] for row in rows])
            shared[modality] = (rows, attention_share(padded, mask, np.array(spans)))
    return shared


def moment_in_steps(clip: Clip, modality: Modality, tokens: Tokens) -> tuple[int, int] | None:
    """Return a clip's moment in steps of the series; for text, from characters to tokens."""
    if modality not in clip.moments:
        return None
    start, end = clip.moments[modality]
    if modality is not Modality.TEXT:
        return start, end
    places = tokens(clip)
    if places is None:
        return None
    inside = [i for i, (_, a, b) in enumerate(places) if a < end and b > start and b > a]
    return (inside[0], inside[-1] + 1) if inside else None
