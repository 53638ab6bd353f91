import json
from dataclasses import replace
from itertools import chain, combinations, pairwise

import numpy as np
import pytest
import torch
from helpers import make_config, make_material
from transformers import AutoModel, AutoTokenizer

import mien
from mien.data.clips.clip_columns import as_clips
from mien.data.context.passages import (
    cut_passages,
    find_passages,
    join_passage,
    surround_in_passages,
)
from mien.data.context.second_segment import NO_CONTEXT, Context
from mien.data.store_writer import write_store
from mien.data.text import prepare_text
from mien.data.text_reader import TextReader
from mien.data.text_settings import TextEncoderConfig
from mien.errors import ConfigError
from mien.pretrained.encoder_cut import encode_changed
from mien.pretrained.packed.first_states import first_state
from mien.studies.robustness.conditions import Condition
from mien.studies.robustness.word_errors import WordErrors
from mien.tensors import Batch, PaddedSeries, pad
from mien.training.experiment import evaluate, train
from mien.training.lost_steps import lose_steps
from mien.training.preparation import prepare
from mien.types import Clip, Modality, Task

TEXT = Modality.TEXT
SAID = {
    "a$_$1": "the film was good",
    "a$_$2": "not very good!",
    "a$_$3": "",
    "a$_$4": "i saw it",
    "a$_$5": "they hate it",
    "b$_$1": "awful",
    "b$_$2": "a great book",
    "c$_$1": "so so",
}


def make_clips(said=SAID, split="train"):
    return [
        Clip(id=name, split=split, transcript=text, labels={Task.FUSION: len(name) % 3 - 1.0})
        for name, text in said.items()
    ]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


def write(clips, folder):
    material = make_material(num_clips=(len(clips), 0, 0))
    corpus = replace(material.corpus, clips=tuple(clips))
    return write_store(replace(material, corpus=corpus), folder / "store")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write(make_clips(), tmp_path_factory.mktemp("passages"))


@pytest.fixture(scope="module")
def by_hand(tiny_bert):
    """States of the first of some texts, read behind the others, by the encoder of transformers."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    backbone = AutoModel.from_pretrained(tiny_bert).eval()

    def encode(texts, number):
        ids = [tokenizer(text)["input_ids"] for text in texts]
        first = sum(map(len, ids[:number]))
        with torch.no_grad():
            states = backbone(torch.tensor([list(chain.from_iterable(ids))])).last_hidden_state[0]
        return states[first : first + len(ids[number])]

    return encode


def read_all(text):
    """States of all clips of a store that have a text, of one batch, by row."""
    encoder = text.build().eval()
    rows = [row for row in range(len(text.series)) if len(text.series[row])]
    series = [torch.from_numpy(np.array(text.series[row])) for row in rows]
    padded = pad(series, has_context=text.series.has_context)
    with torch.no_grad():
        states = encoder(padded)
    counts = padded.mask.sum(dim=1).tolist()
    return {row: states[n, :count] for n, (row, count) in enumerate(zip(rows, counts, strict=True))}


# --- which clips are read together ----------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_passages_are_few_and_alike(seed):
    rng = np.random.default_rng(seed)
    lengths, most = rng.integers(1, 9, rng.integers(1, 9)), int(rng.integers(8, 20))

    def longest(starts):
        return max(part.sum() for part in np.split(lengths, starts[1:]))

    every = (
        [0, *inner]
        for count in range(len(lengths))
        for inner in combinations(range(1, len(lengths)), count)
    )
    best = min((len(starts), longest(starts)) for starts in every if longest(starts) <= most)
    starts = cut_passages(lengths, most).tolist()
    assert (len(starts), longest(starts)) == best


@pytest.mark.parametrize(
    ("lengths", "starts"), [([], []), ([30], [0]), ([1, 30, 1, 1], [0, 1, 2]), ([0, 0], [0])]
)
def test_a_text_that_is_too_long_is_a_passage_by_itself(lengths, starts):
    assert cut_passages(np.array(lengths, dtype=np.int64), 9).tolist() == starts


def test_passages_never_cross_a_video_or_a_split():
    drawn = np.random.default_rng(0)
    names = [f"{video}$_${number}" for video in "abcd" for number in range(12)]
    drawn.shuffle(names)
    splits = drawn.choice(["train", "valid", "test"], len(names))
    clips = as_clips(
        [
            Clip(id=name, split=split, transcript="good", labels={Task.FUSION: 1.0})
            for name, split in zip(names, splits, strict=True)
        ]
    )
    lengths = drawn.integers(0, 6, len(names))
    around = find_passages(clips, lengths, 9)
    assert sorted(around.rows) == np.flatnonzero(lengths).tolist()
    sizes = []
    for place, (first, end) in enumerate(zip(around.firsts, around.ends, strict=True)):
        rows = around.rows[first:end].tolist()
        assert first <= place < end
        assert len({(names[row][0], splits[row]) for row in rows}) == 1
        numbers = [int(names[row][4:]) for row in rows]
        assert numbers == sorted(numbers)
        assert lengths[rows].sum() <= 9
        sizes.append(len(rows))
    assert max(sizes) > 2


def test_texts_that_follow_each_other_are_read_as_the_clips_of_a_store():
    texts = ["one", "", "two", "three", "four"]
    contexts = surround_in_passages(texts, np.array([3, 0, 3, 3, 3]), 6)
    assert contexts == [
        Context((), ("two",)),
        NO_CONTEXT,
        Context(("one",), ()),
        Context((), ("four",)),
        Context(("three",), ()),
    ]


# --- states ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["finetune", "frozen", "lora"])
@pytest.mark.parametrize(
    ("most", "passages"),
    [
        (60, [["a$_$1", "a$_$2", "a$_$4", "a$_$5"], ["b$_$1", "b$_$2"], ["c$_$1"]]),
        (12, [["a$_$1", "a$_$2"], ["a$_$4", "a$_$5"], ["b$_$1", "b$_$2"], ["c$_$1"]]),
    ],
)
def test_states_are_those_of_the_whole_passage(store, tiny_bert, by_hand, mode, most, passages):
    config = TextEncoderConfig(name=str(tiny_bert), mode=mode, passage=most)
    states = read_all(prepare_text(store, config))
    names = list(SAID)
    assert len(states) == 7
    for passage in passages:
        for number, name in enumerate(passage):
            expected = by_hand([SAID[other] for other in passage], number)
            torch.testing.assert_close(
                states[names.index(name)][:, :16], expected, atol=2e-5, rtol=0
            )


def test_a_passage_is_computed_once_for_all_its_clips(store, tiny_bert):
    text = prepare_text(store, TextEncoderConfig(name=str(tiny_bert), passage=60))
    alone = prepare_text(store, TextEncoderConfig(name=str(tiny_bert)))
    counted = []
    encoder = text.build()
    encoder.backbone.embeddings.word_embeddings.register_forward_hook(
        lambda _, given, __: counted.append(given[0].numel())
    )
    rows = [torch.from_numpy(np.array(text.series[row])) for row in range(len(SAID))]
    encoder(pad(rows, has_context=True))
    assert counted == [len(alone.series.values)]


def test_what_is_read_does_not_depend_on_who_shares_a_batch(store, tiny_bert):
    text = prepare_text(store, TextEncoderConfig(name=str(tiny_bert), passage=60))
    encoder = text.build().eval()
    for row, states in read_all(text).items():
        alone = pad([torch.from_numpy(np.array(text.series[row]))], has_context=True)
        with torch.no_grad():
            torch.testing.assert_close(encoder(alone)[0, : len(states)], states, atol=2e-5, rtol=0)
            first = first_state(encoder, alone)[0]
        torch.testing.assert_close(first, states[0], atol=2e-5, rtol=0)


def test_steps_that_are_lost_leave_gaps_and_the_rest_of_the_passage(store, tiny_bert):
    text = prepare_text(store, TextEncoderConfig(name=str(tiny_bert), passage=60))
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    ids = [i for name in list(SAID)[:5] if SAID[name] for i in tokenizer(SAID[name])["input_ids"]]
    clip = pad([torch.from_numpy(np.array(text.series[1]))], has_context=True)
    torch.manual_seed(0)
    batch = Batch(index=torch.tensor([0]), sequences={TEXT: clip})
    lost = lose_steps(batch, {TEXT: 0.6}).sequences[TEXT]
    places = lost.values[0, lost.mask[0], 1].tolist()
    first = len(tokenizer(SAID["a$_$1"])["input_ids"])
    gone = set(range(first, first + int(clip.mask.sum()))) - set(places)
    assert gone
    seen = torch.tensor([[int(place not in gone) for place in range(len(ids))]])
    backbone = AutoModel.from_pretrained(tiny_bert).eval()
    pair = PaddedSeries(lost.values.repeat(2, 1, 1), lost.mask.repeat(2, 1))
    with torch.no_grad():
        expected = backbone(torch.tensor([ids]), attention_mask=seen).last_hidden_state[0, places]
        states = text.build().eval()(lost)[0, : len(places)]
        twice = text.build().eval()(pair)
    torch.testing.assert_close(states, expected, atol=2e-5, rtol=0)
    torch.testing.assert_close(twice[1, : len(places)], expected, atol=2e-5, rtol=0)


def test_words_in_the_place_of_others_never_make_a_passage_too_long(tiny_bert, tmp_path):
    said = ["i saw it " * 3, "good!!!!!!!! great!!!!!!!!", "i saw a film"]
    own = write(make_clips({f"a$_${number}": text for number, text in enumerate(said)}), tmp_path)
    settings = TextEncoderConfig(name=str(tiny_bert), passage=1000)
    prepared = prepare(own, make_config(text_encoder=settings.model_dump()))
    dataset, encoder = prepared.datasets["train"], prepared.text.build().eval()
    lengths = set()
    condition = Condition(kind="words-replaced", modalities=(TEXT,), level=1.0)
    for seed in range(6):
        errors = WordErrors(own, settings, dataset, seed)
        ids = [torch.from_numpy(i) for i in errors.read(condition, [False] * len(dataset))]
        lengths |= {len(i) for i in ids if (i[:, 2] == 1).any()}
        padded = pad(ids, has_context=True)
        states = encoder(padded)  # an encoder fails at places that it does not have
        assert torch.isfinite(states).all()
    assert max(lengths) == 38  # as much as the encoder can read


@pytest.mark.parametrize(
    ("most", "left", "right"), [(12, 4, 4), (10, 4, 4), (8, 3, 3), (3, 0, 1), (2, 0, 0), (1, 0, 0)]
)
def test_of_a_passage_that_is_too_long_what_is_nearest_is_read(most, left, right):
    own, before, after = np.array([[7], [8]]), np.arange(20, 24), np.arange(30, 34)
    joined = join_passage(own, [before[:2], before[2:]], [after], most=most)
    in_order = joined[np.argsort(joined[:, 1]), 0].tolist()
    assert in_order == [*before[4 - left :], 7, 8, *after[:right]]
    assert sorted(joined[:, 1]) == list(range(len(joined)))


# --- training -------------------------------------------------------------------------------------


def test_clips_of_one_passage_follow_each_other(store, tiny_bert):
    def shuffle(passage):
        text = {"name": str(tiny_bert), "input": "transcript", "passage": passage}
        dataset = prepare(store, make_config(text_encoder=text)).datasets["train"]
        order = dataset.shuffle(np.random.default_rng(3)).tolist()
        assert sorted(order) == list(range(len(dataset)))
        return order, [dataset.ids[row] for row in order]

    order, _ = shuffle(0)
    assert order == np.random.default_rng(3).permutation(len(order)).tolist()
    orders = {tuple(name for name in shuffle(60)[1] if name != "a$_$3")}
    (names,) = orders
    videos = [name[0] for name in names]
    assert [name for name in names if name[0] == "a"] == ["a$_$1", "a$_$2", "a$_$4", "a$_$5"]
    assert sum(one != other for one, other in pairwise(videos)) == 2


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    texts = ["The film was very good.", "They hate it.", "I saw a great play."]
    clips = [
        Clip(
            id=f"{video}$_${number}",
            split=split,
            transcript=text,
            labels={Task.FUSION: float((number + shift) % 3 - 1)},
        )
        for shift, (video, split) in enumerate(
            [("a", "train"), ("b", "train"), ("c", "valid"), ("d", "test")]
        )
        for number, text in enumerate(texts)
    ]
    return texts, write(clips, tmp_path_factory.mktemp("spoken"))


def test_a_run_reads_passages_in_training_evaluation_and_prediction(spoken, tiny_bert, tmp_path):
    texts, store = spoken
    config = make_config(
        text_encoder={"input": "transcript", "name": str(tiny_bert), "passage": 40},
        features={"audio": "none", "video": "none"},
        labels={"generator": "latent"},
        train={"epochs": 1},
    )
    run = train(config, store, tmp_path / "run")
    model = mien.load(run)
    scored = model.score_store(store, "test")
    assert [len(weights) for weights in scored.attention[TEXT]] == [8, 6, 8]
    reader = model.network.text
    for text, context, expected in zip(
        texts, reader.surround(texts), scored.scores[Task.FUSION], strict=True
    ):
        (values,) = reader.read_many([text], context)
        (answer,) = model.network.score_clips([{TEXT: values}])
        assert answer.scores[Task.FUSION] == pytest.approx(expected, abs=1e-5)
    (alone,) = model.predict_text(texts[1])
    assert abs(alone.score.value - scored.scores[Task.FUSION][1]) > 1e-4
    assert "utterances with which the text was read: none" in alone.notes
    known = json.loads((run.path / "metrics.json").read_text())
    assert evaluate(run, split="test", store=store)["splits"]["test"] == known["splits"]["test"]


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input": "tokens"}, "only transcripts can be read with those around them"),
        ({"context": 1}, "set those to 0, or passage=0"),
        ({"context_after": 1}, "set those to 0, or passage=0"),
        ({"mode": "last-1"}, "text_encoder.mode is 'last-1', for which the states of whole"),
        ({"mode": "lora-1"}, "text_encoder.mode is 'lora-1', for which the states of whole"),
        ({"context_speakers": "role"}, "set text_encoder.context=1 or more"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(store, tiny_bert, settings, message):
    given = {"name": str(tiny_bert), "input": "transcript", "passage": 60, **settings}
    with pytest.raises(ConfigError, match=message):
        prepare_text(store, TextEncoderConfig(**given))


def test_an_unknown_order_is_refused_by_the_setting_that_needs_it(tiny_bert, tmp_path):
    own = write(make_clips({"a$_$xc": "good", "a$_$xa": "bad"}), tmp_path)
    with pytest.raises(ConfigError, match=r"and passage: the order of the 2 .* set all to 0"):
        prepare_text(own, TextEncoderConfig(name=str(tiny_bert), passage=60))


def test_a_model_that_reaches_into_the_encoder_is_refused(store, tiny_bert):
    text = prepare_text(store, TextEncoderConfig(name=str(tiny_bert), passage=60))
    series = pad([torch.from_numpy(np.array(text.series[0]))], has_context=True)
    with pytest.raises(ConfigError, match=r"set text_encoder\.passage=0"):
        encode_changed(text.build(), series, lambda states: states, after=1)


@pytest.mark.parametrize(
    "model", [{"name": "bert_mag"}, {"name": "cenet"}, {"name": "mult", "published": True}]
)
def test_a_model_that_does_so_is_refused_before_anything_is_written(
    store, tiny_bert, tmp_path, model
):
    text = {"name": str(tiny_bert), "input": "transcript", "passage": 60}
    config = make_config(text_encoder=text, model=model, labels={"generator": "copy"})
    with pytest.raises(ConfigError, match=r"or reads padding; set text_encoder\.passage=0"):
        train(config, store, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_passage_is_never_longer_than_the_encoder_can_read(tiny_bert):
    most = AutoModel.from_pretrained(tiny_bert).config.max_position_embeddings
    reader = TextReader(TextEncoderConfig(name=str(tiny_bert), passage=100_000), "en")
    assert reader.most_in_passage == most - 2
