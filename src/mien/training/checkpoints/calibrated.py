"""What validation clips say about the answers of a trained model, as its checkpoint holds it."""

from dataclasses import dataclass, replace
from typing import Any

from mien.data.clips.clip_columns import as_clips
from mien.data.dataset import ClipDataset
from mien.evaluation.conformal import Calibration, measure_widths, subsets_of
from mien.evaluation.predictions import Predictions
from mien.evaluation.probabilities.calibrate_targets import calibrate_targets
from mien.evaluation.probabilities.target_calibration import TargetCalibration
from mien.evaluation.scoring import predict_subsets
from mien.models.multitask import MultimodalModel
from mien.types import Modality, Scale

__all__ = ["Calibrated", "calibrate_alone", "calibrate_model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """What validation clips say.

    Attributes:
        predictions: Of the clips, with all modalities that they have.
        sentiment: Widths of the intervals of sentiment; None if it is not predicted.
        targets: What is known of the answers of each target, by its name.
        facts: All of it as a header of a checkpoint has it: of clips that are read against a
            baseline of their speaker, what holds without one too.
    """

    predictions: Predictions
    sentiment: Calibration | None
    targets: dict[str, TargetCalibration]
    facts: dict[str, Any]


def calibrate_model(model: MultimodalModel, dataset: ClipDataset, scale: Scale) -> Calibrated:
    """Predict clips that a model has not been trained on once, and return what follows.

    Args:
        model: The model.
        dataset: The clips.
        scale: Range to which scores of sentiment are cut.
    """
    predictions, sentiment, targets = _calibrate(model, dataset, scale)
    facts = _as_facts("", sentiment, targets)
    if dataset.baselines:
        facts |= _as_facts("_alone", *_calibrate(model, replace(dataset, baselines={}), scale)[1:])
    return Calibrated(predictions=predictions, sentiment=sentiment, targets=targets, facts=facts)


def calibrate_alone(predictions: Predictions, modality: Modality, scale: Scale) -> dict[str, Any]:
    """Return what follows from predictions of a model that reads one modality, as a header has it.

    Args:
        predictions: Of clips that it has not been trained on, of sentiment alone.
        modality: What it reads.
        scale: Range to which scores are cut.
    """
    return _as_facts("", measure_widths({(modality,): predictions}, scale=scale), {})


def _calibrate(
    model: MultimodalModel, dataset: ClipDataset, scale: Scale
) -> tuple[Predictions, Calibration | None, dict[str, TargetCalibration]]:
    subsets = subsets_of(model.modalities)
    by_present = predict_subsets(model, dataset, subsets)
    sentiment = measure_widths(by_present, scale=scale) if model.has_sentiment else None
    targets = calibrate_targets(by_present, as_clips(dataset.clips).speaker_numbers)
    return by_present[subsets[-1]], sentiment, targets


def _as_facts(
    ending: str, sentiment: Calibration | None, targets: dict[str, TargetCalibration]
) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if sentiment is not None:
        facts[f"calibration{ending}"] = sentiment.model_dump(mode="json")
    if targets:
        facts[f"target_calibration{ending}"] = {
            name: own.model_dump(mode="json", exclude_defaults=True)
            for name, own in targets.items()
        }
    return facts
