import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mien.data.store import open_store
from mien.data.store_writer import STORE, write_store
from mien.data.summary import format_summary, summarise
from mien.errors import CorpusError, FeatureError, StoreError
from mien.files.folders import staged
from mien.training.preparation import require_labels
from mien.types import Clip, Corpus, Material, Modality, Scale, SeriesSource, Task, Word

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


@pytest.fixture
def store(tmp_path):
    tokens = [np.array([[101], [7]], np.int32), np.array([[101]], np.int32), np.array([[9]])]
    return write_store(
        material(
            source(VALUES, feature_names=("f0", "loudness"), step_seconds=0.05),
            source(tokens, "tokens", size=1, dtype="int32"),
        ),
        tmp_path / "store",
    )


def edit_meta(store, **changes):
    path = store.path / "meta.json"
    meta = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(meta), encoding="utf-8")


# --- what goes in comes out


def test_clips_come_back_as_they_were(store):
    assert open_store(store.path).clips == CLIPS


def test_series_come_back_as_they_were(store):
    series = open_store(store.path).series("audio")
    assert len(series) == 3
    assert series.lengths.tolist() == [2, 0, 1]
    for row, values in enumerate(VALUES):
        np.testing.assert_array_equal(series[row], values)
    assert store.series("tokens")[0].tolist() == [[101], [7]]
    assert store.series("tokens").values.dtype == np.int32


def test_series_are_mapped_and_not_loaded(store):
    values = store.series("audio").values
    assert isinstance(values, np.memmap)
    assert not values.flags.writeable


def test_what_is_known_of_a_series_is_kept(store):
    meta = open_store(store.path).meta
    audio = meta.series["audio"]
    assert audio.feature_names == ("f0", "loudness")
    assert (audio.step_seconds, audio.extractor) == (0.05, "made/1")
    assert (audio.num_steps, audio.num_missing) == (3, 1)
    assert meta.num_clips == {"train": 2, "valid": 0, "test": 1}
    assert meta.labels == (Task.FUSION, Task.AUDIO)
    assert meta.origin == {"file": "label.csv"}
    assert (meta.name, meta.language, meta.is_synthetic) == ("own", "en", False)
    assert store.scale == Scale(-1, 1)


def test_rows_of_a_split_ascend(store):
    assert store.rows("train").tolist() == [0, 2]
    assert store.rows("valid").tolist() == []
    assert store.rows("test").tolist() == [1]


def test_a_store_shows_what_it_is(store):
    assert repr(store).endswith("store', own: train 2, valid 0, test 1)")


def test_a_series_that_no_clip_has_can_be_stored(tmp_path):
    empty = [np.zeros((0, 2), np.float32)] * 3
    series = write_store(material(source(empty)), tmp_path / "s").series("audio")
    assert series[1].shape == (0, 2)


def test_a_store_without_series_holds_its_clips(tmp_path):
    store = write_store(material(), tmp_path / "s")
    assert store.meta.series == {}
    assert len(store.clips) == 3


@given(
    hnp.arrays(np.float32, (6, 3), elements=st.floats(-(2.0**100), 2.0**100, width=32)),
    st.lists(st.integers(0, 6), min_size=2, max_size=2).map(sorted),
)
@settings(max_examples=25, deadline=None)
def test_any_finite_values_come_back_bit_by_bit(tmp_path_factory, values, cuts):
    parts = np.split(values, cuts)
    store = write_store(material(source(parts, size=3)), tmp_path_factory.mktemp("s") / "s")
    np.testing.assert_array_equal(store.series("audio").values, values)
    assert store.series("audio").lengths.tolist() == [len(part) for part in parts]


def test_arrays_may_be_views_and_of_another_type(tmp_path):
    wide = np.arange(24, dtype=np.float64).reshape(3, 8)
    parts = [wide[:2, ::4], wide[:0, ::4], np.asfortranarray(wide[2:, ::4])]
    store = write_store(material(source(parts)), tmp_path / "s")
    np.testing.assert_array_equal(store.series("audio").values, wide[:, ::4].astype(np.float32))


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
    with pytest.raises(StoreError, match=r"already exists; choose another path, or say --replace"):
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


# --- what is refused when opening


def test_a_folder_that_is_no_store_says_how_to_make_one(tmp_path):
    with pytest.raises(
        StoreError, match=r"is not a store \(it has no meta\.json\); mien import or"
    ):
        open_store(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"meta\.json: cannot be read"),
        ("[]", r"meta\.json: format is \[\], this version reads 1; import the corpus again"),
        ('{"format": 2}', r"meta\.json: format is 2, this version reads 1"),
        ('{"format": 1}', r"meta\.json: name: Field required; import the corpus again"),
    ],
)
def test_a_damaged_description_is_refused(store, text, message):
    (store.path / "meta.json").write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match=message):
        open_store(store.path)


def test_a_file_is_not_a_store(tmp_path):
    (tmp_path / "s").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match=r"s: is not a store"):
        open_store(tmp_path / "s")


@pytest.mark.parametrize(
    "line",
    [
        "{",
        '{"id": "a", "split": "dev", "transcript": "", "labels": {}}',
        '{"id": "a"}',
        '{"id": "a", "split": "test", "transcript": "", "labels": {"mood": 1}}',
        '{"id": "a", "split": "test", "transcript": "", "labels": 3}',
    ],
)
def test_damaged_clips_are_refused(store, line):
    (store.path / "clips.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(StoreError, match=r"clips\.jsonl: is damaged .* import the corpus again"):
        _ = open_store(store.path).clips


def test_clips_that_are_cut_short_are_refused(store):
    path = store.path / "clips.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")
    path.write_text("\n".join(lines[:2]) + "\n", encoding="utf-8")
    with pytest.raises(StoreError, match=r"has 2 clips, meta\.json says 3"):
        _ = open_store(store.path).clips


def test_a_series_that_is_not_there_is_answered_with_those_that_are(store):
    with pytest.raises(StoreError, match=r"has no series 'video'; there are: audio, tokens$"):
        store.series("video")


@pytest.mark.parametrize(
    ("file", "array"),
    [
        ("values", np.ones((2, 2), np.float32)),
        ("values", np.ones((3, 2), np.float64)),
        ("offsets", np.array([0, 2, 1, 3])),
        ("offsets", np.array([0, 2, 2])),
        ("offsets", np.array([0, 2, 2, 4])),
        ("offsets", np.array([1, 2, 2, 3])),
        ("offsets", np.array([0, 2, 2, 3], np.int32)),
    ],
)
def test_a_series_that_does_not_fit_is_refused(store, file, array):
    np.save(store.path / "audio" / f"{file}.npy", array)
    with pytest.raises(
        StoreError, match=r"audio: does not fit meta\.json; import the corpus again"
    ):
        store.series("audio")


@pytest.mark.parametrize("file", ["values", "offsets"])
def test_a_series_that_is_cut_short_is_refused(store, file):
    path = store.path / "audio" / f"{file}.npy"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(StoreError, match=r"audio: is damaged"):
        store.series("audio")


def test_a_series_of_python_objects_is_never_loaded(store):
    np.save(store.path / "audio" / "offsets.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(StoreError, match=r"audio: is damaged"):
        store.series("audio")


def test_opening_reads_the_description_alone(store):
    (store.path / "clips.jsonl").unlink()
    (store.path / "audio" / "values.npy").unlink()
    assert open_store(store.path).meta.name == "own"


def test_a_description_with_another_setting_is_refused(store):
    edit_meta(store, colour="red")
    with pytest.raises(StoreError, match=r"meta\.json: colour: Extra inputs are not permitted"):
        open_store(store.path)


# --- times, words, and clips without labels -------------------------------------------------------


def times_of(values):
    return [np.arange(len(one)) * 0.5 + 0.25 for one in values]


def test_times_of_steps_are_mapped_beside_the_values(tmp_path):
    times = times_of(VALUES)
    timed = source(VALUES, read_times=lambda: iter(times))
    store = write_store(material(timed, source(VALUES, "video")), tmp_path / "store")
    assert store.series("audio").times.tolist() == [0.25, 0.75, 0.25]
    assert store.series("video").times is None
    assert store.meta.series["audio"].has_times
    assert not (tmp_path / "store" / "video" / "times.npy").exists()


def test_the_fingerprint_covers_times(tmp_path):
    timed = source(VALUES, read_times=lambda: iter(times_of(VALUES)))
    store = write_store(material(timed), tmp_path / "store")
    plain = write_store(material(source(VALUES)), tmp_path / "plain")
    assert store.meta.fingerprint != plain.meta.fingerprint
    np.save(store.path / "audio" / "times.npy", np.array([0.25, 0.75, 0.3]))
    assert open_store(store.path).compute_fingerprint() != store.meta.fingerprint


@pytest.mark.parametrize(
    ("times", "sentence"),
    [
        ([[0.0], [], [0.0]], "has 2 steps and 1 times"),
        ([[0.0, np.nan], [], [0.0]], "the times of the steps must be finite and in order"),
        ([[1.0, 0.5], [], [0.0]], "the times of the steps must be finite and in order"),
    ],
)
def test_times_that_cannot_be_are_refused(tmp_path, times, sentence):
    arrays = [np.array(one, np.float64) for one in times]
    timed = source(VALUES, read_times=lambda: iter(arrays))
    with pytest.raises(FeatureError, match=rf"audio of clip 'v\$_\$1'.*{sentence}"):
        write_store(material(timed), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_times_that_do_not_fit_the_values_are_damage(tmp_path):
    timed = source(VALUES, read_times=lambda: iter(times_of(VALUES)))
    store = write_store(material(timed), tmp_path / "store")
    np.save(store.path / "audio" / "times.npy", np.zeros(2))
    with pytest.raises(StoreError, match=r"does not fit meta\.json"):
        open_store(store.path).series("audio")


def test_a_store_written_before_there_were_times_still_opens(store):
    meta = json.loads((store.path / "meta.json").read_text(encoding="utf-8"))
    for series in meta["series"].values():
        del series["has_times"]
    (store.path / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    old = open_store(store.path)
    assert old.series("audio").times is None
    assert old.compute_fingerprint() == store.meta.fingerprint


def test_words_come_back_with_their_times(tmp_path):
    words = (Word("so", 0.0, 0.25), Word("“good”", 0.25, 1.0))
    clips = (dataclasses.replace(CLIPS[0], words=words), *CLIPS[1:])
    store = write_store(material(source(VALUES), clips=clips), tmp_path / "store")
    assert [clip.words for clip in open_store(store.path).clips] == [words, (), ()]


def test_clips_without_labels_are_kept_for_prediction(tmp_path):
    clips = [dataclasses.replace(clip, labels={}) for clip in CLIPS]
    bare = material(source(VALUES), clips=clips, is_annotated=False)
    store = write_store(bare, tmp_path / "store")
    assert store.meta.labels == ()
    assert "no labels" in format_summary(summarise(store))
    with pytest.raises(StoreError, match="its clips have no labels, training and evaluating need"):
        require_labels(store)


def test_clips_that_nobody_annotated_lie_beside_others(tmp_path):
    clips = [dataclasses.replace(CLIPS[0], labels={}), *CLIPS[1:]]
    store = write_store(material(source(VALUES), clips=clips), tmp_path / "store")
    assert [bool(clip.labels) for clip in store.clips] == [False, *[True] * len(CLIPS[1:])]
    assert summarise(store).labels[Task.FUSION].num_clips[CLIPS[0].split] == sum(
        clip.split == CLIPS[0].split for clip in CLIPS[1:]
    )


def test_a_corpus_without_annotations_has_no_label(tmp_path):
    clips = [dataclasses.replace(CLIPS[0], labels={}), *CLIPS[1:]]
    with pytest.raises(CorpusError, match="has a label, corpus 'own' says none has"):
        write_store(material(source(VALUES), clips=clips, is_annotated=False), tmp_path / "store")


def test_records_lie_beside_the_series(tmp_path):
    store = write_store(material(source(VALUES)), tmp_path / "store", records={"a.csv": "x\n"})
    assert (store.path / "a.csv").read_bytes() == b"x\n"
