"""``posterior``: what each modality expresses, estimated from its evidence and the annotation.

``factor_model`` estimates how far to trust both, ``mixing_rules`` whether the annotation is their
weighted mean, ``conditioning`` what follows for a clip; here labels are made from that.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mien.labels.before_training import LabelsBeforeTraining
from mien.labels.generator import Evidence, LabelInputs
from mien.labels.label_settings import PosteriorConfig
from mien.labels.posterior.conditioning import Measures, condition, loadings_of, measure
from mien.labels.posterior.factor_model import (
    FactorModel,
    LabelEstimate,
    bound_shared_errors,
    correlate,
    fit_factors,
    plausible_shares,
)
from mien.labels.posterior.mixing_rules import fit_mixture
from mien.types import Modality

__all__ = ["LabelEstimate", "Posterior", "PosteriorConfig", "PosteriorLabels", "posterior_labels"]


class PosteriorLabels(LabelsBeforeTraining):
    """Estimate what each modality expresses; ``posterior_labels`` is the method.

    Args:
        config: Settings.
        inputs: Annotations, scale, sizes and evidence.

    Raises:
        ValueError: If there is no evidence.
    """

    config: PosteriorConfig
    explained: Float[Tensor, "M N"]

    def make(self, evidence: Evidence, inputs: LabelInputs) -> dict[Modality, Float[Tensor, "N"]]:
        """Return the labels before they are cut to the scale; the estimate stays here."""
        neutral = (inputs.scale.low + inputs.scale.high) / 2
        posterior = posterior_labels(evidence, inputs.annotated, neutral=neutral)
        self._estimated = posterior.estimate
        deviations = torch.stack([posterior.deviations[m] for m in self.modalities])
        spread = max(posterior.estimate.spread, 1e-9)
        explained = (1 - (deviations / spread).square()).clamp(min=0.0)
        self.register_buffer("explained", explained, persistent=False)  # follows from the evidence
        return posterior.labels

    def weights(self, index: Int[Tensor, "B"]) -> dict[Modality, Float[Tensor, "B"]]:
        """Return how much each clip counts: what its label explains, if the settings say so.

        w_s = 1 - (posterior deviation of t_s / deviation of t_s)^2
        """
        if self.config.weight != "deviation":
            return super().weights(index)
        return self.by_modality(self.explained[:, index])

    def describe(self) -> dict[str, Any]:
        """Return what was estimated of annotation and evidence, as values that JSON holds."""
        return self._estimated.to_json()


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """Labels with what they rest on.

    Attributes:
        labels: Posterior mean of what each modality expresses, not cut to the scale; the annotation
            where a clip does not have the modality.
        deviations: Posterior standard deviations, in the same units.
        estimate: What was estimated on the way.
    """

    labels: dict[Modality, Float[Tensor, "N"]]
    deviations: dict[Modality, Float[Tensor, "N"]]
    estimate: LabelEstimate


def posterior_labels(
    evidence: Evidence, annotated: Float[Tensor, "N"], *, neutral: float = 0.0
) -> Posterior:
    """Estimate reliabilities, weights and noise, and with them what each modality expresses.

    The factor model is fitted to the correlations of the annotation with the scores of halves of
    the features; with the scores themselves where there are no halves; with both where scores come
    from models of all modalities together. The reliability of scores follows from their correlation
    with the annotation, over that of the annotation with what the modality expresses. Labels are
    the mean of t_s given the annotation and all scores of the modalities that the clip has, for
    normal values:

        labels = mean(y) + sd(t) G' C^-1 z,   z = annotation and scores, standardised

    C are their correlations by the model, and G those with t_s. Where evidence is empty this is
    the annotation, nearly; where the annotation is noise, it is the evidence. If errors of halves
    may be correlated, and no late-fusion model tells how far, labels are averaged over how far,
    weighed by the likelihood.

    Where annotations tell that they are not a weighted mean, but those of the strongest modality
    or ironic, labels are the mean of t_s under a mixture of these rules (``mixing_rules``).

    Args:
        evidence: Out-of-fold scores of each modality.
        annotated: Multimodal labels.
        neutral: Annotation of a clip that expresses nothing.
    """
    modalities, y = tuple(evidence.scores), _numbers(annotated)
    scores = np.stack([_numbers(values) for values in evidence.scores.values()])
    measures = _measure(evidence, y)
    seen, modality_of, is_half = _correlations_of(evidence, y)
    overlap = np.array([evidence.overlap.get(modality, 0.0) for modality in modalities])
    largest = bound_shared_errors(overlap)
    is_told = len(modalities) > 1 and not evidence.halves.keys().isdisjoint(evidence.alone)
    of_bound = (None,) if is_told else plausible_shares(largest)
    fits = [fit_factors(seen, modality_of, len(y), largest, share, is_half) for share in of_bound]
    likelihoods = np.array([model.log_likelihood for model in fits])
    shares = np.exp(likelihoods - likelihoods.max())
    shares /= shares.sum()
    every_modality = np.arange(len(modalities))
    seen_scores, sd = measures.seen[0, 1 : 1 + len(modalities)], float(y.std())
    estimate = _summarise(modalities, fits, shares, seen_scores, y)
    likeliest = fits[int(shares.argmax())]
    mixture = fit_mixture(
        modalities, likeliest, loadings_of(likeliest, seen_scores, every_modality),
        measures.z[: 1 + len(modalities)], (y.mean() - neutral) / max(sd, 1e-9),
    )  # fmt: skip
    if mixture is not None:
        mean, variance = sd * mixture.means, sd**2 * mixture.variances
        estimate = replace(
            estimate,
            noise=sd * mixture.noise,
            spread=sd * mixture.spread,
            rules=mixture.shares,
        )
    else:
        mean, variance = _average_fits(fits, shares, measures, sd)
    labels, deviations = {}, {}
    for row, modality in enumerate(modalities):
        has = ~np.isnan(scores[row])
        own = torch.from_numpy(np.where(has, y.mean() + mean[row], y))
        labels[modality] = own.to(annotated)
        deviations[modality] = torch.from_numpy(np.sqrt(variance[row])).to(annotated)
    return Posterior(labels=labels, deviations=deviations, estimate=estimate)


def _average_fits(
    fits: list[FactorModel],
    shares: Float[np.ndarray, "_"],
    measures: Measures,
    sd: float,
) -> tuple[Float[np.ndarray, "M N"], Float[np.ndarray, "M N"]]:
    """Return mean and variance of what each modality expresses, less its mean over all clips."""
    every = [condition(model, measures) for model in fits]
    spreads = [model.spread * sd for model in fits]
    means = np.array([s * mean for s, (mean, _) in zip(spreads, every, strict=True)])
    variances = np.array([s**2 * v for s, (_, v) in zip(spreads, every, strict=True)])
    mean = np.tensordot(shares, means, axes=1)
    return mean, np.tensordot(shares, variances + (means - mean) ** 2, axes=1)


def _numbers(values: Tensor) -> Float[np.ndarray, "*shape"]:
    numbers: Float[np.ndarray, "*shape"] = values.detach().cpu().double().numpy()
    return numbers


def _measure(evidence: Evidence, y: Float[np.ndarray, "N"]) -> Measures:
    """Return annotation, scores, and what regressions say of each modality alone."""
    modalities = tuple(evidence.scores)
    numbers = [*range(len(modalities)), *(modalities.index(m) for m in evidence.alone)]
    columns = [_numbers(own) for own in (*evidence.scores.values(), *evidence.alone.values())]
    return measure(np.vstack([y, *columns]), np.array(numbers))


def _correlations_of(
    evidence: Evidence, y: Float[np.ndarray, "N"]
) -> tuple[Float[np.ndarray, "K K"], Int[np.ndarray, "_"], Bool[np.ndarray, "_"]]:
    """Return the correlations of annotation and scores, a mean over the cuts into halves.

    Scores themselves are among them where there are no halves, or where they are not made of the
    same regressions. Beside the matrix: the number of each score's modality, and which are halves.
    """
    numbers, is_half, columns = [], [], []
    cuts = max((len(halves) for halves in evidence.halves.values()), default=1)
    for number, (modality, scores) in enumerate(evidence.scores.items()):
        halves, own = evidence.halves.get(modality), scores.expand(1, 1, -1)
        parts = [own] if halves is None or modality in evidence.alone else []
        parts += [] if halves is None else [halves]
        for part in parts:
            numbers += [number] * part.shape[1]
            is_half += [part is halves] * part.shape[1]
            columns.append(_numbers(part)[np.arange(cuts) % len(part)])
    matrices = [correlate(np.vstack([y, *(own[cut] for own in columns)])) for cut in range(cuts)]
    return np.mean(matrices, axis=0), np.array(numbers), np.array(is_half)


def _summarise(
    modalities: tuple[Modality, ...],
    fits: list[FactorModel],
    shares: Float[np.ndarray, "_"],
    seen: Float[np.ndarray, "M"],
    y: Float[np.ndarray, "N"],
) -> LabelEstimate:
    def average(values: list[np.ndarray]) -> dict[Modality, float]:
        mean = np.tensordot(shares, np.array(values), axes=1)
        return dict(zip(modalities, mean.tolist(), strict=True))

    correlations = {
        modality: average([model.correlations[row] for model in fits])
        for row, modality in enumerate(modalities)
    }
    return LabelEstimate(
        reliability=average(
            [loadings_of(model, seen, np.arange(len(seen))) ** 2 for model in fits]
        ),
        agreement=average([model.agreement for model in fits]),
        weights=average([model.weights for model in fits]),
        correlations={
            m: {other: value for other, value in own.items() if other != m}
            for m, own in correlations.items()
        },
        noise=float(y.std() * np.sqrt(1 - shares @ [model.signal for model in fits])),
        spread=float(y.std() * shares @ [model.spread for model in fits]),
        num_clips=len(y),
    )
