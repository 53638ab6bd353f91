"""TAM-ULAG: temporal attention on every series, and fusion per semantic dimension."""

from collections.abc import Mapping
from typing import Literal

from torch import nn

from mien.models.attention import AttentionName
from mien.models.fusion import FusionName
from mien.models.multitask import Multitask, MultitaskConfig
from mien.types import Modality

__all__ = ["TamUlag", "TamUlagConfig"]


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


class TamUlag(Multitask):
    """Temporal attention over each series and fusion in each semantic dimension.

    The unimodal labels that its four tasks are trained on are made by ``mien.labels``.

    Source: sun2024.

    Args:
        config: Settings.
        sizes: Size of an input feature of each modality that the corpus has.
        text_encoder: Gives the states of the text.
        summary: What the text encoder's own summary of a clip is.
    """

    def __init__(
        self,
        config: TamUlagConfig,
        sizes: Mapping[Modality, int],
        text_encoder: nn.Module | None = None,
        summary: Literal["cls", "mean"] = "cls",
    ) -> None:
        super().__init__(
            config,
            attention=config.attention,
            fusion=config.fusion,
            sizes=sizes,
            text_encoder=text_encoder,
            summary=summary,
        )
