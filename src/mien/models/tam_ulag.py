"""TAM-ULAG: temporal attention on every series, and fusion per semantic dimension."""

from mien.models.fusion import FUSIONS
from mien.models.model_settings import TamUlagConfig
from mien.models.multitask import ModelInputs, Multitask
from mien.tensors import Encoded, Output

__all__ = ["TamUlag", "TamUlagConfig"]


class TamUlag(Multitask):
    """Temporal attention over each series and fusion in each semantic dimension.

        states, summary = encoder_m(series of m)                  every step of m in t a v
        x_m             = [summary; sum over steps of w_i state_i],   w from the attention
        x_f             = fusion(x_t, x_a, x_v)                   in each semantic dimension
        state_m, score_m = head_m(x_m)                            of m in f t a v

    The unimodal labels that its four tasks are trained on are made by ``mien.labels``.

    Source: sun2024.

    Args:
        config: Settings.
        inputs: What the model reads.
    """

    def __init__(self, config: TamUlagConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs, attention=config.attention)
        self.fusion = FUSIONS[config.fusion](self.vector_sizes, config.fusion_size)
        self.heads = self.make_heads(config, self.fusion.output_size)

    def fuse(self, encoded: Encoded) -> Output:
        """Return scores, states and attention of clips whose modalities are encoded."""
        vectors = self.fill_absent(encoded.vectors, encoded.present)
        scores, states = self.score(self.fusion(vectors), vectors)
        return Output(
            scores=scores, states=states, attention=encoded.attention, present=encoded.present
        )
