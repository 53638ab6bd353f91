"""Hashes of files and of values."""

import hashlib
import os

import pytest

from mien.errors import AssetError, CorpusError, StoreError
from mien.files.hashing import hash_file, hash_files, hash_json


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "b.txt", tmp_path / "a.bin", tmp_path / "empty"]
    contents = [b"once", bytes(range(256)) * 9000, b""]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return dict(zip(paths, contents, strict=True))


def test_the_hash_of_a_file_is_that_of_its_content(files):
    for path, content in files.items():
        assert hash_file(path, StoreError) == hashlib.sha256(content).hexdigest()


def test_files_are_hashed_end_to_end_in_the_given_order(files):
    whole = hashlib.sha256(b"".join(files.values())).hexdigest()
    assert hash_files(files, StoreError) == whole
    assert hash_files(reversed(files), StoreError) != whole
    assert hash_files([], StoreError) == hashlib.sha256(b"").hexdigest()


def test_names_are_hashed_before_contents_if_they_count(files, tmp_path):
    whole = b"".join(path.name.encode() + content for path, content in files.items())
    before = hash_files(files, AssetError, with_names=True)
    assert before == hashlib.sha256(whole).hexdigest()
    (tmp_path / "b.txt").rename(tmp_path / "c.txt")
    renamed = [tmp_path / "c.txt", *list(files)[1:]]
    assert hash_files(renamed, AssetError, with_names=True) != before


@pytest.mark.parametrize("error", [CorpusError, AssetError])
def test_what_cannot_be_opened_is_an_error_of_the_caller(tmp_path, error):
    os.mkfifo(tmp_path / "pipe")
    for name, reason in {"gone": "is not there", "pipe": "not a regular file"}.items():
        with pytest.raises(error, match=reason):
            hash_file(tmp_path / name, error)


def test_a_hash_of_values_depends_on_every_part_and_not_on_their_order():
    assert hash_json({"a": 1, "b": [2]}) == hash_json({"b": [2], "a": 1})
    different = ({"a": 1}, {"a": 1.0}, {"a": "1"}, {"b": 1}, [])
    assert len({hash_json(values) for values in different}) == 5


def test_a_hash_of_values_is_the_name_of_files_that_are_there_already():
    assert hash_json({"b": [2, "ä"], "a": None}) == "e42cd2a92d8795a8dcb3cb8e"
    assert hash_json(["clip", 1.5, []], digits=40) == "cfbb288adf21234d38c8442bf1b3bcba11f7a2db"
