"""Whisper as faster-whisper runs it, on one thread; what an encoder made can be handed to it."""

from pathlib import Path
from typing import Any

import numpy as np
from faster_whisper import WhisperModel
from jaxtyping import Float32

__all__ = ["WINDOW", "Whisper"]

#: Samples that are encoded at a time, at 16 kHz: 30 seconds.
WINDOW = 480_000
#: Samples from one frame of the spectrum to the next.
_HOP = 160


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

    def encode_sound(
        self,
        samples: Float32[np.ndarray, " S"],
        size: int = WINDOW,
    ) -> Any:  # noqa: ANN401
        """Return the states of at most 30 seconds, filled up with silence to so many samples."""
        filled = np.pad(samples, (0, size - samples.size))
        spectrum = self.feature_extractor(filled)[:, : size // _HOP]
        return super().encode(np.ascontiguousarray(spectrum))

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
