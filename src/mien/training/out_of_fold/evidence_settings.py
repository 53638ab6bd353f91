"""Which settings of a run its evidence depends on, and the data that it is made from."""

from dataclasses import replace

from mien.config import Settings
from mien.data.dataset import ClipDataset, measure_costs
from mien.data.text import TextInput, prepare_text
from mien.data.text_settings import TextEncoderConfig
from mien.labels.label_settings import EvidenceConfig
from mien.models.model_settings import PartsConfig
from mien.training.preparation import Prepared
from mien.training.settings import ExperimentConfig, FeaturesConfig, LearningRates, TrainConfig
from mien.training.targets.target_settings import TargetsConfig
from mien.types import Modality

__all__ = ["EvidenceSettings", "evidence_settings", "with_frozen_text"]

_TRAIN = TrainConfig(
    batch_size=16,
    accumulate=1,
    learning_rate=LearningRates(text=0.0, audio=4e-3, video=4e-3, rest=2e-3),
)


class EvidenceSettings(Settings):
    """All settings that evidence is made by, and its key in the cache.

    What makes the evidence is given these and not those of the run. A setting that is left out
    here can therefore not change the evidence unnoticed; one that is added later to a class below
    is part of the key at once.

    Attributes:
        features: As in the run.
        text_encoder: As in the run, but frozen.
        model: As in the run, less what only the run's own model has.
        labels: As in the run, less what does not make evidence.
        train: Its own, except for device and precision.
        targets: As in the run.
    """

    features: FeaturesConfig
    text_encoder: TextEncoderConfig
    model: PartsConfig
    labels: EvidenceConfig
    train: TrainConfig
    targets: TargetsConfig = TargetsConfig()


def evidence_settings(config: ExperimentConfig) -> EvidenceSettings:
    """Return what the evidence is made by in a run of these settings.

    Raises:
        TypeError: If its label generator has no settings of evidence.
    """
    labels: Settings = config.labels
    if not isinstance(labels, EvidenceConfig):
        raise TypeError(f"generator {config.labels.generator!r} takes no evidence")
    return EvidenceSettings(
        features=config.features,
        text_encoder=config.text_encoder.model_copy(update={"mode": "frozen"}),
        model=_own_parts(config.model),
        labels=EvidenceConfig(
            **{name: getattr(labels, name) for name in EvidenceConfig.model_fields}
        ),
        train=_TRAIN.model_copy(
            update={"device": config.train.device, "precision": config.train.precision}
        ),
        targets=config.targets,
    )


def _own_parts(model: Settings) -> PartsConfig:
    """Return the settings of the parts; of a model of other parts, the defaults."""
    if not isinstance(model, PartsConfig):
        names = ("modality_dropout", "standardise")
        return PartsConfig(**{name: getattr(model, name) for name in names})
    return PartsConfig(**{name: getattr(model, name) for name in PartsConfig.model_fields})


def with_frozen_text(
    prepared: Prepared, settings: EvidenceSettings
) -> tuple[ClipDataset, dict[Modality, int], TextInput | None]:
    """Return train with states of the frozen encoder, sizes of its features, and its text."""
    dataset, sizes = prepared.datasets["train"], dict(prepared.sizes)
    if prepared.text is None:
        return dataset, sizes, None
    text = prepare_text(prepared.store, settings.text_encoder)
    if text is None:
        raise ValueError("the text of a prepared store is gone")
    series = {**dataset.series, Modality.TEXT: text.series}
    sizes[Modality.TEXT] = text.size
    costs = measure_costs(series, dataset.rows, {Modality.TEXT: text.step_cost})
    return replace(dataset, series=series, costs=costs), sizes, text
