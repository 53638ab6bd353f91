"""``mug``: labels from a network that learns to restore annotations to which noise was added.

``label_correction`` has the network, its virtual step and the contrast between tasks; here they are
trained, and labels are made by them.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mien.labels.generator import Generated, LabelGenerator, LabelInputs
from mien.labels.label_settings import MugConfig
from mien.labels.mug.label_correction import (
    CorrectionNetwork,
    VirtualPredictors,
    contrast,
    masked_mean,
)
from mien.tensors import Output
from mien.types import Task

__all__ = ["MugConfig", "MugLabels"]


class MugLabels(LabelGenerator):
    """Take the annotation for a noisy unimodal label, and correct it by what the modality shows.

        x_k  = project(state of task k)                      k: fusion and each modality
        u    = clip(y + noise n)                             n normal
        r_k  = u + correct(x_k, u)
        own loss = mean over k of |r_k - y|^2                                  denoising
                                + |predictor_k after its step on r_k - y|^2     outer
                                + |predictor_k - r_k|^2, which moves predictors alone     inner
                   + contrast of each modality's points with the multimodal ones
        y_s <- (e - 1)/(e + 1) y_s + 2/(e + 1) clip(y + correct(x_s, y))    after the warm-up

    The correction network learns by the denoising and the outer loss, the projections by these and
    the contrast, each predictor by the inner loss alone. Nothing of it moves the model.

    Source: mai2024, as far as its abstract goes: a network that corrects unimodal labels is trained
    by restoring noisy annotations from unimodal and multimodal representations, in two levels, and
    a contrastive projection brings both together. Its formulas were not at hand. All else is ours:
    one space and one network for all tasks, which adds a shift to the label; normal noise, on
    annotations alone; squared errors; linear predictors on detached states that stand for the
    model's heads; one virtual step on a batch, and the outer loss on the annotations of the same
    batch; the temperature; equal weights of all losses; training beside the model, where the paper
    has stages; the annotation itself for the noisy label that is corrected; and the average over
    the epochs, which is that of yu2021. What this generator gives is no result of the paper.
    """

    only_to_resume = ("noise_",)
    noise_seed: Int[Tensor, ""]

    def __init__(self, config: MugConfig, inputs: LabelInputs) -> None:
        super().__init__(config, inputs)
        self.warmup_epochs = config.warmup_epochs
        self.deviation, self.inner_rate = config.noise, config.inner_rate
        self.middle = (self.scale.high + self.scale.low) / 2
        self.unit = (self.scale.high - self.scale.low) / 2
        self.tasks = (Task.FUSION, *(Task(m) for m in self.modalities))
        size = config.common_size
        self.projections = nn.ModuleDict(
            {t: nn.Linear(inputs.state_sizes[t], size) for t in self.tasks}
        )
        self.corrector = CorrectionNetwork(size)
        self.predictors = VirtualPredictors(len(self.tasks), size)
        self.register_buffer("noise_seed", torch.randint(1 << 62, ()))
        self.register_rows("noise", self.tasks, torch.zeros_like(inputs.annotated))
        self._draw_noise(1)

    def generate(self, output: Output, index: Int[Tensor, "B"], epoch: int) -> Generated:
        """Return the labels, and what projections, correction network and predictors learn by."""
        counted, y = self._counted(output), self._in_halves(self.annotated[index])
        points = self._project(output, counted)
        noisy = (y + self.deviation * self.rows("noise")[:, index]).clamp(-1.0, 1.0)
        restored = self.corrector(points, noisy)
        # predictors see points as they are: what moves projections are the other losses
        held = points.detach()
        stepped = self.predictors.after_step(held, restored, counted, self.inner_rate)
        inner = self.predictors(held) - restored.detach()
        errors = (restored - y).square() + (stepped - y).square() + inner.square()
        own_loss = masked_mean(errors, counted).mean() + contrast(points, counted[1:])
        return super().generate(output, index, epoch)._replace(own_loss=own_loss)

    @torch.no_grad()
    def observe(self, output: Output, index: Int[Tensor, "B"], epoch: int) -> None:
        """Move the labels of the batch toward the corrected annotation."""
        if epoch <= self.warmup_epochs:
            return
        counted, y = self._counted(output), self._in_halves(self.annotated[index])
        points, present, banks = self._project(output, counted)[1:], counted[1:], self.banks
        corrected = self.corrector(points, y.expand(len(points), -1))
        proposals = self.cut_to_scale(corrected * self.unit + self.middle, present)
        before = banks[:, index]
        moved = torch.lerp(before, proposals, 2 / (epoch + 1))
        banks[:, index] = torch.where(present, moved, before)

    def finish_epoch(self, epoch: int) -> None:
        """Draw the noise of the next epoch."""
        self._draw_noise(epoch + 1)

    def _draw_noise(self, epoch: int) -> None:
        """Draw a value per task and clip that depends on the seed and the epoch alone."""
        generator = torch.Generator().manual_seed(int(self.noise_seed) + epoch)
        rows = self.rows("noise")
        rows.copy_(torch.randn(rows.shape, generator=generator))

    def _counted(self, output: Output) -> Bool[Tensor, "K B"]:
        """Return which clips have the task's modality; all have the multimodal task."""
        present = self.present(output)
        return torch.cat([torch.ones_like(present[:1]), present])

    def _in_halves(self, labels: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
        """Return labels from -1 to 1, in units of half the scale."""
        return (labels - self.middle) / self.unit

    def _project(self, output: Output, counted: Bool[Tensor, "K B"]) -> Float[Tensor, "K B H"]:
        """Return the points of all tasks, the multimodal one first; 0 of what a clip lacks."""
        points = []
        for task, has in zip(self.tasks, counted.unsqueeze(-1), strict=True):
            states = torch.where(has, output.states[task].detach(), 0.0)
            points.append(torch.where(has, self.projections[task](states), 0.0))
        return torch.stack(points)
