"""What was evaluated: settings, environment, and how often what is promised holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mien.evaluation.metrics_file.seed_metrics import (
    SeedCoverage,
    seed_coverage_from_json,
    seed_coverage_to_json,
)
from mien.types import Scale

__all__ = ["EvaluatedModel", "evaluated_model_from_json", "evaluated_model_to_json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedModel:
    """A run or a model of one file that was evaluated: what ``evaluated.json`` holds.

    Attributes:
        settings: Those of its training.
        environment: What the evaluation depends on besides: versions, device, and fingerprints of
            the store and the text encoder, as in the ``environment.json`` of a run.
        coverage: How often intervals and sets hold what is annotated, of each seed or the model;
            none where that was not measured: on valid, where they were made.
        scale: Range of the annotations of sentiment; None where only the run knows it.
    """

    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    coverage: tuple[SeedCoverage, ...] = ()
    scale: Scale | None = None

    @property
    def name(self) -> str:
        """Name of the model in its settings."""
        return str(self.settings["model"]["name"])


def evaluated_model_to_json(model: EvaluatedModel) -> dict[str, Any]:
    """Return a model as the ``evaluated.json`` of an evaluation holds it."""
    return {
        "settings": dict(model.settings),
        "environment": dict(model.environment),
        "coverage": [seed_coverage_to_json(each) for each in model.coverage],
        "scale": None if model.scale is None else [model.scale.low, model.scale.high],
    }


def evaluated_model_from_json(values: Mapping[str, Any]) -> EvaluatedModel:
    """Return what the ``evaluated.json`` of an evaluation holds.

    Raises:
        KeyError: If something is missing, or of another form (also TypeError, ValueError and
            AttributeError).
    """
    scale = values["scale"]
    return EvaluatedModel(
        settings=dict(values["settings"]),
        environment=dict(values["environment"]),
        coverage=tuple(seed_coverage_from_json(each) for each in values["coverage"]),
        scale=None if scale is None else Scale(*scale),
    )
