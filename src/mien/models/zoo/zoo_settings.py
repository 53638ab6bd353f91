"""What the settings of the field's models share; reading settings imports no torch."""

from typing import Annotated

from pydantic import Field

from mien.config import Settings
from mien.models.model_settings import NetworkConfig

__all__ = ["HeadSettings", "SeriesModelConfig", "Share", "SharesOf", "Size", "SizesOf"]

#: How long an axis is.
Size = Annotated[int, Field(ge=1, le=4096)]
#: A share of numbers that is dropped in training.
Share = Annotated[float, Field(ge=0, lt=1)]


class SizesOf(Settings):
    """A size for each modality.

    Attributes:
        text: For text.
        audio: For audio.
        video: For video.
    """

    text: Size = 64
    audio: Size = 16
    video: Size = 32


class SharesOf(Settings):
    """A share that is dropped in training, for each modality.

    Attributes:
        text: For text.
        audio: For audio.
        video: For video.
    """

    text: Share = 0.0
    audio: Share = 0.0
    video: Share = 0.0


class HeadSettings(Settings):
    """The heads of the unimodal tasks, in models that have them.

    Attributes:
        head_size: State of each unimodal task.
        head_dropout: Share of each unimodal head's input that is dropped in training.
    """

    head_size: SizesOf = SizesOf()
    head_dropout: SharesOf = SharesOf()


class SeriesModelConfig(NetworkConfig):
    """What the settings of every model of the zoo have; each adds its own.

    Attributes:
        published: Whether to compute what the published program does, defects and all, in the
            place of what the paper means. Padding is then read as the program reads it.
    """

    published: bool = False

    @property
    def changes_text_states(self) -> bool:
        """Whether padding of the text is read: as published, it is."""
        return self.published
