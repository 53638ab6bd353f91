"""Self-MM: the last state of every series, joined; the model on which TAM-ULAG builds."""

from mien.models.fusion import ConcatFusion
from mien.models.model_settings import SelfMMConfig
from mien.models.multitask import ModelInputs, Multitask
from mien.tensors import Encoded, Output

__all__ = ["SelfMM", "SelfMMConfig"]


class SelfMM(Multitask):
    """Joined vectors of the modalities, without attention over time.

        x_m              = last state of the encoder of m         m in t a v
        x_f              = [x_t; x_a; x_v]
        state_m, score_m = head_m(x_m)                            of m in f t a v

    The unimodal labels that its four tasks are trained on are made by ``mien.labels``.

    Source: yu2021.

    Args:
        config: Settings.
        inputs: What the model reads.
    """

    def __init__(self, config: SelfMMConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs, attention="none")
        self.fusion = ConcatFusion(self.vector_sizes, config.fusion_size)
        self.heads = self.make_heads(config, self.fusion.output_size)

    def fuse(self, encoded: Encoded) -> Output:
        """Return scores and states of clips; there are no weights of steps."""
        vectors = self.fill_absent(encoded.vectors, encoded.present)
        scores, states = self.score(self.fusion(vectors), vectors)
        return Output(
            scores=scores, states=states, attention=encoded.attention, present=encoded.present
        )
