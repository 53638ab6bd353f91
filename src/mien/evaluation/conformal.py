"""How far a score may be off: intervals from the errors on validation clips.

Split conformal prediction: among n clips that the training has not seen, the half width of an
interval of level L is the ceil((n + 1) L)-th smallest absolute error. If a new clip comes from
where these come from, the chance that its annotation lies inside is at least L, whatever the model
is worth; a model without skill gets wide intervals. Each set of present modalities has a width of
its own, since a face alone says less than a face with words.

Source: papadopoulos2002, lei2018.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from pydantic import Field, FiniteFloat

from mien.config import Settings
from mien.data.dataset import ClipDataset
from mien.evaluation.metrics_file.seed_metrics import TaskCoverage
from mien.evaluation.predictions import Predictions
from mien.evaluation.probabilities.margins import conformal_quantile
from mien.evaluation.scoring import as_reported, predict_subsets
from mien.models.multitask import MultimodalModel
from mien.types import Modality, Scale, Task

__all__ = [
    "LEVEL",
    "Calibration",
    "IntervalHits",
    "calibrate",
    "coverage",
    "half_width",
    "interval_hits",
    "measure_widths",
    "name_modalities",
    "subsets_of",
]

#: Share of clips whose annotation should lie inside.
LEVEL = 0.9
#: Before the name of a modality whose unimodal score is meant.
_ONLY = "only "
_Width = Annotated[FiniteFloat, Field(ge=0)]


class Calibration(Settings):
    """Half widths of intervals.

    Attributes:
        level: Share of clips whose annotation should lie inside.
        fusion: Of the multimodal score, by the modalities that are present, such as
            ``text+video``; absent where validation has too few clips to tell. Where one modality
            is present, its unimodal width counts, if the model has its task: the scores are one.
        unimodal: Of each unimodal score.
        num_clips: Validation clips that each width rests on, by the same names; unimodal scores
            by ``only MODALITY``.
    """

    level: float = Field(gt=0, lt=1)
    fusion: dict[str, _Width]
    unimodal: dict[Modality, _Width]
    num_clips: dict[str, int]

    def width(self, task: Task, present: Sequence[Modality]) -> float:
        """Return the half width of a score's interval; infinite where nothing is known."""
        if task is Task.FUSION and len(present) != 1:
            return self.fusion.get(name_modalities(present), math.inf)
        modality = present[0] if task is Task.FUSION else Modality(task)
        has_own_task = modality in self.unimodal or f"{_ONLY}{modality}" in self.num_clips
        if self._is_unimodal or (task is Task.FUSION and not has_own_task):
            return self.fusion.get(str(modality), math.inf)
        return self.unimodal.get(modality, math.inf)

    def settle(self) -> "Calibration":
        """Return the same widths, where those of a modality alone are equal in both tables.

        Files that were written before this was so have other ones for the multimodal score.
        """
        known = [m for m in Modality if f"{_ONLY}{m}" in self.num_clips]
        lone = {m: self.width(Task(m), [m]) for m in known}
        lone = {m: width for m, width in lone.items() if math.isfinite(width)}
        others = {name: width for name, width in self.fusion.items() if name not in known}
        named = {str(m): width for m, width in lone.items()}
        return self.model_copy(update={"fusion": {**named, **others}, "unimodal": lone})

    @property
    def _is_unimodal(self) -> bool:
        """Whether the model knows one modality only, so that its multimodal score is reported."""
        return sum(not name.startswith(_ONLY) for name in self.num_clips) == 1

    def interval(
        self, task: Task, value: float, present: Sequence[Modality], scale: Scale
    ) -> tuple[float, float]:
        """Return the interval around a score, cut to the scale."""
        width = self.width(task, present)
        return max(scale.low, value - width), min(scale.high, value + width)


def name_modalities(present: Sequence[Modality]) -> str:
    """Return the name of a set of modalities.

    >>> name_modalities([Modality.VIDEO, Modality.TEXT])
    'text+video'
    """
    return "+".join(str(m) for m in Modality if m in present)


def half_width(errors: Float[np.ndarray, " N"], level: float) -> float:
    """Return the ceil((N + 1) level)-th smallest absolute error; infinite if N is too small.

    >>> half_width(np.array([0.1, -0.4, 0.2, 0.3]), 0.8)
    0.4
    >>> half_width(np.array([0.1, -0.4, 0.2, 0.3]), 0.9)
    inf
    """
    return conformal_quantile(np.abs(errors), level)


def calibrate(
    model: MultimodalModel,
    dataset: ClipDataset,
    *,
    scale: Scale | None = None,
    level: float = LEVEL,
) -> Calibration:
    """Measure the errors on clips that the model has not been trained on, and return the widths.

    Every set of modalities is tried on the clips that have them all, the others taken away. A
    unimodal score is compared with the unimodal annotation where there is one, else with the
    multimodal one; so is the multimodal score of one modality alone, which is the same score.

    Args:
        model: The model.
        dataset: The clips.
        scale: Range to which scores are cut before they are compared, as predictions are; None
            compares them as they are.
        level: Share of clips whose annotation should lie inside.
    """
    predictions = predict_subsets(model, dataset, subsets_of(model.modalities))
    return measure_widths(predictions, scale=scale, level=level)


def measure_widths(
    by_present: Mapping[tuple[Modality, ...], Predictions],
    *,
    scale: Scale | None = None,
    level: float = LEVEL,
) -> Calibration:
    """Return the widths that ``calibrate`` returns, of predictions that are there.

    Args:
        by_present: Predictions of the same clips with every set of modalities alone.
        scale: As in ``calibrate``.
        level: As in ``calibrate``.
    """
    fusion: dict[str, float] = {}
    unimodal: dict[Modality, float] = {}
    num_clips: dict[str, int] = {}
    for present, scored in by_present.items():
        predictions = _cut(as_reported(scored), scale)
        name, is_lone = name_modalities(present), len(present) == 1
        has_own_task = is_lone and Task(present[0]) in predictions.scores
        task = Task(present[0]) if has_own_task else Task.FUSION
        errors = _errors(predictions, task, predictions.having(present))
        num_clips[name] = _put(fusion, name, errors, level)
        if has_own_task:
            num_clips[f"{_ONLY}{name}"] = _put(unimodal, present[0], errors, level)
    return Calibration(level=level, fusion=fusion, unimodal=unimodal, num_clips=num_clips)


def subsets_of(modalities: Sequence[Modality]) -> list[tuple[Modality, ...]]:
    """Return every set of modalities but the empty one.

    >>> [name_modalities(present) for present in subsets_of([Modality.TEXT, Modality.VIDEO])]
    ['text', 'video', 'text+video']
    """
    return [
        subset
        for size in range(1, len(modalities) + 1)
        for subset in combinations(modalities, size)
    ]


class IntervalHits(NamedTuple):
    """Whether annotations lie in their intervals.

    Attributes:
        inside: Of each clip 1 if its annotation does, 0 if not; NaN of one that is not annotated,
            lacks the modality of the task, or has no interval.
        widths: Half width of each interval, not cut to the scale; NaN as ``inside``.
        num_without_width: Annotated clips that have no interval, because validation had too few
            clips with their modalities.
    """

    inside: Float[np.ndarray, " N"]
    widths: Float[np.ndarray, " N"]
    num_without_width: int


def interval_hits(
    calibration: Calibration,
    predictions: Predictions,
    scale: Scale,
    tasks: Collection[Task] = tuple(Task),
) -> dict[Task, IntervalHits]:
    """Return, per task, which annotations lie in the interval of the score that is reported.

    Args:
        calibration: As in ``coverage``.
        predictions: As in ``coverage``.
        scale: As in ``coverage``.
        tasks: Of which tasks.
    """
    predictions = _cut(as_reported(predictions), scale)
    present, set_of = predictions.modality_sets()
    hits = {}
    for task, scores in predictions.scores.items():
        if task not in tasks:
            continue
        fits = np.array([task is Task.FUSION or Modality(task) in p for p in present])
        widths = np.array([calibration.width(task, p) if fit else math.nan
                           for p, fit in zip(present, fits, strict=True)])  # fmt: skip
        width, targets = widths[set_of], _targets(predictions, task)
        is_counted = ~np.isnan(targets) & ~np.isnan(width)
        is_known = is_counted & np.isfinite(width)
        low, high = np.maximum(scale.low, scores - width), np.minimum(scale.high, scores + width)
        inside = (low <= targets) & (targets <= high)
        hits[task] = IntervalHits(
            inside=np.where(is_known, inside, math.nan),
            widths=np.where(is_known, width, math.nan),
            num_without_width=int((is_counted & ~is_known).sum()),
        )
    return hits


def coverage(
    calibration: Calibration, predictions: Predictions, scale: Scale
) -> dict[Task, TaskCoverage]:
    """Return, per task, the share of annotated clips that lie in their interval, and how many.

    Clips whose modalities have no width, because validation had too few such clips, have no
    interval; they are counted apart.

    Args:
        calibration: The widths.
        predictions: Scores of clips that neither training nor calibration has seen, with all
            modalities that each has.
        scale: Range of the annotations.

    Returns:
        Per task in which some clip has an interval.
    """
    result = {}
    for task, hits in interval_hits(calibration, predictions, scale).items():
        known = hits.inside[~np.isnan(hits.inside)]
        if known.size:
            result[task] = TaskCoverage(
                share=float(np.mean(known)),
                num_clips=len(known),
                num_without_width=hits.num_without_width,
            )
    return result


def _errors(
    predictions: Predictions, task: Task, rows: Bool[np.ndarray, " N"]
) -> Float[np.ndarray, " _"]:
    errors = (predictions.scores[task] - _targets(predictions, task))[rows]
    known: Float[np.ndarray, " _"] = errors[~np.isnan(errors)]
    return known


def _targets(predictions: Predictions, task: Task) -> Float[np.ndarray, " N"]:
    """Return what a task is compared with: its own annotation, or the clip's."""
    annotated = predictions.targets[Task.FUSION]
    if task not in predictions.targets:
        return annotated
    own = predictions.targets[task]
    return np.where(np.isnan(own), annotated, own)


def _put(
    widths: dict[str, float] | dict[Modality, float],
    name: str | Modality,
    errors: Float[np.ndarray, " _"],
    level: float,
) -> int:
    """Keep the half width, if there are enough clips for one; return how many there are."""
    width = half_width(errors, level)
    if math.isfinite(width):
        widths[name] = width  # type: ignore[index]  # a Modality is a str
    return len(errors)


def _cut(predictions: Predictions, scale: Scale | None) -> Predictions:
    """Cut the scores to the scale, as they are shown."""
    if scale is None:
        return predictions
    return replace(
        predictions, scores={t: scale.clip(values) for t, values in predictions.scores.items()}
    )
