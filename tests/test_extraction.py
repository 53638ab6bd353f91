import csv
import json
import os
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import fake_extractors
import numpy as np
import pytest

from mien.clipwork import ExtractionSettings, find_extractor
from mien.corpora.recordings import read_recordings
from mien.errors import ConfigError, ExtractionError, StoreError
from mien.extraction import extract
from mien.store import open_store
from mien.types import Modality, Word

HEARD = ExtractionSettings(audio="loudness/2", text="none")


@pytest.fixture(autouse=True, scope="module")
def _fakes():
    remove = fake_extractors.register()
    yield
    remove()


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


def test_features_of_every_clip_are_in_the_store_with_their_times(tmp_path):
    source = write_folder(tmp_path / "raw", "a", "b")
    store = run(source, tmp_path / "store").store
    series = store.series("audio")
    assert [clip.id for clip in store.clips] == ["a$_$1", "b$_$1"]
    assert series.lengths.tolist() == [5, 6]
    np.testing.assert_allclose(series.times[:5], [0.05, 0.15, 0.25, 0.35, 0.45])
    with wave.open(str(source / "a.wav")) as file:
        samples = np.frombuffer(file.readframes(800), "<i2") / 32768
    np.testing.assert_allclose(series[0][0], [samples.std(), np.abs(samples).max()], rtol=1e-3)
    assert store.meta.series["audio"].feature_names == ("rms", "peak")
    assert store.meta.series["audio"].step_seconds == 0.1
    assert not (tmp_path / "store.extracting").exists()
