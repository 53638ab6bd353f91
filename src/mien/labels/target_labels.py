"""Unimodal labels of further targets: a label generator for each column of their values."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.labels import GENERATORS, LabelsConfig, build_labels
from mien.labels.generator import LabelGenerator, LabelInputs, TargetEvidence
from mien.labels.label_settings import CentroidConfig
from mien.labels.latent import latent_labels
from mien.tensors import Output
from mien.types import Modality, Scale, Target, TargetKind, Task

__all__ = ["MOST_CENTRED", "TargetLabels", "into_bounds", "latent_target_labels", "onto_simplex"]

#: Columns of a target for which generators with centroids are built, each with all states of train.
MOST_CENTRED = 64


class TargetLabels(nn.Module):
    """The unimodal labels of a target, in the space of its K values.

    Every column of the values, less its mean over train, is to a label generator what sentiment is:
    above 0 is more of the class than clips usually have, below 0 is less. So each generator does
    with it what it does with sentiment, column by column:

        copy      what is annotated of the clip
        human     what is annotated of the modality, where that is; else what is of the clip
        distance  centroids of the states of clips that have more, and less, of the class than usual
        latent    out-of-fold values of the modality, joined with what is annotated of the clip

    The mean is added again, and labels are brought back to where values can be: shares of classes
    to the nearest point at which none is below 0 and they sum to 1, others between the ends.

    Generators see the clips that are annotated for the target alone.

    Args:
        config: Settings of the generator of every column.
        target: The target.
        values: Its annotated values in train, by task; ``fusion`` is always there.
        state_sizes: Size of each task's state, of the tasks that the model has.
        evidence: Out-of-fold values; None where the generator needs none.

    Raises:
        ConfigError: If the generator cannot make labels of such a target.
    """

    middle: Float[Tensor, "K"]
    row_of: Int[Tensor, "N"]

    def __init__(
        self,
        config: LabelsConfig,
        target: Target,
        values: Mapping[Task, Float[Tensor, "N _"]],
        state_sizes: Mapping[Task, int],
        evidence: TargetEvidence | None = None,
    ) -> None:
        super().__init__()
        self.target, self.weight = target, config.weight
        self.modalities = tuple(Modality(t) for t in state_sizes if t is not Task.FUSION)
        _check(config, target, values, self.modalities)
        annotated = values[Task.FUSION]
        rows = torch.nonzero(~annotated.isnan().any(dim=1)).squeeze(1)
        row_of = torch.full((len(annotated),), -1, dtype=torch.int64)
        row_of[rows] = torch.arange(len(rows))
        self.register_buffer("row_of", row_of, persistent=False)
        middle = annotated[rows].double().sum(dim=0).to(annotated) / max(len(rows), 1)
        self.register_buffer("middle", middle, persistent=False)
        low, high = target.bounds
        columns = []
        for number, own in enumerate(middle.unbind() if self.modalities else ()):
            inputs = LabelInputs(
                labels={t: v[rows, number] - own for t, v in values.items()},
                scale=Scale(low - float(own), high - float(own)),
                state_sizes=state_sizes,
                evidence=None if evidence is None else evidence.column(number, rows, own),
            )
            columns.append(build_labels(config, inputs))
        self.columns = nn.ModuleList(columns)

    def _each(self) -> list[LabelGenerator]:
        return list(self.columns)  # type: ignore[arg-type]  # they are

    def pick(
        self, output: Output, index: Int[Tensor, "B"]
    ) -> tuple[Int[Tensor, "b"], Int[Tensor, "b"], Output]:
        """Return which clips of a batch are annotated, their rows among all that are, and output.

        Args:
            output: What the model returned of the batch.
            index: Rows of its clips in train.
        """
        rows = self.row_of[index]
        places = torch.nonzero(rows >= 0).squeeze(1)
        return places, rows[places], output.take(places)

    def generate(
        self, output: Output, rows: Int[Tensor, "b"], epoch: int
    ) -> tuple[dict[Modality, Float[Tensor, "b K"]], Float[Tensor, ""]]:
        """Return what the unimodal tasks are to predict, and the generators' own loss.

        Args:
            output: What the model returned of annotated clips.
            rows: Their rows, as ``pick`` returns them.
            epoch: Counted from 1.
        """
        made = [column.generate(output, rows, epoch) for column in self._each()]
        labels = {
            m: self._back(torch.stack([each.targets[m] for each in made], dim=1))
            for m in self.modalities
        }
        own = [each.own_loss for each in made]
        return labels, torch.stack(own).mean() if own else self.middle.new_zeros(())

    def weights(self, rows: Int[Tensor, "b"]) -> dict[Modality, Float[Tensor, "b"]]:
        """Return how much each clip counts in each unimodal loss.

        As for sentiment: 1, or tanh of how far its label is from the clip's own, in the column in
        which that is farthest.
        """
        each = [column.weights(rows) for column in self._each()]
        return {m: torch.stack([own[m] for own in each]).amax(dim=0) for m in self.modalities}

    def observe(self, output: Output, index: Int[Tensor, "B"], epoch: int) -> None:
        """Let the generators learn from what the model returned for a batch."""
        _, rows, annotated = self.pick(output, index)
        if len(rows):
            for column in self._each():
                column.observe(annotated, rows, epoch)

    def finish_epoch(self, epoch: int) -> None:
        """Let the generators do what they do once an epoch."""
        for column in self._each():
            column.finish_epoch(epoch)

    def put(self, modality: Modality, labels: Float[Tensor, "N K"]) -> None:
        """Replace the labels of a modality by others, given for every train clip."""
        rows = self.row_of >= 0
        for number, column in enumerate(self._each()):
            column.bank(modality).copy_(labels[rows, number] - self.middle[number])

    def latest(self, modality: Modality) -> Float[Tensor, "N K"]:
        """Return what a task was last trained on; NaN for clips that are not annotated."""
        labels = self.middle.new_full((len(self.row_of), self.target.size), torch.nan)
        own = torch.stack([column.latest(modality) for column in self._each()], dim=1)
        labels[self.row_of >= 0] = self._back(own)
        return labels

    def pop_clipped_share(self) -> float:
        """Return the share of proposals that were cut since the last call, mean of the columns."""
        shares = [column.pop_clipped_share() for column in self._each()]
        return sum(shares) / len(shares) if shares else 0.0

    def _back(self, centred: Float[Tensor, "b K"]) -> Float[Tensor, "b K"]:
        """Return labels of the columns as values of the target."""
        return into_bounds(self.target, centred + self.middle)


def _check(
    config: LabelsConfig,
    target: Target,
    values: Mapping[Task, Float[Tensor, "N _"]],
    modalities: tuple[Modality, ...],
) -> None:
    kind = GENERATORS[config.generator].labels
    lacking = [m for m in modalities if Task(m) not in values]
    if kind.needs_unimodal and lacking:
        raise ConfigError(
            f"setting labels.generator is {config.generator!r}, but no clip has values of target "
            f"{target.name!r} for {lacking[0]}; use labels.generator=copy, or leave the target out "
            "of targets.use"
        )
    if isinstance(config, CentroidConfig) and target.size > MOST_CENTRED:
        raise ConfigError(
            f"setting labels.generator is {config.generator!r}, which keeps the states of train "
            f"for every class; target {target.name!r} has {target.size}, at most {MOST_CENTRED} "
            "are possible; use labels.generator=latent or copy"
        )


def into_bounds(target: Target, values: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
    """Return the nearest values that a target can have."""
    return onto_simplex(values) if target.kind is TargetKind.CLASS else target.bounds.clip(values)


def latent_target_labels(
    target: Target,
    evidence: TargetEvidence,
    annotated: Float[Tensor, "N K"],
    *,
    rest: float,
) -> dict[Modality, Float[Tensor, "N K"]]:
    """Return the labels of ``latent_labels`` for every column; NaN for clips that have no values.

    Args:
        target: The target.
        evidence: Out-of-fold values.
        annotated: Its multimodal values; NaN where a clip has none.
        rest: As in ``latent_labels``.
    """
    rows = ~annotated.isnan().any(dim=1)
    middle = annotated[rows].double().mean(dim=0).to(annotated)
    made = {m: torch.full_like(annotated, torch.nan) for m in evidence.values}
    for number, own in enumerate(middle.unbind()):
        column = evidence.column(number, rows, own)
        own_labels = latent_labels(column, annotated[rows, number] - own, rest=rest)
        for modality, labels in own_labels.items():
            made[modality][rows, number] = labels + own
    return {m: into_bounds(target, labels) for m, labels in made.items()}


def onto_simplex(values: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
    """Return the nearest shares: none below 0, and a sum of 1.

        y_k = max(v_k - t, 0),   t such that they sum to 1

    Source: duchi2008.

    >>> onto_simplex(torch.tensor([[0.5, 0.7, -0.4]]))
    tensor([[0.4000, 0.6000, 0.0000]])
    """
    ordered = values.sort(dim=1, descending=True).values
    ranks = torch.arange(1, values.shape[1] + 1, device=values.device)
    thresholds = (ordered.cumsum(dim=1) - 1) / ranks
    num_above = (ordered > thresholds).sum(dim=1, keepdim=True).clamp(min=1)
    return (values - thresholds.gather(1, num_above - 1)).clamp(min=0)
