"""Sounds made for extraction, and an extraction with extractors that need no package."""

import wave

import fake_extractors
import numpy as np

from mien.corpora.recordings import read_recordings
from mien.extraction.clip import ExtractionSettings
from mien.extraction.pipeline import extract

HEARD = ExtractionSettings(audio="loudness/2", text="none")


def write_sound(path, *, seconds=0.5, seed=1, rate=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).normal(scale=0.1, size=int(seconds * rate))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((values.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return path


def write_folder(folder, *names):
    for number, name in enumerate(names):
        write_sound(folder / f"{name}.wav", seconds=0.5 + 0.1 * number, seed=number)
    return folder


def run(source, out, settings=HEARD, **options):
    recordings = read_recordings(source, name="own", language="en", scale=None)
    options = {"jobs": 1, "worker": fake_extractors.WORKER} | options
    return extract(recordings, out, settings, **options)


def bytes_of(folder):
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
