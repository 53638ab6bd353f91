import csv
import logging
from pathlib import Path

import numpy as np
import pytest

from mien.corpora import KNOWN
from mien.corpora.table import read_table
from mien.data.store_writer import write_store
from mien.errors import CorpusError, FeatureError
from mien.types import Modality, Scale, Task

HEADER = "video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode"
ROWS = (
    "one,1,it was good,1.0,0.5,,-0.5,Positive,train",
    'one,2,"slow, and long",-0.6,,,,Negative,train',
    "two,1,about average,0.0,,,,Neutral,test",
)
DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="needs the real label.csv files in ../shared/data"
)


@pytest.fixture
def table(tmp_path):
    def write(*rows, header=HEADER, encoding="utf-8"):
        path = tmp_path / "label.csv"
        path.write_text("\n".join([header, *rows]) + "\n", encoding=encoding)
        return path

    return write


@pytest.fixture
def npz(tmp_path):
    def write(name="a.npz", /, **arrays):
        path = tmp_path / name
        np.savez(path, **arrays)
        return path

    return write


def read(path, scale=Scale(-1, 1), **features):  # noqa: B008  # a named tuple never changes
    return read_table(path, features=features, name="own", language="en", scale=scale)


def values_of(material, name="audio"):
    return list(next(one for one in material.series if one.name == name).read())


def vectors(*rows):
    return np.array(rows, dtype=np.float32)


IDS = np.array(["one$_$1", "one$_$2", "two$_$1"])
THREE = vectors([1, 2], [3, 4], [5, 6])


# --- the CSV file


def test_columns_become_clips(table):
    clips = read(table(*ROWS)).corpus.clips
    assert [clip.id for clip in clips] == ["one$_$1", "one$_$2", "two$_$1"]
    assert [clip.split for clip in clips] == ["train", "train", "test"]
    assert clips[1].transcript == "slow, and long"
    assert clips[0].labels == {Task.FUSION: 1.0, Task.TEXT: 0.5, Task.VIDEO: -0.5}
    assert clips[1].labels == {Task.FUSION: -0.6}
    assert clips[0].start is None


def test_the_corpus_is_called_what_the_user_says(table):
    corpus = read_table(
        table(*ROWS), features={}, name="calls", language="de", scale=Scale(-3, 3)
    ).corpus
    assert (corpus.name, corpus.language, corpus.scale) == ("calls", "de", Scale(-3, 3))
    assert not corpus.is_synthetic


def test_columns_are_found_by_name_and_others_are_ignored(table):
    path = table(
        "train,x,2.5,0.4,c,v,1.5,well", header="mode,note,end,label,clip_id,video_id,start,text"
    )
    (clip,) = read(path).corpus.clips
    assert (clip.id, clip.start, clip.end, clip.transcript) == ("v$_$c", 1.5, 2.5, "well")
    assert clip.labels == {Task.FUSION: 0.4}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_does_not_matter(table, encoding):
    path = table("v,1,闭嘴,0,train", header="video_id,clip_id,text,label,mode", encoding=encoding)
    (clip,) = read(path).corpus.clips
    assert (clip.video_id, clip.transcript) == ("v", "闭嘴")


def test_a_table_without_text_needs_features(table, npz):
    path = table("one,1,0.5,train", header="video_id,clip_id,label,mode")
    with pytest.raises(CorpusError, match=r"label.csv: has no transcripts, and no features"):
        read(path)
    material = read(path, audio=npz(id=IDS[:1], values=THREE[:1]))
    assert material.corpus.clips[0].transcript == ""


def test_blank_lines_are_skipped_and_lines_are_counted_from_the_first_of_a_row(table):
    path = table("v,1,good,1,,,,x,train", "", 'v,2,"two\nlines",2,,,,x,train')
    with pytest.raises(CorpusError, match=r"label\.csv:4: label is '2', must be a number from -1"):
        read(path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("v,1,good,1.0,,,,x,held", r":2: mode is 'held', must be train, valid, test$"),
        ("v,1,good,x,,,,x,train", r":2: label is 'x', must be a number from -1 to 1$"),
        ("v,1,good,nan,,,,x,train", r":2: label is 'nan', must be a number .*; leave it empty"),
        ("v,1,good,Positive,,,,x,train", r":2: label is 'Positive', must be .*; classes are not"),
        ("v,1,good,1_0,,,,x,train", r":2: label is '1_0', must be a number"),
        ("v,1,good,0,1.2,,,x,train", r":2: label_T is '1.2', must be a number from -1 to 1$"),
        ('v,1,good,0,,"1,0,4",,x,train', r":2: label_A is '1,0,4', must be a number"),
        (",1,good,0,,,,x,train", r":2: video_id is '', must be a name"),
        ("v$_$w,1,good,0,,,,x,train", r":2: video_id is 'v\$_\$w', must be a name without '\$_\$'"),
        (
            "v,1,good, or so,0,,,,x,train",
            r":2: has 10 cells, the header has 9; a text with a comma",
        ),
        ("v,1,good,0,,,,x", r":2: has 8 cells, the header has 9"),
        ('v,1,"go"od,0,,,,x,train', r":2: is not CSV"),
    ],
)
def test_a_wrong_row_is_named_with_its_line(table, row, message):
    with pytest.raises(CorpusError, match=message):
        read(table(row))


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("-1", "2", "start is '-1', must be seconds from 0"),
        ("1", "inf", "end is 'inf', must be seconds from 0"),
        ("3", "2", "end is '2', must be after start, '3'"),
    ],
)
def test_times_are_seconds_in_order(table, start, end, message):
    path = table(
        f"v,1,good,0,train,{start},{end}", header="video_id,clip_id,text,label,mode,start,end"
    )
    with pytest.raises(CorpusError, match=message):
        read(path)


def test_one_end_of_a_clip_may_be_unknown(table):
    path = table("v,1,good,0,train,,4", header="video_id,clip_id,text,label,mode,start,end")
    (clip,) = read(path).corpus.clips
    assert (clip.start, clip.end) == (None, 4.0)


def test_a_clip_that_occurs_twice_is_named_with_both_lines(table):
    with pytest.raises(CorpusError, match=r"csv:4: video_id 'one' with clip_id '1' .* in line 2;"):
        read(table(ROWS[0], ROWS[1], ROWS[0]))


def test_a_missing_column_is_named_with_those_that_are_there(table):
    path = table("1,2,3", header="video_id,clip_id,text")
    with pytest.raises(
        CorpusError, match=r"csv:1: column 'label' is missing; .*video_id, clip_id, t"
    ):
        read(path)


def test_a_column_that_occurs_twice_is_refused(table):
    path = table("1,2,0,train,0", header="video_id,clip_id,label,mode,label")
    with pytest.raises(CorpusError, match="column 'label' occurs 2 times"):
        read(path)


def test_files_that_are_not_tables_are_refused(tmp_path, table):
    with pytest.raises(CorpusError, match=r"nothing\.csv: is not there; check the path"):
        read(tmp_path / "nothing.csv")
    with pytest.raises(CorpusError, match=r"has no clips"):
        read(table())
    (tmp_path / "latin.csv").write_bytes(f"{HEADER}\nv,1,caf\xe9,0,,,,x,train".encode("latin-1"))
    with pytest.raises(CorpusError, match=r"latin\.csv: is not UTF-8 .* save it as UTF-8"):
        read(tmp_path / "latin.csv")
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"column 'video_id' is missing; .* there are: none"):
        read(tmp_path / "empty.csv")


# --- layouts of arrays


def test_one_vector_a_clip_is_a_series_of_one_step(table, npz):
    material = read(table(*ROWS), audio=npz(id=IDS, values=THREE))
    assert [one.tolist() for one in values_of(material)] == [[[1, 2]], [[3, 4]], [[5, 6]]]
    assert material.series[0].size == 2


def test_series_end_to_end_are_cut_by_their_lengths(table, npz):
    values = np.arange(12, dtype=np.float32).reshape(6, 2)
    path = npz(id=IDS[[2, 0, 1]], logmel=values, length=np.array([1, 3, 2]))
    found = values_of(read(table(*ROWS), audio=path))
    for one, wanted in zip(found, (values[1:4], values[4:6], values[:1]), strict=True):
        np.testing.assert_array_equal(one, wanted)


def test_padded_series_are_cut_by_their_lengths(table, npz):
    values = np.arange(24, dtype=np.float32).reshape(3, 4, 2)
    found = values_of(read(table(*ROWS), audio=npz(id=IDS, a=values, length=np.array([4, 0, 2]))))
    assert [len(one) for one in found] == [4, 0, 2]
    np.testing.assert_array_equal(found[2], values[2, :2])


@pytest.mark.parametrize("filler", [0, np.nan])
def test_series_that_are_padded_in_front_keep_their_last_steps(table, npz, caplog, filler):
    """Their first steps were kept: padding, and none of the real ones; nothing said so."""
    values = np.full((3, 4, 2), filler, np.float32)
    values[0, 2:], values[1], values[2, 3:] = [[1, 2], [3, 4]], 5, [[6, 7]]
    material = read(table(*ROWS), audio=npz(id=IDS, a=values, length=np.array([2, 4, 1])))
    caplog.clear()
    found = [one.tolist() for one in values_of(material)]
    assert found == [[[1, 2], [3, 4]], [[5, 5]] * 4, [[6, 7]]]
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.endswith(
        "a.npz:a: 2 of 3 clips are padded in front, not at the end; their last steps are kept"
    )


def test_values_behind_the_length_of_a_clip_are_counted(table, npz, caplog):
    """Lengths of another file left values out, and nothing said so."""
    values = np.ones((3, 4, 2), np.float32)
    material = read(table(*ROWS), audio=npz(id=IDS, a=values, length=np.array([4, 0, 2])))
    caplog.clear()
    assert [len(one) for one in values_of(material)] == [4, 0, 2]
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.endswith(
        "a.npz:a: 2 of 3 clips have values behind their length, which are left out; check the "
        "lengths"
    )


def test_one_array_a_clip_may_have_any_number_of_steps(table, npz):
    arrays = {"one$_$1": np.ones((3, 2)), "two$_$1": np.zeros((1, 2)), "one$_$2": np.ones((0, 2))}
    found = values_of(read(table(*ROWS), video=npz("v.npz", **arrays)), "video")
    assert [len(one) for one in found] == [3, 0, 1]


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "uint8"])
def test_numbers_of_any_kind_become_float32(table, npz, dtype):
    (one, *_) = values_of(read(table(*ROWS), audio=npz(id=IDS, values=THREE.astype(dtype))))
    assert one.dtype == np.float32
    assert one.tolist() == [[1, 2]]


def test_values_are_read_when_they_are_used_and_every_time_the_same(table, npz):
    source = read(table(*ROWS), audio=npz(id=IDS, values=THREE)).series[0]
    for _ in range(2):
        assert [one.tolist() for one in source.read()] == [[[1, 2]], [[3, 4]], [[5, 6]]]


def test_names_of_features_and_the_time_of_a_step_are_taken_over(table, npz):
    path = npz(id=IDS, audio=THREE, audio_cols=np.array(["f0", "loudness"]), step_seconds=0.02)
    (source,) = read(table(*ROWS), audio=path).series
    assert source.feature_names == ("f0", "loudness")
    assert source.step_seconds == 0.02
    assert source.extractor == "a.npz:audio"


def test_names_that_do_not_fit_are_left_out_with_a_warning(table, npz, caplog):
    path = npz(id=IDS, audio=THREE, audio_cols=np.array(["f0"]))
    (source,) = read(table(*ROWS), audio=path).series
    assert source.feature_names is None
    assert "does not name the 2 features" in caplog.text


# --- which array


def test_the_array_called_values_or_like_the_modality_is_taken(table, npz):
    path = npz(id=IDS, vision=THREE + 10, other=THREE, text=np.array(["a", "b", "c"]))
    assert values_of(read(table(*ROWS), video=path), "video")[0].tolist() == [[11, 12]]
    path = npz(id=IDS, audio=THREE + 10, values=THREE)
    assert values_of(read(table(*ROWS), audio=path))[0].tolist() == [[1, 2]]


def test_an_array_can_be_named(table, npz):
    path = npz(id=IDS, audio=THREE, mfcc=THREE + 10)
    material = read(table(*ROWS), audio=Path(f"{path}:mfcc"))
    assert values_of(material)[0].tolist() == [[11, 12]]
    assert material.origin["audio"] == "a.npz:mfcc"


def test_arrays_that_cannot_be_told_apart_are_listed(table, npz):
    path = npz(id=IDS, mfcc=THREE, logmel=THREE, actor=np.arange(3))
    message = r"2 arrays can be the features of audio .*mfcc float32\[3, 2\].* audio=a\.npz:NAME"
    with pytest.raises(FeatureError, match=message):
        read(table(*ROWS), audio=path)


def test_an_array_that_is_not_there_is_answered_with_those_that_are(table, npz):
    path = npz(id=IDS, mfcc=THREE)
    with pytest.raises(FeatureError, match=r"has no array 'fcc'; there are: id <U7\[3\], mfcc"):
        read(table(*ROWS), audio=Path(f"{path}:fcc"))


# --- which clip


@pytest.mark.parametrize(
    "ids",
    [
        ["one$_$1", "one$_$2", "two$_$1"],
        ["one_1", "one_2", "two_1"],
        [b"one_1", b"one_2", b"two_1"],
    ],
)
def test_ids_may_be_joined_in_two_ways(table, npz, ids):
    found = values_of(read(table(*ROWS), audio=npz(id=np.array(ids), values=THREE)))
    assert [one.tolist() for one in found] == [[[1, 2]], [[3, 4]], [[5, 6]]]


def test_the_name_of_the_clip_alone_is_enough_where_it_is_unique(table, npz):
    path = npz(id=np.array(["c2", "c1"]), values=THREE[:2])
    rows = ("v,c1,good,0,,,,x,train", "w,c2,bad,0,,,,x,train")
    assert values_of(read(table(*rows), audio=path))[0].tolist() == [[3, 4]]


def test_the_name_of_the_clip_alone_is_not_enough_where_two_videos_have_it(table, npz):
    path = npz(id=np.array(["1", "2"]), values=THREE[:2])
    with pytest.raises(
        FeatureError, match=r"no id is a clip .* '1', one of 3 clips is 'one\$_\$1'"
    ):
        read(table(*ROWS), audio=path)


def test_clips_that_two_spellings_would_confuse_are_kept_apart(table, npz):
    path = npz(id=np.array(["a_b_c"]), values=THREE[:1])
    rows = ("a_b,c,good,0,,,,x,train", "a,b_c,bad,0,,,,x,train")
    with pytest.raises(FeatureError, match="no id is a clip of the corpus"):
        read(table(*rows), audio=path)


def test_clips_without_features_lack_the_modality_and_are_counted(table, npz, caplog):
    caplog.set_level(logging.INFO)
    path = npz(id=np.array(["two_1", "three_1"]), values=THREE[:2])
    found = values_of(read(table(*ROWS), audio=path))
    assert [one.shape for one in found] == [(0, 2), (0, 2), (1, 2)]
    assert "2 of 3 clips have no audio" in caplog.text
    assert "1 of 2 ids are not in the corpus" in caplog.text


# --- what is refused


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"id": np.arange(3)}, r"array 'id' is int64\[3\], must be text \[N\]"),
        ({"id": np.array(["x", "y", "x"])}, r"id 'x' occurs twice"),
        ({"values": THREE[:2]}, r"'values' has 2 rows, must have 3 \(one a clip\)$"),
        (
            {"values": THREE[:2], "length": np.array([1, 2, 1])},
            r"has 2 rows, must have 3 \(one a clip\) or 4 \(the sum of 'length'\)",
        ),
        ({"values": np.ones((3, 4, 2))}, r"'values' is padded .* needs an array 'length'"),
        (
            {"values": np.ones((3, 4, 2)), "length": np.array([1, 5, 1])},
            r"'length' goes up to 5, array 'values' has 4 steps a clip",
        ),
        ({"values": np.ones((2, 4, 2)), "length": np.ones(3, int)}, r"has 2 clips, 'id' has 3"),
        (
            {"length": np.array([1, -1, 1])},
            r"'length' is int64\[3\], must be 3 whole numbers from 0",
        ),
        ({"length": np.array([0.5, 1, 1])}, r"'length' is float64\[3\], must be 3 whole numbers"),
        ({"values": np.ones(3)}, r"no array can be the features of audio"),
        ({"step_seconds": -1.0}, r"step_seconds is -1\.0, must be above 0"),
        ({"step_seconds": np.ones(2)}, r"step_seconds is float64\[2\], must be one number"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(table, npz, arrays, message):
    with pytest.raises(FeatureError, match=message):
        read(table(*ROWS), audio=npz(**({"id": IDS, "values": THREE} | arrays)))


def test_an_array_of_another_kind_cannot_be_named(table, npz):
    path = npz(id=IDS, values=THREE, actor=np.arange(3))
    with pytest.raises(FeatureError, match=r"'actor' is int64\[3\], must be numbers with 2 axes"):
        read(table(*ROWS), audio=Path(f"{path}:actor"))


def test_an_array_without_ids_cannot_be_named(table, npz):
    path = npz(values=THREE)
    with pytest.raises(FeatureError, match=r"has no array 'id' that says which clip a row of 'val"):
        read(table(*ROWS), audio=Path(f"{path}:values"))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"image": THREE}, r"has no array 'id', and no array has the name of a clip .*'image'"),
        ({"one_1": np.ones(4)}, r"array 'one_1' is float64\[4\], must be numbers \(steps, featu"),
        (
            {"one_1": np.ones((1, 4)), "one_2": np.ones((1, 3))},
            r"array 'one_2' has 3 features, 'one_1' has 4; all clips must have the same",
        ),
    ],
)
def test_one_array_a_clip_must_fit(table, npz, arrays, message):
    with pytest.raises(FeatureError, match=message):
        read(table(*ROWS), audio=npz(**arrays))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_a_value_that_is_not_finite_is_named_with_clip_step_and_feature(table, npz, value):
    values = np.ones((4, 2))
    values[2, 1] = value
    names = np.array(["f0", "loudness"])
    path = npz(id=IDS, audio=values, length=np.array([1, 2, 1]), audio_cols=names)
    message = (
        r"a\.npz:audio: clip 'one\$_\$2': value at step 1, feature 1 \(loudness\) is (nan|inf|1e)"
    )
    with pytest.raises(FeatureError, match=message):
        values_of(read(table(*ROWS), audio=path))


def test_python_objects_are_never_loaded(table, npz):
    path = npz(id=IDS, values=np.array([{}, {}, {}], dtype=object))
    with pytest.raises(FeatureError, match="'values' holds Python objects, which are never loaded"):
        read(table(*ROWS), audio=path)


def test_files_that_are_no_npz_are_refused(table, tmp_path):
    path = table(*ROWS)
    with pytest.raises(FeatureError, match=r"none\.npz: is not there; check the path"):
        read(path, audio=tmp_path / "none.npz:key")
    with pytest.raises(FeatureError, match=r"label\.csv: is not an npz file"):
        read(path, audio=path)


@pytest.mark.parametrize("layout", ["vectors", "clips"])
def test_a_damaged_array_is_an_error_when_it_is_read(table, npz, layout):
    ids, noise = IDS, np.random.default_rng(0).random((3, 500))
    arrays = {"id": ids, "values": noise} if layout == "vectors" else {"one_1": noise}
    path = npz(**arrays)
    material = read(table(*ROWS), audio=path)
    content = bytearray(path.read_bytes())
    content[-2000] ^= 255
    path.write_bytes(content)
    with pytest.raises(FeatureError, match=r"array '(values|one_1)' cannot be read"):
        values_of(material)


def test_a_modality_that_does_not_exist_is_answered_with_those_that_do(table, npz):
    with pytest.raises(FeatureError, match=r"'vision': there is no such .*: text, audio, video"):
        read(table(*ROWS), vision=npz(id=IDS, values=THREE))


# --- all of it


def test_series_come_in_the_order_of_the_modalities_and_the_origin_names_the_files(table, npz):
    path, arrays = table(*ROWS), npz(id=IDS, values=THREE)
    material = read(path, video=arrays, text=arrays)
    assert [one.name for one in material.series] == [Modality.TEXT, Modality.VIDEO]
    assert material.origin["file"] == "label.csv"
    assert len(material.origin["sha256"]) == len(material.origin["video sha256"]) == 64


def test_the_store_takes_it(table, npz, tmp_path):
    store = write_store(read(table(*ROWS), audio=npz(id=IDS[1:], values=THREE[1:])), tmp_path / "s")
    assert store.meta.series["audio"].num_missing == 1
    assert store.series("audio")[2].tolist() == [[5, 6]]
    assert store.meta.labels == (Task.FUSION, Task.TEXT, Task.VIDEO)


@needs_data
@pytest.mark.parametrize(
    ("name", "counts"), [("mosi", (1284, 229, 686)), ("sims", (1368, 456, 457)), ("mosei", None)]
)
def test_published_tables_are_read(tmp_path, name, counts):
    facts = KNOWN[name]
    material = read_table(
        DATA / name / "label.csv",
        features={},
        name=name,
        language=facts.language,
        scale=facts.scale,
    )
    store = write_store(material, tmp_path / name)
    if counts:
        assert tuple(store.meta.num_clips.values()) == counts
    with (DATA / name / "label.csv").open(encoding="utf-8", newline="") as file:
        assert len(store.clips) == sum(1 for _ in csv.reader(file)) - 1


@needs_data
def test_published_vectors_join_every_clip():
    facts, arrays = KNOWN["mosi"], DATA / "mosi" / "mosi_utterances.npz"
    material = read_table(
        DATA / "mosi" / "label.csv",
        features={"audio": Path(f"{arrays}:audio"), "video": arrays},
        name="mosi", language=facts.language, scale=facts.scale,
    )  # fmt: skip
    assert [one.extractor.split(":")[1] for one in material.series] == ["audio", "vision"]
    with np.load(arrays) as file:
        labels = dict(zip(file["id"], file["label"], strict=True))
        audio = dict(zip(file["id"], file["audio"], strict=True))
    for clip, series in zip(material.corpus.clips, values_of(material), strict=True):
        key = clip.id.replace("$_$", "_")
        assert clip.labels[Task.FUSION] == pytest.approx(labels[key], abs=1e-6)
        np.testing.assert_array_equal(series[0], audio[key])
