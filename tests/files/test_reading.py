"""Files of users: whatever is wrong with one is said in a sentence, in bounded memory and time."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from mien.config import read_toml
from mien.corpora import npz_file
from mien.corpora.clip_table.encodings import read_lines
from mien.corpora.npz_features import read_arrays
from mien.corpora.npz_file import open_npz
from mien.corpora.recordings import read_words
from mien.corpora.safe_pickle.feature_file import FeatureFile
from mien.corpora.safe_pickle.machine import load_closed
from mien.errors import (
    AssetError,
    CheckpointError,
    ConfigError,
    CorpusError,
    FeatureError,
    MediaError,
)
from mien.extraction.extractors.audio_encoder import TransformersEncoder
from mien.extraction.media.containers import open_container
from mien.files.reading import open_regular, read_limited
from mien.pretrained.direct.tokenizer import load_tokenizer
from mien.training.checkpoints.checkpoint import read_tensors

READERS = {
    "words": (lambda path: read_words(path, ["a"]), CorpusError),
    "settings": (read_toml, ConfigError),
    "npz": (open_npz, FeatureError),
    "any": (lambda path: read_limited(path, CorpusError, most=10), CorpusError),
}


@pytest.mark.parametrize("name", READERS)
def test_what_is_no_regular_file_is_not_waited_for(tmp_path, name):
    read, error = READERS[name]
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "link").symlink_to("/dev/zero")
    for path, match in (
        (fifo, "is not a regular file"),
        (tmp_path / "link", "is not a regular file"),
        (tmp_path, "is a folder"),
        (tmp_path / "gone", "is not there; check the path"),
        (tmp_path / "a\0b", "cannot be read"),
    ):
        with pytest.raises(error, match=match):
            read(path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.txt"])
@pytest.mark.parametrize("load", [load_tokenizer, lambda path: TransformersEncoder(str(path))])
def test_a_pretrained_folder_with_a_pipe_is_not_waited_for(tmp_path, name, load):
    os.mkfifo(tmp_path / name)
    with pytest.raises(AssetError, match=f"{name}: is not a regular file"):
        load(tmp_path)


def test_a_file_is_read_up_to_its_limit_and_no_further(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf0123456")
    assert read_limited(path, CorpusError, most=10) == "0123456"
    path.write_bytes(b"0" * 11)
    with pytest.raises(CorpusError, match="is larger than"):
        read_limited(path, CorpusError, most=10)
    with open_regular(path, CorpusError) as file:
        assert file.read() == b"0" * 11


TOO_DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (TOO_DEEP, "is nested too deep to be read as JSON"),
        ('{"a":' * 100_000, "is nested too deep to be read as JSON"),
        ('{"a": [["x", 0, 1' + "0" * 400 + "]]}", "word 0 is from 0 to inf s"),
        ('{"a": [["x", 0, 1' + "0" * 5000 + "]]}", "is not JSON"),
        ('{"a": [["x", 0, NaN]]}', "word 0 is from 0 to nan s"),
        ('{"a": [' + "[" * 500 + "]" * 500 + "]}", r"word 0 is \[+\.\.\.\]+, must be"),
        ('{"a": 1}', r"must be a list of \[WORD, START, END\]"),
        ("\xff", "is not JSON"),
    ],
)
def test_words_that_are_not_as_they_should_be_are_an_error_in_one_sentence(tmp_path, text, match):
    path = tmp_path / "words.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError, match=match) as caught:
        read_words(path, ["a"])
    assert len(str(caught.value)) < 400


def test_words_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "words.json"
    path.write_text(json.dumps({"a": [["x", 0, 1]]}), encoding="utf-8-sig")
    assert read_words(path, ["a"])["a"][0].text == "x"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a = 1" + "0" * 6000, "is not TOML: Exceeds the limit"),
        ("a = " + TOO_DEEP, "is nested too deep to be read as TOML"),
        (".".join("a" * 5000) + " = 1", "is nested too deep|there is no|is not TOML"),
        ("a = ", "is not TOML"),
    ],
)
def test_settings_that_cannot_be_read_are_an_error_in_one_sentence(tmp_path, text, match):
    path = tmp_path / "a.toml"
    path.write_text(text, encoding="utf-8")
    if "a.a" in text:
        assert read_toml(path)
        return
    with pytest.raises(ConfigError, match=match) as caught:
        read_toml(path)
    assert len(str(caught.value)) < 400


def write_npz(path, raw, *, method=zipfile.ZIP_DEFLATED, name="values.npy"):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, raw)
    return path


def header(text):
    data = text.encode().ljust(118 - 10) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(data).to_bytes(2, "little") + data


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (
            header("{'descr': '<f4', 'fortran_order': False, 'shape': (8, 99999999999)}"),
            r"'values' promises 3199999999968 bytes \(float32\[8, 99999999999\]\), 0 are there",
        ),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (8, 3.0)}"), "is not an npz"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 30), "is not an npz"),
        (b"\x93NUMPY\x09\x00" + bytes(100), "is not an npz file"),
        (b"", "is not an npz file"),
    ],
)
def test_an_array_that_lies_about_itself_is_an_error(tmp_path, raw, match):
    with pytest.raises(FeatureError, match=match):
        open_npz(write_npz(tmp_path / "a.npz", raw))


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(npz_file, "LARGEST_PACKED", 1000)
    np.savez_compressed(tmp_path / "a.npz", values=np.zeros((1000, 1000)))
    with pytest.raises(FeatureError, match=r"'values' unpacks \d+ bytes to 8000000"):
        open_npz(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", values=np.zeros((1000, 1000)))
    assert open_npz(tmp_path / "b.npz").load("values").shape == (1000, 1000)


def change_bytes(path, change):
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(bytes(data))
    return path


def test_damaged_and_locked_archives_are_an_error(tmp_path):
    raw = io.BytesIO()
    np.save(raw, np.random.default_rng(1).normal(size=(50, 4)))
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_STORED):
        path = write_npz(tmp_path / f"{method}.npz", raw.getvalue(), method=method)
        assert open_npz(path).load("values").shape == (50, 4)

        def damage(data):
            data[200:240] = bytes(40)

        with pytest.raises(FeatureError, match=r"is not an npz file|cannot be read"):
            open_npz(change_bytes(path, damage)).load("values")

    def lock(data):
        for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            data[data.index(mark) + place] |= 1

    locked = change_bytes(write_npz(tmp_path / "locked.npz", raw.getvalue()), lock)
    with pytest.raises(FeatureError, match=r"is not an npz file \(.*encrypted"):
        open_npz(locked)


def test_ids_and_names_in_another_encoding_are_an_error(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, id=np.array([b"a", "é".encode("latin-1")]), values=np.zeros((2, 3)))
    with pytest.raises(FeatureError, match=r"array 'id': value 1 is b'\\xe9', which is not UTF-8"):
        read_arrays(path, name="audio", ids=["a", "b"])
    names = np.array([b"x", b"\xe9", b"z"])
    np.savez(path, id=np.array(["a", "b"]), values=np.zeros((2, 3)), values_cols=names)
    with pytest.raises(FeatureError, match=r"array 'values_cols': value 1 is .*not UTF-8"):
        read_arrays(path, name="audio", ids=["a", "b"])
    names = np.array(["x", "é", "中"])
    np.savez(path, id=np.array(["a", "b"]), values=np.zeros((2, 3)), values_cols=names)
    assert read_arrays(path, name="audio", ids=["a", "b"]).feature_names == ("x", "é", "中")


def torch_file(*, is_old):
    file = io.BytesIO()
    torch.save({"train": torch.ones(2)}, file, _use_new_zipfile_serialization=not is_old)
    return file.getvalue()


def zipped(name):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"x")
    return file.getvalue()


OTHER_KINDS = {
    "page": (b"\n<!DOCTYPE html><html>Virus scan warning</html>", "a web page"),
    "plain page": (b"<HTML><body>404</body></HTML>", "a web page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "LFS"),
    "torch": (torch_file(is_old=False), "a file of torch.save"),
    "torch before 1.6": (torch_file(is_old=True), "a file of torch.save"),
    "npz": (zipped("audio.npy"), "an npz file"),
    "zip": (zipped("features/mosi.pkl"), "an archive"),
    "gzip": (gzip.compress(b"abc"), "a compressed file"),
    "bzip2": (bz2.compress(b"abc"), "a compressed file"),
    "xz": (lzma.compress(b"abc"), "a compressed file"),
    "npy": (b"\x93NUMPY\x01\x00", "an npy file"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(9), "an HDF5 file"),
    "onnx": (b"\x08\x0a\x12\x07pytorch\x1a\x062.13.0", "an ONNX network, which onnxruntime reads"),
    "pickle": (pickle.dumps({"train": [1.0]}, 4), "a pickle"),
}


def read_pickle(path):
    with FeatureFile(path) as file:
        return load_closed(file)


def read_container(path):
    with open_container(path):
        pass


OTHER_READERS = {
    "pickle": (read_pickle, CorpusError, {"pickle"}),
    "npz": (open_npz, FeatureError, {"npz", "zip", "torch"}),
    "table": (lambda path: list(read_lines(path)), CorpusError, {"npz", "zip", "torch"}),
    "weights": (read_tensors, CheckpointError, set()),
    "recording": (read_container, MediaError, set()),
}


@pytest.mark.parametrize("reader", OTHER_READERS)
@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_a_file_of_another_kind_is_called_by_its_name(tmp_path, kind, reader):
    read, error, apart = OTHER_READERS[reader]
    if kind in apart:  # is what is read, or has a message of its own
        return
    data, name = OTHER_KINDS[kind]
    path = tmp_path / "given"
    path.write_bytes(data)
    with pytest.raises(error, match=name):
        read(path)


def test_safetensors_whose_header_begins_like_another_file_are_read(tmp_path):
    path = tmp_path / "weights.safetensors"
    for size in (0x8B1F, 0x0280):  # gzip, a pickle
        header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
        path.write_bytes(size.to_bytes(8, "little") + header.ljust(size) + bytes(4))
        assert read_tensors(path)["a"].tolist() == [0.0]


def test_an_archive_without_arrays_holds_none(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(zipped("readme.txt"))
    with pytest.raises(FeatureError, match="holds no array"):
        open_npz(path)
