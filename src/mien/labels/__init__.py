"""Unimodal labels made while training, from the multimodal annotation alone: the label generators.

A generator holds one running label per train clip and modality (a label bank), gives the targets
of a batch, and learns from what the model returned. Everything it keeps is a buffer or a
parameter, so that it is saved, restored and moved with the rest.
"""

from collections.abc import Mapping
from typing import get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mien.errors import ConfigError
from mien.labels.evidence import Evidence, latent_labels
from mien.labels.generator import Generated, GeneratorName, LabelGenerator, LabelsConfig
from mien.labels.ulag import DistanceLabels, ReleasedUlagLabels, UlagLabels
from mien.tensors import Output
from mien.types import Modality, Scale, Task

__all__ = ["GENERATORS", "CopyLabels", "HumanLabels", "LatentLabels", "build_labels"]


class CopyLabels(LabelGenerator):
    """Give every unimodal task the multimodal label: the control that a generator must beat."""


class HumanLabels(LabelGenerator):
    """Give every unimodal task what people annotated; the upper reference.

    ``annotated_unimodal`` is set by ``build_labels``.
    """

    def set_labels(self, labels: Mapping[Modality, Float[Tensor, "N"]]) -> None:
        """Take over the annotations; a clip that lacks one (NaN) keeps the multimodal label.

        Raises:
            ConfigError: If a modality is annotated in no clip.
        """
        for modality in self.modalities:
            if modality not in labels:
                raise ConfigError(
                    f"setting labels.generator is 'human', but no clip has a label for {modality}; "
                    f"say one of {', '.join(g for g in get_args(GeneratorName) if g != 'human')}"
                )
            given = labels[modality]
            self.bank(modality).copy_(torch.where(given.isnan(), self.annotated, given))


class LatentLabels(LabelGenerator):
    """Join what a modality says on unseen clips with what the annotation says of all of them.

    In the warm-up the labels are the annotation; afterwards they are those of
    ``mien.labels.evidence.latent_labels``, cut to the scale, and stay. The evidence comes from
    late-fusion models that are trained beforehand (``mien.training.out_of_fold``), so that nothing
    here depends on the states of the model that learns from the labels: it cannot move its own
    target, and a step costs no upkeep.

    ``found_*`` is set by ``build_labels``.
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
        for modality in modalities:
            self.register_buffer(f"found_{modality}", annotated.clone())

    def found(self, modality: Modality) -> Float[Tensor, "N"]:
        """Return the labels to which the task goes over, before they are cut to the scale."""
        found: Tensor = getattr(self, f"found_{modality}")
        return found

    def set_evidence(self, evidence: Evidence) -> None:
        """Make the labels from what each modality says."""
        labels = latent_labels(evidence, self.annotated, rest=self.config.rest)
        for modality in self.modalities:
            self.found(modality).copy_(labels[modality])

    def generate(self, output: Output, index: Int[Tensor, "B"], epoch: int) -> Generated:
        """Return the targets; after the warm-up, the labels found go into the bank as they come."""
        if epoch > self.config.warmup_epochs:
            for modality in self.modalities:
                cut, bank = self.cut_to_scale(self.found(modality)[index]), self.bank(modality)
                bank[index] = torch.where(output.present[modality], cut, bank[index])
        return super().generate(output, index, epoch)


GENERATORS: dict[GeneratorName, type[LabelGenerator]] = {
    "latent": LatentLabels,
    "ulag": UlagLabels,
    "distance": DistanceLabels,
    "copy": CopyLabels,
    "human": HumanLabels,
    "ulag_released": ReleasedUlagLabels,
}


def build_labels(
    config: LabelsConfig,
    labels: Mapping[Task, Float[Tensor, "N"]],
    scale: Scale,
    state_sizes: Mapping[Task, int],
    evidence: Evidence | None = None,
) -> LabelGenerator:
    """Build the generator that ``config`` names.

    Args:
        config: Settings.
        labels: What is annotated in the train split; only ``human`` looks at more than ``fusion``.
        scale: Range of the annotations.
        state_sizes: Size of each task's state, of the tasks that the model has.
        evidence: What each modality says of clips that its judge has not seen; only ``latent``
            needs it.

    Raises:
        ConfigError: If the settings give no unimodal task anything to learn.
        ValueError: If ``latent`` is given no evidence.
    """
    if config.generator in ("copy", "human") and config.weight == "difference":
        raise ConfigError(
            f"setting labels.weight is 'difference' with labels.generator {config.generator!r}, "
            "whose labels do not move away from the annotation; say labels.weight=one"
        )
    modalities = tuple(Modality(t) for t in state_sizes if t is not Task.FUSION)
    kind = GENERATORS[config.generator]
    generator = kind(labels[Task.FUSION], scale, modalities, state_sizes, config)
    if isinstance(generator, HumanLabels):
        generator.set_labels({Modality(t): v for t, v in labels.items() if t is not Task.FUSION})
    if isinstance(generator, LatentLabels):
        if evidence is None:
            raise ValueError(
                "generator 'latent' needs evidence; mien.training.out_of_fold.cross_fit makes it"
            )
        generator.set_evidence(evidence)
    return generator
