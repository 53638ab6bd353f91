"""Late fusion: each modality scores alone, and the multimodal score is their weighted mean.

It is not among the models that are trained and compared: ``mien.training.out_of_fold`` takes the
score of each modality from it.
"""

import torch
from torch import nn

from mien.models.encoders import Head
from mien.models.model_settings import PartsConfig
from mien.models.multitask import ModelInputs, MultimodalModel
from mien.tensors import Encoded, Output
from mien.types import Modality, Task

__all__ = ["LateFusion"]


class LateFusion(MultimodalModel):
    """Read a score from each modality alone, and weigh the scores of those that a clip has.

        score_f = sum of w_s score_s / sum of w_s,  over the modalities s of the clip,  w_s > 0

    The score of each modality can be read off, and so can how much it counts. Where the multimodal
    label is a weighted mean of unimodal ones, the unimodal scores are estimates of these;
    ``mien.training.out_of_fold`` makes use of it.

    Args:
        config: Sizes of the parts.
        inputs: What the model reads.
    """

    def __init__(self, config: PartsConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs, attention="softmax")
        own = {Task(m): getattr(config.state_size, m) for m in self.modalities}
        self.state_sizes = {Task.FUSION: sum(own.values()), **own}
        self.heads = nn.ModuleDict(
            {
                m: Head(size, own[Task(m)], getattr(config.dropout, m))
                for m, size in self.vector_sizes.items()
            }
        )
        self.log_weights = nn.Parameter(torch.zeros(len(self.modalities)))

    @property
    def weights(self) -> dict[Modality, float]:
        """How much each modality counts in a clip that has all of them; they sum to 1."""
        shares = self.log_weights.detach().softmax(dim=0)
        return dict(zip(self.modalities, shares.tolist(), strict=True))

    def fuse(self, encoded: Encoded) -> Output:
        """Return scores, states and attention of clips whose modalities are encoded.

        The score of a modality that a clip does not have is 0 and counts for nothing.
        """
        present, vectors = encoded.present, encoded.vectors
        states, scores = {}, {}
        for modality in self.modalities:
            state, score = self.heads[modality](vectors[modality])
            is_there = present[modality]
            states[Task(modality)] = torch.where(is_there.unsqueeze(-1), state, 0.0)
            scores[Task(modality)] = torch.where(is_there, score, 0.0)
        has = torch.stack([present[m] for m in self.modalities])  # (M, B)
        counts = has | ~has.any(dim=0)  # a clip without any modality scores 0, whatever counts
        shares = torch.where(counts, self.log_weights.unsqueeze(-1), -torch.inf).softmax(dim=0)
        fused = (shares * torch.stack(list(scores.values()))).sum(dim=0)
        return Output(
            scores={Task.FUSION: fused, **scores},
            states={Task.FUSION: torch.cat(list(states.values()), dim=-1), **states},
            attention=encoded.attention,
            present=present,
        )
