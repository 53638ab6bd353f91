"""``distance``: labels that follow how far a state leans to the centroid of either class."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from mien.labels.generator import GeneratorConfig, LabelGenerator, LabelInputs
from mien.tensors import Output
from mien.types import Modality, Task

__all__ = [
    "AveragedLabels",
    "CentroidConfig",
    "Centroids",
    "DistanceConfig",
    "DistanceLabels",
    "propose_by_distance",
]


class CentroidConfig(GeneratorConfig):
    """What the settings of all generators with centroids have.

    Attributes:
        warmup_epochs: Epochs at the start in which labels stay the multimodal one.
        zeros: Whether an annotated 0 counts as ``positive`` where clips are sorted into the two
            classes, or is ``excluded`` from both.
    """

    warmup_epochs: int = Field(1, ge=1)
    zeros: Literal["positive", "excluded"] = "positive"


class DistanceConfig(CentroidConfig):
    """Settings of ``distance``.

    Attributes:
        generator: ``distance``.
    """

    generator: Literal["distance"] = "distance"


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

    def __init__(self, config: CentroidConfig, inputs: LabelInputs) -> None:
        super().__init__(config, inputs)
        self.warmup_epochs = config.warmup_epochs
        self.centres = Centroids(len(inputs.annotated), inputs.state_sizes, config.zeros)

    @torch.no_grad()
    def observe(self, output: Output, index: Int[Tensor, "B"], epoch: int) -> None:
        """Move the labels of the batch with the centroids before it, then take in its states."""
        if self.moves_labels and epoch > self.warmup_epochs:
            self._move_labels(output, index, epoch)
        for task, states in output.states.items():
            seen = torch.ones_like(index, dtype=torch.bool)
            if task is not Task.FUSION:
                seen = output.present[Modality(task)]
            rows = index[seen]  # a modality that dropout took away counts by its last state
            self.centres.update(task, rows, states[seen], self.bank(task)[rows], seen[seen])

    def finish_epoch(self, epoch: int) -> None:
        """Compute the centroids again."""
        del epoch
        self.centres.rebuild()

    def _move_labels(self, output: Output, index: Int[Tensor, "B"], epoch: int) -> None:
        if not self.centres.is_ready(Task.FUSION):
            return
        for modality in self.modalities:
            task = Task(modality)
            if not self.centres.is_ready(task):
                continue
            proposed = self.propose_from_centroids(task, output, self.annotated[index])
            proposals = self.cut_to_scale(proposed)
            step = 2 / (epoch + 1)
            bank = self.bank(modality)
            moved = (1 - step) * bank[index] + step * proposals
            bank[index] = torch.where(output.present[modality], moved, bank[index])

    def propose_from_centroids(
        self, task: Task, output: Output, annotated: Float[Tensor, "B"]
    ) -> Float[Tensor, "B"]:
        """Return the proposals for a batch before they are cut to the scale; always finite."""
        own = self.centres.difference(task, output.states[task])
        fused = self.centres.difference(Task.FUSION, output.states[Task.FUSION])
        return propose_by_distance(annotated, own, fused)


class AveragedLabels(DistanceLabels):
    """Distance labels that are averaged with a proposal of another kind, and remember the targets.

    A generator adds ``generate``, which makes the proposals and calls ``remember``.

    Args:
        config: Settings.
        inputs: Annotations, scale and sizes.
    """

    def __init__(self, config: CentroidConfig, inputs: LabelInputs) -> None:
        super().__init__(config, inputs)
        for modality in self.modalities:
            self.register_buffer(f"targets_{modality}", inputs.annotated.clone())

    def latest(self, modality: Modality) -> Float[Tensor, "N"]:
        """Return what the task was last trained on, for every train clip."""
        targets: Tensor = getattr(self, f"targets_{modality}")
        return targets

    def remember(
        self,
        modality: Modality,
        index: Int[Tensor, "B"],
        targets: Float[Tensor, "B"],
        seen: Bool[Tensor, "B"],
    ) -> None:
        """Keep the targets on which a task is trained, of the clips that have the modality."""
        latest = self.latest(modality)
        latest[index] = torch.where(seen, targets.detach(), latest[index])


class Centroids(nn.Module):
    """Mean state of the train clips of either class, for each task, kept up step by step.

    Sums are in float64 and changed by what a batch changes: O(batch) a step. ``rebuild`` makes them
    anew from the states, once an epoch, so that rounding does not add up. On a device without
    float64 they are in float32 (``mien.tensors.move_to``). Only clips that have been seen count.

    Source: yu2021, eqs. 8 and 9.

    Args:
        num_clips: Train clips, N.
        sizes: Size of each task's state.
        zeros: Whether a label of 0 is ``positive`` or ``excluded``.
    """

    def __init__(
        self, num_clips: int, sizes: Mapping[Task, int], zeros: Literal["positive", "excluded"]
    ) -> None:
        super().__init__()
        self.zeros = zeros
        self.tasks = tuple(sizes)
        for task, size in sizes.items():
            self.register_buffer(f"states_{task}", torch.zeros(num_clips, size))
            # class of each clip: 1 positive, 0 negative, 2 counted in neither
            self.register_buffer(f"classes_{task}", torch.full((num_clips,), 2, dtype=torch.int64))
            self.register_buffer(f"seen_{task}", torch.zeros(num_clips, dtype=torch.bool))
            self.register_buffer(f"sums_{task}", torch.zeros(3, size, dtype=torch.float64))
            self.register_buffer(f"counts_{task}", torch.zeros(3, dtype=torch.float64))

    def _get(self, what: str, task: Task) -> Tensor:
        buffer: Tensor = getattr(self, f"{what}_{task}")
        return buffer

    def is_ready(self, task: Task) -> bool:
        """Whether both classes of the task have a clip, so that both centroids are known."""
        return bool((self._get("counts", task)[:2] > 0).all())

    def positive(self, task: Task) -> Float[Tensor, "H"]:
        """Return the centroid of the clips labelled positive; not finite if there is none."""
        return (self._get("sums", task)[1] / self._get("counts", task)[1]).float()

    def negative(self, task: Task) -> Float[Tensor, "H"]:
        """Return the centroid of the clips labelled negative; not finite if there is none."""
        return (self._get("sums", task)[0] / self._get("counts", task)[0]).float()

    def classify(self, labels: Float[Tensor, "B"]) -> Int[Tensor, "B"]:
        """Return the class of each label: 1 positive, 0 negative, 2 neither."""
        classes = (labels >= 0).long()
        return torch.where(labels == 0, 2, classes) if self.zeros == "excluded" else classes

    @torch.no_grad()
    def update(
        self,
        task: Task,
        index: Int[Tensor, "B"],
        states: Float[Tensor, "B H"],
        labels: Float[Tensor, "B"],
        seen: Bool[Tensor, "B"],
    ) -> None:
        """Replace the states and classes of the clips at ``index``.

        Args:
            task: Task of the states.
            index: Rows of the clips; each occurs once.
            states: Their new states.
            labels: Their present labels for this task.
            seen: Whether the state is one of the modality; False takes the clip out.
        """
        old, sums, counts = (self._get(n, task) for n in ("states", "sums", "counts"))
        classes = self._get("classes", task)
        after = torch.where(seen, self.classify(labels), 2)
        before = classes[index]
        sums.index_add_(0, before, old[index].to(sums.dtype), alpha=-1)
        counts.index_add_(0, before, torch.ones_like(before, dtype=counts.dtype), alpha=-1)
        sums.index_add_(0, after, states.to(sums.dtype))
        counts.index_add_(0, after, torch.ones_like(after, dtype=counts.dtype))
        old[index] = states
        classes[index] = after
        self._get("seen", task)[index] = seen

    @torch.no_grad()
    def rebuild(self) -> None:
        """Compute all sums again from the states."""
        for task in self.tasks:
            states, classes = self._get("states", task), self._get("classes", task)
            sums, counts = self._get("sums", task), self._get("counts", task)
            sums.zero_().index_add_(0, classes, states.to(sums.dtype))
            counts.copy_(torch.bincount(classes, minlength=3).to(counts.dtype))

    def states_of(self, task: Task) -> tuple[Float[Tensor, "N H"], Bool[Tensor, "N"]]:
        """Return every clip's last state, and whether it has been seen."""
        return self._get("states", task), self._get("seen", task)

    def difference(self, task: Task, states: Float[Tensor, "B H"]) -> Float[Tensor, "B"]:
        """Return how much nearer each state is to the positive than to the negative centroid.

            delta = (|x - c-| - |x - c+|) / (|x - c+| + 1e-8)

        Source: yu2021, eq. 10.
        """
        to_positive = (states - self.positive(task)).norm(dim=-1)
        to_negative = (states - self.negative(task)).norm(dim=-1)
        difference: Tensor = (to_negative - to_positive) / (to_positive + 1e-8)
        return difference

    def balance(self, task: Task, states: Float[Tensor, "B H"]) -> Float[Tensor, "B"]:
        """Return how much nearer each state is to the positive than to the negative centroid.

            b = (|x - c-| - |x - c+|) / (|x - c-| + |x - c+|)

        From -1 to 1. Unlike ``difference`` it is bounded, and swapping the classes swaps its sign.
        """
        to_positive = (states - self.positive(task)).norm(dim=-1)
        to_negative = (states - self.negative(task)).norm(dim=-1)
        balance: Tensor = (to_negative - to_positive) / (to_negative + to_positive).clamp(min=1e-8)
        return balance


def propose_by_distance(
    annotated: Float[Tensor, "B"], own: Float[Tensor, "B"], fused: Float[Tensor, "B"]
) -> Float[Tensor, "B"]:
    """Return the proposal of ULGM before it is cut to the scale; always finite.

        p = (delta_s / (delta_f + 1e-8)) y / 2 + (y + delta_s - delta_f) / 2

    The ratio is ill-conditioned where ``fused`` is near 0; its divisor never comes nearer to 0
    than 1e-8, so that the proposal is large, cut and counted, rather than not a number.

    Source: yu2021, eq. 11.

    >>> propose_by_distance(torch.tensor([1.0]), torch.tensor([0.5]), torch.tensor([1.0]))
    tensor([0.5000])
    """
    divisor = fused + 1e-8
    sign = torch.where(divisor < 0, -1.0, 1.0)
    divisor = sign * divisor.abs().clamp(min=1e-8)
    return (own / divisor) * annotated / 2 + (annotated + own - fused) / 2
