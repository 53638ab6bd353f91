"""What is minimised: the multimodal loss and the unimodal ones, on generated labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mien.data.dataset import ClipDataset
from mien.labels import LabelsConfig, build_labels
from mien.labels.generator import Evidence, LabelGenerator, LabelInputs
from mien.labels.target_labels import TargetLabels
from mien.models.multitask import MultimodalModel
from mien.tensors import Output, Targets
from mien.training.settings import LossConfig
from mien.training.targets.aims import Aims
from mien.training.targets.target_losses import LEAST_DIVISOR, make_loss
from mien.training.targets.target_objective import TargetObjective, TermLoss
from mien.training.targets.target_settings import TargetsConfig
from mien.types import Modality, Scale, Task

__all__ = ["Loss", "MultitaskObjective", "SentimentBalance", "balance_sentiment", "make_objective"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The loss of a batch.

    Attributes:
        total: What is minimised.
        tasks: Its part per task, detached.
    """

    total: Float[Tensor, ""]
    tasks: dict[Task, Float[Tensor, ""]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentimentBalance:
    """How sentiment is weighed against further targets.

    Attributes:
        annotated: Which train clips have a multimodal label; the label generator sees these alone.
        constant: Mean absolute error, over them, of their median: what the loss is divided by.
        weight: How much sentiment counts.
    """

    annotated: Bool[Tensor, "N"]
    constant: float
    weight: float

    @property
    def factor(self) -> float:
        """By what the loss of a clip is multiplied, where a batch divides by all of its clips."""
        num_annotated = int(self.annotated.sum())
        return self.weight * len(self.annotated) / max(num_annotated, 1) / self.constant


class MultitaskObjective(nn.Module):
    """Sum, over the tasks, of the weighted mean absolute error.

        loss = sum over m in f t a v of c_m mean over clips of w_m |score_m - target_m|,   w_f = 1

    plus the generator's own loss, which moves nothing but the generator, and the terms that the
    model adds, which it has weighted. A clip that does not have a modality adds 0 to that
    modality's loss.

    With further targets it is divided by the loss of the predictor that gives every clip the median
    of train, and the losses of the targets are added (``TargetObjective``): each begins near 1.

    Source: yu2021, eq. 12.

    Args:
        labels: Makes the labels of the unimodal tasks; a part of this module, so that it is
            trained, saved and moved with it. None where sentiment is not predicted.
        targets: What is predicted besides.
        balance: How sentiment is weighed against them; None where it is all that is predicted.
        config: How much each task of sentiment counts, c, and whether errors are squared.
    """

    row_of: Int[Tensor, "N"]

    def __init__(
        self,
        labels: LabelGenerator | None,
        targets: Sequence[TargetObjective] = (),
        balance: SentimentBalance | None = None,
        config: LossConfig | None = None,
    ) -> None:
        super().__init__()
        self.labels = labels
        self.targets = nn.ModuleList(targets)
        self.balance = balance
        self.config = config or LossConfig()
        self._factor = None if balance is None else balance.factor
        self._is_partial = balance is not None and not bool(balance.annotated.all())
        if balance is not None:
            row_of = torch.where(balance.annotated, balance.annotated.cumsum(0) - 1, -1)
            self.register_buffer("row_of", row_of, persistent=False)

    @property
    def terms(self) -> list[TargetObjective]:
        """What is predicted besides sentiment."""
        return list(self.targets)  # type: ignore[arg-type]  # they are

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Modalities that have tasks of their own, of all that is predicted."""
        return self._generators()[0].modalities

    def forward(
        self, output: Output, targets: Targets, index: Int[Tensor, "B"], epoch: int
    ) -> Loss:
        """Return the loss of a batch of epoch ``epoch``, counted from 1."""
        terms = [term(output, targets, index, epoch) for term in self.terms]
        if self.labels is not None:
            terms.insert(0, self._sentiment(self.labels, output, targets, index, epoch))
        parts = [part for term in terms for part in (*term.tasks.values(), term.own_loss)]
        tasks: dict[Task, Tensor] = {}
        for term in terms:
            for task, loss in term.tasks.items():
                tasks[task] = tasks[task] + loss.detach() if task in tasks else loss.detach()
        return Loss(total=torch.stack([*parts, *output.terms.values()]).sum(), tasks=tasks)

    def _sentiment(
        self,
        generator: LabelGenerator,
        output: Output,
        targets: Targets,
        index: Int[Tensor, "B"],
        epoch: int,
    ) -> TermLoss:
        labels, size, rows = targets.labels[Task.FUSION], len(index), index
        if self._is_partial:
            places, rows, output = self._pick(output, index)
            labels = labels[places]

        def mean(errors: Tensor) -> Tensor:
            if self._factor is None:
                return errors.mean()
            return errors.sum() * (self._factor / size)

        tasks = {Task.FUSION: mean(self._errors(Task.FUSION, output, labels))}
        if not len(rows):
            none = tasks[Task.FUSION]
            return TermLoss(dict.fromkeys(output.scores, none), none)
        generated = generator.generate(output, rows, epoch)
        weights = generator.weights(rows)
        for modality, target in generated.targets.items():
            error = weights[modality] * self._errors(Task(modality), output, target)
            tasks[Task(modality)] = mean(torch.where(output.present[modality], error, 0.0))
        return TermLoss(tasks, generated.own_loss)

    def _pick(
        self, output: Output, index: Int[Tensor, "B"]
    ) -> tuple[Int[Tensor, "b"], Int[Tensor, "b"], Output]:
        """Return which clips have a label, their rows among all that do, and their output."""
        rows = self.row_of[index]
        places = torch.nonzero(rows >= 0).squeeze(1)
        return places, rows[places], output.take(places)

    def _errors(self, task: Task, output: Output, labels: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
        """Return how much the difference of each clip's score to its label counts."""
        apart = output.scores[task] - labels
        error = apart.abs() if self.config.error == "absolute" else apart.square()
        weighted: Tensor = getattr(self.config, task) * error
        return weighted

    def observe(self, output: Output, index: Int[Tensor, "B"], epoch: int) -> None:
        """Let the generators learn from a batch; called after its loss was taken."""
        detached = output.change(Tensor.detach)
        for term in self.terms:
            term.labels.observe(detached, index, epoch)
        if self.labels is not None:
            if self._is_partial:
                _, index, detached = self._pick(detached, index)
            if len(index):
                self.labels.observe(detached, index, epoch)

    def _generators(self) -> list[LabelGenerator | TargetLabels]:
        own = [] if self.labels is None else [self.labels]
        return [*own, *(term.labels for term in self.terms)]

    def finish_epoch(self, epoch: int) -> None:
        """Let the generators do what they do once an epoch."""
        for generator in self._generators():
            generator.finish_epoch(epoch)

    def pop_clipped_share(self) -> float:
        """Return the share of proposed labels since the last call that were cut to the scale."""
        shares = [generator.pop_clipped_share() for generator in self._generators()]
        return sum(shares) / len(shares)

    def latest(self) -> dict[Modality, Float[Tensor, "N"]]:
        """Return what each unimodal task of sentiment was last trained on, of every train clip.

        NaN stands for a clip without a multimodal label; without sentiment there is nothing.
        """
        if self.labels is None:
            return {}
        labels = {m: self.labels.latest(m) for m in self.labels.modalities}
        return {m: self._everywhere(own) for m, own in labels.items()}

    def put(self, modality: Modality, labels: Float[Tensor, "N"]) -> None:
        """Replace the labels of sentiment of a modality by others, given for every train clip."""
        if self.labels is not None:
            own = labels[self.row_of >= 0] if self._is_partial else labels
            self.labels.bank(modality).copy_(own)

    def _everywhere(self, labels: Float[Tensor, "n"]) -> Float[Tensor, "N"]:
        if not self._is_partial:
            return labels
        everywhere = labels.new_full((len(self.row_of),), torch.nan)
        everywhere[self.row_of >= 0] = labels
        return everywhere

    @property
    def only_to_resume(self) -> tuple[str, ...]:
        """How names of the state begin that are kept only to go on with the training."""
        return tuple(
            f"{place}.{name}"
            for place, generator in self.named_modules()
            if isinstance(generator, LabelGenerator)
            for name in generator.only_to_resume
        )

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """Return the generators' trained parameters, as the group ``labels``."""
        named = [(n, p) for n, p in self.named_parameters() if p.requires_grad]
        return {"labels": named}


def make_objective(
    train: ClipDataset,
    model: MultimodalModel,
    labels: LabelsConfig,
    scale: Scale,
    *,
    aims: Aims | None = None,
    targets: TargetsConfig | None = None,
    evidence: Evidence | None = None,
    loss: LossConfig | None = None,
) -> MultitaskObjective:
    """Build what is minimised, with a label generator for all that is predicted.

    Args:
        train: Clips to learn from.
        model: The model that learns.
        labels: Settings of the label generators.
        scale: Range of sentiment.
        aims: What is predicted; sentiment alone by default.
        targets: Settings of further targets.
        evidence: Out-of-fold scores of all that is predicted; None where the generator needs none.
        loss: What of the errors of sentiment is minimised.
    """
    aims, targets = aims or Aims(), targets or TargetsConfig()
    sizes, annotated = model.state_sizes, ~train.labels[Task.FUSION].isnan()
    generator = None
    if aims.has_sentiment:
        is_partial = not annotated.all()
        inputs = LabelInputs(
            labels={t: v[annotated] if is_partial else v for t, v in train.labels.items()},
            scale=scale,
            state_sizes=sizes,
            evidence=evidence.take(annotated) if is_partial and evidence else evidence,
        )
        generator = build_labels(labels, inputs)
    terms = []
    for target in aims.targets:
        values = train.values[target.name]
        known = values[Task.FUSION][~values[Task.FUSION].isnan().any(dim=1)]
        own = None if evidence is None else evidence.targets[target.name]
        generated = TargetLabels(labels, target, values, sizes, own)
        terms.append(TargetObjective(make_loss(target, targets.of(target), known), generated))
    balance = None
    if generator is not None and (terms or not annotated.all()):
        balance = balance_sentiment(train.labels[Task.FUSION], scale, targets.sentiment_weight)
    return MultitaskObjective(generator, terms, balance, loss)


def balance_sentiment(labels: Float[Tensor, "N"], scale: Scale, weight: float) -> SentimentBalance:
    """Return how sentiment is weighed against further targets.

    Args:
        labels: Of train; NaN where a clip has none.
        scale: Their range.
        weight: How much sentiment counts.
    """
    annotated = ~labels.isnan()
    known = labels[annotated].double()
    error = float((known - known.median()).abs().mean()) if len(known) else 0.0
    least = LEAST_DIVISOR * (scale.high - scale.low)
    return SentimentBalance(annotated=annotated, constant=max(error, least), weight=weight)
