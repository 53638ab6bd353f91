"""How well generated labels and attention agree with a truth that is known."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from mien.errors import MetricError
from mien.evaluation.metrics import (
    METRICS,
    Metric,
    Scores,
    Sums,
    check_scores,
    corr,
    divide,
    mean_of_sums,
)

__all__ = [
    "AGREEMENT",
    "Agreement",
    "AttentionShare",
    "LabelAgreement",
    "agreement",
    "attention_share",
    "fit_monotone",
    "rank",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How well generated labels agree with the truth, over some clips; NaN where undefined.

    Attributes:
        num_clips: Clips that were compared.
        pearson: Correlation of the values; undefined if one side is constant.
        spearman: Correlation of their ranks, equal values sharing the mean of their ranks.
        mae: Mean absolute error.
        mae_monotone: Mean absolute error after the labels went through the increasing map that
            fits these very clips best in squares: what is wrong besides the scale.
        num_signed: Clips whose truth is not exactly 0.
        sign: Share of those whose label has the sign of the truth; a label of 0 has neither sign.
    """

    num_clips: int
    pearson: float
    spearman: float
    mae: float
    mae_monotone: float
    num_signed: int
    sign: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelAgreement:
    """How well generated unimodal labels agree with the true ones.

    Attributes:
        everywhere: Over all clips.
        conflicting: Over the clips in which the modality says the opposite of the whole: its truth
            and the multimodal annotation have opposite signs. Copies of the annotation fail here.
    """

    everywhere: Agreement
    conflicting: Agreement


def agreement(generated: Scores, truth: Scores, annotated: Scores) -> LabelAgreement:
    """Compare the labels that were generated for one modality with its true ones.

    Args:
        generated: Generated labels of the modality.
        truth: What people, or the maker of a planted corpus, say of that modality alone.
        annotated: The multimodal annotation.

    Raises:
        MetricError: If there is no clip, or a value is not finite.
    """
    check_scores(generated, truth)
    check_scores(annotated, truth)
    conflicting = np.sign(truth) * np.sign(annotated) < 0
    return LabelAgreement(
        everywhere=_agree(generated, truth),
        conflicting=_agree(generated[conflicting], truth[conflicting]),
    )


def _agree(generated: Scores, truth: Scores) -> Agreement:
    values = {name: metric(generated, truth) for name, metric in AGREEMENT.items()}
    return Agreement(num_clips=len(truth), num_signed=int(np.count_nonzero(truth)), **values)


def rank(values: Scores) -> Float[np.ndarray, " N"]:
    """Return the rank of each value, from 1; equal values share the mean of their ranks.

    >>> rank(np.array([0.5, -1.0, 0.5]))
    array([2.5, 1. , 2.5])
    """
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Float[np.ndarray, " N"] = (np.cumsum(counts) - (counts - 1) / 2)[where]
    return ranks


def fit_monotone(inputs: Scores, targets: Scores) -> Float[np.ndarray, " N"]:
    """Map the inputs by the increasing function that comes closest to the targets, in squares.

    Pools adjacent violators: walking up the inputs, a mean that is below its left neighbour is
    merged with it. Equal inputs get one value.

    Source: ayer1955.

    >>> fit_monotone(np.array([1.0, 2.0, 3.0]), np.array([0.0, 4.0, 2.0]))
    array([0., 3., 3.])
    """
    levels, where, counts = np.unique(inputs, return_inverse=True, return_counts=True)
    sums = np.bincount(where, weights=targets, minlength=len(levels))
    pools: list[tuple[float, int, int]] = []  # sum of targets, clips, levels
    for total, count in zip(sums.tolist(), counts.tolist(), strict=True):
        pool = (total, count, 1)
        while pools and pools[-1][0] * pool[1] >= pool[0] * pools[-1][1]:
            left = pools.pop()
            pool = (left[0] + pool[0], left[1] + pool[1], left[2] + pool[2])
        pools.append(pool)
    means = [total / count for total, count, _ in pools]
    return np.repeat(means, [num_levels for _, _, num_levels in pools])[where]


def _spearman(generated: Scores, truth: Scores) -> float:
    check_scores(generated, truth)
    return corr(rank(generated), rank(truth))


def _spearman_of_counts(
    generated: Scores, truth: Scores, counts: Int[np.ndarray, "R N"]
) -> Float[np.ndarray, " R"]:
    """Return the rank correlation of every resample, whose clips are ranked anew."""
    x, y = _ranks_of_counts(generated, counts), _ranks_of_counts(truth, counts)
    num = counts.sum(axis=1, keepdims=True)
    x -= (counts * x).sum(axis=1, keepdims=True) / num
    y -= (counts * y).sum(axis=1, keepdims=True) / num
    xx, yy, xy = ((counts * a * b).sum(axis=1) for a, b in ((x, x), (y, y), (x, y)))
    return divide(xy, np.sqrt(xx * yy)).clip(-1.0, 1.0)


def _ranks_of_counts(values: Scores, counts: Int[np.ndarray, "R N"]) -> Float[np.ndarray, "R N"]:
    """Return ``rank`` of each value among those drawn; of no meaning for a value that is not."""
    _, starts, where = np.unique(
        np.sort(values, kind="stable"), return_index=True, return_inverse=True
    )
    order = np.argsort(values, kind="stable")
    drawn = np.add.reduceat(counts[:, order], starts, axis=1)
    ranks = np.empty(counts.shape)
    ranks[:, order] = (np.cumsum(drawn, axis=1) - (drawn - 1) / 2)[:, where]
    return ranks


def _mapped_errors(generated: Scores, truth: Scores) -> Float[np.ndarray, "N 2"]:
    check_scores(generated, truth)
    errors = np.abs(fit_monotone(generated, truth) - truth)
    return np.stack([errors, np.ones(len(errors))], axis=1)


def _sign_hits(generated: Scores, truth: Scores) -> Float[np.ndarray, "N 2"]:
    check_scores(generated, truth)
    signed = truth != 0
    hits = signed & (np.sign(generated) == np.sign(truth))
    return np.stack([hits, signed], axis=1).astype(np.float64)


def _mapped_mae(generated: Scores, truth: Scores) -> float:
    return float(mean_of_sums(_mapped_errors(generated, truth).sum(axis=0)))


def _sign(generated: Scores, truth: Scores) -> float:
    return float(mean_of_sums(_sign_hits(generated, truth).sum(axis=0)))


#: What ``Agreement`` holds, as metrics of generated and true labels that can be resampled.
AGREEMENT: Final[dict[str, Metric]] = {
    "pearson": METRICS["general"]["corr"],
    "spearman": Metric(
        function=_spearman,
        higher_is_better=True,
        is_share=False,
        description="correlation of ranks, equal values sharing the mean of theirs",
        weighted=_spearman_of_counts,
        limits=(-1.0, 1.0),
    ),
    "mae": METRICS["general"]["mae"],
    "mae_monotone": Metric(
        function=_mapped_mae,
        higher_is_better=False,
        is_share=False,
        description="mean absolute error after the increasing map that fits these clips best; "
        "resampled with the map held as it is",
        sums=Sums(terms=_mapped_errors, combine=mean_of_sums),
        limits=(0.0, math.inf),
    ),
    "sign": Metric(
        function=_sign,
        higher_is_better=True,
        is_share=True,
        description="share of clips with the sign of the truth; a truth of 0 does not count, a "
        "label of 0 has neither sign",
        sums=Sums(terms=_sign_hits, combine=mean_of_sums),
    ),
}


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
