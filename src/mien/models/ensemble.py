"""Several trained networks as one: each reads the clips, and the mean of what they say is said."""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mien.models.multitask import MultimodalModel
from mien.tensors import Batch, Encoded, Output, PaddedSeries
from mien.types import Modality, Target, TargetKind, Task

__all__ = ["Ensemble", "average_values"]


class Ensemble(MultimodalModel):
    """The mean of several networks of the same settings; it is not for training.

        score = (1 / M) sum over members of their scores
        p     = (1 / M) sum over members of their probabilities

    Which score is reported of a clip with one modality alone is decided by its modalities, so that
    the mean of what members report is what is reported of the mean. Weights of steps are means
    too. The states of the members stand side by side.

    Args:
        members: The networks, at least one; they must not drop out.

    Attributes:
        members: The networks.
    """

    def __init__(self, members: Sequence[MultimodalModel]) -> None:
        nn.Module.__init__(self)  # what the base class makes, the members have
        first = members[0]
        self.targets, self.has_sentiment = first.targets, first.has_sentiment
        self.modalities, self.tasks = first.modalities, first.tasks
        self.state_sizes = {t: size * len(members) for t, size in first.state_sizes.items()}
        self.modality_dropout = 0.0
        self.members = nn.ModuleList(members)

    @property
    def networks(self) -> tuple[MultimodalModel, ...]:
        """The members."""
        return tuple(cast("MultimodalModel", member) for member in self.members)

    def forward(self, batch: Batch) -> Output:
        """Return the means of what the members return of every clip."""
        return self.finish(self.encode_once(batch))

    def encode_once(self, batch: Batch) -> Batch | Encoded:
        """Return clips as each member encodes them: the vectors of a modality side by side."""
        parts = [member.encode_once(batch) for member in self.networks]
        encoded = [part for part in parts if isinstance(part, Encoded)]
        return _join(encoded) if encoded else batch

    def finish(self, clips: Batch | Encoded) -> Output:
        """Return the means of what the members return of what ``encode_once`` returned."""
        own = self._split(clips)
        outputs = [member.finish(part) for member, part in zip(self.networks, own, strict=True)]
        return _average(outputs, self.targets)

    def vary(
        self, clip: Batch | Encoded, modality: Modality, series: PaddedSeries
    ) -> Batch | Encoded:
        """Return one clip as many times as there are other series of one modality, with these."""
        if isinstance(clip, Batch):
            return super().vary(clip, modality, series)
        own = zip(self.networks, self._split(clip), strict=True)
        return _join([cast("Encoded", m.vary(part, modality, series)) for m, part in own])

    def change(
        self, clips: Batch | Encoded, sequences: Mapping[Modality, PaddedSeries]
    ) -> Batch | Encoded:
        """Return what ``encode_once`` returned, with other series of some modalities."""
        if isinstance(clips, Batch):
            return super().change(clips, sequences)
        own = zip(self.networks, self._split(clips), strict=True)
        return _join([cast("Encoded", m.change(part, sequences)) for m, part in own])

    def _split(self, clips: Batch | Encoded) -> Sequence[Batch | Encoded]:
        """Return what each member finishes."""
        num = len(self.members)
        if isinstance(clips, Batch):
            return [clips] * num
        vectors = {m: of_all.chunk(num, dim=1) for m, of_all in clips.vectors.items()}
        return [
            Encoded(
                vectors={m: own[number] for m, own in vectors.items()},
                attention=clips.attention,
                present=clips.present,
            )
            for number in range(num)
        ]


def _join(parts: Sequence[Encoded]) -> Encoded:
    """Return clips as all members have encoded them."""
    first = parts[0]
    return Encoded(
        vectors={m: torch.cat([part.vectors[m] for part in parts], dim=1) for m in first.vectors},
        attention={m: _mean([part.attention[m] for part in parts]) for m in first.attention},
        present=first.present,
    )


def _average(outputs: Sequence[Output], targets: Sequence[Target]) -> Output:
    """Return the means of what networks return of the same clips."""
    first = outputs[0]
    return Output(
        scores={t: _mean([own.scores[t] for own in outputs]) for t in first.scores},
        states={t: torch.cat([own.states[t] for own in outputs], dim=1) for t in first.states},
        attention={m: _mean([own.attention[m] for own in outputs]) for m in first.attention},
        present=first.present,
        targets={target.name: _average_target(outputs, target) for target in targets},
    )


def _average_target(outputs: Sequence[Output], target: Target) -> dict[Task, Tensor]:
    tasks = outputs[0].targets[target.name]
    return {
        task: average_values(target, [own.targets[target.name][task] for own in outputs])
        for task in tasks
    }


def average_values(target: Target, values: Sequence[Float[Tensor, "B K"]]) -> Float[Tensor, "B K"]:
    """Return values of a target whose meaning is the mean of what several values mean.

    Values on a scale are cut to it before their mean is taken. Of classes and labels it is the
    probabilities whose mean is taken, and their logits are returned.

    Args:
        target: What is predicted.
        values: What each network gives: logits, or values on the scale.
    """
    raw = torch.stack(list(values))
    if target.kind is TargetKind.CLASS:
        return raw.log_softmax(dim=-1).logsumexp(dim=0)  # the constant log M moves no softmax
    if target.kind is TargetKind.LABELS:
        return F.logsigmoid(raw).logsumexp(dim=0) - F.logsigmoid(-raw).logsumexp(dim=0)
    return target.bounds.clip(raw).mean(dim=0)


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(tensors)).mean(dim=0)
