"""Whisper as faster-whisper runs it, on one thread; what an encoder made can be handed to it."""

import inspect
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.feature_extractor import FeatureExtractor
from faster_whisper.transcribe import get_ctranslate2_storage
from jaxtyping import Float32

from mien.errors import AssetError
from mien.files.reading import parse_json, read_limited

__all__ = ["WINDOW", "SoundEncoder", "Whisper"]

#: Samples that are encoded at a time, at 16 kHz: 30 seconds.
WINDOW = 480_000
#: Samples from one frame of the spectrum to the next.
_HOP = 160
_LARGEST_SETTINGS = 1 << 20  # bytes


class SoundEncoder:
    """The encoder of a Whisper model, in 32-bit floats.

    Its tokenizer, whose loading takes as long as the model's, is not read.

    Args:
        folder: Where the model lies, in the layout of faster-whisper.

    Raises:
        AssetError: If the settings of its spectrum are damaged.
        RuntimeError: If the model cannot be loaded.
    """

    def __init__(self, folder: Path) -> None:
        self._model = ctranslate2.models.Whisper(
            str(folder), device="cpu", compute_type="float32", intra_threads=1, inter_threads=1
        )
        self._feature_extractor = FeatureExtractor(**_read_spectrum(folder))

    def encode_sound(self, samples: Float32[np.ndarray, " S"], size: int) -> Any:  # noqa: ANN401  # ctranslate2 has no types
        """Return the states of at most 30 seconds, filled up with silence to so many samples."""
        spectrum = _spectrum(self._feature_extractor, samples, size)
        return self._model.encode(get_ctranslate2_storage(spectrum[None]))


def _read_spectrum(folder: Path) -> dict[str, Any]:
    """Return the settings of a model's spectrum, which faster-whisper reads from the same file."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return {}
    text = read_limited(path, AssetError, most=_LARGEST_SETTINGS)
    settings = parse_json(text, path, AssetError)
    if not isinstance(settings, dict):
        raise AssetError(f"{path}: must be a mapping; get the model again")
    known = inspect.signature(FeatureExtractor.__init__).parameters.keys()
    return {name: value for name, value in settings.items() if name in known}


def _spectrum(
    feature_extractor: FeatureExtractor, samples: Float32[np.ndarray, " S"], size: int
) -> Float32[np.ndarray, "_ _"]:
    filled = np.pad(samples, (0, size - samples.size))
    return np.ascontiguousarray(feature_extractor(filled)[:, : size // _HOP])


class Whisper(WhisperModel):  # type: ignore[misc]  # faster-whisper has no types
    """A Whisper model.

    Args:
        folder: Where it lies, in the layout of faster-whisper.
        compute_type: In what it computes: ``int8`` or ``float32``.
    """

    def __init__(self, folder: Path, compute_type: str) -> None:
        super().__init__(
            str(folder), device="cpu", compute_type=compute_type, cpu_threads=1, num_workers=1
        )
        self._handed: Any = None

    def encode_sound(self, samples: Float32[np.ndarray, " S"]) -> Any:  # noqa: ANN401
        """Return the states of at most 30 seconds, filled up with silence to as many."""
        return super().encode(_spectrum(self.feature_extractor, samples, WINDOW))

    def encode(self, features: Float32[np.ndarray, "_ _"]) -> Any:  # noqa: ANN401
        """Return the states of a spectrum; of the first of a transcription, those handed to it."""
        handed, self._handed = self._handed, None
        return super().encode(features) if handed is None else handed

    def detect(self, encoded: Any) -> tuple[str, float]:  # noqa: ANN401
        """Return the likeliest language of an encoded sound, and its probability."""
        token, probability = self.model.detect_language(encoded)[0][0]
        return token[2:-2], probability  # from <|en|>

    def transcribe_sound(
        self,
        samples: Float32[np.ndarray, " S"],
        encoded: Any = None,  # noqa: ANN401
        **options: Any,  # noqa: ANN401
    ) -> list[Any]:
        """Return the segments of a transcription.

        Args:
            samples: The sound.
            encoded: States of its first 30 seconds, if they are known.
            **options: Those of faster-whisper.
        """
        self._handed = encoded
        try:
            segments, _ = self.transcribe(samples, **options)
            return list(segments)
        finally:
            self._handed = None
