"""Models: one file per model, with its settings, its class and its source; and their table."""

from typing import Annotated, Any

from mien.config import Choice
from mien.models.multitask import ModelInputs, MultimodalModel, MultitaskConfig
from mien.models.self_mm import SelfMM, SelfMMConfig
from mien.models.tam_ulag import TamUlag, TamUlagConfig

__all__ = ["MODELS", "ModelConfig", "build_model"]

#: By name, the settings of a model and its class.
MODELS: dict[str, tuple[type[Any], type[Any]]] = {
    "tam_ulag": (TamUlagConfig, TamUlag),
    "self_mm": (SelfMMConfig, SelfMM),
}

#: The settings of any model, told apart by their ``name``.
ModelConfig = Annotated[
    MultitaskConfig, Choice(MODELS, lambda entry: entry[0], tag="name", default="tam_ulag")
]


def build_model(config: ModelConfig, inputs: ModelInputs) -> MultimodalModel:
    """Build the model that ``config`` is the settings of."""
    model: MultimodalModel = MODELS[config.name][1](config, inputs)
    return model
