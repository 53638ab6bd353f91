"""LF-DNN and MLF-DNN: the modalities' vectors, joined."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from mien.models.encoders import Head
from mien.models.multitask import ModelInputs
from mien.models.zoo.averaged.averaged_model import AveragedModel
from mien.models.zoo.averaged.averaged_settings import FusedConfig, LfDnnConfig, MlfDnnConfig
from mien.types import Modality, Task

__all__ = ["LateFusionDnn", "LfDnn", "LfDnnConfig", "MlfDnn", "MlfDnnConfig"]


class LateFusionDnn(AveragedModel):
    """Three layers over the joined vectors.

        state = ReLU(W1 dropout([a; v; t])),   score = w3·ReLU(W2 state)

    Args:
        config: Settings.
        inputs: What the model reads.
    """

    def __init__(self, config: FusedConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs, text_output_size=config.text_output_size)
        size = sum(self.vector_sizes.values())
        self.head = Head(size, config.fusion_size, config.fusion_dropout)
        self.state_sizes = {Task.FUSION: config.fusion_size, **self.state_sizes}

    def join(
        self, vectors: Mapping[Modality, Float[Tensor, "B _"]]
    ) -> tuple[Float[Tensor, "B _"], Float[Tensor, "B"]]:
        """Return the multimodal state and score of each clip."""
        states, scores = self.head(torch.cat(list(vectors.values()), dim=1))
        return states, scores


class LfDnn(LateFusionDnn):
    """LF-DNN: the multimodal score of the joined vectors.

    Source: cambria2017.

    Args:
        config: Settings.
        inputs: What the model reads.
    """


class MlfDnn(LateFusionDnn):
    """MLF-DNN: LF-DNN with a task of each modality, read from its vector.

    Source: yu2020.

    Args:
        config: Settings.
        inputs: What the model reads.
    """
