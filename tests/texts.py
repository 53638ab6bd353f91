"""Stores of transcripts, and what an encoder makes of them without this package."""

import numpy as np
import torch
from helpers import make_material
from transformers import AutoModel

from mien.data.store_writer import write_store
from mien.data.text_settings import TextEncoderConfig
from mien.tensors import pad
from mien.types import Corpus, Material, SeriesSource


def make_store(path, transcripts, *, tokens=None, language="en"):
    """A store of as many clips as there are transcripts, with published token ids if given."""
    material = make_material(num_clips=(len(transcripts), 0, 0))
    clips = [
        type(clip)(id=clip.id, split=clip.split, transcript=text, labels=clip.labels)
        for clip, text in zip(material.corpus.clips, transcripts, strict=True)
    ]
    corpus = Corpus(name="tiny", language=language, scale=material.corpus.scale, clips=tuple(clips))
    series = material.series
    if tokens is not None:
        arrays = [np.array(one, dtype=np.int32).reshape(-1, 1) for one in tokens]
        series = (*series, SeriesSource(name="tokens", size=1, dtype="int32", extractor="made/1",
                                        read=lambda: iter(arrays)))  # fmt: skip
    return write_store(Material(corpus=corpus, series=series, origin={}), path)


TRANSCRIPTS = [
    "the film was good",
    "Not very good!",
    "awful",
    "i saw the play and the actor was great",
]


def make_settings(folder, **options):
    return TextEncoderConfig(name=str(folder), **options)


def read_sequence(text, rows):
    return pad([torch.from_numpy(np.array(text.series[row])) for row in rows])


def reference_states(folder, text, rows):
    """States of the encoder itself, one clip at a time, so without any padding."""
    backbone = AutoModel.from_pretrained(folder).eval()
    result = []
    with torch.no_grad():
        for row in rows:
            ids = torch.from_numpy(np.array(text.series[row], dtype=np.int64)).T
            result.append(backbone(ids).last_hidden_state[0])
    return result
