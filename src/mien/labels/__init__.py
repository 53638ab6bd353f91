"""Unimodal labels made while training, from the multimodal annotation alone: the label generators.

A generator holds one running label per train clip and modality (a label bank), gives the targets
of a batch, and learns from what the model returned. Everything it keeps is a buffer or a
parameter, so that it is saved, restored and moved with the rest. A generator is one file with its
settings and its class, and one line of ``GENERATORS``.

``generator`` has what all share, ``row_buffers`` the form in which they keep it; ``reference``
copies the annotation or takes what people gave, ``latent`` is the default, ``distance`` and
``ulag`` are those of the papers, and ``released`` is that of the authors' program.
"""

from typing import Annotated, NamedTuple

from mien.config import Choice
from mien.errors import ConfigError
from mien.labels.distance import DistanceConfig, DistanceLabels
from mien.labels.generator import GeneratorConfig, LabelGenerator, LabelInputs
from mien.labels.latent import LatentConfig, LatentLabels
from mien.labels.reference import CopyConfig, CopyLabels, HumanConfig, HumanLabels
from mien.labels.released import ReleasedUlagConfig, ReleasedUlagLabels
from mien.labels.ulag import UlagConfig, UlagLabels
from mien.types import Task

__all__ = ["GENERATORS", "GeneratorEntry", "LabelsConfig", "build_labels"]


class GeneratorEntry(NamedTuple):
    """A label generator.

    Attributes:
        config: Its settings, a subclass of ``GeneratorConfig`` whose ``generator`` is its name.
        labels: Its class, a subclass of ``LabelGenerator``.
    """

    config: type[GeneratorConfig]
    labels: type[LabelGenerator]


#: Every label generator, by name.
GENERATORS: dict[str, GeneratorEntry] = {
    "latent": GeneratorEntry(LatentConfig, LatentLabels),
    "ulag": GeneratorEntry(UlagConfig, UlagLabels),
    "distance": GeneratorEntry(DistanceConfig, DistanceLabels),
    "copy": GeneratorEntry(CopyConfig, CopyLabels),
    "human": GeneratorEntry(HumanConfig, HumanLabels),
    "ulag_released": GeneratorEntry(ReleasedUlagConfig, ReleasedUlagLabels),
}

#: The settings of any generator, told apart by ``generator``.
LabelsConfig = Annotated[
    GeneratorConfig, Choice(GENERATORS, lambda e: e.config, tag="generator", default="latent")
]


def build_labels(config: LabelsConfig, inputs: LabelInputs) -> LabelGenerator:
    """Build the generator that ``config`` names.

    Raises:
        ConfigError: If the settings give no unimodal task anything to learn.
        ValueError: If a generator that needs evidence is given none.
    """
    kind = GENERATORS[config.generator].labels
    for modality in inputs.modalities:
        if kind.needs_unimodal and Task(modality) not in inputs.labels:
            others = (name for name, e in GENERATORS.items() if not e.labels.needs_unimodal)
            raise ConfigError(
                f"setting labels.generator is {config.generator!r}, but no clip has a label for "
                f"{modality}; use one of {', '.join(others)}"
            )
    return kind(config, inputs)
