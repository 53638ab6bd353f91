import json
import os

import pytest

from mien.corpora.recordings import read_recordings, read_words
from mien.errors import CorpusError
from mien.types import Scale, Task, Word

HEADER = "video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode\n"


def read(source, scale=Scale(-3, 3)):  # noqa: B008
    return read_recordings(source, name="own", language="en", scale=scale)


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def ids_of(found):
    return [clip.id for clip in found.corpus.clips]


def test_the_fields_layout_names_clips_by_video_and_clip(tmp_path):
    touch(tmp_path, "Raw/v1/0001.mp4", "Raw/v1/0002.avi", "Raw/v2/0001.wav")
    (tmp_path / "label.csv").write_text(
        HEADER
        + "v1,0001,so good,1.5,1,,-1,Positive,train\n"
        + "v1,0002,,0,,,,Neutral,valid\nv2,0001,bad,-3,,,,Negative,test\n"
    )
    found = read(tmp_path)
    first, second, third = found.corpus.clips
    assert ids_of(found) == ["v1$_$0001", "v1$_$0002", "v2$_$0001"]
    assert first.labels == {Task.FUSION: 1.5, Task.TEXT: 1.0, Task.VIDEO: -1.0}
    assert (first.split, second.split, third.split) == ("train", "valid", "test")
    assert first.transcript == "so good"
    assert found.corpus.is_annotated
    assert [path.relative_to(tmp_path).as_posix() for path in found.paths] == [
        "Raw/v1/0001.mp4",
        "Raw/v1/0002.avi",
        "Raw/v2/0001.wav",
    ]
    assert found.corpus.clips[0].media.as_posix() == "Raw/v1/0001.mp4"
    assert ids_of(read(tmp_path / "label.csv")) == ids_of(found)


def test_a_recording_that_is_not_there_is_left_for_the_decoder_to_find_out(tmp_path):
    (tmp_path / "label.csv").write_text(HEADER + "v1,0001,,1,,,,,train\n")
    assert read(tmp_path).paths == (tmp_path / "Raw" / "v1" / "0001.mp4",)


def test_of_a_picture_and_its_sound_the_picture_is_taken_and_that_is_said(tmp_path, caplog):
    touch(tmp_path, "Raw/v/1.wav", "Raw/v/1.mp4", "Raw/v/1.txt")
    (tmp_path / "label.csv").write_text(HEADER + "v,1,,1,,,,,train\n")
    assert read(tmp_path).paths[0].name == "1.mp4"
    assert "of 1.mp4, 1.wav the first is taken" in caplog.text


def test_a_csv_with_paths_is_relative_to_its_folder(tmp_path):
    table = tmp_path / "lists" / "clips.csv"
    table.parent.mkdir()
    table.write_text(f"path,start,end,text\n../a.mp4,,,hm\n../a.mp4,1.5,2,\n{tmp_path}/b.mp4,3,,\n")
    found = read(table, None)
    assert ids_of(found) == ["a$_$1", "a$_$2", "b$_$1"]
    assert found.paths[0].resolve() == tmp_path / "a.mp4"
    assert found.paths[2] == tmp_path / "b.mp4"
    clips = found.corpus.clips
    assert [(clip.start, clip.end) for clip in clips] == [(None, None), (1.5, 2.0), (3.0, None)]
    assert not found.corpus.is_annotated
    assert {clip.split for clip in clips} == {"test"}
    assert clips[0].transcript == "hm"


def test_recordings_of_one_name_in_different_folders_are_different_videos(tmp_path):
    table = tmp_path / "clips.csv"
    table.write_text("path\na/x.mp4\nb/x.mp4\na/x.mp4\n")
    assert ids_of(read(table, None)) == ["a/x.mp4$_$1", "b/x.mp4$_$1", "a/x.mp4$_$2"]


def test_files_without_labels_are_named_by_folder_and_stem(tmp_path):
    touch(tmp_path, "a.mp4", "sub/1.MKV", "sub/2.flac", "deep/er/3.mp3", "notes.txt", ".x.mp4")
    touch(tmp_path, ".hidden/1.mp4")
    found = read(tmp_path, None)
    assert ids_of(found) == ["a$_$1", "deep/er$_$3", "sub$_$1", "sub$_$2"]
    assert not found.corpus.is_annotated
    assert all(clip.labels == {} and clip.split == "test" for clip in found.corpus.clips)


def test_files_whose_short_names_are_the_same_take_their_full_names(tmp_path):
    touch(tmp_path, "a.mp4", "a.wav", "b.mp4", "b/1.mp4")
    assert ids_of(read(tmp_path, None)) == [
        "a.mp4$_$1", "a.wav$_$1", "b$_$1.mp4", "b.mp4$_$1"
    ]  # fmt: skip


def test_a_single_recording_is_a_clip(tmp_path):
    touch(tmp_path, "talk.mov")
    assert ids_of(read(tmp_path / "talk.mov", None)) == ["talk$_$1"]


def test_names_that_are_no_text_get_one(tmp_path):
    raw = os.path.join(os.fsencode(tmp_path), b"\xff\xfe.mp4")  # noqa: PTH118
    os.close(os.open(raw, os.O_CREAT))
    found = read(tmp_path, None)
    assert found.paths[0].exists()
    json.dumps(ids_of(found), ensure_ascii=False).encode("utf-8")
    str(found.corpus.clips[0].media).encode("utf-8")


def test_links_are_followed_and_rings_are_not(tmp_path):
    touch(tmp_path, "there/1.mp4")
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "linked").symlink_to(tmp_path / "there")
    (folder / "ring").symlink_to(folder)
    (folder / "file.mp4").symlink_to(tmp_path / "there" / "1.mp4")
    assert ids_of(read(folder, None)) == ["file$_$1", "linked$_$1"]


@pytest.mark.parametrize(
    ("rows", "scale", "sentence"),
    [
        ("label,mode\n1,train\n", Scale(-3, 3), r"clips.csv:1: names no recordings"),
        ("path,label,mode\na.mp4,1,train\n", None, r"has labels; give their range \(--scale"),
        ("path,label,mode\na.mp4,9,train\n", Scale(-3, 3), r"clips.csv:2: label is '9', must be a"),
        ("path,label,mode\na.mp4,1,held\n", Scale(-3, 3), r"clips.csv:2: mode is 'held', must be"),
        (
            "path,label\na.mp4,1\n",
            Scale(-3, 3),
            r"clips.csv:1: column 'mode' is missing; it says which",
        ),
        ("path\n\n", None, r"has no clips"),
        ('path\n""\n', None, r"clips.csv:2: path is '', must name a recording"),
        ("path,start,end\na.mp4,3,2\n", None, r":2: end is '2', must be after start, '3'"),
        ("path,end\na.mp4,0\n", None, r":2: end is '0', must be after start, '0'"),
        ("path,start\na.mp4,-1\n", None, r":2: start is '-1', must be seconds from 0"),
        ("video_id,clip_id,path\na,1,x\na,1,y\n", None, r":3: clip .* is already in line 2"),
        ("video_id,clip_id\n..,1\n", None, r":2: video_id is '..', must be the name of a file"),
        ("video_id,clip_id\na/b,1\n", None, r"must be the name of a file"),
        ("video_id,clip_id\na$_$b,1\n", None, r"must be a name without '\$_\$'"),
    ],
)
def test_a_table_that_is_not_as_it_should_be_is_refused(tmp_path, rows, scale, sentence):
    (tmp_path / "clips.csv").write_text(rows)
    with pytest.raises(CorpusError, match=sentence):
        read(tmp_path / "clips.csv", scale)


def test_where_nothing_is_that_is_said(tmp_path):
    with pytest.raises(CorpusError, match="is not there; give a folder, a CSV file or a recording"):
        read(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match="has no clips; give a folder"):
        read(touch(tmp_path, "readme.txt"), None)


def test_words_are_read_without_pauses_by_either_name_of_a_clip(tmp_path):
    path = tmp_path / "words.json"
    path.write_text(
        json.dumps(
            {
                "v_1": [["her", -0.0, 0.8], ["sp", 0.8, 1.6], ["hm\ud800", 1.6, 1.6]],
                "w$_$2": [["so", 0, 1]],
                "other": "ignored",
            }
        )
    )
    words = read_words(path, ["v$_$1", "w$_$2", "x$_$3"])
    assert words == {
        "v$_$1": (Word("her", 0.0, 0.8), Word("hm�", 1.6, 1.6)),
        "w$_$2": (Word("so", 0.0, 1.0),),
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not JSON"),
        ("[]", r"must be \{CLIP:"),
        ('{"b": []}', "has none of the clips; its first is 'b'"),
        ('{"a$_$1": 3}', r"clip 'a\$_\$1': must be a list"),
        ('{"a$_$1": [["x", 1]]}', r"word 0 is \['x', 1\], must be \[WORD, START, END\]"),
        ('{"a$_$1": [["x", 2, 1]]}', "word 0 is from 2 to 1 s"),
        ('{"a$_$1": [["x", 0, 1], ["y", -1, 0]]}', "word 1 is from -1 to 0 s"),
        ('{"a$_$1": [["x", 0, 1e999]]}', "word 0 is from 0 to inf s"),
        ('{"a$_$1": [["x", NaN, 1]]}', "word 0 is from nan"),
    ],
)
def test_a_file_of_words_that_is_not_as_it_should_be_is_refused(tmp_path, text, sentence):
    (tmp_path / "words.json").write_text(text)
    with pytest.raises(CorpusError, match=sentence):
        read_words(tmp_path / "words.json", ["a$_$1"])
