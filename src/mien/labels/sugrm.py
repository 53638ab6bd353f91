"""``sugrm``: labels that are as far from the annotation as states are apart in a common space."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mien.labels.distance import Centroids
from mien.labels.generator import Generated, LabelGenerator, LabelInputs
from mien.labels.label_settings import SugrmConfig
from mien.tensors import Output
from mien.types import Task

__all__ = ["SugrmConfig", "SugrmLabels", "propose_by_reach"]


class SugrmLabels(LabelGenerator):
    """Move each unimodal label by how far its state is from the multimodal one.

        p   = y + g (high - low) min(|x_s - x_f|, D) / D
        g   = sign(|x_f - c+| / |x_f - c-| - |x_s - c+| / |x_s - c-|)
        y_s <- (e - 1)/(e + 1) y_s + 2/(e + 1) clip(p)          from the epoch after the warm-up

    c+ and c- are the centroids of the multimodal states of positive and negative clips, D the
    distance of the mean multimodal states of the clips with the highest and the lowest annotation.

    The paper's model has states of one size for all tasks, which are taken for points of one
    space. Those of our models have different sizes. So each is projected to ``common_size`` here,
    and one linear layer reads the score of any task from these points; projections and layer are
    trained by the squared error of the scores, and move nothing of the model.

    Source: hwang2023 and its released program, from which D is known, with the ends of the scale in
    the place of the highest and the lowest annotation. D is measured once an epoch.
    """

    only_to_resume = ("centres.", "farthest")
    farthest: Float[Tensor, ""]

    def __init__(self, config: SugrmConfig, inputs: LabelInputs) -> None:
        super().__init__(config, inputs)
        self.warmup_epochs = config.warmup_epochs
        size, y = config.common_size, inputs.annotated
        self.projections = nn.ModuleDict(
            {t: nn.Linear(n, size) for t, n in inputs.state_sizes.items()}
        )
        self.scorer = nn.Linear(size, 1)
        self.centres = Centroids(len(y), {Task.FUSION: size}, config.zeros)
        self.register_buffer("farthest", y.new_zeros(()))

    def generate(self, output: Output, index: Int[Tensor, "B"], epoch: int) -> Generated:
        """Return the labels, and the squared error of scores read from the common space."""
        points = self._project(output)
        targets = torch.cat([self.annotated[index].unsqueeze(0), self.banks[:, index]])
        errors = (self.scorer(points).squeeze(-1) - targets).square()
        present = self.present(output)
        counted = torch.cat([torch.ones_like(present[:1]), present])
        own_loss = torch.where(counted, errors, 0.0).mean()
        return super().generate(output, index, epoch)._replace(own_loss=own_loss)

    @torch.no_grad()
    def observe(self, output: Output, index: Int[Tensor, "B"], epoch: int) -> None:
        """Move the labels of the batch with the centroids before it, then take in its states."""
        points, y = self._project(output), self.annotated[index]
        if epoch > self.warmup_epochs and self.centres.is_ready(Task.FUSION):
            positive, negative = (
                self.centres.positive(Task.FUSION),
                self.centres.negative(Task.FUSION),
            )
            present, banks = self.present(output), self.banks
            moved = propose_by_reach(points, positive, negative, self.farthest)
            low, high = self.scale
            proposals = self.cut_to_scale(y + (high - low) * moved, present)
            before, step = banks[:, index], 2 / (epoch + 1)
            banks[:, index] = torch.where(present, torch.lerp(before, proposals, step), before)
        is_seen = torch.ones(1, len(index), dtype=torch.bool, device=y.device)
        self.centres.update(index, {Task.FUSION: points[0]}, y.unsqueeze(0), is_seen)

    @torch.no_grad()
    def finish_epoch(self, epoch: int) -> None:
        """Compute the centroids again, and how far the ends of the scale are apart."""
        del epoch
        self.centres.rebuild()
        states, seen = self.centres.states_of(Task.FUSION)
        y = self.annotated
        ends = [states[seen & (y == end)] for end in (y.max(), y.min())]
        if all(len(end) for end in ends):
            self.farthest.copy_((ends[0].mean(dim=0) - ends[1].mean(dim=0)).norm())

    def _project(self, output: Output) -> Float[Tensor, "K B H"]:
        """Return the points of all tasks, the multimodal one first."""
        tasks = (Task.FUSION, *(Task(m) for m in self.modalities))
        return torch.stack([self.projections[t](output.states[t].detach()) for t in tasks])


def propose_by_reach(
    points: Float[Tensor, "K B H"],
    positive: Float[Tensor, "H"],
    negative: Float[Tensor, "H"],
    farthest: Float[Tensor, ""],
) -> Float[Tensor, "M B"]:
    """Return how far labels lie from the annotation, in lengths of the scale: from -1 to 1.

    Args:
        points: The multimodal state, then that of each modality.
        positive: Centroid of multimodal states of positive clips.
        negative: The same of negative clips.
        farthest: Distance at which labels lie a whole scale apart; if it is 0, they do not move.

    Source: hwang2023.

    >>> points = torch.tensor([[[0.0, 0.0]], [[0.5, 0.0]], [[-3.0, 0.0]]])
    >>> ends = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    >>> propose_by_reach(points, *ends, torch.tensor(2.0))
    tensor([[ 0.2500],
            [-1.0000]])
    """
    to_positive, to_negative = ((points - centre).norm(dim=-1) for centre in (positive, negative))
    ratios = to_positive / to_negative.clamp(min=1e-8)
    apart = (points[1:] - points[0]).norm(dim=-1)
    share = torch.where(farthest > 0, (apart / farthest.clamp(min=1e-8)).clamp(max=1.0), 0.0)
    return torch.sign(ratios[0] - ratios[1:]) * share
