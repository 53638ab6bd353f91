"""Tables of clips as people and programs write them, through both of their readers."""

import os
import subprocess
import sys

import numpy as np
import pytest

from mien.corpora import KNOWN, metric_family
from mien.corpora.recordings import read_recordings
from mien.corpora.table import read_table
from mien.errors import ConfigError, CorpusError
from mien.types import Scale, Task

HEADER = "video_id,clip_id,text,label,mode"
CHINESE = f"{HEADER}\nv,1,闭嘴，不是来抓你的。,1,train\nv,2,我是真的爱你,0.5,train\n"


@pytest.fixture
def write(tmp_path):
    def write(content, encoding="utf-8", name="clips.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


def read(path, **options):
    return read_table(
        path, features={}, name="own", language="en", scale=Scale(-3, 3), **options
    ).corpus.clips


def find(path, scale=Scale(-3, 3), **options):  # noqa: B008  # a named tuple never changes
    return read_recordings(path, name="own", language="en", scale=scale, **options)


# --- columns


def test_columns_are_found_by_the_names_of_the_field_in_any_case(write, caplog):
    caplog.set_level("INFO")
    path = write(
        "Video ID,Segment,Transcript,Score,Label_t,Split,StartTime,End Time (s),Speaker,note\n"
        "v,1,so good,1.5,1,Train,0,2,ann,x\nw,1,no,-2,,DEV,1,3,bea,x\n"
    )
    first, second = read(path)
    assert (first.id, first.transcript, first.start, first.end) == ("v$_$1", "so good", 0, 2)
    assert first.labels == {Task.FUSION: 1.5, Task.TEXT: 1.0}
    assert (first.split, second.split) == ("train", "valid")
    assert "'Score' as label, 'Split' as mode" in caplog.text
    assert "columns that are not used: note" in caplog.text


def test_the_letters_of_the_field_are_labels_beside_one_another_only(write):
    (clip,) = read(write("video_id,clip_id,text,M,T,A,V,mode\nv,1,a,1,0,-1,2,test\n"))
    assert list(clip.labels.values()) == [1, 0, -1, 2]
    (clip,) = read(write("video_id,clip_id,text,label,T,mode\nv,1,a,1,0,test\n"))
    assert clip.labels == {Task.FUSION: 1}


@pytest.mark.parametrize("mode", ["dev", "VAL", "Validation", "valid"])
def test_splits_are_known_by_all_their_names(write, mode):
    assert read(write(f"{HEADER}\nv,1,a,1,{mode}\n"))[0].split == "valid"


def test_the_own_name_of_a_column_comes_before_a_synonym(write):
    (clip,) = read(write("video_id,clip_id,text,label,Label,score,mode\nv,1,a,1,2,3,test\n"))
    assert clip.labels == {Task.FUSION: 1}


def test_a_column_of_the_field_is_told_by_its_cells(write, tmp_path):
    (clip,) = read(write("dialogue_id,utterance_id,utterance,label,mode\n1,2,so good,1,dev\n"))
    assert (clip.id, clip.transcript) == ("1$_$2", "so good")
    (clip,) = read(write("video,utterance,text,label,mode\nv,u1,so good,1,dev\n"))
    assert clip.id == "v$_$u1"
    assert find(write("video\na/x.mp4\n"), None).paths == (tmp_path / "a/x.mp4",)


def test_a_column_of_numbers_may_be_the_label_and_one_of_words_may_not(write, caplog):
    (clip,) = read(write("video_id,clip_id,text,emotion,mode\nv,1,a,2,test\n"))
    assert clip.labels == {Task.FUSION: 2}
    with pytest.raises(
        CorpusError, match=r"'sentiment' holds classes, such as 'bad'; .* or classes in a column em"
    ):
        read(write("video_id,clip_id,text,sentiment,mode\nv,1,a,bad,test\n"))
    found = find(write("path,sentiment\na.mp4,bad\n"), None)
    assert not found.corpus.is_annotated
    assert "column 'sentiment' holds classes" in caplog.text


def test_a_synonym_is_no_label_of_recordings_without_a_scale(write, caplog):
    assert not find(write("path,score\na.mp4,2\n"), None).corpus.is_annotated
    assert "column 'score' is not used; if it is the label, state its range" in caplog.text
    assert "--target" not in caplog.text
    assert not find(write("path,Emotion\na.mp4,2\n"), None).corpus.is_annotated
    assert "if its numbers are classes, list them (--target Emotion=0,1,...)" in caplog.text


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (
            "video_id,clip_id,text,lable,mode",
            r"'label' is missing; did you mean label by 'lable'\?",
        ),
        ("video_id,clip_id,text,score,Sentiment,mode", r"'score' and 'Sentiment' mean the same, l"),
        ("video_id,clip_id,text,LABEL,Label,mode", r"'LABEL' and 'Label' mean the same, label"),
        ("video_id,clip_id,text,label,\x1b[31m", r"there are: .*, \\x1b\[31m$"),
        (",".join("abcdefghijklmnopqrstuvwxyz"), r"k, l, m, n, o, p, q, r, s, t and 6 others$"),
        ("x" * 5000, r"there are: 'x{80}'\.\.\.$"),
    ],
)
def test_columns_that_cannot_be_told_are_an_error(write, header, sentence):
    cells = ",".join("1" for _ in header.split(","))
    with pytest.raises(CorpusError, match=sentence):
        read(write(f"{header}\n{cells}\n"))


def test_a_slip_in_a_column_that_is_not_needed_is_said(write, caplog):
    read(write(f"{HEADER},strat\nv,1,a,1,test,2\n"))
    assert "not used: strat; did you mean start by 'strat'?" in caplog.text


# --- separators, numbers, times, names


@pytest.mark.parametrize("separator", [";", "\t"])
def test_cells_may_be_separated_otherwise_and_numbers_have_a_comma(write, separator):
    rows = [[*HEADER.split(","), "start", "end"], ["v", "1", "a, b", "-0,5", "dev", "1,5", "2,25"]]
    (clip,) = read(write("\n".join(separator.join(row) for row in rows)))
    assert (clip.transcript, clip.labels[Task.FUSION]) == ("a, b", -0.5)
    assert (clip.start, clip.end) == (1.5, 2.25)


def test_what_a_spreadsheet_writes_around_a_table_is_no_row(write):
    (clip,) = read(write("sep=;\nvideo_id;clip_id;text;label;mode\nv;1;a;1;test\n;;;;\n"))
    assert clip.id == "v$_$1"
    with pytest.raises(CorpusError, match=r"clips\.csv:4: label is '9'"):
        read(write("sep=;\nvideo_id;clip_id;text;label;mode\nv;1;a;1;test\nw;1;a;9;test\n"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("00:00:01.5", 1.5), ("1:02:03", 3723), ("90:30", 5430), ("00:00:01,500", 1.5), ("2.5", 2.5)],
)
def test_times_may_be_written_as_on_a_clock(write, text, seconds):
    (clip,) = read(write(f'{HEADER},start\nv,1,a,1,test,"{text}"\n'))
    assert clip.start == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["00:75:00", "1:2:3:4", "00:00:61", "soon", "-1:00"])
def test_what_is_no_time_is_an_error(write, text):
    with pytest.raises(CorpusError, match=rf"start is '{text}', must be seconds from 0, or a time"):
        read(write(f"{HEADER},start\nv,1,a,1,test,{text}\n"))


def test_numbers_of_clips_that_pandas_made_floats_are_whole_again(write, tmp_path):
    path = write(f"{HEADER}\nv,1.0,a,1,test\nv,2.0,b,1,test\n")
    assert [clip.id for clip in read(path)] == ["v$_$1", "v$_$2"]
    for name, ids in (("a.npz", ["v_1", "v_2"]), ("b.npz", ["v_1.0", "v_2.0"])):
        np.savez(tmp_path / name, id=ids, values=np.ones((2, 3)))
        material = read_table(
            path,
            features={"audio": tmp_path / name},
            name="own", language="en", scale=Scale(-3, 3),
        )  # fmt: skip
        assert [len(one) for one in material.series[0].read()] == [1, 1]
    assert read(write(f"{HEADER}\nv,1.0,a,1,test\nv,b,b,1,test\n"))[0].id == "v$_$1.0"
    assert read(write(f"{HEADER}\nv,1.0,a,1,test\nv,1,b,1,test\n"))[0].id == "v$_$1.0"


def test_a_number_finds_the_recording_that_has_zeros_before_it(write, tmp_path):
    for name in ("007/0001.mp4", "v/01.mp4", "v/001.mp4"):
        path = tmp_path / "Raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = find(write("video_id,clip_id\n7,1.0\nv,1.0\n"), None)
    names = [path.relative_to(tmp_path / "Raw").as_posix() for path in found.paths]
    assert names == ["007/0001.mp4", "v/1.mp4"]  # of the second, two would do


def test_back_slashes_are_slashes_where_the_file_is_found_so(write, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.mp4").touch()
    (tmp_path / "b\\y.mp4").touch()
    found = find(write("path\na\\x.mp4\nb\\y.mp4\n"), None)
    assert found.paths == (tmp_path / "a" / "x.mp4", tmp_path / "b\\y.mp4")
    assert found.corpus.clips[0].id == "x$_$1"


# --- encodings


@pytest.mark.parametrize("encoding", ["gbk", "gb18030", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_of_chinese_tables_are_found_and_said(write, caplog, encoding):
    caplog.set_level("INFO")
    clips = read(write(CHINESE, encoding))
    assert [clip.transcript for clip in clips] == ["闭嘴，不是来抓你的。", "我是真的爱你"]
    name = "GB18030" if encoding.startswith("gb") else encoding.upper()
    assert f"is read as {name}" in caplog.text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("cafés très élégants à la mode", "latin-1"),
        ("это было очень хорошо", "cp1251"),
        ("ήταν πολύ καλό", "cp1253"),
        ("schöne Grüße, größer", "cp1252"),
        ("그것은 정말 좋은 영화였고 나는 매우 행복했습니다 " * 3, "euc-kr"),
        ("これは本当に良い映画でした", "euc-jp"),
    ],
)
def test_an_encoding_that_is_not_found_can_be_given(write, text, encoding):
    path = write(f'{HEADER}\nv,1,"{text}",1,test\n', encoding)
    with pytest.raises(
        CorpusError, match=r"is not UTF-8 \(.*\); save it as UTF-8, or state its enc"
    ):
        read(path)
    text = text.strip()
    assert read(path, encoding=encoding)[0].transcript == text
    path = write(f'path,text\na.wav,"{text}"\n', encoding)
    assert find(path, None, encoding=encoding).corpus.clips[0].transcript == text


def test_damaged_utf_8_is_not_taken_for_another_encoding(write):
    content = CHINESE.encode()
    with pytest.raises(CorpusError, match=r"is not UTF-8 \(invalid start byte, byte 0xff\)"):
        read(write(content[:-20] + b"\xff\xff" + content[-20:]))


@pytest.mark.parametrize(
    ("content", "options", "kind", "sentence"),
    [
        (b"PK\x03\x04rest", {}, CorpusError, "is a workbook, not text; save it as CSV"),
        (b"a\0\0\0\0\0bbbbbbbbbbbb", {}, CorpusError, "holds zero bytes, so it is not text"),
        (b"a", {"encoding": "rot13"}, ConfigError, "--encoding 'rot13': there is no such encoding"),
        (b"\xff", {"encoding": "ascii"}, CorpusError, "is not ASCII .ordinal not in range"),
    ],
)
def test_what_is_no_text_is_an_error(write, content, options, kind, sentence):
    with pytest.raises(kind, match=sentence):
        read(write(content), **options)


# --- sizes, and places that are no files


def test_long_cells_are_read(write):
    text = "a" * 200_000
    assert read(write(f'{HEADER}\nv,1,"{text}",1,test\n'))[0].transcript == text


@pytest.mark.parametrize("unit", ["x", '",', "x" * 1023 + "\n"])
def test_what_has_no_end_is_an_error_in_bounded_memory(tmp_path, unit):
    path = tmp_path / "long.csv"
    with path.open("w") as file:
        file.write(f'{HEADER}\nv,1,"a')
        for _ in range(64):
            file.write(unit * ((1 << 20) // len(unit)))
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from mien.corpora.clip_table.rows import read_rows\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_rows(Path(sys.argv[1]), required=(), known=('text',))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    sentence, used = done.stdout.strip().splitlines()
    assert sentence.startswith("CorpusError")
    assert len(sentence) < 400
    assert int(used) < 300_000  # kilobytes; the row would take more


def test_a_place_that_is_no_file_is_an_error_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(CorpusError, match=r"pipe\.csv: is not a regular file"):
        read(tmp_path / "pipe.csv")
    with pytest.raises(CorpusError, match=r"pipe\.csv: is not a file; give a folder"):
        find(tmp_path / "pipe.csv")


# --- clips that nobody annotated


def test_empty_labels_are_clips_that_nobody_annotated(write, caplog):
    path = write(f"{HEADER},path\nv,1,a,,,x.mp4\nv,2,b,1,train,y.mp4\nv,3,c,,train_mix,z.mp4\n")
    for clips in (read(path), find(path).corpus.clips):
        assert [clip.labels for clip in clips] == [{}, {Task.FUSION: 1}, {}]
        assert {clip.split for clip in clips} == {"train"}
    assert "2 of 3 clips have no multimodal label (train 2); they are kept" in caplog.text
    assert [clip.id for clip in read(path, unlabelled="drop")] == ["v$_$2"]
    found = find(path, unlabelled="drop")
    assert [path.name for path in found.paths] == ["y.mp4"]
    assert found.corpus.is_annotated


def test_a_table_without_any_label_is_there_to_be_predicted(write):
    path = write(f"{HEADER}\nv,1,a,,test\n")
    material = read_table(path, features={}, name="own", language="en", scale=Scale(-3, 3))
    assert not material.corpus.is_annotated


# --- splits


@pytest.mark.parametrize(
    ("first", "second", "is_shared"),
    [
        ("0,4,train", "3,6,test", True),
        ("3,6,test", "0,4,train", True),
        (",4,train", "2,3,valid", True),
        ("0,4,train", "3,6,train", False),
        ("0,4,train", "4,6,test", False),
        ("0,4,train", "3.9,6,test", False),
        (",,train", ",,test", False),
    ],
)
def test_a_piece_of_a_recording_in_two_splits_is_an_error(write, first, second, is_shared):
    rows = f"v,1,a,1,{first}\nw,1,a,1,0,9,test\nv,2,b,1,{second}\n"
    path = write(f"video_id,clip_id,text,label,start,end,mode\n{rows}")
    if is_shared:
        match = r"clips\.csv:4: this piece of 'v' is in \w+, and in line 2 in \w+; .* one split"
        with pytest.raises(CorpusError, match=match):
            read(path)
    else:
        assert len(read(path)) == 3


def test_a_recording_in_two_splits_is_an_error_by_whatever_path(write, tmp_path):
    path = write(f"video_id,clip_id,path,mode\na,1,./x.mp4,train\nb,1,{tmp_path}/x.mp4,test\n")
    with pytest.raises(CorpusError, match=r"clips\.csv:3: this piece of '.*/x\.mp4' is in test"):
        find(path)


def test_videos_and_speakers_in_two_splits_are_counted(write, caplog):
    read(write(f"{HEADER},speaker\nv,1,a,1,train,A\nv,2,a,1,test,A\nw,1,a,1,train,B\n"))
    assert "1 of 2 videos have clips in more than one split, such as 'v'" in caplog.text
    assert "1 of 2 speakers have clips in more than one split, such as 'A'" in caplog.text


# --- CH-SIMS v2


def test_a_folder_of_ch_sims_v2_is_found_by_its_meta_csv(tmp_path):
    (tmp_path / "meta.csv").write_text(f"{HEADER}\nv,0001,a,1,train\nv,0002,b,,\n")
    assert not find(tmp_path / "meta.csv").paths[0].exists()
    with pytest.raises(CorpusError, match="has no clips; give a folder"):
        find(tmp_path)
    (tmp_path / "Raw" / "v").mkdir(parents=True)
    (tmp_path / "Raw" / "v" / "0001.mp4").touch()
    found = find(tmp_path)
    assert found.paths[0] == tmp_path / "Raw" / "v" / "0001.mp4"
    assert [len(clip.labels) for clip in found.corpus.clips] == [1, 0]


def test_ch_sims_v2_is_reported_as_ch_sims_is():
    assert KNOWN["sims2"] == KNOWN["sims"]
    assert metric_family("sims2", Scale(-1, 1)) == "sims"
