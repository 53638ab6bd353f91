"""On which clips models err: their error on parts of the clips, with intervals.

The parts are those of what is known of a clip: polarity and intensity of its annotation, the
length of its transcript, and whether a modality contradicts it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int

from mien.evaluation.bootstrap import resample
from mien.evaluation.formulas import Scores
from mien.evaluation.intervals import Interval
from mien.evaluation.label_agreement import contradicts
from mien.evaluation.metrics import Metric
from mien.reports.target_results.compared_scores import SeedScores, draw_shared
from mien.types import Scale

__all__ = ["ClipBin", "Division", "bin_by_polarity", "divide_clips", "evaluate_bin"]

#: Parts of the clips by the length of their transcripts, with about as many clips each.
_NUM_LENGTHS = 3
#: Parts by intensity, beside the clips annotated exactly 0.
_NUM_INTENSITIES = 3
#: How far above the end of a part an annotation may lie that is in it, as it is stored.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipBin:
    """Some of the clips.

    Attributes:
        name: What they have in common.
        rows: Which they are.
    """

    name: str
    rows: Bool[np.ndarray, " N"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """The clips in parts; those of which nothing is known are in none.

    Attributes:
        title: By what.
        bins: The parts; none is empty.
    """

    title: str
    bins: tuple[ClipBin, ...]


def divide_clips(
    annotated: Scores,
    scale: Scale,
    *,
    truths: Mapping[str, Scores],
    num_words: Int[np.ndarray, " N"] | None = None,
    unit: str = "words",
) -> list[Division]:
    """Return the ways in which clips can be divided, of those that are known.

    Args:
        annotated: The multimodal annotation, of every clip.
        scale: Its range.
        truths: What is annotated of each modality alone; NaN where it is not.
        num_words: Length of each transcript; 0 where there is none; None if none is known.
        unit: What lengths are counted in.
    """
    divisions = [
        Division(title="polarity", bins=bin_by_polarity(annotated)),
        Division(title="intensity", bins=_bin_by_intensity(annotated, scale)),
    ]
    if num_words is not None:
        divisions.append(Division(title="length", bins=_bin_by_length(num_words, unit)))
    if truths:
        divisions.append(
            Division(title="modalities", bins=_bin_by_contradiction(annotated, truths))
        )
    return [division for division in divisions if division.bins]


def bin_by_polarity(annotated: Scores) -> tuple[ClipBin, ...]:
    """Return the clips below 0, at 0 and above."""
    parts = {"negative": annotated < 0, "0": annotated == 0, "positive": annotated > 0}
    return _keep(parts)


def _bin_by_intensity(annotated: Scores, scale: Scale) -> tuple[ClipBin, ...]:
    """Return the clips by how far their annotation lies from 0, in parts of the scale."""
    size = np.abs(annotated)
    ends = max(-scale.low, scale.high) * np.arange(_NUM_INTENSITIES + 1) / _NUM_INTENSITIES
    ends[-1] = max(ends[-1], size.max(initial=0.0))
    parts: dict[str, Bool[np.ndarray, " N"]] = {"0": size == 0}
    for low, high in pairwise(ends.round(6).tolist()):
        name = f"above {low:.3g} to {high:.3g}"
        parts[name] = (size > (low + _ROUNDING if low else 0)) & (size <= high + _ROUNDING)
    return _keep(parts)


def _bin_by_length(num_words: Int[np.ndarray, " N"], unit: str) -> tuple[ClipBin, ...]:
    known = num_words[num_words > 0]
    if not len(known):
        return ()
    shares = np.arange(1, _NUM_LENGTHS) / _NUM_LENGTHS
    ends = np.unique(np.quantile(known, shares, method="lower")).tolist()
    ends = [0, *(end for end in ends if end < known.max()), int(known.max())]
    return _keep(
        {
            f"{_name_length(low + 1, high)} {unit}": (num_words > low) & (num_words <= high)
            for low, high in pairwise(ends)
        }
    )


def _name_length(shortest: int, longest: int) -> str:
    return str(longest) if shortest == longest else f"{shortest} to {longest}"


def _bin_by_contradiction(annotated: Scores, truths: Mapping[str, Scores]) -> tuple[ClipBin, ...]:
    """Return the clips in which a modality has the opposite sign, and those in which none has."""
    stacked = np.stack(list(truths.values()))
    opposite = np.logical_or.reduce([contradicts(own, annotated) for own in stacked])
    known: Bool[np.ndarray, " N"] = ~np.isnan(stacked).all(axis=0)
    return _keep({"none contradicts": known & ~opposite, "one contradicts": opposite})


def _keep(parts: Mapping[str, Bool[np.ndarray, " N"]]) -> tuple[ClipBin, ...]:
    return tuple(ClipBin(name=name, rows=rows) for name, rows in parts.items() if rows.any())


def evaluate_bin(
    runs: Sequence[SeedScores], rows: Bool[np.ndarray, " N"], metric: Metric
) -> list[Interval]:
    """Return a metric of each run on some of the clips: the mean over its seeds, with its interval.

    Speakers or videos are resampled where several of these clips come from one, else clips.

    Args:
        runs: What they predict, on the same clips.
        rows: Which clips; at least one.
        metric: The metric.
    """
    chosen = [run.take(np.flatnonzero(rows)) for run in runs]
    _, draws = draw_shared(chosen)
    return [
        resample(run.scores, run.targets, metric, draws, for_differences=False).interval()
        for run in chosen
    ]
