"""What an extractor is: begun for one clip, fed as the recording is decoded, and finished."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, UInt8

from mien.errors import ConfigError
from mien.extraction.media.segments import Source
from mien.types import Modality

__all__ = [
    "AudioExtractor",
    "AudioStream",
    "ExtractorEntry",
    "Features",
    "FileExtractor",
    "FrameStream",
    "Source",
    "VideoExtractor",
    "refuse_settings",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What an extractor made of one clip.

    Attributes:
        values: Features of each step, finite; no step if the clip does not have the modality.
        times: Centre of each step, in seconds from the start of the clip, increasing.
        notes: What a person should know of how they came about: share of frames with a face,
            which of several faces was followed.
    """

    values: Float32[np.ndarray, "T D"]
    times: Float[np.ndarray, " T"]
    notes: dict[str, float | int | str]


@runtime_checkable
class AudioStream(Protocol):
    """One clip's audio on its way to features."""

    def feed(self, samples: Float32[np.ndarray, " S"]) -> None:
        """Take the next samples: mono, -1 to 1, at the extractor's rate."""
        ...

    def finish(self) -> Features:
        """Return the features of all that was fed; however it was cut, they are the same."""
        ...


@runtime_checkable
class FrameStream(Protocol):
    """One clip's frames on their way to features."""

    def feed(self, image: UInt8[np.ndarray, "H W 3"], time: float) -> None:
        """Take the next frame: RGB, upright; ``time`` in seconds from the start of the clip."""
        ...

    def finish(self) -> Features:
        """Return the features of all that was fed."""
        ...


@runtime_checkable
class AudioExtractor(Protocol):
    """Makes features of what is heard.

    Building one loads its model, once per process; it holds nothing of a clip.

    Attributes:
        name: With its version: ``librosa-sims/1``.
        feature_names: One name per value.
        step_seconds: Time from one step to the next; None if steps are not evenly spaced.
        rate_hertz: Samples a second that it wants.
    """

    name: str
    feature_names: tuple[str, ...]
    step_seconds: float | None
    rate_hertz: int

    def begin(self, source: Source) -> AudioStream:
        """Begin a clip."""
        ...


@runtime_checkable
class VideoExtractor(Protocol):
    """Makes features of what is seen.

    Attributes:
        name: With its version: ``face/1``.
        feature_names: One name per value.
        step_seconds: Time from one step to the next; None if steps are not evenly spaced.
        frame_rate: Frames a second that it wants; None for every frame of the recording.
    """

    name: str
    feature_names: tuple[str, ...]
    step_seconds: float | None
    frame_rate: float | None

    def begin(self, source: Source) -> FrameStream:
        """Begin a clip."""
        ...


@runtime_checkable
class FileExtractor(Protocol):
    """Makes features of a recording by itself, without our decoder: an outside program.

    Attributes:
        name: With its version: ``openface-709/1``.
        feature_names: One name per value.
        step_seconds: Time from one step to the next; None if steps are not evenly spaced.
    """

    name: str
    feature_names: tuple[str, ...]
    step_seconds: float | None

    def extract(self, source: Source) -> Features:
        """Return the features of a clip."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractorEntry:
    """An extractor that can be chosen by name.

    Attributes:
        modality: What it makes features of.
        summary: What it is, in a few words, with its licence where that restricts its use.
        build: Makes it from the settings after its name (``openface-709/1:PROGRAM``), if any;
            heavy imports happen here, and an AssetError or ConfigError says what to install.
    """

    modality: Modality
    summary: str
    build: Callable[[str], AudioExtractor | VideoExtractor | FileExtractor]


def refuse_settings(name: str, settings: str) -> None:
    """Check that an extractor without settings is given none.

    Raises:
        ConfigError: If it is.
    """
    if settings:
        raise ConfigError(f"{name} takes no settings, found {settings!r}; write {name}")
