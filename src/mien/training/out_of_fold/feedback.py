"""From what unimodal tasks of late-fusion models learn: labels that their evidence makes."""

import math

import torch
from jaxtyping import Float

from mien.evaluation.formulas import corr
from mien.labels.generator import Evidence
from mien.labels.label_settings import EvidenceFeedback
from mien.labels.latent import latent_labels
from mien.types import Modality

__all__ = ["Feedback"]

#: Standard errors, 1 / sqrt(N) of N clips, above which scores are correlated with the annotation.
_STANDARD_ERRORS = 1.0


class Feedback:
    """Makes the labels of the next epoch, and remembers which modalities have shown something.

    Labels that are made of evidence let a modality learn what it says by itself. They also let a
    little of a clip's own annotation back into its evidence, which then looks better than it is.
    Where there is nothing to learn, that is all that they do.

    Args:
        which: As ``labels.feedback``.
        annotated: The annotation of each train clip, NaN for those without one.
        rest: As ``labels.rest``.
    """

    def __init__(
        self,
        which: EvidenceFeedback,
        annotated: Float[torch.Tensor, " N"],
        rest: float,
    ) -> None:
        self._which, self._rest = which, rest
        self._annotated, self._known = annotated, ~annotated.isnan()
        self._shown: set[Modality] = set()

    def make_labels(self, evidence: Evidence) -> dict[Modality, Float[torch.Tensor, " N"]]:
        """Return the labels of all clips for each modality; NaN for those without an annotation.

        Args:
            evidence: Scores out of fold, after an epoch.
        """
        made = self._latent_everywhere(evidence)
        if self._which == "all":
            return made
        self._shown |= {m for m, scores in evidence.scores.items() if self._is_correlated(scores)}
        return {m: own if m in self._shown else self._annotated for m, own in made.items()}

    def _is_correlated(self, scores: Float[torch.Tensor, " N"]) -> bool:
        both = self._known & ~scores.isnan()
        if not both.any():
            return False
        predicted, annotated = (
            values[both].double().numpy() for values in (scores, self._annotated)
        )
        # NaN, of what is all the same, is not above anything
        return corr(predicted, annotated) * math.sqrt(len(predicted)) > _STANDARD_ERRORS

    def _latent_everywhere(self, evidence: Evidence) -> dict[Modality, Float[torch.Tensor, " N"]]:
        annotated, known = self._annotated, self._known
        if known.all():
            return latent_labels(evidence, annotated, rest=self._rest)
        spread = {m: torch.full_like(annotated, torch.nan) for m in evidence.scores}
        labels = latent_labels(evidence.take(known), annotated[known], rest=self._rest)
        for modality, own in labels.items():
            spread[modality][known] = own
        return spread
