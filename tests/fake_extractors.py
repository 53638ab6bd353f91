"""Extractors that are quick and do what a test wants; run as a program, a worker that knows them.

What a clip does is said by the name of its recording: ``hang-1.wav`` hangs, ``crash`` ends the
process, ``bug`` raises, ``full`` finds the disk full, ``memory`` finds no memory, ``quiet`` has no
steps, ``nan`` is not finite, ``slow`` takes its time, ``once`` ends the process the first time.
"""

import ctypes
import errno
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from mien.extraction.extractors import EXTRACTORS, ExtractorEntry, Features
from mien.types import Modality

#: Command that starts such a worker.
WORKER = (sys.executable, __file__)
#: Name of a folder from which ``slow`` takes its seconds.
SLOW = "MIEN_TEST_SLOW"


class Loudness:
    """Two values for every tenth of a second: root mean square and largest sample."""

    name = "loudness/2"
    feature_names = ("rms", "peak")
    step_seconds = 0.1
    rate_hertz = 8000

    def begin(self, source):
        return LoudnessStream(source)


class LoudnessStream:
    def __init__(self, source):
        self.name = Path(source.path).stem
        self.samples = []
        misbehave(source.path)

    def feed(self, samples):
        self.samples.append(samples)

    def finish(self):
        samples = np.concatenate([*self.samples, np.zeros(0, np.float32)])
        steps = samples[: len(samples) // 800 * 800].reshape(-1, 800)
        if "quiet" in self.name:
            steps = steps[:0]
        rms = np.sqrt((steps.astype(np.float64) ** 2).mean(axis=1))
        peak = np.abs(steps).max(axis=1, initial=0)
        values = np.stack([rms, peak], axis=1).astype(np.float32)
        if "nan" in self.name:
            values[1] = np.nan
        times = (np.arange(len(steps)) + 0.5) * 0.1
        return Features(values=values, times=times, notes={"loudest": float(values.max(initial=0))})


class Colour:
    """Mean red, green and blue, five times a second; dark frames are absent."""

    name = "colour/1"
    feature_names = ("red", "green", "blue")
    step_seconds = 0.2
    frame_rate = 5.0

    def begin(self, source):  # noqa: ARG002
        return ColourStream()


class ColourStream:
    def __init__(self):
        self.values, self.times = [], []

    def feed(self, image, time):
        if image.max() > 40:
            self.values.append(image.mean(axis=(0, 1)) / 255)
            self.times.append(time)

    def finish(self):
        values = np.array(self.values, np.float32).reshape(-1, 3)
        return Features(values=values, times=np.array(self.times, np.float64), notes={})


class NameLength:
    """One value of the file itself, as an outside program would make it."""

    name = "name-length/1"
    feature_names = ("length",)
    step_seconds = None

    def extract(self, source):
        values = np.array([[len(source.path.name)]], np.float32)
        return Features(values=values, times=np.zeros(1), notes={})


def misbehave(path):
    name = path.stem
    if "hang" in name:
        ctypes.PyDLL(None).sleep(600)  # native, and does not let go of the interpreter
    if "crash" in name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "once" in name and not (mark := path.with_suffix(".mark")).exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if "bug" in name:
        raise ZeroDivisionError("a defect")
    if "full" in name:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if "memory" in name:
        raise MemoryError
    time.sleep(float(os.environ.get(SLOW, "0")))


def register():
    """Add the fakes to the table of extractors; returns what takes them out again."""
    fakes = {
        "loudness/1": ExtractorEntry(modality=Modality.AUDIO, summary="old", build=lambda _: None),
        "loudness/2": ExtractorEntry(
            modality=Modality.AUDIO, summary="loudness", build=lambda _: Loudness()
        ),
        "colour/1": ExtractorEntry(
            modality=Modality.VIDEO, summary="colour", build=lambda _: Colour()
        ),
        "name-length/1": ExtractorEntry(
            modality=Modality.VIDEO, summary="name", build=lambda _: NameLength()
        ),
    }
    EXTRACTORS.update(fakes)

    def remove():
        for name in fakes:
            EXTRACTORS.pop(name, None)

    return remove


if __name__ == "__main__":
    from mien.extraction.processes.worker import main

    register()
    sys.exit(main())
