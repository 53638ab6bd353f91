"""What corrects labels in ``mug``: the network, the virtual step of predictors, the contrast."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

__all__ = ["CorrectionNetwork", "VirtualPredictors", "contrast", "masked_mean"]

#: Divides cosine similarities before the softmax of the contrast.
TEMPERATURE = 0.1


class CorrectionNetwork(nn.Module):
    """Correct labels by the points of their clips: r = u + W2 relu(W1 [x; u]).

    Args:
        size: Size of a point, H.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(size + 1, size), nn.ReLU(), nn.Linear(size, 1))

    def forward(
        self, points: Float[Tensor, "K B H"], labels: Float[Tensor, "K B"]
    ) -> Float[Tensor, "K B"]:
        """Return the corrected labels.

        Args:
            points: Of each task and clip.
            labels: The noisy labels, from -1 to 1; the corrected ones may lie beyond.
        """
        shift: Tensor = self.layers(torch.cat([points, labels.unsqueeze(-1)], dim=-1))
        return labels + shift.squeeze(-1)


class VirtualPredictors(nn.Module):
    """A linear predictor of the label for each task, which stands for the model's head.

    Args:
        num_tasks: Tasks, K.
        size: Size of a point, H.
    """

    def __init__(self, num_tasks: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_tasks, size))
        self.bias = nn.Parameter(torch.zeros(num_tasks))

    def forward(self, points: Float[Tensor, "K B H"]) -> Float[Tensor, "K B"]:
        """Return the predictions."""
        return _predict(points, self.weight, self.bias)

    def after_step(
        self,
        points: Float[Tensor, "K B H"],
        labels: Float[Tensor, "K B"],
        counted: Bool[Tensor, "K B"],
        rate: float,
    ) -> Float[Tensor, "K B"]:
        """Return the predictions after one step of gradient descent, which is then forgotten.

            weight - rate / (1 + mean of |x|^2) * gradient of the mean squared error

        and so with the bias. At rates of at most 1 no step is so long that the error grows.

        The gradient of a squared error of a linear predictor is written out, so that the gradient
        of what is returned flows through the step to ``labels``; none flows to the predictors.

        Args:
            points: Of each task and clip.
            labels: What the step learns from.
            counted: Which clips count in the step.
            rate: Rate of the step, over the mean squared length of points and the bias.
        """
        weight, bias = self.weight.detach(), self.bias.detach()
        errors = _predict(points, weight, bias) - labels
        num = counted.sum(dim=1, keepdim=True).clamp(min=1)
        slopes = 2 * torch.where(counted, errors, 0.0) / num
        length = masked_mean(points.square().sum(dim=-1), counted)
        steps = rate / (1 + length).unsqueeze(1) * slopes
        moved = weight - torch.einsum("kb,kbh->kh", steps, points)
        return _predict(points, moved, bias - steps.sum(dim=1))


def _predict(
    points: Float[Tensor, "K B H"], weight: Float[Tensor, "K H"], bias: Float[Tensor, "K"]
) -> Float[Tensor, "K B"]:
    return torch.einsum("kbh,kh->kb", points, weight) + bias.unsqueeze(1)


def masked_mean(values: Float[Tensor, "K B"], counted: Bool[Tensor, "K B"]) -> Float[Tensor, "K"]:
    """Return the mean of each row over what counts; 0 where nothing does.

    >>> masked_mean(torch.tensor([[1.0, 5.0]]), torch.tensor([[True, False]]))
    tensor([1.])
    """
    num = counted.sum(dim=1).clamp(min=1)
    return torch.where(counted, values, 0.0).sum(dim=1) / num


def contrast(points: Float[Tensor, "K B H"], present: Bool[Tensor, "M B"]) -> Float[Tensor, ""]:
    """Return how hard it is to tell which multimodal and unimodal points are of one clip.

    The mean, over the modalities, of the cross-entropy of the softmax over cosine similarities, in
    both directions, among the clips that have the modality; 0 where there are fewer than two.

    Args:
        points: The multimodal points, then those of each modality.
        present: Which clips have which modality.
    """
    directions = F.normalize(points, dim=-1)
    alike = torch.einsum("mbh,ch->mbc", directions[1:], directions[0]) / TEMPERATURE
    own = torch.eye(points.shape[1], dtype=torch.bool, device=points.device)
    allowed = present.unsqueeze(1) | own  # its own clip always: no row of the softmax is empty
    logits = torch.stack([alike, alike.mT]).masked_fill(~allowed, -torch.inf)
    own_share = logits.log_softmax(dim=-1).diagonal(dim1=-2, dim2=-1)
    return masked_mean(-own_share.mean(dim=0), present).mean()
