"""One run as a value: it joins the settings that the modules define."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from mien.config import Settings, apply_overrides, read_settings, read_toml
from mien.data.text_settings import TextEncoderConfig
from mien.errors import ConfigError
from mien.labels.generator import LabelsConfig
from mien.models import ModelConfig
from mien.models.tam_ulag import TamUlagConfig
from mien.training.loop import TrainConfig

__all__ = [
    "ExperimentConfig",
    "FeaturesConfig",
    "describe_configs",
    "list_configs",
    "read_config",
]

_CONFIGS = Path(__file__).parents[1] / "configs"


class FeaturesConfig(Settings):
    """Which series of the store are used.

    Attributes:
        audio: Name of the series for audio; ``none`` leaves it out.
        video: Name of the series for video; ``none`` leaves it out.
        max_steps: Longer series are cut to this many steps; 0 for no limit.
    """

    audio: str = "audio"
    video: str = "video"
    max_steps: int = Field(0, ge=0)


class ExperimentConfig(Settings):
    """All settings of a run.

    Attributes:
        corpus: Corpus that the settings are meant for; a store of another one is refused.
        features: Which series are used.
        text_encoder: Where the states of the text come from.
        model: The network.
        labels: How the unimodal tasks get their labels.
        train: How it is trained.
    """

    corpus: str | None = None
    features: FeaturesConfig = FeaturesConfig()
    text_encoder: TextEncoderConfig = TextEncoderConfig()
    model: ModelConfig = TamUlagConfig()
    labels: LabelsConfig = LabelsConfig()
    train: TrainConfig = TrainConfig()


def list_configs() -> tuple[str, ...]:
    """Return the names of the settings that come with the package."""
    return tuple(sorted(path.stem for path in _CONFIGS.glob("*.toml")))


def describe_configs() -> dict[str, str]:
    """Return, by name, what the comment at the top of each shipped file says of it."""
    described = {}
    for name in list_configs():
        lines = (_CONFIGS / f"{name}.toml").read_text(encoding="utf-8").splitlines()
        top = [line.removeprefix("#").strip() for line in lines[: lines.index("")]]
        described[name] = " ".join(top).partition(". ")[0].rstrip(".")
    return described


def read_config(source: str | Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read settings from a file, or by the name of one that comes with the package.

    Args:
        source: Path of a TOML file, or a name that ``list_configs`` gives.
        overrides: ``SECTION.SETTING=VALUE``, as ``--set`` takes them.

    Raises:
        ConfigError: If there is no such file, or a setting is wrong.
    """
    path = Path(source)
    if not path.is_file():
        path = _CONFIGS / f"{source}.toml"
        if not path.is_file():
            raise ConfigError(
                f"{str(source)!r} is neither a file nor a known configuration; there are: "
                f"{', '.join(list_configs())}"
            )
    return read_settings(ExperimentConfig, apply_overrides(read_toml(path), overrides))
