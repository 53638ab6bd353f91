"""Evidence from ridge regressions: each modality by itself, from halves of its features.

A fit to all features predicts the annotation of the clips of a fold from those of the others: that
is the score. Besides, features and videos are cut in two at random, several times (``count_cuts``),
and two fits are made that have neither features nor annotations in common. How far these two agree
shows how much of evidence is noise: see ``mien.labels.posterior.factor_model``.

Source: hoerl1970 (ridge regression).
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from mien.labels.generator import Evidence
from mien.types import Modality

__all__ = ["FoldedRidge", "count_cuts", "ridge_evidence", "standardise", "weigh_scores"]

#: Fewest and most cuts in two, and the clips over all cuts that lie between.
_FEWEST_CUTS, _MOST_CUTS, _CUT_CLIPS = 2, 24, 24_000
_CUTS_ALONE = 5  # times as many with one modality
#: Penalties, in units of the mean variance of the features times the clips.
_PENALTIES: Final = np.logspace(-4, 3, 15)
_FEWEST = 4  # clips from which something is predicted


def standardise(features: Float[np.ndarray, "N V"]) -> Float[np.ndarray, "N _"]:
    """Return the features that vary, with mean 0 and deviation 1 over the clips."""
    spread = features.std(axis=0)
    varies = spread > 1e-9
    return np.asarray((features - features.mean(axis=0))[:, varies] / spread[varies])


class FoldedRidge:
    """Ridge regressions on the same features, one for each fold, each fitted to the other folds.

    The features are decomposed once; any number of targets is predicted with that. The penalty is
    chosen, for each target and fold, by the error of leaving out one clip of those that the fold is
    fitted to.

    Args:
        features: A vector for each clip.
        fold_of: Fold of each clip.
        learns: Clips to which anything is fitted; all by default.
    """

    def __init__(
        self,
        features: Float[np.ndarray, "N V"],
        fold_of: Int[np.ndarray, "N"],
        learns: Bool[np.ndarray, "N"] | None = None,
    ) -> None:
        scaled = standardise(features)
        learns = np.ones(len(fold_of), dtype=bool) if learns is None else learns
        self._parts = [
            _decompose(scaled, np.flatnonzero(learns & (fold_of != fold)), np.flatnonzero(held))
            for fold in np.unique(fold_of)
            for held in (fold_of == fold,)
        ]

    def predict(self, target: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
        """Return what the features predict of each clip's target, less the mean of its fold's fit.

        Means of targets over the other folds are left out: where features tell nothing, they would
        be the prediction, and run against the target.
        """
        predicted = np.zeros(len(target))
        for fit, held_out, axes, values, inner in self._parts:
            if len(values) == 0 or len(fit) < _FEWEST:
                continue
            centred = target[fit] - target[fit].mean()
            along = axes.T @ centred
            shrunk = 1.0 / (values + _PENALTIES[:, None] * values.mean())  # (P, R)
            residuals = centred[:, None] - axes @ (shrunk * along).T
            leverage = (axes**2) @ shrunk.T + 1.0 / len(fit)
            errors = ((residuals / (1.0 - leverage).clip(min=1e-6)) ** 2).mean(axis=0)
            predicted[held_out] = inner @ (shrunk[errors.argmin()] * along)
        return predicted


_Part = tuple[
    Int[np.ndarray, " _"], Int[np.ndarray, " _"],
    Float[np.ndarray, "_ _"], Float[np.ndarray, " _"], Float[np.ndarray, "_ _"],
]  # fmt: skip


def _decompose(
    features: Float[np.ndarray, "N V"], fit: Int[np.ndarray, " _"], held_out: Int[np.ndarray, " _"]
) -> _Part:
    """Return rows of both parts, the principal components of the fit, and those of the rest."""
    mean = features[fit].mean(axis=0) if len(fit) else 0.0
    x, rest = features[fit] - mean, features[held_out] - mean
    if x.shape[0] >= x.shape[1]:
        values, directions = np.linalg.eigh(x.T @ x)
    else:
        values, across = np.linalg.eigh(x @ x.T)
        directions = x.T @ (across / np.sqrt(values.clip(min=1e-12)))
    is_used = values > 1e-9 * values.max(initial=0.0) + 1e-12
    directions = directions[:, is_used]
    return fit, held_out, x @ directions, values[is_used], rest @ directions


def count_cuts(num_clips: int, num_modalities: int) -> int:
    """Return how often features and videos are cut in two.

    What two halves have in common depends on the cut, the more so the fewer clips there are; fits
    to many clips cost time. With one modality nothing else tells how far its evidence is to be
    trusted, so that there are more cuts.
    """
    cuts = min(max(_CUT_CLIPS // max(num_clips, 1), _FEWEST_CUTS), _MOST_CUTS)
    return cuts * (_CUTS_ALONE if num_modalities == 1 else 1)


def ridge_evidence(
    vectors: Mapping[Modality, Float[np.ndarray, "N V"]],
    annotated: Float[np.ndarray, "N"],
    fold_of: Int[np.ndarray, "N"],
    videos: Int[np.ndarray, "N"],
    *,
    seed: int,
) -> Evidence:
    """Predict the annotation from each modality alone, for clips that are in no fit.

    Args:
        vectors: Of each modality, a vector for each clip; NaN where a clip does not have it.
        annotated: Multimodal labels.
        fold_of: Fold of each clip.
        videos: Number of the video of each clip.
        seed: Of the cuts into halves.
    """
    scores, halves, overlap = {}, {}, {}
    for place, (modality, values) in enumerate(vectors.items()):
        has, own = ~np.isnan(values).any(axis=1), np.full(len(annotated), np.nan)
        features, target, folds = values[has], annotated[has], fold_of[has]
        if has.any():
            own[has] = FoldedRidge(features, folds).predict(target) + annotated.mean()
        scores[modality] = torch.from_numpy(own).float()
        if features.shape[1] < 2 or len(features) < _FEWEST:
            continue
        rng = np.random.default_rng([seed, 1, place])
        cuts = count_cuts(len(annotated), len(vectors))
        pairs, overlap[modality] = _score_halves(features, target, folds, videos[has], rng, cuts)
        rows = np.full((*pairs.shape[:2], len(annotated)), np.nan)
        rows[..., has] = pairs + annotated.mean()
        halves[modality] = torch.from_numpy(rows).float()
    return Evidence(
        scores=scores, weights=weigh_scores(scores, annotated), halves=halves, overlap=overlap
    )


def _score_halves(
    features: Float[np.ndarray, "N V"],
    target: Float[np.ndarray, "N"],
    fold_of: Int[np.ndarray, "N"],
    videos: Int[np.ndarray, "N"],
    rng: np.random.Generator,
    cuts: int,
) -> tuple[Float[np.ndarray, "C 2 N"], float]:
    """Return what two halves predict, cut by cut, and how far their errors overlap.

    Each of the two learns from one half of the features of one half of the videos, so that neither
    noise of features nor of annotations is in both.
    """
    names, video_of = np.unique(videos, return_inverse=True)
    pairs, overlaps = [], []
    for _ in range(cuts):
        parts = np.array_split(rng.permutation(features.shape[1]), 2)
        is_first = rng.permutation(np.arange(len(names)) % 2 == 0)[video_of]
        for learns in (is_first, ~is_first):
            fits = [
                FoldedRidge(features[:, parts[0]], fold_of, learns),
                FoldedRidge(features[:, parts[1]], fold_of, ~learns),
            ]
            first, second = (fit.predict(target) for fit in fits)
            pairs.append([first, second])
            for fit, own, other in ((fits[0], first, second), (fits[1], second, first)):
                error = _residual(other, own)
                overlaps.append(max(_correlation(fit.predict(error), error), 0.0) ** 2)
    return np.array(pairs), float(np.mean(overlaps))


def _residual(values: Float[np.ndarray, "N"], on: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """Return what a line through ``on`` leaves of ``values``."""
    centred, on = values - values.mean(), on - on.mean()
    left: Float[np.ndarray, N] = centred - on * (on @ centred) / max(float(on @ on), 1e-12)
    return left


def _correlation(first: Float[np.ndarray, "N"], second: Float[np.ndarray, "N"]) -> float:
    first, second = first - first.mean(), second - second.mean()
    size = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / size if size > 1e-12 else 0.0


def weigh_scores(
    scores: Mapping[Modality, torch.Tensor], annotated: Float[np.ndarray, "N"]
) -> dict[Modality, float]:
    """Return the weights with which scores together come nearest to the annotation; they sum to 1.

    Where a clip does not have a modality, its score is the mean.
    """
    from scipy.optimize import nnls

    mean = float(annotated.mean())
    columns = np.stack([s.double().nan_to_num(nan=mean).numpy() - mean for s in scores.values()])
    weights, _ = nnls(columns.T, annotated - mean)
    weights = weights + 1e-6
    return dict(zip(scores, (weights / weights.sum()).tolist(), strict=True))
