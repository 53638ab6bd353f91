"""Stores whose clips have values of further targets: written, read, kept as columns, refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from stored import CLIPS, material, write_stored

from mien.data.clips import clip_index
from mien.data.dataset import make_dataset
from mien.data.store import open_store
from mien.data.store_writer import write_store
from mien.data.summary import verify
from mien.errors import CorpusError, StoreError
from mien.types import Scale, Target, TargetKind, Task

EMOTION = Target(name="emotion", kind=TargetKind.CLASS, classes=("joy", "anger", "none"))
TAGS = Target(name="tags.of it", kind=TargetKind.LABELS, classes=("loud", "fast"))
VALENCE = Target(name="valence", kind=TargetKind.SCORE, scale=Scale(1, 5))
MOODS = Target(
    name="moods", kind=TargetKind.INTENSITIES, classes=("joy", "fear"), scale=Scale(0, 3)
)
TARGETS = (EMOTION, TAGS, VALENCE, MOODS)
VALUES = (
    {
        "emotion": {Task.FUSION: (0.25, 0.75, 0.0), Task.AUDIO: (0.0, 0.0, 1.0)},
        "valence": {Task.FUSION: (4.2,)},
    },
    {},
    {"tags.of it": {Task.FUSION: (1.0, 0.0)}, "moods": {Task.FUSION: (3.0, 0.1)}},
)


def targeted(values=VALUES, targets=TARGETS, *, labels=True, **facts):
    clips = tuple(
        replace(clip, targets=own, labels=clip.labels if labels else {})
        for clip, own in zip(CLIPS, values, strict=True)
    )
    return material(clips=clips, targets=targets, **facts)


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("largest", [1 << 22, 1])
def test_a_store_gives_back_the_values_of_targets(tmp_path, monkeypatch, labels, largest):
    """Small files are read as they are, of large ones the columns are kept and mapped."""
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(clip_index, "LARGE", largest)
    made = targeted(labels=labels)
    write_store(made, tmp_path / "store")
    for _ in range(2):  # the second time from the cache
        store = open_store(tmp_path / "store")
        assert tuple(store) == made.corpus.clips
        assert store.meta.targets == TARGETS
        assert store.meta.is_annotated
        assert store.meta.has_sentiment == labels
        np.testing.assert_array_equal(
            store.clips.target(EMOTION, Task.FUSION),
            [[0.25, 0.75, 0.0], [np.nan] * 3, [np.nan] * 3],
        )
        assert np.isnan(store.clips.target(MOODS, Task.VIDEO)).all()
        assert store.clips.have_target("moods", Task.FUSION).tolist() == [False, False, True]
        taken = store.clips.take(np.array([2, 0]))
        np.testing.assert_array_equal(taken.target(VALENCE, Task.FUSION), [[np.nan], [4.2]])


def test_stores_without_targets_are_as_they_were(tmp_path):
    store = write_stored(tmp_path / "store")
    assert "targets" not in json.loads((store.path / "meta.json").read_text())
    assert "targets" not in (store.path / "clips.jsonl").read_text()
    assert store.meta.targets == ()


def test_the_names_of_classes_are_part_of_the_fingerprint(tmp_path):
    store = write_store(targeted(), tmp_path / "store")
    assert store.compute_fingerprint() == store.meta.fingerprint
    assert len(store.meta.fingerprint) == 64
    path = store.path / "meta.json"
    short = {"fingerprint": store.meta.fingerprint[:24]}  # of earlier versions
    path.write_text(json.dumps(json.loads(path.read_text()) | short))
    verify(open_store(store.path))
    swapped = replace(EMOTION, classes=("anger", "joy", "none"))
    other = write_store(targeted(targets=(swapped, TAGS, VALENCE, MOODS)), tmp_path / "other")
    assert other.meta.fingerprint != store.meta.fingerprint


def test_a_data_frame_has_a_column_for_each_value(tmp_path):
    frame = write_store(targeted(), tmp_path / "store").to_pandas()
    assert frame["emotion/fusion/anger"].tolist()[0] == 0.75
    assert np.isnan(frame["valence/fusion"].tolist()[1])


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"emotoin": {Task.FUSION: (1.0, 0.0, 0.0)}}, "has no target 'emotoin'; did you mean 'emo"),
        ({"emotion": {Task.FUSION: (1.0, 0.0)}}, "emotion of fusion has 2 values, must have 3"),
        ({"emotion": {Task.TEXT: (1.0, 0.5, 0.0)}}, "has shares that sum to 1.5, must be 1"),
        ({"valence": {Task.FUSION: (0.0,)}}, "has the value 0.0, must be a number from 1 to 5"),
        ({"moods": {Task.FUSION: (np.nan, 0.0)}}, "has the value nan, must be a number from 0 to"),
    ],
)
def test_values_that_no_target_can_have_are_refused(tmp_path, values, match):
    with pytest.raises(CorpusError, match=match):
        write_store(targeted((values, {}, {})), tmp_path / "store")


@pytest.mark.parametrize(
    ("facts", "match"),
    [
        ({"name": "a/b"}, "a name has no '/'"),
        ({"name": " a"}, "cannot be a name"),
        ({"classes": ()}, "kind class has one or more classes"),
        ({"classes": ("x", "y", "x")}, "class 'x' is there twice"),
        ({"classes": ("x", "y\n")}, "cannot be a name"),
        ({"classes": tuple(map(str, range(1001)))}, "has 1001 classes, at most 1000"),
        ({"scale": Scale(0, 1)}, "kind class has no scale"),
        ({"kind": TargetKind.SCORE, "scale": Scale(0, 1)}, "kind score has no classes"),
        ({"kind": TargetKind.INTENSITIES}, "kind intensities has a scale"),
        ({"kind": TargetKind.INTENSITIES, "scale": Scale(1, 1)}, "must be \\(LOW, HIGH\\)"),
    ],
)
def test_a_target_that_makes_no_sense_is_refused(facts, match):
    given = {"name": "emotion", "kind": TargetKind.CLASS, "classes": ("x", "y"), **facts}
    with pytest.raises(CorpusError, match=match):
        Target(**given)


def test_a_corpus_says_of_each_target_once_what_it_is(tmp_path):
    with pytest.raises(CorpusError, match="target 'valence' is there twice"):
        write_store(targeted(({}, {}, {}), (VALENCE, VALENCE)), tmp_path / "store")
    with pytest.raises(CorpusError, match="no clip has a multimodal label, or values of a target"):
        write_store(targeted(({}, {}, {}), labels=False), tmp_path / "store")
    with pytest.raises(CorpusError, match="has a label, corpus 'own' says none has"):
        write_store(targeted(labels=False, is_annotated=False), tmp_path / "store")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('"emotion": {"fusion"', '"emoion": {"fusion"', "has values of 'emoion', which is no targ"),
        ("[4.2]", "[4.2, 1]", "'valence' has 2 values, meta.json says 1"),
        ("[4.2]", "[NaN]", "a value of 'valence' for fusion is not in 1 to 5"),
        ("[4.2]", '"high"', "is damaged"),
        ("[0.25, 0.75, 0.0]", "[0.25, 0.5, 0.0]", "shares of 'emotion' for fusion do not sum to 1"),
        ('{"fusion": [4.2]}', '{"smell": [4.2]}', "is damaged"),
    ],
)
def test_a_store_with_other_values_than_its_targets_is_refused(tmp_path, old, new, match):
    store = write_store(targeted(), tmp_path / "store")
    path = store.path / "clips.jsonl"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(StoreError, match=match):
        _ = open_store(store.path).clips


def test_a_store_whose_description_has_no_such_kind_is_refused(tmp_path):
    store = write_store(targeted(), tmp_path / "store")
    path = store.path / "meta.json"
    path.write_text(path.read_text().replace('"class"', '"sort"'))
    with pytest.raises(StoreError, match=r"targets.*import the corpus again"):
        open_store(store.path)


@pytest.mark.parametrize(
    "classes", [("sad", "none", "joy", "anger"), ("sadness", "none", "happy", "Angry")]
)
def test_a_dataset_has_the_values_in_the_order_of_the_classes(tmp_path, classes):
    """A model may know more classes than a store, in another order, by other names for the same."""
    store = write_store(targeted(), tmp_path / "store")
    known = replace(EMOTION, classes=classes)
    other = Target(name="arousal", kind=TargetKind.SCORE, scale=Scale(0, 1))
    data = make_dataset(store.clips, np.arange(3), {}, {}, (known, other), store.meta.targets)
    np.testing.assert_array_equal(
        data.values["emotion"][Task.FUSION], [[0, 0, 0.25, 0.75], [np.nan] * 4, [np.nan] * 4]
    )
    assert list(data.values["emotion"]) == [Task.FUSION, Task.AUDIO]
    assert data.values["arousal"][Task.FUSION].isnan().all()
    part = data.part(np.array([0]))
    assert part.targets(np.array([0])).values["emotion"][Task.AUDIO].tolist() == [[0, 1, 0, 0]]
    loaded = data.collate([data[1], data[0]])[1]
    np.testing.assert_array_equal(
        loaded.values["emotion"][Task.FUSION], data.values["emotion"][Task.FUSION][[1, 0]]
    )
