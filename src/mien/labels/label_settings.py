"""The settings of the label generators, apart from them: reading settings imports no torch."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from mien.config import Settings

__all__ = [
    "CentroidConfig",
    "CopyConfig",
    "DistanceConfig",
    "EvidenceConfig",
    "EvidenceFeedback",
    "EvidenceLabelsConfig",
    "EvidenceSource",
    "FixedConfig",
    "GeneratorConfig",
    "HumanConfig",
    "LatentConfig",
    "MeanConfig",
    "MugConfig",
    "OutOfFoldConfig",
    "PosteriorConfig",
    "ReleasedUlagConfig",
    "SugrmConfig",
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


#: What makes out-of-fold scores: see ``EvidenceConfig``.
EvidenceSource = Literal["auto", "ridge", "kernel", "late", "both"]
#: What learns from labels that evidence makes: see ``EvidenceConfig``.
EvidenceFeedback = Literal["all", "correlated"]


class EvidenceConfig(Settings):
    """How out-of-fold scores are made.

    Attributes:
        evidence: What makes them: ``late``: late-fusion models, trained for each fold; ``ridge``:
            ridge regressions on vectors of the clips, each modality by itself; ``kernel``: kernel
            regressions instead, which are not linear and minimise the absolute error; ``auto``:
            ``ridge``, or of a modality ``kernel`` where its error out of fold is smaller beyond
            chance, unless a late-fusion model has the smaller error on the clips of the first
            fold, after few epochs; ``both``: ``late``, with what such regressions say beside it.
        folds: Parts into which train is cut, so that each clip is scored by a model that has not
            been trained on it.
        rest: Share of what the modalities leave unexplained that is given to none of them, in units
            of the share of one.
        evidence_epochs: Most epochs for which the late-fusion models are trained.
        evidence_patience: Epochs without better scores before they are trained no further.
        feedback: Which unimodal tasks of the late-fusion models learn from labels that evidence
            makes, from the second epoch on; the others learn from copies. ``all``, or those that
            are ``correlated``: whose scores out of fold once had a correlation with the annotation
            of more than its standard error. Feedback finds better what a modality says by itself,
            and makes evidence that says nothing look as if it did.
    """

    evidence: EvidenceSource = "late"
    folds: int = Field(5, ge=2, le=100)
    rest: float = Field(1.0, ge=0)
    evidence_epochs: int = Field(20, ge=1)
    evidence_patience: int = Field(3, ge=1)
    feedback: EvidenceFeedback = "all"


class EvidenceLabelsConfig(EvidenceConfig, GeneratorConfig):
    """What the settings of all generators have that make labels from evidence beforehand.

    Attributes:
        warmup_epochs: Epochs at the start in which labels stay the multimodal one.
    """

    warmup_epochs: int = Field(1, ge=1)


class LatentConfig(EvidenceLabelsConfig):
    """Settings of ``latent``.

    Attributes:
        generator: ``latent``.
    """

    generator: Literal["latent"] = "latent"


class PosteriorConfig(EvidenceLabelsConfig):
    """Settings of ``posterior``.

    Attributes:
        generator: ``posterior``.
        weight: As in ``GeneratorConfig``; or ``deviation``: the share of the variance of what the
            modality expresses that its label of the clip explains.
        evidence: As in ``EvidenceConfig``; ``both`` by default.
        feedback: As in ``EvidenceConfig``; ``correlated`` by default.
    """

    generator: Literal["posterior"] = "posterior"
    weight: Literal["difference", "one", "deviation"] = "one"  # type: ignore[assignment]  # wider
    evidence: EvidenceSource = "both"
    feedback: EvidenceFeedback = "correlated"


class OutOfFoldConfig(EvidenceLabelsConfig):
    """Settings of ``oof``.

    Attributes:
        generator: ``oof``.
        evidence: As in ``EvidenceConfig``; ``ridge`` by default.
    """

    generator: Literal["oof"] = "oof"
    evidence: EvidenceSource = "ridge"


class MeanConfig(EvidenceLabelsConfig):
    """Settings of ``mean``.

    Attributes:
        generator: ``mean``.
        evidence: As in ``EvidenceConfig``; ``ridge`` by default.
    """

    generator: Literal["mean"] = "mean"
    evidence: EvidenceSource = "ridge"


def _check_fixed_weight(weight: object) -> object:
    if weight != "one":
        raise ValueError(
            "must be one: labels of copy and human do not move away from the annotation, so that "
            "there is no difference to weigh by; use labels.weight=one"
        )
    return weight


class FixedConfig(GeneratorConfig):
    """What the settings of labels have that stay as they are while the model is trained.

    Attributes:
        weight: ``one``: every clip alike.
    """

    weight: Annotated[Literal["one"], BeforeValidator(_check_fixed_weight)] = "one"


class CopyConfig(FixedConfig):
    """Settings of ``copy``.

    Attributes:
        generator: ``copy``.
    """

    generator: Literal["copy"] = "copy"


class HumanConfig(FixedConfig):
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


class SugrmConfig(CentroidConfig):
    """Settings of ``sugrm``.

    Attributes:
        generator: ``sugrm``.
        common_size: Size of the space to which the states of all tasks are projected.
    """

    generator: Literal["sugrm"] = "sugrm"
    common_size: int = Field(32, ge=1, le=4096)


class MugConfig(GeneratorConfig):
    """Settings of ``mug``.

    Attributes:
        generator: ``mug``.
        warmup_epochs: Epochs at the start in which labels stay the multimodal one.
        common_size: Size of the space to which the states of all tasks are projected.
        noise: Deviation of the noise from which annotations are restored, in units of half the
            length of the scale.
        inner_rate: Rate of the virtual step of the predictors, over the mean squared length of what
            they read; at 0 the correction network learns from restoring annotations alone.
    """

    generator: Literal["mug"] = "mug"
    warmup_epochs: int = Field(1, ge=1)
    common_size: int = Field(32, ge=1, le=4096)
    noise: float = Field(1.0, gt=0)
    inner_rate: float = Field(0.5, ge=0, le=1)


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
