"""The settings of the models with attention between modalities; reading them imports no torch."""

from typing import Literal

from pydantic import Field, model_validator

from mien.config import Settings
from mien.models.zoo.zoo_settings import (
    HeadSettings,
    SeriesModelConfig,
    Share,
    SharesOf,
    Size,
    SizesOf,
)

__all__ = [
    "AlmtConfig",
    "AttendingConfig",
    "CrossmodalConfig",
    "MultConfig",
    "TetfnConfig",
    "TfrNetConfig",
    "WeightsOf",
    "WidthsOf",
]


class WidthsOf(Settings):
    """Steps that the convolution of each modality sees.

    Attributes:
        text: For text.
        audio: For audio.
        video: For video.
    """

    text: int = Field(1, ge=1, le=99)
    audio: int = Field(1, ge=1, le=99)
    video: int = Field(1, ge=1, le=99)


class CrossmodalConfig(SeriesModelConfig):
    """What the models with crossmodal transformers have in common.

    Attributes:
        model_size: Size of a state, a multiple of ``num_heads``.
        num_heads: Heads of every attention.
        width: Steps that the convolution before the transformers sees.
        attention_dropout: Share of the weights of attention that is dropped in training, by the
            modality that is attended to.
        feed_forward_dropout: Share dropped between the layers of a step.
        residual_dropout: Share dropped of what a layer adds.
        embedding_dropout: Share dropped of what goes into a transformer.
        looks_ahead: Whether a step may attend to what comes after it.
    """

    model_size: Size = 40
    num_heads: int = Field(5, ge=1, le=64)
    width: WidthsOf = WidthsOf()
    attention_dropout: SharesOf = SharesOf()
    feed_forward_dropout: Share = 0.0
    residual_dropout: Share = 0.0
    embedding_dropout: Share = 0.0
    looks_ahead: bool = False

    @model_validator(mode="after")
    def _check_heads(self) -> "CrossmodalConfig":
        if self.model_size % self.num_heads:
            raise ValueError(
                f"model_size is {self.model_size}, must be a multiple of num_heads, "
                f"{self.num_heads}"
            )
        return self


class MultConfig(CrossmodalConfig):
    """Settings of MulT.

    Attributes:
        name: ``mult``.
        num_layers: Layers of the transformers between two modalities.
        text_dropout: Share of the text's states that is dropped in training.
        output_dropout: Share dropped before the score.
    """

    name: Literal["mult"] = "mult"
    num_layers: int = Field(4, ge=1, le=16)
    text_dropout: Share = 0.0
    output_dropout: Share = 0.0


class TetfnConfig(CrossmodalConfig, HeadSettings):
    """Settings of TETFN.

    Attributes:
        name: ``tetfn``.
        audio_size: State of the LSTM of audio.
        video_size: State of the LSTM of video.
        fusion_size: State from which the multimodal score is read.
        fusion_dropout: Share of the joined states that is dropped in training.
    """

    name: Literal["tetfn"] = "tetfn"
    audio_size: Size = 16
    video_size: Size = 32
    fusion_size: Size = 64
    fusion_dropout: Share = 0.0


class WeightsOf(Settings):
    """How much something counts, for each modality.

    Attributes:
        text: For text.
        audio: For audio.
        video: For video.
    """

    text: float = Field(1.0, ge=0)
    audio: float = Field(1.0, ge=0)
    video: float = Field(1.0, ge=0)


class TfrNetConfig(CrossmodalConfig):
    """Settings of TFR-Net.

    Attributes:
        name: ``tfr_net``.
        num_layers: Layers of the transformers between two modalities.
        missing_share: Share of the real steps that are taken away in training, and reconstructed.
        text_dropout: Share of the text's states that is dropped in training.
        gate_size: Vector that each modality becomes, and state of its GRU in each direction.
        gate_layers: Layers of that GRU.
        gate_dropout: Share dropped between them.
        fusion_size: State from which the score is read.
        fusion_dropout: Share of it that is dropped in training.
        reconstruction_weight: How much it counts that a modality is reconstructed badly.
        moment_weight: How much the moments of what is reconstructed count beside its values.
    """

    name: Literal["tfr_net"] = "tfr_net"
    num_layers: int = Field(2, ge=1, le=16)
    missing_share: Share = 0.2
    text_dropout: Share = 0.0
    gate_size: SizesOf = SizesOf()
    gate_layers: int = Field(1, ge=1, le=16)
    gate_dropout: Share = 0.0
    fusion_size: Size = 64
    fusion_dropout: Share = 0.0
    reconstruction_weight: WeightsOf = WeightsOf()
    moment_weight: float = Field(1.0, ge=0)


class AttendingConfig(Settings):
    """Layers of attention of one kind.

    Attributes:
        num_layers: How many.
        num_heads: Heads of each.
        head_size: Size of a head, whatever that of a state is.
        feed_forward_size: Size between the layers of a step.
    """

    num_layers: int = Field(1, ge=1, le=16)
    num_heads: int = Field(8, ge=1, le=64)
    head_size: Size = 64
    feed_forward_size: Size = 128


class AlmtConfig(SeriesModelConfig):
    """Settings of ALMT.

    Attributes:
        name: ``almt``.
        model_size: Size of a state.
        num_tokens: Learned tokens that a modality becomes.
        longest_text: Steps of text with a learned position of their own; later ones share the last.
        longest_audio: The same of audio.
        longest_video: The same of video.
        embedding: Layers that make the tokens of each modality.
        text_layers: Layers over the tokens of the text; one fewer than those in which it guides
            audio and video.
        guided: Heads with which it does so; their number of layers follows, and there are no
            layers of a step.
        fusion: Layers that join the text with what it has taken from audio and video.
        dropout: Share dropped in all of these.
    """

    name: Literal["almt"] = "almt"
    model_size: Size = 128
    num_tokens: int = Field(8, ge=1, le=256)
    longest_text: int = Field(50, ge=1, le=10_000)
    longest_audio: int = Field(500, ge=1, le=10_000)
    longest_video: int = Field(500, ge=1, le=10_000)
    embedding: AttendingConfig = AttendingConfig()
    text_layers: AttendingConfig = AttendingConfig(num_layers=2)
    guided: AttendingConfig = AttendingConfig(head_size=16)
    fusion: AttendingConfig = AttendingConfig(num_layers=2)
    dropout: Share = 0.0
