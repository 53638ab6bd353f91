"""What a store is when it is written: its fingerprint, what is refused, whole or not at all."""

import os
from dataclasses import replace

import numpy as np
import pytest
from stored import CLIPS, VALUES, material, source, write_stored

from mien.data.store import open_store
from mien.data.store_writer import STORE, write_store
from mien.errors import CorpusError, FeatureError, StoreError
from mien.files.folders import staged
from mien.types import Clip, Task


@pytest.fixture
def store(tmp_path):
    return write_stored(tmp_path / "store")


# --- the fingerprint


def test_equal_material_has_an_equal_fingerprint(store, tmp_path):
    def again(values, name):
        return write_store(material(source(values)), tmp_path / name).meta.fingerprint

    changed = [VALUES[0] + 1, *VALUES[1:]]
    assert again(VALUES, "a") == again(VALUES, "b") != again(changed, "c")
    assert store.compute_fingerprint() == store.meta.fingerprint


def test_the_fingerprint_sees_labels_and_where_clips_end(tmp_path):
    def of(values, clips, name):
        return write_store(material(source(values), clips=clips), tmp_path / name).meta.fingerprint

    moved = [VALUES[0][:1], VALUES[0][1:], VALUES[2]]
    labelled = (CLIPS[0], CLIPS[1], Clip(id="w$_$1", split="train", transcript="so so",
                                         labels={Task.FUSION: 0.9}))  # fmt: skip
    found = {of(VALUES, CLIPS, "a"), of(moved, CLIPS, "b"), of(VALUES, labelled, "c")}
    assert len(found) == 3


# --- what is refused when writing


@pytest.mark.parametrize(
    ("values", "facts", "message"),
    [
        (
            [np.ones((2, 3))] * 3,
            {},
            r"audio of clip 'v\$_\$1': shape is \(2, 3\), must be \(steps, 2",
        ),
        ([np.ones(2)] * 3, {}, r"shape is \(2,\), must be \(steps, 2\)"),
        ([np.array([[1, np.nan]])] * 3, {}, r"value at step 0, feature 1 is nan; .* finite"),
        ([np.array([[1, 1], [-np.inf, 1]])] * 3, {}, r"value at step 1, feature 0 is -inf"),
        ([np.array([[1e300, 1]])] * 3, {}, r"feature 0 is 1e\+300; features must be finite"),
        ([np.array([[2**40, 1]])] * 3, {"dtype": "int32"}, r"is 1099511627776; must be a token id"),
        ([np.array([[1, 1.5]])] * 3, {"dtype": "int32"}, r"feature 1 is 1\.5; must be a token id"),
        (VALUES, {"feature_names": ("f0",)}, r"audio: has 1 feature names for 2 values a step"),
    ],
)
def test_values_that_cannot_be_kept_are_refused(tmp_path, values, facts, message):
    """1e300 became infinite, 2**40 became 0 and 1.5 became 1, without a word."""
    with pytest.raises(FeatureError, match=message):
        write_store(material(source(values, **facts)), tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


def plain_clip(name="a", labels=None):
    return Clip(id=name, split="train", transcript="", labels=labels or {Task.FUSION: 0.0})


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ((), "corpus 'own' has no clips"),
        ((plain_clip(), plain_clip()), r"clip 'a' occurs twice \(in train and train\)"),
        ((plain_clip(labels={Task.TEXT: 0.0}),), "corpus 'own': no clip has a multimodal label"),
        ((plain_clip(labels={Task.FUSION: 1.5}),), r"label of fusion is 1\.5, .* from -1 to 1"),
        ((plain_clip(labels={Task.FUSION: 0.0, Task.TEXT: float("nan")}),), "label of text is nan"),
        (
            (replace(plain_clip(), transcript="so \ud800"),),
            r"'a': .* half of a character \('.ud800'",
        ),
    ],
)
def test_clips_that_are_not_as_they_should_be_are_refused(tmp_path, clips, message):
    with pytest.raises(CorpusError, match=message):
        write_store(material(clips=clips), tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


def test_a_source_of_too_few_series_leaves_no_store(tmp_path):
    with pytest.raises(ValueError, match="shorter"):
        write_store(material(source(VALUES[:2])), tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


# --- whole or not at all


def test_a_store_that_is_there_is_not_replaced_unasked(store):
    with pytest.raises(StoreError, match=r"already exists; choose another path, or use --replace"):
        write_store(material(), store.path)
    assert open_store(store.path).clips == CLIPS


def test_a_store_can_be_replaced(store):
    write_store(material(clips=CLIPS[:1]), store.path, replace=True)
    assert open_store(store.path).clips == CLIPS[:1]
    assert [path.name for path in store.path.parent.iterdir()] == ["store"]


def test_a_failure_keeps_the_store_that_was_there(store):
    with pytest.raises(FeatureError):
        write_store(material(source([np.ones((1, 9))] * 3)), store.path, replace=True)
    assert open_store(store.path).clips == CLIPS
    assert [path.name for path in store.path.parent.iterdir()] == ["store"]


def test_what_is_not_a_store_is_never_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("precious", encoding="utf-8")
    with pytest.raises(StoreError, match="exists and is not a store; it will not be replaced"):
        write_store(material(), tmp_path / "thesis", replace=True)
    assert (tmp_path / "thesis" / "chapter.tex").exists()


def test_a_kill_leaves_nothing_behind(tmp_path):
    def write():
        with staged(tmp_path / "s", STORE, replace=False) as folder:
            (folder / "half").write_text("half", encoding="utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="permissions are those of POSIX")
def test_others_may_read_the_store(store):
    assert store.path.stat().st_mode & 0o777 == 0o755


def test_missing_folders_above_the_store_are_made(tmp_path):
    assert write_store(material(), tmp_path / "a" / "b" / "s").path.is_dir()
