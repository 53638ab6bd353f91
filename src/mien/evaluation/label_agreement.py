"""The labels that trainings generated, beside what is annotated and what is known: the measure.

How well labels agree with the truth is said over two sets of clips: all whose truth is known
(``everywhere``), and those in which the modality contradicts the clip (``conflicting``): its truth
and the multimodal annotation have opposite signs. Copies of the annotation do well on the first
and fail on the second.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Shaped

from mien.evaluation.bootstrap import clusters_of
from mien.evaluation.formulas import Scores, Values, check_scores, mean_of_sums
from mien.evaluation.metrics import METRICS, Metric, Sums
from mien.evaluation.significance import MetricResults, compare_sources
from mien.evaluation.target_metrics.ranking import SPEARMAN

__all__ = [
    "AGREEMENT",
    "COPY",
    "GENERATED",
    "PARTS",
    "Agreement",
    "LabelAgreement",
    "agreement",
    "compare_in_parts",
    "contradicts",
    "evaluate_agreement",
    "fit_monotone",
    "flipped_share",
    "select_parts",
]

#: The sets of clips over which agreement is said, with what tables call them.
PARTS: Final = {"everywhere": "all", "conflicting": "contradicting"}
#: What copies of the annotation, and the labels of a run, are called among the sources of labels.
COPY: Final = "copy"
GENERATED: Final = "generated"


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
        conflicting: Over the clips in which the modality contradicts the multimodal label: its
            truth and the multimodal annotation have opposite signs. Copies of the annotation fail
            here.
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
    conflicting = contradicts(truth, annotated)
    return LabelAgreement(
        everywhere=_agree(generated, truth),
        conflicting=_agree(generated[conflicting], truth[conflicting]),
    )


def _agree(generated: Scores, truth: Scores) -> Agreement:
    values = {name: metric(generated, truth) for name, metric in AGREEMENT.items()}
    return Agreement(num_clips=len(truth), num_signed=int(np.count_nonzero(truth)), **values)


def fit_monotone(inputs: Scores, targets: Scores) -> Float[np.ndarray, " N"]:
    """Map the inputs by the increasing function that comes closest to the targets, in squares.

    Equal inputs get one value.

    Source: ayer1955.

    >>> fit_monotone(np.array([1.0, 2.0, 3.0]), np.array([0.0, 4.0, 2.0]))
    array([0., 3., 3.])
    """
    from scipy.optimize import isotonic_regression

    levels, where, counts = np.unique(inputs, return_inverse=True, return_counts=True)
    means = np.bincount(where, weights=targets, minlength=len(levels)) / counts
    fitted: Float[np.ndarray, " N"] = isotonic_regression(means, weights=counts).x[where]
    return fitted


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
    "spearman": SPEARMAN,
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


def contradicts(truth: Scores, annotated: Scores) -> Bool[np.ndarray, " N"]:
    """Return in which clips the modality contradicts the multimodal label."""
    opposite: Bool[np.ndarray, " N"] = np.sign(truth) * np.sign(annotated) < 0
    return opposite


def flipped_share(labels: Scores, annotated: Scores) -> float:
    """Return the share of clips whose label has the sign opposite to the annotation's.

    Clips annotated exactly 0 do not count; NaN if all are.

    >>> flipped_share(np.array([0.5, -1.0, 2.0]), np.array([-1.0, -1.0, 0.0]))
    0.5
    """
    signed = annotated != 0
    flipped = contradicts(labels, annotated)[signed]
    return float(flipped.mean()) if flipped.size else math.nan


def select_parts(truth: Scores, annotated: Scores) -> dict[str, Bool[np.ndarray, " N"]]:
    """Return the clips of each of ``PARTS``, of those whose truth is known.

    Args:
        truth: What is known of the modality alone; NaN where it is not.
        annotated: The multimodal annotation.
    """
    known = ~np.isnan(truth)
    return {"everywhere": known, "conflicting": known & contradicts(truth, annotated)}


def evaluate_agreement(
    sources: Mapping[str, Float[np.ndarray, "_ N"]],
    truth: Scores,
    annotated: Scores,
    videos: Shaped[np.ndarray, " N"],
    *,
    against: Sequence[str] = (),
    fixed: Collection[str] = (),
    names: Collection[str] | None = None,
) -> dict[str, MetricResults]:
    """Compare labels of one modality, from several sources, with its truth.

    Args:
        sources: Labels of each source, one row for each seed.
        truth: What is known of the modality alone; NaN where it is not.
        annotated: The multimodal annotation.
        videos: Video of each clip; whole videos are resampled.
        against: Sources that are subtracted from every other one.
        fixed: Sources without a training.
        names: Which metrics of ``AGREEMENT``; all of them if None.

    Returns:
        For each of ``PARTS`` these metrics; a part without a clip has none.
    """
    chosen = {name: m for name, m in AGREEMENT.items() if names is None or name in names}
    parts = select_parts(truth, annotated)
    return compare_in_parts(sources, truth, parts, chosen, videos, against=against, fixed=fixed)


def compare_in_parts(
    sources: Mapping[str, Float[np.ndarray, "_ N *K"]],
    truth: Values,
    parts: Mapping[str, Bool[np.ndarray, " N"]],
    metrics: Mapping[str, Metric],
    videos: Shaped[np.ndarray, " N"],
    *,
    against: Sequence[str] = (),
    fixed: Collection[str] = (),
) -> dict[str, MetricResults]:
    """Compare labels from several sources with the truth, over several sets of clips.

    Args:
        sources: Labels of each source, those of one seed after the other.
        truth: The truth; what it is where a clip is in no part does not matter.
        parts: The sets of clips.
        metrics: Of labels and truth.
        videos: Video of each clip; whole videos are resampled.
        against: Sources that are subtracted from every other one.
        fixed: Sources without a training.

    Returns:
        For each part these metrics; a part without a clip has none.
    """
    compared = {}
    for part, rows in parts.items():
        clusters = clusters_of(videos[rows]) if rows.any() else videos[rows]
        labels = {name: source[:, rows] for name, source in sources.items()}
        compared[part] = MetricResults(
            num_clips=int(rows.sum()),
            num_clusters=len(np.unique(clusters)),
            metrics={
                name: compare_sources(
                    labels, truth[rows], metric, clusters=clusters, against=against, fixed=fixed
                )
                for name, metric in (metrics if rows.any() else {}).items()
            },
        )
    return compared
