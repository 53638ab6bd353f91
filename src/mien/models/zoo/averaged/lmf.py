"""LMF and MLMF: the outer product of the modalities' vectors, by factors of low rank."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mien.models.multitask import ModelInputs
from mien.models.zoo.averaged.averaged_model import AveragedModel, with_one
from mien.models.zoo.averaged.averaged_settings import LmfConfig, LowRankConfig, MlmfConfig
from mien.types import Modality, Task

__all__ = ["Lmf", "LmfConfig", "LowRankNetwork", "Mlmf", "MlmfConfig"]


class LowRankNetwork(AveragedModel):
    """A linear function of all products of three entries, whose weights have a low rank.

        z_r   = product over m of ([1; x_m]·F_m,r)          r = 1 ... rank
        score = sum over r of u_r z_r + c

    Weighing the products (u) instead of summing them is the published program's; it changes
    nothing that the factors could not. That program never trains u and c; here they are, unless
    ``published``.

    Args:
        config: Settings.
        inputs: What the model reads.
    """

    def __init__(self, config: LowRankConfig, inputs: ModelInputs) -> None:
        half = max(config.hidden_size.text // 2, 1)
        super().__init__(config, inputs, text_output_size=half)
        self.factors = nn.ParameterDict(
            {m: torch.zeros(config.rank, self.vector_sizes[m] + 1, 1) for m in self.order}
        )
        self.weights = nn.Parameter(torch.zeros(1, config.rank))
        self.bias = nn.Parameter(torch.zeros(1, 1))
        for parameter in (*self.factors.values(), self.weights):
            nn.init.xavier_normal_(parameter)
        if config.published:
            self.weights.requires_grad_(False)  # noqa: FBT003  # torch's
            self.bias.requires_grad_(False)  # noqa: FBT003  # torch's
        self.state_sizes = {Task.FUSION: config.rank, **self.state_sizes}

    def join(
        self, vectors: Mapping[Modality, Float[Tensor, "B _"]]
    ) -> tuple[Float[Tensor, "B _"], Float[Tensor, "B"]]:
        """Return the products of each rank, which are the state, and the score of each clip."""
        seen = [with_one(v) @ self.factors[m].squeeze(-1).T for m, v in vectors.items()]
        products = torch.stack(seen).prod(dim=0)  # (B, R)
        return products, (products @ self.weights.T + self.bias).squeeze(-1)


class Lmf(LowRankNetwork):
    """LMF: the multimodal score of low rank.

    Source: liu2018.

    Args:
        config: Settings.
        inputs: What the model reads.
    """


class Mlmf(LowRankNetwork):
    """MLMF: LMF with a task of each modality, read from its vector.

    Source: yu2020.

    Args:
        config: Settings.
        inputs: What the model reads.
    """
