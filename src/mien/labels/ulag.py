"""Label generators that look at states: distance to class centres, and similarity of modalities."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mien.labels.centroids import Centres, propose_by_distance
from mien.labels.evidence import Confidence, held_out_prediction
from mien.labels.generator import Generated, LabelGenerator, LabelsConfig
from mien.tensors import Output, precise
from mien.types import Modality, Scale, Task

__all__ = ["DistanceLabels", "ReleasedUlagLabels", "UlagLabels"]


class DistanceLabels(LabelGenerator):
    """Move each unimodal label by how far the modality's state leans to either class.

        r  = delta_s / delta_f
        p  = clip(r y / 2 + (y + delta_s - delta_f) / 2)
        y_s <- (e - 1)/(e + 1) y_s + 2/(e + 1) p        from the epoch after the warm-up

    A label stays as it is while a class of its task, or of the multimodal one, is empty.

    Source: yu2021, eqs. 11 and 13 (ULGM, momentum-based update).
    """

    @property
    def moves_labels(self) -> bool:
        """Whether labels are moved at all after the warm-up."""
        return True

    def __init__(
        self,
        annotated: Float[Tensor, "N"],
        scale: Scale,
        modalities: tuple[Modality, ...],
        state_sizes: Mapping[Task, int],
        config: LabelsConfig,
    ) -> None:
        super().__init__(annotated, scale, modalities, state_sizes, config)
        self.centres = Centres(len(annotated), state_sizes, config.zeros)

    @torch.no_grad()
    def observe(self, output: Output, index: Int[Tensor, "B"], epoch: int) -> None:
        """Move the labels of the batch with the centres before it, then take in its states."""
        if self.moves_labels and epoch > self.config.warmup_epochs:
            self._move_labels(output, index, epoch)
        for task, states in output.states.items():
            seen = torch.ones_like(index, dtype=torch.bool)
            if task is not Task.FUSION:
                seen = output.present[Modality(task)]
            rows = index[seen]  # a modality that dropout took away counts by its last state
            self.centres.update(task, rows, states[seen], self.bank(task)[rows], seen[seen])

    def finish_epoch(self, epoch: int) -> None:
        """Make the centres anew."""
        del epoch
        self.centres.rebuild()

    def _move_labels(self, output: Output, index: Int[Tensor, "B"], epoch: int) -> None:
        if not self.centres.is_ready(Task.FUSION):
            return
        for modality in self.modalities:
            task = Task(modality)
            if not self.centres.is_ready(task):
                continue
            proposed = self.propose_from_centres(task, output, self.annotated[index])
            proposals = self.cut_to_scale(proposed)
            step = 2 / (epoch + 1)
            bank = self.bank(modality)
            moved = (1 - step) * bank[index] + step * proposals
            bank[index] = torch.where(output.present[modality], moved, bank[index])

    def _note(
        self,
        modality: Modality,
        index: Int[Tensor, "B"],
        targets: Float[Tensor, "B"],
        seen: Bool[Tensor, "B"],
    ) -> None:
        """Keep the targets on which a task is trained, of the clips that have the modality."""
        latest = self.latest(modality)
        latest[index] = torch.where(seen, targets.detach(), latest[index])

    def propose_from_centres(
        self, task: Task, output: Output, annotated: Float[Tensor, "B"]
    ) -> Float[Tensor, "B"]:
        """Return the proposals for a batch before they are cut to the scale; always finite."""
        own = self.centres.difference(task, output.states[task])
        fused = self.centres.difference(Task.FUSION, output.states[Task.FUSION])
        return propose_by_distance(annotated, own, fused)


class UlagLabels(DistanceLabels):
    """Join a distance label with what the likeness of the modalities says of the annotation.

        distance label  p_s = clip(y + rho L (b_s - b_f))
                        y_s <- (e - 1)/(e + 1) y_s + 2/(e + 1) p_s
        proposal        q_s = k_s y + (1 - k_s) v_s
        target          (y_s + q_s) / 2

    rho is the setting ``reach``, L the end of the scale, b the bounded balance between the class
    centres. v_s is the modality's own evidence: what a ridge regression from the modality's states,
    fitted on *other* clips, says the annotation should be, averaged over the epochs. k_s is
    the confidence, from inter-modal similarity, that the modality goes along with the whole. It is
    trained to tell where evidence and annotation have the same sign, over the clips in which
    neither is 0:

        own loss = sum over modalities of BCE(k_s, [v_s y > 0])

    A modality that is alone is the whole: its label stays the annotation.

    The evidence is from held-out clips because a network that knows the train labels by heart would
    answer with the annotation, and the label would be the copy again. A clip annotated 0 gets the
    proposal (1 - k_s) v_s.

    Source: sun2024, ULAG, whose proposal is y (2 k_s - 1) = k_s y + (1 - k_s)(-y): where it puts
    the opposite of the annotation we put the evidence. The objective of the confidence and the
    bounded balance are ours as well; docs/decisions.md says why.
    """

    def __init__(
        self,
        annotated: Float[Tensor, "N"],
        scale: Scale,
        modalities: tuple[Modality, ...],
        state_sizes: Mapping[Task, int],
        config: LabelsConfig,
    ) -> None:
        super().__init__(annotated, scale, modalities, state_sizes, config)
        self.confidence = Confidence(state_sizes, config.expert_size, config.temperature)
        for modality in modalities:
            self.register_buffer(f"evidence_{modality}", annotated.clone())
            self.register_buffer(f"targets_{modality}", annotated.clone())
        self.num_judgements: Tensor
        self.register_buffer("num_judgements", torch.zeros((), dtype=torch.int64))

    def evidence(self, modality: Modality) -> Float[Tensor, "N"]:
        """Return what the modality, judged on held-out clips, says the annotation should be."""
        evidence: Tensor = getattr(self, f"evidence_{modality}")
        return evidence

    def latest(self, modality: Modality) -> Float[Tensor, "N"]:
        """Return what the task was last trained on, for every train clip."""
        targets: Tensor = getattr(self, f"targets_{modality}")
        return targets

    @property
    def moves_labels(self) -> bool:
        """Whether there is another modality from which this one could differ."""
        return len(self.modalities) > 1

    def generate(self, output: Output, index: Int[Tensor, "B"], epoch: int) -> Generated:
        """Return the targets, and the loss of the confidence against the evidence."""
        if not self.moves_labels:
            return super().generate(output, index, epoch)
        if epoch <= self.config.warmup_epochs or self.num_judgements == 0:
            return super().generate(output, index, epoch)
        y = self.annotated[index]
        confidences = self.confidence(output.states)
        targets, losses = {}, []
        for modality in self.modalities:
            seen, evidence = output.present[modality], self.evidence(modality)[index]
            confidence = confidences[modality]
            agrees = (evidence * y > 0).to(y.dtype)
            counted = seen & (evidence * y != 0)
            error = F.binary_cross_entropy(confidence, agrees, reduction="none")
            losses.append(torch.where(counted, error, 0.0).mean())
            trust = confidence.detach()
            proposals = trust * y + (1 - trust) * evidence
            target = (self.bank(modality)[index] + proposals) / 2
            targets[modality] = torch.where(seen, target, y)
            self._note(modality, index, target, seen)
        return Generated(targets, torch.stack(losses).sum())

    def propose_from_centres(
        self, task: Task, output: Output, annotated: Float[Tensor, "B"]
    ) -> Float[Tensor, "B"]:
        """Return the proposals by bounded balance, before they are cut to the scale."""
        own = self.centres.balance(task, output.states[task])
        fused = self.centres.balance(Task.FUSION, output.states[Task.FUSION])
        return annotated + self.config.reach * self.scale.high * (own - fused)

    def finish_epoch(self, epoch: int) -> None:
        """Make the centres anew, and judge every modality on held-out clips."""
        super().finish_epoch(epoch)
        for modality in self.modalities:
            states, seen = self.centres.states_of(Task(modality))
            if int(seen.sum()) < 2 * self.config.folds:
                continue
            judged = held_out_prediction(
                precise(states[seen]), precise(self.annotated[seen]), folds=self.config.folds
            )
            old = self.evidence(modality)
            step = 2 / (int(self.num_judgements) + 2)
            old[seen] = torch.lerp(old[seen], judged.clamp(*self.scale).to(old), step)
        self.num_judgements += 1


class ReleasedUlagLabels(DistanceLabels):
    """Do what the released program of sun2024 does, defects and all, so that it can be measured.

        merged = sum over j of <e_m, e_j> e_j,   proposal = y tanh(score(merged) / 2)

    The predictors of the score are random and never trained; the experts belong to the model and
    are moved by the gradient that flows through the target. Proposals enter the targets from the
    first epoch on; there the weight ``difference`` is 0, so that weight decay alone moves experts.

    Source: the released program of sun2024. docs/coming-from-the-released-program.md lists this.
    """

    def __init__(
        self,
        annotated: Float[Tensor, "N"],
        scale: Scale,
        modalities: tuple[Modality, ...],
        state_sizes: Mapping[Task, int],
        config: LabelsConfig,
    ) -> None:
        super().__init__(annotated, scale, modalities, state_sizes, config)
        size = config.expert_size
        self.experts = nn.ModuleDict({t: nn.Linear(n, size) for t, n in state_sizes.items()})
        self.predictors = nn.ModuleDict(
            {m: nn.Sequential(nn.Linear(size, size), nn.Linear(size, 1)) for m in modalities}
        ).requires_grad_(requires_grad=False)
        for modality in modalities:
            self.register_buffer(f"targets_{modality}", annotated.clone())

    def latest(self, modality: Modality) -> Float[Tensor, "N"]:
        """Return what the task was last trained on, for every train clip."""
        targets: Tensor = getattr(self, f"targets_{modality}")
        return targets

    def generate(self, output: Output, index: Int[Tensor, "B"], epoch: int) -> Generated:  # noqa: ARG002
        """Return the targets, through which, as released, a gradient flows."""
        experts = {t: F.relu(self.experts[t](states)) for t, states in output.states.items()}
        proposals = self.propose(experts, self.annotated[index])
        targets = {m: (self.bank(m)[index] + proposals[m]) / 2 for m in self.modalities}
        for modality, target in targets.items():
            self._note(modality, index, target, output.present[modality])
        return Generated(targets, self.annotated.new_zeros(()))

    def propose(
        self, experts: Mapping[Task, Float[Tensor, "B E"]], annotated: Float[Tensor, "B"]
    ) -> dict[Modality, Float[Tensor, "B"]]:
        """Return the proposals, from unscaled similarities and untrained predictors."""
        stacked = torch.stack(list(experts.values()), dim=1)  # (B, M + 1, E)
        proposals = {}
        for modality in self.modalities:
            likeness = torch.einsum("bme,be->bm", stacked, experts[Task(modality)])
            merged = torch.einsum("bm,bme->be", likeness, stacked)
            score = self.predictors[modality](merged).squeeze(-1)
            proposals[modality] = annotated * torch.tanh(score / 2)
        return proposals
