"""The settings of the models with losses of their own; reading settings imports no torch."""

from typing import Literal

from pydantic import Field

from mien.models.zoo.zoo_settings import SeriesModelConfig, Share, Size

__all__ = ["MisaConfig"]


class MisaConfig(SeriesModelConfig):
    """Settings of MISA.

    Attributes:
        name: ``misa``.
        hidden_size: Size of a private and of a shared vector; even, for the attention has two
            heads.
        dropout: Share dropped before the score.
        transformer_dropout: Share dropped in the transformer over the vectors.
        difference_weight: How much it counts that private and shared vectors overlap.
        similarity_weight: How much it counts that the shared vectors of modalities are distributed
            differently.
        reconstruction_weight: How much it counts that a modality cannot be told from its vectors.
    """

    name: Literal["misa"] = "misa"
    hidden_size: Size = Field(128, multiple_of=2)
    dropout: Share = 0.0
    transformer_dropout: Share = 0.1
    difference_weight: float = Field(0.3, ge=0)
    similarity_weight: float = Field(1.0, ge=0)
    reconstruction_weight: float = Field(1.0, ge=0)
