import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import make_config, make_material
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoModel, AutoTokenizer

from mien.data.clips.clip_columns import as_clips
from mien.data.context.clip_order import are_seconds, order_clips
from mien.data.context.neighbours import find_neighbours
from mien.data.context.second_segment import Context, SegmentMarks, add_segment
from mien.data.store_writer import write_store
from mien.data.text import prepare_text
from mien.data.text_reader import TextReader
from mien.data.text_settings import TextEncoderConfig
from mien.errors import ConfigError
from mien.pretrained.packed.first_states import first_state
from mien.tensors import pad
from mien.training.preparation import prepare
from mien.types import Clip, Task

CLS, SEP = 2, 3


def make_clip(name, text, split="train", start=None, label=1.0):
    labels = {} if label is None else {Task.FUSION: label}
    return Clip(id=name, split=split, transcript=text, labels=labels, start=start)


#: Video a is in two splits; its clip 9 is not annotated, and its clip 3 is mute.
CLIPS = [
    make_clip("a$_$10", "the film was good"),
    make_clip("a$_$2", "not very good!"),
    make_clip("b$_$1", "awful"),
    make_clip("a$_$9", "i saw it", label=None),
    make_clip("a$_$3", ""),
    make_clip("a$_$4", "they hate it", "test"),
    make_clip("b$_$2", "a great book"),
    make_clip("c$_$1", "so so", "valid"),
]
AROUND = {
    "a$_$10": (["not very good!", "i saw it"], []),
    "a$_$2": ([], ["i saw it", "the film was good"]),
    "b$_$1": ([], ["a great book"]),
    "a$_$9": (["not very good!"], ["the film was good"]),
    "a$_$3": ([], []),
    "a$_$4": ([], []),
    "b$_$2": (["awful"], []),
    "c$_$1": ([], []),
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    material = make_material(num_clips=(len(CLIPS), 0, 0))
    corpus = replace(material.corpus, clips=tuple(CLIPS))
    return write_store(replace(material, corpus=corpus), tmp_path_factory.mktemp("context") / "s")


@pytest.fixture(scope="module")
def by_hand(tiny_bert):
    """The encoder of transformers, called on a clip's words and those around it."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    backbone = AutoModel.from_pretrained(tiny_bert).eval()

    def encode(clip, *, after=True):
        before, following = AROUND[clip.id]
        second = "[SEP]".join(before)
        if after:
            second += "[SEP]" * bool(before) + "[SEP]" * bool(following) + "[SEP]".join(following)
        given = tokenizer(clip.transcript, second or None, return_tensors="pt")
        num_own = len(tokenizer(clip.transcript)["input_ids"])
        with torch.no_grad():
            return backbone(**given).last_hidden_state[0, :num_own]

    return encode


# --- which utterances -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "starts", "expected"),
    [
        (["10", "9", "1"], None, ["1", "9", "10"]),
        (["clip10.mp4", "clip9.mp4"], None, ["clip9.mp4", "clip10.mp4"]),
        (["0010", "0009"], None, ["0009", "0010"]),
        (["119_919", "82_7645", "82_919", "4_84"], None, ["4_84", "82_7645", "82_919", "119_919"]),
        (["1_10", "1_9", "1_2"], None, ["1_2", "1_9", "1_10"]),
        (["x", "1", "a"], [3.0, 2.5, 0.0], ["a", "1", "x"]),
        (["2", "1", "3"], [0.0, 0.0, 0.0], ["1", "2", "3"]),
        (["2", "1"], [7.0, np.nan], ["1", "2"]),
        (["3", "9", "1", "2"], [0.0, 4.0, 9.0, 4.0], ["3", "2", "9", "1"]),
        (["a", "b", "c"], [0.0, 4.0, 4.0], None),
        (["9" * 5000, "1"], None, ["1", "9" * 5000]),
        (["a", "b"], None, None),
        (["a1", "b2"], None, None),
        (["1", "01"], None, None),
    ],
)
def test_clips_are_ordered_by_times_or_the_numbers_in_their_names(names, starts, expected):
    times = np.full(len(names), np.nan) if starts is None else np.array(starts)
    order = order_clips(names, times, with_seconds=are_seconds(names))
    assert (None if order is None else [names[place] for place in order]) == expected


def test_neighbours_are_of_the_same_video_and_split():
    clips = as_clips(CLIPS)
    has_text = np.array([bool(clip.transcript) for clip in CLIPS])
    around = find_neighbours(clips, has_text, before=2, after=2)
    found = {clip.id: ([], []) for clip in CLIPS}
    for place, (row, first, end) in enumerate(zip(*around, strict=True)):
        sides = around.rows[first:place], around.rows[place + 1 : end]
        found[clips[row].id] = tuple([clips[r].transcript for r in rows] for rows in sides)
    assert found == AROUND


@pytest.mark.parametrize(("before", "after"), [(1, 0), (0, 1), (3, 2)])
def test_no_neighbour_ever_crosses_a_video_or_a_split(before, after):
    drawn = np.random.default_rng(0)
    names = [f"{video}$_${number}" for video in "abcd" for number in range(12)]
    drawn.shuffle(names)
    splits = drawn.choice(["train", "valid", "test"], len(names))
    pairs = zip(names, splits, strict=True)
    clips = as_clips([make_clip(name, "good", split) for name, split in pairs])
    around = find_neighbours(clips, np.ones(len(names), bool), before=before, after=after)
    assert sorted(around.rows) == list(range(len(names)))
    for place, (row, first, end) in enumerate(zip(*around, strict=True)):
        same = [
            int(other.id[4:])
            for other in clips
            if (other.video_id, other.split) == (clips[row].video_id, clips[row].split)
        ]
        number = int(clips[row].id[4:])
        expected = sorted(n for n in same if n < number)[-before:] if before else []
        expected += [number, *sorted(n for n in same if n > number)[:after]]
        assert [int(clips[r].id[4:]) for r in around.rows[first:end]] == expected
        assert around.rows[place] == row


def test_whether_names_are_seconds_is_the_same_for_all_videos():
    """A video whose every scene had fewer than ten utterances was read as seconds."""
    names = ["v$_$1_9", "v$_$1_11", "v$_$2_1", "w$_$1_1"]
    for more, expected in (("w$_$1_10", names[:3]), ("w$_$1_101", [names[1], names[0], names[2]])):
        clips = as_clips([make_clip(name, "good") for name in (*names, more)])
        around = find_neighbours(clips, np.ones(5, bool), before=1, after=0)
        assert [clips[row].id for row in around.rows[:3]] == expected


def test_clips_in_no_known_order_are_refused():
    clips = as_clips([make_clip("v$_$left", "good"), make_clip("v$_$right", "bad")])
    with pytest.raises(ConfigError, match="the order of the 2 clips of video 'v' is unknown") as e:
        find_neighbours(clips, np.ones(2, bool), before=1, after=0)
    assert "'left', 'right'" in str(e.value)
    alone = as_clips([make_clip("v$_$left", "good"), make_clip("v$_$right", "bad", "valid")])
    assert find_neighbours(alone, np.ones(2, bool), before=1, after=0).rows.tolist() == [0, 1]


# --- tokens ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "most", "expected"),
    [
        ([[10, 11], [12]], [], 9, [10, 11, SEP, 12]),
        ([[10, 11], [12]], [], 2, [SEP, 12]),
        ([[10, 11]], [[20, 21]], 9, [10, 11, SEP, SEP, 20, 21]),
        ([[10, 11, 12, 13]], [[20, 21, 22]], 4, [13, SEP, SEP, 20]),
        ([[10, 11, 12, 13]], [[20]], 6, [11, 12, 13, SEP, SEP, 20]),
        ([], [[20, 21, 22]], 3, [SEP, 20, 21]),
        ([[10]], [[20]], 0, []),
        ([], [], 9, []),
    ],
)
def test_what_is_nearest_is_kept(before, after, most, expected):
    own = np.array([[CLS], [7], [SEP]], np.int32)
    both = bool(after)
    before, after = ([np.array(tokens, np.int32) for tokens in texts] for texts in (before, after))
    made = add_segment(
        own, before, after, marks=SegmentMarks((), (SEP,), 1), most=most, reads_both_sides=both
    )
    second = [*expected, SEP] if expected else []
    assert made[:, 0].tolist() == [CLS, 7, SEP, *second]
    assert made[:, 1].tolist() == [0, 0, 0, *(2 for _ in second)]


def test_own_tokens_are_those_without_context(store, tiny_bert):
    alone = prepare_text(store, TextEncoderConfig(name=str(tiny_bert), max_tokens=5))
    config = TextEncoderConfig(name=str(tiny_bert), max_tokens=5, context=2, context_after=1)
    text = prepare_text(store, config)
    for row in range(len(store)):
        ids = text.series[row]
        np.testing.assert_array_equal(ids[ids[:, 1] == 0, :1], alone.series[row])
    assert text.num_truncated == alone.num_truncated == 2
    assert text.tokens(CLIPS[0]) == alone.tokens(CLIPS[0])


SPEAKERS = {"a$_$10": "good", "a$_$2": "great", "a$_$9": "good", "b$_$1": "awful", "b$_$2": None}
#: What is read behind the words of a clip, with names and with roles.
SPOKEN = {
    "name": {
        "a$_$10": "great: not very good![SEP]good: i saw it[SEP]good:",
        "a$_$9": "great: not very good![SEP]good:",
        "a$_$2": "great:",
        "b$_$2": "awful: awful",
    },
    "role": {
        "a$_$10": "B: not very good![SEP]A: i saw it",
        "a$_$9": "B: not very good!",
        "a$_$2": "",
        "b$_$2": "awful",
    },
}


@pytest.mark.parametrize("form", ["name", "role"])
def test_utterances_of_the_context_can_begin_with_who_speaks(tiny_bert, tmp_path, form):
    material = make_material(num_clips=(len(CLIPS), 0, 0))
    spoken = tuple(replace(clip, speaker=SPEAKERS.get(clip.id)) for clip in CLIPS)
    corpus = replace(material.corpus, clips=spoken)
    store = write_store(replace(material, corpus=corpus), tmp_path / "spoken")
    config = TextEncoderConfig(name=str(tiny_bert), context=2, context_speakers=form)
    text, tokenizer = prepare_text(store, config), AutoTokenizer.from_pretrained(tiny_bert)
    for row, clip in enumerate(spoken):
        if clip.id in SPOKEN[form]:
            expected = tokenizer(clip.transcript, SPOKEN[form][clip.id] or None)["input_ids"]
            assert text.series[row][:, 0].tolist() == expected
    plain = prepare_text(store, TextEncoderConfig(name=str(tiny_bert), context=2))
    mute = next(row for row, clip in enumerate(spoken) if clip.id == "a$_$4")  # no speaker, alone
    np.testing.assert_array_equal(text.series[mute], plain.series[mute])


def test_speakers_that_nobody_knows_are_refused(store, tiny_bert):
    config = TextEncoderConfig(name=str(tiny_bert), context=1, context_speakers="name")
    with pytest.raises(ConfigError, match=r"context_speakers puts .* but no clip has a speaker"):
        prepare_text(store, config)
    with pytest.raises(ConfigError, match="names who speaks in the context of a clip, and there i"):
        prepare_text(store, config.model_copy(update={"context": 0}))


@pytest.mark.parametrize(("max_tokens", "num_context"), [(36, 2), (37, 0), (40, 0)])
def test_a_context_is_never_longer_than_the_encoder_reads(tiny_bert, max_tokens, num_context):
    """The encoder has 40 positions, of which RoBERTa and its kin would use 38."""
    config = TextEncoderConfig(name=str(tiny_bert), max_tokens=max_tokens, context=3)
    reader = TextReader(config, "en")
    (ids,) = reader.read_many(["good " * 20], Context(before=("bad " * 90, "fine " * 3)))
    assert len(ids) == 38
    assert int((ids[:, 1] > 0).sum()) == 16
    (ids,) = reader.read_many(["good " * 90], Context(before=("bad",)))
    assert ids[:, 1].tolist() == [0] * max_tokens + [2] * num_context


# --- states ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["finetune", "frozen", "last-1", "lora", "lora-1"])
@pytest.mark.parametrize("after", [0, 2])
def test_states_are_those_of_the_encoder_on_the_pair(store, tiny_bert, by_hand, mode, after):
    config = TextEncoderConfig(name=str(tiny_bert), mode=mode, context=2, context_after=after)
    text = prepare_text(store, config)
    series = pad(
        [torch.from_numpy(np.array(text.series[row])) for row in range(len(store))],
        has_context=text.series.has_context,
    )
    encoder = text.build().eval()
    with torch.no_grad():
        states, first = encoder(series), first_state(encoder, series)
    for row, clip in enumerate(CLIPS):
        if clip.transcript:
            expected = by_hand(clip, after=bool(after))
            torch.testing.assert_close(states[row][series.mask[row]], expected, atol=2e-5, rtol=0)
            torch.testing.assert_close(first[row], expected[0], atol=2e-5, rtol=0)
    assert not series.mask[4].any()


def test_marks_and_types_of_a_pair_are_those_of_the_tokenizer(tiny_bert, tmp_path):
    """RoBERTa and its kin end a text, and begin the next one, with the same mark and no type."""
    folder = tmp_path / "encoder"
    shutil.copytree(tiny_bert, folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] [SEP] $B [SEP]",
        special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    file.write_text(json.dumps(settings))
    (folder / "vocab.txt").unlink()
    given = AutoTokenizer.from_pretrained(folder)("so good", "a book", return_tensors="pt")
    assert given["input_ids"][0].tolist().count(SEP) == 3
    with torch.no_grad():
        expected = AutoModel.from_pretrained(folder).eval()(**given).last_hidden_state[0, :4]
    reader = TextReader(TextEncoderConfig(name=str(folder), mode="frozen", context=1), "en")
    (states,) = reader.read_many(["so good"], Context(before=("a book",)))
    np.testing.assert_allclose(states, expected, atol=2e-5)


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["tokens", "embeddings"])
def test_published_texts_cannot_be_read_with_those_around_them(store, given):
    config = TextEncoderConfig(input=given, context_after=1)
    with pytest.raises(ConfigError, match=f"the input is '{given}', and only transcripts"):
        prepare_text(store, config)


def test_without_context_nothing_says_what_is_context(store, tiny_bert):
    for mode in ("finetune", "last-1"):
        series = prepare_text(store, TextEncoderConfig(name=str(tiny_bert), mode=mode)).series
        assert series.values.shape[1] == (1 if mode == "finetune" else 16)
        assert not series.has_context


def test_the_work_of_a_context_is_counted(store, tiny_bert):
    def costs(**settings):
        text = {"name": str(tiny_bert), "input": "transcript", **settings}
        return prepare(store, make_config(text_encoder=text)).datasets["train"].costs

    assert (costs(context=2) >= costs()).all()
    assert (costs(context=2) > costs()).any()
