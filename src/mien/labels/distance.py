"""``distance``: labels that follow how far a state leans to the centroid of either class."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mien.labels.generator import LabelGenerator, LabelInputs
from mien.labels.label_settings import CentroidConfig, DistanceConfig
from mien.labels.row_buffers import RowBuffers
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


class DistanceLabels(LabelGenerator):
    """Move each unimodal label by how far the modality's state leans to either class.

        r  = delta_s / delta_f
        p  = clip(r y / 2 + (y + delta_s - delta_f) / 2)
        y_s <- (e - 1)/(e + 1) y_s + 2/(e + 1) p        from the epoch after the warm-up

    A label stays as it is while a class of its task, or of the multimodal one, is empty.

    Source: yu2021, eqs. 11 and 13 (ULGM, momentum-based update).
    """

    only_to_resume = ("centres.",)

    @property
    def moves_labels(self) -> bool:
        """Whether labels are moved at all after the warm-up."""
        return True

    def __init__(self, config: CentroidConfig, inputs: LabelInputs) -> None:
        super().__init__(config, inputs)
        self.warmup_epochs = config.warmup_epochs
        sizes = {Task.FUSION: inputs.state_sizes[Task.FUSION]}
        sizes |= {Task(m): inputs.state_sizes[Task(m)] for m in self.modalities}
        self.centres = Centroids(len(inputs.annotated), sizes, config.zeros)

    @torch.no_grad()
    def observe(self, output: Output, index: Int[Tensor, "B"], epoch: int) -> None:
        """Move the labels of the batch with the centroids before it, then take in its states."""
        present, y = self.present(output), self.annotated[index]
        if self.moves_labels and epoch > self.warmup_epochs:
            self._move_labels(output, index, epoch, present)
        labels = torch.cat([y.unsqueeze(0), self.banks[:, index]])
        seen = torch.cat([torch.ones_like(present[:1]), present])
        self.centres.update(index, output.states, labels, seen)

    def finish_epoch(self, epoch: int) -> None:
        """Compute the centroids again."""
        del epoch
        self.centres.rebuild()

    def _move_labels(
        self, output: Output, index: Int[Tensor, "B"], epoch: int, present: Bool[Tensor, "M B"]
    ) -> None:
        ready = self.centres.are_ready
        moves = (ready[1:] & ready[0]).unsqueeze(1).expand_as(present)
        proposed = self.propose_from_centroids(output, self.annotated[index])
        proposals = self.cut_to_scale(proposed, moves)
        step, banks = 2 / (epoch + 1), self.banks
        before = banks[:, index]
        moved = (1 - step) * before + step * proposals
        banks[:, index] = torch.where(present & moves, moved, before)

    def propose_from_centroids(
        self, output: Output, annotated: Float[Tensor, "B"]
    ) -> Float[Tensor, "M B"]:
        """Return the proposals for a batch before they are cut to the scale.

        They are finite where both centroids of the task and of the multimodal one are known.
        """
        differences = self.centres.differences(output.states)
        return propose_by_distance(annotated, differences[1:], differences[0])


class AveragedLabels(DistanceLabels):
    """Distance labels that are averaged with a proposal of another kind, and remember the targets.

    A generator adds ``generate``, which makes the proposals and calls ``remember``.

    Args:
        config: Settings.
        inputs: Annotations, scale and sizes.
    """

    def __init__(self, config: CentroidConfig, inputs: LabelInputs) -> None:
        super().__init__(config, inputs)
        self.register_rows("targets", self.modalities, inputs.annotated)

    def latest(self, modality: Modality) -> Float[Tensor, "N"]:
        """Return what the task was last trained on, for every train clip."""
        targets: Tensor = getattr(self, f"targets_{modality}")
        return targets

    def remember(
        self,
        index: Int[Tensor, "B"],
        targets: Float[Tensor, "M B"],
        seen: Bool[Tensor, "M B"],
    ) -> None:
        """Keep the targets on which the tasks are trained, of the clips that have the modality."""
        latest = self.rows("targets")
        latest[:, index] = torch.where(seen, targets.detach(), latest[:, index])


class Centroids(RowBuffers):
    """Mean state of the train clips of either class, for each task, kept up step by step.

    Sums are in float64 and changed by what a batch changes: O(batch) a step. ``rebuild`` makes them
    anew from the states, once an epoch, so that rounding does not add up. On a device without
    float64 they are in float32 (``mien.tensors.move_to``). Only clips that have been seen count.
    Tasks are in the order of ``sizes`` wherever a tensor has an axis of them.

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
        self.sizes = list(sizes.values())
        for task, size in sizes.items():
            self.register_buffer(f"states_{task}", torch.zeros(num_clips, size))
            self.register_buffer(f"sums_{task}", torch.zeros(3, size, dtype=torch.float64))
        # class of each clip: 1 positive, 0 negative, 2 counted in neither
        self.register_rows("classes", sizes, torch.full((num_clips,), 2, dtype=torch.int64))
        self.register_rows("seen", sizes, torch.zeros(num_clips, dtype=torch.bool))
        self.register_rows("counts", sizes, torch.zeros(3, dtype=torch.float64))
        #: The task of each value, where the states of all tasks stand in one row.
        self.task_of: Tensor
        tasks = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(self.sizes))
        self.register_buffer("task_of", tasks, persistent=False)

    def _each(self, what: str) -> list[Tensor]:
        return [getattr(self, f"{what}_{task}") for task in self.tasks]

    def _split(self, joined: Float[Tensor, "*shape S"]) -> tuple[Tensor, ...]:
        """Return the part of each task, where the values of all of them stand in one row."""
        parts: tuple[Tensor, ...] = torch.split(joined, self.sizes, dim=-1)
        return parts

    @property
    def are_ready(self) -> Bool[Tensor, "K"]:
        """Whether both classes of each task have a clip, so that both centroids are known."""
        return (self.rows("counts")[:, :2] > 0).all(dim=1)

    def is_ready(self, task: Task) -> bool:
        """Whether both classes of the task have a clip, so that both centroids are known."""
        return bool(self.are_ready[self.tasks.index(task)])

    def positive(self, task: Task) -> Float[Tensor, "H"]:
        """Return the centroid of the clips labelled positive; not finite if there is none."""
        return self._split(self._means()[1])[self.tasks.index(task)]

    def negative(self, task: Task) -> Float[Tensor, "H"]:
        """Return the centroid of the clips labelled negative; not finite if there is none."""
        return self._split(self._means()[0])[self.tasks.index(task)]

    def _means(self) -> Float[Tensor, "2 S"]:
        """Return the negative and the positive centroids of all tasks, end to end."""
        counts = self.rows("counts")[:, :2].T[:, self.task_of]
        return (torch.cat([sums[:2] for sums in self._each("sums")], dim=1) / counts).float()

    def classify(self, labels: Float[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
        """Return the class of each label: 1 positive, 0 negative, 2 neither."""
        classes = (labels >= 0).long()
        return torch.where(labels == 0, 2, classes) if self.zeros == "excluded" else classes

    @torch.no_grad()
    def update(
        self,
        index: Int[Tensor, "B"],
        states: Mapping[Task, Float[Tensor, "B _"]],
        labels: Float[Tensor, "K B"],
        seen: Bool[Tensor, "K B"],
    ) -> None:
        """Replace the states and classes of the clips at ``index``.

        Args:
            index: Rows of the clips; each occurs once.
            states: Their new states, of every task.
            labels: Their present labels for each task.
            seen: Whether the state is one of the modality; where False the clip stays as it was.
        """
        num_tasks, classes, counts = len(self.tasks), self.rows("classes"), self.rows("counts")
        known = self._each("states")
        before = classes[:, index]
        after = torch.where(seen, self.classify(labels), before)
        old = torch.cat([values[index] for values in known], dim=1)
        given = torch.cat([states[task] for task in self.tasks], dim=1)
        new = torch.where(seen.T[:, self.task_of], given, old)
        # a clip that stays as it was goes out of the third sum and into it: nobody reads that one
        moves = torch.where(seen.repeat(1, 2), torch.cat([before, after], dim=1), 2)  # (K, 2B)
        changes = torch.cat([-old, new]).to(self._each("sums")[0].dtype)
        parts = self._split(changes)
        for sums, rows, part in zip(self._each("sums"), moves.unbind(), parts, strict=True):
            sums.index_add_(0, rows, part)
        offsets = 3 * torch.arange(num_tasks, device=moves.device).unsqueeze(1)
        signs = torch.ones_like(moves, dtype=counts.dtype)
        signs[:, : len(index)] = -1
        counts.view(-1).index_add_(0, (moves + offsets).view(-1), signs.view(-1))
        for values, part in zip(known, self._split(new), strict=True):
            values[index] = part
        classes[:, index] = after
        has_been = self.rows("seen")
        has_been[:, index] = has_been[:, index] | seen

    @torch.no_grad()
    def rebuild(self) -> None:
        """Compute all sums again from the states."""
        for task in self.tasks:
            states, classes, sums, counts = (
                getattr(self, f"{what}_{task}") for what in ("states", "classes", "sums", "counts")
            )
            sums.zero_().index_add_(0, classes, states.to(sums.dtype))
            counts.copy_(torch.bincount(classes, minlength=3).to(counts.dtype))

    def states_of(self, task: Task) -> tuple[Float[Tensor, "N H"], Bool[Tensor, "N"]]:
        """Return every clip's last state, and whether it has been seen."""
        return getattr(self, f"states_{task}"), getattr(self, f"seen_{task}")

    def _distances(self, states: Mapping[Task, Float[Tensor, "B _"]]) -> Float[Tensor, "2 K B"]:
        """Return how far states are from the negative and from the positive centroid."""
        joined = torch.cat([states[task] for task in self.tasks], dim=1)
        apart = joined - self._means().unsqueeze(1)  # (2, B, S)
        return torch.stack([a.norm(dim=-1) for a in self._split(apart)], dim=1)

    def differences(self, states: Mapping[Task, Float[Tensor, "B _"]]) -> Float[Tensor, "K B"]:
        """Return how much nearer each state is to the positive than to the negative centroid.

            delta = (|x - c-| - |x - c+|) / (|x - c+| + 1e-8)

        Source: yu2021, eq. 10.
        """
        to_negative, to_positive = self._distances(states)
        differences: Tensor = (to_negative - to_positive) / (to_positive + 1e-8)
        return differences

    def balances(self, states: Mapping[Task, Float[Tensor, "B _"]]) -> Float[Tensor, "K B"]:
        """Return how much nearer each state is to the positive than to the negative centroid.

            b = (|x - c-| - |x - c+|) / (|x - c-| + |x - c+|)

        From -1 to 1. Unlike ``differences`` it is bounded, and swapping the classes swaps its sign.
        """
        to_negative, to_positive = self._distances(states)
        balances: Tensor = (to_negative - to_positive) / (to_negative + to_positive).clamp(min=1e-8)
        return balances


def propose_by_distance(
    annotated: Float[Tensor, "B"], own: Float[Tensor, "*M B"], fused: Float[Tensor, "B"]
) -> Float[Tensor, "*M B"]:
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
