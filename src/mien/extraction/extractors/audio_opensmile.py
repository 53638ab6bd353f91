"""eGeMAPS, the minimal acoustic parameter set of voice research, by openSMILE."""

import warnings
from typing import Literal

import numpy as np

from mien.errors import require
from mien.extraction.extractors.protocols import AudioExtractor, refuse_settings
from mien.extraction.extractors.windows import Analysis, AudioWindow, Windowing, WindowStream
from mien.extraction.media.segments import Source

__all__ = ["WINDOW_SIZE", "Egemaps", "build_egemaps", "build_egemaps_lld"]

_STEP = 160  # samples, 10 ms
_FRAME = 960  # the longest frame, 60 ms, in which the pitch is found
#: Samples of a window, five minutes.
WINDOW_SIZE = 300 * 16000

Level = Literal["lld", "functionals"]


class Egemaps:
    """eGeMAPS v02: 25 low-level descriptors every 10 ms, or their 88 functionals.

    The names are openSMILE's and say the units: pitch in semitones above 27.5 Hz, formants in Hz,
    loudness in sone-like units, ratios in dB. Sound is taken at 16 kHz. Functionals are one step
    per clip, at its middle.

    Recordings longer than five minutes are analysed in windows of five minutes, each on its own;
    functionals are then one step per window.

    openSMILE may be used for research and in private; its makers (audEERING) sell licences for
    other use.

    Source: eyben2016.

    Args:
        level: Which of the two.
    """

    rate_hertz = 16000

    def __init__(self, level: Level) -> None:
        require("opensmile", extra="opensmile")
        import opensmile

        self._level = level
        self._smile = opensmile.Smile(
            feature_set=opensmile.FeatureSet.eGeMAPSv02,
            feature_level=(
                opensmile.FeatureLevel.LowLevelDescriptors
                if level == "lld"
                else opensmile.FeatureLevel.Functionals
            ),
        )
        self.name = "egemaps-lld/1" if level == "lld" else "egemaps/1"
        self.feature_names = tuple(str(name) for name in self._smile.feature_names)
        self.step_seconds = _STEP / self.rate_hertz if level == "lld" else None

    def begin(self, source: Source) -> WindowStream:
        """Begin a clip."""
        return WindowStream(
            Windowing(hop=WINDOW_SIZE, after=_FRAME, least=_FRAME),
            self._analyse,
            source=source,
            name=self.name,
            size=len(self.feature_names),
            rate_hertz=self.rate_hertz,
        )

    def _analyse(self, window: AudioWindow) -> Analysis:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="(audinterface|audformat|audeer|opensmile)")
            table = self._smile.process_signal(window.samples, self.rate_hertz)
        values = np.asarray(table.values, np.float32)
        if self._level == "functionals":
            middle = window.begin + window.samples.size / 2
            return Analysis(values, np.array([middle / self.rate_hertz]))
        num_steps = None if window.end is None else (window.end - window.begin) // _STEP
        values = values[:num_steps]
        centres = window.begin + _STEP * (np.arange(len(values)) + 1.0)
        return Analysis(values, centres / self.rate_hertz)


def build_egemaps(settings: str) -> AudioExtractor:
    """Build ``egemaps/1``."""
    refuse_settings("egemaps/1", settings)
    return Egemaps("functionals")


def build_egemaps_lld(settings: str) -> AudioExtractor:
    """Build ``egemaps-lld/1``."""
    refuse_settings("egemaps-lld/1", settings)
    return Egemaps("lld")
