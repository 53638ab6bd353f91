"""How attention inside the known moments is measured: its share, and that of equal weights."""

import math
from typing import Final

import numpy as np
from jaxtyping import Float

from mien.evaluation.formulas import Scores, divide, mean_of_sums
from mien.evaluation.metrics import Metric, Sums

__all__ = ["ATTENTION_METRICS"]


def _share_terms(shares: Scores, uniform: Scores) -> Float[np.ndarray, "N 2"]:
    return np.stack([shares, uniform], axis=1)


def _count_terms(shares: Scores, uniform: Scores) -> Float[np.ndarray, "N 2"]:
    return np.stack([shares, np.ones(len(uniform))], axis=1)


def _ratio(sums: Float[np.ndarray, "*B 2"]) -> Float[np.ndarray, "*B"]:
    return divide(sums[..., 0], sums[..., 1])


#: Metrics of the share of each clip's attention that lies inside, and of that of equal weights.
ATTENTION_METRICS: Final[dict[str, Metric]] = {
    "inside": Metric(
        function=lambda shares, uniform: float(_ratio(_count_terms(shares, uniform).sum(axis=0))),
        higher_is_better=True,
        is_share=True,
        description="share of attention inside the known moments",
        sums=Sums(terms=_count_terms, combine=mean_of_sums),
    ),
    "ratio": Metric(
        function=lambda shares, uniform: float(_ratio(_share_terms(shares, uniform).sum(axis=0))),
        higher_is_better=True,
        is_share=False,
        description="share of attention inside the known moments, over what equal weights get",
        sums=Sums(terms=_share_terms, combine=_ratio),
        limits=(0.0, math.inf),
    ),
}
