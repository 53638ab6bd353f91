"""The settings of the models, apart from the models: reading settings imports no torch."""

from typing import Literal

from pydantic import Field

from mien.config import Settings

__all__ = [
    "AttentionName",
    "Dropouts",
    "EncoderName",
    "FusionName",
    "LstmSizes",
    "MultitaskConfig",
    "NetworkConfig",
    "OutputSizes",
    "PartsConfig",
    "SelfMMConfig",
    "StateSizes",
    "TamUlagConfig",
]

#: Names of the table of attentions, of fusions, and of the encoders of series.
AttentionName = Literal["softmax", "signed", "gated", "mean", "max", "self", "none", "released"]
FusionName = Literal["dimension", "conflict", "rank_one", "concat"]
EncoderName = Literal["lstm", "steps"]


class LstmSizes(Settings):
    """Size of the state of each series' encoder, the LSTM or the step's layer.

    Attributes:
        audio: For audio.
        video: For video.
    """

    audio: int = Field(32, ge=1, le=4096)
    video: int = Field(64, ge=1, le=4096)


class OutputSizes(Settings):
    """Size of the vector that each series becomes.

    Attributes:
        audio: For audio.
        video: For video.
    """

    audio: int = Field(16, ge=1, le=4096)
    video: int = Field(32, ge=1, le=4096)


class StateSizes(Settings):
    """Size of the state from which each task's score is read.

    Attributes:
        fusion: For the multimodal task.
        text: For the text task.
        audio: For the audio task.
        video: For the video task.
    """

    fusion: int = Field(128, ge=1, le=4096)
    text: int = Field(64, ge=1, le=4096)
    audio: int = Field(16, ge=1, le=4096)
    video: int = Field(32, ge=1, le=4096)


class Dropouts(Settings):
    """One share, from 0 to below 1, for each task.

    Attributes:
        fusion: For the multimodal task.
        text: For the text task.
        audio: For the audio task.
        video: For the video task.
    """

    fusion: float = Field(0.0, ge=0, lt=1)
    text: float = Field(0.0, ge=0, lt=1)
    audio: float = Field(0.0, ge=0, lt=1)
    video: float = Field(0.0, ge=0, lt=1)


class PartsConfig(Settings):
    """Sizes of the parts; the data decides the rest.

    Attributes:
        encoder: What reads a series: an ``lstm``, or ``steps``, where every step is read by
            itself, so that series of other lengths than in training are read alike.
        lstm_size: State of the encoder of each series.
        num_layers: LSTM layers.
        output_size: Vector that each series becomes.
        state_size: State of each task, from which its score is read.
        fusion_size: Shared semantic space, where the fusion has one.
        dropout: Share of each task's input that is dropped in training.
        encoder_dropout: Share dropped inside the encoders of the series.
        modality_dropout: Chance that, in training, a modality of a clip is taken away; one always
            stays.
        standardise: Whether features are brought to mean 0 and standard deviation 1 over train.
        log_odds: Series whose values are shares, 0 to 1, most of them small, as blendshapes are:
            what is read of each is log(p / (1 - p)).
    """

    encoder: EncoderName = "lstm"
    lstm_size: LstmSizes = LstmSizes()
    num_layers: int = Field(1, ge=1, le=16)
    output_size: OutputSizes = OutputSizes()
    state_size: StateSizes = StateSizes()
    fusion_size: int = Field(64, ge=1, le=4096)
    dropout: Dropouts = Dropouts()
    encoder_dropout: float = Field(0.0, ge=0, lt=1)
    modality_dropout: float = Field(0.0, ge=0, lt=1)
    standardise: bool = True
    log_odds: tuple[Literal["audio", "video"], ...] = ()


class NetworkConfig(Settings):
    """What the settings of every model have; each adds its own.

    Attributes:
        name: Name of the model.
        modality_dropout: Chance that, in training, a modality of a clip is taken away; one always
            stays.
        standardise: Whether features are brought to mean 0 and standard deviation 1 over train.
    """

    name: str
    modality_dropout: float = Field(0.0, ge=0, lt=1)
    standardise: bool = True

    @property
    def reads_summary_alone(self) -> bool:
        """Whether all that is read of a text is the encoder's summary of it."""
        return False

    @property
    def changes_text_states(self) -> bool:
        """Whether states of a clip are changed inside of the text encoder, or padding is read."""
        return False


class MultitaskConfig(PartsConfig, NetworkConfig):
    """What the settings have of every model that is made of the package's own parts.

    Attributes:
        name: Name of the model.
    """

    name: str


class SelfMMConfig(MultitaskConfig):
    """Settings of Self-MM.

    Attributes:
        name: ``self_mm``.
    """

    name: Literal["self_mm"] = "self_mm"

    @property
    def reads_summary_alone(self) -> bool:
        """Whether all that is read of a text is the encoder's summary of it: it is."""
        return True


class TamUlagConfig(MultitaskConfig):
    """Settings of TAM-ULAG.

    Attributes:
        name: ``tam_ulag``.
        attention: How each series becomes one vector, beside the encoder's summary: a sum with
            ``softmax``, ``signed`` or ``gated`` weights over all real steps; their ``mean`` or
            ``max``; one layer of ``self``-attention and its mean; ``none`` (the summary alone: the
            last state of a series), or ``released`` (as the released program does it, defects and
            all).
        fusion: How the modalities meet: in every ``dimension`` of a shared space; there, with
            weights that see a ``conflict``; by the ``rank_one`` products of the released program;
            or joined (``concat``).
    """

    name: Literal["tam_ulag"] = "tam_ulag"
    attention: AttentionName = "softmax"
    fusion: FusionName = "dimension"

    @property
    def reads_summary_alone(self) -> bool:
        """Whether all that is read of a text is the encoder's summary of it."""
        return self.attention in ("none", "released")
