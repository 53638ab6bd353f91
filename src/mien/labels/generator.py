"""What all label generators share: settings, and one running label per train clip and modality."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from mien.config import Settings
from mien.tensors import Output
from mien.types import Modality, Scale, Task

__all__ = ["Generated", "GeneratorName", "LabelGenerator", "LabelsConfig"]

GeneratorName = Literal["latent", "ulag", "distance", "copy", "human", "ulag_released"]


class LabelsConfig(Settings):
    """How the unimodal tasks get their labels.

    Attributes:
        generator: ``latent``: what late-fusion models say of clips that they have not seen, joined
            with the annotation. ``ulag``: similarity between modalities and distance to class
            centres. ``distance``: distance to class centres alone (Self-MM). ``copy``: the
            multimodal label. ``human``: what people annotated. ``ulag_released``: as the released
            program of TAM-ULAG does it, with a confidence predictor that is never trained.
        weight: How much a clip's unimodal loss counts: ``difference``: tanh of how far its label is
            from the multimodal one, so that a task whose labels are copies is not trained at all;
            ``one``: every clip alike.
        warmup_epochs: Epochs at the start in which labels stay the multimodal one.
        zeros: Whether an annotated 0 counts as ``positive`` where clips are sorted into the two
            classes, or is ``excluded`` from both.
        reach: How far, in units of the end of the scale, the balance between the class centres may
            move a label of ``ulag`` for each unit of difference to the fused balance.
        expert_size: Size of the vectors whose similarity is measured.
        temperature: Divides the cosine similarities of experts before their softmax.
        folds: Parts into which train is cut to judge a modality on clips that its judge has not
            seen.
        rest: Share of what the modalities leave unexplained that ``latent`` gives to none of them,
            in units of the share of one.
        evidence_epochs: Most epochs for which the judges of ``latent`` are trained.
        evidence_patience: Epochs without better answers before they are trained no further.
    """

    generator: GeneratorName = "latent"
    weight: Literal["difference", "one"] = "one"
    warmup_epochs: int = Field(1, ge=1)
    zeros: Literal["positive", "excluded"] = "positive"
    reach: float = Field(0.7, ge=0)
    expert_size: int = Field(16, ge=1, le=4096)
    temperature: float = Field(0.5, gt=0)
    folds: int = Field(5, ge=2, le=100)
    rest: float = Field(1.0, ge=0)
    evidence_epochs: int = Field(20, ge=1)
    evidence_patience: int = Field(3, ge=1)


class Generated(NamedTuple):
    """What a generator gives for a batch.

    Attributes:
        targets: What each unimodal task is to predict, on the scale.
        own_loss: What the generator's own parameters are trained by; 0 if it has none. Its gradient
            never reaches the model: a model that could move its own target would.
    """

    targets: dict[Modality, Float[Tensor, "B"]]
    own_loss: Float[Tensor, ""]


class LabelGenerator(nn.Module):
    """What all generators share: one running label per train clip and modality.

    Args:
        annotated: Multimodal label of every train clip.
        scale: Range of the annotations; labels never leave it.
        modalities: Modalities that the model has a task for.
        state_sizes: Size of each task's state.
        config: Settings.
    """

    annotated: Float[Tensor, "N"]

    def __init__(
        self,
        annotated: Float[Tensor, "N"],
        scale: Scale,
        modalities: tuple[Modality, ...],
        state_sizes: Mapping[Task, int],
        config: LabelsConfig,
    ) -> None:
        super().__init__()
        self.register_buffer("annotated", annotated.clone())
        self.scale = scale
        self.modalities = modalities
        self.state_sizes = dict(state_sizes)
        self.config = config
        self.num_proposals = 0
        self.num_clipped = 0
        for modality in modalities:
            self.register_buffer(f"labels_{modality}", annotated.clone())

    def bank(self, task: Modality | Task) -> Float[Tensor, "N"]:
        """Return the present labels of a task, one per train clip."""
        if task == Task.FUSION:
            return self.annotated
        labels: Tensor = getattr(self, f"labels_{task}")
        return labels

    def latest(self, modality: Modality) -> Float[Tensor, "N"]:
        """Return what the task was last trained on, for every train clip."""
        return self.bank(modality)

    def generate(
        self,
        output: Output,  # noqa: ARG002  # generators that look at the states override this
        index: Int[Tensor, "B"],
        epoch: int,  # noqa: ARG002
    ) -> Generated:
        """Return what the unimodal tasks are to predict for the clips at ``index``."""
        targets = {m: self.bank(m)[index] for m in self.modalities}
        return Generated(targets, self.annotated.new_zeros(()))

    def weights(self, index: Int[Tensor, "B"]) -> dict[Modality, Float[Tensor, "B"]]:
        """Return how much each clip counts in each unimodal loss: w_s = tanh|y_s - y|, or 1.

        Source: yu2021, eq. 12.
        """
        if self.config.weight == "one":
            return {m: torch.ones_like(self.annotated[index]) for m in self.modalities}
        y = self.annotated[index]
        return {m: torch.tanh((self.bank(m)[index] - y).abs()) for m in self.modalities}

    def observe(self, output: Output, index: Int[Tensor, "B"], epoch: int) -> None:
        """Learn from what the model returned for a batch. Called after its loss was taken."""

    def finish_epoch(self, epoch: int) -> None:
        """Do what is done once an epoch, after the last batch."""

    def cut_to_scale(self, proposals: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
        """Cut proposed labels to the scale, and count those that left it."""
        cut = proposals.clamp(*self.scale)
        self.num_proposals += cut.numel()
        self.num_clipped += int((cut != proposals).sum())
        return cut

    def pop_clipped_share(self) -> float:
        """Return the share of proposals since the last call that left the scale and were cut."""
        share = self.num_clipped / self.num_proposals if self.num_proposals else 0.0
        self.num_proposals = self.num_clipped = 0
        return share
