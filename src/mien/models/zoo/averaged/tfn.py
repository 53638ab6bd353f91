"""TFN and MTFN: the outer product of the modalities' vectors."""

import math
from collections.abc import Mapping
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from mien.models.encoders import Head
from mien.models.multitask import ModelInputs
from mien.models.zoo.averaged.averaged_model import AveragedModel, with_one
from mien.models.zoo.averaged.averaged_settings import MtfnConfig, TensorConfig, TfnConfig
from mien.types import Modality, Task

__all__ = ["Mtfn", "MtfnConfig", "TensorFusionNetwork", "Tfn", "TfnConfig"]


class TensorFusionNetwork(AveragedModel):
    """Every product of an entry of each modality's vector, and three layers over them.

        f     = [1; a] x [1; v] x [1; t]           outer product, audio slowest, text fastest
        state = ReLU(W1 dropout(f)),   score = limit (2 sigmoid(w3·ReLU(W2 state)) - 1)

    The 1 keeps the vectors themselves and their products of two among those of three.

    Args:
        config: Settings.
        inputs: What the model reads.
    """

    def __init__(self, config: TensorConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs, text_output_size=config.text_output_size)
        self.score_limit = config.score_limit
        num_products = math.prod(self.vector_sizes[m] + 1 for m in self.order)
        self.head = Head(num_products, config.fusion_size, config.fusion_dropout)
        self.state_sizes = {Task.FUSION: config.fusion_size, **self.state_sizes}

    def join(
        self, vectors: Mapping[Modality, Float[Tensor, "B _"]]
    ) -> tuple[Float[Tensor, "B _"], Float[Tensor, "B"]]:
        """Return the multimodal state and score of each clip."""
        states, scores = self.head(reduce(_multiply, (with_one(v) for v in vectors.values())))
        if self.score_limit:
            scores = self.score_limit * (2 * torch.sigmoid(scores) - 1)
        return states, scores


def _multiply(slow: Float[Tensor, "B N"], fast: Float[Tensor, "B M"]) -> Float[Tensor, "B _"]:
    return torch.einsum("bn,bm->bnm", slow, fast).flatten(1)


class Tfn(TensorFusionNetwork):
    """TFN: the multimodal score of the outer product.

    Source: zadeh2017.

    Args:
        config: Settings.
        inputs: What the model reads.
    """


class Mtfn(TensorFusionNetwork):
    """MTFN: TFN with a task of each modality, read from its vector; those have no limit.

    Source: yu2020.

    Args:
        config: Settings.
        inputs: What the model reads.
    """
