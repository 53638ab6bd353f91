"""What all label generators share: inputs, and a running label per clip and modality."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mien.labels.label_settings import GeneratorConfig
from mien.labels.row_buffers import RowBuffers
from mien.tensors import Output
from mien.types import Modality, Scale, Task

__all__ = [
    "Evidence",
    "Generated",
    "GeneratorConfig",
    "LabelGenerator",
    "LabelInputs",
    "TargetEvidence",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Scores that models give train clips on which they were not trained.

    Late-fusion models may have learned from labels that the clips' annotations moved: see
    ``mien.training.out_of_fold``.

    Attributes:
        scores: Score of each modality alone; NaN where a clip does not have the modality.
        weights: How much each modality counts in the multimodal label; they sum to 1.
        halves: Scores from each of two halves of a modality's features, for several ways to cut
            the features in two; of the modalities of which there are such scores.
        overlap: Share of the errors of one half that the features of the other predict, of the same
            modalities; 0 where the errors of two halves are independent.
        alone: Scores of regressions that read one modality each, if ``scores`` come from models of
            all modalities together.
        targets: The same of further targets, by name.
    """

    scores: dict[Modality, Float[Tensor, "N"]]
    weights: dict[Modality, float]
    halves: dict[Modality, Float[Tensor, "C 2 N"]] = field(default_factory=dict)
    overlap: dict[Modality, float] = field(default_factory=dict)
    alone: dict[Modality, Float[Tensor, "N"]] = field(default_factory=dict)
    targets: dict[str, "TargetEvidence"] = field(default_factory=dict)

    def take(self, rows: Tensor) -> "Evidence":
        """Return the evidence of some clips for sentiment, by their rows or a mask."""
        return Evidence(
            scores={m: s[rows] for m, s in self.scores.items()},
            weights=self.weights,
            halves={m: own[..., rows] for m, own in self.halves.items()},
            overlap=self.overlap,
            alone={m: own[rows] for m, own in self.alone.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetEvidence:
    """What late-fusion models say of a target of train clips on which they were not trained.

    Attributes:
        values: Probabilities or values of each modality alone, ``(N, K)``; NaN where a clip does
            not have the modality.
        weights: How much each modality counts in the multimodal values; they sum to 1.
    """

    values: dict[Modality, Float[Tensor, "N _"]]
    weights: dict[Modality, float]

    def column(self, number: int, rows: Tensor, middle: Float[Tensor, ""]) -> Evidence:
        """Return the evidence for one column of some clips, less its middle."""
        return Evidence(
            scores={m: values[rows, number] - middle for m, values in self.values.items()},
            weights=self.weights,
        )


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


class LabelGenerator(RowBuffers):
    """What all generators share: one running label per train clip and modality.

    A generator that needs out-of-fold scores sets ``needs_evidence``; one that needs a unimodal
    annotation of every modality, in some clips at least, sets ``needs_unimodal``. Names of what it
    keeps only to go on with a training begin with one of ``only_to_resume``: of the best epoch that
    is not written.

    Args:
        config: Settings.
        inputs: Annotations, scale and sizes; labels never leave the scale.
    """

    needs_evidence: ClassVar[bool] = False
    needs_unimodal: ClassVar[bool] = False
    only_to_resume: ClassVar[tuple[str, ...]] = ()
    annotated: Float[Tensor, "N"]

    def __init__(self, config: GeneratorConfig, inputs: LabelInputs) -> None:
        super().__init__()
        self.register_buffer("annotated", inputs.annotated.clone())
        self.scale = inputs.scale
        self.modalities = inputs.modalities
        self.weight = config.weight
        self._num_proposals: Tensor | int = 0
        self._num_clipped: Tensor | int = 0
        self.register_rows("labels", self.modalities, inputs.annotated)

    def bank(self, task: Modality | Task) -> Float[Tensor, "N"]:
        """Return the present labels of a task, one per train clip."""
        if task == Task.FUSION:
            return self.annotated
        labels: Tensor = getattr(self, f"labels_{task}")
        return labels

    @property
    def banks(self) -> Float[Tensor, "M N"]:
        """The present labels of all modalities, in the order of ``modalities``."""
        return self.rows("labels")

    def latest(self, modality: Modality) -> Float[Tensor, "N"]:
        """Return what the task was last trained on, for every train clip."""
        return self.bank(modality)

    def present(self, output: Output) -> Bool[Tensor, "M B"]:
        """Return which clips have which modality, in the order of ``modalities``."""
        return torch.stack([output.present[modality] for modality in self.modalities])

    def by_modality(self, values: Float[Tensor, "M B"]) -> dict[Modality, Float[Tensor, "B"]]:
        """Return the rows of a tensor, which are in the order of ``modalities``, by their names."""
        return dict(zip(self.modalities, values.unbind(), strict=True))

    def generate(
        self,
        output: Output,  # noqa: ARG002  # generators that look at the states override this
        index: Int[Tensor, "B"],
        epoch: int,  # noqa: ARG002
    ) -> Generated:
        """Return what the unimodal tasks are to predict for the clips at ``index``."""
        targets = self.by_modality(self.banks[:, index])
        return Generated(targets, self.annotated.new_zeros(()))

    def weights(self, index: Int[Tensor, "B"]) -> dict[Modality, Float[Tensor, "B"]]:
        """Return how much each clip counts in each unimodal loss: w_s = tanh|y_s - y|, or 1.

        Source: yu2021, eq. 12.
        """
        if self.weight == "one":
            return dict.fromkeys(self.modalities, self.annotated.new_ones(len(index)))
        apart = self.banks[:, index] - self.annotated[index]
        return self.by_modality(torch.tanh(apart.abs()))

    def observe(self, output: Output, index: Int[Tensor, "B"], epoch: int) -> None:
        """Learn from what the model returned for a batch. Called after its loss was taken."""

    def finish_epoch(self, epoch: int) -> None:
        """Do what is done once an epoch, after the last batch."""

    def cut_to_scale(
        self, proposals: Float[Tensor, "*shape"], counted: Bool[Tensor, "*shape"] | None = None
    ) -> Float[Tensor, "*shape"]:
        """Cut proposed labels to the scale, and count those that left it.

        Args:
            proposals: The labels.
            counted: Which of them count; all by default.
        """
        cut = self.scale.clip(proposals)
        left = cut != proposals
        if counted is not None:
            left = left & counted
        # numbers stay on the device until the end of the epoch, so that no step waits for them
        self._num_proposals = self._num_proposals + (
            proposals.numel() if counted is None else counted.sum()
        )
        self._num_clipped = self._num_clipped + left.sum()
        return cut

    def describe(self) -> dict[str, Any] | None:
        """Return what the generator estimated, as values that JSON holds; None if nothing."""
        return None

    def pop_clipped_share(self) -> float:
        """Return the share of proposals since the last call that left the scale and were cut."""
        number, clipped = int(self._num_proposals), int(self._num_clipped)
        self._num_proposals = self._num_clipped = 0
        return clipped / number if number else 0.0
