"""The settings of the models that read means; reading settings imports no torch."""

from typing import Literal

from pydantic import Field

from mien.models.zoo.zoo_settings import HeadSettings, SeriesModelConfig, Share, Size, SizesOf

__all__ = [
    "AveragedConfig",
    "FusedConfig",
    "LfDnnConfig",
    "LmfConfig",
    "LowRankConfig",
    "MlfDnnConfig",
    "MlmfConfig",
    "MtfnConfig",
    "TensorConfig",
    "TfnConfig",
]


class AveragedConfig(SeriesModelConfig):
    """What the models that read means have in common.

    Attributes:
        hidden_size: Of the layers that read the means, and of the state of the text's LSTM.
        audio_dropout: Share of the mean of audio that is dropped in training.
        video_dropout: Share of the mean of video that is dropped in training.
    """

    hidden_size: SizesOf = SizesOf()
    audio_dropout: Share = 0.0
    video_dropout: Share = 0.0


class FusedConfig(AveragedConfig):
    """What those have that read the score from a fused vector by three layers.

    Attributes:
        text_output_size: Vector that the text becomes.
        fusion_size: State from which the multimodal score is read.
        fusion_dropout: Share of the fused vector that is dropped in training.
    """

    text_output_size: Size = 32
    fusion_size: Size = 64
    fusion_dropout: Share = 0.0


class TensorConfig(FusedConfig):
    """Settings of the tensor fusion.

    Attributes:
        score_limit: Multimodal scores lie between minus this and this; 0 for no limit. The
            published program has 3 on every corpus.
    """

    score_limit: float = Field(0.0, ge=0)


class TfnConfig(TensorConfig):
    """Settings of TFN.

    Attributes:
        name: ``tfn``.
    """

    name: Literal["tfn"] = "tfn"


class MtfnConfig(TensorConfig, HeadSettings):
    """Settings of MTFN.

    Attributes:
        name: ``mtfn``.
    """

    name: Literal["mtfn"] = "mtfn"


class LowRankConfig(AveragedConfig):
    """Settings of the low-rank fusion.

    Attributes:
        rank: Products of three factors that are summed.
    """

    rank: int = Field(4, ge=1, le=256)


class LmfConfig(LowRankConfig):
    """Settings of LMF.

    Attributes:
        name: ``lmf``.
    """

    name: Literal["lmf"] = "lmf"


class MlmfConfig(LowRankConfig, HeadSettings):
    """Settings of MLMF.

    Attributes:
        name: ``mlmf``.
    """

    name: Literal["mlmf"] = "mlmf"


class LfDnnConfig(FusedConfig):
    """Settings of LF-DNN.

    Attributes:
        name: ``lf_dnn``.
    """

    name: Literal["lf_dnn"] = "lf_dnn"


class MlfDnnConfig(FusedConfig, HeadSettings):
    """Settings of MLF-DNN.

    Attributes:
        name: ``mlf_dnn``.
    """

    name: Literal["mlf_dnn"] = "mlf_dnn"
