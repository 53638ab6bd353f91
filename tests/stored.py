"""A few clips with all that clips can have, and what writes them into a store."""

from pathlib import Path

import numpy as np

from mien.data.store_writer import write_store
from mien.types import Clip, Corpus, Material, Modality, Scale, SeriesSource, Task

VALUES = [
    np.array([[1, 2], [3, 4]], np.float32),
    np.zeros((0, 2), np.float32),
    np.array([[5, 6]], np.float32),
]
CLIPS = (
    Clip(
        id="v$_$1",
        split="train",
        transcript="it was “good”\u2028\n闭嘴",
        labels={Task.FUSION: 0.5, Task.AUDIO: -1.0},
        start=1.5,
        end=2.5,
        media=Path("clips/1.mp4"),
        moments={Modality.AUDIO: (0, 1), Modality.TEXT: (7, 13)},
    ),
    Clip(id="v$_$2", split="test", transcript="", labels={Task.FUSION: 0.0}),
    Clip(id="w$_$1", split="train", transcript="so so", labels={Task.FUSION: 1.0}),
)


def source(values, name="audio", **facts):
    facts = {"size": 2, "dtype": "float32", "extractor": "made/1"} | facts
    return SeriesSource(name=name, read=lambda: iter(values), **facts)


def material(*series, clips=CLIPS, scale=Scale(-1, 1), **facts):  # noqa: B008
    corpus = Corpus(name="own", language="en", scale=scale, clips=tuple(clips), **facts)
    return Material(corpus=corpus, series=series, origin={"file": "label.csv"})


def write_stored(path):
    """A store of two series."""
    tokens = [np.array([[101], [7]], np.int32), np.array([[101]], np.int32), np.array([[9]])]
    return write_store(
        material(
            source(VALUES, feature_names=("f0", "loudness"), step_seconds=0.05),
            source(tokens, "tokens", size=1, dtype="int32"),
        ),
        path,
    )


def times_of(values):
    return [np.arange(len(one)) * 0.5 + 0.25 for one in values]
