"""Whether the clips of a store are read against their speakers: what a model can, and as a rule."""

from pathlib import Path
from typing import Literal

from mien.errors import ConfigError
from mien.training.checkpoints.header import Header
from mien.training.settings import ExperimentConfig

__all__ = ["BaselineUse", "find_use", "reads_speakers", "without_baselines"]

#: Whether the clips of a store are read against the other clips of their speakers.
BaselineUse = Literal["none", "speaker"]


def find_use(
    checkpoint: Path, header: Header, config: ExperimentConfig, given: BaselineUse | None
) -> BaselineUse | None:
    """Return whether a model reads the clips of a store against their speakers.

    Args:
        checkpoint: The model, for the message.
        header: Its header, which says what it does as a rule.
        config: The settings of its training.
        given: What was chosen; None for what it does as a rule.

    Returns:
        None of a model that was trained without baselines.

    Raises:
        ConfigError: If something is chosen for such a model.
    """
    if config.features.standardise == "train":
        reads_speakers(config, checkpoint, given)
        return None
    return given or ("none" if header.usual_baseline == "none" else "speaker")


def reads_speakers(config: ExperimentConfig, trained: Path, baseline: str | None) -> bool:
    """Return whether clips are read against a baseline of their speakers.

    Args:
        config: The settings of the training.
        trained: The model, for the message.
        baseline: What was chosen: ``none``, another choice, or None for that of the training.

    Raises:
        ConfigError: If something is chosen for a model that was trained without baselines.
    """
    if config.features.standardise == "speaker":
        return baseline != "none"
    if baseline is not None:
        raise ConfigError(
            f"{trained}: was trained without baselines of speakers (features.standardise=train) "
            "and reads everybody alike; leave --baseline out"
        )
    return False


def without_baselines(config: ExperimentConfig) -> ExperimentConfig:
    """Return settings by which everybody is read alike."""
    features = config.features.model_copy(update={"standardise": "train"})
    return config.model_copy(update={"features": features})
