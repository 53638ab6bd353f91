"""Annotations that are no weighted mean: how likely each rule is, and what follows for a clip.

    sum         y = sum of w_s t_s + e              what the factor model assumes
    strongest   y = the t_s that is farthest from neutral, + e
    irony       the sum, in which text counts the other way round where audio contradicts it

What evidence shows of a clip without its annotation is normal: t given its scores. Points drawn
from that, from the same Sobol sequence for every clip, are weighed by how likely they make the
annotation under a rule. The mean of these weights is the likelihood of the annotation, and the
weighted mean of the points is what the modalities express. So a clip whose annotation is that of
its voice leaves its words to their evidence.

Under any rule the reliability of evidence and the correlations of what modalities express are those
of the factor model, which finds them without it: from halves. The weights of a rule are those that
explain how the annotation agrees with each modality, and its noise is the most likely one. Clips
may follow different rules, whose shares are fitted by EM. All this counts only if it makes
annotations of clips to which it was not fitted more likely than the sum alone does, by more than
two standard errors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from mien.labels.posterior.factor_model import FactorModel
from mien.types import Modality

__all__ = ["Mixture", "fit_mixture"]

#: Points that are drawn for a clip, to tell rules apart and to make labels, and for the prior.
_POINTS: Final = 128
_LABEL_POINTS: Final = 256
_PRIOR_POINTS: Final = 4096
_CHUNK: Final = 2048  # clips whose points are held at a time
_FEWEST: Final = 60  # clips from which rules are told apart
#: Shares of the annotation's variance that a rule explains: what is left is its noise.
_SIGNALS: Final = np.array([0.5, 0.65, 0.8, 0.9, 0.95, 0.985])
_STANDARD_ERRORS: Final = 2.0
_STEPS: Final = 100  # of EM

_Rule = Callable[[Float[np.ndarray, "*shape M"], np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """What modalities express, if annotations follow several rules; units are those of z.

    Attributes:
        means: Posterior mean of what each modality expresses, less that of all clips.
        variances: Its posterior variance.
        shares: Share of the clips that follow each rule; they sum to 1.
        spread: Standard deviation of what a modality expresses.
        noise: Standard deviation of what the annotation has beyond the modalities.
    """

    means: Float[np.ndarray, "M N"]
    variances: Float[np.ndarray, "M N"]
    shares: dict[str, float]
    spread: float
    noise: float


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A rule, its weights, and the deviation of what it makes of values with deviation 1."""

    rule: _Rule
    weights: Float[np.ndarray, " M"]
    unit: float


def fit_mixture(
    modalities: tuple[Modality, ...],
    model: FactorModel,
    loadings: Float[np.ndarray, " M"],
    z: Float[np.ndarray, "K N"],
    middle: float,
) -> Mixture | None:
    """Fit the rules to annotations.

    Args:
        modalities: Those of the scores.
        model: How the annotation and the modalities hang together.
        loadings: Correlation of each score with what its modality expresses.
        z: Annotation and scores, standardised; NaN where a clip does not have the modality.
        middle: Mean of the annotation less the neutral one, in its standard deviations.

    Returns:
        None where the sum alone explains annotations as well, or clips are too few to tell.
    """
    num_clips = z.shape[1]
    if len(modalities) < 2 or num_clips < _FEWEST or not np.any(model.agreement * loadings > 0):
        return None
    prior = _draw(_PRIOR_POINTS, len(modalities)) @ _root(model.correlations).T
    rules = {n: _weigh(rule, prior, model.agreement) for n, rule in _rules_of(modalities).items()}
    chunks = [slice(start, start + _CHUNK) for start in range(0, num_clips, _CHUNK)]
    parts = []
    for chunk in chunks:
        points = _points_given(model, loadings, z[1:, chunk], _POINTS)
        parts.append([_log_likelihoods(r, points, z[0, chunk], middle) for r in rules.values()])
    by_signal = np.concatenate(parts, axis=-1)
    if not _is_better(by_signal):
        return None
    signals, likelihoods, shares = _fit(by_signal, np.ones(num_clips, dtype=bool))
    of_clip = _responsibilities(likelihoods, shares)
    means, squares = np.zeros((2, len(modalities), num_clips))
    for chunk in chunks:
        points = _points_given(model, loadings, z[1:, chunk], _LABEL_POINTS)
        for rule, signal, own in zip(rules.values(), _SIGNALS[signals], of_clip, strict=True):
            first, second = _moments(rule, points, z[0, chunk], middle, signal)
            means[:, chunk] += own[chunk] * first.T
            squares[:, chunk] += own[chunk] * second.T
    spreads = np.sqrt(_SIGNALS[signals]) / [rule.unit for rule in rules.values()]
    return Mixture(
        means=means,
        variances=(squares - means**2).clip(min=0.0),
        shares=dict(zip(rules, shares.tolist(), strict=True)),
        spread=float(shares @ spreads),
        noise=float(np.sqrt(shares @ (1 - _SIGNALS[signals]))),
    )


def _add(values: Float[np.ndarray, "*shape M"], weights: np.ndarray) -> np.ndarray:
    return np.asarray((values * weights).sum(axis=-1))


def _take_strongest(values: Float[np.ndarray, "*shape M"], _: np.ndarray) -> np.ndarray:
    place = np.abs(values).argmax(axis=-1)[..., None]
    return np.asarray(np.take_along_axis(values, place, axis=-1)[..., 0])


def _rules_of(modalities: tuple[Modality, ...]) -> dict[str, _Rule]:
    """Return the rules that clips with these modalities can follow; the sum comes first."""
    rules: dict[str, _Rule] = {"sum": _add, "strongest": _take_strongest}
    if Modality.TEXT in modalities and Modality.AUDIO in modalities:
        text, audio = modalities.index(Modality.TEXT), modalities.index(Modality.AUDIO)

        def turn(values: Float[np.ndarray, "*shape M"], weights: np.ndarray) -> np.ndarray:
            turned = np.where(values[..., text] * values[..., audio] < 0, -2.0, 0.0)
            return np.asarray(_add(values, weights) + turned * (values * weights)[..., text])

        rules["irony"] = turn
    return rules


def _weigh(
    rule: _Rule, prior: Float[np.ndarray, "S M"], agreement: Float[np.ndarray, " M"]
) -> _Candidate:
    """Find the weights by which the annotation agrees with each modality as it was seen to."""
    from scipy.optimize import nnls

    number = prior.shape[1]
    made = np.stack([rule(prior, np.eye(number)[s]) for s in range(number)])
    weights, _ = nnls((made @ prior).T / len(prior), agreement)
    weights = weights + 0.02 * weights.sum() + 1e-9
    weights /= weights.sum()
    return _Candidate(rule, weights, float(rule(prior, weights).std()))


def _draw(number: int, dimensions: int) -> Float[np.ndarray, "S M"]:
    """Return points that are spread as those of a standard normal distribution, always the same."""
    from scipy.special import ndtri
    from scipy.stats import qmc

    drawn = qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(0)).random(number)
    return np.asarray(ndtri(drawn.clip(1e-9, 1 - 1e-9)))


def _root(matrix: Float[np.ndarray, "M M"]) -> Float[np.ndarray, "M M"]:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray(vectors * np.sqrt(values.clip(min=1e-9)))


def _points_given(
    model: FactorModel,
    loadings: Float[np.ndarray, " M"],
    scores: Float[np.ndarray, "M N"],
    size: int,
) -> Float[np.ndarray, "N S M"]:
    """Return points of what modalities express, given scores; NaN where a clip lacks one."""
    drawn, (number, num_clips) = _draw(size, len(loadings)), scores.shape
    points = np.full((num_clips, size, number), np.nan)
    among = np.outer(loadings, loadings) * model.correlations
    np.fill_diagonal(among, 1.0 + 1e-6)
    patterns, pattern_of = np.unique(~np.isnan(scores), axis=1, return_inverse=True)
    for place, has in enumerate(patterns.T):
        clips = np.flatnonzero(pattern_of.ravel() == place)
        of_scores = (loadings[:, None] * model.correlations)[has]
        gain = np.linalg.solve(among[np.ix_(has, has)], of_scores)
        spread = drawn @ _root(model.correlations - of_scores.T @ gain).T
        middles = scores[np.ix_(has, clips)].T @ gain
        points[np.ix_(clips, np.arange(size), has)] = (middles[:, None] + spread)[..., has]
    return points


def _apply(
    rule: _Candidate, points: Float[np.ndarray, "N S M"], middle: float, signal: float
) -> tuple[Float[np.ndarray, "N S"], Float[np.ndarray, "N S M"]]:
    """Return the annotations that points make, and the points, in deviations of the annotation."""
    scaled = np.sqrt(signal) / rule.unit * points
    has = ~np.isnan(points[:, :1])
    weights = np.where(has, rule.weights, 0.0)
    weights /= weights.sum(axis=-1, keepdims=True).clip(min=1e-12)
    return rule.rule(np.where(has, middle + scaled, 0.0), weights) - middle, scaled


def _log_likelihoods(
    rule: _Candidate, points: Float[np.ndarray, "N S M"], y: Float[np.ndarray, " N"], middle: float
) -> Float[np.ndarray, "P N"]:
    """Return how likely each annotation is under a rule, for each share of it that is signal."""
    from scipy.special import logsumexp

    rows = []
    for signal in _SIGNALS:
        made, _ = _apply(rule, points, middle, signal)
        errors = -0.5 * (y[:, None] - made) ** 2 / (1 - signal) - 0.5 * np.log(1 - signal)
        rows.append(logsumexp(errors, axis=1) - np.log(points.shape[1]))
    return np.array(rows)


def _moments(
    rule: _Candidate,
    points: Float[np.ndarray, "N S M"],
    y: Float[np.ndarray, " N"],
    middle: float,
    signal: float,
) -> tuple[Float[np.ndarray, "N M"], Float[np.ndarray, "N M"]]:
    """Return means of what modalities express and of its square, given the annotation."""
    from scipy.special import softmax

    made, scaled = _apply(rule, points, middle, signal)
    weights = softmax(-0.5 * (y[:, None] - made) ** 2 / (1 - signal), axis=1)[..., None]
    scaled = np.nan_to_num(scaled)
    return (weights * scaled).sum(axis=1), (weights * scaled**2).sum(axis=1)


def _fit(
    by_signal: Float[np.ndarray, "R P N"], clips: Bool[np.ndarray, " N"]
) -> tuple[Int[np.ndarray, " R"], Float[np.ndarray, "R N"], Float[np.ndarray, " R"]]:
    """Return the signal of each rule, its likelihoods, and its share, fitted to some clips."""
    signals = by_signal[:, :, clips].sum(axis=-1).argmax(axis=1)
    likelihoods = by_signal[np.arange(len(by_signal)), signals]
    shares = np.full(len(by_signal), 1 / len(by_signal))
    for _ in range(_STEPS):
        shares = _responsibilities(likelihoods[:, clips], shares).mean(axis=1)
    return signals, likelihoods, shares


def _responsibilities(
    likelihoods: Float[np.ndarray, "R N"], shares: Float[np.ndarray, " R"]
) -> Float[np.ndarray, "R N"]:
    """Return how likely it is that each clip follows each rule."""
    from scipy.special import softmax

    return np.asarray(softmax(likelihoods + np.log(shares.clip(min=1e-12))[:, None], axis=0))


def _is_better(by_signal: Float[np.ndarray, "R P N"]) -> bool:
    """Return whether rules explain clips to which they were not fitted better than the sum does."""
    from scipy.special import logsumexp

    gains = np.zeros(by_signal.shape[-1])
    is_even = np.arange(len(gains)) % 2 == 0
    for held_out in (is_even, ~is_even):
        _, likelihoods, shares = _fit(by_signal, ~held_out)
        mixed = logsumexp(likelihoods, axis=0, b=shares[:, None])
        gains[held_out] = (mixed - likelihoods[0])[held_out]
    return bool(gains.mean() > _STANDARD_ERRORS * gains.std() / np.sqrt(len(gains)))
