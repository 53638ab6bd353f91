"""A factor model of the annotation and of the evidence, and what it estimates of both.

    y   = sum of w_s t_s + e             the annotation; sum of w_s = 1, all t_s have one variance
    z_k = b_k t_s + u_k                  a score of modality s, standardised

t_s is what modality s expresses. The t_s are correlated, and none of them is observed. What is seen
is the correlation matrix of y and all z, and from it come the weights, the noise e, the loadings b
and the correlations of the t_s.

With one score per modality these are more unknowns than correlations: evidence that is noisy and
modalities that disagree look alike. Two scores of one modality tell them apart, if their errors u
are independent: then the annotation and the two scores are three measures of t_s, and the
correlation of any two of them is the product of what each has with t_s (the method of triads). So
evidence comes as scores of two halves of the features. Errors are independent where the halves
have nothing in common but t_s, which is tested: ``overlap`` is the share of a half's errors that
the features of the other half predict. It bounds how far errors of halves are correlated, and
halves alone do not tell where in these bounds; ``GRID`` has the shares of the bound over which
labels are averaged.

Scores of late-fusion models are further measures of the same t_s, beside those of the halves. They
read the same features, so that their errors may hang together with those of the halves of their own
modality; how far is free, one number for each modality. With those of other modalities they have
nothing in common but the t_s. So they show how far modalities agree with each other, more clearly
than halves do where these are weak, and leave less to the priors. They also tell how far errors of
halves are correlated, which then is fitted for each modality.

Source: joreskog1969 (confirmatory factor analysis, by maximum likelihood); the priors are ours.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mien.types import Modality

__all__ = [
    "GRID",
    "FactorModel",
    "LabelEstimate",
    "bound_shared_errors",
    "correlate",
    "fit_factors",
    "plausible_shares",
]

#: Shares of the largest plausible correlation of errors over which labels are averaged.
GRID: Final = (0.5, 0.75, 1.0)
#: The largest plausible correlation of errors, over the square root of their overlap.
_REACH: Final = 1.2
#: Below this largest correlation of errors there is nothing to average over.
_NEGLIGIBLE: Final = 0.15

# Priors, for what few clips or empty evidence leave open: modalities agree as they do in corpora
# with unimodal annotations, weigh alike, and the annotation has little noise.
_CORRELATION: Final = (np.arctanh(0.6), 0.5)  # mean and deviation of Fisher's z of two modalities
_WEIGHT: Final = 0.7  # deviation of the logarithm of a weight
_SIGNAL: Final = (1.0, 0.03)  # Beta(2, 1.03) of the share of the annotation that is not noise
#: The same where models have read all modalities together: Beta(3, 2). What comes back to them of
#: annotations would otherwise hide the noise of these.
_SIGNAL_JOINT: Final = (2.0, 1.0)
#: Where late-fusion models tell how far errors of halves are correlated, they tell more of weights
#: and noise as well: the deviation of the logarithm of a weight, Beta(3, 1.6) of the share of the
#: annotation that is not noise, and mean and deviation of the log odds of the share of a modality.
_WEIGHT_TOLD: Final = 1.0
_SIGNAL_TOLD: Final = (2.0, 0.6)
_SHARE: Final = (0.0, 1.0)
#: Mean and deviation of Fisher's z of the errors of a late-fusion model and of a half.
_ACROSS: Final = (0.3, 0.4)
_ITERATIONS: Final = 150
_JITTER: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelEstimate:
    """What is estimated of the annotation, of the evidence and of what modalities express.

    Attributes:
        reliability: Of each modality, the squared correlation of its evidence with what it
            expresses: 0 is empty evidence, 1 is perfect.
        agreement: Of each modality, the correlation of the annotation with what it expresses.
        weights: How much each modality counts in the annotation; they sum to 1.
        correlations: Of each modality, the correlation of what it expresses with each other one.
        noise: Standard deviation of what the annotation has beyond the modalities, in its units.
        spread: Standard deviation of what a modality expresses, in the same units.
        num_clips: Clips from which this is estimated.
        rules: Share of the clips that follow each rule by which annotations come from modalities:
            ``sum``, the weighted mean, ``strongest`` or ``irony``; nothing where the sum explains
            them as well.
    """

    reliability: Mapping[Modality, float]
    agreement: Mapping[Modality, float]
    weights: Mapping[Modality, float]
    correlations: Mapping[Modality, Mapping[Modality, float]]
    noise: float
    spread: float
    num_clips: int
    rules: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as values that JSON holds."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorModel:
    """A factor model whose parameters are known; the order is that of the modalities.

    Attributes:
        correlations: Of what modalities express.
        weights: Of the modalities in the annotation.
        signal: Share of the annotation's variance that the modalities make.
        agreement: Correlation of the annotation with what each modality expresses.
        log_likelihood: Of the correlations that were seen.
    """

    correlations: Float[np.ndarray, "M M"]
    weights: Float[np.ndarray, "M"]
    signal: float
    agreement: Float[np.ndarray, "M"]
    log_likelihood: float

    @property
    def spread(self) -> float:
        """Standard deviation of what a modality expresses, in units of the annotation's."""
        return float(np.sqrt(self.signal / (self.weights @ self.correlations @ self.weights)))


def correlate(columns: Float[np.ndarray, "K N"]) -> Float[np.ndarray, "K K"]:
    """Return the correlations of columns, each over the clips that have both; 0 where undefined.

    Args:
        columns: Values by column and clip; NaN where a clip has none.
    """
    has = ~np.isnan(columns)
    number = has.sum(axis=1, keepdims=True).clip(min=1)
    centred = np.where(has, columns - np.nansum(columns, axis=1, keepdims=True) / number, 0.0)
    spread = np.sqrt((centred**2).sum(axis=1, keepdims=True) / number)
    scaled = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-9)
    together = (has.astype(float) @ has.T.astype(float)).clip(min=1)
    matrix = scaled @ scaled.T / together
    np.fill_diagonal(matrix, 1.0)
    values, vectors = np.linalg.eigh(matrix)  # pairs of other clips need not fit together
    return np.asarray((vectors * values.clip(min=_JITTER)) @ vectors.T)


def fit_factors(
    seen: Float[np.ndarray, "K K"],
    modality_of: Int[np.ndarray, "_"],
    num_clips: int,
    largest: Float[np.ndarray, "M"],
    share: float | None = None,
    is_half: Bool[np.ndarray, "_"] | None = None,
) -> FactorModel:
    """Fit the model to correlations, at the mode of its posterior.

    Args:
        seen: Correlations of the annotation, which comes first, and of the scores.
        modality_of: Number of the modality of each score, from 0.
        num_clips: Clips that the correlations are of.
        largest: Largest plausible correlation of the errors of two halves, of each modality.
        share: Share of it that errors have; fitted for each modality by default.
        is_half: Which scores are of halves; all by default. The correlation of the errors of a
            half with those of another score of its modality is fitted.
    """
    halves = np.ones(len(modality_of), dtype=bool) if is_half is None else is_half
    fit = _Fit(
        torch.from_numpy(seen), torch.from_numpy(modality_of), num_clips,
        torch.from_numpy(largest), share, torch.from_numpy(halves),
    )  # fmt: skip
    optimizer = torch.optim.LBFGS(
        [fit.free], max_iter=_ITERATIONS, line_search_fn="strong_wolfe",
        tolerance_grad=1e-5, tolerance_change=1e-9,
    )  # fmt: skip

    def measure() -> Tensor:
        optimizer.zero_grad()
        loss = -(fit.log_likelihood() + fit.log_prior())
        torch.autograd.backward(loss)
        return loss

    with torch.enable_grad():
        optimizer.step(measure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        parts = fit.parts()
        return FactorModel(
            correlations=parts.correlations.numpy(),
            weights=parts.weights.numpy(),
            signal=float(parts.signal),
            agreement=parts.agreement.numpy(),
            log_likelihood=float(fit.log_likelihood()),
        )


@dataclass(frozen=True, slots=True)
class _Parts:
    correlations: Tensor
    weights: Tensor
    signal: Tensor
    loadings: Tensor
    shared: Tensor
    across: Tensor

    @property
    def agreement(self) -> Tensor:
        joined = self.correlations @ self.weights
        return self.signal.sqrt() * joined / (self.weights @ joined).sqrt()


class _Fit:
    """The parameters of a fit, free of bounds, and how likely they are."""

    def __init__(
        self,
        seen: Tensor,
        modality_of: Tensor,
        num_clips: int,
        largest: Tensor,
        share: float | None,
        is_half: Tensor,
    ) -> None:
        self.seen, self.modality_of, self.num_clips = seen, modality_of, num_clips
        self.number = number = len(largest)
        self.below = torch.tril_indices(number, number, -1)
        self.largest, self.share = largest, share
        same = modality_of.unsqueeze(1) == modality_of
        same &= ~torch.eye(len(modality_of), dtype=torch.bool)
        self.pairs = same & is_half & is_half.unsqueeze(1)
        self.mixed = same & (is_half != is_half.unsqueeze(1))
        is_late = bool(self.mixed.any())
        is_joint = is_late or not bool(is_half.any())
        self.signal, self.weight = _SIGNAL_JOINT if is_joint else _SIGNAL, _WEIGHT
        if share is None:
            self.signal, self.weight = _SIGNAL_TOLD, _WEIGHT_TOLD
        start = torch.atanh(1.1 * seen[0, 1:].clamp(0.1, 0.8))
        pairs, weights, signal = torch.zeros(self.below.shape[1]), torch.zeros(number), 2.0
        across = torch.full((number if is_late else 0,), _ACROSS[0])
        shares = torch.full((number if share is None else 0,), _SHARE[0])
        own = [pairs, weights, torch.tensor([signal]), start, shares, across]
        self.sizes = [len(values) for values in own]
        self.free = torch.cat(own).double()
        self.free.requires_grad_()

    def parts(self) -> _Parts:
        pairs, weights, signal, loadings, shares, across = torch.split(self.free, self.sizes)
        rows = torch.eye(self.number, dtype=torch.float64).index_put(tuple(self.below), pairs)
        rows = rows / rows.norm(dim=1, keepdim=True)
        return _Parts(
            correlations=rows @ rows.T,
            weights=weights.softmax(dim=0),
            signal=signal[0].sigmoid(),
            loadings=loadings.tanh(),
            shared=self.largest * (shares.sigmoid() if self.share is None else self.share),
            across=across,
        )

    def log_likelihood(self) -> Tensor:
        """Return that of normal values with these correlations, up to a constant."""
        parts, of = self.parts(), self.modality_of
        errors = (1 - parts.loadings**2).clamp(min=_JITTER)
        shared = parts.shared[of]
        common = self.pairs * shared
        if len(parts.across):
            within = ((1 + shared) / 2).sqrt()  # no larger, with two halves of one modality
            common = common + self.mixed * within * parts.across.tanh()[of]
        common = common * (errors.unsqueeze(1) * errors).sqrt()
        scores = parts.loadings.unsqueeze(1) * parts.loadings * parts.correlations[of][:, of]
        scores = scores * (1 - torch.eye(len(of))) + torch.eye(len(of)) + common
        first = torch.cat([torch.ones(1), parts.loadings * parts.agreement[of]])
        rows = torch.cat([first[1:].unsqueeze(1), scores], dim=1)
        expected = torch.cat([first.unsqueeze(0), rows]) + _JITTER * torch.eye(len(of) + 1)
        apart = torch.trace(torch.linalg.solve(expected, self.seen))
        return -0.5 * self.num_clips * (torch.logdet(expected) + apart)

    def log_prior(self) -> Tensor:
        parts, (mean, deviation) = self.parts(), _CORRELATION
        _, logits, _, _, shares, _ = torch.split(self.free, self.sizes)
        pairs = torch.atanh(parts.correlations[tuple(self.below)].clamp(-0.999, 0.999))
        prior: Tensor = (
            -0.5 * ((pairs - mean) / deviation).square().sum()
            - 0.5 * (logits / self.weight).square().sum()
            - 0.5 * ((shares - _SHARE[0]) / _SHARE[1]).square().sum()
            + self.signal[0] * parts.signal.log()
            + self.signal[1] * torch.log1p(-parts.signal)
            + torch.log1p(-(parts.loadings**2) + 1e-9).sum()
            - 0.5 * ((parts.across - _ACROSS[0]) / _ACROSS[1]).square().sum()
        )
        return prior


def bound_shared_errors(overlap: Float[np.ndarray, "M"]) -> Float[np.ndarray, "M"]:
    """Return the largest plausible correlation of errors of two halves, given their overlap."""
    return np.asarray(np.minimum(_REACH * np.sqrt(overlap), 0.97))


def plausible_shares(largest: Float[np.ndarray, "M"]) -> tuple[float, ...]:
    """Return the shares of the largest plausible correlation over which labels are averaged."""
    return GRID if largest.max(initial=0.0) > _NEGLIGIBLE else GRID[:1]
