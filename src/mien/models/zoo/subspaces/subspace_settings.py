"""The settings of the models with losses of their own; reading settings imports no torch."""

from typing import Literal

from pydantic import Field

from mien.models.zoo.zoo_settings import SeriesModelConfig, Share, Size

__all__ = ["MisaConfig", "MmimConfig"]


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


class MmimConfig(SeriesModelConfig):
    """Settings of MMIM.

    Attributes:
        name: ``mmim``.
        num_layers: LSTM layers.
        audio_size: State of the LSTM of audio, of each direction.
        video_size: State of the LSTM of video, of each direction.
        audio_output_size: Vector that audio becomes.
        video_output_size: Vector that video becomes.
        fusion_size: Fused vector, from which the score is read.
        fusion_dropout: Share of the joined vectors that is dropped in training.
        video_audio_bound: Whether video is to tell of audio, too.
        bound_weight: How much it counts that modalities tell little of each other.
        contrast_weight: How much it counts that the fused vector tells little of each of them.
    """

    name: Literal["mmim"] = "mmim"
    num_layers: int = Field(1, ge=1, le=16)
    audio_size: Size = 16
    video_size: Size = 16
    audio_output_size: Size = 16
    video_output_size: Size = 16
    fusion_size: Size = 128
    fusion_dropout: Share = 0.0
    video_audio_bound: bool = False
    bound_weight: float = Field(0.1, ge=0)
    contrast_weight: float = Field(0.1, ge=0)

    @property
    def reads_summary_alone(self) -> bool:
        """Whether all that is read of a text is the encoder's summary of it: it is."""
        return True
