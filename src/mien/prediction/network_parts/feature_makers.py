"""What a checkpoint says of the features that a network reads: their names and their makers."""

from collections.abc import Mapping
from pathlib import Path

from mien.config import read_settings
from mien.errors import CheckpointError, ConfigError
from mien.extraction.clip import AnyExtractor, ExtractionSettings
from mien.extraction.extractors import EXTRACTORS
from mien.files.reading import show
from mien.pretrained.encoder_source import find_local_encoder, find_text_encoder
from mien.training.checkpoints.header import Header, SeriesFacts
from mien.training.settings import ExperimentConfig
from mien.types import Modality

__all__ = ["check_extractors", "name_makers", "read_extraction", "read_names", "read_steps"]


def read_extraction(checkpoint: Path, header: Header) -> ExtractionSettings | None:
    """Return how features are made; refuse extractors that are not those of the training."""
    if header.extraction is None:
        return None
    try:
        settings = read_settings(ExtractionSettings, header.extraction)
    except ConfigError as error:
        raise CheckpointError(
            f"{checkpoint}: was trained on features of an extraction that this version of mien "
            f"does not know: {error}"
        ) from error
    for modality, name in settings.extractors().items():
        if name not in EXTRACTORS:
            there = [known for known, entry in EXTRACTORS.items() if entry.modality is modality]
            raise CheckpointError(
                f"{checkpoint}: was trained on {modality} features of {show(name)}, which this "
                f"version of mien does not have (it has {', '.join(there)}); install the version "
                "that it was trained with, or train it again"
            )
    return settings.model_copy(update={"encoder": _find_encoder(settings.encoder)})


def _find_encoder(name: str) -> str:
    """Return an encoder of words; a name on a hub becomes its folder here, and asks no hub."""
    is_on_hub = bool(name) and isinstance(find_text_encoder(name), str)
    return str(find_local_encoder(name)) if is_on_hub else name


def _series_of(header: Header, config: ExperimentConfig) -> dict[Modality, SeriesFacts]:
    """Return what the checkpoint says of the series of audio and video."""
    chosen = {Modality.AUDIO: config.features.audio, Modality.VIDEO: config.features.video}
    return {m: header.series[name] for m, name in chosen.items() if name in header.series}


def read_names(header: Header, config: ExperimentConfig) -> dict[Modality, tuple[str, ...]]:
    """Return the name of each value of the modalities where they are known."""
    named = {m: series.feature_names for m, series in _series_of(header, config).items()}
    return {m: names for m, names in named.items() if names is not None}


def read_steps(header: Header, config: ExperimentConfig) -> dict[Modality, float]:
    """Return the seconds from one step to the next, of modalities whose steps are evenly spaced."""
    steps = {m: series.step_seconds for m, series in _series_of(header, config).items()}
    return {m: step for m, step in steps.items() if step is not None}


def name_makers(header: Header, config: ExperimentConfig) -> dict[Modality, str]:
    """Return what made the features of each modality, for messages."""
    made = {m: series.extractor or "" for m, series in _series_of(header, config).items()}
    text = header.series.get("text", SeriesFacts()).extractor or ""
    return {Modality.TEXT: header.text_encoder or text, **made}


def check_extractors(
    checkpoint: Path,
    names: Mapping[Modality, tuple[str, ...]],
    extractors: Mapping[Modality, AnyExtractor],
) -> None:
    """Check that extractors make the features that a network was trained on.

    Args:
        checkpoint: Its file, for messages.
        names: Name of each value of the modalities where they are known.
        extractors: What makes features.

    Raises:
        CheckpointError: If the values of one have other names.
    """
    for modality, extractor in extractors.items():
        known = names.get(modality)
        if known is not None and tuple(extractor.feature_names) != known:
            raise CheckpointError(
                f"{checkpoint}: was trained on other values of {extractor.name} than are made "
                "here; install the version of mien that it was trained with, or train it again"
            )
