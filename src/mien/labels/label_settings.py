"""The settings of the label generators, apart from them: reading settings imports no torch."""

from typing import Literal

from pydantic import Field

from mien.config import Settings

__all__ = [
    "CentroidConfig",
    "CopyConfig",
    "DistanceConfig",
    "EvidenceConfig",
    "GeneratorConfig",
    "HumanConfig",
    "LatentConfig",
    "ReleasedUlagConfig",
    "UlagConfig",
]


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


class CentroidConfig(GeneratorConfig):
    """What the settings of all generators with centroids have.

    Attributes:
        warmup_epochs: Epochs at the start in which labels stay the multimodal one.
        zeros: Whether an annotated 0 counts as ``positive`` where clips are sorted into the two
            classes, or is ``excluded`` from both.
    """

    warmup_epochs: int = Field(1, ge=1)
    zeros: Literal["positive", "excluded"] = "positive"


class DistanceConfig(CentroidConfig):
    """Settings of ``distance``.

    Attributes:
        generator: ``distance``.
    """

    generator: Literal["distance"] = "distance"


class EvidenceConfig(Settings):
    """How out-of-fold scores are made.

    Attributes:
        folds: Parts into which train is cut, so that each clip is scored by a model that has not
            been trained on it.
        rest: Share of what the modalities leave unexplained that is given to none of them, in units
            of the share of one.
        evidence_epochs: Most epochs for which the late-fusion models are trained.
        evidence_patience: Epochs without better scores before they are trained no further.
    """

    folds: int = Field(5, ge=2, le=100)
    rest: float = Field(1.0, ge=0)
    evidence_epochs: int = Field(20, ge=1)
    evidence_patience: int = Field(3, ge=1)


class LatentConfig(EvidenceConfig, GeneratorConfig):
    """Settings of ``latent``.

    Attributes:
        generator: ``latent``.
        warmup_epochs: Epochs at the start in which labels stay the multimodal one.
    """

    generator: Literal["latent"] = "latent"
    warmup_epochs: int = Field(1, ge=1)


class CopyConfig(GeneratorConfig):
    """Settings of ``copy``.

    Attributes:
        generator: ``copy``.
    """

    generator: Literal["copy"] = "copy"


class HumanConfig(GeneratorConfig):
    """Settings of ``human``.

    Attributes:
        generator: ``human``.
    """

    generator: Literal["human"] = "human"


class ReleasedUlagConfig(CentroidConfig):
    """Settings of ``ulag_released``.

    Attributes:
        generator: ``ulag_released``.
        expert_size: Size of the vectors whose similarity is measured.
    """

    generator: Literal["ulag_released"] = "ulag_released"
    expert_size: int = Field(16, ge=1, le=4096)


class UlagConfig(CentroidConfig):
    """Settings of ``ulag``.

    Attributes:
        generator: ``ulag``.
        reach: How far, in units of the end of the scale, the balance between the centroids may
            move a label for each unit of difference to the fused balance.
        expert_size: Size of the vectors whose similarity is measured.
        temperature: Divides the cosine similarities of experts before their softmax.
        folds: Parts into which train is cut, so that a modality predicts clips to which its
            regression was not fitted.
    """

    generator: Literal["ulag"] = "ulag"
    reach: float = Field(0.7, ge=0)
    expert_size: int = Field(16, ge=1, le=4096)
    temperature: float = Field(0.5, gt=0)
    folds: int = Field(5, ge=2, le=100)
