"""Unimodal labels, made before or while training from the multimodal one: the label generators.

A generator holds one running label per train clip and modality (a label bank), gives the targets
of a batch, and learns from what the model returned. Everything it keeps is a buffer or a
parameter, so that it is saved, restored and moved with the rest. A generator is one file with its
settings and its class, and one line of ``GENERATORS``.

``generator`` has what all share, ``row_buffers`` the form in which they keep it; ``reference``
copies the annotation, takes what people gave, or takes evidence as it is; ``posterior`` estimates
how far to trust annotation and evidence, and ``latent`` assumes it (``before_training`` has what
these share); ``distance``, ``sugrm`` and ``ulag`` are those of the papers, ``mug`` follows
the abstract of one, and ``released`` is that of the authors' program. ``target_labels`` are those
of further targets, such as emotions, by the same generators.
``label_settings`` has the settings of all, so that they are read without torch.
"""

from typing import TYPE_CHECKING, Annotated

from mien.config import Choice
from mien.errors import ConfigError
from mien.labels.label_settings import (
    CopyConfig,
    DistanceConfig,
    GeneratorConfig,
    HumanConfig,
    LatentConfig,
    MeanConfig,
    MugConfig,
    OutOfFoldConfig,
    PosteriorConfig,
    ReleasedUlagConfig,
    SugrmConfig,
    UlagConfig,
)
from mien.plugins import ConfiguredClass
from mien.types import Task

if TYPE_CHECKING:
    from mien.labels.generator import LabelGenerator, LabelInputs

__all__ = ["GENERATORS", "GeneratorEntry", "LabelsConfig", "build_labels"]


class GeneratorEntry(ConfiguredClass):
    """A label generator: its settings and its class; ``config, labels = entry`` takes it apart.

    Args:
        config: Its settings, a subclass of ``GeneratorConfig`` whose ``generator`` is its name.
        labels: Its class, a subclass of ``LabelGenerator``; or ``MODULE:NAME``, of one that is
            imported when it is first needed.
    """

    def __init__(self, config: type[GeneratorConfig], labels: "type[LabelGenerator] | str") -> None:
        super().__init__(config, labels)

    @property
    def labels(self) -> "type[LabelGenerator]":
        """Its class."""
        return self.built


#: Every label generator, by name.
GENERATORS: dict[str, GeneratorEntry] = {
    "latent": GeneratorEntry(LatentConfig, "mien.labels.latent:LatentLabels"),
    "posterior": GeneratorEntry(PosteriorConfig, "mien.labels.posterior:PosteriorLabels"),
    "ulag": GeneratorEntry(UlagConfig, "mien.labels.ulag:UlagLabels"),
    "distance": GeneratorEntry(DistanceConfig, "mien.labels.distance:DistanceLabels"),
    "copy": GeneratorEntry(CopyConfig, "mien.labels.reference:CopyLabels"),
    "oof": GeneratorEntry(OutOfFoldConfig, "mien.labels.reference:OutOfFoldLabels"),
    "mean": GeneratorEntry(MeanConfig, "mien.labels.reference:MeanLabels"),
    "human": GeneratorEntry(HumanConfig, "mien.labels.reference:HumanLabels"),
    "ulag_released": GeneratorEntry(ReleasedUlagConfig, "mien.labels.released:ReleasedUlagLabels"),
    "sugrm": GeneratorEntry(SugrmConfig, "mien.labels.sugrm:SugrmLabels"),
    "mug": GeneratorEntry(MugConfig, "mien.labels.mug:MugLabels"),
}

#: Generators that make nothing, and so may stand where there is no unimodal task.
_OF_NO_TASK = frozenset({"copy", "human"})

#: The settings of any generator, told apart by ``generator``.
LabelsConfig = Annotated[
    GeneratorConfig, Choice(GENERATORS, lambda e: e.config, tag="generator", default="latent")
]


def build_labels(config: LabelsConfig, inputs: "LabelInputs") -> "LabelGenerator":
    """Build the generator that ``config`` names.

    Raises:
        ConfigError: If the settings give no unimodal task anything to learn, or there is no
            unimodal task that generated labels are for.
        ValueError: If a generator that needs evidence is given none.
    """
    kind = GENERATORS[config.generator].labels
    if not inputs.modalities and config.generator not in _OF_NO_TASK:
        raise ConfigError(
            f"setting labels.generator is {config.generator!r}, but the model has no unimodal "
            "task that it could make labels for; use labels.generator=copy"
        )
    for modality in inputs.modalities:
        if kind.needs_unimodal and Task(modality) not in inputs.labels:
            others = (name for name, e in GENERATORS.items() if not e.labels.needs_unimodal)
            raise ConfigError(
                f"setting labels.generator is {config.generator!r}, but no clip has a label for "
                f"{modality}; use one of {', '.join(others)}"
            )
    return kind(config, inputs)
