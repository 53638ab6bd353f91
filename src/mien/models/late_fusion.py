"""Late fusion: each modality scores alone, and the multimodal score is their weighted mean.

It is not among the models that are trained and compared: ``mien.training.out_of_fold`` takes the
score of each modality from it.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mien.models.encoders import Head
from mien.models.model_settings import PartsConfig
from mien.models.multitask import ModelInputs, MultimodalModel
from mien.tensors import Encoded, Output
from mien.types import Modality, Target, TargetKind, Task

__all__ = ["LateFusion"]


#: Pooled probabilities are no nearer to 0 or 1 than this, so that they have logits.
_NEAREST = 1e-7


class LateFusion(MultimodalModel):
    """Read a score from each modality alone, and weigh the scores of those that a clip has.

        score_f = sum of w_s score_s / sum of w_s,  over the modalities s of the clip,  w_s > 0

    The score of each modality can be read off, and so can how much it counts. Where the multimodal
    label is a weighted mean of unimodal ones, the unimodal scores are estimates of these;
    ``mien.training.out_of_fold`` makes use of it.

    Further targets are pooled in the same way, each with weights of its own: their values, and of
    classes and labels their probabilities, so that a probability of all is the weighted mean of
    those of the modalities.

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
                m: Head(
                    size,
                    own[Task(m)],
                    getattr(config.dropout, m),
                    has_score=self.has_sentiment,
                )
                for m, size in self.vector_sizes.items()
            }
        )
        if self.has_sentiment:
            self.log_weights = nn.Parameter(torch.zeros(len(self.modalities)))
        self.read_targets_from(own)
        if self.targets:
            size = len(self.targets), len(self.modalities)
            self.target_log_weights = nn.Parameter(torch.zeros(size))

    @property
    def weights(self) -> dict[Modality, float]:
        """How much each modality counts in a clip that has all of them; they sum to 1."""
        return self._shares(self.log_weights)

    def target_weights(self, target: Target) -> dict[Modality, float]:
        """How much each modality counts in the values of a target; they sum to 1."""
        return self._shares(self.target_log_weights[self.targets.index(target)])

    def _shares(self, log_weights: Float[Tensor, "M"]) -> dict[Modality, float]:
        shares = log_weights.detach().softmax(dim=0)
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
        if self.has_sentiment:
            shares = _weigh(self.log_weights, counts)
            scores[Task.FUSION] = (shares * torch.stack(list(scores.values()))).sum(dim=0)
        return Output(
            scores=dict(sorted(scores.items(), key=lambda pair: self.tasks.index(pair[0]))),
            states={Task.FUSION: torch.cat(list(states.values()), dim=-1), **states},
            attention=encoded.attention,
            present=present,
            targets=self._pool(states, counts) if self.targets else {},
        )

    def _pool(
        self, states: dict[Task, Float[Tensor, "B _"]], counts: Bool[Tensor, "M B"]
    ) -> dict[str, dict[Task, Float[Tensor, "B _"]]]:
        """Return the values of every target, for each modality and for all together."""
        values: dict[str, dict[Task, Tensor]] = self.target_heads(states)
        for target, log_weights in zip(self.targets, self.target_log_weights, strict=True):
            own = values[target.name]
            stacked = torch.stack([own[Task(m)] for m in self.modalities])  # (M, B, K)
            shares = _weigh(log_weights, counts).unsqueeze(-1)
            values[target.name] = {Task.FUSION: _pool_values(target, stacked, shares), **own}
        return values


def _weigh(log_weights: Float[Tensor, "M"], counts: Bool[Tensor, "M B"]) -> Float[Tensor, "M B"]:
    return torch.where(counts, log_weights.unsqueeze(-1), -torch.inf).softmax(dim=0)


def _pool_values(
    target: Target, values: Float[Tensor, "M B K"], shares: Float[Tensor, "M B 1"]
) -> Float[Tensor, "B K"]:
    """Return the weighted mean of values, or the logits of that of probabilities."""
    if target.kind is TargetKind.CLASS:
        return (shares * values.softmax(dim=-1)).sum(dim=0).clamp(min=_NEAREST).log()
    if target.kind is TargetKind.LABELS:
        return (shares * values.sigmoid()).sum(dim=0).logit(eps=_NEAREST)
    return (shares * values).sum(dim=0)
