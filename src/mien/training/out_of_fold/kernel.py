"""Evidence from kernel regressions: smooth functions of a clip's vectors, by absolute error.

    f(x) = b + sum of a_i exp(-|x - x_i|^2 / V)
    f    = argmin  sum of h(y_i - f(x_i)) + c a' K a

K are the kernels of all pairs, V is the number of values in a vector, and h is the absolute error,
but quadratic within ``SMOOTH``. A clip whose annotation has nothing to do with the modality, since
another one made it, pulls at such a function less than at one of least squares. It is found by
weighted least squares, anew with weights 1 / |y_i - f(x_i)|. The penalty c is chosen by the
absolute error on parts of the clips, cut by video, that a fit has not seen.

Source: takeuchi2006 (kernel quantile regression; here of the median).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int

from mien.labels.generator import Evidence
from mien.training.out_of_fold.ridge import standardise, weigh_scores
from mien.types import Modality

__all__ = [
    "MOST_CLIPS",
    "SMOOTH",
    "fit_median",
    "gaussian_kernels",
    "kernel_scores",
    "take_kernel",
]

_PENALTIES: Final = (0.3, 1.0, 3.0, 10.0)
_PARTS: Final = 3  # of the clips of a fit, on which the penalty is chosen
_FEWEST: Final = 12  # clips from which something is predicted
MOST_CLIPS: Final = 1500  # clips that a function is fitted to; time grows with their third power
SMOOTH: Final = 0.05  # in deviations of the annotation
_STEPS: Final = 20  # of weighted least squares
_STILL: Final = 1e-3  # no value of the function moves by more, in the same units
#: Standard errors by which the error must be smaller than that of ridge regressions.
_BETTER_BY: Final = 4.0


def take_kernel(
    ridge: Evidence,
    vectors: Mapping[Modality, Float[np.ndarray, "N V"]],
    annotated: Float[np.ndarray, "N"],
    fold_of: Int[np.ndarray, "N"],
    videos: Int[np.ndarray, "N"],
    *,
    seed: int,
    where_better: bool = False,
) -> Evidence:
    """Return evidence in which scores of ridge regressions give way to those of kernel regressions.

    Scores of halves stay: they tell how far evidence is to be trusted.

    Args:
        ridge: Evidence of ridge regressions on the same clips.
        vectors: Of each modality, a vector for each clip; NaN where a clip does not have it.
        annotated: Multimodal labels.
        fold_of: Fold of each clip.
        videos: Number of the video of each clip.
        seed: Of the clips that are drawn where there are many.
        where_better: Whether only scores are replaced that have the larger absolute error out of
            fold, by more than four standard errors, a constant on both being free.
    """
    scores = dict(ridge.scores)
    for place, (modality, values) in enumerate(vectors.items()):
        has = ~np.isnan(values).any(axis=1)
        if has.sum() < _FEWEST:
            continue
        target, folds, features = annotated[has], fold_of[has], standardise(values[has])
        if features.shape[1] == 0:
            continue
        rng = np.random.default_rng([seed, 2, place])
        predicted = kernel_scores(features, target, folds, videos[has], rng)
        before = ridge.scores[modality].double().numpy()[has]
        if where_better and not _is_better(target - predicted, target - before):
            continue
        own = np.full(len(annotated), np.nan)
        own[has] = predicted
        scores[modality] = torch.from_numpy(own).float()
    return replace(ridge, scores=scores, weights=weigh_scores(scores, annotated))


def kernel_scores(
    features: Float[np.ndarray, "N V"],
    target: Float[np.ndarray, "N"],
    fold_of: Int[np.ndarray, "N"],
    videos: Int[np.ndarray, "N"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "N"]:
    """Return what functions that are fitted to the other folds say of each clip's target.

    The mean of a function over the clips of its fit is replaced by the mean of all such means: it
    would run against the targets of the fold that was left out.

    Args:
        features: A standardised vector for each clip.
        target: What is predicted.
        fold_of: Fold of each clip.
        videos: Number of the video of each clip.
        rng: Draws the clips of a fit where there are many.
    """
    predicted, middles = np.zeros(len(target)), []
    for fold in np.unique(fold_of):
        held_out, fit = np.flatnonzero(fold_of == fold), np.flatnonzero(fold_of != fold)
        if len(fit) > MOST_CLIPS:
            fit = np.sort(rng.choice(fit, MOST_CLIPS, replace=False))
        if len(fit) < 2:
            middles.append(float(target.mean()))
            continue
        mean, spread = target[fit].mean(), max(float(target[fit].std()), 1e-9)
        kernels = gaussian_kernels(features[fit], features[fit])
        scaled = (target[fit] - mean) / spread
        penalty = _choose_penalty(kernels, scaled, videos[fit])
        amounts, constant = fit_median(kernels, scaled, penalty)
        middle = float((kernels @ amounts).mean())
        across = gaussian_kernels(features[held_out], features[fit]) @ amounts
        predicted[held_out] = spread * (across - middle)
        middles.append(mean + spread * (constant + middle))
    return predicted + float(np.mean(middles))


def gaussian_kernels(
    first: Float[np.ndarray, "N V"], second: Float[np.ndarray, "K V"]
) -> Float[np.ndarray, "N K"]:
    """Return exp(-|x - z|^2 / V) of every vector x of the first and z of the second."""
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)
    return np.asarray(np.exp(-(squares - 2 * first @ second.T).clip(min=0.0) / first.shape[1]))


def _choose_penalty(
    kernels: Float[np.ndarray, "N N"], target: Float[np.ndarray, "N"], videos: Int[np.ndarray, "N"]
) -> float:
    """Return the penalty with the least absolute error on videos that a fit has not seen."""
    numbers = np.unique(videos, return_inverse=True)[1]
    if len(np.unique(numbers)) < _PARTS:
        return _PENALTIES[len(_PENALTIES) // 2]
    errors = np.zeros(len(_PENALTIES))
    for part in range(_PARTS):
        held_out = numbers % _PARTS == part
        fit = np.flatnonzero(~held_out)
        for place, penalty in enumerate(_PENALTIES):
            amounts, constant = fit_median(kernels[np.ix_(fit, fit)], target[fit], penalty)
            predicted = kernels[np.ix_(held_out, fit)] @ amounts + constant
            errors[place] += np.abs(predicted - target[held_out]).sum()
    return _PENALTIES[int(errors.argmin())]


def fit_median(
    kernels: Float[np.ndarray, "N N"], target: Float[np.ndarray, "N"], penalty: float
) -> tuple[Float[np.ndarray, "N"], float]:
    """Fit the function to clips.

    Args:
        kernels: Of all pairs of the clips.
        target: What it is to say of each, standardised.
        penalty: c, which keeps it smooth.

    Returns:
        How much of each clip's kernel the function has, a, and its constant, b.
    """
    from scipy.linalg import cho_factor, cho_solve

    sides = np.stack([np.ones(len(target)), target], axis=1)
    residual = target - np.median(target)
    amounts, constant = np.zeros(len(target)), 0.0
    for _ in range(_STEPS):
        widths = penalty * np.maximum(np.abs(residual), SMOOTH)
        by_ones, by_target = cho_solve(cho_factor(kernels + np.diag(widths)), sides).T
        constant = float(by_target.sum() / by_ones.sum())
        amounts = by_target - constant * by_ones
        moved, residual = np.abs(widths * amounts - residual).max(), widths * amounts
        if moved < _STILL:
            break
    return amounts, constant


def _is_better(errors: Float[np.ndarray, "N"], others: Float[np.ndarray, "N"]) -> bool:
    """Return whether absolute errors are smaller beyond chance, each less its median."""
    gain = np.abs(others - np.median(others)) - np.abs(errors - np.median(errors))
    return bool(gain.mean() > _BETTER_BY * gain.std() / np.sqrt(len(gain)))
