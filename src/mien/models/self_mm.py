"""Self-MM: the last state of every series, joined; the model on which TAM-ULAG builds."""

from collections.abc import Mapping
from typing import Literal

from torch import nn

from mien.models.multitask import Multitask, MultitaskConfig
from mien.types import Modality

__all__ = ["SelfMM", "SelfMMConfig"]


class SelfMMConfig(MultitaskConfig):
    """Settings of Self-MM.

    Attributes:
        name: ``self_mm``.
    """

    name: Literal["self_mm"] = "self_mm"


class SelfMM(Multitask):
    """Joined vectors of the modalities, without attention over time.

    The unimodal labels that its four tasks are trained on are made by ``mien.labels``.

    Source: yu2021.

    Args:
        config: Settings.
        sizes: Size of an input feature of each modality that the corpus has.
        text_encoder: Gives the states of the text.
        summary: What the text encoder's own summary of a clip is.
    """

    def __init__(
        self,
        config: SelfMMConfig,
        sizes: Mapping[Modality, int],
        text_encoder: nn.Module | None = None,
        summary: Literal["cls", "mean"] = "cls",
    ) -> None:
        super().__init__(
            config,
            attention="none",
            fusion="concat",
            sizes=sizes,
            text_encoder=text_encoder,
            summary=summary,
        )
