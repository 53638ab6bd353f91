"""What each modality of a clip expresses, given the annotation and all scores that the clip has."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from mien.labels.posterior.factor_model import FactorModel, correlate

__all__ = ["Measures", "condition", "loadings_of", "measure"]

_MOST_RELIABLE: Final = 0.98  # correlation of evidence with what its modality expresses
_LEAST_AGREEMENT: Final = 0.05
_LEAST_VARIANCE: Final = 1e-2  # of any sum of measures of one length


@dataclass(frozen=True, slots=True)
class Measures:
    """The annotation and scores of all clips.

    Attributes:
        z: Annotation, which comes first, and scores, standardised; NaN where a clip has none.
        modality_of: Number of the modality of each score, from 0.
        seen: Their correlations.
    """

    z: Float[np.ndarray, "K N"]
    modality_of: Int[np.ndarray, "_"]
    seen: Float[np.ndarray, "K K"]


def measure(columns: Float[np.ndarray, "K N"], modality_of: Int[np.ndarray, "_"]) -> Measures:
    """Standardise the annotation and scores; a constant one becomes 0.

    Args:
        columns: The annotation, which comes first, and scores; NaN where a clip has none.
        modality_of: Number of the modality of each score, from 0.
    """
    has = ~np.isnan(columns)
    number = has.sum(axis=1, keepdims=True).clip(min=1)
    centred = columns - np.nansum(columns, axis=1, keepdims=True) / number
    spread = np.sqrt(np.nansum(centred**2, axis=1, keepdims=True) / number)
    z = np.where(has, centred / np.where(spread > 1e-9, spread, np.inf), np.nan)
    return Measures(z, modality_of, correlate(columns))


def loadings_of(
    model: FactorModel,
    seen: Float[np.ndarray, "_"],
    modality_of: Int[np.ndarray, "_"],
) -> Float[np.ndarray, "_"]:
    """Return the correlation of each score with what its modality expresses.

    Args:
        model: The agreement of the annotation with what each modality expresses.
        seen: Correlation of the annotation with each score.
        modality_of: Number of the modality of each score.
    """
    loadings = seen / model.agreement[modality_of].clip(min=_LEAST_AGREEMENT)
    return np.asarray(loadings.clip(0.0, _MOST_RELIABLE))


def condition(
    model: FactorModel, measures: Measures
) -> tuple[Float[np.ndarray, "M N"], Float[np.ndarray, "M N"]]:
    """Return mean and variance of what each modality expresses, given what a clip has of z.

    Two scores of one modality may have errors in common: their correlation is the one seen.
    """
    of, z = measures.modality_of, measures.z
    loadings = loadings_of(model, measures.seen[0, 1:], of)
    of_all = np.vstack([model.agreement, loadings[:, None] * model.correlations[of]])
    scores = np.outer(loadings, loadings) * model.correlations[of][:, of]
    scores = np.where(of[:, None] == of, measures.seen[1:, 1:], scores)
    with_annotation = (loadings * model.agreement[of])[None]
    among = np.block([[np.ones((1, 1)), with_annotation], [with_annotation.T, scores]])
    among = _raise_variances(among)
    means = np.zeros((len(model.agreement), z.shape[1]))
    variances = np.ones_like(means)
    patterns, pattern_of = np.unique(~np.isnan(z), axis=1, return_inverse=True)
    for number, has in enumerate(patterns.T):
        clips = pattern_of.ravel() == number
        gain = np.linalg.solve(among[np.ix_(has, has)], of_all[has])
        means[:, clips] = gain.T @ z[np.ix_(has, clips)]
        variances[:, clips] = (1 - (gain * of_all[has]).sum(axis=0)).clip(min=0.0)[:, None]
    return means, variances


def _raise_variances(matrix: Float[np.ndarray, "K K"]) -> Float[np.ndarray, "K K"]:
    """Return the matrix with no variance below the least: correlations seen need not fit others."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * values.clip(min=_LEAST_VARIANCE)) @ vectors.T)
