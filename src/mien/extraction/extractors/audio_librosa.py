"""The 33 published acoustic values of CH-SIMS, by librosa."""

import contextlib
import logging
import warnings
from functools import cache

import numpy as np
from filelock import FileLock
from jaxtyping import Float, Float32

from mien.errors import require
from mien.extraction.extractors.protocols import AudioExtractor, refuse_settings
from mien.extraction.extractors.windows import Analysis, AudioWindow, Windowing, WindowStream
from mien.extraction.media.segments import Source
from mien.files.user_folders import data_folder

__all__ = ["WINDOW_STEPS", "LibrosaSims", "build_librosa_sims", "compile_librosa", "compute_values"]

logger = logging.getLogger(__name__)

_HOP = 512
_FRAME = 2048
#: Steps of a window, five minutes; and those that it overlaps with its neighbours, 1.5 seconds:
#: the longest filter of the constant-Q transform reaches 0.8 seconds to either side.
WINDOW_STEPS, _OVERLAP = 12920, 64
_PITCHES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
#: What librosa says of clips that are short or silent; both are handled as they should be.
_WARNINGS = ("n_fft=.* is too large for input signal", "Trying to estimate tuning from empty")


class LibrosaSims:
    """Zero-crossing rate, 20 MFCC and 12 chroma values, every 512 samples at 22.05 kHz.

    The values are those of ``librosa.feature.zero_crossing_rate``, ``mfcc`` (``n_mfcc=20``,
    ``htk=True``) and ``chroma_cqt`` on the full clip, with all other arguments at their defaults:
    the rate is a share of samples, the cepstral coefficients are in dB, and chroma is relative to
    the strongest pitch class of the step. Step k is centred at sample 512 k.

    Recordings longer than five minutes are analysed in consecutive windows of five minutes which
    overlap by three seconds. At the seams nothing is cut off; but what librosa takes from the
    whole signal (the tuning, and the floor of the MFCC 80 dB below the loudest) it takes from the
    window.

    Source: yu2020.
    """

    name = "librosa-sims/1"
    feature_names: tuple[str, ...] = (
        "zero_crossing_rate",
        *(f"mfcc_{number}" for number in range(20)),
        *(f"chroma_{pitch}" for pitch in _PITCHES),
    )
    step_seconds: float | None = _HOP / 22050
    rate_hertz = 22050

    def __init__(self) -> None:
        require("librosa", extra="extract")

    def begin(self, source: Source) -> WindowStream:
        """Begin a clip."""
        return WindowStream(
            Windowing(
                hop=WINDOW_STEPS * _HOP, before=_OVERLAP * _HOP, after=_OVERLAP * _HOP, least=_FRAME
            ),
            self._analyse,
            source=source,
            name=self.name,
            size=len(self.feature_names),
            rate_hertz=self.rate_hertz,
        )

    def _analyse(self, window: AudioWindow) -> Analysis:
        with warnings.catch_warnings():
            for message in _WARNINGS:
                warnings.filterwarnings("ignore", message, UserWarning)
            compile_librosa(self.rate_hertz)
            values = compute_values(window.samples, self.rate_hertz)
        first = (window.begin - window.first) // _HOP
        num_steps = None if window.end is None else (window.end - window.begin) // _HOP
        values = values[first:][:num_steps]
        times = (window.begin + _HOP * np.arange(len(values))) / self.rate_hertz
        return Analysis(values, times)


@cache
def compile_librosa(rate: int) -> None:
    """Have librosa compile what it needs while no other process does, once in each process.

    numba keeps what it compiles beside librosa. Two processes that do so at once leave files there
    that do not belong together, and every later process that reads them ends by a segmentation
    fault.
    """
    lock = data_folder() / ".librosa.lock"
    with contextlib.ExitStack() as stack:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(lock))
        except OSError as error:
            logger.warning("%s: cannot be locked (%s); run one process first", lock, error)
        compute_values(np.sin(np.arange(rate, dtype=np.float32) / 20), rate)


def compute_values(samples: Float32[np.ndarray, " S"], rate: int) -> Float[np.ndarray, "T 33"]:
    """Return the 33 values of each step: zero-crossing rate, MFCC, chroma."""
    from librosa import feature

    return np.concatenate(
        [
            feature.zero_crossing_rate(samples, hop_length=_HOP),
            feature.mfcc(y=samples, sr=rate, n_mfcc=20, htk=True, hop_length=_HOP),
            feature.chroma_cqt(y=samples, sr=rate, hop_length=_HOP),
        ]
    ).T


def build_librosa_sims(settings: str) -> AudioExtractor:
    """Build ``librosa-sims/1``."""
    refuse_settings(LibrosaSims.name, settings)
    return LibrosaSims()
