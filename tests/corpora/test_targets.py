"""Emotions and further scales in the columns of a user's table, through both of its readers."""

import re

import pytest

from mien.corpora.clip_table.target_requests import read_target_requests
from mien.corpora.recordings import read_recordings
from mien.corpora.table import read_table
from mien.errors import ConfigError, CorpusError
from mien.types import Scale, TargetKind, Task

HEADER = "video_id,clip_id,text,mode"


@pytest.fixture
def write(tmp_path):
    def write(header, *rows):
        path = tmp_path / "clips.csv"
        path.write_text("\n".join([f"{HEADER},{header}", *rows]) + "\n", encoding="utf-8")
        return path

    return write


def read(path, *targets, scale=None):
    return read_table(
        path, features={}, name="own", language="en", scale=scale, targets=targets
    ).corpus


def rows(*cells, mode="train"):
    return [f"v{at},1,so,{mode},{cell}" for at, cell in enumerate(cells)]


def values(corpus, name="emotion", task=Task.FUSION):
    return [clip.targets.get(name, {}).get(task) for clip in corpus.clips]


# --- classes


def test_a_column_emotion_is_classes_whatever_they_are_called(write, caplog):
    caplog.set_level("INFO")
    corpus = read(write("Emotion", *rows("hap", "Angry", "angry ", "joy", "", "xxx", "zen")))
    (target,) = corpus.targets
    assert (target.kind, target.classes) == (TargetKind.CLASS, ("angry", "happy", "zen"))
    assert (target.scale, target.size) == (None, 3)
    angry, happy = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
    assert values(corpus) == [happy, angry, angry, happy, None, None, (0.0, 0.0, 1.0)]
    assert not any(clip.labels for clip in corpus.clips)
    assert corpus.is_annotated
    assert "'hap' as happy (1), 'joy' as happy (1)" in caplog.text
    assert "the table of emotions does not have are classes of their own: 'zen' (1)" in caplog.text
    assert "not annotated for it: 'xxx' (1)" in caplog.text


def test_classes_are_the_same_in_whatever_order_rows_are(write):
    cells = ["sad", "zen", "hap", "awe"]
    there = read(write("emotion", *rows(*cells))).targets
    assert read(write("emotion", *rows(*reversed(cells)))).targets == there


def test_emotions_stand_beside_sentiment_and_each_may_be_lacking(write):
    path = write("label,emotion", *rows("1.5,sad", ",happy", "-1,", ","))
    corpus = read(path, scale=(-3, 3))
    assert [clip.labels.get(Task.FUSION) for clip in corpus.clips] == [1.5, None, -1.0, None]
    assert values(corpus) == [(0.0, 1.0), (1.0, 0.0), None, None]
    dropped = read_table(
        path, features={}, name="own", language="en", scale=(-3, 3), unlabelled="drop"
    )
    assert len(dropped.corpus.clips) == 3


def test_one_modality_has_columns_as_its_sentiment_has(write):
    header = "emotion,emotion_text,Emotion Audio,emotion_V"
    corpus = read(write(header, *rows("sad,happy,,", "happy,,sad,angry")))
    assert corpus.targets[0].classes == ("angry", "happy", "sad")
    assert corpus.clips[0].targets["emotion"] == {Task.FUSION: (0, 0, 1), Task.TEXT: (0, 1, 0)}
    assert corpus.clips[1].targets["emotion"].keys() == {Task.FUSION, Task.AUDIO, Task.VIDEO}


def test_a_scheme_joins_classes_and_leaves_others_out(write, caplog):
    corpus = read(write("emotion", *rows("exc", "hap", "fru", "neu")), "emotion=iemocap4")
    assert corpus.targets[0].classes == ("angry", "happy", "sad", "neutral")
    assert values(corpus) == [(0, 1, 0, 0), (0, 1, 0, 0), None, (0, 0, 0, 1)]
    assert "these are left out, and their clips are not annotated for it: 'fru' (1)" in caplog.text
    assert "no clip of train has the class 'angry', 'sad'; no model can learn that" in caplog.text


def test_names_that_a_scheme_or_a_list_does_not_know_are_listed_with_counts(write):
    path = write("emotion", *rows("hapy", "hapy", "angry", "zen"))
    with pytest.raises(
        CorpusError,
        match=r"classes: 'hapy' \(2\), 'zen' \(1\); did you mean 'happy'\? the classes "
        r"are neutral, surprised, fearful, sad, happy, disgusted, angry$",
    ):
        read(path, "emotion=meld7")
    with pytest.raises(CorpusError, match=r"none of its classes: 'hapy' \(2\), 'zen' \(1\)"):
        read(path, "emotion=Happy,Angry")


def test_classes_of_your_own_are_called_as_you_list_them(write):
    corpus = read(write("Stance", *rows("FOR", " against")), "stance=For,Against,Open")
    assert corpus.targets[0].classes == ("For", "Against", "Open")
    assert values(corpus, "stance") == [(1, 0, 0), (0, 1, 0)]


def test_a_corpus_may_have_one_class_or_two_hundred(write, caplog):
    corpus = read(write("emotion", *rows("sad", "sad")))
    assert values(corpus) == [(1.0,), (1.0,)]
    assert "has one class alone, 'sad'" in caplog.text
    many = [f"c{at:03d}" for at in range(200)]
    corpus = read(write("emotion", *rows(*many)))
    assert corpus.targets[0].classes == tuple(many)
    assert values(corpus)[7].index(1.0) == 7
    with pytest.raises(CorpusError, match="more than 1000 classes, such as 'c0'; is it a column"):
        read(write("emotion", *rows(*(f"c{at}" for at in range(1001)))))


def test_a_class_that_train_does_not_have_is_named(write, caplog):
    read(write("emotion", *rows("sad"), "w,1,so,test,angry"))
    assert "no clip of train has the class 'angry' (clips of test have)" in caplog.text


def test_classes_of_clips_from_which_nothing_is_learned_are_not_missed_in_train(write, caplog):
    read(write("emotion", *rows("sad", "angry", mode="test")))
    assert "train" not in caplog.text


def test_a_class_whose_intensity_is_the_lowest_everywhere_is_named(write, caplog):
    read(write("mood:calm,mood:glad", *rows("1,2", "1,5"), "w,1,so,test,3,1"), "mood=1:5")
    assert "mood: no clip of train has the class 'calm' (clips of test have); no" in caplog.text
    assert "'glad'" not in caplog.text


def test_numbers_called_emotion_are_classes_where_that_is_stated(write):
    path = write("emotion", *rows("2", "0"))
    with pytest.raises(CorpusError, match=r"give their range .*state the target \(--target emotio"):
        read(path)
    assert values(read(path, "emotion=0,1,2")) == [(0, 0, 1), (1, 0, 0)]
    floats = write("emotion", *rows("2.0", "0.0", ""))  # as programs write them beside empty cells
    assert values(read(floats, "emotion=0,1,2")) == [(0, 0, 1), (1, 0, 0), None]


def test_numbers_called_emotion_beside_a_label_are_not_passed_over_in_silence(write, caplog):
    corpus = read(write("label,Emotion", *rows("1,2", "0,0")), scale=Scale(-3, 3))
    assert corpus.targets == ()
    assert "not used: Emotion; if the numbers in 'Emotion' are classes, state them" in caplog.text


@pytest.mark.parametrize(
    ("header", "first"),
    [("angry,Sadness", "angry"), ("emotion_joy,emotion_sad", "happy"), ("emo.a,emotion.Fear", "")],
)
def test_columns_that_are_called_as_emotions_are_recognised(write, header, first):
    path = write(header, *rows("1,0", "0,1"))
    if not first:  # a single one may be anything
        with pytest.raises(CorpusError, match="column 'label' is missing; needed are: video_id"):
            read(path)
        return
    with pytest.raises(CorpusError, match=rf"column 'label' is .*, call them emotion:{first} and"):
        read(path)


@pytest.mark.parametrize("stated", [(), ("stance=for,against",)])
def test_labels_that_are_words_are_not_asked_for_their_range(write, stated):
    header, cell = ("label,stance", "happy,for") if stated else ("label", "happy")
    with pytest.raises(CorpusError, match=r":2: label is 'happy', but labels are numbers; call a"):
        read(write(header, *rows(cell)), *stated)


def test_a_table_without_a_split_is_told_how_to_get_one(tmp_path):
    path = tmp_path / "clips.csv"
    path.write_text("video_id,clip_id,text,emotion\nv,1,so,sad\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"column 'mode' is missing; it says .* by mien folds; n"):
        read(path)


# --- several classes, votes, scores


def test_several_classes_may_stand_as_the_lists_that_programs_write(write):
    cells = ["\"['angry', 'sad']\"", "['sad']", "[]", '"[""joy""]"', ""]
    corpus = read(write("emotion", *rows(*cells)))
    (target,) = corpus.targets
    assert (target.kind, target.classes) == (TargetKind.LABELS, ("angry", "happy", "sad"))
    assert values(corpus) == [(1.0, 0.0, 1.0), (0.0, 0.0, 1.0), (0.0,) * 3, (0.0, 1.0, 0.0), None]


@pytest.mark.parametrize("cells", [
    ["\"{'sad', 'angry'}\"", "{'sad'}", "set()"], ["\"('sad', 'angry')\"", "\"('sad',)\"", "()"],
    ["['sad' 'angry']", "['sad']", "[]"],
])  # fmt: skip
def test_sets_tuples_and_arrays_of_classes_are_read_as_lists_are(write, cells):
    corpus = read(write("emotion", *rows(*cells)))
    assert corpus.targets[0].classes == ("angry", "sad")
    assert values(corpus) == [(1.0, 1.0), (0.0, 1.0), (0.0, 0.0)]


@pytest.mark.parametrize("cell", [
    '"{""happy"": 0.7, ""sad"": 0.3}"', '"[0.1, 0.9]"', "[happy]", '"{happy,sad}"', '"(0.1, 0.9)"',
])  # fmt: skip
def test_what_programs_write_that_is_no_list_of_names_makes_no_classes(write, cell):
    with pytest.raises(CorpusError, match=r":3: emotion is .*, which is no list of names in quot"):
        read(write("emotion", *rows("sad", cell)))
    assert read(write("emotion", *rows("sad", "(not) sad"))).targets[0].classes == (
        *("sad", "(not) sad"),
    )


def test_a_list_of_numbers_is_read_where_the_classes_are_stated(write):
    path = write("emotion", *rows("\"['0', '2']\"", "['1']"))
    assert values(read(path, "emotion=0|1|2")) == [(1.0, 0.0, 1.0), (0.0, 1.0, 0.0)]


def test_two_columns_with_the_intensity_of_one_class_are_refused(write):
    path = write("emotion:joy,emotion:sad,emotion:happy", *rows("1,0,2"))
    with pytest.raises(CorpusError, match="'emotion:joy' and 'emotion:happy' are both the inte"):
        read(path, "emotion=0:3")


def test_several_classes_are_labels_and_a_mark_alone_says_none_is_there(write, caplog):
    caplog.set_level("INFO")
    corpus = read(write("emotion", *rows("happy|Sad", "sad", "|", "")))
    assert (corpus.targets[0].kind, corpus.targets[0].classes) == ("labels", ("happy", "sad"))
    assert values(corpus) == [(1, 1), (0, 1), (0, 0), None]
    stated = read(write("emotion", *rows("happy", "sad")), "emotion=happy|sad|angry")
    assert stated.targets[0].kind is TargetKind.LABELS
    assert values(read(write("emotion", *rows('"joy, fear"', "joy")))) == [(1, 1), (1, 0)]
    told = "emotion: every class is a label of its own, since 1 of 2 cells have ',' between"
    assert f"{told} classes, such as 'joy, fear'; --target 'emotion=CLASS,CLASS,...'" in caplog.text
    caplog.clear()
    read(write("emotion", *rows("happy|Sad")), "emotion=happy|sad|angry")
    assert "label of its own" not in caplog.text
    with pytest.raises(CorpusError, match=r":2: emotion is 'a\|b', must be one class; where sev"):
        read(write("emotion", *rows("a|b")), "emotion=a,b")


@pytest.mark.parametrize(("num", "level"), [(60, "WARNING"), (5, "INFO")])
def test_one_cell_with_several_classes_among_many_is_warned_of(write, caplog, num, level):
    caplog.set_level("INFO")
    corpus = read(write("emotion", *rows(*["sad"] * num, "happy;sad", "")))
    assert corpus.targets[0].kind is TargetKind.LABELS
    (record,) = (one for one in caplog.records if "label of its own" in one.message)
    assert record.levelname == level
    assert f"clips.csv:{num + 2}: emotion: every class" in record.message
    assert f"since 1 of {num + 1} cells have ';' between" in record.message
    caplog.clear()
    read(write("emotion", *rows(*["sad"] * num, "happy;sad")), "emotion=happy|sad")
    assert "label of its own" not in caplog.text


def test_names_of_classes_may_hold_separators_where_they_are_stated(write):
    path = write("emotion", *rows('"happy, excited"', "sad", '"happy, excited"'))
    corpus = read(path, 'emotion="happy, excited",sad')
    assert corpus.targets[0].kind is TargetKind.CLASS
    assert corpus.targets[0].classes == ("happy, excited", "sad")
    assert values(corpus) == [(1, 0), (0, 1), (1, 0)]
    several = write("emotion", *rows('"happy, excited|sad"', "sad"))
    corpus = read(several, 'emotion="happy, excited"|sad')
    assert values(corpus) == [(1, 1), (0, 1)]
    for wrong in ('emotion="happy, sad', 'emotion="a"b,c'):
        with pytest.raises(ConfigError, match="quotes do not fit together"):
            read(path, wrong)


def test_two_signs_between_classes_are_refused_unless_classes_are_listed(write):
    cells = ["happy; sad", '"happy, angry"', "sad"]
    told = "emotion has ';' in 'happy; sad' and ',' in 'happy, angry'; write the same sign"
    with pytest.raises(CorpusError, match=re.escape(told)):
        read(write("emotion", *rows(*cells)))
    names = ["happy; sad", '"calm, at rest"']
    with pytest.raises(CorpusError, match="'calm, at rest'"):
        read(write("emotion", *rows(*names)), "emotion=happy|sad")


def test_votes_are_shares_and_a_clip_without_them_has_its_class(write):
    header = "emotion:angry,emotion:hap,emotion_audio:angry,emotion_audio:hap,emotion"
    corpus = read(write(header, *rows("3,1,0,2,", ",,,,happy", ",,,,")))
    assert corpus.targets[0].kind is TargetKind.CLASS
    assert corpus.clips[0].targets["emotion"] == {Task.FUSION: (0.75, 0.25), Task.AUDIO: (0, 1)}
    assert values(corpus) == [(0.75, 0.25), (0, 1), None]
    joined = read(
        write("emotion:hap,emotion:exc,emotion:fru", *rows("1,2,5", "0,0,2")), "emotion=iemocap4"
    )
    assert values(joined) == [(0, 1, 0, 0), None]


def test_votes_for_what_is_no_emotion_are_said_to_be_left_out(write, caplog):
    corpus = read(write("emotion:sad,emotion:unknown", *rows("1,0", "0,3", "2,1")))
    assert values(corpus) == [(1.0,), None, (1.0,)]
    assert "emotion: votes for these are left out: 'unknown' (2)" in caplog.text


def test_true_and_false_say_whether_a_class_is_there(write):
    path = write("emotion:angry,emotion:hap", *rows("True,False", "FALSE,true", ","))
    assert values(read(path, "emotion=angry|happy")) == [(1, 0), (0, 1), None]
    assert values(read(path)) == [(1, 0), (0, 1), None]
    with pytest.raises(CorpusError, match=r"emotion:angry is 'True', must be a number from 0 to"):
        read(path, "emotion=0:3")


def test_a_range_makes_a_score_or_intensities(write):
    corpus = read(
        write("Valence,arousal_text,emotion:happy,emotion:sad", *rows("2.5,,0,3", ",4,,")),
        "valence=1:5", "arousal=1:5", "emotion=0:3",
    )  # fmt: skip
    assert [(t.name, t.kind, t.scale) for t in corpus.targets] == [
        ("valence", "score", Scale(1, 5)),
        ("arousal", "score", Scale(1, 5)),
        ("emotion", "intensities", Scale(0, 3)),
    ]
    assert corpus.clips[0].targets == {
        "valence": {Task.FUSION: (2.5,)},
        "emotion": {Task.FUSION: (0.0, 3.0)},
    }
    assert corpus.clips[1].targets == {"arousal": {Task.TEXT: (4.0,)}}


@pytest.mark.parametrize(
    ("header", "cell", "stated", "message"),
    [
        ("valence", "6", "valence=1:5", r":2: valence is '6', must be a number from 1 to 5$"),
        ("valence", "nan", "valence=1:5", r":2: valence is 'nan', must .* 1 to 5; leave the c"),
        ("valence", "x", "valence=1:5", r":2: valence is 'x', must be a number from 1 to 5$"),
        ("emotion:a,emotion:b", "1,", "", r":2: emotion:b is '', must be .*; leave the cells of a"),
        ("emotion:a,emotion:b", "1,-2", "", r":2: emotion:b is '-2', must be a number from 0$"),
        ("emotion:a,emotion:b", "1,inf", "", r":2: emotion:b is 'inf', must be a number from 0$"),
        ("emotion:a,emotion:b", "0,0", "", r":2: the votes for emotion must have a sum above 0"),
        ("emotion:a,emotion:b", "1,2", "emotion=a|b", r":2: emotion:b is '2', must .* 0 to 1$"),
        ("emotion:a,emotion", "1,x", "emotion=0:1", r":2: emotion is .* its own column must be"),
        ("Emo,Emotions", "a,b", "", r":1: columns 'Emo' and 'Emotions' mean the same; take one"),
        ("emotion,emotion", "a,b", "", r":1: column 'emotion' occurs twice; take one out"),
        ("emotion:a,emotion:a", "1,2", "", r":1: column 'emotion:a' occurs twice; take one out"),
        ("emotion", "a" * 101, "", r": emotion has the class 'aaa.*at most 100 printable"),
        ("emotion", "a\x1b[2J", "", r": emotion has the class 'a\\x1b\[2J'; a class has a name"),
        ("mood", "1", "arousal=1:5", r":1: has no column for the target 'arousal'; there are: vid"),
    ],
)  # fmt: skip
def test_a_wrong_cell_is_named_with_its_line(write, header, cell, stated, message):
    path = write(header, f"v,1,so,train,{cell}")
    with pytest.raises(CorpusError, match=message):
        read(path, *([stated] if stated else []))


def test_columns_of_emotions_are_advised_of_where_the_target_has_no_column(write):
    path = write("label,happy,anger", *rows("1,0,2"))
    with pytest.raises(CorpusError, match=r"target 'emotion'; if happy, anger say .* emotion:happ"):
        read(path, "emotion=0:3", scale=Scale(-3, 3))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("emotion", r"--target 'emotion': must be NAME=LOW:HIGH for a scale"),
        ("emotion=iemocap", r"no scheme is called 'iemocap', .*; did you mean 'iemocap6'\?"),
        ("emotion=a,a", r"a is listed twice"),
        ("emotion=Sad, sad ", r"sad is listed twice"),
        ("label=a,b", r"the column label means something else"),
        ("1st=a,b", r"a target has a name of letters"),
        ("valence=5:1", r"LOW must be below HIGH"),
        ("valence=a:b", r"must be NAME=LOW:HIGH"),
        ("valence=0:inf", r"and both finite"),
    ],
)
def test_what_is_stated_wrong_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        read_target_requests([text])
    with pytest.raises(ConfigError, match="stated twice"):
        read_target_requests(["a=x,y", "a=1:2"])


# --- tables of recordings


def test_a_table_of_recordings_has_the_same_targets(tmp_path, caplog):
    path = tmp_path / "clips.csv"
    path.write_text("path,emotion,speaker\na.mp4,sad,ann\nb.mp4,,bea\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r":1: column 'mode' is missing; it says which .* folds"):
        read_recordings(path, name="own", language="en", scale=None)
    path.write_text("path,emotion,mode\na.mp4,sad,test\nb.mp4,,\n", encoding="utf-8")
    corpus = read_recordings(path, name="own", language="en", scale=None).corpus
    assert corpus.is_annotated
    assert corpus.targets[0].classes == ("sad",)
    assert values(corpus) == [(1.0,), None]
    assert [clip.split for clip in corpus.clips] == ["test", "train"]
    assert caplog.text.count("no clip of train has the class 'sad' (clips of test have)") == 1
    with pytest.raises(ConfigError, match="--target: goes with a table of clips"):
        read_recordings(
            tmp_path / "a", name="own", language="en", scale=None, targets=["valence=1:5"]
        )


def test_a_target_of_modalities_alone_is_refused_in_one_sentence(write):
    path = write("emotion_audio,emotion_video", *rows("happy,", "sad,sad"))
    with pytest.raises(CorpusError, match=r"emotion is annotated for audio alone, and no clip as "):
        read(path)
