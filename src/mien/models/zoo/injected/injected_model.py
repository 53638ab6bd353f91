"""What models have in common that change what goes through a pretrained text encoder."""

from collections.abc import Callable, Mapping

from jaxtyping import Bool, Float
from torch import Tensor, nn

from mien.models.encoders import summarise_steps
from mien.models.multitask import ModelInputs
from mien.models.zoo.injected.injected_settings import InjectedConfig
from mien.models.zoo.series_model import SeriesModel
from mien.pretrained.encoder_cut import encode_changed
from mien.tensors import Batch, PaddedSeries
from mien.types import Modality, Task

__all__ = ["InjectedModel"]

#: The order in which the parts of the other modalities are made.
_SOURCES: tuple[Modality, ...] = (Modality.VIDEO, Modality.AUDIO)


class InjectedModel(SeriesModel):
    """Score what sums up the states of a text encoder, which are changed on their way.

    That is its first state, or with ``text_encoder.summary=mean`` the mean of all. A model makes
    what changes them, calls ``add_head``, and adds ``forward``.

    Args:
        config: Settings.
        inputs: What the model reads.
    """

    needs_text = True

    def __init__(self, config: InjectedConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs)
        self.summary = inputs.summary if config.scored == "summary" else "cls"

    def source_sizes(self, inputs: ModelInputs) -> dict[str, int]:
        """Return the size of a step of each modality by which states of the text are changed."""
        return {m: inputs.sizes[m] for m in _SOURCES if m in self.series}

    def add_head(self, size: int, dropout: float) -> None:
        """Make what scores a summary of the text, of a size."""
        self.pool = nn.Linear(size, size)
        self.dropout = nn.Dropout(dropout)
        self.leave = nn.Linear(size, 1)
        self.state_sizes = {Task.FUSION: size}

    def complete_text(
        self, batch: Batch, present: Mapping[Modality, Bool[Tensor, "B"]]
    ) -> PaddedSeries:
        """Return the tokens of the text, with a real step in a clip that does not have it."""
        text = batch.sequences[Modality.TEXT]
        mask: Bool[Tensor, "B T"] = self.absent[Modality.TEXT].keep_step(  # type: ignore[operator]
            text.mask, present[Modality.TEXT]
        )
        return PaddedSeries(text.values, mask)

    def encode_injected(
        self,
        text: PaddedSeries,
        is_there: Bool[Tensor, "B"],
        change: Callable[[Float[Tensor, "B T d"]], Float[Tensor, "B T d"]],
        *,
        after: int = 0,
    ) -> Float[Tensor, "B d"]:
        """Return a summary of the states of a text, which are changed after some of the layers.

        Args:
            text: What ``complete_text`` returns.
            is_there: Which clips have the text; of the others a learned step is changed.
            change: From the states of all steps to others.
            after: After how many layers.
        """

        def complete(states: Float[Tensor, "B T d"]) -> Float[Tensor, "B T d"]:
            return change(self.absent[Modality.TEXT](PaddedSeries(states, text.mask), is_there)[0])

        states = encode_changed(self.text_encoder, text, complete, after=after)
        return summarise_steps(states, text.mask, self.summary)
