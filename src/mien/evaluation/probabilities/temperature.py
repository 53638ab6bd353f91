"""One number that makes probabilities as sure as they are right: temperature scaling.

Probabilities are enough for it, no logits are needed: they are the same but for a constant.

    classes: p_k^(1 / T) / sum over j of p_j^(1 / T)
    labels:  each label by itself, against its not being there

The order of the classes stays as it is, and with it every metric that counts classes.

Source: guo2017.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Float

from mien.evaluation.target_metrics.class_metrics import LEAST_PROBABILITY
from mien.evaluation.target_metrics.target_values import (
    annotated_rows,
    check_probabilities,
    check_shares,
)

__all__ = [
    "FEWEST_CLIPS",
    "SMALLEST",
    "TEMPERATURES",
    "ProbabilityKind",
    "TemperatureFit",
    "fit_temperature",
    "scale_probabilities",
]

#: Whether the K probabilities of a clip sum to 1, or each stands for itself.
ProbabilityKind = Literal["class", "labels"]
#: The range of temperatures; without an error among the clips the best one would be 0.
TEMPERATURES: Final = (0.05, 20.0)
#: Clips below which probabilities are left as they are.
FEWEST_CLIPS: Final = 20
#: Smaller probabilities count as this one: the smallest that a network in single precision gives.
SMALLEST: Final = float(np.finfo(np.float32).tiny)
#: Slopes below this are rounding.
_FLAT: Final = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class TemperatureFit:
    """A temperature and what it does on the clips on which it was fitted.

    Attributes:
        temperature: Above 1 it makes probabilities less sure, below 1 surer; 1 with fewer than
            ``FEWEST_CLIPS`` clips.
        num_clips: Annotated clips.
        log_loss: Mean cross-entropy of the probabilities as they are, in nats; NaN without a clip.
        log_loss_scaled: The same after scaling.
    """

    temperature: float
    num_clips: int
    log_loss: float
    log_loss_scaled: float


def scale_probabilities(
    values: Float[np.ndarray, "*B K"], temperature: float, kind: ProbabilityKind = "class"
) -> Float[np.ndarray, "*B K"]:
    """Return probabilities at a temperature, in double precision.

    Args:
        values: Probabilities.
        temperature: Above 0.
        kind: Whether they sum to 1.

    >>> scale_probabilities(np.array([0.8, 0.2]), 2.0).round(3)
    array([0.667, 0.333])
    """
    if temperature == 1:
        return values.astype(np.float64)
    logs = _log_probabilities(_logits(values, kind), 1 / temperature)
    scaled: Float[np.ndarray, "*B K"] = np.exp(logs[..., 0] if kind == "labels" else logs)
    return scaled


def fit_temperature(
    values: Float[np.ndarray, "N K"],
    truths: Float[np.ndarray, "N K"],
    kind: ProbabilityKind = "class",
) -> TemperatureFit:
    """Return the temperature with the least log loss, from clips that the training has not seen.

        mean over clips of sum over k of (p_k(T) - q_k) log p_k = 0

    q are the shares of votes. The log loss is convex in 1 / T, so that its derivative has one
    root; it is searched in ``TEMPERATURES``, and an end is taken where it lies outside.

    Args:
        values: Probabilities.
        truths: Shares of votes, or which labels are there; NaN where a clip is not annotated.
        kind: Whether probabilities sum to 1.

    Raises:
        MetricError: If shapes differ, or values or truths are not as the kind says.
    """
    rows = annotated_rows(truths)
    values, truths = values[rows], truths[rows]
    if not len(values):
        return TemperatureFit(
            temperature=1.0, num_clips=0, log_loss=math.nan, log_loss_scaled=math.nan
        )
    (check_shares if kind == "class" else check_probabilities)(values, truths)
    logits = _logits(values, kind)
    shares = truths.astype(np.float64)
    if kind == "labels":
        shares = np.stack([shares, 1 - shares], axis=-1)

    def slope(log_sharpness: float) -> float:
        scaled = np.exp(_log_probabilities(logits, math.exp(log_sharpness)))
        return float(((scaled - shares) * logits).sum(axis=-1).mean())

    sharpness = _root(slope) if len(values) >= FEWEST_CLIPS else 1.0
    return TemperatureFit(
        temperature=1 / sharpness,
        num_clips=len(values),
        log_loss=_log_loss(np.exp(logits), shares),
        log_loss_scaled=_log_loss(np.exp(_log_probabilities(logits, sharpness)), shares),
    )


def _root(slope: Callable[[float], float]) -> float:
    """Return the sharpness, 1 / T, at which a slope that rises with its logarithm is 0."""
    from scipy.optimize import brentq  # takes a moment, and few commands need it

    low, high = (-math.log(temperature) for temperature in reversed(TEMPERATURES))
    first, last = slope(low), slope(high)
    if max(abs(first), abs(last)) < _FLAT:  # no class is ever likelier than another
        return 1.0
    if first >= 0:
        return math.exp(low)
    if last <= 0:
        return math.exp(high)
    return math.exp(brentq(slope, low, high, xtol=1e-12))


def _log_loss(probabilities: Float[np.ndarray, "..."], shares: Float[np.ndarray, "..."]) -> float:
    """As the metrics have it."""
    logs = np.log(probabilities.clip(LEAST_PROBABILITY, 1.0))
    return float(-(shares * logs).sum(axis=-1).mean())


def _logits(values: Float[np.ndarray, "*B K"], kind: ProbabilityKind) -> Float[np.ndarray, "..."]:
    """Logarithms of probabilities, a last axis of alternatives; of a label and of its absence."""
    there = values.astype(np.float64)
    both = np.stack([there, 1 - there], axis=-1) if kind == "labels" else there
    logits: Float[np.ndarray, ...] = np.log(both.clip(SMALLEST, 1.0))
    return logits


def _log_probabilities(
    logits: Float[np.ndarray, "..."], sharpness: float
) -> Float[np.ndarray, "..."]:
    scaled = logits * sharpness
    scaled -= scaled.max(axis=-1, keepdims=True)
    logs: Float[np.ndarray, ...] = scaled - np.log(np.exp(scaled).sum(axis=-1, keepdims=True))
    return logs
