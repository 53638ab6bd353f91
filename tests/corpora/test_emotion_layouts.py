"""Emotion corpora in folders of their published layouts, made here; real ones where they are."""

import csv
import io
import logging
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mien.corpora.emotion_layouts.layout_parts import read_text
from mien.corpora.emotion_layouts.layout_reader import read_layout
from mien.errors import ConfigError, CorpusError
from mien.types import Scale, Task

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs real data in ../shared/data")


def put(folder, **files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def touch(folder, *names):
    return put(folder, **dict.fromkeys(names, b""))


def by_id(read):
    return {clip.id: clip for clip in read.corpus.clips}


def values(read, name="emotion", task=Task.FUSION):
    return [clip.targets.get(name, {}).get(task) for clip in read.corpus.clips]


def class_of(read, clip_id, name="emotion", task=Task.FUSION):
    target = next(target for target in read.corpus.targets if target.name == name)
    shares = by_id(read)[clip_id].targets[name][task]
    return target.classes[shares.index(1.0)]


# --- RAVDESS


def test_ravdess_is_read_from_the_names_of_its_files(tmp_path, caplog):
    touch(
        tmp_path,
        "Actor_01/03-01-05-02-01-01-01.wav",
        "Video_Speech_Actor_01/Actor_01/01-01-05-02-01-01-01.mp4",
        "Video_Speech_Actor_01/Actor_01/02-01-05-02-01-01-01.mp4",
        "Actor_16/03-02-03-01-02-02-16.wav",
        "Actor_24/03-01-08-01-02-02-24.wav",
        "notes.wav",
    )
    read = read_layout("ravdess", tmp_path)
    clips = by_id(read)
    assert list(clips) == ["actor01$_$05-02-01-01", "actor16$_$song-03-01-02-02",
                           "actor24$_$08-01-02-02"]  # fmt: skip
    assert [clip.split for clip in clips.values()] == ["train", "valid", "test"]
    assert read.paths[0].name == "01-01-05-02-01-01-01.mp4"
    assert class_of(read, "actor01$_$05-02-01-01") == "angry"
    assert class_of(read, "actor01$_$05-02-01-01", "intensity") == "strong"
    assert class_of(read, "actor24$_$08-01-02-02") == "surprised"
    assert clips["actor24$_$08-01-02-02"].transcript == "Dogs are sitting by the door"
    assert clips["actor24$_$08-01-02-02"].speaker == "actor24"
    assert "1 recordings are left out that are not named as those of RAVDESS: 'notes.wav'" in (
        caplog.text
    )


def test_linked_folders_are_read_rings_are_not_and_names_need_not_be_utf_8(tmp_path):
    folder = tmp_path / "corpus"
    touch(tmp_path / "disk" / "Actor_02", "03-01-01-01-01-01-02.wav")
    odd = os.fsdecode(b"Actor\xff_01")
    touch(folder, f"{odd}/03-01-01-01-01-01-01.wav")
    (folder / "linked").symlink_to(tmp_path / "disk")
    (folder / "ring").symlink_to(folder)
    read = read_layout("ravdess", folder)
    assert [path.exists() for path in read.paths] == [True, True]
    assert str(read.corpus.clips[0].media) == "Actor\ufffd_01/03-01-01-01-01-01-01.wav"


def test_a_name_with_numbers_that_mean_nothing_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="has no recording with a name such as 03-01-06"):
        read_layout("ravdess", touch(tmp_path, "a.wav"))
    touch(tmp_path, "03-01-09-01-01-01-01.wav")
    with pytest.raises(CorpusError, match="the emotion in its name is 09, must be 01 to 08"):
        read_layout("ravdess", tmp_path)
    with pytest.raises(CorpusError, match="is not a folder"):
        read_layout("ravdess", tmp_path / "nowhere")


@needs_data
def test_the_real_ravdess():
    read = read_layout("ravdess", DATA / "ravdess" / "audio")
    assert len(read.corpus.clips) == 1200
    counts = np.sum(values(read), axis=0)
    assert dict(zip(read.corpus.targets[0].classes, counts, strict=True)) == {
        "neutral": 80, "calm": 160, "happy": 160, "sad": 160, "angry": 160, "fearful": 160,
        "disgusted": 160, "surprised": 160,
    }  # fmt: skip
    assert {clip.speaker for clip in read.corpus.clips if clip.split == "test"} == {
        "actor18", "actor19", "actor20",
    }  # fmt: skip


# --- CREMA-D

VOTES = '"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote"\n'


def test_cremad_without_votes_has_what_was_acted(tmp_path):
    touch(tmp_path, "AudioWAV/1001_DFA_ANG_XX.wav", "AudioMP3/1001_DFA_ANG_XX.mp3",
          "VideoFlash/1001_DFA_ANG_XX.flv", "AudioWAV/1040_ITH_SAD_X.wav",
          "AudioWAV/1008_IEO_HAP_LO.wav")  # fmt: skip
    read = read_layout("cremad", tmp_path)
    assert [target.name for target in read.corpus.targets] == ["emotion"]
    assert class_of(read, "1001$_$1001_DFA_ANG_XX") == "angry"
    assert class_of(read, "1040$_$1040_ITH_SAD_X") == "sad"
    assert read.paths[0].suffix == ".flv"
    clip = by_id(read)["1008$_$1008_IEO_HAP_LO"]
    assert (clip.split, clip.speaker) == ("valid", "1008")
    assert clip.transcript == "It's eleven o'clock"


def test_the_votes_of_cremad_are_shares_for_voice_face_and_both(tmp_path, caplog):
    rows = (
        '"100062",6,2,0,0,1,1,"1001_DFA_ANG_XX",10,0.6,"A"\n'
        '"207398",0,0,0,0,4,0,"1001_DFA_ANG_XX",4,1,"N"\n'
        '"300062",3,1,0,0,0,0,"1001_DFA_ANG_XX",4,0.75,"A"\n'
    )
    put(tmp_path, **{"processedResults/tabulatedVotes.csv": VOTES + rows})
    read = read_layout("cremad", tmp_path)
    assert read.corpus.targets[0].classes == (
        "angry", "disgusted", "fearful", "happy", "neutral", "sad",
    )  # fmt: skip
    (clip,) = read.corpus.clips
    assert clip.targets["emotion"] == {
        Task.AUDIO: (0.6, 0.2, 0, 0, 0.1, 0.1),
        Task.VIDEO: (0, 0, 0, 0, 1, 0),
        Task.FUSION: (0.75, 0.25, 0, 0, 0, 0),
    }
    assert class_of(read, clip.id, "acted") == "angry"
    assert "left out" not in caplog.text
    four = read_layout("cremad", tmp_path, targets=["emotion=angry,neutral,happy,sad"])
    assert "emotion: votes for these are left out: 'disgusted' (3)" in caplog.text
    assert four.corpus.clips[0].targets["emotion"][Task.FUSION] == (1, 0, 0, 0)


def test_a_clip_of_cremad_has_one_row_of_votes(tmp_path):
    row = '"100001",3,1,0,0,0,0,"1001_DFA_ANG_XX",4,4,"A"\n'
    other = row.replace("3,1", "1,3")
    put(tmp_path, **{"tabulatedVotes.csv": VOTES + row * 2})
    assert len(read_layout("cremad", tmp_path).corpus.clips) == 1
    put(tmp_path, **{"tabulatedVotes.csv": VOTES + row + other})
    with pytest.raises(
        CorpusError, match="two rows with other votes of audio for clip '1001_DFA_A"
    ):
        read_layout("cremad", tmp_path)


def test_votes_of_cremad_may_have_been_through_pandas(tmp_path):
    table = VOTES.replace('""', '"Unnamed: 0"', 1) + (
        "100062.0,6,2,0,0,1,1,1001_DFA_ANG_XX.wav,10,0.6,A\n"
    )
    read = read_layout("cremad", put(tmp_path, **{"tabulatedVotes.csv": table}))
    assert values(read, task=Task.AUDIO) == [(0.6, 0.2, 0.0, 0.0, 0.1, 0.1)]


def test_votes_of_cremad_may_have_been_through_a_program_that_writes_points(tmp_path):
    row = '"100001",3.0,1.0,0.0,0.0,0.0,0.0,"1001_DFA_ANG_XX",4,4,"A"\n'
    read = read_layout("cremad", put(tmp_path, **{"tabulatedVotes.csv": VOTES + row}))
    shares = by_id(read)["1001$_$1001_DFA_ANG_XX"].targets["emotion"][Task.AUDIO]
    assert shares == (0.75, 0.25, 0, 0, 0, 0)


def test_the_summary_of_cremad_has_the_most_frequent_answers(tmp_path):
    table = (
        '"","FileName","VoiceVote","VoiceLevel","FaceVote","FaceLevel","MultiModalVote",'
        '"MultiModalLevel"\n"9","1001_IEO_ANG_MD","A:D","37.2:58.6","A","45.5","A","44.2"\n'
    )
    read = read_layout("cremad", put(tmp_path, **{"summaryTable.csv": table}))
    assert values(read, task=Task.AUDIO) == [(0.5, 0.5, 0, 0, 0, 0)]
    assert values(read) == [(1, 0, 0, 0, 0, 0)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('"100001",1,x,0,0,0,0,"1001_DFA_ANG_XX",1,1,"A"', r"csv:2: D is 'x', must be a number of"),
        ('"100001",1,-1,0,0,0,0,"1001_DFA_ANG_XX",1,1,"A"', r"csv:2: D is '-1'"),
        ('"100001",1,1.5,0,0,0,0,"1001_DFA_ANG_XX",1,1,"A"', r"csv:2: D is '1.5'"),
        ('"900001",1,0,0,0,0,0,"1001_DFA_ANG_XX",1,1,"A"', r"csv:2: the row is called '900001'"),
        ('"100001",1,0,0,0,0,0,"../../x",1,1,"A"', r"csv:2: the clip is '../../x', must be such"),
        ('"100001",1', r"csv:2: has 2 cells, the header has 11"),
        ('"100001",1,0,0,0,0,0,"1001_DFA_A', r"csv:2: is not CSV"),
    ],
)
def test_a_broken_row_of_votes_is_named_with_its_line(tmp_path, row, message):
    put(tmp_path, **{"tabulatedVotes.csv": VOTES + row})
    with pytest.raises(CorpusError, match=message):
        read_layout("cremad", tmp_path)


@needs_data
def test_the_real_votes_of_cremad(tmp_path):
    with (DATA / "cremad" / "votes.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = [VOTES]
    for number, kind in enumerate(("voice", "face", "multi"), 1):
        for at, row in enumerate(rows, 1):
            counts = ",".join(row[f"{kind}_{letter}"] for letter in "ADFHNS")
            lines.append(f'"{number}{at:05d}",{counts},"{row["fileName"]}",1,1,"A"\n')
    read = read_layout("cremad", put(tmp_path, **{"tabulatedVotes.csv": "".join(lines)}))
    assert len(read.corpus.clips) == len(rows)
    clip = by_id(read)["1001$_$1001_DFA_ANG_XX"]
    assert clip.targets["emotion"][Task.AUDIO] == pytest.approx((6 / 9, 2 / 9, 0, 0, 1 / 9, 0))
    shares = np.array([v for v in values(read) if v is not None])
    np.testing.assert_allclose(shares.sum(axis=1), 1)


# --- IEMOCAP

EVALUATION = """\
% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[14.8872 - 18.0175]\tSes0{n}F_impro01_M000\t{other}\t[2.5000, 3.0000, 0.5000]
C-E2:\tNeutral;\t()
A-E3:\tval 3; act 2; dom  2;\t()

[6.2901 - 8.2357]\tSes0{n}F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
"""
SPOKEN = """\
Ses0{n}F_impro01_F000 [006.2901-008.2357]: Excuse me.
Ses0{n}F_impro01_M000 [014.8872-018.0175]: What\x92s the matter?
M: (a line of another form)
"""


@pytest.fixture
def iemocap(tmp_path):
    for number, other in zip(range(1, 6), ("exc", "ang", "xxx", "hap", "fru"), strict=True):
        dialog = f"Session{number}/dialog"
        name = f"Ses0{number}F_impro01"
        put(
            tmp_path,
            **{
                f"{dialog}/EmoEvaluation/{name}.txt": EVALUATION.format(n=number, other=other),
                f"{dialog}/EmoEvaluation/._{name}.txt": b"\0junk of macOS",
                f"{dialog}/EmoEvaluation/Categorical/x.txt": "[",
                f"{dialog}/transcriptions/{name}.txt": SPOKEN.format(n=number).encode("latin-1"),
                f"Session{number}/sentences/wav/{name}/{name}_F000.wav": b"",
            },
        )
    return tmp_path


def test_iemocap_leaves_one_session_out(iemocap, caplog):
    read = read_layout("iemocap", iemocap)
    clips = by_id(read)
    assert list(clips)[:2] == ["Ses01F_impro01$_$F000", "Ses01F_impro01$_$M000"]  # by time
    assert {c.id[:5]: c.split for c in clips.values()} == {
        "Ses01": "train", "Ses02": "train", "Ses03": "train", "Ses04": "valid", "Ses05": "test",
    }  # fmt: skip
    first, second = list(clips.values())[:2]
    assert (first.transcript, first.speaker) == ("Excuse me.", "Ses01F")
    assert (second.transcript, second.speaker) == ("What’s the matter?", "Ses01M")
    assert (first.start, first.end) == (6.2901, 8.2357)
    assert read.are_cut
    assert read.paths[0] == (
        iemocap / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    )
    assert first.targets["valence"] == {Task.FUSION: (2.5,)}
    assert second.targets["dominance"] == {Task.FUSION: (1.0,)}  # a slip below the scale
    assert read.corpus.targets[1].scale == Scale(1, 5)
    assert class_of(read, "Ses01F_impro01$_$M000") == "happy"  # exc
    assert "emotion" not in clips["Ses05F_impro01$_$M000"].targets  # fru is none of the four
    assert "not annotated for it: 'fru' (1), 'xxx' (1)" in caplog.text
    assert "dominance: 5 turns have values off 1 to 5; they are cut" in caplog.text
    assert "is read as Windows-1252" in caplog.text


def test_iemocap_has_six_classes_and_five_folds(iemocap):
    read = read_layout("iemocap", iemocap, targets=["emotion=iemocap6"], fold=1)
    assert class_of(read, "Ses05F_impro01$_$M000") == "frustrated"
    assert class_of(read, "Ses01F_impro01$_$M000") == "excited"
    splits = [clip.split for clip in read.corpus.clips[::2]]
    assert splits == ["test", "train", "train", "train", "valid"]
    with pytest.raises(ConfigError, match=r"--fold 6: .* has no Session6; there are Session1, Ses"):
        read_layout("iemocap", iemocap, fold=6)
    with pytest.raises(ConfigError, match=r"--target valence=...: is a score, state its range"):
        read_layout("iemocap", iemocap, targets=["valence=a,b"])
    with pytest.raises(ConfigError, match="iemocap has no such target"):
        read_layout("iemocap", iemocap, targets=["anger=0:1"])


def test_of_few_sessions_the_last_is_tested(iemocap):
    for number in (3, 4, 5):
        (iemocap / f"Session{number}").rename(iemocap / f"Other{number}")
    splits = {clip.id[:5]: clip.split for clip in read_layout("iemocap", iemocap).corpus.clips}
    assert splits == {"Ses01": "train", "Ses02": "test"}
    assert read_layout("iemocap", iemocap, fold=1).corpus.clips[0].split == "test"


def test_without_sentences_the_dialogues_of_iemocap_are_the_recordings(tmp_path):
    put(tmp_path, **{
        "Session5/dialog/EmoEvaluation/Ses05F_impro01.txt": EVALUATION.format(n=5, other="sad"),
        "Session5/dialog/avi/DivX/Ses05F_impro01.avi": b"",
    })  # fmt: skip
    read = read_layout("iemocap", tmp_path)
    assert not read.are_cut
    assert [path.name for path in read.paths] == ["Ses05F_impro01.avi"] * 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[6.2 - 8.2] Ses01F_impro01_F000 neu [2.5, 2.5]", r"txt:1: is '\[6.2 - 8.2\] Ses01F_im"),
        ("[6.2 - 8.2] ../../etc neu [2.5, 2.5, 2.5]", r"txt:1: is .* must be such as \[6.2901"),
        ("[8.2 - 6.2] Ses01F_impro01_F000 neu [2, 2, 2]", r"txt:1: ends at 6.2 s, must be after"),
        ("[6.2 - 8.2.1] Ses01F_impro01_F000 neu [2, 2, 2]", r"has a number with two points"),
        ("[6 - 8] Ses01F_impro02_F000 neu [2, 2, 2]", r"turn 'F000' is of dialogue 'Ses01F_impro0"),
        ("[6 - 8] Ses01F_impro01_F000 neu [9, 2, 2]", r"txt:1: valence is 9, must be from 1 to 5"),
        ("[6 - 8] Ses01F_impro01_F000 zen [2, 2, 2]", r"emotion has names .*: 'zen' \(1\)"),
    ],
)
def test_a_broken_line_of_iemocap_is_named(tmp_path, line, message):
    path = "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    with pytest.raises(CorpusError, match=message):
        read_layout("iemocap", put(tmp_path, **{path: line}), fold=1)


def test_a_dialogue_in_the_folder_of_another_session_is_refused(tmp_path):
    name = "dialog/EmoEvaluation/Ses01F_impro01.txt"  # it would be in train and in test
    text = EVALUATION.format(n=1, other="sad")
    put(tmp_path, **{f"Session1/{name}": text, f"Session2/{name}": text})
    with pytest.raises(CorpusError, match=r"impro01.txt: is of another session .*, Session2; put"):
        read_layout("iemocap", tmp_path)


def test_a_folder_that_is_not_iemocap_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="has no folder Session1 to Session5"):
        read_layout("iemocap", tmp_path)


# --- MELD

MELD = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,"
    "StartTime,EndTime\n"
)


def row(text, speaker, emotion, sentiment, dialogue, utterance):
    times = '8,21,"00:16:16,059","00:16:21,731"'
    return f'1,"{text}",{speaker},{emotion},{sentiment},{dialogue},{utterance},{times}\n'


@pytest.fixture
def meld(tmp_path):
    train = (
        row("He\x92s lost it, totally", "Phoebe", "sadness", "negative", 0, 1)
        + row("What?", "Monica", "surprise", "negative", 0, 0)
        + row("Yes", "Joey", "neutral", "neutral", 125, 3)
    )
    return put(tmp_path, **{
        "train_sent_emo.csv": MELD + train,
        "dev_sent_emo.csv": MELD + row("Hey", "All", "joy", "positive", 0, 0),
        "test_sent_emo.csv": MELD.encode()
        + row("No\x85", "Ross", "anger", "negative", 0, 0).encode("latin-1"),
    })  # fmt: skip


def test_meld_has_its_dialogues_in_order_and_its_text_mended(meld, caplog):
    read = read_layout("meld", meld)
    clips = by_id(read)
    assert list(clips) == [
        "train_dia0$_$utt0", "train_dia0$_$utt1", "train_dia125$_$utt3", "dev_dia0$_$utt0",
        "test_dia0$_$utt0",
    ]  # fmt: skip
    assert clips["train_dia0$_$utt1"].transcript == "He’s lost it, totally"
    assert clips["test_dia0$_$utt0"].transcript == "No…"
    assert clips["train_dia0$_$utt1"].speaker == "Phoebe"
    assert (clips["dev_dia0$_$utt0"].split, clips["test_dia0$_$utt0"].split) == ("valid", "test")
    assert class_of(read, "dev_dia0$_$utt0") == "happy"
    assert class_of(read, "dev_dia0$_$utt0", "sentiment") == "positive"
    assert read.corpus.targets[0].classes[0] == "neutral"
    assert not any(clip.labels or clip.start for clip in clips.values())
    assert "'happy' (clips of valid have)" in caplog.text


def test_clips_of_meld_are_found_by_their_folders_and_broken_ones_left_out(meld, caplog):
    touch(
        meld,
        "train_splits/dia0_utt0.mp4",
        "train_splits/._dia0_utt1.mp4",
        "MELD.Raw/dev/dev_splits_complete/dia0_utt0.mp4",
        "output_repeated_splits_test/dia0_utt0.mp4",
    )
    read = read_layout("meld", meld)
    paths = {
        clip.id: str(path.relative_to(meld))
        for clip, path in zip(read.corpus.clips, read.paths, strict=True)
    }
    assert paths == {
        "train_dia0$_$utt0": "train_splits/dia0_utt0.mp4",
        "train_dia0$_$utt1": "train/dia0_utt1.mp4",
        "dev_dia0$_$utt0": "MELD.Raw/dev/dev_splits_complete/dia0_utt0.mp4",
        "test_dia0$_$utt0": "output_repeated_splits_test/dia0_utt0.mp4",
    }
    assert "cannot be used: 'train dia125_utt3'" in caplog.text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "gb18030"])
def test_tables_are_read_in_the_encodings_that_programs_write(tmp_path, caplog, encoding):
    said = "我很喜欢这个故事，\n我们都很高兴"
    label = "name,discrete,valence\n" + "".join(f'c{k},happy,"2"\n' for k in range(6))
    texts = "name,chinese\n" + "".join(f'c{k},"{said}"\n' for k in range(6))
    put(tmp_path, **{
        "train-label.csv": label.encode(encoding), "transcription.csv": texts.encode(encoding),
    })  # fmt: skip
    read = read_layout("mer", tmp_path)
    assert {clip.transcript for clip in read.corpus.clips} == {said}
    assert ("is read as GB18030" in caplog.text) == (encoding == "gb18030")
    assert "Windows-1252" not in caplog.text


@pytest.mark.parametrize("separator", [";", "\t"])
def test_tables_that_a_spreadsheet_has_saved_are_read(meld, separator):
    wanted = by_id(read_layout("meld", meld))
    for path in meld.glob("*_sent_emo.csv"):
        rows = list(csv.reader(io.StringIO(read_text(path), newline="")))
        with path.open("w", newline="", encoding="utf-8") as out:
            csv.writer(out, delimiter=separator, quoting=csv.QUOTE_ALL).writerows(rows)
    read = by_id(read_layout("meld", meld))
    assert list(read) == list(wanted)
    said = [clip.transcript for clip in read.values()]
    assert said == [clip.transcript for clip in wanted.values()]
    assert "He’s lost it, totally" in said


def test_what_spreadsheets_put_around_a_table_is_left_out(meld):
    wanted = by_id(read_layout("meld", meld))
    for path in meld.glob("*_sent_emo.csv"):
        path.write_text(f"\n  \nsep=,\n{read_text(path)}  \n{', ' * 10}\n", encoding="utf-8")
    assert by_id(read_layout("meld", meld)) == wanted


def test_a_column_that_occurs_twice_is_refused_where_it_is_read(tmp_path):
    table = MELD.replace("Sr No.", "Emotion") + row("Hey", "All", "joy", "positive", 0, 0)
    put(tmp_path, **{"dev_sent_emo.csv": table})
    with pytest.raises(CorpusError, match=r"dev_sent_emo\.csv:1: column 'Emotion' occurs twice"):
        read_layout("meld", tmp_path)
    put(tmp_path, **{"dev_sent_emo.csv": table.replace("Emotion", "Season", 1)})
    assert len(read_layout("meld", tmp_path).corpus.clips) == 1


def test_of_several_recordings_of_a_clip_that_with_a_picture_is_taken(tmp_path):
    meld, mer, ravdess = (tmp_path / name for name in ("meld", "mer", "ravdess"))
    put(meld, **{"train_sent_emo.csv": MELD + row("Hey", "All", "joy", "positive", 0, 0)})
    touch(meld, "a/train/dia0_utt0.wav", "train_splits/dia0_utt0.mp4", "train_wav/dia0_utt0.wav")
    put(mer, **{"train-label.csv": "name,discrete\ns1,happy\n"})
    touch(mer, "audio/s1.wav", "video/s1.mp4", "wav/s1.wav")
    touch(ravdess, "A/01-01-05-02-01-01-01.wav", "B/01-01-05-02-01-01-01.mp4")
    read = [read_layout(path.name, path).paths[0] for path in (meld, mer, ravdess)]
    assert [str(path.relative_to(tmp_path)) for path in read] == [
        "meld/train_splits/dia0_utt0.mp4", "mer/video/s1.mp4",
        "ravdess/B/01-01-05-02-01-01-01.mp4",
    ]  # fmt: skip


def test_two_texts_of_one_clip_are_refused(tmp_path):
    folder = put(tmp_path, **{
        "train-label.csv": "name,discrete,valence\na,happy,1\n",
        "transcription.csv": "name,chinese\na,x\na,x\na,y\n",
    })  # fmt: skip
    with pytest.raises(CorpusError, match=r"csv:4: clip 'a' is already there with another text"):
        read_layout("mer", folder)


def test_a_damaged_character_does_not_change_how_all_others_are_read(tmp_path, caplog):
    sound = row("He’s là… “yes”, naïve café", "Zoë", "joy", "positive", 0, 0)
    sound += row("Ça va déjà, Zoë? Très bien, où ça?", "All", "joy", "positive", 0, 1)
    table = (MELD + sound).encode().replace(b"na\xc3\xafve", b"na\xefve")
    clips = read_layout("meld", put(tmp_path, **{"train_sent_emo.csv": table})).corpus.clips
    assert [clip.transcript for clip in clips] == [
        "He’s là… “yes”, na\ufffdve café", "Ça va déjà, Zoë? Très bien, où ça?",
    ]  # fmt: skip
    assert clips[0].speaker == "Zoë"
    assert "is damaged (invalid continuation byte, byte 0xef), and is read as UTF-8" in caplog.text


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (row("a", "b", "joy", "positive", "x", 0), r"csv:2: Dialogue_ID is 'x', must be a number"),
        (row("a", "b", "joy", "positive", 0, 0) * 2, r"csv:3: train dia0_utt0 is already in l"),
        (row("a", "b", "jooy", "positive", 0, 0), r"emotion has names that .*'jooy' \(1\); did y"),
        (row("a", "b", "joy", "good", 0, 0), r"sentiment has names that .*'good' \(1\)"),
        ("1,a,b\n", r"csv:2: has 3 cells, the header has 11; a text with a comma must stand"),
        ("", r": no utterance is in its tables; get them again"),
        ('1,"a', r"csv:2: is not CSV"),
        ("\0", r"csv: holds zero bytes, so it is not text"),
        ("\0".rjust(9999), r"csv: is not text"),
    ],
)  # fmt: skip
def test_a_broken_row_of_meld_is_named_with_its_line(tmp_path, rows, message):
    with pytest.raises(CorpusError, match=message):
        read_layout("meld", put(tmp_path, **{"train_sent_emo.csv": MELD + rows}))
    with pytest.raises(CorpusError, match=r"has none of train_sent_emo\.csv"):
        read_layout("meld", put(tmp_path / "empty", **{"a.txt": ""}))
    with pytest.raises(CorpusError, match=":1: has no column 'Utterance'; there are: "):
        read_layout("meld", put(tmp_path, **{"train_sent_emo.csv": "a,b\n"}))


# --- MER


def test_mer_has_classes_and_valence_and_a_fifth_of_train_as_valid(tmp_path):
    train = "".join(f"s{at},{('happy', 'sad')[at % 2]},{at / 10}\n" for at in range(20))
    put(tmp_path, **{
        "train-label.csv": "name,discrete,valence\n" + train,
        "test1-label.csv": "name,discrete,valence\nt1,worried,-2.5\n",
        "test3-label.csv": "name,discrete\nt3,surprise\n",
        "transcription.csv": "name,sentence\ns0,你好\ns1\n",
        "train/s0.mp4": b"",
    })  # fmt: skip
    read = read_layout("mer", tmp_path)
    clips = by_id(read)
    assert len(clips) == 22
    assert (read.corpus.language, clips["s0$_$1"].transcript) == ("zh", "你好")
    assert clips["t1$_$1"].targets["valence"] == {Task.FUSION: (-2.5,)}
    assert "valence" not in clips["t3$_$1"].targets
    assert class_of(read, "t3$_$1") == "surprised"
    valid = [clip for clip in clips.values() if clip.split == "valid"]
    assert sorted(class_of(read, clip.id) for clip in valid) == ["happy", "happy", "sad", "sad"]
    assert sum(clip.split == "test" for clip in clips.values()) == 2
    other = read_layout("mer", tmp_path, fold=1).corpus.clips
    assert {clip.id for clip in other if clip.split == "valid"}.isdisjoint(c.id for c in valid)


def test_valence_of_mer_is_read_as_spreadsheets_and_programs_write_it(tmp_path):
    table = "name;discrete;valence\na;happy;2,5\nb;sad;-1\nc;sad;NaN\nd;;\ne;sad;None\n"
    read = read_layout("mer", put(tmp_path, **{"train-label.csv": table}))
    valences = [clip.targets.get("valence") for clip in by_id(read).values()]
    assert valences == [{Task.FUSION: (2.5,)}, {Task.FUSION: (-1.0,)}, None, None, None]


@pytest.mark.parametrize(("name", "split"), [
    ("Train_Label.csv", "train"), ("label.csv", "train"), ("label-disdim.csv", "train"),
    ("MER2023_test1_label.csv", "test"), ("reference-semi-label.csv", "test"),
    ("track1_val-label.csv", "valid"), ("label_devset.csv", "valid"),
    ("testdata-valence-label.csv", "test"), ("mine-label.csv", "train"),
])  # fmt: skip
def test_a_part_of_mer_is_the_split_that_a_word_of_its_name_says(tmp_path, caplog, name, split):
    put(tmp_path, **{name: "name,discrete\na,happy\n"})
    assert read_layout("mer", tmp_path).corpus.clips[0].split == split
    assert ("are those of no split, and they are read as train: 'mine'" in caplog.text) == (
        name == "mine-label.csv"
    )


def test_clips_of_mer_may_be_called_as_their_files(tmp_path):
    put(tmp_path, **{
        "Train_Label.CSV": "Name,Discrete\na.mp4,happy\nb.1,sad\n",
        "transcription.csv": "name,sentence\na.mp4,so\n",
        "train/a.mp4": b"",
    })  # fmt: skip
    read = read_layout("mer", tmp_path)
    assert list(by_id(read)) == ["a$_$1", "b.1$_$1"]
    assert (read.paths[0], read.corpus.clips[0].transcript) == (tmp_path / "train/a.mp4", "so")


def test_of_too_few_clips_of_mer_no_fold_is_taken(tmp_path, caplog):
    table = "name,discrete\na,happy\nb,\nc,sad\n"
    put(tmp_path, **{"train-label.csv": table})
    read = read_layout("mer", tmp_path)
    assert [clip.split for clip in read.corpus.clips] == ["train"] * 3
    assert "1 of 3 clips have no multimodal label (train 1); they are kept" in caplog.text
    with pytest.raises(ConfigError, match=r"--fold: .* has 3 clips of train, too few for 5 folds"):
        read_layout("mer", tmp_path, fold=1)
    read = read_layout("mer", tmp_path, unlabelled="drop")
    assert list(by_id(read)) == ["a$_$1", "c$_$1"]
    assert [path.stem for path in read.paths] == ["a", "c"]


def save(path, **parts):
    path.parent.mkdir(exist_ok=True, parents=True)
    np.savez_compressed(path, **parts)
    return path.parent


def test_the_label_files_of_mertools_are_read_without_running_anything(tmp_path):
    mer = save(
        tmp_path / "mer" / "label-6way.npz",
        train_corpus={f"s{at}": {"emo": "happy", "val": np.float64(1.5)} for at in range(5)},
        test1_corpus={"t": {"emo": "worried", "val": ""}},
    )
    read = read_layout("mer", mer)
    assert class_of(read, "t$_$1") == "worried"
    assert by_id(read)["s0$_$1"].targets["valence"] == {Task.FUSION: (1.5,)}
    meld = save(
        tmp_path / "meld" / "label.npz",
        train_corpus={"train_dia0_utt0": {"emo": 1, "val": -10}},
        val_corpus={"val_dia0_utt0": {"emo": 4, "val": -10}},
        test_corpus={"test_dia0_utt0": {"emo": 0, "val": -10}},
    )
    read = read_layout("mer", meld)
    assert [clip.split for clip in read.corpus.clips] == ["train", "valid", "test"]
    assert class_of(read, "train_dia0$_$utt0") == "happy"
    with pytest.raises(ConfigError, match=r"--fold: .* has a published part for valid; leave it"):
        read_layout("mer", meld, fold=2)
    assert class_of(read, "val_dia0$_$utt0") == "disgusted"
    assert len(read.corpus.targets) == 1
    names = [f"Ses0{n}F_impro01_F{k:03d}" for n in range(1, 6) for k in range(4)]
    iemocap = save(
        tmp_path / "iemocap" / "label_4way.npz",
        whole_corpus={name: {"emo": at % 4, "val": -10} for at, name in enumerate(names)},
    )
    read = read_layout("mer", iemocap)
    assert read.corpus.targets[0].classes == ("angry", "happy", "sad", "neutral")
    splits = {clip.id[4]: clip.split for clip in read.corpus.clips}
    assert splits == {"1": "train", "2": "train", "3": "train", "4": "valid", "5": "test"}
    turn = by_id(read)["Ses02F_impro01$_$F003"]
    assert (turn.video_id, turn.speaker, turn.split) == ("Ses02F_impro01", "Ses02F", "train")
    assert by_id(read_layout("mer", iemocap, fold=2))[turn.id].split == "test"
    with pytest.raises(ConfigError, match=r"--fold 6: .* has no session 6; there are 1, 2, 3, 4"):
        read_layout("mer", iemocap, fold=6)


@pytest.mark.parametrize("name", [
    "transcription-engchi-polish.csv", "transcription-merge.csv", "label-transcription.csv",
    "subtitle_chieng.csv", "transcription.csv",
])  # fmt: skip
def test_transcripts_of_mer_are_found_by_every_name_in_the_language_that_is_spoken(tmp_path, name):
    texts = 'name,chinese,english\n{0},你好,"Well, hello"\n'
    mer = put(tmp_path / "mer", **{
        "label-disdim.csv": "name,discrete,valence\ns_1,happy,1\n", name: texts.format("s_1"),
    })  # fmt: skip
    read = read_layout("mer", mer)
    assert (read.corpus.language, read.corpus.clips[0].transcript) == ("zh", "你好")
    assert read_layout("mer", mer, language="en").corpus.clips[0].transcript == "Well, hello"
    meld = save(tmp_path / "meld" / "label.npz", train_corpus={"train_dia0_utt0": {"emo": 1}})
    put(meld, **{name: texts.format("train_dia0_utt0")})
    read = read_layout("mer", meld)
    assert (read.corpus.language, read.corpus.clips[0].transcript) == ("en", "Well, hello")


def test_of_several_transcripts_of_mer_that_which_mertools_reads_is_taken(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    put(tmp_path, **{
        "label-disdim.csv": "name,discrete\ns,happy\n",
        "label-transcription.csv": "name,chinese,english\ns,a,b\n",
        "transcription.csv": "name,sentence\ns,c\n",
        "transcription-engchi-polish.csv": "name,chinese,english\ns,d,e\n",
    })  # fmt: skip
    assert read_layout("mer", tmp_path).corpus.clips[0].transcript == "d"
    assert (
        "column 'chinese' of transcription-engchi-polish.csv; not 'transcription.csv', "
        "'label-transcription.csv'"
    ) in caplog.text


def test_a_text_in_two_languages_without_a_known_one_must_be_chosen(tmp_path):
    folder = save(tmp_path / "label.npz", train_corpus={"v_1": {"emo": 0, "val": 1.0}})
    put(folder, **{"transcription-engchi-polish.csv": "name,chinese,english\nv_1,好,good\n"})
    with pytest.raises(ConfigError, match=r"in chinese and in english; .* \(--language zh or en\)"):
        read_layout("mer", folder)
    assert read_layout("mer", folder, language="en").corpus.clips[0].transcript == "good"


def test_tables_of_later_challenges_are_labels_and_answers_are_not(tmp_path):
    put(tmp_path, **{
        "track1_train_disdim.csv": "name,discrete,valence\na,happy,1.5\n",
        "track1_test_dis.csv": "name,discrete\nb,sad\n",
        "reference-noise.csv": "name,discrete\nc,angry\n",
        "track2_train_ovmerd.csv": "name,openset\na,\"[glad, calm]\"\n",
        "answer.csv": "name,discrete\nd,angry\n",
    })  # fmt: skip
    clips = by_id(read_layout("mer", tmp_path))
    assert {clip_id: clip.split for clip_id, clip in clips.items()} == {
        "a$_$1": "train", "b$_$1": "test", "c$_$1": "test",
    }  # fmt: skip


def test_label_files_without_emotions_have_valence_alone(tmp_path):
    mosi = save(
        tmp_path / "label.npz",
        train_corpus={np.str_("a_1"): {"emo": 0, "val": np.float32(-1.5)}},
        test_corpus={"b_1": {"emo": 0, "val": 3}},
    )
    read = read_layout("mer", mosi, targets=["valence=-3:3"], language="en")
    assert [(target.name, target.scale) for target in read.corpus.targets] == [
        ("valence", Scale(-3, 3))
    ]
    assert values(read, "valence") == [(-1.5,), (3.0,)]


class Attack:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"s": Attack()}, r"label.npz: "),
        ({"s": 3}, r"train_corpus: clip 's' has .*, must have a dict with emo"),
        ({"s": {"emo": [1], "val": 0}}, r"clip 's': emo is .*, must be a number or a text"),
        ({"s": {"emo": 7, "val": 0}}, r"clip 's': emo is 7; its classes are not known by number"),
        ({"s": {"emo": "happy", "val": 77.0}}, r"clip 's': valence is 77.0, must be from -5 to 5"),
        ({"../s": {"emo": "happy", "val": 1}}, r"the name is '../s', must be that of a file"),
    ],
)
def test_a_hostile_label_file_is_refused(tmp_path, capsys, labels, message):
    save(tmp_path / "label.npz", train_corpus=labels)
    with pytest.raises(CorpusError, match=message):
        read_layout("mer", tmp_path)
    assert "executed" not in capsys.readouterr().out


def test_a_label_file_that_would_fill_memory_is_refused(tmp_path):
    head = np.lib.format.magic(1, 0) + b"\x46\x00"
    head += b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(0x45) + b"\n"
    with zipfile.ZipFile(tmp_path / "label.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train_corpus.npy", head + b"\0" * (65 << 20))
    with pytest.raises(CorpusError, match="is larger than 64 MB; is it a label file"):
        read_layout("mer", tmp_path)
    (tmp_path / "label.npz").write_bytes(pickle.dumps({}))
    with pytest.raises(CorpusError, match="is not a label file of MERTools"):
        read_layout("mer", tmp_path)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,discrete\n", r": no clip is in 'train-label.csv'; get the labels again"),
        ("name,valence\n", r":1: has no column 'discrete'; there are: 'name', 'valence'"),
        ("name,discrete\na,happy,x\n", r":2: has 3 cells, the header has 2"),
        ("name,discrete\na,happy\na,sad\n", r":3: clip 'a' is already in .*:2"),
        ("name,discrete,valence\na,happy,good\n", r":2: valence is 'good', must be a number"),
        ("name,discrete\na,hapy\n", r"emotion has names .* 'hapy' \(1\); did you mean 'happy'"),
    ],
)
def test_a_broken_row_of_mer_is_named(tmp_path, table, message):
    with pytest.raises(CorpusError, match=message):
        read_layout("mer", put(tmp_path, **{"train-label.csv": table}))


def test_a_corpus_that_nobody_knows_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no emotion corpus is called 'medl'; did you mean 'meld"):
        read_layout("medl", tmp_path)


# --- CMU-MOSEI

LABELS = "video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode"


def put_sequence(path, **videos):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for video, (features, intervals) in videos.items():
            group = file.create_group(f"All Labels/data/{video}")
            group["features"], group["intervals"] = features, intervals
    return path


def test_mosei_has_intensities_by_the_start_of_each_segment(tmp_path, caplog):
    rows = (
        "-3g5yACwYnA,82_7645,Key,1.0,,,,Positive,train",
        "-3g5yACwYnA,4_84,No,0,,,,Neutral,test",
        "other,1_5,No,0,,,,Neutral,valid",
    )
    put(tmp_path, **{"label.csv": "\n".join([LABELS, *rows])})
    put_sequence(
        tmp_path / "CMU_MOSEI_Labels.csd",
        **{"-3g5yACwYnA": (
            [[1.0, 0.6667, 0, 0, 0, 0, 4.0], [0.0, 0, 1, 2, 0, 0, 0]],
            [[82.7645, 100.555], [4.84, 14.052]],
        )},
    )  # fmt: skip
    read = read_layout("mosei-emotions", tmp_path)
    (target,) = read.corpus.targets
    assert (target.kind, target.scale) == ("intensities", Scale(0, 3))
    assert target.classes == ("happy", "sad", "angry", "surprised", "disgusted", "fearful")
    assert values(read) == [(0.6667, 0, 0, 0, 0, 3.0), (0, 1, 2, 0, 0, 0), None]
    assert read.corpus.clips[0].labels == {Task.FUSION: 1.0}
    assert read.paths[0] == tmp_path / "Raw" / "-3g5yACwYnA" / "82_7645.mp4"
    assert "1 segments have values off 0 to 3; they are cut" in caplog.text
    assert "1 of 3 clips have no intensities, such as 'other$_$1_5'" in caplog.text
    read = read_layout("mosei-emotions", tmp_path, targets=["emotion=fear|joy"])
    assert (read.corpus.targets[0].kind, read.corpus.targets[0].classes) == (
        "labels", ("fear", "joy"),
    )  # fmt: skip
    assert values(read) == [(1, 1), (0, 0), None]
    with pytest.raises(
        ConfigError, match="'calm' is none of the emotions of CMU-MOSEI, happy, sad"
    ):
        read_layout("mosei-emotions", tmp_path, targets=["emotion=calm|joy"])
    with pytest.raises(ConfigError, match="happy is listed twice, the second time as 'happiness'"):
        read_layout("mosei-emotions", tmp_path, targets=["emotion=joy|happiness"])


def test_a_table_of_mosei_may_hold_the_intensities_itself(tmp_path, caplog):
    header = "video_id,clip_id,text,label,mode,happy,sad,anger,surprise,disgust,fear"
    put(
        tmp_path, **{"label.csv": f"{header}\nv,1,so,1,train,0.5,0,3,0,0,0\nv,2,so,1,train,,,,,,\n"}
    )
    assert values(read_layout("mosei-emotions", tmp_path)) == [(0.5, 0, 3, 0, 0, 0), None]
    assert caplog.text.count("no clip of train has the class 'sad', 'surprised'") == 1
    assert "they are cut" not in caplog.text
    rows = "v,1,so,1,train,0.5,0,4,0,5,0\nv,2,so,1,train,0,0,3.5,0,0,3\n"
    put(tmp_path, **{"label.csv": f"sep=,\n{header}\n{rows}".encode("utf-16")})
    read = read_layout("mosei-emotions", tmp_path)
    assert values(read) == [(0.5, 0, 3, 0, 3, 0), (0, 0, 3, 0, 0, 3)]
    assert "label.csv: emotion: 2 rows have values off 0 to 3; they are cut" in caplog.text
    put(tmp_path, **{"label.csv": f"{header}\nv,1,so,1,train,0.5,0,much,0,0,0\n"})
    with pytest.raises(CorpusError, match=":2: anger is 'much', must be a number from 0 to 3"):
        read_layout("mosei-emotions", tmp_path)
    put(tmp_path, **{"label.csv": "video_id,clip_id,text,label,mode,happy\nv,1,so,1,train,1\n"})
    with pytest.raises(
        CorpusError, match="has no column for sad, angry, surprised, disgusted, fea"
    ):
        read_layout("mosei-emotions", tmp_path)


def test_a_hostile_sequence_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    put(tmp_path, **{"label.csv": f"{LABELS}\nv,1_5,so,1,,,,,train\n", "secret.h5": b""})
    path = tmp_path / "a.csd"
    put_sequence(tmp_path / "secret.h5", v=([[1.0] * 7], [[1.5, 2]]))
    with h5py.File(path, "w") as file:
        file.create_group("All Labels/data")["v"] = h5py.ExternalLink(
            str(tmp_path / "secret.h5"), "/All Labels/data/v"
        )
    with pytest.raises(CorpusError, match=r"a\.csd: 'v' is a link, or is not there"):
        read_layout("mosei-emotions", tmp_path)
    put_sequence(path, v=([[1.0] * 6], [[1.5, 2]]))
    with pytest.raises(CorpusError, match=r"features: must be numbers of shape \(segments, 7\)"):
        read_layout("mosei-emotions", tmp_path)
    put_sequence(path, v=([[np.nan] * 7], [[1.5, 2]]))
    with pytest.raises(CorpusError, match="has a value that is not finite"):
        read_layout("mosei-emotions", tmp_path)
    put_sequence(path, v=([[1.0] * 7], [[7.5, 8]]))
    with pytest.raises(CorpusError, match=r"has none of the clips of label\.csv"):
        read_layout("mosei-emotions", tmp_path)
    path.write_bytes(b"not HDF5")
    with pytest.raises(CorpusError, match="is not a label file of CMU-MOSEI"):
        read_layout("mosei-emotions", tmp_path)
    with pytest.raises(CorpusError, match=r"has no label\.csv, the field's table"):
        read_layout("mosei-emotions", put(tmp_path / "b", a=""))
