"""The last hidden states of pretrained speech encoders: Whisper, wav2vec 2.0, HuBERT, WavLM."""

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32

from mien.errors import AssetError, ConfigError, require
from mien.extraction.extractors.protocols import AudioExtractor, refuse_settings
from mien.extraction.extractors.windows import Analysis, AudioWindow, Windowing, WindowStream
from mien.extraction.media.segments import Source
from mien.files.hashing import hash_file
from mien.pretrained.assets import find_asset
from mien.pretrained.transformers_models import cannot_load, load_model, load_part

__all__ = [
    "WINDOW_SECONDS",
    "TransformersEncoder",
    "WhisperEncoder",
    "build_wav2vec2",
    "build_whisper_base",
    "build_whisper_base_short",
    "build_whisper_tiny_en",
    "build_whisper_tiny_en_short",
]

#: Seconds of sound that are encoded at a time.
WINDOW_SECONDS = 30
#: To a multiple of what short sound is filled up, with how much silence at least.
_SHORT, _LEAST_SILENCE = 5 * 16000, 8000
#: What only training uses, and published files may lack.
_UNUSED = frozenset({"masked_spec_embed"})


class WhisperEncoder:
    """What Whisper's encoder makes of sound, 50 steps a second.

    Sound is encoded in windows of 30 seconds, as Whisper was trained: the last one is filled up
    with silence, whose steps are not returned. Step k covers the samples from 320 k to 320 k + 320
    at 16 kHz; a last step that is not full is there too. Computed in 32-bit floats on one thread,
    whatever the weights are stored in, so that results do not depend on the processor's 8-bit
    instructions. The last window is kept: a recogniser that hears the same sound reads it too.

    ``short``: sound is filled up with silence to a multiple of 5 seconds alone, half a second at
    least. A clip of 4 seconds takes about a tenth of the time, and its states are others: those of
    Whisper depend on the silence behind the sound.

    Source: radford2023.

    Args:
        asset: The model, by the name of the asset.
        windows: How long a window is.

    Attributes:
        asset: The model, if its decoder reads these states; empty for those of short windows.
    """

    rate_hertz = 16000
    step_seconds: float | None = 0.02

    def __init__(self, asset: str, windows: Literal["full", "short"] = "full") -> None:
        require("faster_whisper", extra="extract")
        folder = find_asset(asset)
        from mien.extraction.extractors.whisper import SoundEncoder

        self._model = SoundEncoder(folder)
        is_short = windows == "short"
        self.name = f"{asset}-short/1" if is_short else f"{asset}/1"
        self.asset = "" if is_short else asset
        self._multiple = _SHORT if is_short else WINDOW_SECONDS * self.rate_hertz
        self._sound: Float32[np.ndarray, " _"] | None = None
        self._encoded: Any = None
        states = self._model.encode_sound(np.zeros(320, np.float32), 320)  # for their size
        self.feature_names = _name_states(np.asarray(states).shape[2])

    def begin(self, source: Source) -> WindowStream:
        """Begin a clip."""
        return WindowStream(
            Windowing(hop=WINDOW_SECONDS * self.rate_hertz),
            self._analyse,
            source=source,
            name=self.name,
            size=len(self.feature_names),
            rate_hertz=self.rate_hertz,
        )

    def encode(self, samples: Float32[np.ndarray, " S"]) -> Any:  # noqa: ANN401  no types
        """Return the states of a window in the form in which Whisper's decoder reads them.

        Args:
            samples: At most 30 seconds, at 16 kHz.
        """
        if self._sound is None or not np.array_equal(samples, self._sound):
            self._encoded = self._model.encode_sound(samples, self._fill(samples.size))
            self._sound = samples.copy()
        return self._encoded

    def _fill(self, size: int) -> int:
        """Return how many samples a window of so many has with the silence behind it."""
        num_multiples = -(-(size + _LEAST_SILENCE) // self._multiple)
        return min(num_multiples * self._multiple, WINDOW_SECONDS * self.rate_hertz)

    def _analyse(self, window: AudioWindow) -> Analysis:
        num_steps = -(-window.samples.size // 320)
        states = np.asarray(self.encode(window.samples))[0, :num_steps]
        centres = window.begin + 320 * np.arange(num_steps) + 160.0
        return Analysis(states, centres / self.rate_hertz)


class TransformersEncoder:
    """What a wav2vec 2.0, HuBERT or WavLM model of transformers makes of sound.

    These encoders take the raw wave through convolutions; the step and the samples that it sees
    (20 ms and 25 ms for the published ones) are read from the model's settings, the rate and
    whether sound is brought to unit variance from its preprocessor. Sound is encoded in windows
    of 30 seconds, whose steps lie on one grid.

    Source: baevski2020.

    Args:
        model: A local folder in the layout of transformers, or a name on a model hub.
    """

    def __init__(self, model: str) -> None:
        require("torch", "transformers", extra="extract")
        folder = Path(model).expanduser()
        source = folder if folder.is_dir() else model
        self._prepare = load_part(source, "AutoFeatureExtractor", "audio encoder")
        self._model = _load_model(source)
        settings = self._model.config
        strides = getattr(settings, "conv_stride", None)
        kernels = getattr(settings, "conv_kernel", None)
        if not strides or not kernels:
            raise AssetError(
                f"audio encoder {model!r} is a {settings.model_type} model; expected one that "
                "takes the raw waveform through convolutions: wav2vec2, hubert, wavlm"
            )
        self._step, self._seen = 1, 1  # samples from step to step, and that a step sees
        for stride, kernel in zip(strides, kernels, strict=True):
            self._seen += (kernel - 1) * self._step
            self._step *= stride
        self.rate_hertz = int(self._prepare.sampling_rate)
        self.step_seconds: float | None = self._step / self.rate_hertz
        self.name = f"wav2vec2/1:{_identify(source)}"
        self.feature_names = _name_states(int(settings.hidden_size))

    def begin(self, source: Source) -> WindowStream:
        """Begin a clip."""
        num_steps = WINDOW_SECONDS * self.rate_hertz // self._step
        return WindowStream(
            Windowing(hop=num_steps * self._step, after=self._seen - self._step, least=self._seen),
            self._analyse,
            source=source,
            name=self.name,
            size=len(self.feature_names),
            rate_hertz=self.rate_hertz,
        )

    def _analyse(self, window: AudioWindow) -> Analysis:
        import torch

        prepared = self._prepare(
            window.samples, sampling_rate=self.rate_hertz, return_tensors="pt", padding=False
        )
        with torch.inference_mode():
            states = self._model(prepared.input_values).last_hidden_state[0].numpy()
        centres = window.begin + self._step * np.arange(len(states)) + self._seen / 2
        return Analysis(states, centres / self.rate_hertz)


def _load_model(source: Path | str) -> Any:  # noqa: ANN401  transformers has no types
    """Load an encoder with all of its weights, in float32."""
    model, missing = load_model(source, "audio encoder")
    lacking = [name for name in missing if name not in _UNUSED]
    if lacking:  # transformers would go on with random ones
        reason = f"weights are missing: {', '.join(lacking[:3])}"
        raise cannot_load(source, "audio encoder", reason)
    return model.eval()


def _identify(source: Path | str) -> str:
    """Return a hub's name as it is; for a folder its name and what its files are."""
    if isinstance(source, str):
        return source
    digest = hashlib.sha256()
    for path in sorted(source.iterdir()):
        if path.suffix in {".json", ".safetensors", ".bin"}:
            digest.update(bytes.fromhex(hash_file(path, AssetError)))
    return f"{source.resolve().name}@{digest.hexdigest()[:12]}"


def _name_states(size: int) -> tuple[str, ...]:
    return tuple(f"state_{number}" for number in range(size))


def build_whisper_tiny_en(settings: str) -> AudioExtractor:
    """Build ``whisper-tiny-en/1``."""
    refuse_settings("whisper-tiny-en/1", settings)
    return WhisperEncoder("whisper-tiny-en")


def build_whisper_base(settings: str) -> AudioExtractor:
    """Build ``whisper-base/1``."""
    refuse_settings("whisper-base/1", settings)
    return WhisperEncoder("whisper-base")


def build_whisper_tiny_en_short(settings: str) -> AudioExtractor:
    """Build ``whisper-tiny-en-short/1``."""
    refuse_settings("whisper-tiny-en-short/1", settings)
    return WhisperEncoder("whisper-tiny-en", "short")


def build_whisper_base_short(settings: str) -> AudioExtractor:
    """Build ``whisper-base-short/1``."""
    refuse_settings("whisper-base-short/1", settings)
    return WhisperEncoder("whisper-base", "short")


def build_wav2vec2(settings: str) -> AudioExtractor:
    """Build ``wav2vec2/1`` from a folder or the name of a model on a hub."""
    if not settings:
        raise ConfigError(
            "wav2vec2/1 needs a model: write wav2vec2/1:FOLDER, or wav2vec2/1:NAME for one on a "
            "model hub"
        )
    return TransformersEncoder(settings)
