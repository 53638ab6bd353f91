import dataclasses
import json

import numpy as np
import pytest
from cases import examples
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from stored import CLIPS, VALUES, material, source, times_of, write_stored

from mien.data.store import open_store
from mien.data.store_writer import write_store
from mien.data.summary import format_summary, summarise
from mien.errors import CorpusError, FeatureError, StoreError
from mien.training.preparation import require_labels
from mien.types import Scale, Task, Word


@pytest.fixture
def store(tmp_path):
    return write_stored(tmp_path / "store")


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
@examples(25)
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


# --- what is refused when opening


def test_a_folder_that_is_no_store_says_how_to_make_one(tmp_path):
    with pytest.raises(
        StoreError, match=r"is not a store \(it has no meta\.json\); mien import or"
    ):
        open_store(tmp_path)


def test_a_folder_of_stores_names_them(tmp_path):
    for number in (1, 2):
        write_store(material(), tmp_path / f"fold-{number}")
    with pytest.raises(StoreError, match=r"holds fold-1, fold-2; state one, or train on all folds"):
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
