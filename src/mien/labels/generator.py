"""What all label generators share: settings, inputs, and a running label per clip and modality."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mien.config import Settings
from mien.tensors import Output
from mien.types import Modality, Scale, Task

__all__ = ["Evidence", "Generated", "GeneratorConfig", "LabelGenerator", "LabelInputs"]


class GeneratorConfig(Settings):
    """What the settings of every generator have; each adds its own.

    Attributes:
        generator: Name of the generator.
        weight: How much a clip's unimodal loss counts: ``difference``: tanh of how far its label is
            from the multimodal one, so that a task whose labels are copies is not trained at all;
            ``one``: every clip alike.
    """

    generator: str
    weight: Literal["difference", "one"] = "one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Scores that late-fusion models give train clips on which they were not trained.

    They may have learned from labels that the clips' annotations moved: see
    ``mien.training.out_of_fold``.

    Attributes:
        scores: Score of each modality alone; NaN where a clip does not have the modality.
        weights: How much each modality counts in the multimodal label; they sum to 1.
    """

    scores: dict[Modality, Float[Tensor, "N"]]
    weights: dict[Modality, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelInputs:
    """What a generator is built from, besides its settings.

    Attributes:
        labels: Annotated labels of every train clip, by task; ``fusion`` is always there, and NaN
            stands where a clip lacks a unimodal annotation.
        scale: Range of the annotations.
        state_sizes: Size of each task's state, of the tasks that the model has.
        evidence: Out-of-fold scores of each modality; None where the generator needs none.
    """

    labels: Mapping[Task, Float[Tensor, "N"]]
    scale: Scale
    state_sizes: Mapping[Task, int]
    evidence: Evidence | None = None

    @property
    def annotated(self) -> Float[Tensor, "N"]:
        """Multimodal label of every train clip."""
        return self.labels[Task.FUSION]

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Modalities that the model has a task for."""
        return tuple(Modality(task) for task in self.state_sizes if task is not Task.FUSION)


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

    A generator that needs out-of-fold scores sets ``needs_evidence``; one that needs a unimodal
    annotation of every modality, in some clips at least, sets ``needs_unimodal``.

    Args:
        config: Settings.
        inputs: Annotations, scale and sizes; labels never leave the scale.
    """

    needs_evidence: ClassVar[bool] = False
    needs_unimodal: ClassVar[bool] = False
    annotated: Float[Tensor, "N"]

    def __init__(self, config: GeneratorConfig, inputs: LabelInputs) -> None:
        super().__init__()
        self.register_buffer("annotated", inputs.annotated.clone())
        self.scale = inputs.scale
        self.modalities = inputs.modalities
        self.weight = config.weight
        self.num_proposals = 0
        self.num_clipped = 0
        for modality in self.modalities:
            self.register_buffer(f"labels_{modality}", inputs.annotated.clone())

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
        if self.weight == "one":
            return {m: torch.ones_like(self.annotated[index]) for m in self.modalities}
        y = self.annotated[index]
        return {m: torch.tanh((self.bank(m)[index] - y).abs()) for m in self.modalities}

    def observe(self, output: Output, index: Int[Tensor, "B"], epoch: int) -> None:
        """Learn from what the model returned for a batch. Called after its loss was taken."""

    def finish_epoch(self, epoch: int) -> None:
        """Do what is done once an epoch, after the last batch."""

    def cut_to_scale(self, proposals: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
        """Cut proposed labels to the scale, and count those that left it."""
        cut = self.scale.clip(proposals)
        self.num_proposals += cut.numel()
        self.num_clipped += int((cut != proposals).sum())
        return cut

    def pop_clipped_share(self) -> float:
        """Return the share of proposals since the last call that left the scale and were cut."""
        share = self.num_clipped / self.num_proposals if self.num_proposals else 0.0
        self.num_proposals = self.num_clipped = 0
        return share
