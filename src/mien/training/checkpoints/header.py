"""The header of a checkpoint: one strict model, by which every reader takes it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    model_validator,
)

from mien.config import LARGEST_SEED
from mien.errors import CheckpointError, ConfigError
from mien.evaluation.conformal import Calibration
from mien.evaluation.probabilities.target_calibration import TargetCalibration
from mien.files.reading import show
from mien.training.checkpoints.checkpoint import read_header
from mien.training.settings import ExperimentConfig, read_stored_config
from mien.types import Modality, Scale, Target

__all__ = [
    "Header",
    "SeriesFacts",
    "check_header",
    "complete_settings",
    "describe_settings",
    "open_header",
]

_LARGEST = 1_000_000  # of a size, and of the names of features
_MOST_MEMBERS = 100  # of an ensemble
#: A name of one line, and a text of several; neither has characters that steer a terminal.
_Name = Annotated[str, Field(max_length=1_000, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
_Text = Annotated[
    str, Field(max_length=100_000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")
]
_Size = Annotated[int, Field(ge=1, le=_LARGEST)]
_End = Annotated[FiniteFloat, Field(ge=-1e9, le=1e9)]
_Seed = Annotated[int, Field(strict=True, ge=0, le=LARGEST_SEED)]


class _Facts(BaseModel):
    """Ignores fields that it does not know: those of other versions."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class SeriesFacts(_Facts):
    """What the header holds of a series of the store of the training.

    A field that a header lacks, as those of earlier versions may, is None.

    Attributes:
        size: Values per step.
        extractor: What made them.
        step_seconds: Time from one step to the next.
        feature_names: Name of each value.
    """

    size: _Size | None = None
    extractor: _Name | None = None
    step_seconds: Annotated[FiniteFloat, Field(gt=0)] | None = None
    feature_names: Annotated[tuple[_Name, ...], Field(max_length=_LARGEST)] | None = None

    @model_validator(mode="after")
    def _compare_names(self) -> "SeriesFacts":
        names = self.feature_names
        if names is not None and self.size is not None and len(names) != self.size:
            raise ValueError(f"has {len(names)} feature_names and a size of {self.size}")
        return self


class _Features(_Facts):
    audio: _Name = Modality.AUDIO
    video: _Name = Modality.VIDEO


class _TextEncoder(_Facts):
    input: _Name = ""


class _Read(_Facts):
    features: _Features = _Features()
    text_encoder: _TextEncoder = _TextEncoder()


class Header(_Facts):
    """The header of a checkpoint: what it was trained on, and how.

    Attributes:
        format: Version of the layout: 2 of an ensemble, 1 of a single network.
        config: The settings of the training, which ``read_config`` checks.
        read: What ``series_names`` needs of them, of whatever version they are.
        corpus: Name of the corpus.
        language: ISO 639-1 code of its transcripts.
        scale: Range of its annotations.
        sizes: Size of an input feature of each modality; for text, of a state.
        series: The series of its store, by name.
        extraction: Settings of the extraction of its series; None if they came from elsewhere.
        text_encoder: Name of the text encoder; None if no text was encoded.
        text_encoder_fingerprint: SHA-256 of its weights.
        text_prefix: How texts began; None in headers of the time when the encoder decided it.
        init: SHA-256 of the weights that the training started from; None if there were none.
        videos: Names of the videos of the training.
        video_hashes: Hashes in the place of very many names.
        videos_of_init: Whether those of all weights before are among them.
        calibration: Widths of intervals; None in headers of the time before there were any.
        calibration_alone: The same of clips that are read without a baseline of their speaker,
            by a model that was trained with them; None for others.
        target_calibration: What validation clips say of each target, by its name; none in headers
            of the time before sets of classes.
        target_calibration_alone: As ``calibration_alone``.
        usual_baseline: Against whom a model that was trained with baselines reads if nothing is
            chosen: utterances of a recording against each other, clips against their speakers'; or
            nobody.
        targets: What the model predicts besides sentiment.
        has_sentiment: Whether it predicts sentiment.
        ensemble: Seeds of the networks of an ensemble; none of a single network.
        averaged: Seeds of the networks whose mean of weights it is; none of a single training.
        name: What the model is called; empty stands for the name of the file.
        licence: Under which licence the weights are.
    """

    format: Literal[1, 2] = 1
    config: dict[str, Any]
    read: _Read = Field(validation_alias=AliasPath("config"))
    corpus: _Name
    language: _Name
    scale: tuple[_End, _End] | None = None
    sizes: Annotated[dict[Modality, _Size], Field(min_length=1)]
    series: dict[str, SeriesFacts] = {}
    extraction: dict[str, Any] | None = None
    text_encoder: _Name | None
    text_encoder_fingerprint: _Name | None
    text_prefix: _Text | None = None
    init: _Name | None = None
    videos: tuple[str, ...] = ()
    video_hashes: tuple[str, ...] = ()
    videos_of_init: bool = False
    calibration: Calibration | None = None
    calibration_alone: Calibration | None = None
    target_calibration: dict[str, TargetCalibration] = {}
    target_calibration_alone: dict[str, TargetCalibration] = {}
    usual_baseline: Literal["recording", "none"] = "recording"
    targets: tuple[Target, ...] = ()
    has_sentiment: bool = True
    ensemble: Annotated[tuple[_Seed, ...], Field(max_length=_MOST_MEMBERS)] = ()
    averaged: Annotated[tuple[_Seed, ...], Field(max_length=_MOST_MEMBERS)] = ()
    name: _Name = ""
    licence: _Text = ""

    @model_validator(mode="after")
    def _order_scale(self) -> "Header":
        if self.scale is not None and not self.scale[0] < self.scale[1]:
            raise ValueError(f"scale is {list(self.scale)}, must be [LOW, HIGH]")
        return self

    @model_validator(mode="after")
    def _count_members(self) -> "Header":
        if (self.format == 2) != bool(self.ensemble):
            raise ValueError(f"format is {self.format}, and ensemble is {list(self.ensemble)}")
        if self.ensemble and len(set(self.ensemble)) < max(2, len(self.ensemble)):
            raise ValueError(f"ensemble is {list(self.ensemble)}, must be two seeds or more")
        return self

    def given(self) -> dict[str, Any]:
        """Return the fields that the file has, by name."""
        return {name: getattr(self, name) for name in self.model_fields_set}

    @property
    def words_language(self) -> str | None:
        """ISO 639-1 code of the words that the model reads or is aligned to; None without any."""
        is_aligned = (self.extraction or {}).get("align") == "words"
        return self.language if Modality.TEXT in self.sizes or is_aligned else None

    def series_names(self) -> dict[Modality, str]:
        """Return which series the training read; a text that an encoder reads is none."""
        names = {Modality.AUDIO: self.read.features.audio, Modality.VIDEO: self.read.features.video}
        if self.read.text_encoder.input == "embeddings":
            names[Modality.TEXT] = str(Modality.TEXT)
        return names

    def calibrations(
        self, *, alone: bool
    ) -> tuple[Calibration | None, Mapping[str, TargetCalibration]]:
        """Return widths of intervals, and what validation says of each target.

        Args:
            alone: Whether clips are read without a baseline of their speaker, by a model that was
                trained with them.
        """
        return (
            (self.calibration_alone if alone else None) or self.calibration,
            (self.target_calibration_alone if alone else {}) or self.target_calibration,
        )

    def read_config(self, checkpoint: Path, **changes: object) -> ExperimentConfig:
        """Return the settings of the training.

        Args:
            checkpoint: Named in errors.
            changes: Settings that take the place of those of the file.

        Raises:
            CheckpointError: If this version of mien does not take them.
        """
        try:
            return read_stored_config({**self.config, **changes})
        except ConfigError as error:
            raise CheckpointError(
                f"{checkpoint}: was trained with settings that this version of mien does not take: "
                f"{error}"
            ) from error

    def read_scale(self, checkpoint: Path) -> Scale:
        """Return the range of the scores.

        Raises:
            CheckpointError: If the header lacks it.
        """
        if self.scale is None:
            raise CheckpointError(f"{checkpoint}: its header lacks 'scale'; {_HINT}")
        return Scale(*self.scale)


def describe_settings(config: ExperimentConfig) -> dict[str, Any]:
    """Return the settings as a header holds them: those that the weights depend on."""
    settings = config.model_dump(mode="json", exclude_none=True)
    left_out = ("seeds", "device", "threads")
    settings["train"] = {k: v for k, v in settings["train"].items() if k not in left_out}
    return settings


def complete_settings(values: object) -> object:
    """Return the settings of a header with those that an earlier version did not have yet.

    What this version does not take is returned as it is.
    """
    if not isinstance(values, Mapping):
        return values
    try:
        return describe_settings(read_stored_config(values))
    except ConfigError:
        return values


_HINT = "is it damaged, or of another version of mien?"


def open_header(checkpoint: Path) -> Header:
    """Read the header of a checkpoint.

    Raises:
        CheckpointError: If the file is not there, is damaged, is not a checkpoint of mien, or has
            an impossible value in its header.
    """
    return check_header(read_header(checkpoint), checkpoint)


def check_header(values: Mapping[str, Any], checkpoint: Path) -> Header:
    """Check the header of a checkpoint.

    Args:
        values: The header, as JSON holds it.
        checkpoint: Named in errors.

    Raises:
        CheckpointError: One sentence for the first thing that is wrong.
    """
    try:
        return Header.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    name = show(".".join(str(part) for part in first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        raise CheckpointError(f"{checkpoint}: its header lacks {name}; {_HINT}")
    if first["type"] == "value_error":
        where = f" {name}" if first["loc"] else ""
        raise CheckpointError(f"{checkpoint}: its header{where}: {message}; {_HINT}")
    raise CheckpointError(
        f"{checkpoint}: its header has {show(first['input'])} for {name}: {message}; {_HINT}"
    )
