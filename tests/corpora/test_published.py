"""The reader of published feature pickles: what it gives, and what it says of a wrong file."""

import argparse
import collections
import copy
import datetime
import itertools
import logging
import os
import pickle
import subprocess
import sys
from hashlib import sha1, sha256
from pathlib import Path

import numpy as np
import pytest
from cases import examples, pair_up, with_extended
from helpers import make_config
from hypothesis import given
from hypothesis import strategies as st

import mien
from mien.cli import main
from mien.corpora import KNOWN, Facts
from mien.corpora.published import annotations
from mien.corpora.published.known_files import PUBLISHED, Published
from mien.corpora.published.reader import read_published
from mien.data.store import open_store
from mien.data.store_writer import write_store
from mien.errors import CorpusError, FeatureError, MienError
from mien.training.preparation import prepare
from mien.types import SPLITS, Scale, Task

PROTOCOLS = [2, 3, 4, 5]
COUNTS = {"train": 4, "valid": 2, "test": 3}


def make_split(split, count, *, steps=(7, 6, 5), sizes=(3, 4, 2), corpus="mosi"):
    """One split as it is published: audio, video and text of other lengths, padded at the end."""
    rng = np.random.default_rng(len(split))
    audio, video, text = steps
    lengths = {"audio": rng.integers(1, audio + 1, count), "vision": rng.integers(1, video, count)}
    words = rng.integers(2, text + 1, count)
    bert = np.zeros((count, 3, text), np.float32)
    bert[:, 1] = np.arange(text) < words[:, np.newaxis]
    bert[:, 0] = rng.integers(1, 21128, (count, text)) * bert[:, 1]
    part = {
        "raw_text": [f"what is said 中 {row}" for row in range(count)],
        "audio": rng.normal(size=(count, audio, sizes[0])).astype(np.float32),
        "vision": rng.normal(size=(count, video, sizes[1])),
        "id": [f"{split}{row // 2}$_${row}" for row in range(count)],
        "text": rng.normal(size=(count, text, sizes[2])).astype(np.float32),
        "text_bert": bert,
        "audio_lengths": lengths["audio"].tolist(),
        "vision_lengths": lengths["vision"].tolist(),
        "annotations": ["Positive"] * count,
        "classification_labels": np.ones(count),
        "regression_labels": rng.uniform(-1, 1, count).astype(np.float32),
    }
    for key, length in lengths.items():
        for row in range(count):
            part[key][row, length[row] :] = 0
    if corpus == "sims":
        for letter in "TAV":
            part[f"regression_labels_{letter}"] = rng.uniform(-1, 1, count).round(1)
    return part


def make_file(**options):
    return {split: make_split(split, count, **options) for split, count in COUNTS.items()}


def save(folder, data, protocol=4, name="features.pkl"):
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else pickle.dumps(data, protocol))
    return path


def read_all(material):
    """Every series, as one list of arrays per name."""
    return {source.name: list(source.read()) for source in material.series}


def expect(data):
    """What the store must hold, worked out clip by clip from the data that were pickled."""
    series = {"audio": [], "video": [], "text": [], "tokens": []}
    for split in SPLITS:
        part = data[split]
        for row in range(len(part["id"])):
            real = np.asarray(part["text_bert"][row])[1] == 1
            audio = np.asarray(part["audio"][row])[: int(part["audio_lengths"][row])]
            video = np.asarray(part["vision"][row])[: int(part["vision_lengths"][row])]
            series["audio"].append(audio.astype(np.float32))
            series["video"].append(video.astype(np.float32))
            series["text"].append(np.asarray(part["text"][row])[real].astype(np.float32))
            tokens = np.asarray(part["text_bert"][row])[0][real].astype(np.int32)
            series["tokens"].append(tokens[:, np.newaxis])
    return series


def check_series(found, expected):
    assert found.keys() == expected.keys()
    for name, clips in expected.items():
        assert len(found[name]) == len(clips)
        for one, wanted in zip(found[name], clips, strict=True):
            np.testing.assert_array_equal(one, wanted, strict=True)


def refuse(folder, data, match, corpus="mosi", error=CorpusError):
    path = save(folder, data)
    with pytest.raises(error, match=match):
        read_all(read_published(path, corpus))


def test_the_earlier_name_warns_and_reads_the_same():
    with pytest.warns(DeprecationWarning, match=r"is now called mien\.read_published"):
        earlier = mien.read_released
    assert earlier is mien.read_published is read_published


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("corpus", ["mosi", "mosei", "sims"])
def test_a_published_layout_comes_back_from_the_store_as_it_was_pickled(tmp_path, corpus, protocol):
    data = make_file(corpus=corpus)
    material = read_published(save(tmp_path, data, protocol), corpus)
    write_store(material, tmp_path / "store")
    store = open_store(tmp_path / "store")
    found = {name: list(store.series(name)) for name in store.meta.series}
    check_series(found, expect(data))
    assert (store.meta.name, store.scale) == (corpus, KNOWN[corpus].scale)
    assert store.meta.language == KNOWN[corpus].language
    assert store.meta.num_clips == COUNTS
    assert not store.meta.is_synthetic
    clips = iter(store.clips)
    for split in SPLITS:
        part = data[split]
        for row, clip_id in enumerate(part["id"]):
            clip = next(clips)
            assert (clip.id, clip.split) == (clip_id, split)
            assert clip.transcript == part["raw_text"][row]
            expected = {Task.FUSION: float(part["regression_labels"][row])}
            if corpus == "sims":
                for task, letter in ((Task.TEXT, "T"), (Task.AUDIO, "A"), (Task.VIDEO, "V")):
                    expected[task] = part[f"regression_labels_{letter}"][row]
            assert clip.labels == expected


def test_the_series_say_what_they_are(tmp_path):
    material = read_published(save(tmp_path, make_file()), "mosi")
    found = [(s.name, s.size, s.dtype, s.extractor) for s in material.series]
    assert found == [
        ("audio", 3, "float32", "audio of features.pkl"),
        ("video", 4, "float32", "vision of features.pkl"),
        ("text", 2, "float32", "text of features.pkl"),
        ("tokens", 1, "int32", "text_bert of features.pkl"),
    ]


def test_the_origin_holds_name_and_hashes_but_no_folder(tmp_path):
    path = save(tmp_path, make_file())
    origin = read_published(path, "mosi").origin
    assert origin == {
        "file": "features.pkl",
        "sha256": sha256(path.read_bytes()).hexdigest(),
        "sha1": sha1(path.read_bytes(), usedforsecurity=False).hexdigest(),
        "published": "unknown: not one of the files whose hashes are published",
    }


@pytest.mark.parametrize("kind", ["sha1", "sha256"])
def test_a_published_file_is_recognised_by_either_hash(tmp_path, monkeypatch, kind):
    path = save(tmp_path, make_file(corpus="sims"))
    digest = {"sha1": sha1, "sha256": sha256}[kind](path.read_bytes()).hexdigest()
    monkeypatch.setitem(PUBLISHED, digest, Published("sims", "CH-SIMS unaligned_39.pkl"))
    material = read_published(path, "sims")
    assert material.origin["published"] == "CH-SIMS unaligned_39.pkl"
    assert material.series[0].extractor == "audio of CH-SIMS unaligned_39.pkl"
    with pytest.raises(CorpusError, match=r"is CH-SIMS unaligned_39\.pkl, not a file of 'mosi'"):
        read_published(path, "mosi")


def test_the_table_of_published_files_is_complete():
    assert sorted(len(digest) for digest in PUBLISHED) == [40] * 5 + [64] * 5
    assert all(set(digest) <= set("0123456789abcdef") for digest in PUBLISHED)
    title = PUBLISHED["a00c73e92f66896403c09dbad63e242d5af756f8"].title
    assert title == "CH-SIMS unaligned_39.pkl"


def test_a_corpus_without_published_files_is_an_error(tmp_path):
    path = save(tmp_path, make_file())
    with pytest.raises(CorpusError, match="'planted' has no published feature file; mosei, mosi"):
        read_published(path, "planted")
    with pytest.raises(CorpusError, match="no published corpus is called 'iemocap'"):
        read_published(path, "iemocap")


def test_a_file_of_a_corpus_of_ones_own_has_the_scale_that_is_stated(tmp_path):
    path = save(tmp_path, make_file())
    own = Facts(scale=Scale(-5, 5), language="de", metrics="general")
    corpus = read_published(path, "mine", own).corpus
    assert (corpus.name, corpus.scale, corpus.language) == ("mine", (-5, 5), "de")
    assert corpus.clips == read_published(path, "mosi").corpus.clips
    out = str(tmp_path / "store")
    assert main(["import", str(path), "--corpus", "mine", "--scale", "-5,5", "--out", out]) == 0


def test_what_is_fixed_for_a_published_corpus_cannot_be_stated(tmp_path, capsys):
    path = save(tmp_path, make_file())
    arguments = ["import", str(path), "--corpus", "mosi", "--scale", "-5,5"]
    assert main([*arguments, "--out", str(tmp_path / "x")]) == 2
    assert "--scale and --language are fixed for mosi" in capsys.readouterr().err


def listed(data):
    """Everything as plain lists of Python numbers."""
    return {s: {k: np.asarray(v).tolist() for k, v in part.items()} for s, part in data.items()}


def separate(data):
    """Features as lists of an array per clip."""
    data = copy.deepcopy(data)
    for part in data.values():
        for key in ("audio", "vision", "text", "text_bert"):
            part[key] = [np.array(one) for one in part[key]]
    return data


def stepwise(data):
    """Features as lists of lists of an array per step."""
    data = copy.deepcopy(data)
    for part in data.values():
        for key in ("audio", "vision"):
            part[key] = [[np.array(step) for step in one] for one in part[key]]
    return data


def arrays(data):
    """Everything as arrays, the texts too."""
    return {s: {k: np.asarray(v) for k, v in part.items()} for s, part in data.items()}


def objects(data):
    data = copy.deepcopy(data)
    for part in data.values():
        for key in ("id", "raw_text", "annotations"):
            part[key] = np.array(part[key], dtype=object)
    return data


def typed(change):
    def apply(data):
        data = copy.deepcopy(data)
        for part in data.values():
            for key in ("audio", "vision", "text", "text_bert"):
                part[key] = change(part[key])
        return data

    return apply


def scalars(data):
    data = copy.deepcopy(data)
    for part in data.values():
        for key in ("audio_lengths", "vision_lengths"):
            part[key] = [np.int32(one) for one in part[key]]
        part["regression_labels"] = list(part["regression_labels"])
        part["id"] = tuple(np.str_(one) for one in part["id"])
    return data


def ragged(data):
    """Clips of different lengths in arrays of objects, as np.array makes of a list of them."""
    data = separate(data)
    for part in data.values():
        for key in ("audio", "vision"):
            clips = np.empty(len(part[key]), object)
            clips[:] = part[key]
            part[key] = clips
    return data


def number_objects(data):
    """Arrays of objects that hold numbers, as columns of pandas do."""
    data = copy.deepcopy(data)
    for part in data.values():
        for key in ("audio", "regression_labels", "audio_lengths", "vision_lengths"):
            part[key] = np.array(part[key]).astype(object)
    return data


def with_further_axes(data):
    data = copy.deepcopy(data)
    for part in data.values():
        for key in ("id", "raw_text", "regression_labels", "audio_lengths"):
            part[key] = np.array(part[key]).reshape(-1, 1)
        part["vision_lengths"] = np.array(part["vision_lengths"]).reshape(-1, 1, 1)
        part["raw_text"] = np.asfortranarray(part["raw_text"]).astype(object)
    return data


def listed_labels(data):
    data = copy.deepcopy(data)
    for part in data.values():
        part["regression_labels"] = [[one] for one in part["regression_labels"].tolist()]
        part["id"] = [[one] for one in part["id"]]
    return data


def turned_tokens(data):
    data = copy.deepcopy(data)
    for part in data.values():
        part["text_bert"] = np.ascontiguousarray(part["text_bert"].swapaxes(1, 2))
    return data


def renamed(data):
    names = {"train": "Train", "valid": "dev", "test": "TEST"}
    return collections.OrderedDict(
        {
            names[split]: collections.defaultdict(
                list,
                {{"audio": "acoustic", "vision": "visual"}.get(k, k): v for k, v in part.items()},
            )
            for split, part in data.items()
        }
    )


def with_rubbish(data):
    """What is not read may be anything."""
    data = copy.deepcopy(data)
    data["meta"] = {"made": datetime.datetime(2020, 1, 1), (1, 2): 3j}
    data["config"] = argparse.Namespace(rate=0.1)
    for part in data.values():
        if isinstance(part, dict) and "id" in part:
            part["annotations"] = np.array([None, 3, {}] * 2, dtype=object)
            part["align"] = [[{"word": "a", "start": 0.0}]]
            part["big"] = 2**300
            part["when"] = np.zeros(2, "M8[s]")
    return data


def float_lengths(data):
    data = copy.deepcopy(data)
    for part in data.values():
        part["audio_lengths"] = np.array(part["audio_lengths"], np.float32)
    return data


FORMS = {
    "ragged": ragged,
    "numbers as objects": number_objects,
    "further axes": with_further_axes,
    "lists of one": listed_labels,
    "tokens in columns": turned_tokens,
    "other names": renamed,
    "rubbish beside it": with_rubbish,
    "lists": listed,
    "an array per clip": separate,
    "an array per step": stepwise,
    "arrays": arrays,
    "arrays of objects": objects,
    "numpy scalars": scalars,
    "lengths as floats": float_lengths,
    "float64": typed(lambda array: array.astype(np.float64)),
    "big-endian": typed(lambda array: array.astype(array.dtype.newbyteorder(">"))),
    "Fortran order": typed(np.asfortranarray),
    "transposed": typed(lambda array: array.transpose(2, 0, 1).copy().transpose(1, 2, 0)),
    "swapped": typed(lambda array: array.swapaxes(1, 2).copy().swapaxes(1, 2)),
    "integer tokens": lambda data: {
        s: {**part, "text_bert": part["text_bert"].astype(np.int64)} for s, part in data.items()
    },
}


#: Each form in a protocol, and each protocol with several forms.
FORM_CASES = pair_up(list(FORMS), list(PROTOCOLS))
MORE_FORM_CASES = [case for case in itertools.product(FORMS, PROTOCOLS) if case not in FORM_CASES]


@pytest.mark.parametrize(("form", "protocol"), with_extended(FORM_CASES, MORE_FORM_CASES))
def test_the_same_data_in_another_form_give_the_same_series(tmp_path, form, protocol):
    data = make_file()
    material = read_published(save(tmp_path, FORMS[form](data), protocol), "mosi")
    check_series(read_all(material), expect(data))
    plain = read_published(save(tmp_path, data, protocol, "plain.pkl"), "mosi")
    assert material.corpus == plain.corpus


def test_clips_of_separate_arrays_without_lengths_are_taken_whole(tmp_path, caplog):
    data = make_file()
    expected = expect(data)
    expected["audio"][0][-1] = 0  # silence at the end is not padding here
    row = 0
    for split in SPLITS:
        part = data[split]
        count = len(part["id"])
        part["audio"] = expected["audio"][row : row + count]
        part["vision"] = expected["video"][row : row + count]
        row += count
        del part["audio_lengths"], part["vision_lengths"]
    check_series(read_all(read_published(save(tmp_path, data), "mosi")), expected)
    assert caplog.records == []


def test_a_file_of_python_2_is_read(tmp_path):
    """Strings of bytes as keys, ids and texts, as cPickle of Python 2 wrote them."""
    data = make_file()
    plain = save(tmp_path, data, 2, "plain.pkl")
    expected = read_published(plain, "mosi")
    raw = plain.read_bytes()
    texts = [*data, *data["train"], *(i for s in SPLITS for i in data[s]["id"])]
    for text in {*texts, "Positive"}:
        data = text.encode()
        raw = raw.replace(
            b"X" + len(data).to_bytes(4, "little") + data, b"U" + bytes([len(data)]) + data
        )
    raw = raw.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"U\x05train" in raw
    found = read_published(save(tmp_path, raw), "mosi")
    check_series(read_all(found), read_all(expected))
    assert found.corpus == expected.corpus


def make_aligned(**options):
    data = make_file(steps=(5, 5, 5), **options)
    for part in data.values():
        real = part["text_bert"][:, 1] == 1
        for key in ("audio", "vision"):
            part[key] = np.random.default_rng(5).normal(size=part[key].shape)
            part[key][~real] = 0
        part["audio_lengths"] = part["vision_lengths"] = real.sum(axis=1)
    expected = expect(data)
    for part in data.values():
        del part["audio_lengths"], part["vision_lengths"]
    return data, expected


def test_an_aligned_file_takes_its_lengths_from_the_mask(tmp_path, caplog):
    data, expected = make_aligned()
    data["train"]["audio"][0, 1] = 0  # silence, inside the clip
    expected["audio"][0][1] = 0
    for part in data.values():
        del part["text"]
    del expected["text"]
    check_series(read_all(read_published(save(tmp_path, data), "mosi")), expected)
    assert caplog.records == []


def test_an_aligned_file_that_is_padded_in_front_is_read_right(tmp_path, caplog):
    data, expected = make_aligned()
    for part in data.values():
        for row, bert in enumerate(part["text_bert"]):
            shift = int((bert[1] == 0).sum())
            for key in ("audio", "vision", "text"):
                part[key][row] = np.roll(part[key][row], shift, axis=0)
            part["text_bert"][row] = np.roll(bert, shift, axis=1)
    check_series(read_all(read_published(save(tmp_path, data), "mosi")), expected)
    assert caplog.records == []


def test_padding_in_front_is_seen_dropped_and_counted(tmp_path, caplog):
    data = make_file()
    expected = expect(data)
    shifted = 0
    for part in data.values():
        for row, length in enumerate(part["audio_lengths"]):
            part["audio"][row] = np.roll(part["audio"][row], -length, axis=0)
            shifted += length < part["audio"].shape[1]
    check_series(read_all(read_published(save(tmp_path, data), "mosi")), expected)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        f"features.pkl: audio: {shifted} of 9 clips are padded in front, not at the end; "
        "their last steps are kept"
    ]


def test_values_behind_a_length_are_left_out_and_counted(tmp_path, caplog):
    """Lengths of another series cut every clip, and nothing said so."""
    data = make_file()
    expected = expect(data)
    for part in data.values():
        part["audio"] = np.where(part["audio"] == 0, 1, part["audio"])
    check_series(read_all(read_published(save(tmp_path, data), "mosi")), expected)
    cut = sum(len(clip) < 7 for clip in expected["audio"])
    assert [record.getMessage() for record in caplog.records] == [
        f"features.pkl: audio: {cut} of 9 clips have values behind their length, which are left "
        "out; check the lengths"
    ]


def test_without_any_length_zeros_at_the_ends_are_padding_and_counted(tmp_path, caplog):
    data = make_file()
    expected = expect(data)
    steps = sum(part["audio"].shape[0] * 7 for part in data.values())
    kept = sum(len(one) for one in expected["audio"])
    clips = sum(len(one) < 7 for one in expected["audio"])
    for part in data.values():
        del part["audio_lengths"]
    check_series(read_all(read_published(save(tmp_path, data), "mosi")), expected)
    assert [record.getMessage() for record in caplog.records] == [
        "features.pkl: audio: the file does not say how long clips are; "
        f"{steps - kept} rows of zeros at the ends of {clips} of 9 clips are treated as padding"
    ]


def test_a_clip_of_zeros_without_length_has_no_such_modality(tmp_path):
    data = make_file()
    for part in data.values():
        del part["audio_lengths"]
    data["valid"]["audio"][1] = 0
    found = read_all(read_published(save(tmp_path, data), "mosi"))
    assert found["audio"][5].shape == (0, 3)


@pytest.mark.parametrize("dropped", [["text"], ["raw_text"], ["annotations"], ["text_bert"]])
def test_a_file_may_lack_what_is_not_needed(tmp_path, dropped):
    data = make_file()
    expected = expect(data)
    for part in data.values():
        for key in (*dropped, "classification_labels"):
            del part[key]
    material = read_published(save(tmp_path, data), "mosi")
    if dropped == ["text"]:
        del expected["text"]
    if dropped == ["text_bert"]:
        del expected["tokens"]
        expected["text"] = [one for s in SPLITS for one in data[s]["text"]]
    check_series(read_all(material), expected)
    has_text = dropped != ["raw_text"]
    assert all(bool(clip.transcript) == has_text for clip in material.corpus.clips)


def test_text_without_tokens_follows_its_own_lengths(tmp_path):
    data = make_file()
    expected = expect(data)
    for part in data.values():
        part["text_lengths"] = part["text_bert"][:, 1].sum(axis=1)
        del part["text_bert"]
    del expected["tokens"]
    check_series(read_all(read_published(save(tmp_path, data), "mosi")), expected)


def test_a_length_of_zero_or_an_empty_mask_means_a_missing_modality(tmp_path):
    data = make_file()
    data["train"]["audio_lengths"][1] = 0
    data["test"]["vision_lengths"][0] = 0
    data["valid"]["text_bert"][0] = 0
    store = write_store(read_published(save(tmp_path, data), "mosi"), tmp_path / "store")
    assert store.series("audio")[1].shape == (0, 3)
    assert store.series("video")[6].shape == (0, 4)
    assert store.series("text")[4].shape == (0, 2)
    assert store.series("tokens")[4].shape == (0, 1)
    assert {n: s.num_missing for n, s in store.meta.series.items()} == dict.fromkeys(
        ("audio", "video", "text", "tokens"), 1
    )


def test_an_empty_array_of_a_clip_means_a_missing_modality(tmp_path):
    data = separate(make_file())
    for key, nothing in (("audio", np.zeros(0)), ("vision", np.zeros((0, 4))), ("text", [])):
        data["train"][key][0] = nothing
    data["train"]["text_bert"][0] = []
    data["train"]["audio_lengths"][0] = data["train"]["vision_lengths"][0] = 0
    found = read_all(read_published(save(tmp_path, data), "mosi"))
    assert [found[n][0].shape for n in found] == [(0, 3), (0, 4), (0, 2), (0, 1)]


@pytest.mark.parametrize("empty", [{}, "lists", "arrays"])
def test_a_split_may_be_empty(tmp_path, empty):
    data = make_file()
    if empty == "lists":
        data["valid"] = {key: [] for key in data["valid"]}
    elif empty == "arrays":
        data["valid"] = {key: np.asarray(value)[:0] for key, value in data["valid"].items()}
    else:
        data["valid"] = {}
    store = write_store(read_published(save(tmp_path, data), "mosi"), tmp_path / "store")
    assert store.meta.num_clips == {"train": 4, "valid": 0, "test": 3}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_values_that_are_not_finite_become_zero_and_are_counted_once(tmp_path, caplog, protocol):
    data = make_file()
    data["train"]["audio_lengths"][:2] = [7, 7]
    data["train"]["audio"][0, 0] = [-np.inf, np.inf, np.nan]
    data["train"]["audio"][1, 3, 1] = -np.inf
    data["train"]["audio_lengths"][2] = 3
    data["train"]["audio"][2, 5] = np.nan  # padding: neither kept nor counted
    expected = expect(data)
    data["test"]["vision"][0, 0, 0] = 1e200  # more than float32 holds
    material = read_published(save(tmp_path, data, protocol), "mosi")
    expected["audio"][0][0] = 0
    expected["audio"][1][3, 1] = 0
    expected["video"][6][0, 0] = 0
    messages = [
        "features.pkl: audio: 4 values in 2 of 9 clips are infinite or not a number; they become 0",
        "features.pkl: video: 1 values in 1 of 9 clips are infinite or not a number; they become 0",
    ]
    for _ in range(2):
        caplog.clear()
        check_series(read_all(material), expected)
        assert [record.getMessage() for record in caplog.records] == messages
        assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_the_warning_does_not_wait_for_one_clip_more(tmp_path, caplog):
    data = make_file()
    data["train"]["audio"][0, 0, 0] = np.nan
    clips = read_published(save(tmp_path, data), "mosi").series[0].read()
    for _ in range(9):
        next(clips)
    assert len(caplog.records) == 1
    clips.close()


@pytest.mark.parametrize("names", [("train", "valid"), ("train", "test"), ("test",)])
def test_a_file_may_have_fewer_splits(tmp_path, caplog, names):
    data = make_file()
    material = read_published(save(tmp_path, {name: data[name] for name in names}), "mosi")
    assert {clip.split for clip in material.corpus.clips} == set(names)
    missing = " and ".join(split for split in SPLITS if split not in names)
    assert f"has no clips for {missing}" in caplog.text


@pytest.mark.parametrize("missing", ["audio", "vision"])
def test_a_file_may_lack_a_modality(tmp_path, caplog, missing):
    data = make_file()
    expected = expect(data)
    del expected["audio" if missing == "audio" else "video"]
    for part in data.values():
        del part[missing]
        del part[f"{missing}_lengths"]
    check_series(read_all(read_published(save(tmp_path, data), "mosi")), expected)
    assert f"has no {missing}; no clip has this modality" in caplog.text


def test_an_aligned_file_without_audio_follows_its_mask(tmp_path):
    data, expected = make_aligned()
    for part in data.values():
        del part["audio"]
    del expected["audio"]
    check_series(read_all(read_published(save(tmp_path, data), "mosi")), expected)


@pytest.mark.parametrize("nothing", [None, float("nan"), ""])
def test_a_missing_transcript_is_an_empty_one_and_counted(tmp_path, caplog, nothing):
    caplog.set_level(logging.INFO)
    data = make_file()
    data["train"]["raw_text"][1] = nothing
    clips = read_published(save(tmp_path, data), "mosi").corpus.clips
    assert [clip.transcript for clip in clips[:2]] == ["what is said 中 0", ""]
    assert "train: 1 of 4 clips have no transcript" in caplog.text


def test_a_broken_character_is_replaced_and_counted(tmp_path, caplog):
    data = make_file()
    data["train"]["raw_text"][1] = "so \ud83d good"
    clips = read_published(save(tmp_path, data), "mosi").corpus.clips
    assert clips[1].transcript == "so \ufffd good"
    assert "train: 1 transcripts hold broken characters" in caplog.text


def test_labels_off_the_scale_by_rounding_are_cut_to_it(tmp_path):
    data = make_file(corpus="sims")
    data["train"]["regression_labels"] = np.array([1.0000001, -1.0000001, 0.3, 1 + 2e-16])
    data["train"]["regression_labels_T"] = [1.0000001, None, float("nan"), 0.5]
    clips = read_published(save(tmp_path, data), "sims").corpus.clips[:4]
    assert [clip.labels[Task.FUSION] for clip in clips] == [1, -1, 0.3, 1]
    assert [clip.labels.get(Task.TEXT) for clip in clips] == [1, None, None, 0.5]


@pytest.mark.parametrize("unlabelled", ["keep", "drop"])
def test_clips_without_a_label_are_counted_and_kept_or_dropped(tmp_path, caplog, unlabelled):
    data = make_file()
    data["train"]["regression_labels"][1] = np.nan
    data["test"]["regression_labels"][2] = np.nan
    expected = expect(data)
    material = read_published(save(tmp_path, data), "mosi", unlabelled=unlabelled)
    assert "2 of 9 clips have no multimodal label (train 1, test 1)" in caplog.text
    clips = material.corpus.clips
    bare = [Task.FUSION not in clip.labels for clip in clips]
    assert bare == ([row in (1, 8) for row in range(9)] if unlabelled == "keep" else [False] * 7)
    if unlabelled == "drop":
        expected = {k: [v[i] for i in range(9) if i not in (1, 8)] for k, v in expected.items()}
    check_series(read_all(material), expected)
    store = write_store(material, tmp_path / "store")
    prepared = prepare(store, make_config())
    assert {split: len(one) for split, one in prepared.datasets.items()} == {
        "train": 3,
        "valid": 2,
        "test": 2,
    }
    everything = prepare(store, make_config(), with_unlabelled=True).datasets
    assert sum(len(one) for one in everything.values()) == len(clips)


def test_a_file_in_which_nothing_is_labelled_is_for_prediction(tmp_path):
    data = make_file()
    for part in data.values():
        part["regression_labels"] = np.full(len(part["id"]), np.nan)
    assert not read_published(save(tmp_path, data), "mosi").corpus.is_annotated


def test_mixed_clips_of_sims_are_the_train_clips_and_those_without_a_label(tmp_path):
    data = make_file(corpus="sims")
    mixed = make_split("train", 6, corpus="sims")
    mixed["id"][:4] = data["train"]["id"]
    mixed["regression_labels"][4:] = np.nan
    file = save(tmp_path, {**data, "train_mix": mixed})
    clips = [c for c in read_published(file, "sims").corpus.clips if c.split == "train"]
    assert [clip.id for clip in clips] == mixed["id"]
    assert [Task.FUSION in clip.labels for clip in clips] == [True] * 4 + [False] * 2
    mixed["id"][0] = "other$_$0"
    refuse(tmp_path, {**data, "train_mix": mixed}, "train_mix: lacks clip 'train0", "sims")


def test_a_mask_says_which_mixed_clips_have_no_label_whatever_stands_there(tmp_path):
    data = make_file(corpus="sims")
    mixed = make_split("train", 6, corpus="sims")
    mixed["id"][:4] = data["train"]["id"]
    mixed["mask"] = np.array([1, 1, 1, 1, 0, 0])
    for key in [one for one in mixed if one.startswith("regression_labels")]:
        mixed[key][4:] = 0
    del mixed["raw_text"]
    corpus = read_published(save(tmp_path, {**data, "train_mix": mixed}), "sims2").corpus
    clips = [clip for clip in corpus.clips if clip.split == "train"]
    assert [len(clip.labels) for clip in clips] == [4, 4, 4, 4, 0, 0]
    assert [clip.transcript for clip in clips] == [*data["train"]["raw_text"], "", ""]
    assert (corpus.name, corpus.language, corpus.scale) == ("sims2", "zh", Scale(-1, 1))


@pytest.mark.parametrize("has_ids", [True, False])
def test_clips_without_splits_and_labels_are_train_clips_that_nobody_annotated(tmp_path, has_ids):
    part = make_split("train", 4)
    part = {key: part[key] for key in ("audio", "vision", "text_bert", "raw_text", "id")}
    ids = part["id"] if has_ids else [f"features$_${row}" for row in range(4)]
    if not has_ids:
        del part["id"], part["raw_text"]
    material = read_published(save(tmp_path, part), "sims2")
    assert [clip.id for clip in material.corpus.clips] == ids
    assert {clip.split for clip in material.corpus.clips} == {"train"}
    assert not material.corpus.is_annotated
    assert [len(one) for one in read_all(material).values()] == [4, 4, 4]


def test_the_layout_of_mult_is_read(tmp_path):
    data = {}
    for split, part in make_file().items():
        count = len(part["id"])
        ids = [[f"{split}-v{row // 2}", str(1.5 * row), str(1.5 * row + 1)] for row in range(count)]
        data[split] = {
            "vision": part["vision"],
            "audio": part["audio"],
            "text": part["text"],
            "labels": part["regression_labels"].reshape(-1, 1, 1),
            "id": np.array(ids, dtype=object),
        }
    material = read_published(save(tmp_path, data), "mosi")
    clips = material.corpus.clips
    assert [clip.id for clip in clips[:4]] == [f"train-v{row // 2}$_${row % 2}" for row in range(4)]
    assert (clips[1].start, clips[1].end) == (1.5, 2.5)
    assert clips[1].labels[Task.FUSION] == pytest.approx(data["train"]["labels"][1, 0, 0])
    assert {one.name for one in material.series} == {"audio", "video", "text"}


def test_classes_in_the_place_of_scores_are_named(tmp_path):
    data = make_file()
    for part in data.values():
        part["labels"] = np.zeros((len(part.pop("regression_labels")), 4, 2), np.int64)
    refuse(tmp_path, data, r"the labels have the shape \(4, 4, 2\): classes, .*IEMOCAP")
    for part in data.values():
        part["labels"] = np.eye(7)[: len(part["labels"])]  # one of seven classes
    refuse(tmp_path, data, r"the labels have the shape \(4, 7\): classes, .*IEMOCAP")


def test_the_four_emotions_of_iemocap_as_mult_has_them_are_labels(tmp_path):
    data = make_file()
    for part in data.values():
        there = np.arange(4 * len(part.pop("regression_labels"))).reshape(-1, 4) % 3 == 0
        part["labels"] = np.stack([~there, there], axis=2).astype(np.int64)
    facts = Facts(scale=Scale(-1, 1), language="en", metrics="general")
    corpus = read_published(save(tmp_path, data), "iemocap", facts).corpus
    (target,) = corpus.targets
    assert (target.kind, target.classes) == ("labels", ("neutral", "happy", "sad", "angry"))
    assert corpus.is_annotated
    assert corpus.clips[0].labels == {}
    assert corpus.clips[0].targets == {"emotion": {Task.FUSION: (1.0, 0.0, 0.0, 1.0)}}


@pytest.mark.parametrize("as_list", [False, True])
def test_the_emotions_of_mosei_stand_behind_its_sentiment(tmp_path, caplog, as_list):
    data = make_file()
    for part in data.values():
        labels = np.tile([0.5, 0.25, 0, 0, 0, 0, 4.0], (len(part.pop("regression_labels")), 1))
        part["labels"] = labels.tolist() if as_list else labels[:, np.newaxis].astype(np.float32)
    corpus = read_published(save(tmp_path, data), "mosei").corpus
    (target,) = corpus.targets
    assert (target.kind, target.scale) == ("intensities", Scale(0, 3))
    assert corpus.clips[0].labels == {Task.FUSION: 0.5}
    assert corpus.clips[0].targets == {"emotion": {Task.FUSION: (0.25, 0, 0, 0, 0, 3.0)}}
    assert "clips have intensities above 3; they are cut" in caplog.text
    data["test"]["labels"] = data["test"]["labels"][1:]
    refuse(tmp_path, data, "has 2 values, must have 3", corpus="mosei")
    data["test"]["labels"] = np.full((3, 7), -0.5)
    refuse(tmp_path, data, "must be sentiment and six intensities from 0 to 3", corpus="mosei")


def test_the_layout_of_mag_bert_is_read(tmp_path):
    random = np.random.default_rng(3)
    data = {
        split: [
            (
                (["good", "film"], random.normal(size=(2, 5)), random.normal(size=(2, 7))),
                np.array([[0.5 * row]]),
                f"{split}-video[{row}]",
            )
            for row in range(3)
        ]
        for split in ("train", "dev", "test")
    }
    material = read_published(save(tmp_path, data), "mosi")
    clips = material.corpus.clips
    assert [clip.id for clip in clips[:3]] == [f"train-video$_${row}" for row in range(3)]
    assert clips[3].split == "valid"
    assert {clip.transcript for clip in clips} == {"good film"}
    assert [clip.labels[Task.FUSION] for clip in clips[:3]] == [0, 0.5, 1]
    series = read_all(material)
    np.testing.assert_allclose(series["video"][4], data["dev"][1][0][1], rtol=1e-6)
    np.testing.assert_allclose(series["audio"][4], data["dev"][1][0][2], rtol=1e-6)


def test_the_features_of_one_recording_are_a_clip_without_a_label(tmp_path):
    random = np.random.default_rng(3)
    data = {"audio": random.normal(size=(9, 3)), "vision": random.normal(size=(5, 2)), "fps": 25}
    material = read_published(save(tmp_path, data, name="talk.pkl"), "mosi")
    assert [(clip.id, clip.split, dict(clip.labels)) for clip in material.corpus.clips] == [
        ("talk", "test", {})
    ]
    store = write_store(material, tmp_path / "store")
    assert store.series("audio")[0].shape == (9, 3)
    assert store.series("video")[0].shape == (5, 2)


def change(path, value):
    """A change of a file: what is at ``path`` becomes ``value``, or its result."""

    def apply(data):
        target = data
        for key in path[:-1]:
            target = target[key]
        old = target[path[-1]] if not isinstance(target, dict) or path[-1] in target else None
        target[path[-1]] = value(old) if callable(value) else value

    return apply


def drop(*path):
    def apply(data):
        target = data
        for key in path[:-1]:
            target = target[key]
        del target[path[-1]]

    return apply


def drop_everywhere(*keys):
    def apply(data):
        for part in data.values():
            for key in keys:
                del part[key]

    return apply


WRONG = {
    "a split twice": (change(("dev",), {}), "has both 'valid' and 'dev', which are the same"),
    "a split that is a list": (change(("valid",), [1]), "valid: value 0 is 1, must be .*words"),
    "a split that is a text": (change(("valid",), "x"), "valid: is 'x', must be a dict"),
    "no clips": (
        lambda data: data.update(train={}, valid={}, test={}),
        r"features\.pkl: has no clips",
    ),
    "no ids": (drop("test", "id"), "test: has no key 'id'; there are: 'raw_text', 'audio'"),
    "no vision in one split": (
        drop("test", "vision"),
        "train has the key 'vision', test has not; all splits must have the same",
    ),
    "no labels": (drop_everywhere("regression_labels"), "train: has no key 'regression_labels'"),
    "nothing to learn from": (
        drop_everywhere("text", "text_bert", "raw_text", "audio", "vision"),
        "train: has neither audio nor vision nor a text; there are: 'id'",
    ),
    "a key of one split": (
        drop("valid", "audio_lengths"),
        "train has the key 'audio_lengths', valid has not; all splits must have the same",
    ),
    "an extra key of one split": (
        change(("test", "regression_labels_T"), [0.0] * 3),
        "test has the key 'regression_labels_T', train has not",
    ),
    "an id in two splits": (
        change(("test", "id", 0), "train0$_$0"),
        r"clip 'train0\$_\$0' occurs twice \(in train and test\)",
    ),
    "an id twice": (
        change(("train", "id", 1), "train0$_$0"),
        r"occurs twice \(in train and train\)",
    ),
    "an empty id": (change(("train", "id", 1), ""), "train: id: value 1 is empty"),
    "an id that is a number": (change(("train", "id", 1), 7), "id: value 1 is 7, must be a text"),
    "an id that is a list": (
        change(("train", "id", 1), ["a", "b"]),
        "id: value 1 is a list of 2, must be a text",
    ),
    "ids that are numbers": (
        change(("train", "id"), np.arange(4)),
        r"train: id: is an array of int64 with shape \(4,\), must be a list of texts",
    ),
    "ids that are a text": (change(("train", "id"), "abcd"), "id: is 'abcd', must be a list of"),
    "ids that are no Unicode": (
        change(("train", "id"), lambda _: np.full(4, 0xFFFFFFFF, np.uint32).view("<U1")),
        "train: id: value 0 is the object 'a text that is not Unicode', must be a text",
    ),
    "too few ids": (drop("train", "id", 3), "train: raw_text: has 4 texts, the split has 3 ids"),
    "too few texts": (drop("train", "raw_text", 3), "raw_text: has 3 texts, the split has 4 ids"),
    "a text that is a number": (
        change(("train", "raw_text", 0), 1.5),
        r"train: raw_text: value 0 is 1\.5, must be a text",
    ),
    "a label off the scale": (
        change(("valid", "regression_labels", 1), 3.5),
        r"valid: clip 'valid0\$_\$1': regression_labels is 3\.5, must be a number from -3 to 3",
    ),
    "a label that is infinite": (
        change(("valid", "regression_labels", 1), np.inf),
        "regression_labels is inf, must be a number from -3 to 3",
    ),
    "a label that is a text": (
        change(("valid", "regression_labels"), [0.0, "good"]),
        "regression_labels: value 1 is 'good', must be a number",
    ),
    "a label that is true": (
        change(("valid", "regression_labels"), [0.0, True]),
        "regression_labels: value 1 is True, must be a number",
    ),
    "labels that are texts": (
        change(("valid", "regression_labels"), np.array(["1", "2"])),
        "regression_labels: is an array of <U1 .*must have one axis of numbers",
    ),
    "labels with two axes": (
        change(("valid", "regression_labels"), np.zeros((2, 2))),
        r"the labels have the shape \(2, 2\): classes, not one score per clip",
    ),
    "too few labels": (
        change(("valid", "regression_labels"), [0.0]),
        "regression_labels: has 1 values, must have 2",
    ),
    "a length beyond the padding": (
        change(("train", "audio_lengths", 2), 8),
        "train: audio_lengths: value 2 is 8, must be a whole number from 0 to 7",
    ),
    "a length below zero": (
        change(("train", "vision_lengths", 0), -1),
        "train: vision_lengths: value 0 is -1, must be a whole number from 0 to 6",
    ),
    "half a length": (
        change(("train", "audio_lengths", 0), 2.5),
        r"audio_lengths: value 0 is 2\.5, must be a whole number",
    ),
    "a length that is nan": (change(("train", "audio_lengths", 0), np.nan), "value 0 is nan, must"),
    "a length that is a text": (
        change(("train", "audio_lengths", 0), "7"),
        "audio_lengths: value 0 is '7', must be a number",
    ),
    "a length that is gigantic": (
        change(("train", "audio_lengths", 0), 2**100),
        "must be a whole number from 0 to 7",
    ),
    "too few lengths": (
        drop("train", "audio_lengths", 0),
        "audio_lengths: has 3 values, must have 4",
    ),
    "lengths that are a number": (
        change(("train", "audio_lengths"), 7),
        "audio_lengths: is 7, must be a list of numbers",
    ),
    "audio with two axes": (
        change(("train", "audio"), np.zeros((4, 3), "f4")),
        r"audio: is an array of float32 with shape \(4, 3\), must have 3 axes of numbers",
    ),
    "audio with four axes": (
        change(("train", "audio"), np.zeros((4, 7, 3, 1), "f4")),
        "must have 3 axes of numbers",
    ),
    "audio of texts": (
        change(("train", "audio"), np.full((4, 7, 3), "x")),
        "must have 3 axes of numbers",
    ),
    "audio of complex numbers": (
        change(("train", "audio"), np.zeros((4, 7, 3), "c8")),
        r"audio: is an array of numpy.dtype 'c8' with shape \(4, 7, 3\), .*; save it as a NumPy",
    ),
    "audio of dates": (
        change(("train", "audio"), datetime.date(2020, 1, 1)),
        "audio: is the object 'datetime.date', must be an array or a list; save it as a NumPy",
    ),
    "audio that is a number": (
        change(("train", "audio"), 1.0),
        r"audio: is 1\.0, must be an array or a list",
    ),
    "audio of too few clips": (
        change(("train", "audio"), lambda old: old[:3]),
        "audio: has 3 clips, the split has 4 ids",
    ),
    "a list of too few clips": (
        change(("train", "vision"), lambda old: list(old[:3])),
        "vision: has 3 clips, the split has 4 ids",
    ),
    "a clip with one axis": (
        change(("train", "audio"), lambda old: [*old[:3], np.zeros(7)]),
        r"audio: clip 3: is an array of float64 with shape \(7,\), must have 2 axes",
    ),
    "a clip that is a number": (
        change(("train", "audio"), lambda old: [*old[:3], 5]),
        "audio: clip 3: is 5, must be an array of two axes",
    ),
    "a clip of numbers": (
        change(("train", "audio"), lambda old: [*old[:3], [1.0, 2.0]]),
        r"audio: clip 3: a step is 1\.0, must be a list of numbers",
    ),
    "a clip of texts": (
        change(("train", "audio"), lambda old: [*old[:3], [["a", "b", "c"]] * 7]),
        "audio: clip 3: step 0: value 0 is 'a', must be a number",
    ),
    "uneven steps": (
        change(("train", "audio"), lambda old: [*old[:3], [[1.0] * 3] * 6 + [[1.0] * 2]]),
        "audio: clip 3: step 6: has 2 values, must have 3",
    ),
    "a mask with a hole": (
        change(("train", "text_bert"), lambda old: set_row(old, 1, [1, 0, 1, 0, 0])),
        "text_bert: clip 0: the mask .row 1. is not zeros around one run of ones",
    ),
    "a mask of twos": (
        change(("train", "text_bert"), lambda old: set_row(old, 1, [2, 2, 0, 0, 0])),
        "is not zeros around one run of ones",
    ),
    "a mask of nan": (
        change(("train", "text_bert"), lambda old: set_row(old, 1, [1, np.nan, 0, 0, 0])),
        "is not zeros around one run of ones",
    ),
    "half a token": (
        change(("train", "text_bert"), lambda old: set_row(old, 0, [0.5] * 5)),
        "text_bert: clip 0: the token ids .row 0. are not whole numbers from 0",
    ),
    "a token below zero": (
        change(("train", "text_bert"), lambda old: set_row(old, 0, [-1] * 5)),
        "are not whole numbers from 0",
    ),
    "an infinite token": (
        change(("train", "text_bert"), lambda old: set_row(old, 0, [np.inf] * 5)),
        "are not whole numbers from 0",
    ),
    "two rows": (
        change(("train", "text_bert"), lambda old: old[:, :2]),
        "text_bert: clip 0: has 2 rows, must have 3: token ids, mask, segment",
    ),
    "no rows": (
        change(("train", "text_bert"), lambda old: old[:, :0]),
        "text_bert: clip 0: has 0 rows, must have 3",
    ),
    "token ids with two rows": (
        change(("train", "text_bert"), lambda old: old[:, :2]),
        "text_bert: clip 0: has 2 rows, must have 3",
    ),
    "text that does not fit its tokens": (
        change(("valid", "text"), np.zeros((2, 9, 2), "f4")),
        "valid: text: clip 0 has 9 steps, text_bert has 5 of which . are real; they must agree",
    ),
}


def set_row(array, row, values):
    array = array.copy()
    array[0, row] = values
    return array


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_answered_with_a_sentence(tmp_path, name):
    alter, match = WRONG[name]
    data = make_file()
    alter(data)
    refuse(tmp_path, data, match)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (lambda old: old[:, :, :2], r"valid: audio: clip 0 has 2 values per step, must be 3"),
        (lambda old: [old[0], old[1][:, :1]], r"valid: audio: clip 1 has 1 values per step"),
        (lambda old: old[:, :, :0], r"clip 0 has 0 values per step, must be 3"),
    ],
)
def test_clips_with_other_numbers_of_features_are_an_error(tmp_path, value, match):
    data = make_file()
    change(("valid", "audio"), value)(data)
    refuse(tmp_path, data, match, error=FeatureError)


def test_a_series_without_any_value_is_an_error(tmp_path):
    for shape, match in (((0, 3), "no clip has a step"), ((7, 0), "has 0 values per step")):
        data = make_file()
        for part in data.values():
            part["audio"] = np.zeros((len(part["id"]), *shape))
            part["audio_lengths"] = [0] * len(part["id"])
        refuse(tmp_path, data, match, error=FeatureError)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ([1, 2], "holds a list of 2"),
        (None, "holds None"),
        ({}, "has the keys nothing; expected a dict with the splits"),
    ],
)
def test_a_pickle_of_something_else_is_an_error(tmp_path, value, match):
    refuse(tmp_path, value, match)


def test_labels_of_sims_are_checked_on_its_own_scale(tmp_path):
    data = make_file(corpus="sims")
    data["train"]["regression_labels_V"][2] = 1.2
    refuse(tmp_path, data, r"regression_labels_V is 1\.2, must be a number from -1 to 1", "sims")


def test_a_path_that_is_no_file_is_an_error(tmp_path):
    with pytest.raises(CorpusError, match="is a folder; give the path of a feature pickle"):
        read_published(tmp_path, "mosi")
    with pytest.raises(CorpusError, match="there is no such file; check the path"):
        read_published(tmp_path / "none.pkl", "mosi")


def test_unknown_keys_are_named_and_passed_over(tmp_path, caplog):
    data = make_file()
    data["train"]["glove"] = [1, 2, 3]
    with caplog.at_level(logging.INFO):
        read_published(save(tmp_path, data), "mosi")
    assert "keys that are not read: glove (a list of 3)" in caplog.text


def test_a_file_that_changes_before_it_is_stored_is_an_error_and_leaves_nothing(tmp_path):
    path = save(tmp_path, make_file())
    material = read_published(path, "mosi")
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(CorpusError, match="changed while it was being read"):
        write_store(material, tmp_path / "store")
    path.unlink()
    with pytest.raises(CorpusError, match="there is no such file"):
        write_store(material, tmp_path / "store")
    assert list(tmp_path.iterdir()) == []


def test_a_clip_that_would_not_fit_into_memory_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("mien.corpora.published.matrices.MOST_CLIP_BYTES", 50)
    refuse(tmp_path, make_file(), "audio: a clip has 0 MB, must have at most 0 MB")
    refuse(tmp_path, separate(make_file()), "audio: clip 0: a clip has 0 MB")


def test_too_many_clips_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(annotations, "MOST_CLIPS", 3)
    refuse(tmp_path, make_file(), "train: id: has 4 clips, must have at most 3")


def test_too_much_text_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(annotations, "MOST_CHARACTERS", 50)
    refuse(tmp_path, make_file(), "raw_text: has more than 50 characters")


def test_parts_that_are_used_again_and_again_are_an_error(tmp_path, monkeypatch):
    """A file of some kilobytes must not become a store of gigabytes."""
    monkeypatch.setattr("mien.corpora.published.matrices.MOST_CLIP_BYTES", 10_000)
    step = [0.0] * 1000
    for clip in ([step] * 1000, [step] * 100_000, np.zeros((300, 3))):
        data = make_file()
        count = 30
        data["train"] = {**make_split("train", count), "audio": [clip] * count}
        match = "made of the same parts again|more than 16777216 numbers in lists"
        refuse(tmp_path, data, match)


def tiny_file():
    """As small as a file can be that has everything."""
    data = {}
    for split in SPLITS:
        data[split] = {
            "id": [split],
            "raw_text": np.array(["a"]),
            "audio": np.ones((1, 2, 1), np.float32),
            "vision": np.ones((1, 2, 1)),
            "text_bert": np.ones((1, 3, 2), np.int8),
            "audio_lengths": [1],
            "vision_lengths": [2],
            "regression_labels": [0.5],
        }
    return data


@pytest.mark.parametrize(
    ("protocol", "step"),
    # The older the protocol, the longer the file.
    with_extended([(2, 29), (3, 31), (4, 2), (5, 2)], [(2, 5), (3, 7), (4, 1), (5, 1)]),
)
def test_a_file_cut_at_any_place_is_an_error(tmp_path, protocol, step):
    data = pickle.dumps(tiny_file(), protocol)
    path = tmp_path / "cut.pkl"
    path.write_bytes(data)
    assert len(read_published(path, "mosi").corpus.clips) == 3
    for place in range(0, len(data), step):
        path.write_bytes(data[:place])
        with pytest.raises(CorpusError, match=r"cut\.pkl: (ends too early|is empty|is damaged)"):
            read_published(path, "mosi")


def read_or_refuse(path):
    """Read everything; our own errors are fine, any other is not."""
    try:
        read_all(read_published(path, "mosi"))
    except MienError as error:
        return str(error)
    return f"{path}: is fine"


@given(
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4),
    protocol=st.sampled_from(PROTOCOLS),
)
@examples(300)
def test_changed_bytes_give_a_sentence_or_a_corpus(tmp_path_factory, flips, protocol):
    data = bytearray(pickle.dumps(tiny_file(), protocol))
    for place, value in flips:
        data[place % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "flipped.pkl"
    path.write_bytes(data)
    message = read_or_refuse(path)
    assert message.startswith(str(path))
    assert "\n" not in message


@pytest.mark.slow
@pytest.mark.parametrize("step", with_extended([13], [3]))
def test_any_byte_may_be_wrong(tmp_path, step):
    data = pickle.dumps(tiny_file(), 5)
    path = tmp_path / "flipped.pkl"
    for place in range(0, len(data), step):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        assert read_or_refuse(path).startswith(str(path))


class Evil:
    """Runs a command when it is unpickled in the usual way."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("place", ["first", "last", "unused key", "label"])
def test_an_attack_anywhere_in_a_file_is_refused_before_anything_is_written(
    tmp_path, place, protocol
):
    sentinel = tmp_path / "sentinel"
    evil = Evil(f"touch {sentinel}")
    data = make_file()
    if place == "first":
        data = {"extra": evil, **data}
    elif place == "last":
        data["extra"] = evil
    elif place == "unused key":
        data["train"]["annotations"] = [evil]
    else:
        data["test"]["regression_labels"] = [0.0, 0.0, evil]
    path = save(tmp_path, data, protocol)
    with pytest.raises(
        CorpusError, match=r"refers to '(posix|nt)\.system'.*nothing in it was executed"
    ):
        write_store(read_published(path, "mosi"), tmp_path / "store")
    assert [one.name for one in tmp_path.iterdir()] == ["features.pkl"]


@pytest.mark.extended
@pytest.mark.slow
def test_the_benchmark_of_memory_runs_and_stays_far_below_the_size_of_the_file(tmp_path):
    script = Path(__file__).parents[2] / "benchmarks" / "import_memory.py"
    for protocol in (2, 4):
        command = [sys.executable, script, "--gigabytes", "0.1", "--protocol", str(protocol)]
        command += ["--folder", tmp_path]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        peak = done.stdout.split("bare interpreter: ")[1].split(" MB")[0]
        assert int(peak) < 60
        assert list(tmp_path.iterdir()) == []
